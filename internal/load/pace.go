package load

import (
	"context"
	"time"
)

// coarse is how early a timer is set before the exact part of a sleep: more
// than a timer of the Go runtime is late on an idle machine (about 1 ms).
const coarse = 3 * time.Millisecond

// preciseSleep returns at the given time, or when ctx is done. Go's timers are
// up to a millisecond late when the process is idle, which would be counted as
// the server's latency; the last milliseconds are therefore left to the kernel.
func preciseSleep(ctx context.Context, at time.Time) {
	if early := time.Until(at) - coarse; early > 0 {
		timer := time.NewTimer(early)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
	for left := time.Until(at); left > 0; left = time.Until(at) {
		kernelSleep(left)
	}
}
