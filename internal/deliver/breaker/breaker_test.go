package breaker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"posthorn/internal/hook"
)

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return start.Add(d) }

// strict is what these tests count by: 20 attempts in a minute.
var strict = Config{
	Window: time.Minute, MinAttempts: 20, FailureRatio: 0.5, OpenFor: 30 * time.Second, MaxOpenFor: 5 * time.Minute,
	DisableAfter: 120 * time.Hour,
}

// after records attempts one after the other and returns what changed last.
func after(s hook.EndpointState, attempts ...Attempt) (hook.EndpointState, Change) {
	var c Change
	for _, a := range attempts {
		s, c = Record(strict, s, a)
	}
	return s, c
}

// What docs/scale.md rests on: ten failures in a row open it even where they are
// half a minute apart, as with endpoints that hang and wait for each other.
func TestByDefaultTenFailuresInFiveMinutesOpenIt(t *testing.T) {
	t.Parallel()
	s, c := hook.EndpointState{}, None
	for n := range 10 {
		require.Equal(t, None, c)
		s, c = Record(Default(), s, Attempt{At: at(time.Duration(n) * 33 * time.Second), Failed: true})
	}
	require.Equal(t, Opened, c)
	require.Equal(t, at(9*33*time.Second+30*time.Second), s.OpenUntil)
}

func failures(n int, from time.Duration) []Attempt {
	all := make([]Attempt, n)
	for i := range all {
		all[i] = Attempt{At: at(from + time.Duration(i)*time.Second), Failed: true}
	}
	return all
}

func TestTheBreakerOpensOnAShareOfFailuresAndAMinimumOfAttempts(t *testing.T) {
	t.Parallel()
	s, c := after(hook.EndpointState{}, failures(19, 0)...)
	require.Equal(t, None, c)
	g, _ := Look(s, at(20*time.Second))
	require.Equal(t, Pass, g, "too few attempts")

	s, c = after(s, Attempt{At: at(19 * time.Second), Failed: true})
	require.Equal(t, Opened, c)
	g, until := Look(s, at(20*time.Second))
	require.Equal(t, Wait, g)
	require.Equal(t, at(19*time.Second+30*time.Second), until)
}

func TestSuccessesWithinTheWindowCountAgainstOpening(t *testing.T) {
	t.Parallel()
	s := hook.EndpointState{}
	for i := range 40 { // 11 failures to 29 successes
		var c Change
		s, c = Record(strict, s, Attempt{At: at(time.Duration(i) * time.Second), Failed: i%4 == 0})
		require.Equal(t, None, c, i)
	}
	require.Equal(t, 40, s.WindowAttempts)
	require.Equal(t, 10, s.WindowFailures)
}

func TestAWindowThatIsOverCountsNoMore(t *testing.T) {
	t.Parallel()
	s, _ := after(hook.EndpointState{}, failures(19, 0)...)
	s, c := after(s, Attempt{At: at(time.Minute), Failed: true})
	require.Equal(t, None, c, "a new window begins")
	require.Equal(t, 1, s.WindowAttempts)
	require.Equal(t, at(0), s.FailingSince, "the streak goes on")
}

func TestOneProbeAtATimeFindsOut(t *testing.T) {
	t.Parallel()
	s, c := after(hook.EndpointState{}, failures(20, 0)...)
	require.Equal(t, Opened, c)
	now := s.OpenUntil
	g, _ := Look(s, now)
	require.Equal(t, Probe, g)
	s = TakeProbe(s, now, 45*time.Second)
	g, until := Look(s, now)
	require.Equal(t, Wait, g, "somebody probes")
	require.Equal(t, now.Add(5*time.Second), until, "most probes are over by then")
	g, until = Look(s, now.Add(44*time.Second))
	require.Equal(t, Wait, g)
	require.Equal(t, now.Add(45*time.Second), until)
	g, _ = Look(s, until)
	require.Equal(t, Probe, g, "that probe is lost")

	closed, c := after(s, Attempt{At: now.Add(time.Second), Probe: true})
	require.Equal(t, Closed, c)
	require.True(t, Quiet(closed))
	g, _ = Look(closed, now.Add(time.Second))
	require.Equal(t, Pass, g)

	reopened, c := after(s, Attempt{At: now.Add(time.Second), Failed: true, Probe: true})
	require.Equal(t, Opened, c)
	require.Equal(t, now.Add(time.Second+time.Minute), reopened.OpenUntil, "twice as long")
	require.True(t, reopened.ProbeUntil.IsZero())
}

func TestItOpensForTwiceAsLongEachTimeUpToABound(t *testing.T) {
	t.Parallel()
	s, _ := after(hook.EndpointState{}, failures(20, 0)...)
	for _, want := range []time.Duration{60, 120, 240, 300, 300, 300} {
		now := s.OpenUntil
		var c Change
		s, c = Record(strict, TakeProbe(s, now, time.Minute), Attempt{At: now, Failed: true, Probe: true})
		require.Equal(t, Opened, c)
		require.Equal(t, want*time.Second, s.OpenUntil.Sub(now))
	}
}

// What was posted before it opened comes back while it is open: it neither
// closes it nor opens it for longer.
func TestWhatWasSeenBeforeTheEndpointWasResumedCountsNoMore(t *testing.T) {
	t.Parallel()
	s, _ := after(hook.EndpointState{Epoch: 3, Rev: 7, Mark: "m", NextSlot: at(time.Hour)}, failures(20, 0)...)
	require.Equal(t, s, In(s, 3))
	require.Equal(t, s, In(s, 2), "of one who has not heard of the resume yet")
	require.Equal(t, hook.EndpointState{Epoch: 5, Rev: 7, Mark: "m", NextSlot: at(time.Hour)}, In(s, 5))
}

func TestOnlyAProbeMovesAnOpenBreaker(t *testing.T) {
	t.Parallel()
	s, _ := after(hook.EndpointState{}, failures(20, 0)...)
	late, c := after(s, Attempt{At: at(25 * time.Second)})
	require.Equal(t, None, c)
	require.Equal(t, s.OpenUntil, late.OpenUntil)
	require.True(t, late.FailingSince.IsZero(), "yet it was no failure")
	late, c = after(s, Attempt{At: at(25 * time.Second), Failed: true})
	require.Equal(t, None, c)
	require.Equal(t, s.OpenUntil, late.OpenUntil)
	require.Equal(t, 1, late.Opened)
}

func TestASuccessAfterAQuietWindowEndsTheState(t *testing.T) {
	t.Parallel()
	s, _ := after(hook.EndpointState{Rev: 3, Mark: "m", NextSlot: at(time.Hour)}, failures(3, 0)...)
	counted, _ := after(s, Attempt{At: at(61 * time.Second)})
	require.Equal(t, 1, counted.WindowAttempts, "a minute has not passed since the last failure")
	require.False(t, Quiet(counted))
	ended, _ := after(s, Attempt{At: at(62 * time.Second)})
	require.True(t, Quiet(ended))
	require.Equal(t, hook.EndpointState{Rev: 3, Mark: "m", NextSlot: at(time.Hour)}, ended, "what is not the breaker's stays")
}

func TestNothingButFailuresForDaysExhaustsAnEndpoint(t *testing.T) {
	t.Parallel()
	c := Default()
	s, _ := Record(c, hook.EndpointState{}, Attempt{At: at(0), Failed: true})
	require.False(t, Exhausted(c, s, at(119*time.Hour)))
	require.True(t, Exhausted(c, s, at(120*time.Hour)))
	s, _ = Record(c, s, Attempt{At: at(119 * time.Hour)})
	s, _ = Record(c, s, Attempt{At: at(121 * time.Hour), Failed: true})
	require.False(t, Exhausted(c, s, at(121*time.Hour)), "a success begins a new streak")
}

// Whatever happens: an open breaker lets nothing through but probes, one at a
// time; it is never open for longer than the bound; and a probe that succeeds
// leaves nothing behind.
func TestTheBreakerUnderAnyAttempts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			Window: time.Minute, MinAttempts: rapid.IntRange(1, 5).Draw(t, "min"), FailureRatio: rapid.Float64Range(0.1, 1).Draw(t, "ratio"),
			OpenFor: 10 * time.Second, MaxOpenFor: time.Minute, DisableAfter: time.Hour,
		}
		s, now := hook.EndpointState{}, start
		probing := time.Time{} // until when a probe is under way
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "wait")) * time.Second)
			failed := rapid.Bool().Draw(t, "failed")
			g, until := Look(s, now)
			switch g {
			case Wait:
				require.True(t, until.After(now))
				require.LessOrEqual(t, until.Sub(now), c.MaxOpenFor)
			case Probe:
				require.False(t, probing.After(now), "two probes at once")
				s = TakeProbe(s, now, 30*time.Second)
				probing = now.Add(30 * time.Second)
				if rapid.Bool().Draw(t, "lost") {
					continue
				}
				var change Change
				s, change = Record(c, s, Attempt{At: now, Failed: failed, Probe: true})
				probing = time.Time{}
				if failed {
					require.Equal(t, Opened, change)
					require.True(t, s.OpenUntil.After(now))
				} else {
					require.Equal(t, Closed, change)
					require.True(t, Quiet(s))
				}
			case Pass:
				before := s
				var change Change
				s, change = Record(c, s, Attempt{At: now, Failed: failed})
				if change == Opened {
					require.True(t, failed)
					require.GreaterOrEqual(t, before.WindowAttempts+1, c.MinAttempts)
				}
			}
			require.Equal(t, s.OpenUntil.IsZero(), s.Opened == 0)
		}
	})
}
