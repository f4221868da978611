package metrics

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"posthorn/internal/hook"
)

// Snapshot is what the metrics show: everything at one moment.
type Snapshot struct {
	At        time.Time
	Totals    Totals
	Queue     hook.QueueDepths
	Endpoints hook.EndpointCounts
}

// Write appends the metrics to b in the Prometheus text format, version 0.0.4,
// always in the same order.
func Write(b *bytes.Buffer, s *Snapshot) {
	p, t := page{b}, &s.Totals
	p.family("webhook_events_total", "counter", "Events accepted, by type. Types beyond the first 200 are counted as other.")
	for _, eventType := range slices.Sorted(maps.Keys(t.Events)) {
		p.sample("webhook_events_total", "event_type", eventType, t.Events[eventType])
	}
	p.single("webhook_accept_errors_total", "counter", "Events that could not be accepted through no fault of their producer.", t.AcceptErrors)
	p.family("webhook_deliveries_total", "counter", "Deliveries that ended, or were held, by status; failed are those with no attempts left.")
	for _, e := range endings {
		p.sample("webhook_deliveries_total", "status", e.label, t.Deliveries[e.status])
	}
	p.family("webhook_attempts_total", "counter", "Attempts made, by outcome.")
	for _, o := range hook.Outcomes() {
		p.sample("webhook_attempts_total", "outcome", string(o), t.Attempts[o])
	}
	p.family("webhook_throttled_total", "counter", "Turns that deliveries did not get, by what they wait for; no attempt is used up.")
	for _, reason := range hook.Throttles() {
		p.sample("webhook_throttled_total", "reason", string(reason), t.Throttled[reason])
	}
	p.histogram("webhook_delivery_duration_seconds", "How long attempts took.", &attemptBounds, &t.Durations)
	p.histogram("webhook_end_to_end_seconds", "From the acceptance of an event to its delivery, of what was not sent again by hand.", &endToEndBounds, &t.EndToEnd)
	p.family("webhook_lag_seconds", "gauge", "Age of the oldest delivery that waits for its first attempt, or had it within the last minute.")
	p.WriteString("webhook_lag_seconds " + seconds(t.OldestAge(s.Queue.Ready, s.At)) + "\n")
	p.single("webhook_queue_size", "gauge", "Messages in the queue of deliveries that are not in flight.", int64(s.Queue.Ready+s.Queue.Delayed))
	p.single("webhook_queue_ready", "gauge", "Messages in the queue of deliveries that can be taken now.", int64(s.Queue.Ready))
	p.single("webhook_queue_in_flight", "gauge", "Messages of the queue of deliveries that are being worked on, or wait for the next attempt in flight.", int64(s.Queue.InFlight))
	p.single("webhook_queue_delayed", "gauge", "Messages in the queue of deliveries that can be taken later.", int64(s.Queue.Delayed))
	p.single("webhook_dlq_size", "gauge", "Messages in the dead-letter queue that wait for the sweep.", int64(s.Queue.Dead))
	p.single("webhook_endpoints_total", "gauge", "Endpoints registered, whatever their status.", int64(s.Endpoints.Active+s.Endpoints.Paused+s.Endpoints.Disabled))
	p.family("webhook_endpoints", "gauge", "Endpoints registered, by status.")
	p.sample("webhook_endpoints", "status", string(hook.EndpointActive), int64(s.Endpoints.Active))
	p.sample("webhook_endpoints", "status", string(hook.EndpointPaused), int64(s.Endpoints.Paused))
	p.sample("webhook_endpoints", "status", string(hook.EndpointDisabled), int64(s.Endpoints.Disabled))
}

// endings are the statuses that deliveries are counted by, as they are labelled.
var endings = [...]struct {
	status hook.Status
	label  string
}{
	{hook.Delivered, "delivered"}, {hook.Dead, "failed"}, {hook.Held, "held"}, {hook.Cancelled, "cancelled"},
}

// page is metrics text being written.
type page struct{ *bytes.Buffer }

func (p page) family(name, kind, help string) {
	p.WriteString("# HELP " + name + " " + help + "\n# TYPE " + name + " " + kind + "\n")
}

// single writes a family of one sample without labels.
func (p page) single(name, kind, help string, n int64) {
	p.family(name, kind, help)
	p.sample(name, "", "", n)
}

// labelEscaper escapes a label's value ("Exposition formats", Prometheus).
var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (p page) sample(name, label, value string, n int64) {
	p.WriteString(name)
	if label != "" {
		p.WriteString("{" + label + `="` + labelEscaper.Replace(value) + `"}`)
	}
	p.WriteString(" " + strconv.FormatInt(n, 10) + "\n")
}

func (p page) histogram(name, help string, bounds *Bounds, h *Histogram) {
	p.family(name, "histogram", help)
	var below int64
	for i, n := range h.Buckets {
		below += n
		le := "+Inf"
		if i < len(bounds) {
			le = seconds(bounds[i])
		}
		p.sample(name+"_bucket", "le", le, below)
	}
	p.WriteString(name + "_sum " + seconds(h.Sum) + "\n")
	p.sample(name+"_count", "", "", below)
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'g', -1, 64) }
