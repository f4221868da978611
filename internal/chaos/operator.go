package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxRetries of each endpoint, after the first attempt.
const maxRetries = 4

// operator looks after the endpoints.
type operator struct {
	*client
	o        Options
	dice     dice
	receiver *receiver
	ids      []string // of the endpoints, by number
	replays  int      // of dead letters
}

// register makes the endpoints. What was made without an answer is deleted
// again.
func (p *operator) register(ctx context.Context) error {
	for n := range p.o.Endpoints {
		secret := fmt.Sprintf("%s-secret-of-%d", planted, n)
		p.receiver.accept(n, secret)
		fields := map[string]any{
			"url": p.receiver.url(n), "events": filters(n, p.o.Endpoints), "secret": secret, "max_retries": maxRetries, "timeout": endpointTimeout,
			"description": characterOf(n).name, "headers": map[string]string{"X-Endpoint": fmt.Sprintf("%s-header-of-%d", planted, n)},
		}
		if rate := characterOf(n).rateLimit; rate > 0 {
			fields["rate_limit"] = rate
		}
		body, err := json.Marshal(fields)
		if err != nil {
			return fmt.Errorf("encode endpoint %d: %w", n, err)
		}
		a, err := p.insist(ctx, http.MethodPost, "/api/v1/webhooks", body, nil, http.StatusCreated)
		if err != nil {
			return err
		}
		var made struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(a.body, &made); err != nil {
			return fmt.Errorf("read endpoint %d: %w", n, err)
		}
		p.ids = append(p.ids, made.ID)
	}
	known := map[string]bool{}
	for _, id := range p.ids {
		known[id] = true
	}
	all, err := p.endpoints(ctx)
	if err != nil {
		return err
	}
	for _, e := range all {
		delete(known, e.ID)
		if !contains(p.ids, e.ID) {
			if _, err := p.insist(ctx, http.MethodDelete, "/api/v1/webhooks/"+e.ID, nil, nil, http.StatusNoContent, http.StatusNotFound); err != nil {
				return err
			}
		}
	}
	for id := range known {
		p.ledger.wrongf("endpoint %s was registered and is not there", id)
	}
	return nil
}

func contains(list []string, one string) bool {
	for _, s := range list {
		if s == one {
			return true
		}
	}
	return false
}

// endpointShown is an endpoint as the API shows it.
type endpointShown struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

func (p *operator) endpoints(ctx context.Context) ([]endpointShown, error) {
	return list[endpointShown](ctx, p.client, "/api/v1/webhooks")
}

// list reads a list, page by page.
func list[T any](ctx context.Context, c *client, path string) (all []T, err error) {
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	for cursor := ""; ; {
		a, err := c.insist(ctx, http.MethodGet, path+separator+"limit=200"+cursor, nil, nil, http.StatusOK)
		if err != nil {
			return nil, err
		}
		var page struct {
			Data []T     `json:"data"`
			Next *string `json:"next_cursor"`
		}
		if err := json.Unmarshal(a.body, &page); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		all = append(all, page.Data...)
		if page.Next == nil {
			return all, nil
		}
		cursor = "&cursor=" + url.QueryEscape(*page.Next)
	}
}

// disturb pauses endpoints and resumes them, rotates their secrets, resumes
// those that were disabled, and once replays all dead letters, until ctx ends.
// It leaves no endpoint paused on purpose.
func (p *operator) disturb(ctx context.Context) error {
	for n := 0; wait(ctx, p.dice.around(p.o.Faults.Operate, "operate", n)); n++ {
		endpoint := p.dice.pick(len(p.ids), "on whom", n)
		lasting := context.WithoutCancel(ctx)
		if p.o.Faults.Pauses {
			if err := p.pause(ctx, p.ids[endpoint], n); err != nil {
				return err
			}
		}
		if n%3 == 0 {
			if err := p.rotate(lasting, endpoint, n); err != nil {
				return err
			}
		}
		if _, err := p.resumeAll(lasting); err != nil {
			return err
		}
		if accepted, _ := p.ledger.progress(); p.replays == 0 && accepted > p.o.Events*3/5 {
			if err := p.replay(lasting, accepted); err != nil {
				return err
			}
		}
	}
	return nil
}

// pause pauses an endpoint, and resumes it after a while or when ctx ends.
func (p *operator) pause(ctx context.Context, id string, n int) error {
	lasting := context.WithoutCancel(ctx)
	if _, err := p.insist(lasting, http.MethodPost, "/api/v1/webhooks/"+id+"/pause", nil, nil, http.StatusOK); err != nil {
		return err
	}
	p.tally.add("endpoints paused", "")
	wait(ctx, p.dice.around(p.o.Faults.Operate/2, "resume", n))
	return p.resume(lasting, id)
}

func (p *operator) resume(ctx context.Context, id string) error {
	_, err := p.insist(ctx, http.MethodPost, "/api/v1/webhooks/"+id+"/resume", nil, nil, http.StatusAccepted)
	return err
}

// resumeAll resumes every endpoint that is not active, and returns how many
// there were.
func (p *operator) resumeAll(ctx context.Context) (n int, err error) {
	all, err := p.endpoints(ctx)
	if err != nil {
		return 0, err
	}
	for _, e := range all {
		if e.Status == "active" {
			continue
		}
		p.tally.add("endpoints found not active, and resumed", e.Status)
		if err := p.resume(ctx, e.ID); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// rotate gives an endpoint another secret. The receiver takes both from before
// it is asked for: who gets no answer does not know which one signs.
func (p *operator) rotate(ctx context.Context, endpoint, n int) error {
	secret := fmt.Sprintf("%s-secret-of-%d-%d", planted, endpoint, n)
	p.receiver.accept(endpoint, secret)
	body := fmt.Appendf(nil, `{"secret":%q}`, secret)
	// Each try of which the answer was lost has rotated it: five secrets sign at
	// most, and then it is refused until one has expired.
	_, err := p.insist(ctx, http.MethodPost, "/api/v1/webhooks/"+p.ids[endpoint]+"/rotate-secret", body, nil, http.StatusOK, http.StatusConflict)
	p.tally.add("secrets rotated", "")
	return err
}

// replay cures what was poison so far, and replays all dead letters.
func (p *operator) replay(ctx context.Context, upTo int) error {
	p.receiver.cure(upTo)
	p.replays++
	_, err := p.insist(ctx, http.MethodPost, "/api/v1/dlq/replay", []byte(`{"filter":{}}`), nil, http.StatusAccepted)
	p.tally.add("replays of all dead letters", "")
	return err
}

// jobs counts those that run: those that look a last time whether anything is left,
// and those that have something to do.
func (p *operator) jobs(ctx context.Context) (looking, working int, err error) {
	all, err := list[struct {
		Status string  `json:"status"`
		Done   int     `json:"done"`
		Total  int     `json:"total"`
		Error  *string `json:"error"`
	}](ctx, p.client, "/api/v1/jobs")
	for _, j := range all {
		switch {
		case j.Status != "running":
		case j.Done < j.Total || j.Error != nil:
			working++
		default:
			looking++
		}
	}
	return looking, working, err
}

// held counts the active endpoints that have anything held.
func (p *operator) held(ctx context.Context) (n int, err error) {
	all, err := p.endpoints(ctx)
	if err != nil {
		return 0, err
	}
	for _, e := range all {
		if e.Status != "active" {
			continue
		}
		deliveries, err := list[struct{}](ctx, p.client, "/api/v1/deliveries?status=held&endpoint_id="+e.ID)
		if err != nil {
			return n, err
		}
		if len(deliveries) > 0 {
			n++
		}
	}
	return n, nil
}

// outages puts one service after the other out for a while, until ctx ends.
func outages(ctx context.Context, d dice, f Faults, w *awsFaults, t *tally) {
	if f.OutageEvery == 0 {
		return
	}
	for n := 0; wait(ctx, d.around(f.OutageEvery, "outage", n)); n++ {
		service := services[(d.pick(len(services), "what is out first")+n)%len(services)]
		t.add("outages", service)
		w.setDown(service)
		wait(ctx, d.around(f.OutageFor, "how long", n))
		w.setDown("")
	}
}

// tail is how long all goes on being broken when everything is accepted.
func (o Options) tail() time.Duration {
	if o.Events < 1000 {
		return time.Second
	}
	return 10 * time.Second
}
