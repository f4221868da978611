package lambdaevent

import (
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// Tick is one firing of the schedule.
type Tick struct {
	ID string
	At time.Time // when it was due, UTC
}

// Schedule reads a scheduled event of EventBridge. Nothing in it is required:
// an event made by hand, such as {}, is a tick too.
func Schedule(e events.EventBridgeEvent) Tick {
	return Tick{ID: e.ID, At: e.Time.UTC()}
}
