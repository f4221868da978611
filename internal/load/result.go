package load

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// The two ways of posting.
const (
	Closed = "closed" // each connection posts as soon as its last answer is in
	Open   = "open"   // at a fixed rate
)

// Result is what a run found. Latencies are in milliseconds.
type Result struct {
	URL          string    `json:"url"`
	Mode         string    `json:"mode"`
	Connections  int       `json:"connections"`
	Rate         float64   `json:"rate,omitempty"`
	Endpoints    int       `json:"endpoints"`
	Batch        int       `json:"events_per_post"`
	PayloadBytes int       `json:"payload_bytes"`
	StartedAt    time.Time `json:"started_at"`
	// DurationSeconds is how long events were posted.
	DurationSeconds float64 `json:"duration_seconds"`
	// Stopped says why the posting ended early; empty when it did not.
	Stopped string `json:"stopped,omitempty"`

	// Planned events that were not posted found no free connection in time
	// (open loop).
	Planned  int `json:"planned"`
	Posted   int `json:"posted"`
	Accepted int `json:"accepted"`
	// AcceptedPerSecond counts to the last 202.
	AcceptedPerSecond float64 `json:"accepted_per_second"`
	// Delivered are deliveries that arrived and were answered 200, each counted
	// once.
	Delivered int `json:"delivered"`
	// DeliveredPerSecond counts to the last of them.
	DeliveredPerSecond float64 `json:"delivered_per_second"`

	// Accept is from an event's planned (open loop) or actual send to its 202.
	Accept Latency `json:"accept_ms"`
	// EndToEnd is from the same moment to the receipt of the attempt that was
	// answered 200.
	EndToEnd Latency `json:"end_to_end_ms"`
	// EndToEndHealthy is EndToEnd of the endpoints that answer at once, when
	// others do not.
	EndToEndHealthy *Latency `json:"end_to_end_healthy_ms,omitempty"`
	// BehindPlan is how late events were sent (open loop). It is part of the
	// latencies above.
	BehindPlan *Latency `json:"behind_plan_ms,omitempty"`

	// Lost are deliveries of accepted events that did not arrive in time, those
	// to hanging endpoints left out.
	Lost int `json:"lost"`
	// Duplicates are deliveries that arrived again after a 200.
	Duplicates int `json:"duplicates"`
	// Unconfirmed are deliveries of events that were not answered 202.
	Unconfirmed int `json:"unconfirmed"`
	// Refused attempts were answered 503, as asked.
	Refused int `json:"refused"`
	// Abandoned attempts were given up by the server before a slow answer.
	Abandoned int `json:"abandoned"`
	// Hung attempts were never answered, as asked.
	Hung int `json:"hung"`
	// Stray requests were none of this run's deliveries.
	Stray int `json:"stray"`
	// Errors counts posts that were not answered 202, by status, or "timeout"
	// or "connection".
	Errors map[string]int `json:"errors"`

	// Server is nil when it cannot be seen from here.
	Server *Process `json:"server"`
	// Self is this program: generator and receiver.
	Self *Process `json:"loadtest"`
	// Warnings are sentences about what went wrong aside from the figures.
	Warnings []string `json:"warnings,omitempty"`
}

// Process is what one or several processes used from the first POST to the end
// of the wait for deliveries.
type Process struct {
	PIDs           []int   `json:"pids"`
	CPUSeconds     float64 `json:"cpu_seconds"`
	CPUPerThousand float64 `json:"cpu_seconds_per_1000_deliveries"`
	RSSBefore      int64   `json:"rss_bytes_before"`
	RSSAfter       int64   `json:"rss_bytes_after"`
	RSSPeak        int64   `json:"rss_bytes_peak"`
	// RSSTenths is the mean of each tenth of the time of posting, where that was
	// long enough to say whether memory grows: the first tenth warms up.
	RSSTenths []int64 `json:"rss_bytes_by_tenth,omitempty"`
}

// grown is by what share memory is more in the last tenth than in the second.
func (p *Process) grown() float64 {
	first, last := p.RSSTenths[1], p.RSSTenths[len(p.RSSTenths)-1]
	return float64(last)/float64(max(first, 1)) - 1
}

func (r *Result) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// Failed says in a sentence why the run did not succeed; empty when everything
// that was accepted arrived and the server could be reached throughout.
func (r *Result) Failed() string {
	switch {
	case r.Stopped != "":
		return strings.TrimSpace(r.Stopped + " " + r.errorList())
	case r.Lost > 0:
		return fmt.Sprintf("%s of the deliveries that %s accepted did not arrive", Count(r.Lost), r.URL)
	case r.Accepted == 0:
		return fmt.Sprintf("%s accepted none of %s events %s", r.URL, Count(r.Posted), r.errorList())
	}
	return ""
}

func (r *Result) errorList() string {
	if len(r.Errors) == 0 {
		return ""
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(r.Errors)) {
		parts = append(parts, kind+": "+Count(r.Errors[kind]))
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

// Name is what was run, in a few words.
func (r *Result) Name() string {
	name := Count(r.Connections) + " connections"
	if r.Mode == Open {
		name = Count(int(r.Rate)) + " events/s"
	}
	if r.Batch > 1 {
		name += ", " + Count(r.Batch) + " events a POST"
	}
	if r.Endpoints > 1 {
		name += ", " + Count(r.Endpoints) + " endpoints"
	}
	return name
}

// WriteText prints the result for people.
func (r *Result) WriteText(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	p := &printer{w: w}
	p.line("%s at %s, %s-byte payloads, %.1f s", r.Name(), r.URL, Count(r.PayloadBytes), r.DurationSeconds)
	p.line("")
	p.line("accepted\t%s\t%s/s", Count(r.Accepted), Count(int(r.AcceptedPerSecond)))
	p.line("delivered\t%s\t%s/s", Count(r.Delivered), Count(int(r.DeliveredPerSecond)))
	p.line("")
	p.line("milliseconds\tp50\tp95\tp99\tmax")
	p.latency("accept", &r.Accept)
	p.latency("end to end", &r.EndToEnd)
	p.latency("end to end, healthy endpoints", r.EndToEndHealthy)
	p.latency("sent behind plan", r.BehindPlan)
	p.line("")
	p.line("lost\t%s", Count(r.Lost))
	p.line("duplicates\t%s", Count(r.Duplicates))
	p.line("errors\t%s", Count(r.Posted-r.Accepted))
	for _, kind := range slices.Sorted(maps.Keys(r.Errors)) {
		p.line("  %s\t%s", kind, Count(r.Errors[kind]))
	}
	p.some("planned, but not posted in time", r.Planned-r.Posted)
	p.some("delivered without a 202", r.Unconfirmed)
	p.some("attempts refused with 503", r.Refused)
	p.some("attempts abandoned by the server", r.Abandoned)
	p.some("attempts never answered", r.Hung)
	p.some("stray requests", r.Stray)
	p.line("")
	p.process("server", r.Server)
	p.process("loadtest", r.Self)
	if p.err != nil {
		return p.err
	}
	return w.Flush()
}

// WriteTable prints several results as one table, a line each.
func WriteTable(out io.Writer, results []Result) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	p := &printer{w: w}
	p.line("\taccepted/s\tdelivered/s\taccept p50\tp95\tp99\tend to end p50\tp95\tp99\tmax ms\tlost\tduplicates\terrors\tCPU-s/1,000\tRSS MiB\t")
	for i := range results {
		r := &results[i]
		cpu, rss := "-", "-"
		if r.Server != nil {
			cpu = fmt.Sprintf("%.2f", r.Server.CPUPerThousand)
			rss = Count(int(r.Server.RSSPeak >> 20))
		}
		p.line("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t", r.Name(),
			Count(int(r.AcceptedPerSecond)), Count(int(r.DeliveredPerSecond)),
			millis(r.Accept.P50), millis(r.Accept.P95), millis(r.Accept.P99),
			millis(r.EndToEnd.P50), millis(r.EndToEnd.P95), millis(r.EndToEnd.P99), millis(r.EndToEnd.Max),
			Count(r.Lost), Count(r.Duplicates), Count(r.Posted-r.Accepted), cpu, rss)
	}
	if p.err != nil {
		return p.err
	}
	return w.Flush()
}

// printer writes lines and keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *printer) latency(name string, l *Latency) {
	if l != nil {
		p.line("%s\t%s\t%s\t%s\t%s", name, millis(l.P50), millis(l.P95), millis(l.P99), millis(l.Max))
	}
}

func (p *printer) others(name string, r Result) {
	if l := r.EndToEndHealthy; l != nil {
		p.line("%s\t%s\t%s\t%s\t%s\t", name, millis(l.P50), millis(l.P95), millis(l.P99), millis(l.Max))
	}
}

func (p *printer) some(name string, n int) {
	if n > 0 {
		p.line("%s\t%s", name, Count(n))
	}
}

func (p *printer) process(name string, u *Process) {
	if u == nil {
		p.line("%s\tmemory and CPU time cannot be seen from here (give its --pid)", name)
		return
	}
	const mib = 1 << 20
	p.line("%s\t%.2f CPU-s per 1,000 deliveries (%.2f s in all), memory %d MiB before, %d after, %d at most", name,
		u.CPUPerThousand, u.CPUSeconds, u.RSSBefore/mib, u.RSSAfter/mib, u.RSSPeak/mib)
	if len(u.RSSTenths) == 0 {
		return
	}
	tenths := ""
	for _, rss := range u.RSSTenths {
		tenths += fmt.Sprintf(" %d", rss/mib)
	}
	p.line("\tMiB by tenths of the run:%s; from the second to the last %+.1f %%", tenths, 100*u.grown())
}

// WriteText prints the comparison for people.
func (w *Waiting) WriteText(out io.Writer) error {
	if err := WriteTable(out, []Result{w.Without, w.With}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nthe second with %s deliveries waiting, which took %.0f s to be made: %.2f times as many a second\n", Count(w.Deliveries), w.FillTook, w.Ratio)
	return err
}

// WriteText prints the comparison for people.
func (s *Slow) WriteText(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	p := &printer{w: t}
	p.line("the others, end to end\tp50\tp95\tp99\tmax ms\t")
	for i := range s.With {
		p.others("all answer at once", s.Without[i])
		p.others("one answers late", s.With[i])
	}
	if p.err != nil {
		return p.err
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nmedian of p95: %s ms without, %s ms with: %.2f times\n", millis(s.P95Without), millis(s.P95With), s.Ratio)
	return err
}

// millis shows three digits, give or take.
func millis(ms float64) string {
	switch {
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 2, 64)
	case ms < 100:
		return strconv.FormatFloat(ms, 'f', 1, 64)
	}
	return Count(int(ms + 0.5))
}

// Count writes a number with commas between its thousands.
func Count(n int) string {
	if n < 0 {
		return "-" + Count(-n)
	}
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
