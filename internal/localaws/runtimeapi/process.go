package runtimeapi

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

func (f *Function) workDir() string { return filepath.Dir(f.o.Path) }

// environ returns the environment variables of the n-th process: those of "Defined
// runtime environment variables" in the Lambda developer guide, as an OS-only
// runtime gets them (which has no AWS_EXECUTION_ENV), and the function's own.
// The address of the Runtime API cannot be overridden.
func (f *Function) environ(n int, api string) []string {
	env := []string{
		"AWS_DEFAULT_REGION=" + f.o.Region,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(f.o.MemoryMB),
		"AWS_LAMBDA_FUNCTION_NAME=" + f.o.Name,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/" + f.o.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME=local/[$LATEST]" + api,
		"AWS_REGION=" + f.o.Region,
		"LAMBDA_RUNTIME_DIR=/var/runtime",
		"LAMBDA_TASK_ROOT=" + f.workDir(),
		"LANG=en_US.UTF-8",
		"TZ=:UTC",
		"_HANDLER=bootstrap",
	}
	for _, name := range []string{"PATH", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	env = append(env, f.o.Env...)
	if f.o.EnvOf != nil {
		env = append(env, f.o.EnvOf(n)...)
	}
	return append(env, "AWS_LAMBDA_RUNTIME_API="+api)
}

// locked returns a writer that several processes may write to. Nil stays nil: a
// process without output has it discarded.
func locked(lock *sync.Mutex, w io.Writer) io.Writer {
	if w == nil {
		return nil
	}
	return &lockedWriter{lock: lock, w: w}
}

type lockedWriter struct {
	lock *sync.Mutex
	w    io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.w.Write(p)
}

// lineWriter hands on whole lines, so that those of several processes do not
// mix.
type lineWriter struct {
	w    io.Writer
	rest []byte // of a line that has not ended
}

// wholeLines returns a writer of a process's own; nil for nil.
func wholeLines(w io.Writer) *lineWriter {
	if w == nil {
		return nil
	}
	return &lineWriter{w: w}
}

// Write implements io.Writer.
func (l *lineWriter) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	whole := bytes.LastIndexByte(l.rest, '\n') + 1
	if whole == 0 {
		return len(p), nil
	}
	_, err := l.w.Write(l.rest[:whole])
	l.rest = append(l.rest[:0], l.rest[whole:]...)
	return len(p), err
}

// end hands on a last line that has no end.
func (l *lineWriter) end() error {
	if l == nil || len(l.rest) == 0 {
		return nil
	}
	_, err := l.w.Write(l.rest)
	l.rest = nil
	return err
}
