package dynamo_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"posthorn/internal/dynamo"
	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
)

func TestAStateComesBackAsItWent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id := w.endpointID()
	none, err := w.EndpointState(w.ctx(), tenant, id)
	require.NoError(t, err)
	require.Equal(t, hook.EndpointState{}, none)

	full := hook.EndpointState{
		Rev: 1, Mark: "att_1", WindowStart: epoch, WindowAttempts: 7, WindowFailures: 3, FailingSince: epoch.Add(-time.Hour), LastFailure: epoch.Add(time.Second),
		OpenUntil: epoch.Add(time.Minute), Opened: 2, ProbeUntil: epoch.Add(2 * time.Minute),
	}
	require.NoError(t, w.SaveEndpointState(w.ctx(), tenant, id, full))
	got, err := w.EndpointState(w.ctx(), tenant, id)
	require.NoError(t, err)
	require.Equal(t, full, got)

	quiet := hook.EndpointState{Rev: 2, Mark: "att_2"}
	require.NoError(t, w.SaveEndpointState(w.ctx(), tenant, id, quiet))
	got, err = w.EndpointState(w.ctx(), tenant, id)
	require.NoError(t, err)
	require.Equal(t, quiet, got, "what is zero is gone")

	require.ErrorIs(t, w.SaveEndpointState(w.ctx(), tenant, id, quiet), hook.ErrConflict)
	require.ErrorIs(t, w.SaveEndpointState(w.ctx(), tenant, id, full), hook.ErrConflict)
	other, err := w.EndpointState(w.ctx(), "other", id)
	require.NoError(t, err)
	require.Zero(t, other)
	require.NoError(t, w.DeleteEndpointState(w.ctx(), tenant, id))
	require.Empty(t, w.items())
}

func TestSavingAStateUnderFaults(t *testing.T) {
	t.Parallel()
	for _, mode := range []faultwire.Mode{faultwire.FailBefore, faultwire.LoseAnswer, faultwire.Throttle} {
		w := setup(t)
		id := w.endpointID()
		w.faults.Add(faultwire.Fault{Operation: "UpdateItem", Mode: mode})
		err := w.SaveEndpointState(w.ctx(), tenant, id, hook.EndpointState{Rev: 1, Mark: "mine", OpenUntil: epoch})
		got, readErr := w.EndpointState(w.ctx(), tenant, id)
		require.NoError(t, readErr)
		if mode == faultwire.LoseAnswer {
			require.ErrorIs(t, err, hook.ErrConflict, "the SDK's own retry meets the first one's write")
		} else {
			require.NoError(t, err)
		}
		require.Equal(t, "mine", got.Mark, "whose it is tells the mark")
	}
}

func TestSlotsAreTakenOnceHoweverManyAskAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id := w.endpointID()
	const callers, each = 8, 5
	var mu sync.Mutex
	begins := map[time.Time]bool{}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				begin, err := w.ReserveSlots(w.ctx(), tenant, id, 3, time.Second, w.clock())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				begins[begin] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, begins, callers*each)
	for i := range callers * each {
		require.True(t, begins[epoch.Add(time.Duration(3*i)*time.Second)], i)
	}
	state, err := w.EndpointState(w.ctx(), tenant, id)
	require.NoError(t, err)
	require.Equal(t, epoch.Add(3*callers*each*time.Second), state.NextSlot)
	require.Zero(t, state.Rev, "slots are no part of what is revised")

	w.advance(time.Hour)
	begin, err := w.ReserveSlots(w.ctx(), tenant, id, 1, time.Second, w.clock())
	require.NoError(t, err)
	require.Equal(t, w.clock(), begin, "what was not used is not saved up")
}

func TestSlotsAndStateDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id := w.endpointID()
	_, err := w.ReserveSlots(w.ctx(), tenant, id, 2, time.Second, w.clock())
	require.NoError(t, err)
	require.NoError(t, w.SaveEndpointState(w.ctx(), tenant, id, hook.EndpointState{Rev: 1, Mark: "m", Opened: 1, OpenUntil: epoch}))
	begin, err := w.ReserveSlots(w.ctx(), tenant, id, 1, time.Second, w.clock())
	require.NoError(t, err)
	require.Equal(t, epoch.Add(2*time.Second), begin)
	s, err := w.EndpointState(w.ctx(), tenant, id)
	require.NoError(t, err)
	require.Equal(t, hook.EndpointState{Rev: 1, Mark: "m", Opened: 1, OpenUntil: epoch, NextSlot: epoch.Add(3 * time.Second)}, s)
	require.NoError(t, w.SaveEndpointState(w.ctx(), tenant, id, hook.EndpointState{Rev: 2, Mark: "n"}))
	s, err = w.EndpointState(w.ctx(), tenant, id)
	require.NoError(t, err)
	require.Equal(t, epoch.Add(3*time.Second), s.NextSlot)
}

func TestEverybodysSlotsAreApart(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for range 2 {
		for _, id := range []string{"", w.endpointID()} {
			_, err := w.ReserveSlots(w.ctx(), tenant, id, 1, time.Second, w.clock())
			require.NoError(t, err)
		}
	}
	begin, err := w.ReserveSlots(w.ctx(), "", "", 1, time.Second, w.clock())
	require.NoError(t, err)
	require.Equal(t, epoch.Add(2*time.Second), begin)
	state, err := w.EndpointState(w.ctx(), "", "")
	require.NoError(t, err)
	require.Equal(t, hook.EndpointState{NextSlot: epoch.Add(3 * time.Second)}, state)
}

func TestReservingSlotsUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "UpdateItem", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		id := w.endpointID()
		var begin time.Time
		return func() (err error) {
				begin, err = w.ReserveSlots(w.ctx(), tenant, id, 1, time.Second, w.clock())
				return err
			}, func(bool) {
				s, err := w.EndpointState(w.ctx(), tenant, id)
				require.NoError(t, err)
				if !s.NextSlot.IsZero() && !begin.IsZero() {
					require.False(t, s.NextSlot.Before(begin.Add(time.Second)), "a slot whose answer was lost is nobody's; none is given twice")
				}
			}
	})
}

func TestRowsAndStatesAreReadTogether(t *testing.T) {
	t.Parallel()
	w := setup(t)
	one, two := w.endpointID(), w.endpointID()
	dw := w.delivery(one, hook.Delivered)
	w.save(dw)
	require.NoError(t, w.SaveEndpointState(w.ctx(), tenant, one, hook.EndpointState{Rev: 1, Mark: "m"}))
	calls := w.faults.Calls("BatchGetItem")
	rows, states, err := w.DeliveriesAndStates(w.ctx(), []hook.Ref{dw.Delivery.Ref, {Tenant: tenant, EventID: dw.Delivery.EventID, EndpointID: two}})
	require.NoError(t, err)
	require.Equal(t, calls+1, w.faults.Calls("BatchGetItem"))
	require.Equal(t, dw.Delivery.Ref, rows[0].Ref)
	require.Nil(t, rows[1])
	require.Equal(t, []hook.EndpointState{{Rev: 1, Mark: "m"}, {}}, states)

	var many []hook.Ref
	for range 150 {
		many = append(many, hook.Ref{Tenant: tenant, EventID: w.eventID(), EndpointID: w.endpointID()})
	}
	rows, states, err = w.DeliveriesAndStates(w.ctx(), append(many, dw.Delivery.Ref))
	require.NoError(t, err)
	require.Equal(t, dw.Delivery.Ref, rows[150].Ref)
	require.Equal(t, int64(1), states[150].Rev)
}

// What deliveries have shown of an endpoint may be written when it is deleted
// already: nobody removes that, so it ends by itself.
func TestAStateThatNobodyRemovesExpires(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id := w.endpointID()
	require.NoError(t, w.DeleteEndpointState(w.ctx(), tenant, id))
	require.NoError(t, w.SaveEndpointState(w.ctx(), tenant, id, hook.EndpointState{Rev: 1, Mark: "late"}))
	other := w.endpointID()
	for range 2 { // the first slots, and those that follow
		_, err := w.ReserveSlots(w.ctx(), tenant, other, 3, time.Second, w.clock())
		require.NoError(t, err)
	}
	require.Len(t, w.items(), 2)
	for _, it := range w.items() {
		require.Equal(t, &types.AttributeValueMemberN{Value: strconv.FormatInt(w.clock().Add(30*24*time.Hour).Unix(), 10)}, it[dynamo.TTL])
	}
}

func TestTheStatesOfManyEndpointsComeInTheirOrder(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ids := make([]string, 101) // one more than a call takes
	expected := make([]hook.EndpointState, len(ids))
	for i := range ids {
		ids[i] = w.endpointID()
	}
	for _, i := range []int{1, 100} {
		expected[i] = hook.EndpointState{Rev: 1, Mark: strconv.Itoa(i), Epoch: 3, OpenUntil: epoch.Add(time.Minute)}
		require.NoError(t, w.SaveEndpointState(w.ctx(), tenant, ids[i], expected[i]))
	}
	calls := w.faults.Calls("BatchGetItem")
	states, err := w.EndpointStates(w.ctx(), tenant, ids)
	require.NoError(t, err)
	require.Equal(t, expected, states)
	require.Equal(t, calls+2, w.faults.Calls("BatchGetItem"))

	states, err = w.EndpointStates(w.ctx(), "other", ids[:2])
	require.NoError(t, err)
	require.Equal(t, make([]hook.EndpointState, 2), states, "another tenant's are not seen")
	states, err = w.EndpointStates(w.ctx(), tenant, nil)
	require.NoError(t, err)
	require.Empty(t, states)
	require.Equal(t, calls+3, w.faults.Calls("BatchGetItem"))

	w.faults.Add(faultwire.Fault{Operation: "BatchGetItem", Mode: faultwire.FailBefore, Times: faultwire.Always})
	_, err = w.EndpointStates(w.ctx(), tenant, ids[:2])
	require.ErrorContains(t, err, "read states of 2 endpoints")
}
