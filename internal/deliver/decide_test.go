package deliver_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/deliver"
	"posthorn/internal/hook"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestDecide(t *testing.T) {
	t.Parallel()
	endpoint := &hook.Endpoint{ID: "ep", Status: hook.EndpointActive}
	row := func(status hook.Status, gen, hop int, messageID string) *hook.Delivery {
		return &hook.Delivery{Status: status, Gen: gen, Hop: hop, MessageID: messageID, Rev: 1}
	}
	later := func(d *hook.Delivery, at time.Time) *hook.Delivery { d.NextAttemptAt = at; return d }
	entombed := func(d *hook.Delivery) *hook.Delivery { d.DeadLetterID = "dlq"; return d }

	for name, c := range map[string]struct {
		row      *hook.Delivery
		gen, hop int
		notYet   time.Duration
		gone     bool
		said     bool // the endpoint has answered that it is gone
		paused   bool
		want     deliver.Verdict
	}{
		"no row: post":                                        {want: deliver.Post},
		"no row, endpoint deleted: cancel":                    {gone: true, want: deliver.Cancel},
		"no row, before its time: wait":                       {notYet: time.Minute, want: deliver.Wait},
		"no row, a moment before its time: post":              {notYet: 900 * time.Millisecond, want: deliver.Post},
		"lower gen: drop":                                     {row: row(hook.Retrying, 1, 0, "m"), want: deliver.Drop},
		"lower gen of a dead delivery: drop":                  {row: row(hook.Dead, 1, 0, "m"), want: deliver.Drop},
		"delivered: drop":                                     {row: row(hook.Delivered, 0, 0, "m"), want: deliver.Drop},
		"cancelled: drop":                                     {row: row(hook.Cancelled, 0, 0, "m"), want: deliver.Drop},
		"delivered, later hop: drop":                          {row: row(hook.Delivered, 0, 0, "m"), hop: 1, want: deliver.Drop},
		"dead by this message, not in the DLQ yet: bury":      {row: row(hook.Dead, 0, 0, "m"), want: deliver.Bury},
		"dead by another message of this hop: drop":           {row: row(hook.Dead, 0, 0, "x"), want: deliver.Drop},
		"dead, copy of the one that recorded it: bury":        {row: row(hook.Dead, 0, 0, "x"), hop: 1, want: deliver.Bury},
		"dead, earlier hop: drop":                             {row: row(hook.Dead, 0, 2, "m"), hop: 1, want: deliver.Drop},
		"dead and entombed: drop":                             {row: entombed(row(hook.Dead, 0, 0, "m")), want: deliver.Drop},
		"final, higher gen: post":                             {row: row(hook.Dead, 0, 4, "x"), gen: 1, want: deliver.Post},
		"retrying, this message: post":                        {row: row(hook.Retrying, 0, 0, "m"), want: deliver.Post},
		"retrying, another message of this hop: drop":         {row: row(hook.Retrying, 0, 0, "x"), want: deliver.Drop},
		"retrying, a later hop took over: drop":               {row: row(hook.Retrying, 0, 1, "m"), want: deliver.Drop},
		"retrying, this is the later hop: post":               {row: row(hook.Retrying, 0, 0, "x"), hop: 1, want: deliver.Post},
		"retrying, this message, too early: wait":             {row: later(row(hook.Retrying, 0, 0, "m"), noon.Add(time.Minute)), want: deliver.Wait},
		"retrying, too early, higher gen: post":               {row: later(row(hook.Retrying, 0, 0, "m"), noon.Add(time.Minute)), gen: 1, want: deliver.Post},
		"queued again, its own message: post":                 {row: row(hook.Queued, 1, 0, "m"), gen: 1, want: deliver.Post},
		"queued again, another message of the gen: drop":      {row: row(hook.Queued, 1, 0, "x"), gen: 1, want: deliver.Drop},
		"held at this hop: drop":                              {row: row(hook.Held, 0, 0, "m"), want: deliver.Drop},
		"held, released by a later hop: post":                 {row: row(hook.Held, 0, 0, "x"), hop: 1, want: deliver.Post},
		"answered that it is gone: finish":                    {said: true, want: deliver.Finish},
		"answered that it is gone, and disabled: finish":      {said: true, paused: true, want: deliver.Finish},
		"answered that it is gone, and deleted: cancel":       {said: true, gone: true, want: deliver.Cancel},
		"answered that it is gone, over already: drop":        {said: true, row: row(hook.Dead, 0, 4, "x"), want: deliver.Drop},
		"no row, endpoint paused: hold":                       {paused: true, want: deliver.Hold},
		"no row, too early, endpoint paused: hold":            {paused: true, notYet: time.Minute, want: deliver.Hold},
		"retrying, endpoint paused: hold":                     {row: row(hook.Retrying, 0, 0, "m"), paused: true, want: deliver.Hold},
		"held at this hop, endpoint paused: drop":             {row: row(hook.Held, 0, 0, "m"), paused: true, want: deliver.Drop},
		"held, a later hop, endpoint paused again: hold":      {row: row(hook.Held, 0, 0, "x"), hop: 1, paused: true, want: deliver.Hold},
		"held, endpoint deleted, a later hop: cancel":         {row: row(hook.Held, 0, 0, "x"), hop: 1, gone: true, want: deliver.Cancel},
		"held, higher gen: post":                              {row: row(hook.Held, 0, 3, "x"), gen: 1, want: deliver.Post},
		"delivered, endpoint paused: drop":                    {row: row(hook.Delivered, 0, 0, "m"), paused: true, want: deliver.Drop},
		"dead by this message, endpoint paused: bury":         {row: row(hook.Dead, 0, 0, "m"), paused: true, want: deliver.Bury},
		"delivered and endpoint deleted: drop":                {row: row(hook.Delivered, 0, 0, "m"), gone: true, want: deliver.Drop},
		"retrying, too early, endpoint deleted: cancel":       {row: later(row(hook.Retrying, 0, 0, "m"), noon.Add(time.Minute)), gone: true, want: deliver.Cancel},
		"no message on the row, same hop: post":               {row: row(hook.Retrying, 0, 0, ""), want: deliver.Post},
		"dead in a lower gen, not entombed, higher gen: post": {row: row(hook.Dead, 0, 0, "m"), gen: 1, want: deliver.Post},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &hook.Message{Gen: c.gen, Hop: c.hop, Gone: c.said}
			if c.notYet > 0 {
				m.NotBefore = noon.Add(c.notYet)
			}
			ep := endpoint
			if c.gone {
				ep = nil
			}
			if c.paused {
				ep = &hook.Endpoint{ID: "ep", Status: hook.EndpointPaused}
			}
			got, until := deliver.Decide(c.row, m, "m", ep, noon)
			require.Equal(t, c.want.String(), got.String())
			require.Equal(t, got == deliver.Wait, until.After(noon.Add(time.Second)))
		})
	}
}

// A message is current for at most one generation and hop, so two messages of
// a hop can never both carry a delivery on once one of them has recorded.
func TestAtMostOneMessageOfAHopIsCurrent(t *testing.T) {
	t.Parallel()
	for _, status := range []hook.Status{hook.Queued, hook.Retrying, hook.Delivered, hook.Dead, hook.Held, hook.Cancelled} {
		for gen := range 3 {
			for hop := range 3 {
				row := &hook.Delivery{Status: status, Gen: 1, Hop: 1, MessageID: "a", Rev: 1}
				m := &hook.Message{Gen: gen, Hop: hop}
				a, b := deliver.Current(row, m, "a"), deliver.Current(row, m, "b")
				switch {
				case gen > 1:
					require.True(t, a && b, "a later generation is always current: %s %d %d", status, gen, hop)
				case gen < 1 || status.Final() || hop < 1:
					require.False(t, a || b, "%s %d %d", status, gen, hop)
				case hop > 1:
					require.True(t, a && b, "%s %d %d", status, gen, hop)
				default:
					require.False(t, b, "%s %d %d", status, gen, hop)
					require.Equal(t, status != hook.Held, a, "%s %d %d", status, gen, hop)
				}
			}
		}
	}
}
