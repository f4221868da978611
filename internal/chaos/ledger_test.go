package chaos

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

// world is a run in which one event was acknowledged for one endpoint, which
// got it, and which is on record so.
type world struct {
	ledger  *ledger
	result  Result
	rows    map[string]deliveryShown
	entries map[string][]entryShown
}

const theDelivery = "dlv_one"

func balanced() *world {
	w := &world{
		ledger: newLedger(), result: Result{Options: Options{Events: 1}},
		rows: map[string]deliveryShown{theDelivery: {ID: theDelivery, Status: "delivered", Attempts: 1}}, entries: map[string][]entryShown{},
	}
	w.ledger.accept(0, acceptance{event: "evt_one", listed: []string{theDelivery}, total: 1, keyed: true, endpoints: 1})
	w.post("1", fine)
	return w
}

// post lets the delivery arrive with that attempt's number.
func (w *world) post(attempt string, how behaviour) {
	h := http.Header{}
	h.Set("X-Webhook-Attempt", attempt)
	w.ledger.answer(theDelivery, w.ledger.arrive(theDelivery, "evt_one", 0, 0, h), how)
}

// died turns the delivery into one that all attempts have failed of.
func (w *world) died() {
	w.ledger.arrivals = map[string]*arrivals{}
	for _, n := range []string{"1", "2", "3", "4", "5"} {
		w.post(n, failing)
	}
	w.rows[theDelivery] = deliveryShown{ID: theDelivery, Status: "dead", Attempts: 5}
	w.entries[theDelivery] = []entryShown{{Delivery: theDelivery, Reason: "HTTP 500: Internal Server Error", Attempts: 5}}
}

func TestBooksBalanceOnlyWhenEveryPromiseWasKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		given func(w *world)
		wrong string // a part of what is said; empty: they balance
	}{
		{"delivered once", func(*world) {}, ""},
		{"dead after all attempts, with an entry", (*world).died, ""},
		{"an event that is not accepted", func(w *world) { delete(w.ledger.accepted, 0) }, "0 of 1 events were accepted"},
		{"an event that is accepted twice", func(w *world) { w.ledger.accept(0, w.ledger.accepted[0]) }, "accepted twice"},
		{"an acknowledgement for too few endpoints", func(w *world) {
			a := w.ledger.accepted[0]
			a.endpoints = 2
			w.ledger.accepted[0] = a
		}, "goes to 2 endpoints"},
		{"a key that makes two events", func(w *world) { w.ledger.ids[0]["evt_two"] = 1 }, "arrived as evt_two too"},
		{"lost: nothing came and nothing is recorded", func(w *world) {
			w.rows, w.ledger.arrivals = nil, map[string]*arrivals{}
		}, "is lost"},
		{"arrived, and nothing is recorded", func(w *world) { w.rows = nil }, "nothing is recorded of it"},
		{"still retried in the end", func(w *world) { w.rows[theDelivery] = deliveryShown{ID: theDelivery, Status: "retrying", Attempts: 1} }, "is retrying in the end"},
		{"still held in the end", func(w *world) { w.rows[theDelivery] = deliveryShown{ID: theDelivery, Status: "held", Attempts: 1} }, "is held in the end"},
		{"recorded as delivered, and never answered so", func(w *world) { w.ledger.answer(theDelivery, 0, failing) }, "never answered with 200"},
		{"posted again without a reason", func(w *world) { w.post("2", fine) }, "2 attempts arrived and 1 are recorded"},
		{"posted again after its environment died", func(w *world) {
			w.ledger.environmentDied([]string{theDelivery})
			w.post("2", fine)
		}, ""},
		{"posted twice again after its environment died once", func(w *world) {
			w.ledger.environmentDied([]string{theDelivery})
			w.post("2", fine)
			w.post("3", fine)
		}, "3 attempts arrived and 1 are recorded; it arrived [200: attempt 1] [200: attempt 2] [200: attempt 3]; 1 environments died"},
		{"an attempt that the store did not take", func(w *world) {
			w.ledger.line([]byte(`{"msg":"attempt","delivery_id":"dlv_one","status":"delivered","record_error":"it is out"}`))
			w.post("2", fine)
		}, ""},
		{"an attempt that another message overtook", func(w *world) {
			w.ledger.line([]byte(`{"msg":"attempt","delivery_id":"dlv_one"}`))
			w.post("2", fine)
		}, ""},
		{"a request that was made again when its connection broke", func(w *world) {
			w.ledger.arrivals = map[string]*arrivals{}
			w.post("1", resetting)
			w.post("1", fine)
		}, ""},
		{"more attempts than the endpoint allows", func(w *world) { w.rows[theDelivery] = deliveryShown{ID: theDelivery, Status: "delivered", Attempts: 6} }, "5 are allowed"},
		{"final twice: delivered, and a dead letter", func(w *world) { w.entries[theDelivery] = []entryShown{{Delivery: theDelivery}} }, "is delivered and has 1 dead letters"},
		{"dead, and no dead letter", func(w *world) {
			w.died()
			w.entries = nil
		}, "is dead and has 0 dead letters"},
		{"dead, and two dead letters", func(w *world) {
			w.died()
			w.entries[theDelivery] = append(w.entries[theDelivery], w.entries[theDelivery]...)
		}, "is dead and has 2 dead letters"},
		{"dead before its time", func(w *world) {
			w.died()
			w.ledger.arrivals[theDelivery].posts = w.ledger.arrivals[theDelivery].posts[:2]
			w.rows[theDelivery] = deliveryShown{ID: theDelivery, Status: "dead", Attempts: 2}
			w.entries[theDelivery][0].Attempts = 2
		}, "died after 2 attempts of 5"},
		{"a dead letter of nothing", func(w *world) { w.entries["dlv_two"] = []entryShown{{Delivery: "dlv_two"}} }, `1 dead letters of "dlv_two"`},
		{"a delivery that arrives at another's endpoint", func(w *world) { w.ledger.arrive(theDelivery, "evt_one", 0, 1, http.Header{}) }, "at endpoint 0"},
		{"a log that cannot be read", func(w *world) { w.ledger.line([]byte(`{"msg":"attempt"`)) }, "cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := balanced()
			c.given(w)
			w.ledger.balanceEvents(&w.result, w.rows)
			w.ledger.balanceDeliveries(&w.result, w.rows, w.entries)
			w.result.Wrong = w.ledger.wrong
			if c.wrong == "" {
				require.Empty(t, w.result.Wrong)
				require.NoError(t, w.result.Verdict())
				return
			}
			require.ErrorIs(t, w.result.Verdict(), ErrUnbalanced)
			require.Contains(t, w.result.Wrong[0], c.wrong)
		})
	}
}

// A post is held against what was posted, and against the secrets of its
// endpoint.
func TestAPostThatIsNotWhatWasPromisedIsRefused(t *testing.T) {
	t.Parallel()
	o := Short()
	p := planOf(o)
	r := &receiver{plan: p, events: o.Events, secrets: map[int][]string{0: {"old-secret", "new-secret"}}}
	envelope := func(n int, data string) string {
		return `{"id":"evt_one","event":"` + p.eventType(n) + `","timestamp":"2030-01-01T00:00:00Z","data":` + data + `}`
	}
	for _, c := range []struct {
		name, secret, body, wrong string
	}{
		{"signed with the old secret", "old-secret", envelope(7, p.payload(7)), ""},
		{"signed with the new secret", "new-secret", envelope(7, p.payload(7)), ""},
		{"signed with another's", "another-secret", envelope(7, p.payload(7)), "signature"},
		{"other data", "old-secret", envelope(7, p.payload(7)+" "), ""}, // white space is none of it
		{"the data of another event", "old-secret", envelope(7, `{"n":7,"text":"forged"}`), "other data"},
		{"an event that was never posted", "old-secret", envelope(7, `{"n":100000,"text":""}`), "never posted"},
		{"no envelope", "old-secret", `[]`, "body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			signer, err := standardwebhooks.NewWebhookRaw([]byte(c.secret))
			require.NoError(t, err)
			now := time.Now()
			signature, err := signer.Sign("evt_one", now, []byte(c.body))
			require.NoError(t, err)
			h := http.Header{}
			h.Set("Webhook-Id", "evt_one")
			h.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
			h.Set("Webhook-Signature", signature)
			_, err = r.read(0, h, []byte(c.body))
			if c.wrong == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.wrong)
		})
	}
}
