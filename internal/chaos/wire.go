package chaos

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"posthorn/internal/faultwire"
)

// awsFaults stands between the functions and AWS.
type awsFaults struct {
	dice   dice
	faults Faults
	tally  *tally

	mu    sync.Mutex
	calm  bool
	down  string                    // the service that is out; empty: none
	calls map[string]int            // by operation
	whole map[string]faultwire.Mode // calls that fail with all their retries, so that their caller sees it
}

func newAWSFaults(o Options, t *tally) *awsFaults {
	return &awsFaults{dice: dice(o.Seed), faults: o.Faults, tally: t, calls: map[string]int{}, whole: map[string]faultwire.Mode{}}
}

// service is services with faults.
func (w *awsFaults) service(services http.Handler) http.Handler {
	return faultwire.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if d := w.delay(); d > 0 {
			timer := time.NewTimer(d)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
				return
			}
		}
		services.ServeHTTP(rw, r)
	}), w.how)
}

// setCalm lets all calls be, or not.
func (w *awsFaults) setCalm(calm bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calm, w.down = calm, ""
}

// setDown puts a service out; empty: none.
func (w *awsFaults) setDown(service string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.calm {
		w.down = service
	}
}

// services are what can be out.
var services = []string{"DynamoDB", "SQS", "KMS"}

// serviceOf names the service of an operation.
func serviceOf(operation string) string {
	switch {
	case operation == "Decrypt" || operation == "GenerateDataKey":
		return "KMS"
	case strings.Contains(operation, "Message") || strings.Contains(operation, "Queue"):
		return "SQS"
	default:
		return "DynamoDB"
	}
}

// how says what becomes of the next call of an operation.
func (w *awsFaults) how(operation, call string) (faultwire.Mode, bool) {
	service := serviceOf(operation)
	w.tally.add("AWS calls", service)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calm {
		return 0, false
	}
	if mode, retry := w.whole[call]; retry {
		return mode, true
	}
	n := w.calls[operation]
	w.calls[operation]++
	if w.down == service && w.dice.roll("outage "+operation, n) < 0.9 {
		w.tally.add("AWS calls in an outage", service)
		return faultwire.FailBefore, true
	}
	luck := w.dice.roll("call "+operation, n)
	for _, f := range []struct {
		share float64
		mode  faultwire.Mode
		name  string
	}{
		{w.faults.Throttled, faultwire.Throttle, "AWS calls throttled"},
		{w.faults.Failed, faultwire.FailBefore, "AWS calls failed"},
		{w.faults.Lost, faultwire.LoseAnswer, "AWS answers lost"},
		{w.faults.Late, faultwire.AnswerLate, "AWS calls that hung"},
	} {
		if luck -= f.share; luck < 0 {
			w.tally.add(f.name, service)
			if call != "" && w.dice.roll("whole "+operation, n) < w.faults.Whole {
				w.tally.add("AWS calls that failed with all retries", service)
				w.whole[call] = f.mode
			}
			return f.mode, true
		}
	}
	return 0, false
}

// delay is how much later than usual a call is answered.
func (w *awsFaults) delay() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calm {
		return 0
	}
	n := w.calls["delay"]
	w.calls["delay"]++
	if w.dice.roll("slow", n) >= w.faults.Slow {
		return 0
	}
	w.tally.add("AWS calls slow", "")
	return w.dice.around(500*time.Millisecond, "how slow", n)
}

// tally counts what was done, by what and by to whom.
type tally struct {
	mu     sync.Mutex
	counts map[string]map[string]int
}

func newTally() *tally { return &tally{counts: map[string]map[string]int{}} }

func (t *tally) add(what, whom string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts[what] == nil {
		t.counts[what] = map[string]int{}
	}
	t.counts[what][whom]++
}
