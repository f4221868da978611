package runtimeapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// build builds the test function once for all tests.
type built struct{ dir, bootstrap string }

var function built

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "runtimeapi")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		function = built{dir, filepath.Join(dir, "bootstrap")}
		out, err := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", function.bootstrap, "./testdata/bootstrap").CombinedOutput()
		if err != nil {
			fmt.Fprintf(os.Stderr, "build the test function: %v\n%s", err, out)
			return 1
		}
		code := m.Run()
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

type command struct {
	Do   string `json:"do"`
	Text string `json:"text,omitempty"`
	Size int    `json:"size,omitempty"`
}

type said struct {
	PID       int
	Text      string
	Env       []string
	Dir       string
	RequestID string `json:"request_id"`
	ARN       string
	Trace     string
	Deadline  time.Time
}

func start(t *testing.T, o Options) *Function {
	t.Helper()
	o.Name, o.Path = "deliver", function.bootstrap
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	f, err := New(o)
	require.NoError(t, err)
	t.Cleanup(f.Close)
	return f
}

func invoke(t *testing.T, f *Function, c command) ([]byte, error) {
	t.Helper()
	payload, err := json.Marshal(c)
	require.NoError(t, err)
	return f.Invoke(t.Context(), payload)
}

func must(t *testing.T, f *Function, c command) said {
	t.Helper()
	b, err := invoke(t, f, c)
	require.NoError(t, err)
	var s said
	require.NoError(t, json.Unmarshal(b, &s))
	return s
}

// fails asserts the kind of a failed invocation and returns its payload.
func fails(t *testing.T, err error, kind Kind) string {
	t.Helper()
	var fe *FunctionError
	require.ErrorAs(t, err, &fe)
	require.Equal(t, kind, fe.Kind, fe)
	return string(fe.Payload)
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestAnEnvironmentIsUsedAgain(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 1})
	first := must(t, f, command{Do: "echo", Text: "one"})
	require.Equal(t, "one", first.Text)
	for range 50 {
		require.Equal(t, first.PID, must(t, f, command{Do: "echo"}).PID)
	}
	cold := f.ColdStarts()
	require.Len(t, cold, 1)
	require.Greater(t, cold[0], time.Duration(0))
	require.Less(t, cold[0], InitTimeout)
}

func TestWhatTheRuntimeIsTold(t *testing.T) {
	t.Parallel()
	f := start(t, Options{Timeout: 20 * time.Second, Region: "eu-west-1"})
	before := time.Now()
	s := must(t, f, command{Do: "echo"})
	require.WithinRange(t, s.Deadline, before.Add(19*time.Second), time.Now().Add(20*time.Second))
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, s.RequestID)
	require.Equal(t, "arn:aws:lambda:eu-west-1:000000000000:function:deliver", s.ARN)
	require.Regexp(t, `^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0$`, s.Trace)
	require.NotEqual(t, s.RequestID, must(t, f, command{Do: "echo"}).RequestID)
}

func TestTheProcessGetsLambdasEnvironmentAndNotTheCallers(t *testing.T) {
	t.Setenv("NOT_FOR_THE_FUNCTION", "1")
	f := start(t, Options{MemoryMB: 256, Env: []string{"TABLE=t1", "AWS_LAMBDA_RUNTIME_API=127.0.0.1:1"}})
	s := must(t, f, command{Do: "env"})
	env := map[string]string{}
	for _, kv := range s.Env {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	dir, err := filepath.EvalSymlinks(function.dir)
	require.NoError(t, err)
	require.Equal(t, dir, s.Dir)
	require.Equal(t, os.Getenv("PATH"), env["PATH"])
	require.Regexp(t, `^127\.0\.0\.1:\d{2,}$`, env["AWS_LAMBDA_RUNTIME_API"])
	require.NotContains(t, env, "NOT_FOR_THE_FUNCTION")
	require.NotContains(t, env, "HOME")
	for k, v := range map[string]string{
		"TABLE": "t1", "AWS_LAMBDA_FUNCTION_NAME": "deliver", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
		"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "_HANDLER": "bootstrap", "LAMBDA_TASK_ROOT": function.dir,
	} {
		require.Equal(t, v, env[k], k)
	}
}

func TestEachProcessMayHaveAnEnvironmentOfItsOwn(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 1, EnvOf: func(n int) []string { return []string{"NUMBER=" + strconv.Itoa(n)} }})
	for _, want := range []string{"NUMBER=0", "NUMBER=1"} {
		require.Contains(t, must(t, f, command{Do: "env"}).Env, want)
		pid := must(t, f, command{Do: "echo"}).PID
		f.KillAll()
		for alive(pid) {
			runtime.Gosched()
		}
	}
}

func TestAnErrorLeavesTheEnvironment(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 1})
	pid := must(t, f, command{Do: "echo"}).PID
	_, err := invoke(t, f, command{Do: "error", Text: "no such endpoint"})
	require.JSONEq(t, `{"errorMessage":"no such endpoint","errorType":"errorString"}`, fails(t, err, KindUnhandled))
	require.Equal(t, pid, must(t, f, command{Do: "echo"}).PID)
}

func TestAPanicEndsTheProcessAndNothingElse(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 1})
	pid := must(t, f, command{Do: "echo"}).PID
	_, err := invoke(t, f, command{Do: "panic", Text: "broken"})
	require.Contains(t, fails(t, err, KindUnhandled), `"broken"`)
	require.False(t, alive(pid))
	require.NotEqual(t, pid, must(t, f, command{Do: "echo"}).PID)
	require.Len(t, f.ColdStarts(), 2)
}

func TestAnExitFailsTheInvocation(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 1})
	_, err := invoke(t, f, command{Do: "exit"})
	payload := fails(t, err, KindExit)
	require.Contains(t, payload, `"errorType":"Runtime.ExitError"`)
	require.Contains(t, payload, "exit status 7")
	require.Contains(t, err.Error(), "exit status 7")
	must(t, f, command{Do: "echo"})
}

func TestTimeoutKills(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 1, Timeout: 3 * time.Second})
	pid := must(t, f, command{Do: "echo"}).PID
	begin := time.Now()
	_, err := invoke(t, f, command{Do: "hang"})
	require.GreaterOrEqual(t, time.Since(begin), 3*time.Second)
	require.Contains(t, fails(t, err, KindTimeout), "Task timed out after 3.00 seconds")
	require.False(t, alive(pid))
	must(t, f, command{Do: "echo"})
}

func TestAnAnswerCountsEvenIfTheRuntimeHangsAfterIt(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 1, Timeout: 3 * time.Second, Env: []string{"RUNTIME=odd"}})
	b, err := invoke(t, f, command{Do: "hang after the answer"})
	require.NoError(t, err)
	require.Equal(t, `"answered"`, string(b))
	_, err = invoke(t, f, command{Do: "echo"})
	require.NoError(t, err)
	require.Len(t, f.ColdStarts(), 2)
}

func TestFailuresToInitialise(t *testing.T) {
	t.Parallel()
	for init, want := range map[string]struct {
		kind    Kind
		payload string
	}{
		"exit":   {KindExit, `{"errorType":"Runtime.ExitError","errorMessage":"exit status 3"}`},
		"report": {KindUnhandled, `{"errorType":"Config","errorMessage":"no table"}`},
		"hang":   {KindTimeout, `{"errorType":"Sandbox.Timedout","errorMessage":"Init timed out after 0.50 seconds"}`},
	} {
		t.Run(init, func(t *testing.T) {
			t.Parallel()
			f := start(t, Options{MaxConcurrency: 1, Env: []string{"INIT=" + init}})
			if init == "hang" {
				f.initTimeout = 500 * time.Millisecond
			}
			_, err := invoke(t, f, command{Do: "echo"})
			require.JSONEq(t, want.payload, fails(t, err, want.kind))
			require.Empty(t, f.ColdStarts())
			require.Empty(t, f.all)
		})
	}
}

func TestABootstrapThatIsNotThere(t *testing.T) {
	t.Parallel()
	f, err := New(Options{Name: "x", Path: filepath.Join(t.TempDir(), "bootstrap")})
	require.NoError(t, err)
	defer f.Close()
	for range 20 { // more than there are environments: none is leaked
		_, err = f.Invoke(t.Context(), nil)
		require.ErrorIs(t, err, os.ErrNotExist)
	}
}

func TestNewWantsNameAndPath(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {Name: "x"}, {Path: "bootstrap"}} {
		_, err := New(o)
		require.Error(t, err)
	}
}

func TestPayloadAndAnswerLimits(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 1})
	pad := len(`{"do":"count","text":""}`)
	b, err := invoke(t, f, command{Do: "count", Text: strings.Repeat("x", MaxPayload-pad)})
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(MaxPayload-pad), string(b))
	_, err = invoke(t, f, command{Do: "count", Text: strings.Repeat("x", MaxPayload-pad+1)})
	require.ErrorIs(t, err, ErrPayloadTooLarge)

	b, err = invoke(t, f, command{Do: "big", Size: MaxAnswer})
	require.NoError(t, err)
	require.Len(t, b, MaxAnswer)
	_, err = invoke(t, f, command{Do: "big", Size: MaxAnswer + 1})
	require.Contains(t, fails(t, err, KindUnhandled), "Function.ResponseSizeTooLarge")
	must(t, f, command{Do: "echo"})
}

func TestMistakesOfARuntime(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 1, Env: []string{"RUNTIME=odd"}})
	b, err := invoke(t, f, command{Do: "stray"})
	require.NoError(t, err)
	require.JSONEq(t, `[400,404]`, string(b))
	_, err = invoke(t, f, command{Do: "truncate"})
	require.Equal(t, `"half`, fails(t, err, KindUnhandled))
	b, err = invoke(t, f, command{Do: "echo"})
	require.NoError(t, err)
	require.Equal(t, `"ok"`, string(b))
	require.Len(t, f.ColdStarts(), 1)
}

func TestOutputOfTheProcesses(t *testing.T) {
	t.Parallel()
	var out, both bytes.Buffer
	f := start(t, Options{Stdout: &out, Stderr: &both})
	must(t, f, command{Do: "print", Text: "hello"})
	f.Close()
	require.Equal(t, "hello\n", out.String())
	require.Equal(t, "hello\n", both.String())
}

func TestLinesOfSeveralProcessesDoNotMix(t *testing.T) {
	t.Parallel()
	var got []string
	shared := writerFunc(func(b []byte) { got = append(got, string(b)) })
	one, other := wholeLines(shared), wholeLines(shared)
	for _, step := range []struct {
		to   *lineWriter
		text string
	}{{one, "a"}, {other, "x\ny"}, {one, "b\nc"}, {other, "z\n"}} {
		_, err := step.to.Write([]byte(step.text))
		require.NoError(t, err)
	}
	require.NoError(t, one.end())
	require.NoError(t, other.end())
	require.NoError(t, wholeLines(nil).end())
	require.Equal(t, []string{"x\n", "ab\n", "yz\n", "c"}, got)
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}

// BenchmarkInvoke measures a warm invocation.
func BenchmarkInvoke(b *testing.B) {
	f, err := New(Options{Name: "deliver", Path: function.bootstrap})
	require.NoError(b, err)
	defer f.Close()
	for b.Loop() {
		if _, err := f.Invoke(b.Context(), []byte(`{"do":"echo"}`)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(f.ColdStarts()[0].Microseconds()), "us/cold-start")
}
