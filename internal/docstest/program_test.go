package docstest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// binaries is the folder of what the tests have built.
var binaries string

func TestMain(m *testing.M) {
	var err error
	if binaries, err = os.MkdirTemp("", "docstest"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := os.RemoveAll(binaries); err != nil {
			panic(err)
		}
		os.Exit(code)
	}))
}

// built is the program, which is built once for all tests.
var built = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaries, "posthorn")
	return path, build(path, "posthorn/cmd/posthorn")
})

func build(path, what string) error {
	build := exec.Command("go", "build", "-o", path, what)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", what, err, out)
	}
	return nil
}

// program is the path of posthorn.
func program(t *testing.T) string {
	t.Helper()
	path, err := built()
	require.NoError(t, err)
	return path
}

// process is a program that runs until it is told to stop.
type process struct {
	cmd   *exec.Cmd
	log   string // the file that it writes to
	ended chan error
}

// started starts a program, whose output, of both kinds, goes to a file of its folder.
func started(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log")
	require.NoError(t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	p := &process{cmd, log.Name(), make(chan error, 1)}
	go func() { p.ended <- cmd.Wait() }()
	return p
}

// says waits until the process has written what matches, and returns it as
// FindStringSubmatch does.
func (p *process) says(t *testing.T, form *regexp.Regexp) (found []string) {
	t.Helper()
	var said []byte
	ok := eventually(func() bool {
		said, _ = os.ReadFile(p.log)
		found = form.FindStringSubmatch(string(said))
		return found != nil || len(p.ended) > 0
	})
	require.True(t, ok && found != nil, "%v does not write %s, but: %s", p.cmd.Args, form, said)
	return found
}

// stop tells the process to stop, which has to end with 0.
func (p *process) stop(t *testing.T, signal os.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(signal))
	select {
	case err := <-p.ended:
		said, _ := os.ReadFile(p.log)
		require.NoError(t, err, "%v: %s", p.cmd.Args, said)
	case <-time.After(patience):
		require.Fail(t, "it does not stop", "%v", p.cmd.Args)
	}
}

// eventually says whether something has come to be true within the patience.
func eventually(holds func() bool) bool {
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-pause.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

var banner = regexp.MustCompile(`(?m)^ +API +(http://\S+)\n(?:.*\n)* +SQS, DynamoDB +(http://\S+)$`)

// local is a running `posthorn local`.
type local struct {
	bin string // the program
	dir string // where it runs, without files of configuration: the defaults
	api string // the address of its API
	aws string // and that of its SQS, DynamoDB and KMS
}

// startLocal starts `posthorn local` on empty data and free ports, with further
// variables.
func startLocal(t *testing.T, env ...string) *local {
	t.Helper()
	dir := t.TempDir()
	l := &local{bin: program(t), dir: dir}
	cmd := exec.Command(l.bin, "local", "--port", "0", "--aws-port", "0", "--data", filepath.Join(dir, "data"))
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "RETRY_INITIAL_DELAY=0.01", "RETRY_MAX_DELAY=0.01", "POSTHORN_SWEEP_INTERVAL=1", "LOG_LEVEL=error"}, env...)
	p := started(t, cmd)
	t.Cleanup(func() { p.stop(t, syscall.SIGTERM) })
	found := p.says(t, banner)
	l.api, l.aws = found[1], found[2]
	return l
}

// command is a call of the program in a folder, with these variables and no others.
func (l *local) command(t *testing.T, dir string, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), l.bin, args...)
	cmd.Dir, cmd.Env = dir, append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	return cmd
}

// prints runs the program, which has to succeed, and returns what it prints.
func (l *local) prints(t *testing.T, dir string, env []string, args ...string) (out, said string) {
	t.Helper()
	cmd := l.command(t, dir, env, args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Run(), "posthorn %v: %s%s", args, &stdout, &stderr)
	return stdout.String(), stderr.String()
}

// port is that of the API.
func (l *local) port() string { return portOf(l.api) }

func portOf(url string) string { return url[strings.LastIndexByte(url, ':')+1:] }
