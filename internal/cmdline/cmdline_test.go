package cmdline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/cmdline"
)

// actsAs makes the test's binary a program that ends when it is told to; "stubborn",
// one that goes on.
const actsAs = "CMDLINE_TEST_ACTS_AS"

func TestMain(m *testing.M) {
	if how := os.Getenv(actsAs); how != "" {
		cmdline.Main(func(ctx context.Context, args []string, out, errOut io.Writer) int {
			fmt.Fprintln(out, "started", strings.Join(args, " "))
			<-ctx.Done()
			fmt.Fprintln(errOut, "told")
			if how == "stubborn" {
				select {} // until it is ended
			}
			return 7
		})
	}
	goleak.VerifyTestMain(m)
}

// started runs the test's binary as a program, which has begun.
func started(t *testing.T, how string) (cmd *exec.Cmd, errOut io.Reader) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0], "a", "b") // ended with the test at the latest
	cmd.Env = append(os.Environ(), actsAs+"="+how)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	errOut, err = cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.Equal(t, "started a b\n", line(t, out))
	return cmd, errOut
}

func line(t *testing.T, r io.Reader) string {
	t.Helper()
	var all []byte
	for one := make([]byte, 1); !bytes.HasSuffix(all, []byte("\n")); all = append(all, one...) {
		_, err := io.ReadFull(r, one)
		require.NoError(t, err, "%s", all)
	}
	return string(all)
}

func TestASignalEndsTheContextAndTheCodeIsTheProgramsOwn(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd, errOut := started(t, "program")
		require.NoError(t, cmd.Process.Signal(signal))
		require.Equal(t, "told\n", line(t, errOut))
		var ended *exec.ExitError
		require.ErrorAs(t, cmd.Wait(), &ended)
		require.Equal(t, 7, ended.ExitCode())
	}
}

func TestASecondSignalEndsAProgramThatGoesOn(t *testing.T) {
	cmd, errOut := started(t, "stubborn")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, "told\n", line(t, errOut))
	over := make(chan error, 1)
	go func() { over <- cmd.Wait() }()
	again := time.NewTicker(10 * time.Millisecond) // the first may still be being forgotten
	defer again.Stop()
	patience := time.After(30 * time.Second)
	for {
		select {
		case <-patience:
			require.NoError(t, cmd.Process.Kill())
			<-over
			require.Fail(t, "a second signal does not end it")
		case err := <-over:
			var ended *exec.ExitError
			require.ErrorAs(t, err, &ended)
			require.Equal(t, syscall.SIGTERM, ended.Sys().(syscall.WaitStatus).Signal())
			return
		case <-again.C:
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				require.ErrorIs(t, err, os.ErrProcessDone)
			}
		}
	}
}

func TestACommandLineIsReadOrRefused(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		over bool
		says string // the beginning
	}{
		"nothing":      {nil, 0, false, ""},
		"a flag":       {[]string{"-n", "3"}, 0, false, ""},
		"help":         {[]string{"--help"}, 0, true, "Usage: thing\n\n  -n int\n"},
		"no such flag": {[]string{"-m"}, 2, true, "flag provided but not defined: -m\nUsage: thing\n"},
		"a bad value":  {[]string{"-n", "x"}, 2, true, `invalid value "x" for flag -n`},
	} {
		t.Run(name, func(t *testing.T) {
			var errOut bytes.Buffer
			l := cmdline.New("thing", "Usage: thing\n\n", &errOut)
			l.Int("n", 1, "how many")
			code, over := l.Parse(c.args)
			require.Equal(t, c.code, code)
			require.Equal(t, c.over, over)
			require.True(t, strings.HasPrefix(errOut.String(), c.says), errOut.String())
			require.Equal(t, c.says == "", errOut.Len() == 0)
		})
	}
}

func TestWhatIsWrongIsOneLineWithItsCode(t *testing.T) {
	var errOut bytes.Buffer
	l := cmdline.New("thing", "", &errOut)
	require.Equal(t, 2, l.Misused(errors.New("-n: must be above 0")))
	require.Equal(t, 1, l.Failed(errors.New("it is gone")))
	require.Equal(t, "thing: -n: must be above 0\nthing: it is gone\n", errOut.String())

	_, over := l.Parse([]string{"one", "two"})
	require.False(t, over)
	require.EqualError(t, l.NoArguments(), `"one": there are no arguments`)
	_, over = l.Parse(nil)
	require.False(t, over)
	require.NoError(t, l.NoArguments())

	deaf := cmdline.New("thing", "", nowhere{})
	require.Equal(t, 1, deaf.Failed(errors.New("x")))
}

// nowhere cannot be written to.
type nowhere struct{}

func (nowhere) Write([]byte) (int, error) { return 0, errors.New("closed") }
