package browser

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// signIn signs in by the keyboard alone.
func signIn(p *page, key string) {
	p.t.Helper()
	p.allow("401") // who am I? nobody yet
	p.sees("Sign in")
	p.fill("API key", key)
	p.keys(kb.Enter)
}

func TestTheWholeStory(t *testing.T) {
	t.Parallel()
	s := start(t, "keys")
	shop, broken := newReceiver(t), newReceiver(t)
	broken.down.Store(true)
	p := open(t, s, "/console")

	// Signing in: a key that is none is refused at its field.
	signIn(p, "ph_01M87K1Y7556C7J88B4AQNEZDZ_"+strings.Repeat("0", 64))
	p.wrongAt("API key", "no such key exists")
	p.fill("API key", s.key)
	p.keys(kb.Enter)
	p.sees("Overview", "There is no endpoint yet", "admin of default")
	kept, err := evaluate[string](p, "document.cookie + localStorage.length + sessionStorage.length")
	require.NoError(t, err)
	require.Equal(t, "00", kept, "no script sees the session, and nothing else is kept")

	// An endpoint. What is wrong with the form stands at the field.
	p.click("Make an endpoint")
	p.allow("400")
	p.fill("URL", "ftp://shop.example/hook")
	p.click("Make the endpoint")
	p.wrongAt("URL", "url: ")
	p.fill("URL", shop.URL+"/orders")
	p.fill("Events", "order.*\nnot a type")
	p.click("Make the endpoint")
	p.wrongAt("Events", "events[1]: must be an event type")
	p.fill("Events", "order.*")
	p.fill("Description", "the shop")
	p.click("Make the endpoint")
	p.sees("It is shown here and nowhere else")
	require.Contains(t, p.text("#secret"), "whsec_")
	p.click("Go to the endpoint")
	p.sees("Nothing has been tried yet")

	// A test event, its delivery and its attempt.
	p.click("Send a test event")
	p.sees("posthorn.test", "delivered", "Attempt 1", `{"received":true}`)
	p.click("Headers")
	p.sees("X-Webhook-Attempt: 1", "Webhook-Signature: v1,…")

	// An event whose numbers no script can hold.
	p.click("Events")
	p.click("Send an event")
	p.fill("Event type", "order.created")
	p.fill("Payload", `{"order":12345678901234567890,`)
	p.click("Send")
	p.wrongAt("Payload", "is not JSON")
	p.fill("Payload", `["order"]`)
	p.click("Send")
	p.wrongAt("Payload", "payload: ")
	p.fill("Payload", `{"order":12345678901234567890,"total":1.10}`)
	p.click("Send")
	p.sees("The event is accepted, with 1 delivery.", "12345678901234567890", "1.10", "delivered")
	require.Equal(t, int64(2), shop.got.Load())

	// An endpoint that fails, down to a dead letter.
	p.click("Endpoints")
	p.sees("the shop", "2 of 2 delivered")
	p.click("New endpoint")
	p.fill("URL", broken.URL+"/billing")
	p.fill("Events", "invoice.*")
	p.click("Retries, limits, headers")
	p.fill("Retries", "many")
	p.click("Make the endpoint")
	p.wrongAt("Retries", "must be a number")
	p.fill("Retries", "99")
	p.click("Make the endpoint")
	p.wrongAt("Retries", "max_retries: ")
	p.fill("Retries", "1")
	p.click("Make the endpoint")
	p.click("Go to the endpoint")
	p.sees("/billing")
	for i := range 4 { // fewer attempts than open the breaker
		s.call(t, "POST", "/api/v1/events", map[string]any{"event_type": "invoice.sent", "payload": map[string]any{"invoice": i}})
	}
	p.click("Dead letters")
	p.until("four entries", "document.querySelectorAll('tbody tr').length === 4")
	p.sees("HTTP 503: Service Unavailable")
	p.press(linkWith("invoice.sent"))
	p.sees("Why", "Attempts", "invoice")
	p.press(linkWith("dlv_"))
	p.sees("Attempt 2", "Attempt 1", "down for maintenance", "dead")

	// Chosen ones, then all of them: counted first, then sent, and watched.
	broken.down.Store(false)
	p.click("Dead letters")
	p.until("four entries", "document.querySelectorAll('tbody tr').length === 4")
	p.press(checkbox("Choose invoice.sent"))
	p.sees("1 chosen")
	p.click("Replay them")
	p.sees("1 entry on the way again.")
	p.until("three entries", "document.querySelectorAll('tbody tr').length === 3")
	p.dialog("Replay many…")
	p.fill("Endpoint", "ep_1")
	p.click("Count first")
	p.wrongAt("Endpoint", "endpoint_id")
	p.fill("Endpoint", "")
	p.fill("Why it died, word for word", "HTTP 503: Service Unavailable")
	p.fill("So many a second", "1")
	p.click("Count first")
	p.sees("3 entries match.", "At most 1 a second.")
	p.click("Replay 3")
	p.until("progress on the way", "(() => { const b = document.querySelector('.job progress'); return b && b.position > 0 && b.position < 1 })()")
	p.until("progress at its end", "document.querySelector('.job progress').position === 1")
	p.sees("done", "Nothing here: what is sent is delivered")

	// A pause holds, a resume releases.
	p.click("Endpoints")
	p.press(linkWith("/billing"))
	p.click("Pause")
	p.sees("paused by its owner", "Resume")
	p.click("Send a test event")
	p.sees("posthorn.test", "It is held: its endpoint is not active.")
	p.click("Endpoints")
	p.press(linkWith("/billing"))
	p.click("Resume")
	p.sees("The endpoint is active again.")
	p.until("nothing is held", "!!document.querySelector('.list .badge') && ![...document.querySelectorAll('.list .badge')].some(b => b.innerText !== 'delivered')")

	// By the keyboard: a dialog opens, keeps the focus, and closes.
	p.until("the focus", "(() => { const b = "+button("Rotate the secret")+"; b.focus(); return document.activeElement === b })()")
	p.keys(kb.Enter)
	p.until("the dialog", "document.querySelector('dialog[open]')?.contains(document.activeElement)")
	p.keys(kb.Escape)
	p.until("no dialog", "!document.querySelector('dialog')")
	p.dialog("Rotate the secret")
	p.fill("Overlap, in hours", "-1")
	p.click("Rotate")
	p.wrongAt("Overlap, in hours", "overlap: ")
	p.fill("Overlap, in hours", "2")
	p.click("Rotate")
	p.until("the secret", "document.querySelector('dialog #secret')?.innerText.startsWith('whsec_')")
	p.click("Done")

	// An edit, a recover, an end.
	p.click("Edit")
	p.sees("Known: ") // which comes later, and moves the button
	p.fill("Description", "to billing")
	p.click("Save")
	p.sees("The endpoint is changed.", "to billing")
	p.dialog("Recover")
	p.click("Send again")
	p.sees("What died since then is sent again.")
	p.dialog("Delete")
	p.click("Delete it")
	p.sees("The endpoint is deleted.")
	p.gone("/billing")

	// A key for somebody who looks only, who then sees no buttons.
	p.click("API keys")
	p.dialog("New key")
	p.fill("Tenant", "Not one")
	p.click("Make the key")
	p.wrongAt("Tenant", "tenant: ")
	p.fill("Tenant", "")
	p.choose("Role", "viewer")
	p.click("Make the key")
	p.until("the key", "document.querySelector('dialog #key')?.innerText.startsWith('ph_')")
	viewer := p.text("dialog #key")
	p.click("Done")
	p.sees("viewer")
	p.click("Sign out")
	signIn(p, viewer)
	p.sees("viewer of default")
	p.click("Endpoints")
	p.sees("the shop")
	p.until("nothing to press", "!"+button("New endpoint")+" && !"+button("API keys"))

	// A key that is revoked ends its session.
	id := strings.Split(viewer, "_")[1]
	s.call(t, "DELETE", "/api/v1/keys/"+id, nil)
	p.click("Events")
	p.sees("Sign in")
	p.gone("the shop")
}

// An endpoint whose breaker is open is shown so wherever endpoints are.
func TestAnEndpointThatIsLeftAloneIsShownSo(t *testing.T) {
	t.Parallel()
	s := start(t, "off")
	r := newReceiver(t)
	path := "/api/v1/webhooks/" + s.call(t, "POST", "/api/v1/webhooks", map[string]any{"url": r.URL, "events": []string{"*"}})["id"].(string)
	page := strings.Replace(path, "/api/v1/webhooks", "/console/endpoints", 1)
	p := open(t, s, page)
	p.sees("active")
	p.visit("/console")
	p.sees("all active")
	r.down.Store(true)
	for range 10 { // as many as open it
		s.call(t, "POST", path+"/test", nil)
	}
	require.Eventually(t, func() bool { return s.call(t, "GET", path, nil)["left_alone_until"] != nil }, patience, 50*time.Millisecond)
	p.visit("/console")
	p.sees("1 left alone", "Endpoints that are not posted to", "left alone until")
	p.visit("/console/endpoints")
	p.sees("left alone until")
	p.visit(page)
	p.sees("its circuit breaker is open until", "left alone until")
	r.down.Store(false)
	p.click("Resume")
	p.sees("Its circuit breaker is closed")
	p.until("it is active again", "![...document.querySelectorAll('.badge')].some(b => b.innerText === 'left alone')")
	p.visit("/console")
	p.sees("all active")
}

// Whatever a producer sends and a receiver answers is text.
func TestNothingThatIsShownIsMarkup(t *testing.T) {
	t.Parallel()
	s := start(t, "off")
	r := newReceiver(t)
	evil := `</code><script>document.title='broken'</script><img src=x onerror="document.title='broken'">`
	r.answer.Store(evil)
	ep := s.call(t, "POST", "/api/v1/webhooks", map[string]any{"url": r.URL, "events": []string{"*"}, "description": evil, "metadata": map[string]string{"<img src=x onerror=\"alert(1)\">": evil}})["id"].(string)
	event := s.call(t, "POST", "/api/v1/events", map[string]any{"event_type": "a.b", "payload": map[string]any{evil: evil}})
	p := open(t, s, "/console/endpoints")
	p.sees(evil)
	p.visit("/console/endpoints/" + ep)
	p.sees(evil, "delivered")
	p.visit("/console/events/" + event["id"].(string))
	p.sees(strings.ReplaceAll(evil, `"`, `\"`))
	p.visit("/console/deliveries/" + event["deliveries"].([]any)[0].(map[string]any)["id"].(string))
	p.sees(evil, strings.ReplaceAll(evil, `"`, `\"`))
	p.until("nothing of it runs", "document.title === 'a.b · Posthorn' && !document.querySelector('main img, main script')")
}

// Every role sees what it may, and no more.
func TestRolesSeeWhatTheyMay(t *testing.T) {
	t.Parallel()
	s := start(t, "keys")
	p := open(t, s, "/console")
	for _, c := range []struct {
		body  map[string]any
		sees  []string
		menu  string
		never string
	}{
		{map[string]any{"role": "producer"}, []string{"Send an event", "producer of default"}, "Send an event", "/console/endpoints"},
		{map[string]any{"role": "metrics"}, []string{"Events accepted", "metrics of default"}, "Overview", "/console/endpoints"},
		{map[string]any{"role": "viewer"}, []string{"Events accepted", "viewer of default"}, "Overview,Endpoints,Events,Deliveries,Dead letters,Jobs,Event types", "/console/keys"},
		{map[string]any{"role": "admin", "tenant": "acme"}, []string{"are for keys of the tenant", "admin of acme"}, "Overview,Endpoints,Events,Deliveries,Dead letters,Jobs,Event types,API keys", ""},
	} {
		key := s.call(t, "POST", "/api/v1/keys", c.body)["key"].(string)
		signIn(p, key)
		p.sees(c.sees...)
		p.until("the menu "+c.menu, "[...document.querySelectorAll('nav[aria-label=Pages] a')].map(a => a.innerText).join() === "+quote(c.menu))
		if c.never != "" {
			p.visit(c.never)
			p.until("not this", "document.body.innerText.includes('may not look at this') || document.body.innerText.includes('Send an event')")
		}
		p.click("Sign out")
	}
	// A producer sends, and sees what was sent.
	signIn(p, s.call(t, "POST", "/api/v1/keys", map[string]any{"role": "producer"})["key"].(string))
	p.fill("Event type", "order.created")
	p.click("Send")
	p.sees("The event is accepted, with 0 deliveries.", "19.90")
}

// The console's address says what is shown, and a filter that is wrong is refused
// at its field.
func TestFiltersAreInTheAddress(t *testing.T) {
	t.Parallel()
	s := start(t, "off")
	r := newReceiver(t)
	ep := s.call(t, "POST", "/api/v1/webhooks", map[string]any{"url": r.URL, "events": []string{"*"}})["id"].(string)
	seed(t, s, *rows)
	began := time.Now()
	p := open(t, s, "/console/deliveries")
	p.until("the one endpoint is chosen", "location.search === '?endpoint_id="+ep+"'")
	p.until("a page of them", "document.querySelectorAll('tbody tr').length === 50")
	p.sees("No key is asked for here.", "page 1")
	t.Logf("a browser and the first of %d deliveries: %v", *rows, time.Since(began))
	first := p.text("tbody tr:first-child .mono")
	p.click("Older →")
	p.sees("page 2")
	p.until("another page", "document.querySelectorAll('tbody tr').length === 50 && document.querySelector('tbody tr .mono').innerText !== "+quote(first))
	p.click("← Newer")
	p.sees("page 1")
	p.choose("Status", "dead")
	p.click("Show")
	p.sees("There is no such delivery.")
	p.until("the address", "location.search.includes('status=dead')")
	p.allow("400")
	p.fill("Event type", "not a type")
	p.click("Show")
	p.wrongAt("Event type", "event_type: ")
	p.click("Clear")
	p.visit("/console/events?event_type=load.event")
	p.until("a page of them", "document.querySelectorAll('tbody tr').length === 50")
	p.until("no list is read as a whole", "performance.getEntriesByType('resource').filter(e => e.name.includes('/api/')).every(e => e.transferSize < 100_000)")
	p.visit("/console")
	p.until("the figures", "Number(document.querySelector('.tiles strong')?.innerText.replaceAll(',', '')) >= "+strconv.Itoa(*rows))
	p.visit("/console/nothing")
	p.sees("The console has no such page.")
}

// An address is for its own page alone: what stands in the place of an id cannot
// lead the page to another path of the API, and what cannot be decoded is no
// blank page.
func TestAnAddressReachesNoOtherPathOfTheAPI(t *testing.T) {
	t.Parallel()
	s := start(t, "off")
	r := newReceiver(t)
	ep := s.call(t, "POST", "/api/v1/webhooks", map[string]any{"url": r.URL, "events": []string{"*"}})["id"].(string)
	p := open(t, s, "/console")
	p.sees("Overview")
	p.allow("404")
	for _, page := range []string{"dead-letters", "deliveries", "events", "jobs"} {
		for _, way := range []string{`..%5Cwebhooks%5C`, `.%09.%2Fwebhooks%2F`} {
			p.visit("/console/" + page + "/" + way + ep)
			p.until("that there is no such thing", "document.querySelector('.trouble')?.innerText.startsWith('There is no')")
			p.until("nothing is asked of another path", "performance.getEntriesByType('resource').every(e => !new URL(e.name).pathname.startsWith('/api/v1/webhooks/'))")
		}
	}
	p.visit("/console/%FF")
	p.sees("The console has no such page.")
}

// A moment that an address names is the one that a page asks for, to the
// millisecond: a replay of what a list shows takes no more than that.
func TestAMomentKeepsItsSeconds(t *testing.T) {
	t.Parallel()
	s := start(t, "off")
	r := newReceiver(t)
	ep := s.call(t, "POST", "/api/v1/webhooks", map[string]any{"url": r.URL, "events": []string{"*"}})["id"].(string)
	p := open(t, s, "/console")
	for _, at := range []string{"2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05.250Z"} {
		p.visit("/console/dead-letters?since=" + at)
		p.dialog("Replay many…")
		p.click("Count first")
		p.sees("since = " + at)
		p.keys(kb.Escape)
		p.until("no dialog", "!document.querySelector('dialog')")
		p.fill("Event type", "a.b")
		p.click("Show")
		p.until("the filter in the address", "new URLSearchParams(location.search).get('event_type') === 'a.b'")
		p.until("the moment in the address", "new URLSearchParams(location.search).get('since') === "+quote(at))
	}
	p.visit("/console/endpoints/" + ep)
	p.dialog("Recover")
	p.until("seconds can be given", field("Since")+"?.step === '1'")
}

// A session that cannot be ended says so. One that ends by itself leaves nothing
// for whoever signs in next.
func TestASessionsEnd(t *testing.T) {
	t.Parallel()
	s := start(t, "keys")
	first, second := s.newKey(t, "viewer"), s.newKey(t, "viewer")
	p := open(t, s, "/console")
	signIn(p, first)
	rate := "document.querySelector('.chart .now')?.innerText"
	p.until("a rate, of two answers", rate+" === '0.0/s'")
	p.until("a server that is away", "(() => { window.there = window.fetch; window.fetch = () => Promise.reject(new TypeError('away')); return true })()")
	p.click("Sign out")
	p.until("why it is not", "document.querySelector('.who .wrong')?.innerText.startsWith('The server does not answer.')")
	p.sees("viewer of default")
	p.until("a server that is back", "(() => { window.fetch = window.there; return true })()")

	s.call(t, "DELETE", "/api/v1/keys/"+strings.Split(first, "_")[1], nil)
	p.sees("Sign in")
	signIn(p, second)
	p.until("charts that begin anew", rate+" === '–'")
	p.until("a rate of its own", rate+" === '0.0/s'")
	p.click("Sign out")
	p.sees("Sign in")
}
