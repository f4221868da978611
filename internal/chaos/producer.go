package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// groups is how many groups of two endpoints there are, each with an event type
// of its own.
func groups(endpoints int) int { return endpoints / 2 }

// Types of events: most go to a group, a few to all endpoints.
const (
	wideType  = "chaos.all"
	wideShare = 0.005
)

// filters are those of an endpoint.
func filters(endpoint, endpoints int) []string {
	return []string{fmt.Sprintf("chaos.g%d", endpoint%groups(endpoints)), wideType}
}

// plan is what the numbered events are.
type plan struct {
	dice      dice
	endpoints int
}

func planOf(o Options) plan { return plan{dice: dice(o.Seed), endpoints: o.Endpoints} }

// eventType is the type of an event.
func (p plan) eventType(n int) string {
	if p.dice.roll("wide", n) < wideShare {
		return wideType
	}
	return fmt.Sprintf("chaos.g%d", p.dice.pick(groups(p.endpoints), "group", n))
}

// targets is how many endpoints an event goes to.
func (p plan) targets(n int) int {
	kind, matched := p.eventType(n), 0
	for e := range p.endpoints {
		for _, f := range filters(e, p.endpoints) {
			if f == kind {
				matched++
			}
		}
	}
	return matched
}

// payload is that of an event, as JSON without white space.
func (p plan) payload(n int) string {
	size := p.dice.pick(600, "size", n)
	if p.dice.roll("large", n) < 0.01 {
		size = 40_000 // too large for its messages
	}
	return fmt.Sprintf(`{"n":%d,"text":%q}`, n, strings.Repeat(planted+" ", size/(len(planted)+1)))
}

// keyed says whether an event has an idempotency key.
func (p plan) keyed(n int) bool { return p.dice.roll("keyed", n) >= 0.05 }

// key is an event's idempotency key.
func (p plan) key(n int) string { return fmt.Sprintf("chaos-%d-%d", p.dice, n) }

// client calls the API, as those do who try again.
type client struct {
	url    string
	key    string // of an admin
	http   *http.Client
	tally  *tally
	ledger *ledger
}

// answer is an answer of the API.
type answer struct {
	status int
	body   []byte
}

// patience is how long the API is called before that is given up.
const patience = 5 * time.Minute

// insist makes a request until it is answered with one of the statuses.
func (c *client) insist(ctx context.Context, method, path string, body []byte, header http.Header, statuses ...int) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		a, pause, err := c.once(ctx, method, path, body, header)
		if err != nil && ctx.Err() != nil {
			return answer{}, fmt.Errorf("%s %s: %w", method, path, err)
		}
		if err == nil {
			for _, s := range statuses {
				if a.status == s {
					return a, nil
				}
			}
			if pause == 0 {
				return a, fmt.Errorf("%s %s: answered %d: %.300s", method, path, a.status, a.body)
			}
		}
		if !wait(ctx, max(pause, 50*time.Millisecond)) {
			return answer{}, fmt.Errorf("%s %s: %w", method, path, ctx.Err())
		}
	}
}

// once makes one request. pause is how long to wait before it is made again; 0:
// that would be no use.
func (c *client) once(ctx context.Context, method, path string, body []byte, header http.Header) (a answer, pause time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.tally.add("requests refused", "no answer")
		return answer{}, 0, err
	}
	a.status = resp.StatusCode
	a.body, err = io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		c.tally.add("requests refused", "no answer")
		return answer{}, 0, err
	}
	if a.status >= http.StatusTooManyRequests {
		pause = c.refused(method+" "+path, a, resp.Header)
	}
	return a, pause, nil
}

// refused checks that a refusal says clearly what to do, and returns how long it
// asks to wait. What API Gateway says for a function that died or is throttled
// is its own.
func (c *client) refused(what string, a answer, h http.Header) time.Duration {
	c.tally.add("requests refused", strconv.Itoa(a.status))
	var said struct {
		Message string `json:"message"` // API Gateway's
		Code    string `json:"code"`
	}
	if err := json.Unmarshal(a.body, &said); err != nil {
		c.ledger.wrongf("%s is answered %d and %.100q", what, a.status, a.body)
		return 0
	}
	if said.Message == "Internal Server Error" || said.Message == "Service Unavailable" {
		return 100 * time.Millisecond
	}
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 1 || a.status == http.StatusInternalServerError || h.Get("Content-Type") != "application/problem+json" {
		c.ledger.wrongf("%s is answered %d, Retry-After %q: %.300s", what, a.status, h.Get("Retry-After"), a.body)
		return time.Second
	}
	return time.Duration(seconds) * time.Second
}

// produce posts all events, each until it is accepted.
func produce(ctx context.Context, o Options, p plan, c *client) error {
	work := make(chan []int)
	var wg sync.WaitGroup
	errs := make([]error, o.Producers)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range o.Producers {
		wg.Go(func() {
			for numbers := range work {
				if errs[i] = c.post(ctx, p, numbers); errs[i] != nil {
					cancel()
					return
				}
			}
		})
	}
	for n := 0; n < o.Events && ctx.Err() == nil; {
		size := 1
		if p.dice.roll("batch", n) < 0.02 {
			size = min(10, o.Events-n)
		}
		numbers := make([]int, size)
		for i := range numbers {
			numbers[i] = n + i
		}
		select {
		case work <- numbers:
			n += size
		case <-ctx.Done():
		}
	}
	close(work)
	wg.Wait()
	return errors.Join(errs...)
}

// acceptedEvent is what a producer is told of an event that was accepted.
type acceptedEvent struct {
	ID         string `json:"id"`
	Total      int    `json:"deliveries_total"`
	Deliveries []struct {
		ID string `json:"id"`
	} `json:"deliveries"`
	Status int `json:"status"` // of a problem in its place
}

// post posts one event, or a batch.
func (c *client) post(ctx context.Context, p plan, numbers []int) error {
	if len(numbers) > 1 {
		return c.postBatch(ctx, p, numbers)
	}
	n := numbers[0]
	header := http.Header{}
	if p.keyed(n) {
		header.Set("Idempotency-Key", p.key(n))
	}
	body := fmt.Appendf(nil, `{"event_type":%q,"payload":%s}`, p.eventType(n), p.payload(n))
	a, err := c.insist(ctx, http.MethodPost, "/api/v1/events", body, header, http.StatusAccepted)
	if err != nil {
		return err
	}
	var e acceptedEvent
	if err := json.Unmarshal(a.body, &e); err != nil {
		return fmt.Errorf("read the answer to event %d: %w", n, err)
	}
	c.accepted(p, n, e)
	return nil
}

// postBatch posts a batch, and what of it was not accepted once more.
func (c *client) postBatch(ctx context.Context, p plan, numbers []int) error {
	for len(numbers) > 0 {
		var b bytes.Buffer
		b.WriteString(`{"events":[`)
		for i, n := range numbers {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"event_type":%q,"payload":%s`, p.eventType(n), p.payload(n))
			if p.keyed(n) {
				fmt.Fprintf(&b, `,"id":%q`, p.key(n))
			}
			b.WriteByte('}')
		}
		b.WriteString(`]}`)
		a, err := c.insist(ctx, http.MethodPost, "/api/v1/events/batch", b.Bytes(), nil, http.StatusAccepted)
		if err != nil {
			return err
		}
		var got struct {
			Data []acceptedEvent `json:"data"`
		}
		if err := json.Unmarshal(a.body, &got); err != nil || len(got.Data) != len(numbers) {
			return fmt.Errorf("read the answer to a batch of %d: %d answers: %w", len(numbers), len(got.Data), err)
		}
		var missing []int
		for i, n := range numbers {
			if got.Data[i].Status != 0 {
				c.tally.add("requests refused", "in a batch")
				if got.Data[i].Status != http.StatusServiceUnavailable {
					c.ledger.wrongf("event %d of a batch is answered %d", n, got.Data[i].Status)
				}
				missing = append(missing, n)
				continue
			}
			c.accepted(p, n, got.Data[i])
		}
		if numbers = missing; len(missing) > 0 && !wait(ctx, time.Second) {
			return ctx.Err()
		}
	}
	return nil
}

// accepted notes an event that was acknowledged.
func (c *client) accepted(p plan, n int, e acceptedEvent) {
	a := acceptance{event: e.ID, total: e.Total, keyed: p.keyed(n), endpoints: p.targets(n)}
	for _, d := range e.Deliveries {
		a.listed = append(a.listed, d.ID)
	}
	c.ledger.accept(n, a)
}
