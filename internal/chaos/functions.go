package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"posthorn/internal/hook"
	"posthorn/internal/localaws/runtimeapi"
)

// Names of the functions, and of their folders.
const (
	nameAPI     = "api"
	nameDeliver = "deliver"
	nameSweeper = "dlq-sweeper"
)

// inTemplate are the logical ids of the functions in the template.
var inTemplate = map[string]string{nameAPI: "ApiFunction", nameDeliver: "DeliverFunction", nameSweeper: "DlqSweeperFunction"}

// sweepMargin is how much longer the sweeper has than the others: it begins
// nothing in the last seconds of its time.
const sweepMargin = 15 * time.Second

// unexpected says whether a line on a function's standard error is neither a
// warning of the AWS SDK's, such as that a broken connection cannot be used
// again, nor the error that an invocation returned, which Lambda's runtime
// writes there: a panic has a stack trace.
func unexpected(line []byte) bool {
	warning := bytes.HasPrefix(line, []byte("SDK "))
	returned := bytes.Contains(line, []byte(`{"errorMessage":`)) && !bytes.Contains(line, []byte(`"stackTrace":`))
	return !warning && !returned
}

// functions are the three functions as real processes.
type functions struct {
	dice   dice
	faults Faults
	tally  *tally
	ledger *ledger

	api, deliver, sweeper *runtimeapi.Function

	mu      sync.Mutex
	calm    bool
	batches int
	again   sync.WaitGroup // batches that come a second time
}

// startFunctions returns the functions with that environment. Nothing runs
// before it is invoked.
func startFunctions(o Options, env []string, t *tally, l *ledger, secret *secrecy) (*functions, error) {
	f := &functions{dice: dice(o.Seed), faults: o.Faults, tally: t, ledger: l}
	for _, one := range []struct {
		name   string
		to     **runtimeapi.Function
		most   int
		time   time.Duration
		output func([]byte)
	}{
		{nameAPI, &f.api, o.Producers + 2, o.Timeout, nil},
		{nameDeliver, &f.deliver, 2 * o.Environments, o.Timeout, l.line}, // twice as many: for batches that come twice
		{nameSweeper, &f.sweeper, 1, o.Timeout + sweepMargin, nil},
	} {
		options := runtimeapi.Options{
			Name: one.name, Path: filepath.Join(o.Functions, one.name, "bootstrap"), Env: append(slices.Clone(env), "AWS_ACCESS_KEY_ID="+inTemplate[one.name]), Timeout: one.time, MaxConcurrency: one.most, MemoryMB: 256,
			// A function logs to its standard output. On the other is what it says
			// when it cannot start, or panics.
			Stderr: lines(func(line []byte) {
				secret.read(one.name, line)
				if unexpected(line) {
					l.wrongf("the %s function says: %.300s", one.name, bytes.TrimSpace(line))
				}
			}),
		}
		options.Stdout = lines(func(line []byte) {
			secret.read(one.name, line)
			if one.output != nil {
				one.output(line)
			}
		})
		if o.Skew > 0 {
			options.EnvOf = func(n int) []string {
				off := time.Duration((2*f.dice.roll("skew "+one.name, n) - 1) * float64(o.Skew))
				return []string{fmt.Sprintf("%s=%d", skewVariable, off.Milliseconds())}
			}
		}
		made, err := runtimeapi.New(options)
		if err != nil {
			return nil, errors.Join(err, f.close())
		}
		*one.to = made
	}
	return f, nil
}

// close ends all processes.
func (f *functions) close() error {
	f.again.Wait()
	for _, one := range []*runtimeapi.Function{f.api, f.deliver, f.sweeper} {
		if one != nil {
			one.Close()
		}
	}
	return nil
}

// setCalm lets batches be.
func (f *functions) setCalm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calm = true
}

// lines hands what is written on line by line; a line is written whole.
type lines func(line []byte)

// Write implements io.Writer.
func (l lines) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		l(line)
	}
	return len(b), nil
}

// errUnheard is what the mapping gets for a batch whose result is lost.
var errUnheard = errors.New("chaos: the result of the invocation was not heard")

// batch invokes the deliver function with a batch of messages. Some batches
// come twice, as SQS delivers at least once; of some the mapping does not hear
// that they were done.
func (f *functions) batch(ctx context.Context, payload []byte) ([]byte, error) {
	f.mu.Lock()
	n, calm := f.batches, f.calm
	f.batches++
	f.mu.Unlock()
	if !calm && f.dice.roll("twice", n) < f.faults.Twice {
		f.tally.add("batches delivered twice", "")
		f.again.Go(func() {
			timer := time.NewTimer(f.dice.around(time.Second, "again", n))
			defer timer.Stop()
			<-timer.C
			if _, err := f.once(context.WithoutCancel(ctx), payload); err != nil {
				return // like any other that fails: it is counted
			}
		})
	}
	answer, err := f.once(ctx, payload)
	if err == nil && !calm && f.dice.roll("unheard", n) < f.faults.Unheard {
		f.tally.add("batches not heard of", "")
		return nil, errUnheard
	}
	return answer, err
}

// once is one invocation. Of one that fails nobody knows how far its posts came.
func (f *functions) once(ctx context.Context, payload []byte) ([]byte, error) {
	answer, err := f.deliver.Invoke(ctx, payload)
	var failed *runtimeapi.FunctionError
	switch {
	case err == nil:
		return answer, nil
	case errors.As(err, &failed) && failed.Kind == runtimeapi.KindExit:
		f.tally.add("batches whose environment died", "")
	case errors.As(err, &failed) && failed.Kind == runtimeapi.KindTimeout:
		f.tally.add("batches that timed out", "")
	default: // throttled: it was not begun
		return nil, err
	}
	f.ledger.environmentDied(deliveriesOf(payload))
	return nil, err
}

// deliveriesOf returns the deliveries of a batch.
func deliveriesOf(payload []byte) (ids []string) {
	var batch struct {
		Records []struct {
			Body string `json:"body"`
		}
	}
	if json.Unmarshal(payload, &batch) != nil {
		return nil
	}
	for _, r := range batch.Records {
		if p, err := hook.Decode([]byte(r.Body)); err == nil && p.Delivery != nil {
			ids = append(ids, p.Delivery.ID())
		}
	}
	return ids
}

// strike kills and freezes environments until ctx ends.
func (f *functions) strike(ctx context.Context) {
	var strikes sync.WaitGroup
	for _, s := range []struct {
		what  string
		every time.Duration
		do    func() bool
	}{
		{"environments killed: " + nameDeliver, f.faults.KillDeliver, f.deliver.KillOne},
		{"environments killed: " + nameAPI, f.faults.KillAPI, f.api.KillOne},
		{"environments killed: " + nameSweeper, f.faults.KillSweeper, f.sweeper.KillOne},
		{"environments frozen: " + nameDeliver, f.faults.Freeze, f.deliver.FreezeOne},
	} {
		if s.every == 0 {
			continue
		}
		strikes.Go(func() {
			what, whom, _ := strings.Cut(s.what, ": ")
			for n := 0; wait(ctx, f.dice.around(s.every, s.what, n)); n++ {
				if s.do() {
					f.tally.add(what, whom)
				}
			}
		})
	}
	strikes.Wait()
}

// wait waits; false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
