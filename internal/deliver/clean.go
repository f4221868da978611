package deliver

import (
	"context"
	"log/slog"

	"posthorn/internal/hook"
)

// success is a delivery that was made at its first attempt, by the first
// message that carried it, received once: of these there is nothing to tell but
// that they are made.
type success struct {
	Delivery  string  `json:"id"`
	EventType string  `json:"event_type"`
	Status    int     `json:"status_code"`
	Millis    float64 `json:"duration_ms"`
}

// clean says whether what was recorded is such a success.
func clean(j *job, d *hook.Delivery) bool {
	return d.Status == hook.Delivered && d.Attempts == 1 && j.message.Gen == 0 && j.message.Hop == 0 && j.received.ReceiveCount <= 1
}

// succeeded keeps a success until the batch is over.
func (b *batch) succeeded(j *job, a hook.Attempt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clean = append(b.clean, success{j.message.ID(), j.message.EventType, a.StatusCode, float64(a.Duration.Microseconds()) / 1000})
}

// logClean writes one line of all the clean successes of a batch: a line is
// paid for by its bytes, and most of what is said of an attempt is its ids. An
// invocation that dies before its end leaves them to the rows, which have them
// all.
func (b *batch) logClean(ctx context.Context) {
	if len(b.clean) == 0 {
		return
	}
	b.Log.LogAttrs(ctx, slog.LevelInfo, "delivered", slog.Int("count", len(b.clean)), slog.Any("deliveries", b.clean))
}
