package simulate

import (
	"math/rand/v2"
	"time"

	"posthorn/internal/deliver/breaker"
	"posthorn/internal/hook"
)

// Flaky says what a breaker does to an endpoint that works, and fails a share of
// its attempts by chance, each by itself: how often in an hour it opens, and what
// share of the time it keeps deliveries waiting. rate is attempts a second, evenly
// spread, of which those are not made while it is open.
func Flaky(c breaker.Config, failing, rate float64, hours int, seed uint64) (opensAnHour, waiting float64) {
	dice := rand.New(rand.NewPCG(seed, 0))
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end := now.Add(time.Duration(hours) * time.Hour)
	var (
		state  hook.EndpointState
		opens  int
		waited time.Duration
	)
	between := time.Duration(float64(time.Second) / rate)
	for ; now.Before(end); now = now.Add(between) {
		gate, _ := breaker.Look(state, now)
		if gate == breaker.Wait {
			waited += between
			continue
		}
		failed := dice.Float64() < failing
		if !failed && breaker.Quiet(state) {
			continue
		}
		var change breaker.Change
		if state, change = breaker.Record(c, state, breaker.Attempt{At: now, Failed: failed, Probe: gate == breaker.Probe}); change == breaker.Opened {
			opens++
		}
	}
	return float64(opens) / float64(hours), waited.Hours() / float64(hours)
}
