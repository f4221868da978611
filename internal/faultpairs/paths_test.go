package faultpairs

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
	"posthorn/internal/id"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/wire"
)

const hookURL = "https://receiver.test/hook"

var paths = []path{
	{
		name: "register an endpoint",
		when: func(a *account) func() {
			a.insist("POST", "/api/v1/webhooks", endpoint(map[string]any{"headers": map[string]string{"X-Own": "value"}}), created)
			_, deliveries := a.emit("order.created")
			a.acknowledged("delivered", deliveries...)
			return nil
		},
	},
	{
		name:  "change an endpoint",
		given: func(a *account) { a.register(map[string]any{"url": "https://receiver.test/old"}) },
		when: func(a *account) func() {
			id := a.only("/api/v1/webhooks")["id"].(string)
			a.insist("PATCH", "/api/v1/webhooks/"+id, map[string]any{"url": hookURL, "headers": map[string]string{"X-Own": "value"}}, ok)
			a.receiver.answers("https://receiver.test/old", 500)
			_, deliveries := a.emit("order.created")
			a.acknowledged("delivered", deliveries...)
			return nil
		},
	},
	{
		name:  "rotate a secret",
		given: func(a *account) { a.register(map[string]any{}) },
		when: func(a *account) func() {
			id := a.only("/api/v1/webhooks")["id"].(string)
			// Whoever gets no answer does not know the new secret: the old one still
			// signs, so that nothing is refused.
			a.insist("POST", "/api/v1/webhooks/"+id+"/rotate-secret", nil, ok)
			_, deliveries := a.emit("order.created")
			a.acknowledged("delivered", deliveries...)
			return nil
		},
	},
	{
		name:  "test an endpoint",
		given: func(a *account) { a.register(map[string]any{"events": []string{"none"}}) },
		when: func(a *account) func() {
			id := a.only("/api/v1/webhooks")["id"].(string)
			a.acknowledged("delivered", a.insist("POST", "/api/v1/webhooks/"+id+"/test", nil, accepted).deliveries()...)
			return nil
		},
	},
	{
		name: "accept an event and deliver it",
		given: func(a *account) {
			a.register(map[string]any{"headers": map[string]string{"X-Own": "value"}})
			a.register(map[string]any{"url": "https://receiver.test/other"})
		},
		when: func(a *account) func() {
			got := a.insist("POST", "/api/v1/events", event("order.created"), accepted)
			a.acknowledged("delivered", got.deliveries()...)
			return func() { require.Len(a.t, got.deliveries(), 2) }
		},
	},
	{
		name:  "accept an event under a key, twice",
		given: func(a *account) { a.register(map[string]any{}) },
		when: func(a *account) func() {
			first := a.insist("POST", "/api/v1/events", event("order.created"), accepted, "Idempotency-Key", "one")
			a.acknowledged("delivered", first.deliveries()...)
			a.settle()
			second := a.insist("POST", "/api/v1/events", event("order.created"), accepted, "Idempotency-Key", "one")
			return func() {
				require.Equal(a.t, first.id(), second.id(), "a repeat is the same event")
				require.Len(a.t, a.events(), 1)
			}
		},
	},
	{
		name:  "accept a batch",
		given: func(a *account) { a.register(map[string]any{}) },
		when: func(a *account) func() {
			batch := map[string]any{"events": []map[string]any{
				{"event_type": "order.created", "payload": map[string]any{}, "id": "one"},
				{"event_type": "order.created", "payload": map[string]any{}},
				{"event_type": "not a type", "payload": map[string]any{}},
				{"event_type": "order.updated", "payload": map[string]any{}, "id": "two"},
			}}
			missing := map[int]bool{0: true, 1: true, 3: true}
			for len(missing) > 0 {
				for i, one := range a.insist("POST", "/api/v1/events/batch", batch, accepted).body["data"].([]any) {
					answered := answer{body: one.(map[string]any)}
					if answered.body["deliveries"] != nil {
						delete(missing, i)
						a.acknowledged("delivered", answered.deliveries()...)
					} else if i != 2 {
						require.EqualValues(a.t, http.StatusServiceUnavailable, answered.body["status"], answered.body)
						require.Equal(a.t, fmt.Sprintf("events[%d]", i), answered.body["field"])
					}
				}
			}
			return nil
		},
	},
	{
		name: "accept an event for many endpoints: a fan-out job",
		most: 2,
		given: func(a *account) {
			for n := range hook.MaxInlineTargets + 5 {
				a.register(map[string]any{"url": fmt.Sprintf("https://receiver.test/hook/%d", n)})
			}
		},
		when: func(a *account) func() {
			got := a.insist("POST", "/api/v1/events", event("order.created"), accepted, "Idempotency-Key", "one")
			e, err := a.table.Event(context.Background(), "default", got.id())
			require.NoError(a.t, err)
			targets, err := a.table.AllTargets(context.Background(), e)
			require.NoError(a.t, err)
			for _, endpoint := range targets {
				a.acknowledged("delivered", e.Ref(endpoint).ID())
			}
			return func() { require.Len(a.t, targets, hook.MaxInlineTargets+5) }
		},
	},
	{
		name:  "deliver a body that does not fit into its message",
		given: func(a *account) { a.register(map[string]any{}) },
		when: func(a *account) func() {
			body := map[string]any{"event_type": "order.created", "payload": map[string]any{"text": strings.Repeat("x", hook.MaxInlineBody)}}
			a.acknowledged("delivered", a.insist("POST", "/api/v1/events", body, accepted, "Idempotency-Key", "one").deliveries()...)
			return nil
		},
	},
	{
		name:  "fail, and deliver when it is tried again",
		given: func(a *account) { a.register(map[string]any{}) },
		when: func(a *account) func() {
			a.receiver.answers(hookURL, 503, hang, 200)
			a.acknowledged("delivered", a.insist("POST", "/api/v1/events", event("order.created"), accepted).deliveries()...)
			return nil
		},
	},
	{
		name: "use up all attempts: the redrive policy, the sweep, and the notices",
		given: func(a *account) {
			a.cfg.Notices.DeadLetterGrowth = 1
			a.environments()
			a.register(map[string]any{"events": []string{"order.*"}})
			a.register(map[string]any{"url": "https://receiver.test/notices", "events": []string{hook.NoticeDead, hook.NoticeGrowing}})
		},
		when: func(a *account) func() {
			a.receiver.answers(hookURL, 503)
			a.acknowledged("dead", a.insist("POST", "/api/v1/events", event("order.created"), accepted, "Idempotency-Key", "one").deliveries()...)
			return func() {
				require.Len(a.t, a.told(hook.NoticeDead), 1, "a death is told once")
				if a.ledger.faults == 0 { // it is a hint: a fault may keep it from being told
					require.Len(a.t, a.told(hook.NoticeGrowing), 1)
				}
				require.LessOrEqual(a.t, len(a.told(hook.NoticeGrowing)), 1, "growth is told once")
			}
		},
	},
	{
		name:  "use up a short budget: to the dead letters by its own hand",
		given: func(a *account) { a.register(map[string]any{"max_retries": 1}) },
		when: func(a *account) func() {
			a.receiver.answers(hookURL, 503)
			a.acknowledged("dead", a.insist("POST", "/api/v1/events", event("order.created"), accepted, "Idempotency-Key", "one").deliveries()...)
			return nil
		},
	},
	{
		name: "die when the event would soon expire: it stays as long as the dead letter",
		given: func(a *account) {
			a.cfg.Retention.Events = 24 * time.Hour
			a.environments()
			a.register(map[string]any{"max_retries": 0})
		},
		when: func(a *account) func() {
			a.receiver.answers(hookURL, 503)
			got := a.insist("POST", "/api/v1/events", event("order.created"), accepted, "Idempotency-Key", "one")
			a.acknowledged("dead", got.deliveries()...)
			return func() {
				e, err := a.table.Event(context.Background(), "default", got.id())
				require.NoError(a.t, err)
				expires, err := time.Parse(time.RFC3339, a.only("/api/v1/dlq")["expires_at"].(string))
				require.NoError(a.t, err)
				require.False(a.t, e.ExpiresAt.Before(expires.Truncate(time.Second)), "the event expires at %s, its dead letter at %s", e.ExpiresAt, expires)
			}
		},
	},
	{
		name: "410: the endpoint is disabled, and what comes after is held",
		given: func(a *account) {
			a.register(map[string]any{"events": []string{"order.*"}})
			a.register(map[string]any{"url": "https://receiver.test/notices", "events": []string{hook.NoticeDisabled}})
		},
		when: func(a *account) func() {
			a.receiver.answers(hookURL, 410)
			// Should the endpoint be disabled, and that be all, the delivery comes again
			// and is held. Should that fail, or the telling, the next 410 does it.
			for n, disabled := 0, false; n < 2 || !disabled; n++ {
				require.LessOrEqual(a.t, n, maxFaults+1, "it is never disabled")
				disabled = a.shown("disabled")
				posted := a.insist("POST", "/api/v1/events", event("order.created"), accepted, "Idempotency-Key", fmt.Sprint(n))
				a.acknowledged("dead or held", posted.deliveries()...)
				a.settle()
			}
			return func() { require.Len(a.t, a.told(hook.NoticeDisabled), 1, "it is told once") }
		},
	},
	{
		name: "open the breaker, probe, and close it",
		given: func(a *account) {
			a.cfg.Breaker.MinAttempts = 2
			a.environments()
			a.register(map[string]any{"events": []string{"order.*"}})
			a.register(map[string]any{"url": "https://receiver.test/notices", "events": []string{hook.NoticeRecovered}})
		},
		when: func(a *account) func() {
			a.receiver.answers(hookURL, 503, 503, 503, 200)
			a.acknowledged("delivered", a.insist("POST", "/api/v1/events", event("order.created"), accepted, "Idempotency-Key", "one").deliveries()...)
			return func() {
				if a.ledger.faults == 0 { // else the breaker may still be open, and is closed, and told of, by the next success
					require.Len(a.t, a.told(hook.NoticeRecovered), 1)
				}
				require.LessOrEqual(a.t, len(a.told(hook.NoticeRecovered)), 1, "it is told once")
			}
		},
	},
	{
		name: "wait for the slots of rate limits",
		given: func(a *account) {
			a.cfg.Limits.Egress = 1
			a.environments()
			a.register(map[string]any{"rate_limit": 0.5})
		},
		when: func(a *account) func() {
			for n := range 3 {
				a.acknowledged("delivered", a.insist("POST", "/api/v1/events", event("order.created"), accepted, "Idempotency-Key", fmt.Sprint(n)).deliveries()...)
			}
			return nil
		},
	},
	{
		name:  "pause an endpoint, and hold what comes",
		given: func(a *account) { a.register(map[string]any{}) },
		when: func(a *account) func() {
			id := a.only("/api/v1/webhooks")["id"].(string)
			a.insist("POST", "/api/v1/webhooks/"+id+"/pause", nil, ok)
			a.acknowledged("held", a.insist("POST", "/api/v1/events", event("order.created"), accepted, "Idempotency-Key", "one").deliveries()...)
			return nil
		},
	},
	{
		name:  "resume an endpoint, and release what is held",
		given: func(a *account) { a.holdTwo() },
		when: func(a *account) func() {
			id := a.only("/api/v1/webhooks")["id"].(string)
			a.insist("POST", "/api/v1/webhooks/"+id+"/resume", nil, accepted)
			for delivery := range a.ledger.wanted {
				a.acknowledged("delivered", delivery)
			}
			return nil
		},
	},
	{
		name:  "cancel a resume: the endpoint is paused again",
		given: func(a *account) { a.holdTwo() },
		when: func(a *account) func() {
			id := a.only("/api/v1/webhooks")["id"].(string)
			job := a.insist("POST", "/api/v1/webhooks/"+id+"/resume", nil, accepted).body["job"].(map[string]any)["id"].(string)
			a.insist("POST", "/api/v1/jobs/"+job+"/cancel", nil, ok)
			a.settle()
			for delivery := range a.ledger.wanted { // as far as it came
				status := a.operate(http.StatusOK, "GET", "/api/v1/deliveries/"+delivery, nil).body["status"].(string)
				require.Contains(a.t, []string{"held", "delivered"}, status)
				a.acknowledged(status, delivery)
			}
			return func() { require.Equal(a.t, "paused", a.only("/api/v1/webhooks")["status"]) }
		},
	},
	{
		name:  "delete an endpoint, and cancel what is held",
		given: func(a *account) { a.holdTwo() },
		when: func(a *account) func() {
			id := a.only("/api/v1/webhooks")["id"].(string)
			a.insist("DELETE", "/api/v1/webhooks/"+id, nil, settled(http.StatusNoContent))
			for delivery := range a.ledger.wanted {
				a.acknowledged("cancelled", delivery)
			}
			return nil
		},
	},
	{
		name:  "delete an endpoint, and cancel what is retried",
		given: func(a *account) { a.register(map[string]any{"retry_policy": "patient"}) },
		when: func(a *account) func() {
			a.receiver.answers(hookURL, 503)
			got := a.insist("POST", "/api/v1/events", event("order.created"), accepted, "Idempotency-Key", "one")
			a.acknowledged("cancelled", got.deliveries()...)
			a.until(got.deliveries()[0], "retrying")
			a.insist("DELETE", "/api/v1/webhooks/"+a.only("/api/v1/webhooks")["id"].(string), nil, settled(http.StatusNoContent))
			return nil
		},
	},
	{
		name:  "replay a dead letter",
		given: func(a *account) { a.killTwo() },
		when: func(a *account) func() {
			for delivery, entries := range a.entries() {
				a.ledger.again++
				a.insist("POST", "/api/v1/dlq/"+entries[0]+"/replay", nil, settled(http.StatusAccepted))
				a.acknowledged("delivered", delivery)
			}
			return nil
		},
	},
	{
		name:  "replay many dead letters: a job",
		given: func(a *account) { a.killTwo() },
		when: func(a *account) func() {
			a.ledger.again++
			a.insist("POST", "/api/v1/dlq/replay", map[string]any{"filter": map[string]any{}, "rate": 1}, accepted)
			for delivery := range a.ledger.wanted {
				a.acknowledged("delivered", delivery)
			}
			return nil
		},
	},
	{
		name:  "cancel a replay",
		given: func(a *account) { a.killTwo() },
		when: func(a *account) func() {
			a.ledger.again++
			job := a.insist("POST", "/api/v1/dlq/replay", map[string]any{"filter": map[string]any{}, "rate": 0.1}, accepted).body["job"].(map[string]any)["id"].(string)
			a.insist("POST", "/api/v1/jobs/"+job+"/cancel", nil, []int{http.StatusOK, http.StatusConflict})
			a.settle()
			for delivery := range a.ledger.wanted { // as far as it came
				status := a.operate(http.StatusOK, "GET", "/api/v1/deliveries/"+delivery, nil).body["status"].(string)
				require.Contains(a.t, []string{"dead", "delivered"}, status)
				a.acknowledged(status, delivery)
			}
			return nil
		},
	},
	{
		name:  "delete a dead letter",
		given: func(a *account) { a.killTwo() },
		when: func(a *account) func() {
			for _, entries := range a.entries() {
				a.insist("DELETE", "/api/v1/dlq/"+entries[0], nil, settled(http.StatusNoContent))
			}
			a.ledger.unlisted = true
			return func() { require.Empty(a.t, a.entries()) }
		},
	},
	{
		name:  "recover an endpoint",
		given: func(a *account) { a.killTwo() },
		when: func(a *account) func() {
			a.ledger.again++
			id := a.only("/api/v1/webhooks")["id"].(string)
			since := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
			a.insist("POST", "/api/v1/webhooks/"+id+"/recover", map[string]any{"since": since}, accepted)
			for delivery := range a.ledger.wanted {
				a.acknowledged("delivered", delivery)
			}
			return nil
		},
	},
	{
		name: "retry a delivery",
		given: func(a *account) {
			a.register(map[string]any{})
			_, deliveries := a.emit("order.created")
			a.acknowledged("delivered", deliveries...)
		},
		when: func(a *account) func() {
			for delivery := range a.ledger.wanted {
				a.ledger.again++
				a.insist("POST", "/api/v1/deliveries/"+delivery+"/retry", nil, accepted)
			}
			return func() { require.GreaterOrEqual(a.t, len(a.receiver.arrivals()), 2) }
		},
	},
	{
		name: "resend an event",
		given: func(a *account) {
			a.register(map[string]any{})
			_, deliveries := a.emit("order.created")
			a.acknowledged("delivered", deliveries...)
			a.register(map[string]any{"url": "https://receiver.test/late"})
		},
		when: func(a *account) func() {
			a.ledger.again++
			id := a.events()[0]
			a.insist("POST", "/api/v1/events/"+id+"/resend", nil, accepted)
			ref := hook.Ref{Tenant: "default", EventID: id}
			for _, e := range a.list("/api/v1/webhooks") {
				ref.EndpointID = e["id"].(string)
				a.acknowledged("delivered", ref.ID())
			}
			return func() { require.Len(a.t, a.ledger.wanted, 2) }
		},
	},
	{
		name:  "sweep a message that nobody understands",
		given: func(a *account) { a.register(map[string]any{}) },
		when: func(a *account) func() {
			_, err := sqs.NewFromConfig(wire.Local(inproc.Client(a.services), awsURL)).SendMessage(context.Background(), &sqs.SendMessageInput{
				QueueUrl: &a.cfg.Queue.Main, MessageBody: new("no delivery"),
			})
			require.NoError(a.t, err)
			return func() { require.NotEmpty(a.t, a.entries()[""], "it is shown") }
		},
	},
	{
		name:  "send back what crashes have brought to the dead letters",
		given: func(a *account) { a.register(map[string]any{}) },
		when: func(a *account) func() {
			a.deliver.faults.Add(faultwire.Fault{Operation: "BatchGetItem", Times: a.cfg.Queue.MaxReceiveCount, Struck: kill})
			a.acknowledged("delivered", a.insist("POST", "/api/v1/events", event("order.created"), accepted, "Idempotency-Key", "one").deliveries()...)
			return nil
		},
	},
	{
		name: "look at everything",
		most: 12,
		given: func(a *account) {
			a.killTwo()
			_, deliveries := a.emit("order.created")
			a.acknowledged("delivered", deliveries...)
			a.settle()
			a.ledger.again++
			a.operate(http.StatusAccepted, "POST", "/api/v1/dlq/replay", map[string]any{"filter": map[string]any{}, "limit": 1})
			a.settle()
			for delivery := range a.ledger.wanted {
				a.acknowledged(a.operate(http.StatusOK, "GET", "/api/v1/deliveries/"+delivery, nil).body["status"].(string), delivery)
			}
		},
		when: func(a *account) func() {
			endpoint, event := a.only("/api/v1/webhooks")["id"].(string), a.events()[0]
			a.insist("POST", "/api/v1/dlq/replay", map[string]any{"filter": map[string]any{}, "dry_run": true}, ok)
			for _, path := range []string{
				"/ready", "/metrics", "/api/v1/stats", "/api/v1/event-types", "/api/v1/webhooks", "/api/v1/webhooks/" + endpoint, "/api/v1/events", "/api/v1/events/" + event,
				"/api/v1/deliveries?endpoint_id=" + endpoint, "/api/v1/deliveries?event_id=" + event, "/api/v1/deliveries?status=retrying&endpoint_id=" + endpoint,
				"/api/v1/dlq", "/api/v1/jobs", "/api/v1/jobs/" + a.only("/api/v1/jobs")["id"].(string),
			} {
				a.insist("GET", path, nil, ok)
			}
			for delivery := range a.ledger.wanted {
				a.insist("GET", "/api/v1/deliveries/"+delivery, nil, ok)
			}
			for _, entries := range a.entries() {
				a.insist("GET", "/api/v1/dlq/"+entries[0], nil, ok)
			}
			return nil
		},
	},
	{
		name:        "make an API key, use it, and revoke it",
		asksForKeys: true,
		given: func(a *account) {
			keyID := id.NewSource().New("", time.Now())
			k := &hook.APIKey{ID: keyID, Tenant: "default", Role: hook.RoleAdmin, CreatedAt: hook.IDTime(keyID)}
			text, err := k.NewSecret(rand.Reader)
			require.NoError(a.t, err)
			require.NoError(a.t, a.table.CreateAPIKey(context.Background(), k))
			a.key = text
		},
		when: func(a *account) func() {
			made := a.insist("POST", "/api/v1/keys", map[string]any{"role": "producer"}, created).body
			bearer := []string{"Authorization", "Bearer " + made["key"].(string)}
			a.insist("POST", "/api/v1/events", event("order.created"), accepted, bearer...)
			a.insist("GET", "/api/v1/keys", nil, ok)
			a.insist("DELETE", "/api/v1/keys/"+made["id"].(string), nil, settled(http.StatusNoContent))
			return func() {
				a.operator = a.environment(wire.Local(inproc.Client(a.services), awsURL)) // which knows no key yet
				a.operate(http.StatusUnauthorized, "POST", "/api/v1/events", event("order.created"), bearer...)
			}
		},
	},
}

// kill kills the environment whose call it is.
func kill(r *http.Request) { r.Context().Value(inEnvironment{}).(*environment).kill() }

// environments lets all functions start anew, with the configuration as it has
// become.
func (a *account) environments() {
	a.operator = a.environment(wire.Local(inproc.Client(a.services), awsURL))
	for _, f := range a.functions() {
		f.renew()
	}
}

// holdTwo leaves a paused endpoint of which two deliveries are held.
func (a *account) holdTwo() {
	id := a.register(map[string]any{})
	a.operate(http.StatusOK, "POST", "/api/v1/webhooks/"+id+"/pause", nil)
	for range 2 {
		_, deliveries := a.emit("order.created")
		a.acknowledged("held", deliveries...)
	}
}

// killTwo leaves an endpoint that works again, and two dead letters of it.
func (a *account) killTwo() {
	a.register(map[string]any{"max_retries": 0})
	a.receiver.answers(hookURL, 503)
	for range 2 {
		_, deliveries := a.emit("order.created")
		a.acknowledged("dead", deliveries...)
	}
	a.settle()
	a.receiver.answers(hookURL, 200)
}

// list reads a list, past all faults.
func (a *account) list(path string) (data []map[string]any) {
	a.t.Helper()
	for _, d := range a.operate(http.StatusOK, "GET", path, nil).body["data"].([]any) {
		data = append(data, d.(map[string]any))
	}
	return data
}

// only reads a list of one.
func (a *account) only(path string) map[string]any {
	a.t.Helper()
	data := a.list(path)
	require.Len(a.t, data, 1)
	return data[0]
}

// events returns the ids of all events.
func (a *account) events() (ids []string) {
	a.t.Helper()
	for _, e := range a.list("/api/v1/events") {
		ids = append(ids, e["id"].(string))
	}
	return ids
}

// shown says whether any endpoint has a status.
func (a *account) shown(status string) bool {
	a.t.Helper()
	return slices.ContainsFunc(a.list("/api/v1/webhooks"), func(e map[string]any) bool { return e["status"] == status })
}

// until waits for a delivery to reach a status.
func (a *account) until(delivery, status string) {
	a.t.Helper()
	for range 3600 {
		if a.operate(http.StatusOK, "GET", "/api/v1/deliveries/"+delivery, nil).body["status"] == status {
			return
		}
		time.Sleep(time.Second)
	}
	require.Fail(a.t, "it does not become so", "%s %s", delivery, status)
}
