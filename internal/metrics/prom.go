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
	p.family("webhook_deliveries_total", "counter", "Deliveries that ended, or were held, by status; failed are those with no attempts left.")
	for _, e := range ended {
		p.sample("webhook_deliveries_total", "status", e.label, t.Deliveries[e.status])
	}
	p.family("webhook_attempts_total", "counter", "Attempts made, by outcome.")
	for _, o := range hook.Outcomes() {
		p.sample("webhook_attempts_total", "outcome", string(o), t.Attempts[o])
	}
	p.histogram("webhook_delivery_duration_seconds", "How long attempts took.", &t.Durations)
	p.family("webhook_queue_size", "gauge", "Messages in the queue of deliveries that are not in flight.")
	p.sample("webhook_queue_size", "", "", int64(s.Queue.Ready+s.Queue.Delayed))
	p.family("webhook_dlq_size", "gauge", "Messages in the dead-letter queue that wait for the sweep.")
	p.sample("webhook_dlq_size", "", "", int64(s.Queue.Dead))
	p.family("webhook_endpoints_total", "gauge", "Endpoints registered, whatever their status.")
	p.sample("webhook_endpoints_total", "", "", int64(s.Endpoints.Active+s.Endpoints.Paused+s.Endpoints.Disabled))
}

// ended are the statuses that deliveries are counted by, as they are labelled.
var ended = [...]struct {
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

// labelEscaper escapes a label's value ("Exposition formats", Prometheus).
var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (p page) sample(name, label, value string, n int64) {
	p.WriteString(name)
	if label != "" {
		p.WriteString("{" + label + `="` + labelEscaper.Replace(value) + `"}`)
	}
	p.WriteString(" " + strconv.FormatInt(n, 10) + "\n")
}

func (p page) histogram(name, help string, h *Histogram) {
	p.family(name, "histogram", help)
	var below int64
	for i, n := range h.Buckets {
		below += n
		le := "+Inf"
		if i < len(buckets) {
			le = seconds(buckets[i])
		}
		p.sample(name+"_bucket", "le", le, below)
	}
	p.WriteString(name + "_sum " + seconds(h.Sum) + "\n")
	p.sample(name+"_count", "", "", below)
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'g', -1, 64) }
