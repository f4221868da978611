package dynamo_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"posthorn/internal/dynamo"
	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
)

func (w *world) put(e *hook.Event) {
	w.t.Helper()
	require.NoError(w.t, w.PutEvent(w.ctx(), e))
}

func TestEventsComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for name, e := range map[string]*hook.Event{
		"small":                w.event("order.created", `{"a":1.10,"b":"<&>\u00e9 é"}`, w.endpointID(), w.endpointID()),
		"matched by none":      w.event("order.created", `{}`),
		"a body that deflates": w.event("order.created", `{"a":"`+strings.Repeat("again and ", 20_000)+`"}`, w.endpointID()),
		"a body that does not": w.event("order.created", `{"a":"`+noise(2000)+`"}`, w.endpointID()),
		"separators, controls": w.event("order.created", "{\"a\":\"\u2028\u0000\x7f\ufffe😀\"}"),
		"matched by a hundred": w.event("order.created", `{}`, manyIDs(w, 100)...),
	} {
		w.put(e)
		got, err := w.Event(w.ctx(), tenant, e.ID)
		require.NoError(t, err, name)
		require.Equal(t, e, got, name)
	}
}

func TestAnEventRemembersAllThatItMatched(t *testing.T) {
	t.Parallel()
	for _, n := range []int{101, 1100, 1101, 10_000} {
		w := setup(t)
		e := w.event("order.created", `{}`, manyIDs(w, n)...)
		w.put(e)
		got, err := w.Event(w.ctx(), tenant, e.ID)
		require.NoError(t, err)
		require.Equal(t, e.EndpointIDs[:100], got.EndpointIDs, "the first are in its own item")
		require.Equal(t, n, got.Targets)
		all, err := w.AllTargets(w.ctx(), got)
		require.NoError(t, err)
		require.Equal(t, e.EndpointIDs, all)
		all, err = w.AllTargets(w.ctx(), e)
		require.NoError(t, err)
		require.Equal(t, e.EndpointIDs, all, "of an event that holds them already nothing is read")
		events, _, err := w.ListEvents(w.ctx(), hook.EventFilter{Tenant: tenant}, hook.Page{Limit: 10})
		require.NoError(t, err)
		require.Len(t, events, 1, "the others' items are no events")
		require.Equal(t, n, events[0].Targets)
	}
}

func TestWhoAnEventIsResentToIsAmongItsRecipients(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 3, 1100} {
		w := setup(t)
		e := w.event("order.created", `{}`, manyIDs(w, n)...)
		w.put(e)
		all, err := w.Recipients(w.ctx(), e)
		require.NoError(t, err)
		require.Equal(t, e.EndpointIDs, all)
		more := manyIDs(w, 250)
		require.NoError(t, w.AddRecipients(w.ctx(), e, more[:200], e.ExpiresAt))
		require.NoError(t, w.AddRecipients(w.ctx(), e, more[100:], e.ExpiresAt))
		require.NoError(t, w.AddRecipients(w.ctx(), e, e.EndpointIDs[:min(n, 2)], e.ExpiresAt))
		all, err = w.Recipients(w.ctx(), e)
		require.NoError(t, err)
		require.Equal(t, append(slices.Clone(e.EndpointIDs), more...), all)
		matched, err := w.AllTargets(w.ctx(), e)
		require.NoError(t, err)
		require.Equal(t, e.EndpointIDs, matched, "what it matched is what it was")
	}
}

func TestRecipientsUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "UpdateItem", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		e := w.event("a", `{}`)
		w.put(e)
		more := manyIDs(w, 1)
		return func() error { return w.AddRecipients(w.ctx(), e, more, e.ExpiresAt) }, func(done bool) {
			all, err := w.Recipients(w.ctx(), e)
			require.NoError(t, err)
			if done {
				require.Equal(t, more, all)
			} else {
				require.Empty(t, all)
			}
		}
	})
}

// The targets are stored before their event: whoever finds the event finds them.
func TestAWideEventUnderFaults(t *testing.T) {
	t.Parallel()
	for _, key := range []bool{false, true} {
		underFaults(t, "BatchWriteItem", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
			e := w.event("a", `{}`, manyIDs(w, 350)...)
			return func() error {
					if !key {
						return w.PutEvent(w.ctx(), e)
					}
					_, err := w.PutEventWithKey(w.ctx(), e, &hook.IdempotencyKey{Tenant: tenant, Key: "k", EventID: e.ID, ExpiresAt: e.ExpiresAt})
					return err
				}, func(bool) {
					got, err := w.Event(w.ctx(), tenant, e.ID)
					if err != nil {
						require.ErrorIs(t, err, hook.ErrNotFound)
						return
					}
					all, err := w.AllTargets(w.ctx(), got)
					require.NoError(t, err)
					require.Equal(t, e.EndpointIDs, all)
				}
		})
	}
}

// noise is letters that do not compress well.
func noise(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[r.IntN(64)]
	}
	return string(b)
}

func manyIDs(w *world, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = w.endpointID()
	}
	return out
}

func TestAnyBodyComesBackByteForByte(t *testing.T) {
	t.Parallel()
	w := setup(t)
	rapid.Check(t, func(rt *rapid.T) {
		body := []byte(rapid.StringN(0, 3000, -1).Draw(rt, "body"))
		e := w.event("a", `{}`)
		e.Body = append([]byte(`{"x":`), body...)
		require.NoError(rt, w.PutEvent(w.ctx(), e))
		got, err := w.Event(w.ctx(), tenant, e.ID)
		require.NoError(rt, err)
		require.True(rt, bytes.Equal(e.Body, got.Body))
	})
}

// What an item is billed for decides whether a body is deflated.
func TestABodyIsDeflatedOnlyWhereThatSavesAWriteUnit(t *testing.T) {
	t.Parallel()
	w := setup(t)
	units := func(e *hook.Event) (float64, bool) {
		w.put(e)
		it := w.withPrefix("T#acme#EV#")
		i := slices.IndexFunc(it, func(it map[string]types.AttributeValue) bool {
			return strings.HasPrefix(e.ID, "evt_"+text(it, "SK")[:24])
		})
		_, plain := it[i]["b"]
		return w.unitsOf(it[i]), !plain
	}
	for _, c := range []struct {
		name     string
		data     string
		units    float64
		deflated bool
	}{
		{"within a unit", `{"a":"` + strings.Repeat("x", 500) + `"}`, 1, false},
		{"two units, one deflated", `{"a":"` + strings.Repeat("x", 1500) + `"}`, 1, true},
		{"two units of noise", `{"a":"` + noise(1400) + `"}`, 2, false},
	} {
		got, deflated := units(w.event("a", c.data))
		require.Equal(t, c.units, got, c.name)
		require.Equal(t, c.deflated, deflated, c.name)
	}
}

// unitsOf is what writing an item consumes.
func (w *world) unitsOf(it map[string]types.AttributeValue) float64 {
	out, err := w.raw.PutItem(w.ctx(), &awsdynamodb.PutItemInput{TableName: ptr(tableName), Item: it, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
	require.NoError(w.t, err)
	return *out.ConsumedCapacity.CapacityUnits
}

func ptr[T any](v T) *T { return &v }

func TestAnEventThatIsNotThereOrHasExpiredIsNotFound(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e := w.event("a", `{}`)
	w.put(e)
	for _, c := range []struct{ tenant, id string }{{"other", e.ID}, {tenant, w.eventID()}, {tenant, "evt_x"}, {tenant, ""}, {tenant, strings.Repeat("é", 30)}} {
		_, err := w.Event(w.ctx(), c.tenant, c.id)
		require.ErrorIs(t, err, hook.ErrNotFound)
	}
	w.advance(retention - time.Second)
	_, err := w.Event(w.ctx(), tenant, e.ID)
	require.NoError(t, err)
	w.advance(time.Second)
	_, err = w.Event(w.ctx(), tenant, e.ID)
	require.ErrorIs(t, err, hook.ErrNotFound)
	require.Len(t, w.items(), 1, "DynamoDB has not deleted it yet")
}

func TestAnEventsExpiryOnlyMovesOn(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e := w.event("a", `{}`)
	w.put(e)
	expiry := func() time.Time {
		got, err := w.Event(w.ctx(), tenant, e.ID)
		require.NoError(t, err)
		return got.ExpiresAt
	}
	require.NoError(t, w.ExtendEvent(w.ctx(), tenant, e.ID, e.ExpiresAt.Add(-time.Hour)))
	require.Equal(t, e.ExpiresAt, expiry())
	later := e.ExpiresAt.Add(time.Hour)
	require.NoError(t, w.ExtendEvent(w.ctx(), tenant, e.ID, later.Add(-time.Millisecond)))
	require.Equal(t, later, expiry(), "never sooner than asked")

	require.NoError(t, w.ExtendEvent(w.ctx(), tenant, w.eventID(), later), "gone")
	w.advance(retention + 2*time.Hour)
	require.NoError(t, w.ExtendEvent(w.ctx(), tenant, e.ID, later.Add(24*time.Hour)), "expired")
	_, err := w.Event(w.ctx(), tenant, e.ID)
	require.ErrorIs(t, err, hook.ErrNotFound)
	require.Len(t, w.items(), 1)

	forever := w.event("a", `{}`)
	forever.ExpiresAt = time.Time{}
	w.put(forever)
	require.NoError(t, w.ExtendEvent(w.ctx(), tenant, forever.ID, later))
	got, err := w.Event(w.ctx(), tenant, forever.ID)
	require.NoError(t, err)
	require.Equal(t, forever, got, "what does not expire keeps on not expiring")
}

// The endpoints that an event goes to, beyond the first hundred or by a resend,
// are kept beside it: they live as long.
func TestWhatIsKeptBesideAnEventLivesAsLongAsTheEvent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ids := make([]string, 2500)
	for i := range ids {
		ids[i] = w.endpointID()
	}
	e := w.event("a", `{}`, ids[:2400]...)
	w.put(e)
	require.NoError(t, w.AddRecipients(w.ctx(), e, ids[2400:], e.ExpiresAt))
	later := e.ExpiresAt.Add(time.Hour)
	require.NoError(t, w.ExtendEvent(w.ctx(), tenant, e.ID, later))
	items := w.items()
	require.Greater(t, len(items), 4)
	for _, it := range items {
		require.Equal(t, &types.AttributeValueMemberN{Value: strconv.FormatInt(later.Unix(), 10)}, it[dynamo.TTL])
	}
	w.faults.Add(faultwire.Fault{Operation: "Query", Mode: faultwire.FailBefore, Times: 9})
	require.Error(t, w.ExtendEvent(w.ctx(), tenant, e.ID, later.Add(time.Hour)))
	got, err := w.Event(w.ctx(), tenant, e.ID)
	require.NoError(t, err)
	require.Equal(t, later, got.ExpiresAt, "the event comes last")
}

func TestConcurrentEventsTravelTogether(t *testing.T) {
	t.Parallel()
	slowly(t, func(t *testing.T, w *world) {
		calls := make([]func(), 200)
		for i := range calls {
			e := w.event("a", `{}`)
			calls[i] = func() {
				if err := w.PutEvent(w.ctx(), e); err != nil {
					t.Error(err)
				}
			}
		}
		together(calls...)
		require.Len(t, w.items(), 200)
		require.LessOrEqual(t, w.faults.Calls("PutItem"), 4, "those that found nothing under way")
		require.Equal(t, 8, w.faults.Calls("BatchWriteItem"), "25 at a time")
	})
}

// slowly runs a test in a bubble, where each call of the service takes a while
// of the bubble's clock, so that concurrent callers meet.
func slowly(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := setup(t)
		w.slow.Store(true)
		test(t, w)
	})
}

// together makes calls at the same time.
func together(calls ...func()) {
	var wg sync.WaitGroup
	for _, call := range calls {
		wg.Go(call)
	}
	wg.Wait()
}

func TestOneEventThatIsTooLargeDoesNotHarmTheOthers(t *testing.T) {
	t.Parallel()
	slowly(t, func(t *testing.T, w *world) {
		errs := make([]error, 60)
		calls := make([]func(), len(errs))
		for i := range errs {
			e := w.event("a", `{}`)
			if i%20 == 7 {
				e.Body = []byte(noise(600_000)) // beyond 400 KB, however it is packed
			}
			calls[i] = func() { errs[i] = w.PutEvent(w.ctx(), e) }
		}
		together(calls...)
		for i, err := range errs {
			require.Equal(t, i%20 == 7, err != nil, "%d: %v", i, err)
		}
		require.Len(t, w.items(), 57)
		require.Positive(t, w.faults.Calls("BatchWriteItem"))
	})
}

func TestStoringAnEventUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "PutItem", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		e := w.event("a", `{"a":1}`, w.endpointID())
		return func() error { return w.PutEvent(w.ctx(), e) }, func(applied bool) {
			got, err := w.Event(w.ctx(), tenant, e.ID)
			if !applied {
				require.ErrorIs(t, err, hook.ErrNotFound)
				return
			}
			require.NoError(t, err)
			require.Equal(t, e, got)
		}
	})
}

// A batch whose every try fails fails for all in it, and each can be stored
// again whether or not it was.
func TestStoringEventsTogetherUnderFaults(t *testing.T) {
	t.Parallel()
	for _, f := range faultPairs() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			slowly(t, func(t *testing.T, w *world) {
				w.faults.Add(faultwire.Fault{Operation: "BatchWriteItem", Times: f.times, Mode: f.mode})
				events := make([]*hook.Event, 60)
				errs := make([]error, len(events))
				calls := make([]func(), len(events))
				for i := range events {
					events[i] = w.event("a", `{}`)
					calls[i] = func() { errs[i] = w.PutEvent(w.ctx(), events[i]) }
				}
				together(calls...)
				require.Zero(t, w.faults.Pending(), "nothing travelled together")
				failed := 0
				for i, err := range errs {
					if err != nil {
						failed++
						require.NoError(t, w.PutEvent(w.ctx(), events[i]))
					}
				}
				require.Equal(t, f.fails, failed > 0)
				require.Len(t, w.items(), len(events))
			})
		})
	}
}

func TestReadingEventsFailsWithAnError(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e := w.event("a", `{}`)
	w.put(e)
	w.faults.Add(faultwire.Fault{Operation: "GetItem", Times: 3}, faultwire.Fault{Operation: "Query", Times: faultwire.Always})
	_, err := w.Event(w.ctx(), tenant, e.ID)
	require.Error(t, err)
	require.NotErrorIs(t, err, hook.ErrNotFound)
	_, _, err = w.ListEvents(w.ctx(), hook.EventFilter{Tenant: tenant}, hook.Page{Limit: 1})
	require.Error(t, err)
}

func TestABodyThatCannotBeInflatedIsAnError(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e := w.event("a", `{"a":"`+strings.Repeat("x", 5000)+`"}`)
	w.put(e)
	it := w.items()[0]
	it["z"] = &types.AttributeValueMemberB{Value: []byte("no such thing")}
	_, err := w.raw.PutItem(w.ctx(), &awsdynamodb.PutItemInput{TableName: ptr(tableName), Item: it})
	require.NoError(t, err)
	_, err = w.Event(w.ctx(), tenant, e.ID)
	require.ErrorContains(t, err, e.ID)
	require.False(t, errors.Is(err, hook.ErrNotFound))
}
