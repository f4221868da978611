package httpapi

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"posthorn/internal/hook"
)

// Queue counts the messages in the queues.
type Queue interface {
	Depths(ctx context.Context) (hook.QueueDepths, error)
}

// Counters reads what was counted, summed over every process and environment.
type Counters interface {
	Counts(ctx context.Context) (Counts, error)
}

// Counts is what was counted since the beginning, over all tenants.
type Counts struct {
	Events            map[string]int64 // accepted, by event type
	Delivered         int64            // deliveries
	Failed            int64            // deliveries that ended dead
	Held              int64            // deliveries
	Cancelled         int64            // deliveries
	AttemptsSucceeded int64
	AttemptsFailed    int64
	// OldestAge is the age of the oldest delivery that waits, or was taken up in
	// the last minute, where so many messages are ready now.
	OldestAge func(ready int) time.Duration
}

// MetricsWriter writes the metrics in the Prometheus text format.
type MetricsWriter interface {
	WriteMetrics(ctx context.Context, b *bytes.Buffer) error
}

// EventType is a predefined event type.
type EventType struct {
	Name        string
	Description string
}

// Check asks something that this program needs whether it works.
type Check struct {
	Name string // as shown by /ready, such as "dynamodb"
	Ask  func(ctx context.Context) error
}

type statsAnswer struct {
	Queue struct {
		Ready    int `json:"ready"`
		InFlight int `json:"in_flight"`
		Delayed  int `json:"delayed"`
	} `json:"queue"`
	DLQ struct {
		Waiting int `json:"waiting"` // for the sweeper
		Entries int `json:"entries"`
	} `json:"dlq"`
	Endpoints struct {
		Total    int `json:"total"`
		Active   int `json:"active"`
		Paused   int `json:"paused"`
		Disabled int `json:"disabled"`
	} `json:"endpoints"`
	EventsTotal int64 `json:"events_total"`
	Deliveries  struct {
		Delivered int64 `json:"delivered"`
		Failed    int64 `json:"failed"`
		Held      int64 `json:"held"`
		Cancelled int64 `json:"cancelled"`
	} `json:"deliveries"`
	Attempts struct {
		Succeeded int64 `json:"succeeded"`
		Failed    int64 `json:"failed"`
	} `json:"attempts"`
	LagSeconds float64 `json:"lag_seconds"`
}

func (a *API) stats(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	var (
		depths    hook.QueueDepths
		endpoints hook.EndpointCounts
		entries   int
		counts    Counts
	)
	ctx := r.Context()
	if err := together(
		func() (err error) { depths, err = a.o.Queue.Depths(ctx); return err },
		func() (err error) { endpoints, err = a.o.Endpoints.EndpointCounts(ctx); return err },
		func() (err error) {
			entries, err = a.o.DeadLetters.CountDeadLetters(ctx, hook.DeadLetterFilter{Tenant: tenantOf(r)})
			return err
		},
		func() (err error) { counts, err = a.o.Counters.Counts(ctx); return err },
	); err != nil {
		return err
	}

	var s statsAnswer
	s.Queue.Ready, s.Queue.InFlight, s.Queue.Delayed = depths.Ready, depths.InFlight, depths.Delayed
	s.DLQ.Waiting, s.DLQ.Entries = depths.Dead, entries
	s.Endpoints.Active, s.Endpoints.Paused, s.Endpoints.Disabled = endpoints.Active, endpoints.Paused, endpoints.Disabled
	s.Endpoints.Total = endpoints.Active + endpoints.Paused + endpoints.Disabled
	for _, n := range counts.Events {
		s.EventsTotal += n
	}
	s.Deliveries.Delivered, s.Deliveries.Failed = counts.Delivered, counts.Failed
	s.Deliveries.Held, s.Deliveries.Cancelled = counts.Held, counts.Cancelled
	s.Attempts.Succeeded, s.Attempts.Failed = counts.AttemptsSucceeded, counts.AttemptsFailed
	s.LagSeconds = counts.OldestAge(depths.Ready).Seconds()
	return a.answer(w, r, http.StatusOK, s)
}

type eventTypeAnswer struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Predefined  bool   `json:"predefined"`
	EventsTotal *int64 `json:"events_total"` // null: not for this caller
}

// listEventTypes lists the predefined types, in their order, and then every
// other one that was ever accepted, by name. It has no pages: few types are
// counted by name. What was accepted is counted over all tenants, so it is for
// the default one alone; the others see what is predefined.
func (a *API) listEventTypes(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	var counted map[string]int64
	all := tenantOf(r) == DefaultTenant
	if all {
		counts, err := a.o.Counters.Counts(r.Context())
		if err != nil {
			return err
		}
		counted = counts.Events
	}
	types := make([]eventTypeAnswer, 0, len(a.o.EventTypes)+len(counted))
	known := make(map[string]bool, len(a.o.EventTypes))
	for _, t := range a.o.EventTypes {
		known[t.Name] = true
		shown := eventTypeAnswer{Name: t.Name, Description: t.Description, Predefined: true}
		if all {
			n := counted[t.Name]
			shown.EventsTotal = &n
		}
		types = append(types, shown)
	}
	for _, name := range slices.Sorted(maps.Keys(counted)) {
		if n := counted[name]; !known[name] {
			types = append(types, eventTypeAnswer{Name: name, EventsTotal: &n})
		}
	}
	return a.answer(w, r, http.StatusOK, struct {
		Data       []eventTypeAnswer `json:"data"`
		NextCursor *string           `json:"next_cursor"`
	}{types, nil})
}

// health says that the process lives, and nothing about what it needs.
func (a *API) health(w http.ResponseWriter, r *http.Request) error {
	return a.answer(w, r, http.StatusOK, struct {
		Status  string `json:"status"`
		Version string `json:"version"`
	}{"ok", a.o.Version})
}

func (a *API) metrics(w http.ResponseWriter, r *http.Request) error {
	var b bytes.Buffer
	if err := a.o.Metrics.WriteMetrics(r.Context(), &b); err != nil {
		return err
	}
	a.write(w, r, http.StatusOK, "text/plain; version=0.0.4; charset=utf-8", b.Bytes())
	return nil
}

func (a *API) isReady(w http.ResponseWriter, r *http.Request) error {
	if failing := a.ready.failing(r.Context()); len(failing) > 0 {
		return &problem{kind: kindNotReady, detail: "No answer from " + strings.Join(failing, ", ") + "."}
	}
	return a.answer(w, r, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ready"})
}

const (
	readyKept    = 5 * time.Second // how long an answer of the checks holds
	readyTimeout = 2 * time.Second // for all checks together
)

// readiness asks the checks, at most once in readyKept however many ask it.
type readiness struct {
	checks []Check
	now    func() time.Time
	log    *slog.Logger

	mu    sync.Mutex
	asked time.Time
	names []string // of the checks that failed
}

// failing returns the names of the checks that failed.
func (rd *readiness) failing(ctx context.Context) []string {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	now := rd.now()
	if !rd.asked.IsZero() && now.Sub(rd.asked) < readyKept {
		return rd.names
	}
	// The answer is for others too: it does not depend on this caller's patience.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
	defer cancel()
	errs := make([]error, len(rd.checks))
	var wg sync.WaitGroup
	for i, c := range rd.checks {
		wg.Go(func() { errs[i] = recovered(func() error { return c.Ask(ctx) }) })
	}
	wg.Wait()
	var names []string
	for i, err := range errs {
		if err != nil {
			names = append(names, rd.checks[i].Name)
			rd.log.LogAttrs(ctx, slog.LevelWarn, "not ready", slog.String("check", rd.checks[i].Name), slog.String("error", err.Error()))
		}
	}
	rd.asked, rd.names = now, names
	return names
}
