package chaos

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Result is what came of a run.
type Result struct {
	Options Options
	Took    time.Duration

	Events int // accepted
	Owed   int // deliveries of those
	Posts  int // that arrived

	Delivered, Dead, Lost int // of the deliveries that were owed
	Duplicates            int // deliveries that were answered with 200 more than once
	Uncounted             int // attempts that arrived and are on no record
	UncountedDied         int // of those: their environment died
	UncountedRefused      int // the store did not take the record
	UncountedOvertaken    int // another receive had ended the delivery meanwhile
	TooMany               int // deliveries with more attempts on record than are allowed
	Replays               int // of all dead letters

	LogLines int // of the functions and the account, each read for what it must not show

	Injected map[string]map[string]int // what was done, by what and to whom

	Wrong     []string // why the books do not balance
	WrongMore int      // of which there is no room
}

// into copies what was counted.
func (t *tally) into(r *Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.Injected = make(map[string]map[string]int, len(t.counts))
	for what, whom := range t.counts {
		r.Injected[what] = maps.Clone(whom)
	}
}

// WriteText writes the result for people.
func (r Result) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d events to %d endpoints in %s\n\n", r.Options.Seed, r.Options.Events, r.Options.Endpoints, r.Took.Round(100*time.Millisecond))
	fmt.Fprintf(&b, "  %-28s %8d\n", "events accepted", r.Events)
	fmt.Fprintf(&b, "  %-28s %8d\n", "deliveries owed", r.Owed)
	fmt.Fprintf(&b, "  %-28s %8d\n", "  delivered", r.Delivered)
	fmt.Fprintf(&b, "  %-28s %8d\n", "  dead, with an entry each", r.Dead)
	fmt.Fprintf(&b, "  %-28s %8d\n", "  lost", r.Lost)
	fmt.Fprintf(&b, "  %-28s %8d\n", "posts that arrived", r.Posts)
	fmt.Fprintf(&b, "  %-28s %8d\n", "delivered more than once", r.Duplicates)
	fmt.Fprintf(&b, "  %-28s %8.2f %% of the deliveries\n", "  share of duplicates", 100*float64(r.Duplicates)/float64(max(r.Owed, 1)))
	fmt.Fprintf(&b, "  %-28s %8d\n", "attempts on no record", r.Uncounted)
	fmt.Fprintf(&b, "  %-28s %8d\n", "  their environment died", r.UncountedDied)
	fmt.Fprintf(&b, "  %-28s %8d\n", "  could not be recorded", r.UncountedRefused)
	fmt.Fprintf(&b, "  %-28s %8d\n", "  it had ended meanwhile", r.UncountedOvertaken)
	fmt.Fprintf(&b, "  %-28s %8d\n\n", "lines of logs, read", r.LogLines)
	b.WriteString("what was done to it\n")
	for _, what := range slices.Sorted(maps.Keys(r.Injected)) {
		total := 0
		var parts []string
		for _, whom := range slices.SortedFunc(maps.Keys(r.Injected[what]), cmp.Compare[string]) {
			n := r.Injected[what][whom]
			total += n
			if whom != "" {
				parts = append(parts, fmt.Sprintf("%s %d", whom, n))
			}
		}
		fmt.Fprintf(&b, "  %-40s %8d  %s\n", what, total, strings.Join(parts, ", "))
	}
	if len(r.Wrong) == 0 {
		b.WriteString("\nthe books balance\n")
	} else {
		b.WriteString("\nTHE BOOKS DO NOT BALANCE\n")
		for _, wrong := range r.Wrong {
			fmt.Fprintf(&b, "  %s\n", wrong)
		}
		if r.WrongMore > 0 {
			fmt.Fprintf(&b, "  and %d more\n", r.WrongMore)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
