package hook

import "time"

// JobKind is what a job does.
type JobKind string

// The kinds of job.
const (
	JobFanOut  JobKind = "fan_out" // sends an event to the endpoints beyond those its POST sent it to
	JobResume  JobKind = "resume"  // releases the held deliveries of an endpoint that is active again
	JobCancel  JobKind = "cancel"  // cancels the held deliveries of an endpoint that was deleted
	JobRecover JobKind = "recover" // sends what ended dead at an endpoint again
	JobReplay  JobKind = "replay"  // sends dead letters again
)

// Cancellable says whether a job of this kind may be ended before it is done.
// The others keep a promise: that every delivery is sent, and that none is held
// for ever.
func (k JobKind) Cancellable() bool { return k != JobFanOut && k != JobCancel }

// JobStatus is where a job stands.
type JobStatus string

// The statuses of a job.
const (
	JobRunning   JobStatus = "running"
	JobDone      JobStatus = "done"
	JobCancelled JobStatus = "cancelled"
	JobFailed    JobStatus = "failed"
)

// Job is long work, done in steps that messages in the queue ask for.
type Job struct {
	ID     string
	Tenant string
	Kind   JobKind
	Status JobStatus

	Rev       int64  // one more with each write
	Hop       int    // of the message that made the last step
	MessageID string // of that message; empty: none yet

	EventID    string           // of a fan_out
	Resend     bool             // of a fan_out: with a fresh budget, to what matches now
	EndpointID string           // of a resume, a cancel or a recover
	Epoch      int64            // of a resume: the endpoint's; another one ends the job
	Since      time.Time        // of a recover: deaths at or after it
	Filter     DeadLetterFilter // of a replay
	Limit      int              // of a replay: at most so many; 0: no limit
	Rate       float64          // of a replay: so many a second at most; 0: as fast as it goes

	Cursor  string // where the next step begins
	Done    int
	Total   int       // as far as it is known
	Counted bool      // Total has been found out
	QuietAt time.Time // of a resume or a cancel: when a pass over what is held found nothing; zero: none has
	Error   string    // of the last thing that went wrong, for people
	Tries   int       // how often the page at Cursor could not be done for what is on it
	Aside   []string  // ids of what could not be done and is tried again at the end
	Rounds  int       // over Aside so far; 0: the end is not reached

	CreatedAt time.Time
	UpdatedAt time.Time
	ExpiresAt time.Time
}
