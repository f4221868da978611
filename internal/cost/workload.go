package cost

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Workload is what is run to see what it costs.
type Workload struct {
	Events  int     // in each POST
	FanOut  int     // endpoints that each event goes to
	Failing float64 // share of the attempts that an endpoint answers with 500
	Posts   int
}

// Name says what a workload is.
func (w Workload) Name() string {
	return fmt.Sprintf("%s a POST, fan-out %d, %g %% failing", count(w.Events, "event"), w.FanOut, w.Failing*100)
}

// Deliveries is how many deliveries the workload makes.
func (w Workload) Deliveries() int { return w.Posts * w.Events * w.FanOut }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Workloads are the fixed ones that budgets are kept for.
func Workloads() []Workload {
	var all []Workload
	for _, failing := range []float64{0, 0.05, 0.5} {
		for _, fanOut := range []int{1, 10} {
			for _, events := range []int{1, 10} {
				all = append(all, Workload{Events: events, FanOut: fanOut, Failing: failing, Posts: max(100/(events*fanOut), 10)})
			}
		}
	}
	return all
}

// payload is an event's data of about 1 KB: an order as a shop would post it,
// whose names are the same in every event and whose values are not.
func payload(dice *rand.Rand) json.RawMessage {
	var b strings.Builder
	fmt.Fprintf(&b, `{"order_id":"ord_%016x","status":%q,"currency":"EUR","total":%d.%02d,"customer":{"id":"cus_%016x","name":%q,"email":"%s%d@example.com"},"items":[`,
		dice.Uint64(), pick(dice, "paid", "open", "refunded"), dice.IntN(900), dice.IntN(100), dice.Uint64(),
		pick(dice, "Ada", "Grace", "Edsger", "Barbara", "Donald")+" "+pick(dice, "Lovelace", "Hopper", "Dijkstra", "Liskov", "Knuth"),
		pick(dice, "ada", "grace", "edsger", "barbara"), dice.IntN(10_000))
	for i := 0; b.Len() < 900; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"sku":"%08X","title":"%s %s","quantity":%d,"price":%d.%02d}`,
			dice.Uint32(), pick(dice, "Blue", "Green", "Small", "Large", "Folding"), pick(dice, "chair", "table", "lamp", "shelf", "carpet"), 1+dice.IntN(4), dice.IntN(300), dice.IntN(100))
	}
	fmt.Fprintf(&b, `],"note":"%016x"}`, dice.Uint64())
	return json.RawMessage(b.String())
}

func pick(dice *rand.Rand, of ...string) string { return of[dice.IntN(len(of))] }

// body is a POST of so many events.
func body(dice *rand.Rand, events int) (path string, body []byte, err error) {
	type event struct {
		Type    string          `json:"event_type"`
		Payload json.RawMessage `json:"payload"`
	}
	all := make([]event, events)
	for i := range all {
		all[i] = event{"order.updated", payload(dice)}
	}
	if events == 1 {
		body, err = json.Marshal(all[0])
		return "/api/v1/events", body, err
	}
	body, err = json.Marshal(map[string]any{"events": all})
	return "/api/v1/events/batch", body, err
}
