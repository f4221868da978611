package reconcile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

var (
	cutoff = time.Date(2026, 11, 24, 11, 0, 0, 0, time.UTC)
	long   = cutoff.Add(-time.Minute) // long ago
	lately = cutoff.Add(time.Minute)
)

func TestWhatProvesThatADeliveryIsLost(t *testing.T) {
	t.Parallel()
	active := &hook.Endpoint{Status: hook.EndpointActive, UpdatedAt: long}
	resumed := &hook.Endpoint{Status: hook.EndpointActive, UpdatedAt: lately}
	paused := &hook.Endpoint{Status: hook.EndpointPaused, UpdatedAt: long}
	disabled := &hook.Endpoint{Status: hook.EndpointDisabled, UpdatedAt: long}
	for name, c := range map[string]struct {
		row      hook.Delivery
		endpoint *hook.Endpoint
		want     Reason
	}{
		"queued again long ago":                    {hook.Delivery{Status: hook.Queued, RequeuedAt: long}, active, Requeued},
		"queued again lately":                      {hook.Delivery{Status: hook.Queued, RequeuedAt: lately}, active, ""},
		"queued again, nobody knows when":          {hook.Delivery{Status: hook.Queued}, active, Requeued},
		"queued again long ago, endpoint paused":   {hook.Delivery{Status: hook.Queued, RequeuedAt: long}, paused, Requeued},
		"queued again long ago, endpoint gone":     {hook.Delivery{Status: hook.Queued, RequeuedAt: long}, nil, Requeued},
		"an attempt was due long ago":              {hook.Delivery{Status: hook.Retrying, NextAttemptAt: long}, active, Overdue},
		"an attempt was due lately":                {hook.Delivery{Status: hook.Retrying, NextAttemptAt: lately}, active, ""},
		"an attempt is due tomorrow":               {hook.Delivery{Status: hook.Retrying, NextAttemptAt: lately.Add(24 * time.Hour)}, active, ""},
		"an attempt was due, and sent on lately":   {hook.Delivery{Status: hook.Retrying, NextAttemptAt: long, RequeuedAt: lately}, active, ""},
		"an attempt was due, and sent on long ago": {hook.Delivery{Status: hook.Retrying, NextAttemptAt: long, RequeuedAt: long}, active, Overdue},
		"an attempt was due, endpoint gone":        {hook.Delivery{Status: hook.Retrying, NextAttemptAt: long}, nil, Overdue},
		"held, endpoint paused":                    {hook.Delivery{Status: hook.Held}, paused, ""},
		"held, endpoint disabled":                  {hook.Delivery{Status: hook.Held}, disabled, ""},
		"held, endpoint resumed lately":            {hook.Delivery{Status: hook.Held}, resumed, ""},
		"held, endpoint active for long":           {hook.Delivery{Status: hook.Held}, active, Unreleased},
		"held, endpoint gone":                      {hook.Delivery{Status: hook.Held}, nil, Uncancelled},
		"dead for long, without an entry":          {hook.Delivery{Status: hook.Dead, CompletedAt: long}, active, Unburied},
		"dead for long, endpoint gone":             {hook.Delivery{Status: hook.Dead, CompletedAt: long}, nil, Unburied},
		"dead since lately":                        {hook.Delivery{Status: hook.Dead, CompletedAt: lately}, active, ""},
		"dead for long, with an entry":             {hook.Delivery{Status: hook.Dead, CompletedAt: long, DeadLetterID: "dlq_1"}, active, ""},
		"delivered":                                {hook.Delivery{Status: hook.Delivered, CompletedAt: long}, active, ""},
		"cancelled":                                {hook.Delivery{Status: hook.Cancelled, CompletedAt: long}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.row.CreatedAt = long.Add(-time.Hour)
			require.Equal(t, c.want, Lost(&c.row, c.endpoint, cutoff))
			c.row.CreatedAt = lately
			if c.row.Status == hook.Queued || c.row.Status == hook.Retrying {
				require.Empty(t, Lost(&c.row, c.endpoint, cutoff), "accepted lately")
			}
		})
	}
}

func TestWhatMayBeWaitingWithNothingRecorded(t *testing.T) {
	t.Parallel()
	now := cutoff.Add(time.Hour)
	for name, c := range map[string]struct {
		state hook.EndpointState
		want  bool
	}{
		"nothing is known":                  {hook.EndpointState{}, false},
		"failures, breaker closed":          {hook.EndpointState{FailingSince: long, LastFailure: now, WindowFailures: 9}, false},
		"breaker open":                      {hook.EndpointState{OpenUntil: now.Add(time.Minute)}, true},
		"breaker open until lately":         {hook.EndpointState{OpenUntil: lately}, true},
		"nobody has probed for long":        {hook.EndpointState{OpenUntil: long}, false},
		"breaker open before a resume":      {hook.EndpointState{Epoch: -1, OpenUntil: now.Add(time.Minute)}, false},
		"slots taken ahead before a resume": {hook.EndpointState{Epoch: -1, NextSlot: now.Add(2 * time.Minute)}, true},
		"a probe is under way":              {hook.EndpointState{OpenUntil: long, ProbeUntil: now.Add(time.Minute)}, true},
		"a probe was lost long ago":         {hook.EndpointState{OpenUntil: long, ProbeUntil: long}, false},
		"slots are taken far ahead":         {hook.EndpointState{NextSlot: now.Add(2 * time.Minute)}, true},
		"slots are taken a little ahead":    {hook.EndpointState{NextSlot: now.Add(30 * time.Second)}, false},
		"all slots that are taken are over": {hook.EndpointState{NextSlot: long}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.state.Epoch += 4
			require.Equal(t, c.want, mayWait(c.state, 4, now, time.Hour))
		})
	}
}

func TestAJobHasStoppedWhenNoStepIsRecorded(t *testing.T) {
	t.Parallel()
	require.True(t, stopped(&hook.Job{Status: hook.JobRunning, UpdatedAt: long}, cutoff))
	require.False(t, stopped(&hook.Job{Status: hook.JobRunning, UpdatedAt: lately}, cutoff))
	for _, status := range []hook.JobStatus{hook.JobDone, hook.JobCancelled, hook.JobFailed} {
		require.False(t, stopped(&hook.Job{Status: status, UpdatedAt: long}, cutoff), status)
	}
}

func TestTheShareIsOfTheTimeThatHasBeenWalked(t *testing.T) {
	t.Parallel()
	begin, end := cutoff.Add(-100*time.Hour), cutoff
	for at, want := range map[time.Time]float64{
		end: 0, end.Add(-25 * time.Hour): 0.25, begin: 1,
		end.Add(time.Hour): 0, begin.Add(-time.Hour): 1, // events that outlive others
	} {
		require.InDelta(t, want, share(at, begin, end), 1e-9)
	}
	require.InDelta(t, 1, share(end, end, begin), 0, "there is nothing to walk")
}
