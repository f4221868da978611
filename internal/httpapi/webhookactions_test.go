package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

func TestOwnHeadersAreSealedAndNeverShown(t *testing.T) {
	t.Parallel()
	w := newWorld()
	id := w.register(t, `{"url":"https://example.com","events":["*"],"headers":{"x-team":"billing","authorization":"Bearer abc"},"rate_limit":2.5}`)
	require.Equal(t, []hook.SealedHeader{
		{Name: "Authorization", Sealed: sealedFor(DefaultTenant, id, "Bearer abc")}, {Name: "X-Team", Sealed: sealedFor(DefaultTenant, id, "billing")},
	}, w.eps[id].Headers)
	rec := w.do("GET", "/api/v1/webhooks/"+id, "")
	v := requireJSON(t, rec, http.StatusOK)
	require.Equal(t, map[string]any{"Authorization": "***", "X-Team": "***"}, v["headers"])
	require.Equal(t, 2.5, v["rate_limit"])
	require.NotContains(t, rec.Body.String(), "abc")
	require.NotContains(t, w.log.String(), "abc")

	// What is shown can be handed back: it stands for the value that is there.
	w.do("PATCH", "/api/v1/webhooks/"+id, `{"headers":{"authorization":"***","X-New":"n"},"rate_limit":null}`)
	require.Equal(t, []hook.SealedHeader{
		{Name: "Authorization", Sealed: sealedFor(DefaultTenant, id, "Bearer abc")}, {Name: "X-New", Sealed: sealedFor(DefaultTenant, id, "n")},
	}, w.eps[id].Headers)
	require.Zero(t, w.eps[id].RateLimit)
	w.do("PATCH", "/api/v1/webhooks/"+id, `{"headers":null}`)
	require.Empty(t, w.eps[id].Headers)
}

func TestHeadersThatAreNotTheOwnersAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Host", "Connection", "keep-alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "Proxy-Connection", "User-Agent", "traceparent",
		"Content-Type", "content-length", "Content-Encoding", "webhook-id", "Webhook-Signature", "X-Webhook-Signature", "x-webhook-anything", "Expect",
	} {
		w := newWorld()
		requireProblem(t, w.do("POST", "/api/v1/webhooks", fmt.Sprintf(`{"url":"https://example.com","events":["*"],"headers":{%q:"x"}}`, name)), 400, "reserved_header", "headers."+name)
		w.requireUntouched(t)
	}
}

// A secret that cannot be sealed is not kept.
func TestNothingIsKeptThatCouldNotBeSealed(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.faults["seal"] = failed
	requireProblem(t, w.do("POST", "/api/v1/webhooks", anyEndpoint), 503, "unavailable", "")
	require.Empty(t, w.eps)
	id := w.register(t, anyEndpoint)
	before := *w.eps[id]
	for path, body := range map[string]string{"": `{"headers":{"X-A":"a"},"timeout":3}`, "/rotate-secret": ``} {
		w.faults["seal"] = failed
		method := map[string]string{"": "PATCH"}[path]
		if method == "" {
			method = "POST"
		}
		requireProblem(t, w.do(method, "/api/v1/webhooks/"+id+path, body), 503, "unavailable", "")
		require.Equal(t, before, *w.eps[id])
	}
}

func TestARotatedSecretSignsBesideTheOldOneForItsOverlap(t *testing.T) {
	t.Parallel()
	w := newWorld()
	id := w.register(t, `{"url":"https://example.com","events":["*"],"secret":"first-secret"}`)
	v := requireJSON(t, w.do("POST", "/api/v1/webhooks/"+id+"/rotate-secret", ""), http.StatusOK)
	require.Equal(t, "whsec_made", v["secret"])
	require.Equal(t, []hook.SealedSecret{
		{Sealed: sealedFor(DefaultTenant, id, "whsec_made")}, {Sealed: sealedFor(DefaultTenant, id, "first-secret"), ExpiresAt: start.Add(24 * time.Hour)},
	}, w.eps[id].Secrets)
	require.NotContains(t, w.do("GET", "/api/v1/webhooks/"+id, "").Body.String(), "whsec_made")

	w.sleep(time.Hour)
	v = requireJSON(t, w.do("POST", "/api/v1/webhooks/"+id+"/rotate-secret", `{"secret":"third-secret","overlap":60}`), http.StatusOK)
	require.Equal(t, "third-secret", v["secret"])
	require.Equal(t, []time.Time{{}, start.Add(time.Hour + time.Minute), start.Add(time.Hour + time.Minute)}, expiries(w.eps[id]), "the overlap of the first is cut short")

	w.sleep(2 * time.Minute)
	requireJSON(t, w.do("POST", "/api/v1/webhooks/"+id+"/rotate-secret", `{"secret":"fourth-secret","overlap":0}`), http.StatusOK)
	require.Len(t, w.eps[id].Secrets, 1, "what has expired goes, and without an overlap the old one too")
}

// meanwhile is a sealer during whose work something happens.
type meanwhile struct {
	Sealer
	happens func()
}

func (m meanwhile) Seal(ctx context.Context, tenant, endpointID string, plain []byte) ([]byte, error) {
	m.happens()
	return m.Sealer.Seal(ctx, tenant, endpointID, plain)
}

// A caller that repeats its request while the first is under way must not make
// one secret sign twice.
func TestASecretThatIsRotatedInTwiceAtOnceIsThereOnce(t *testing.T) {
	t.Parallel()
	w := newWorld()
	id := w.register(t, `{"url":"https://example.com","events":["*"],"secret":"first-secret"}`)
	seal := w.api.o.Sealer
	w.api.o.Sealer = meanwhile{seal, func() {
		w.api.o.Sealer = seal
		requireJSON(t, w.do("POST", "/api/v1/webhooks/"+id+"/rotate-secret", `{"secret":"second-secret"}`), http.StatusOK)
	}}
	requireProblem(t, w.do("POST", "/api/v1/webhooks/"+id+"/rotate-secret", `{"secret":"second-secret"}`), 409, "conflict", "")
	require.Len(t, w.eps[id].Secrets, 2)
}

func expiries(e *hook.Endpoint) []time.Time {
	var all []time.Time
	for _, s := range e.Secrets {
		all = append(all, s.ExpiresAt)
	}
	return all
}

func TestAtMostFiveSecretsSign(t *testing.T) {
	t.Parallel()
	w := newWorld()
	id := w.register(t, anyEndpoint)
	for range 4 {
		requireJSON(t, w.do("POST", "/api/v1/webhooks/"+id+"/rotate-secret", ""), http.StatusOK)
	}
	require.Len(t, w.eps[id].Secrets, 5)
	requireProblem(t, w.do("POST", "/api/v1/webhooks/"+id+"/rotate-secret", ""), 409, "too_many_secrets", "")
	require.Len(t, w.eps[id].Secrets, 5)
	requireJSON(t, w.do("POST", "/api/v1/webhooks/"+id+"/rotate-secret", `{"overlap":0}`), http.StatusOK)
	require.Len(t, w.eps[id].Secrets, 1, "the way out")
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	w := newWorld()
	id := w.register(t, anyEndpoint)
	v := requireJSON(t, w.do("POST", "/api/v1/webhooks/"+id+"/pause", ""), http.StatusOK)
	require.Equal(t, "paused", v["status"])
	require.Equal(t, "paused by its owner", v["status_reason"])
	require.Equal(t, int64(1), w.eps[id].Epoch)
	requireJSON(t, w.do("POST", "/api/v1/webhooks/"+id+"/pause", `{}`), http.StatusOK)
	require.Equal(t, int64(1), w.eps[id].Epoch, "it was paused already")

	rec := w.do("POST", "/api/v1/webhooks/"+id+"/resume", "")
	job := requireJSON(t, rec, http.StatusAccepted)["job"].(map[string]any)
	require.Equal(t, "resume", job["kind"])
	require.Equal(t, "running", job["status"])
	require.Equal(t, id, job["endpoint_id"])
	require.Equal(t, "/api/v1/jobs/"+job["id"].(string), rec.Header().Get("Location"))
	require.Equal(t, hook.EndpointActive, w.eps[id].Status)
	require.Equal(t, int64(2), w.jobs[job["id"].(string)].Epoch)

	// A resume that is cancelled pauses again, unless somebody else did meanwhile.
	cancelled := requireJSON(t, w.do("POST", "/api/v1/jobs/"+job["id"].(string)+"/cancel", ""), http.StatusOK)
	require.Equal(t, "cancelled", cancelled["status"])
	require.Equal(t, hook.EndpointPaused, w.eps[id].Status)
	require.Equal(t, "its resume was cancelled", w.eps[id].StatusReason)
	w.eps[id].SetStatus(hook.EndpointDisabled, "HTTP 410: Gone")
	requireJSON(t, w.do("POST", "/api/v1/jobs/"+job["id"].(string)+"/cancel", ""), http.StatusOK)
	require.Equal(t, hook.EndpointDisabled, w.eps[id].Status)
}

// Nothing would release what is held: the endpoint is what it was.
func TestAResumeWhoseJobDoesNotStartChangesNothing(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{failed, lost} {
		for status, reason := range map[hook.EndpointStatus]string{
			hook.EndpointPaused: "paused by its owner", hook.EndpointDisabled: "HTTP 410: Gone", hook.EndpointActive: "",
		} {
			w := newWorld()
			id := w.register(t, anyEndpoint)
			w.eps[id].SetStatus(status, reason)
			w.faults["start"] = f
			requireProblem(t, w.do("POST", "/api/v1/webhooks/"+id+"/resume", ""), 503, "unavailable", "")
			require.Equal(t, status, w.eps[id].Status)
			require.Equal(t, reason, w.eps[id].StatusReason)
		}
	}
}

// A resume whose job cannot be started is not acknowledged, and resuming again
// starts it.
func TestAResumeWhoseJobDoesNotStartIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{failed, lost} {
		w := newWorld()
		id := w.register(t, anyEndpoint)
		w.do("POST", "/api/v1/webhooks/"+id+"/pause", "")
		w.faults["start"] = f
		requireProblem(t, w.do("POST", "/api/v1/webhooks/"+id+"/resume", ""), 503, "unavailable", "")
		requireJSON(t, w.do("POST", "/api/v1/webhooks/"+id+"/resume", ""), http.StatusAccepted)
		require.NotEmpty(t, w.jobs)
	}
}

func TestDeleteStartsTheCancellingOfWhatIsHeldBeforeItDeletes(t *testing.T) {
	t.Parallel()
	w := newWorld()
	id := w.register(t, anyEndpoint)
	w.faults["start"] = failed
	requireProblem(t, w.do("DELETE", "/api/v1/webhooks/"+id, ""), 503, "unavailable", "")
	require.Contains(t, w.eps, id, "without its job it stays")
	require.Equal(t, 204, w.do("DELETE", "/api/v1/webhooks/"+id, "").Code)
	require.NotContains(t, w.eps, id)
	require.Len(t, w.jobs, 1)
	for _, j := range w.jobs {
		require.Equal(t, hook.JobCancel, j.Kind)
		require.Equal(t, id, j.EndpointID)
	}
	requireProblem(t, w.do("DELETE", "/api/v1/webhooks/"+id, ""), 404, "not_found", "")
	require.Len(t, w.jobs, 1)
}

func TestATestEventGoesToOneEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld()
	id := w.register(t, `{"url":"https://example.com","events":["order.created"]}`)
	w.register(t, anyEndpoint)
	v := requireJSON(t, w.do("POST", "/api/v1/webhooks/"+id+"/test", ""), http.StatusAccepted)
	require.Equal(t, "posthorn.test", v["event_type"])
	require.Equal(t, 1.0, v["deliveries_total"])
	require.Len(t, w.sent, 1)
	require.Equal(t, id, w.sent[0].EndpointID)
}

func TestRecoverStartsAJob(t *testing.T) {
	t.Parallel()
	w := newWorld()
	id := w.register(t, anyEndpoint)
	job := requireJSON(t, w.do("POST", "/api/v1/webhooks/"+id+"/recover", `{"since":"2026-03-01T01:00:00+01:00"}`), http.StatusAccepted)["job"].(map[string]any)
	require.Equal(t, "recover", job["kind"])
	require.Equal(t, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), w.jobs[job["id"].(string)].Since)
	for body, want := range map[string][2]string{
		`{}`:                    {"missing_field", "since"},
		`{"since":"yesterday"}`: {"invalid_time", "since"},
		`{"since":1}`:           {"wrong_type", "since"},
		`{"since":null}`:        {"wrong_type", "since"},
		`{"until":"x"}`:         {"unknown_field", "until"},
	} {
		requireProblem(t, w.do("POST", "/api/v1/webhooks/"+id+"/recover", body), 400, want[0], want[1])
	}
	require.Len(t, w.jobs, 1)
}

func TestActionsRefuseABodyTheyDoNotTake(t *testing.T) {
	t.Parallel()
	w := newWorld()
	id := w.register(t, anyEndpoint)
	for _, action := range []string{"pause", "resume", "test"} {
		requireProblem(t, w.do("POST", "/api/v1/webhooks/"+id+"/"+action, `{"x":1}`), 400, "unknown_field", "x")
	}
	for body, want := range map[string][3]any{
		`{"secret":"short"}`:                {400, "invalid_secret", "secret"},
		`{"secret":5}`:                      {400, "wrong_type", "secret"},
		`{"overlap":-1}`:                    {400, "out_of_range", "overlap"},
		`{"overlap":1.5}`:                   {400, "out_of_range", "overlap"},
		`{"overlap":"1h"}`:                  {400, "wrong_type", "overlap"},
		`{"secret":"long-enough","rate":1}`: {400, "unknown_field", "rate"},
		`[]`:                                {400, "wrong_type", ""},
		`{`:                                 {400, "invalid_json", ""},
	} {
		requireProblem(t, w.do("POST", "/api/v1/webhooks/"+id+"/rotate-secret", body), want[0].(int), want[1].(string), want[2].(string))
	}
	require.Len(t, w.eps[id].Secrets, 1)
	require.Equal(t, hook.EndpointActive, w.eps[id].Status)
}

func TestASecretThatSignsAlreadyIsNoRotation(t *testing.T) {
	t.Parallel()
	w := newWorld()
	id := w.register(t, `{"url":"https://example.com/hook","events":["*"],"secret":"the first one"}`)
	path := "/api/v1/webhooks/" + id + "/rotate-secret"
	requireProblem(t, w.do("POST", path, `{"secret":"the first one"}`), 409, "same_secret", "secret")
	require.Len(t, w.eps[id].Secrets, 1)
	requireJSON(t, w.do("POST", path, `{"secret":"another one"}`), http.StatusOK)
	requireProblem(t, w.do("POST", path, `{"secret":"the first one"}`), 409, "same_secret", "secret")
	requireJSON(t, w.do("POST", path, `{"secret":"a third one","overlap":0}`), http.StatusOK)
	requireJSON(t, w.do("POST", path, `{"secret":"the first one"}`), http.StatusOK)
}
