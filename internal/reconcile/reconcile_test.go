package reconcile_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
	"posthorn/internal/reconcile"
)

// disaster is a world in which one message of every kind was lost, beside
// everything that is as it should be.
type disaster struct {
	*world
	lost map[reconcile.Reason][]string // ids
}

func newDisaster(t *testing.T) *disaster {
	w := &disaster{newWorld(t), map[reconcile.Reason][]string{}}
	lose := func(reason reconcile.Reason, id string) { w.lost[reason] = append(w.lost[reason], id) }
	active, paused, gone := w.endpoint(hook.EndpointActive), w.endpoint(hook.EndpointPaused), w.gone()
	failing, limited := w.endpoint(hook.EndpointActive), w.endpoint(hook.EndpointActive)
	w.states[failing.ID] = hook.EndpointState{Epoch: failing.Epoch, OpenUntil: noon.Add(-time.Minute)}
	w.states[limited.ID] = hook.EndpointState{NextSlot: noon.Add(10 * time.Hour)}

	// Nothing recorded, whatever has become of the endpoint.
	e := w.event(2*time.Hour, active, paused, gone, failing, limited)
	for _, to := range []*hook.Endpoint{active, paused, gone} {
		lose(reconcile.Unrecorded, e.Ref(to.ID).ID())
	}
	lose(reconcile.Unrecorded, w.event(29*day, active).Ref(active.ID).ID())
	delivered := w.event(3*time.Hour, active)
	w.rows[delivered.Ref(active.ID)] = &hook.Delivery{Ref: delivered.Ref(active.ID), Status: hook.Delivered, CreatedAt: delivered.CreatedAt, Rev: 1}
	w.event(30*time.Minute, active, paused, gone)

	// Rows, of events that did not match.
	for _, to := range []*hook.Endpoint{active, paused, gone} {
		lose(reconcile.Requeued, w.row(5*day, to, hook.Delivery{Status: hook.Queued, Gen: 1, RequeuedAt: noon.Add(-2 * time.Hour)}).ID())
		lose(reconcile.Overdue, w.row(5*day, to, hook.Delivery{Status: hook.Retrying, Hop: 4, Attempts: 2, GenAttempts: 2, NextAttemptAt: noon.Add(-2 * time.Hour)}).ID())
		lose(reconcile.Unburied, w.row(5*day, to, hook.Delivery{Status: hook.Dead, CompletedAt: noon.Add(-2 * time.Hour)}).ID())
	}
	lose(reconcile.Unreleased, w.row(100*day, active, hook.Delivery{Status: hook.Held, Attempts: 1, GenAttempts: 1}).ID())
	lose(reconcile.Uncancelled, w.row(100*day, gone, hook.Delivery{Status: hook.Held}).ID())
	w.row(100*day, paused, hook.Delivery{Status: hook.Held})
	w.row(5*day, active, hook.Delivery{Status: hook.Queued, RequeuedAt: noon.Add(-time.Minute)})
	w.row(5*day, active, hook.Delivery{Status: hook.Retrying, NextAttemptAt: noon.Add(day)})
	w.row(5*day, active, hook.Delivery{Status: hook.Dead, CompletedAt: noon.Add(-2 * time.Hour), DeadLetterID: "dlq_1"})
	w.row(20*day, active, hook.Delivery{Status: hook.Dead, CompletedAt: noon.Add(-8 * day)}) // its entry would have expired
	w.row(5*day, failing, hook.Delivery{Status: hook.Retrying, NextAttemptAt: noon.Add(-2 * time.Hour)})

	// Jobs of every kind.
	for _, kind := range []hook.JobKind{hook.JobFanOut, hook.JobResume, hook.JobCancel, hook.JobRecover, hook.JobReplay} {
		lose(reconcile.Stopped, w.job(hook.Job{Kind: kind, Status: hook.JobRunning, Hop: 3, MessageID: "lost"}, 2*time.Hour).ID)
		w.job(hook.Job{Kind: kind, Status: hook.JobRunning}, time.Minute)
		w.job(hook.Job{Kind: kind, Status: hook.JobDone}, 2*time.Hour)
	}
	return w
}

// total is how many there are for each reason.
func (w *disaster) total() map[reconcile.Reason]int {
	total := map[reconcile.Reason]int{}
	for reason, ids := range w.lost {
		total[reason] = len(ids)
	}
	return total
}

func (w *disaster) lostDeliveries() []string {
	var all []string
	for reason, ids := range w.lost {
		if reason != reconcile.Stopped {
			all = append(all, ids...)
		}
	}
	slices.Sort(all)
	return all
}

func TestWhatIsLostIsSentAgainAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newDisaster(t)
	got := w.runs()
	require.Equal(t, w.total(), got.SentAgain)
	require.Len(t, got.SentAgain, len(reconcile.Reasons()), "every kind of lost message is in this test")
	require.Equal(t, w.lostDeliveries(), w.sent())
	require.Equal(t, len(w.deliveries)+len(w.controls), got.Total())
	require.Equal(t, 3, got.Waiting, "two of the event, and one that is overdue")
	require.Zero(t, got.Failed)
	require.Equal(t, 10, got.Jobs)
	require.Equal(t, 1, got.Tenants)
	require.Equal(t, 16, got.Recorded)

	for _, c := range w.controls {
		require.Contains(t, w.lost[reconcile.Stopped], c.JobID)
		require.Equal(t, &hook.Control{Tenant: tenant, JobID: c.JobID, Hop: 4, SentAt: noon}, c, "the hop after the one that was made last")
	}
	require.Len(t, w.controls, 5)
	for _, m := range w.deliveries {
		row := w.rows[m.Ref]
		switch {
		case slices.Contains(w.lost[reconcile.Unrecorded], m.ID()):
			require.Zero(t, m.Gen+m.Hop, "as it was sent at first")
			require.Equal(t, hook.Queued, row.Status)
			require.Empty(t, row.MessageID, "the message that seems lost is as good")
			require.Equal(t, noon, row.RequeuedAt)
		case slices.Contains(w.lost[reconcile.Unreleased], m.ID()):
			require.Equal(t, hook.Retrying, row.Status)
			require.Equal(t, 1, row.Hop)
		case row.Status == hook.Queued, row.Status == hook.Retrying:
			require.Equal(t, row.Hop+1, m.Hop)
			require.Equal(t, row.Gen, m.Gen, "within its budget")
			require.Equal(t, "lost", row.MessageID)
			require.Equal(t, noon, row.RequeuedAt)
			require.EqualValues(t, 4, row.Rev)
		default:
			require.Equal(t, row.Hop+1, m.Hop)
			require.EqualValues(t, 3, row.Rev, "the rest is for who takes the message")
		}
	}
	require.Empty(t, w.shown())
}

func TestASecondRunLeavesAloneWhatWasJustSent(t *testing.T) {
	t.Parallel()
	w := newDisaster(t)
	w.runs()
	messages := len(w.deliveries)
	w.now = noon.Add(5 * time.Minute)
	again := w.runs()
	// Nothing of these can be noted in the row; they are dropped when they come.
	require.Equal(t, map[reconcile.Reason]int{reconcile.Uncancelled: 1, reconcile.Unburied: 3, reconcile.Stopped: 5}, again.SentAgain)
	require.Len(t, w.deliveries, messages+4)

	// After as much time again they are lost once more.
	w.deliveries = nil
	w.now = noon.Add(2 * time.Hour)
	w.runs()
	require.Subset(t, w.sent(), w.lostDeliveries())
}

func TestADryRunCountsTheSameAndSendsNothing(t *testing.T) {
	t.Parallel()
	w := newDisaster(t)
	dry := w.runs(func(o *reconcile.Options) { o.DryRun = true })
	require.Empty(t, w.deliveries)
	require.Empty(t, w.controls)
	require.Equal(t, w.runs(), dry)
}

func TestOnlyWhatIsAskedForIsLookedAt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(o *reconcile.Options)
		want   int // deliveries and jobs
	}{
		"since four days ago":     {func(o *reconcile.Options) { o.Since = noon.Add(-4 * day) }, 3 + 5},
		"until four days ago":     {func(o *reconcile.Options) { o.Until = noon.Add(-4 * day) }, 1 + 9 + 2},
		"between":                 {func(o *reconcile.Options) { o.Since, o.Until = noon.Add(-6*day), noon.Add(-4*day) }, 9},
		"another tenant":          {func(o *reconcile.Options) { o.Tenant = "other" }, 0},
		"nothing for three hours": {func(o *reconcile.Options) { o.OlderThan = 3 * time.Hour }, 1 + 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newDisaster(t)
			got := w.runs(c.change)
			require.Equal(t, c.want, got.Total(), got.SentAgain)
		})
	}
}

func TestAllTenantsThatAreKnownAreLookedAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keys = []string{"acme", "bank"}
	for _, of := range []string{"acme", "bank", tenant, "unknown"} {
		e := w.endpoint(hook.EndpointActive)
		e.Tenant = of
		w.event(2*time.Hour, e).Tenant = of
	}
	var places []reconcile.Progress
	progress := func(o *reconcile.Options) { o.Progress = func(p reconcile.Progress) { places = append(places, p) } }
	got := w.runs(progress)
	require.Equal(t, 3, got.Tenants)
	require.Equal(t, 3, got.Total(), "nobody can know of the fourth")
	require.Equal(t, tenant, places[0].Tenant)
	require.Zero(t, places[0].Share)
	require.InDelta(t, 1, places[len(places)-1].Share, 0)
	require.Equal(t, got, places[len(places)-1].Result)
	require.True(t, slices.IsSortedFunc(places, func(a, b reconcile.Progress) int {
		if a.Share < b.Share {
			return -1
		}
		return 0
	}))

	require.Equal(t, 1, w.runs(func(o *reconcile.Options) { o.Tenant = "unknown" }).Total(), "but it can be named")
	w.keys = []string{tenant}
	require.Equal(t, 1, w.runs().Tenants, "once")
}

// A job that fans an event out sends what it has not sent yet, and one that
// releases or cancels what is held does so: they are nudged, and nothing is
// done in their place.
func TestWhatARunningJobSeesToIsLeftToIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []*hook.Endpoint
	for range 250 {
		all = append(all, w.endpoint(hook.EndpointActive))
	}
	e := w.event(2*time.Hour, all...)
	fan := w.job(hook.Job{Kind: hook.JobFanOut, Status: hook.JobRunning, EventID: e.ID, Cursor: "170"}, 90*time.Minute)
	for i := range 169 { // of those that were sent to, one is lost
		w.rows[e.Ref(all[i].ID)] = &hook.Delivery{Ref: e.Ref(all[i].ID), Status: hook.Delivered, Rev: 1}
	}
	deleted := w.gone()
	w.row(2*time.Hour, deleted, hook.Delivery{Status: hook.Held})
	w.row(2*time.Hour, all[0], hook.Delivery{Status: hook.Held})
	w.row(2*time.Hour, all[1], hook.Delivery{Status: hook.Held})
	w.job(hook.Job{Kind: hook.JobCancel, Status: hook.JobRunning, EndpointID: deleted.ID}, time.Minute)
	w.job(hook.Job{Kind: hook.JobResume, Status: hook.JobRunning, EndpointID: all[0].ID, Epoch: 2}, time.Minute)
	w.job(hook.Job{Kind: hook.JobResume, Status: hook.JobRunning, EndpointID: all[1].ID, Epoch: 1}, time.Minute) // it will end, and release nothing

	got := w.runs()
	require.Equal(t, map[reconcile.Reason]int{reconcile.Unrecorded: 1, reconcile.Stopped: 1, reconcile.Unreleased: 1}, got.SentAgain)
	require.Equal(t, fan.ID, w.controls[0].JobID)
	require.Equal(t, 170, got.Deliveries)
	require.Contains(t, w.sent(), e.Ref(all[169].ID).ID())

	fan.Status = hook.JobFailed
	got = w.runs()
	require.Equal(t, 80, got.SentAgain[reconcile.Unrecorded], "nobody else sends them now")
	require.Equal(t, 250, got.Deliveries)
}

// An event that has a dead letter, or a delivery that is held, outlives the
// rows of its others: that there is no row proves nothing then.
func TestAnEventThatOutlivesTheRowsOfItsDeliveriesIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ago     time.Duration
		expires time.Duration // from now; 0: not while a delivery is held
		others  time.Duration // how long events are kept that nothing keeps; 0: there is none
		want    int
	}{
		"held, young":                   {2 * time.Hour, 0, 30 * day, 1},
		"held, old":                     {31 * day, 0, 30 * day, 0},
		"a dead letter, old":            {31 * day, 3 * day, 30 * day, 0},
		"held, kept for a shorter time": {8 * day, 0, 7 * day, 0},
		"held, kept for a shorter time, but young": {6 * day, 0, 7 * day, 1},
		"held, nothing else to go by":              {8 * day, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			to := w.endpoint(hook.EndpointActive)
			e := w.event(c.ago, to)
			e.ExpiresAt = time.Time{}
			if c.expires > 0 {
				e.ExpiresAt = noon.Add(c.expires)
			}
			if c.others > 0 {
				other := w.event(90*time.Minute, to)
				other.ExpiresAt = other.CreatedAt.Add(c.others)
				w.rows[other.Ref(to.ID)] = &hook.Delivery{Ref: other.Ref(to.ID), Status: hook.Delivered, Rev: 1}
			}
			require.Equal(t, c.want, w.runs().Total())
		})
	}
}

func TestManyEventsAndRowsAreLookedAtPageByPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	to, other := w.endpoint(hook.EndpointActive), w.endpoint(hook.EndpointActive)
	for i := range 1100 {
		e := w.event(2*time.Hour+time.Duration(i)*time.Minute, to, other)
		w.rows[e.Ref(to.ID)] = &hook.Delivery{Ref: e.Ref(to.ID), Status: hook.Retrying, Rev: 1, CreatedAt: e.CreatedAt}
	}
	for range 250 {
		w.job(hook.Job{Kind: hook.JobReplay, Status: hook.JobRunning}, 2*time.Hour)
	}
	var shares []float64
	got := w.runs(func(o *reconcile.Options) {
		o.Progress = func(p reconcile.Progress) { shares = append(shares, p.Share) }
	})
	require.Equal(t, map[reconcile.Reason]int{reconcile.Unrecorded: 1100, reconcile.Overdue: 1100, reconcile.Stopped: 250}, got.SentAgain)
	require.Equal(t, 1100, got.Events)
	require.Equal(t, 2200, got.Deliveries)
	require.Len(t, slices.Compact(w.sent()), 2200, "each once")
	require.Len(t, shares, 3)
	require.InDelta(t, 17.0/(30*24), shares[1], 0.01, "by the time that the first page spans")
}

func TestEverybodysLimitIsWaitedForToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.event(2*time.Hour, w.endpoint(hook.EndpointActive), w.endpoint(hook.EndpointPaused), w.gone())
	w.states[""] = hook.EndpointState{NextSlot: noon.Add(time.Hour)}
	got := w.runs()
	require.Equal(t, 1, got.Waiting)
	require.Equal(t, 2, got.Total(), "who is paused or gone waits for no limit")
}

// A run dies at every call there is, before it and after it. The next one makes
// good for it, and at worst one message more was sent.
func TestARunThatDiesAnywhereIsMadeGoodByTheNext(t *testing.T) {
	t.Parallel()
	whole := newDisaster(t)
	whole.runs()
	for n := 1; n <= whole.calls; n++ {
		for _, how := range []half{before, after} {
			w := newDisaster(t)
			w.dieAt, w.how = n, how
			_, err := w.run()
			died := w.dead
			w.dead, w.dieAt = false, 0
			if err == nil && died {
				require.NotEmpty(t, w.shown(), "a run that is cut off says so")
			}
			w.now = noon.Add(time.Minute)
			w.runs()
			times := map[string]int{}
			for _, id := range w.sent() {
				times[id]++
			}
			for _, c := range w.controls {
				times[c.JobID]++
			}
			require.ElementsMatch(t, slices.Collect(maps.Keys(times)), append(w.lostDeliveries(), w.lost[reconcile.Stopped]...), "death %d at call %d", how, n)
			for id, sent := range times {
				require.LessOrEqual(t, sent, 2, "%s: death %d at call %d", id, how, n)
			}
		}
	}
}

// What cannot be sent is counted and logged, and the others are sent.
func TestWhatCannotBeSentHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	w := newDisaster(t)
	unlucky := w.lost[reconcile.Overdue][1]
	w.refuses = func(operation, id string) error {
		if operation == "send" && (id == unlucky || id == w.lost[reconcile.Stopped][0]) {
			return errFault
		}
		return nil
	}
	got := w.runs()
	require.Equal(t, 2, got.Failed)
	want := w.total()
	want[reconcile.Overdue]--
	want[reconcile.Stopped]--
	require.Equal(t, want, got.SentAgain)
	require.Equal(t, 2, strings.Count(w.shown(), "not sent again"))
	require.Contains(t, w.shown(), unlucky)

	w.refuses = func(string, string) error { return nil }
	w.deliveries = nil
	w.runs()
	require.Contains(t, w.sent(), unlucky, "at once, not in an hour: nothing was noted")
}

// A note that cannot be written leaves the delivery on its way.
func TestWhatIsSentCountsAsSentWhetherItIsNotedOrNot(t *testing.T) {
	t.Parallel()
	w := newDisaster(t)
	w.refuses = func(operation, _ string) error {
		if operation == "save" {
			return errFault
		}
		return nil
	}
	got := w.runs()
	want := w.total()
	delete(want, reconcile.Unreleased) // it has to be moved out of what is held
	require.Equal(t, want, got.SentAgain)
	require.Equal(t, 1, got.Failed)
	require.Equal(t, 10, strings.Count(w.shown(), "not noted"))
}

// What has been recorded meanwhile stays.
func TestARecordThatIsMadeMeanwhileWins(t *testing.T) {
	t.Parallel()
	w := newDisaster(t)
	w.refuses = func(operation, id string) error {
		if operation != "send" || strings.HasPrefix(id, hook.JobPrefix) {
			return nil
		}
		ids := strings.Split(id, "_")
		ref := hook.Ref{Tenant: tenant, EventID: hook.EventPrefix + ids[1], EndpointID: hook.EndpointPrefix + ids[2]}
		row, rev := w.rows[ref], int64(0)
		if row != nil {
			rev = row.Rev
		}
		w.rows[ref] = &hook.Delivery{Ref: ref, Status: hook.Delivered, Rev: rev + 1}
		return nil
	}
	got := w.runs()
	require.Equal(t, w.total(), got.SentAgain)
	for _, m := range w.deliveries {
		require.Equal(t, hook.Delivered, w.rows[m.Ref].Status)
	}
	require.Empty(t, w.shown())
}

func TestARunEndsWhenNothingWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	to := w.endpoint(hook.EndpointActive)
	for range 500 {
		w.event(2*time.Hour, to)
	}
	w.refuses = func(operation, _ string) error {
		if operation == "send" {
			return errFault
		}
		return nil
	}
	got, err := w.run()
	require.ErrorIs(t, err, errFault)
	require.ErrorContains(t, err, "10 in a row could not be sent again")
	require.Less(t, got.Failed, 30)
	require.Zero(t, got.Total())
}

func TestARunGoesOnWhileSomethingWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 60 {
		w.job(hook.Job{Kind: hook.JobReplay, Status: hook.JobRunning}, 2*time.Hour)
	}
	sends := 0
	w.refuses = func(operation, _ string) error {
		if operation == "send" {
			if sends++; sends%2 == 0 {
				return errFault
			}
		}
		return nil
	}
	got := w.runs()
	require.Equal(t, 30, got.Failed)
	require.Equal(t, 30, got.Total())
}

func TestWhatCannotBeReadEndsTheRun(t *testing.T) {
	t.Parallel()
	for operation, says := range map[string]string{
		"ready": "reconcile: ", "tenants": "reconcile: ", "endpoints": "reconcile tenant default: read endpoints", "jobs": "list jobs", "by state": "list what is",
		"events": "reconcile tenant default: ", "targets": "read targets", "rows": "read rows", "state": "read state",
	} {
		w := newDisaster(t)
		w.refuses = func(o, _ string) error {
			if o == operation {
				return errFault
			}
			return nil
		}
		_, err := w.run()
		require.ErrorIs(t, err, errFault, operation)
		require.ErrorContains(t, err, says)
	}
}

func TestARunThatIsStoppedSaysHowFarItCame(t *testing.T) {
	t.Parallel()
	w := newDisaster(t)
	ctx, stop := context.WithCancel(t.Context())
	sent := 0
	w.refuses = func(operation, _ string) error {
		if operation == "send" {
			if sent++; sent == 3 {
				stop()
				return ctx.Err()
			}
		}
		return nil
	}
	got, err := w.r.Run(ctx, reconcile.Options{OlderThan: time.Hour})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 2, got.Total())
	require.Zero(t, got.Failed, "a stop is no failure")
}

func TestWhatMayBeWaitingIsNotAskedFor(t *testing.T) {
	t.Parallel()
	w := newDisaster(t)
	_, err := w.run(func(o *reconcile.Options) { o.OlderThan = reconcile.MinOlderThan - 1 })
	require.ErrorContains(t, err, "younger than 30m0s")
	require.Zero(t, w.calls)
	w.runs(func(o *reconcile.Options) { o.OlderThan = reconcile.MinOlderThan })
}
