package runtimeapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// waiting starts n invocations that wait for release, and returns when all
// are in the function.
func waiting(t *testing.T, f *Function, n int) (results []chan error, release func()) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "go")
	payload, err := json.Marshal(command{Do: "wait", Text: file})
	require.NoError(t, err)
	for range n {
		done := make(chan error, 1)
		results = append(results, done)
		go func() {
			_, err := f.Invoke(context.Background(), payload)
			done <- err
		}()
	}
	for started := 0; started < n; runtime.Gosched() {
		files, err := filepath.Glob(filepath.Join(filepath.Dir(file), "started*"))
		require.NoError(t, err)
		started = len(files)
	}
	return results, func() { require.NoError(t, os.WriteFile(file, nil, 0o600)) }
}

func TestConcurrencyAndThrottling(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 3})
	results, release := waiting(t, f, 3)
	_, err := invoke(t, f, command{Do: "echo"})
	require.ErrorIs(t, err, ErrThrottled)
	var throttling interface{ Throttled() bool }
	require.ErrorAs(t, err, &throttling)
	require.True(t, throttling.Throttled())
	release()
	for _, r := range results {
		require.NoError(t, <-r)
	}
	must(t, f, command{Do: "echo"})
	require.Len(t, f.ColdStarts(), 3)
}

func TestTheInvocationGoesOnWhenItsCallerLeaves(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 1})
	pid := must(t, f, command{Do: "echo"}).PID
	file := filepath.Join(t.TempDir(), "go")
	payload, err := json.Marshal(command{Do: "wait", Text: file})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = f.Invoke(ctx, payload)
	require.ErrorIs(t, err, context.Canceled)
	_, err = invoke(t, f, command{Do: "echo"})
	require.ErrorIs(t, err, ErrThrottled, "its environment is busy")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for errors.Is(err, ErrThrottled) {
		runtime.Gosched()
		_, err = invoke(t, f, command{Do: "echo"})
	}
	require.NoError(t, err)
	require.Equal(t, pid, must(t, f, command{Do: "echo"}).PID)
}

func TestKillOneLosesOneInvocation(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 4})
	results, release := waiting(t, f, 3)
	require.True(t, f.KillOne())
	var lost error
	select {
	case lost = <-results[0]:
		results = results[1:]
	case lost = <-results[1]:
		results = []chan error{results[0], results[2]}
	case lost = <-results[2]:
		results = results[:2]
	}
	require.Contains(t, fails(t, lost, KindExit), "signal: killed")
	release()
	for _, r := range results {
		require.NoError(t, <-r)
	}
	must(t, f, command{Do: "echo"})
}

func TestKillOnePrefersTheBusy(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 4})
	results, release := waiting(t, f, 3)
	release()
	for _, r := range results {
		require.NoError(t, <-r)
	}
	results, release = waiting(t, f, 1) // and two are free
	require.True(t, f.KillOne())
	fails(t, <-results[0], KindExit)
	release()
}

func TestKillOfAFreeEnvironmentLosesNothing(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 1})
	require.False(t, f.KillOne())
	for range 20 {
		pid := must(t, f, command{Do: "echo"}).PID
		require.True(t, f.KillOne())
		for alive(pid) {
			runtime.Gosched()
		}
		require.NotEqual(t, pid, must(t, f, command{Do: "echo"}).PID)
	}
}

func TestAFrozenEnvironmentTimesOut(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 2, Timeout: 2 * time.Second})
	require.False(t, f.FreezeOne())
	pid := must(t, f, command{Do: "echo"}).PID
	results, release := waiting(t, f, 1)
	require.True(t, f.FreezeOne())
	for stopped := syscall.WaitStatus(0); !stopped.Stopped(); runtime.Gosched() { // a signal takes a moment
		_, err := syscall.Wait4(pid, &stopped, syscall.WUNTRACED|syscall.WNOHANG, nil)
		require.NoError(t, err)
	}
	release() // it does not hear of it
	fails(t, <-results[0], KindTimeout)
	must(t, f, command{Do: "echo"})
}

func TestKillAll(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 4})
	results, release := waiting(t, f, 3)
	defer release()
	require.Equal(t, 3, f.KillAll())
	for _, r := range results {
		fails(t, <-r, KindExit)
	}
	require.Zero(t, f.KillAll())
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	f := start(t, Options{MaxConcurrency: 4})
	pid := must(t, f, command{Do: "echo"}).PID
	results, release := waiting(t, f, 2)
	defer release()
	f.Close()
	for _, r := range results {
		fails(t, <-r, KindExit)
	}
	require.False(t, alive(pid))
	require.Empty(t, f.all)
	_, err := invoke(t, f, command{Do: "echo"})
	require.ErrorIs(t, err, ErrClosed)
	f.Close()
}

func TestManyCallersUnderKills(t *testing.T) {
	t.Parallel()
	const callers, each, kills = 4, 200, 20
	f := start(t, Options{MaxConcurrency: callers})
	var wg sync.WaitGroup
	var answered, lost atomic.Int64
	for i := range callers {
		wg.Go(func() {
			for n := range each {
				text := fmt.Sprintf("%d-%d", i, n)
				b, err := f.Invoke(context.Background(), []byte(`{"do":"echo","text":"`+text+`"}`))
				var fe *FunctionError
				switch {
				case err == nil && bytes.Contains(b, []byte(`"`+text+`"`)):
					answered.Add(1)
				case errors.As(err, &fe) && fe.Kind == KindExit:
					lost.Add(1)
				default:
					t.Errorf("answer %s, error %v", b, err)
				}
			}
		})
	}
	for range kills {
		for before := answered.Load(); answered.Load() < before+10; runtime.Gosched() {
			if answered.Load()+lost.Load() > callers*each-20 {
				break
			}
		}
		f.KillOne()
	}
	wg.Wait()
	require.EqualValues(t, callers*each, answered.Load()+lost.Load())
	require.LessOrEqual(t, lost.Load(), int64(kills), "a kill loses one invocation at most")
	require.Positive(t, lost.Load())
}

func TestTheLastWordsOfAProcessCount(t *testing.T) {
	t.Parallel()
	f := &Function{o: Options{Timeout: time.Minute}}
	for range 1000 {
		e := newEnvironment(f)
		inv := newInvocation(nil)
		go func() {
			<-e.next
			inv.answered <- result{answer: []byte("last words")}
			close(e.exited)
		}()
		r, delivered, alive := e.invoke(inv)
		require.NoError(t, r.err)
		require.Equal(t, "last words", string(r.answer))
		require.True(t, delivered)
		require.False(t, alive)
	}
}
