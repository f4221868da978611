package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const (
	// MaxPayload is the largest payload of an invocation in bytes.
	MaxPayload = 6 << 20
	// MaxAnswer is the largest answer in bytes, the number that Lambda's own
	// error text names.
	MaxAnswer = 6291556
	// InitTimeout is how long a process may take until it asks for its first
	// invocation.
	InitTimeout = 10 * time.Second
)

// Options describe a function.
type Options struct {
	// Name of the function. Required.
	Name string
	// Path of the bootstrap. Required. Its folder is the working directory.
	Path string
	// Env is the function's own environment, "KEY=value". Beside it a process
	// gets what Lambda sets and the caller's PATH and TMPDIR, nothing else.
	Env []string
	// EnvOf, if there is one, returns what the n-th process, from 0, has in its
	// environment beside that.
	EnvOf func(n int) []string
	// Timeout of an invocation. 0: 3 s, Lambda's default.
	Timeout time.Duration
	// MaxConcurrency is the number of environments, and so of invocations at
	// once. 0: 10.
	MaxConcurrency int
	// MemoryMB is only told to the function. 0: 128, Lambda's default.
	MemoryMB int
	// Region is only told to the function. "": us-east-1.
	Region string
	// Stdout and Stderr get what the processes write, in whole lines. They are
	// not called concurrently. Nil: discarded.
	Stdout, Stderr io.Writer
}

// Function is a function and its environments. It is safe for concurrent use.
type Function struct {
	o              Options
	stdout, stderr io.Writer
	initTimeout    time.Duration

	mu     sync.Mutex
	closed bool
	busy   int            // invocations under way, at most MaxConcurrency
	idle   []*environment // free ones, the latest used last
	all    []*environment
	begun  int // environments so far
	cold   []time.Duration
	live   sync.WaitGroup // of environments
}

// New returns a function without environments; the first invocation starts one.
func New(o Options) (*Function, error) {
	if o.Name == "" || o.Path == "" {
		return nil, errors.New("runtimeapi: a function needs a name and a path")
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("runtimeapi: path of the bootstrap: %w", err)
	}
	o.Path = path
	if o.Timeout <= 0 {
		o.Timeout = 3 * time.Second
	}
	if o.MaxConcurrency <= 0 {
		o.MaxConcurrency = 10
	}
	if o.MemoryMB <= 0 {
		o.MemoryMB = 128
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	lock := new(sync.Mutex) // one for both: they may be the same writer
	return &Function{o: o, stdout: locked(lock, o.Stdout), stderr: locked(lock, o.Stderr), initTimeout: InitTimeout}, nil
}

// Invoke runs one synchronous invocation and returns its answer. It uses a free
// environment, or starts one. It fails with [ErrThrottled], [ErrClosed],
// [ErrPayloadTooLarge] or a *[FunctionError].
//
// When ctx is done Invoke returns at once; as in Lambda the invocation goes on
// to its end.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if len(payload) > MaxPayload {
		return nil, ErrPayloadTooLarge
	}
	f.mu.Lock()
	switch {
	case f.closed:
		f.mu.Unlock()
		return nil, ErrClosed
	case f.busy >= f.o.MaxConcurrency:
		f.mu.Unlock()
		return nil, ErrThrottled
	}
	f.busy++
	f.mu.Unlock()

	inv := newInvocation(payload)
	f.dispatch(inv)
	select {
	case r := <-inv.done:
		return r.answer, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("runtimeapi: invoke %s: %w", f.o.Name, ctx.Err())
	}
}

// dispatch gives inv to an environment, which will end it.
func (f *Function) dispatch(inv *invocation) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		f.end(inv, result{err: ErrClosed}, nil)
		return
	}
	if n := len(f.idle); n > 0 {
		e := f.idle[n-1]
		f.idle = f.idle[:n-1]
		// Under the lock, so that an environment which removes itself has the
		// invocation or will not get it. There is room: it was free.
		e.work <- inv
		f.mu.Unlock()
		return
	}
	e := newEnvironment(f)
	e.n = f.begun
	f.begun++
	e.work <- inv
	f.all = append(f.all, e)
	f.live.Add(1)
	f.mu.Unlock()
	go e.run()
}

// end finishes an invocation. e, when not nil, is free for the next one.
func (f *Function) end(inv *invocation, r result, e *environment) {
	f.mu.Lock()
	f.busy--
	if e != nil {
		f.idle = append(f.idle, e)
	}
	f.mu.Unlock()
	inv.done <- r
}

// remove forgets an environment, which then gets no more invocations.
func (f *Function) remove(e *environment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	is := func(x *environment) bool { return x == e }
	f.idle = slices.DeleteFunc(f.idle, is)
	f.all = slices.DeleteFunc(f.all, is)
}

func (f *Function) addColdStart(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cold = append(f.cold, d)
}

// ColdStarts returns, for each environment that came up, the time from its
// process's start to its first request for an invocation.
func (f *Function) ColdStarts() []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.cold)
}

// Processes returns the ids of the processes of environments that are up or
// coming up.
func (f *Function) Processes() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []int
	for _, e := range f.all {
		if id := e.process(); id != 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// KillOne sends SIGKILL to the process of an environment chosen at random,
// among the busy ones where there are any. It reports whether there was one.
func (f *Function) KillOne() bool {
	return f.one((*environment).kill)
}

// FreezeOne stops the process of an environment that is chosen likewise: it
// stands still, and times out. It reports whether there was one.
func (f *Function) FreezeOne() bool {
	return f.one((*environment).freeze)
}

// one does something to one environment, and reports whether there was one.
func (f *Function) one(do func(*environment)) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	from := make([]*environment, 0, len(f.all))
	for _, e := range f.all {
		if !slices.Contains(f.idle, e) {
			from = append(from, e)
		}
	}
	if len(from) == 0 {
		from = f.all
	}
	if len(from) == 0 {
		return false
	}
	do(from[rand.IntN(len(from))])
	return true
}

// KillAll sends SIGKILL to all processes and returns how many there were.
func (f *Function) KillAll() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.all {
		e.kill()
	}
	return len(f.all)
}

// Close kills all processes and returns when they and everything that served
// them are gone. Invocations under way fail.
func (f *Function) Close() {
	f.mu.Lock()
	f.closed = true
	for _, e := range f.all {
		e.kill()
	}
	f.mu.Unlock()
	f.live.Wait()
}
