package chaos

import (
	"errors"
	"fmt"
	"time"

	"posthorn/internal/permit"
)

// Options say what a run does. Start from Full or Short.
type Options struct {
	Seed      uint64
	Events    int // that are posted
	Endpoints int
	Producers int // that post at the same time

	Environments int           // of the deliver function at most; the API has one for each producer
	Timeout      time.Duration // of the functions
	Visibility   time.Duration // timeout of the queue
	Skew         time.Duration // clocks of environments are up to so far off, either way; 0: none is

	Faults Faults
	// Longest is how long the run may take until everything is delivered or
	// dead.
	Longest time.Duration
	// Functions is the folder of the functions, as Build makes it.
	Functions string
	// Policies are what the template lets the functions do: a call that is not
	// allowed is refused, and the books do not balance. Nil: everything is allowed.
	Policies *permit.Policies
	// Progress is told how far the run has come; nil: nobody is.
	Progress func(Progress)
}

// Faults say how much goes wrong. Shares are of all calls, or batches; times
// are the mean between two.
type Faults struct {
	Throttled, Failed, Lost float64 // of the AWS calls: refused, failed, applied with the answer lost
	Whole                   float64 // of those: that fail with all retries the SDK makes
	Slow, Late              float64 // of the AWS calls: up to a second, until the caller gives up

	OutageEvery, OutageFor time.Duration // of one service; 0: none

	KillDeliver, KillAPI, KillSweeper, Freeze time.Duration // of environments; 0: none

	Twice, Unheard float64 // of the batches: delivered twice, finished but not heard of

	Operate time.Duration // on an endpoint: now and then its secret is rotated
	Pauses  bool          // endpoints are paused and resumed, too: a resume looks again for a minute
}

// Full is a run of some minutes.
func Full() Options {
	return Options{
		Events: 20_000, Endpoints: 50, Producers: 24,
		Environments: 20, Timeout: 12 * time.Second, Visibility: 15 * time.Second, Skew: 1500 * time.Millisecond,
		Faults: Faults{
			Throttled: 0.02, Failed: 0.01, Lost: 0.01, Whole: 0.15, Slow: 0.01, Late: 0.0005,
			OutageEvery: 25 * time.Second, OutageFor: 2 * time.Second,
			KillDeliver: time.Second, KillAPI: 4 * time.Second, KillSweeper: 15 * time.Second, Freeze: 20 * time.Second,
			Twice: 0.02, Unheard: 0.005, Operate: 3 * time.Second, Pauses: true,
		},
		Longest: 20 * time.Minute,
	}
}

// Middle is a run of two minutes.
func Middle() Options {
	o := Full()
	o.Events, o.Endpoints, o.Producers, o.Environments = 2000, 20, 12, 10
	o.Faults.OutageEvery, o.Faults.Freeze = 10*time.Second, 10*time.Second
	o.Longest = 5 * time.Minute
	return o
}

// Short is a run of half a minute. The queue's visibility timeout is below the
// functions' timeout, which an account would refuse: what a killed environment
// had comes back as soon.
func Short() Options {
	o := Full()
	o.Events, o.Endpoints, o.Producers, o.Environments = 300, 12, 6, 4
	o.Visibility, o.Skew = 3*time.Second, 0
	o.Faults.Throttled, o.Faults.Failed, o.Faults.Lost, o.Faults.Late = 0.02, 0.01, 0.01, 0
	o.Faults.OutageEvery, o.Faults.Freeze, o.Faults.KillSweeper = 0, 0, 0
	o.Faults.KillDeliver, o.Faults.KillAPI = 400*time.Millisecond, 700*time.Millisecond
	o.Faults.Operate, o.Faults.Pauses = time.Second, false
	o.Longest = 2 * time.Minute
	return o
}

// Check says what is wrong with the options.
func (o Options) Check() error {
	switch {
	case o.Events < 1 || o.Events > 1_000_000:
		return errors.New("events: must be 1 to 1000000")
	case o.Endpoints < 4 || o.Endpoints > 100:
		return errors.New("endpoints: must be 4 to 100")
	case o.Skew < 0 || o.Skew > 2*time.Second:
		return fmt.Errorf("skew: must be 0 to 2s: a function that is off by more does not know when its time is over")
	}
	return nil
}

// Progress is how far a run has come.
type Progress struct {
	Elapsed  time.Duration
	Accepted int // events
	Arrived  int // posts
	Waiting  int // messages in the queue
	Calm     bool
}
