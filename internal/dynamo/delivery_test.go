package dynamo_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
)

// asStored is a delivery as it comes back: times are kept in milliseconds, and
// expiry in whole seconds, never sooner.
func asStored(d *hook.Delivery) *hook.Delivery {
	out := *d
	for _, at := range []*time.Time{&out.NextAttemptAt, &out.CreatedAt, &out.CompletedAt, &out.First.At} {
		if !at.IsZero() {
			*at = at.UTC().Truncate(time.Millisecond)
		}
	}
	out.First.Duration = out.First.Duration.Truncate(time.Microsecond)
	if e := out.ExpiresAt; !e.IsZero() {
		out.ExpiresAt = e.Add(time.Second - 1).UTC().Truncate(time.Second)
	}
	return &out
}

func TestDeliveriesComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	endpoint := w.endpointID()
	rapid.Check(t, func(rt *rapid.T) {
		d := w.delivery(endpoint, rapid.SampledFrom([]hook.Status{hook.Queued, hook.Retrying, hook.Delivered, hook.Dead, hook.Held, hook.Cancelled}).Draw(rt, "status")).Delivery
		counts := rapid.IntRange(0, 1000)
		d.Gen, d.Hop = counts.Draw(rt, "gen"), counts.Draw(rt, "hop")
		d.Attempts, d.GenAttempts = 2+counts.Draw(rt, "attempts"), counts.Draw(rt, "attempts of the generation")
		d.MessageID = rapid.SampledFrom([]string{"", "m-1"}).Draw(rt, "message")
		d.FailureReason, d.DeadLetterID = rapid.String().Draw(rt, "reason"), rapid.SampledFrom([]string{"", "dlq_01JCXZ5T5V8Q0R9A1B2C3D4E5F"}).Draw(rt, "dead letter")
		d.First.ResponseBody, d.First.StatusCode = rapid.StringN(0, 1024, 1024).Draw(rt, "body"), rapid.IntRange(0, 599).Draw(rt, "code")
		d.First.Duration = time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(rt, "duration"))
		d.NextAttemptAt = epoch.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(rt, "next")))
		if rapid.Bool().Draw(rt, "sent again") {
			d.RequeuedAt = epoch.Add(time.Duration(rapid.Int64Range(0, 3_600_000).Draw(rt, "requeued")) * time.Millisecond)
		}
		require.NoError(rt, w.SaveDelivery(w.ctx(), hook.DeliveryWrite{Delivery: d}))
		got, err := w.Deliveries(w.ctx(), []hook.Ref{d.Ref})
		require.NoError(rt, err)
		require.Equal(rt, asStored(d), got[0])
	})
}

func TestADeliveryWithoutAnAttemptComesBackAsItWent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	d := w.delivery(w.endpointID(), hook.Cancelled).Delivery
	d.Attempts, d.GenAttempts, d.LastAttemptID, d.First = 0, 0, "", hook.Attempt{}
	w.save(hook.DeliveryWrite{Delivery: d})
	require.Equal(t, asStored(d), w.row(d.Ref))
}

func TestRowsComeInTheOrderTheyWereAskedFor(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var refs []hook.Ref
	var want []*hook.Delivery
	for i := range 137 {
		dw := w.delivery(w.endpointID(), hook.Delivered)
		refs = append(refs, dw.Delivery.Ref)
		if i%3 == 0 {
			want = append(want, nil)
			continue
		}
		w.save(dw)
		want = append(want, asStored(dw.Delivery))
	}
	refs = append(refs, refs[1], refs[1]) // the same twice
	want = append(want, want[1], want[1])
	got, err := w.Deliveries(w.ctx(), refs)
	require.NoError(t, err)
	require.Equal(t, want, got)
	none, err := w.Deliveries(w.ctx(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestReadsOfRowsTravelTogether(t *testing.T) {
	t.Parallel()
	slowly(t, func(t *testing.T, w *world) {
		dw := w.delivery(w.endpointID(), hook.Delivered)
		w.save(dw)
		calls := make([]func(), 50)
		for i := range calls {
			refs := []hook.Ref{dw.Delivery.Ref, {Tenant: tenant, EventID: w.eventID(), EndpointID: w.endpointID()}}
			calls[i] = func() {
				rows, err := w.Deliveries(w.ctx(), refs)
				if err != nil || len(rows) != 2 || rows[0] == nil || rows[1] != nil {
					t.Errorf("%v, %v", rows, err)
				}
			}
		}
		together(calls...)
		require.LessOrEqual(t, w.faults.Calls("BatchGetItem"), 12)
	})
}

// A read that shares its row with another reader's must not share its memory.
func TestReadersDoNotShareRows(t *testing.T) {
	t.Parallel()
	w := setup(t)
	dw := w.delivery(w.endpointID(), hook.Delivered)
	w.save(dw)
	rows, err := w.Deliveries(w.ctx(), []hook.Ref{dw.Delivery.Ref, dw.Delivery.Ref})
	require.NoError(t, err)
	require.NotSame(t, rows[0], rows[1])
}

func TestAWriteMeetsItsRevisionOrIsAConflict(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.delivery(w.endpointID(), hook.Retrying)
	w.save(first)

	rival := first
	d := *first.Delivery
	d.LastAttemptID = "another's"
	rival.Delivery = &d
	require.ErrorIs(t, w.SaveDelivery(w.ctx(), rival), hook.ErrConflict, "there is a row")
	require.Equal(t, asStored(first.Delivery), w.row(d.Ref))

	second := again(first.Delivery, hook.Retrying, w.clock())
	w.save(second)
	late := again(first.Delivery, hook.Delivered, w.clock())
	late.Delivery.LastAttemptID, late.Attempt.ID = "another's", "another's"
	require.ErrorIs(t, w.SaveDelivery(w.ctx(), late), hook.ErrConflict, "the row has moved on")
	require.ErrorIs(t, w.SaveDelivery(w.ctx(), hook.DeliveryWrite{Delivery: again(second.Delivery, hook.Dead, w.clock()).Delivery, Attempt: nil}), nil)
	ahead := again(again(again(second.Delivery, hook.Dead, w.clock()).Delivery, hook.Dead, w.clock()).Delivery, hook.Dead, w.clock())
	require.ErrorIs(t, w.SaveDelivery(w.ctx(), ahead), hook.ErrConflict, "the row is not there yet")

	gone := again(w.delivery(w.endpointID(), hook.Retrying).Delivery, hook.Dead, w.clock())
	require.ErrorIs(t, w.SaveDelivery(w.ctx(), gone), hook.ErrConflict, "there is no row")
}

// All or nothing: a conflict leaves nothing of what goes along either.
func TestAConflictLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.delivery(w.endpointID(), hook.Dead)
	first.AddDeadLetter = w.deadLetter(first.Delivery.Ref)
	first.Delivery.DeadLetterID = first.AddDeadLetter.ID
	w.save(first)
	before := w.items()
	late := again(first.Delivery, hook.Dead, w.clock())
	late.Delivery.Rev++
	late.DropDeadLetter, late.AddDeadLetter = first.AddDeadLetter.ID, w.deadLetter(first.Delivery.Ref)
	require.ErrorIs(t, w.SaveDelivery(w.ctx(), late), hook.ErrConflict)
	require.ElementsMatch(t, before, w.items())
}

func TestWhatBelongsToAWriteIsMadeWithIt(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.delivery(w.endpointID(), hook.Retrying)
	w.save(first)
	dead := again(first.Delivery, hook.Dead, w.clock())
	dead.AddDeadLetter = w.deadLetter(first.Delivery.Ref)
	dead.Delivery.DeadLetterID = dead.AddDeadLetter.ID
	w.save(dead)
	require.Equal(t, asStored(dead.Delivery), w.row(first.Delivery.Ref))
	got, err := w.DeadLetter(w.ctx(), tenant, dead.AddDeadLetter.ID)
	require.NoError(t, err)
	require.Equal(t, dead.AddDeadLetter, got)

	replaced := again(dead.Delivery, hook.Dead, w.clock())
	replaced.AddDeadLetter, replaced.DropDeadLetter = w.deadLetter(first.Delivery.Ref), dead.AddDeadLetter.ID
	w.save(replaced)
	_, err = w.DeadLetter(w.ctx(), tenant, dead.AddDeadLetter.ID)
	require.ErrorIs(t, err, hook.ErrNotFound)

	same := again(replaced.Delivery, hook.Dead, w.clock())
	same.AddDeadLetter, same.DropDeadLetter = replaced.AddDeadLetter, replaced.AddDeadLetter.ID
	w.save(same)
	_, err = w.DeadLetter(w.ctx(), tenant, same.AddDeadLetter.ID)
	require.NoError(t, err, "an entry that is dropped and added is there")

	delivered := again(same.Delivery, hook.Delivered, w.clock())
	delivered.DropDeadLetter = same.AddDeadLetter.ID
	w.save(delivered)
	_, err = w.DeadLetter(w.ctx(), tenant, same.AddDeadLetter.ID)
	require.ErrorIs(t, err, hook.ErrNotFound)
	gone := again(delivered.Delivery, hook.Delivered, w.clock())
	gone.DropDeadLetter = same.AddDeadLetter.ID
	w.save(gone)
}

func TestLaterAttemptsAreKeptNewestFirst(t *testing.T) {
	t.Parallel()
	w := setup(t)
	dw := w.delivery(w.endpointID(), hook.Retrying)
	w.save(dw)
	none, err := w.Attempts(w.ctx(), dw.Delivery.Ref, 20)
	require.NoError(t, err)
	require.Empty(t, none, "the first one is in the row")
	var all []hook.Attempt
	for range 30 {
		w.advance(time.Second)
		dw = again(dw.Delivery, hook.Retrying, w.clock())
		dw.Attempt.ResponseBody, dw.Attempt.StatusCode = "é", 500
		w.save(dw)
		all = append(all, *dw.Attempt)
	}
	slices.Reverse(all)
	for _, newest := range []int{1, 20, 30, 100} {
		got, err := w.Attempts(w.ctx(), dw.Delivery.Ref, newest)
		require.NoError(t, err)
		require.Equal(t, all[:min(newest, 30)], got)
	}
	require.Equal(t, 1, w.row(dw.Delivery.Ref).First.Number)
}

func TestWhatHasExpiredIsNotThereAndCanBeWrittenAnew(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.delivery(w.endpointID(), hook.Retrying)
	second := again(first.Delivery, hook.Retrying, w.clock())
	w.save(first)
	w.save(second)
	w.advance(retention - time.Second)
	require.NotNil(t, w.row(first.Delivery.Ref))
	w.advance(time.Second)
	require.Nil(t, w.row(first.Delivery.Ref))
	attempts, err := w.Attempts(w.ctx(), first.Delivery.Ref, 20)
	require.NoError(t, err)
	require.Empty(t, attempts)
	for _, status := range []hook.Status{"", hook.Retrying} {
		require.Empty(t, w.listed(hook.DeliveryFilter{EndpointID: first.Delivery.EndpointID, Status: status}, 10))
	}
	anew := first
	d := *first.Delivery
	d.LastAttemptID, d.ExpiresAt = "anew", w.clock().Add(time.Hour)
	anew.Delivery = &d
	w.save(anew)
	require.Equal(t, asStored(&d), w.row(d.Ref))
}

func TestWhatHasNoExpiryStays(t *testing.T) {
	t.Parallel()
	w := setup(t)
	held := w.delivery(w.endpointID(), hook.Held)
	held.Delivery.ExpiresAt = time.Time{}
	w.save(held)
	w.advance(100 * 365 * 24 * time.Hour)
	require.Equal(t, asStored(held.Delivery), w.row(held.Delivery.Ref))
	_, has := w.withPrefix("T#acme#EP#")[0]["expires_at"]
	require.False(t, has)
}

// The most common write of all has to stay within one write unit, whatever the
// endpoint answers; a failure keeps all of the first 1 KB.
func TestTheRowOfACleanSuccessCostsOneWriteUnit(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, body := range []string{"ok", strings.Repeat("x", 1024), strings.Repeat("é", 512)} {
		dw := w.delivery(w.endpointID(), hook.Delivered)
		dw.Delivery.EventType = strings.Repeat("t", 128)
		dw.Delivery.First.ResponseBody = body
		w.save(dw)
		got := w.row(dw.Delivery.Ref)
		require.True(t, strings.HasPrefix(body, got.First.ResponseBody))
		require.GreaterOrEqual(t, len(got.First.ResponseBody), min(len(body), 400))
		for _, it := range w.withPrefix("T#acme#EP#" + strings.TrimPrefix(dw.Delivery.EndpointID, "ep_")) {
			out, err := w.raw.PutItem(w.ctx(), &awsdynamodb.PutItemInput{TableName: ptr(tableName), Item: it, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
			require.NoError(t, err)
			require.EqualValues(t, 1, *out.ConsumedCapacity.CapacityUnits)
		}
	}
	failed := w.delivery(w.endpointID(), hook.Retrying)
	failed.Delivery.First.ResponseBody = strings.Repeat("x", 1024)
	w.save(failed)
	require.Len(t, w.row(failed.Delivery.Ref).First.ResponseBody, 1024)
}

func TestRecordingUnderFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, operation string
		write           func(w *world) (before *hook.Delivery, dw hook.DeliveryWrite)
	}{
		{"the first attempt", "PutItem", func(w *world) (*hook.Delivery, hook.DeliveryWrite) {
			return nil, w.delivery(w.endpointID(), hook.Delivered)
		}},
		{"a later attempt", "TransactWriteItems", func(w *world) (*hook.Delivery, hook.DeliveryWrite) {
			first := w.delivery(w.endpointID(), hook.Retrying)
			w.save(first)
			return first.Delivery, again(first.Delivery, hook.Dead, w.clock())
		}},
		{"a dead letter", "TransactWriteItems", func(w *world) (*hook.Delivery, hook.DeliveryWrite) {
			first := w.delivery(w.endpointID(), hook.Dead)
			w.save(first)
			next := *first.Delivery
			next.Rev++
			entry := w.deadLetter(next.Ref)
			next.DeadLetterID = entry.ID
			return first.Delivery, hook.DeliveryWrite{Delivery: &next, AddDeadLetter: entry}
		}},
		{"a replay", "TransactWriteItems", func(w *world) (*hook.Delivery, hook.DeliveryWrite) {
			first := w.delivery(w.endpointID(), hook.Dead)
			first.AddDeadLetter = w.deadLetter(first.Delivery.Ref)
			first.Delivery.DeadLetterID = first.AddDeadLetter.ID
			w.save(first)
			next := *first.Delivery
			next.Rev++
			next.Gen, next.GenAttempts, next.Status, next.CompletedAt, next.DeadLetterID, next.MessageID = 1, 0, hook.Queued, time.Time{}, "", "m-2"
			return first.Delivery, hook.DeliveryWrite{Delivery: &next, DropDeadLetter: first.AddDeadLetter.ID}
		}},
		{"a cancellation", "PutItem", func(w *world) (*hook.Delivery, hook.DeliveryWrite) {
			first := w.delivery(w.endpointID(), hook.Retrying)
			w.save(first)
			next := *first.Delivery
			next.Rev++
			next.Status, next.NextAttemptAt, next.CompletedAt = hook.Cancelled, time.Time{}, w.clock()
			return first.Delivery, hook.DeliveryWrite{Delivery: &next}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			underFaults(t, c.operation, func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
				before, dw := c.write(w)
				return func() error { return w.SaveDelivery(w.ctx(), dw) }, func(applied bool) {
					row := w.row(dw.Delivery.Ref)
					attempts, err := w.Attempts(w.ctx(), dw.Delivery.Ref, 20)
					require.NoError(t, err)
					entries, err := w.CountDeadLetters(w.ctx(), hook.DeadLetterFilter{Tenant: tenant})
					require.NoError(t, err)
					if !applied {
						if before == nil {
							require.Nil(t, row)
						} else {
							require.Equal(t, asStored(before), row)
						}
						require.Empty(t, attempts)
						require.Equal(t, dw.DropDeadLetter != "", entries == 1)
						return
					}
					require.Equal(t, asStored(dw.Delivery), row)
					require.Equal(t, dw.Attempt != nil && dw.Attempt.Number > 1, len(attempts) == 1)
					require.Equal(t, dw.AddDeadLetter != nil, entries == 1)
				}
			})
		})
	}
}

// Somebody else's write of the same revision is not taken for one's own.
func TestARivalsWriteIsNotTakenForOnesOwn(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.delivery(w.endpointID(), hook.Dead)
	w.save(first)
	next := *first.Delivery
	next.Rev++
	for name, change := range map[string]func(*hook.Delivery){
		"another generation": func(d *hook.Delivery) { d.Gen++ },
		"another message":    func(d *hook.Delivery) { d.MessageID = "m-2" },
		"another hop":        func(d *hook.Delivery) { d.Hop++ },
		"another status":     func(d *hook.Delivery) { d.Status = hook.Queued },
		"another entry":      func(d *hook.Delivery) { d.DeadLetterID = "dlq_01JCXZ5T5V8Q0R9A1B2C3D4E5F" },
		"another attempt":    func(d *hook.Delivery) { d.LastAttemptID = "x" },
	} {
		w := setup(t)
		w.save(first)
		w.save(hook.DeliveryWrite{Delivery: &next})
		rival := next
		change(&rival)
		require.ErrorIs(t, w.SaveDelivery(w.ctx(), hook.DeliveryWrite{Delivery: &rival}), hook.ErrConflict, name)
		require.NoError(t, w.SaveDelivery(w.ctx(), hook.DeliveryWrite{Delivery: &next}), "its own again")
	}
}

func TestOfConcurrentWritesOfOneRevisionOneWins(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.delivery(w.endpointID(), hook.Retrying)
	w.save(first)
	errs := make([]error, 8)
	calls := make([]func(), len(errs))
	for i := range errs {
		dw := again(first.Delivery, hook.Retrying, w.clock())
		dw.Delivery.LastAttemptID, dw.Attempt.ID = fmt.Sprint(i), fmt.Sprint(i)
		calls[i] = func() { errs[i] = w.SaveDelivery(w.ctx(), dw) }
	}
	together(calls...)
	won := 0
	for i, err := range errs {
		if err == nil {
			won++
			require.Equal(t, fmt.Sprint(i), w.row(first.Delivery.Ref).LastAttemptID)
			continue
		}
		require.ErrorIs(t, err, hook.ErrConflict)
	}
	require.Equal(t, 1, won)
}

// Another transaction at the same item is waited for, not reported.
func TestABusyItemIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.delivery(w.endpointID(), hook.Retrying)
	w.save(first)
	second := again(first.Delivery, hook.Retrying, w.clock())
	w.busy.Store(2)
	w.save(second)
	require.Zero(t, w.busy.Load())
	third := *second.Delivery
	third.Rev++
	w.busy.Store(2)
	w.save(hook.DeliveryWrite{Delivery: &third})
	require.Zero(t, w.busy.Load())
	w.busy.Store(2)
	w.create(w.endpoint())
	require.Zero(t, w.busy.Load())
	e := w.event("a", `{}`)
	w.busy.Store(2)
	_, err := w.PutEventWithKey(w.ctx(), e, w.key(e, "order-1"))
	require.NoError(t, err)
	require.Zero(t, w.busy.Load())
}

func TestReadingRowsFailsWithAnError(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.faults.Add(faultwire.Fault{Operation: "BatchGetItem", Times: 3}, faultwire.Fault{Operation: "Query", Times: faultwire.Always})
	_, err := w.Deliveries(w.ctx(), []hook.Ref{w.delivery(w.endpointID(), hook.Delivered).Delivery.Ref})
	require.Error(t, err)
	_, err = w.Attempts(w.ctx(), w.delivery(w.endpointID(), hook.Delivered).Delivery.Ref, 1)
	require.Error(t, err)
	_, _, err = w.ListDeliveries(w.ctx(), hook.DeliveryFilter{Tenant: tenant, EndpointID: w.endpointID()}, hook.Page{Limit: 1})
	require.Error(t, err)
}

func TestOneReadThatIsRefusedDoesNotHarmTheOthers(t *testing.T) {
	t.Parallel()
	slowly(t, func(t *testing.T, w *world) {
		dw := w.delivery(w.endpointID(), hook.Delivered)
		w.save(dw)
		errs := make([]error, 30)
		calls := make([]func(), len(errs))
		for i := range calls {
			refs := []hook.Ref{dw.Delivery.Ref}
			if i%10 == 7 {
				refs = []hook.Ref{dw.Delivery.Ref, {Tenant: strings.Repeat("x", 3000), EventID: w.eventID(), EndpointID: w.endpointID()}} // no key is so long
			}
			calls[i] = func() {
				var rows []*hook.Delivery
				rows, errs[i] = w.Deliveries(w.ctx(), refs)
				if errs[i] == nil && rows[0] == nil {
					t.Error("there is no row")
				}
			}
		}
		together(calls...)
		for i, err := range errs {
			require.Equal(t, i%10 == 7, err != nil, "%d: %v", i, err)
		}
	})
}

// What the service leaves unprocessed is asked for again.
func TestUnprocessedKeysAndItemsAreTriedAgain(t *testing.T) {
	t.Parallel()
	slowly(t, func(t *testing.T, w *world) {
		w.unprocessed.Store(3)
		calls := make([]func(), 30)
		for i := range calls {
			e := w.event("a", `{}`)
			calls[i] = func() {
				if err := w.PutEvent(w.ctx(), e); err != nil {
					t.Error(err)
				}
			}
		}
		together(calls...)
		require.Zero(t, w.unprocessed.Load())
		require.Len(t, w.items(), 30)

		var refs []hook.Ref
		for range 10 {
			dw := w.delivery(w.endpointID(), hook.Delivered)
			w.save(dw)
			refs = append(refs, dw.Delivery.Ref)
		}
		w.unprocessed.Store(3)
		rows, err := w.Deliveries(w.ctx(), refs)
		require.NoError(t, err)
		require.Zero(t, w.unprocessed.Load())
		require.NotContains(t, rows, (*hook.Delivery)(nil))
	})
}

// A batch that is left half done and then fails fails for what is not in it.
func TestItemsLeftUnprocessedForGoodAreAnError(t *testing.T) {
	t.Parallel()
	slowly(t, func(t *testing.T, w *world) {
		w.unprocessed.Store(1)
		w.faults.Add(faultwire.Fault{Operation: "BatchWriteItem", Call: 2, Times: 3})
		errs := make([]error, 10)
		calls := make([]func(), len(errs))
		for i := range errs {
			e := w.event("a", `{}`)
			calls[i] = func() { errs[i] = w.PutEvent(w.ctx(), e) }
		}
		together(calls...)
		failed := 0
		for _, err := range errs {
			if err != nil {
				require.ErrorContains(t, err, "unprocessed")
				failed++
			}
		}
		require.Positive(t, failed)
		require.Len(t, w.items(), len(errs)-failed)
	})
}

func TestManyWritersOfManyRows(t *testing.T) {
	t.Parallel()
	w := setup(t)
	endpoint := w.endpointID()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				dw := w.delivery(endpoint, hook.Retrying)
				if err := w.SaveDelivery(w.ctx(), dw); err != nil {
					t.Error(err)
				}
				next := again(dw.Delivery, hook.Delivered, w.clock())
				if err := w.SaveDelivery(w.ctx(), next); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, w.listed(hook.DeliveryFilter{EndpointID: endpoint, Status: hook.Delivered}, 7), 80)
}
