package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// beside waits until what is wrong stands right under its field, in sight, and is
// told to who does not see it: the field is described by it, and it is an alert,
// since the focus may have been there before.
func (p *page) beside(label, text string) {
	p.t.Helper()
	p.wrongAt(label, text)
	f := field(label)
	p.until("it stands beside the field, and is an alert", "(() => { const e = "+f+", w = e.getAttribute('aria-describedby').split(' ').map(id => document.getElementById(id)).find(w => w.innerText.includes("+quote(text)+")); "+
		"const a = e.getBoundingClientRect(), b = w.getBoundingClientRect(); "+
		"return w.getAttribute('role') === 'alert' && b.top >= a.bottom && b.top - a.bottom < 12 && Math.abs(b.left - a.left) < 12 && b.bottom <= innerHeight && a.top >= 0 })()")
}

// What the API finds wrong is said in its words, beside the field: in forms, in
// dialogs and in filters, on a screen as on a phone.
func TestWhatIsWrongStandsBesideItsField(t *testing.T) {
	t.Parallel()
	s := start(t, "keys")
	r := newReceiver(t)
	ep := s.call(t, "POST", "/api/v1/webhooks", map[string]any{"url": r.URL, "events": []string{"*"}})["id"].(string)
	p := open(t, s, "/console")
	p.allow("400", "401", "404")
	p.fill("API key", "ph_01M87K1Y7556C7J88B4AQNEZDZ_short")
	p.keys(kb.Enter)
	p.beside("API key", "key: ")
	p.keys(kb.Enter) // again, with the focus there already
	p.beside("API key", "key: ")
	p.fill("API key", s.key)
	p.keys(kb.Enter)
	p.sees("Overview")
	for _, width := range []int64{1280, 360} {
		p.size(width, 800)
		p.visit("/console/endpoints/new")
		for _, c := range []struct{ label, text, says string }{
			{"URL", "not a url", "url: "},
			{"URL", "http://169.254.169.254/", "url: must not be a link-local"},
			{"Events", "order.*\nor der", "events[1]: "},
			{"Events", "", "events: "},
			{"Secret", "short", "secret: "},
			{"Secret", strings.Repeat("x", 257), "secret: "},
		} {
			p.fill("URL", r.URL)
			p.fill("Events", "order.*")
			p.fill("Secret", "")
			p.fill(c.label, c.text)
			p.click("Make the endpoint")
			p.beside(c.label, c.says)
		}
		p.visit("/console/endpoints/" + ep)
		p.dialog("Rotate the secret")
		p.fill("Secret", "short")
		p.click("Rotate")
		p.beside("Secret", "secret: ")
		p.visit("/console/keys")
		p.dialog("New key")
		p.fill("Tenant", "Not one")
		p.click("Make the key")
		p.beside("Tenant", "tenant: ")
		p.fill("Tenant", "")
		p.fill("Description", strings.Repeat("x", 2000))
		p.click("Make the key")
		p.beside("Description", "description: ")
		for _, list := range []string{"events", "dead-letters", "deliveries?endpoint_id=" + ep} {
			p.visit("/console/" + list)
			p.fill("Event type", "not a type")
			p.click("Show")
			p.beside("Event type", "event_type: ")
		}
		p.visit("/console/dead-letters?endpoint_id=ep_1")
		p.beside("Endpoint", "There is no such endpoint.")
	}
}

// Nothing moves for who does not want it to: what moves at all is within a rule for
// those who do not mind.
func TestNothingMovesForWhoDoesNotWantIt(t *testing.T) {
	t.Parallel()
	s := start(t, "off")
	p := open(t, s, "/console")
	p.sees("Overview")
	p.until("no transition and no animation but for those who do not mind", `(() => {
		const calm = rules => [...rules].every(r => r.conditionText?.includes('prefers-reduced-motion: no-preference') ||
			!['transitionDuration', 'animationName', 'scrollBehavior'].some(n => r.style?.[n] && !/^(0s|none|auto)$/.test(r.style[n])) && calm(r.cssRules ?? []));
		return document.styleSheets.length > 0 && [...document.styleSheets].every(s => calm(s.cssRules)) && document.getAnimations().length === 0;
	})()`)
}

// A list is asked for anew every five seconds. A filter's mistake takes the focus
// once, and not from who has gone on to another field; and it stays for as long as
// the filter says the same.
func TestAMistakeInAFilterTakesTheFocusOnce(t *testing.T) {
	t.Parallel()
	s := start(t, "off")
	p := open(t, s, "/console/dead-letters")
	p.allow("400")
	p.enter("Event type", "not a type")
	p.keys(kb.Enter)
	p.beside("Event type", "event_type: ")
	asked := "performance.getEntriesByType('resource').filter(e => e.name.includes('/api/v1/dlq?') && e.name.includes('event_type')).length"
	polled := func() {
		t.Helper()
		n, err := evaluate[int](p, asked)
		require.NoError(t, err)
		p.until("two more answers", fmt.Sprintf("%s >= %d", asked, n+2)) // what the first changes shows by the second
	}
	stays := func() {
		t.Helper()
		p.tabBack(field("Endpoint"))
		polled()
		p.at(field("Endpoint"))
		p.sees("event_type: ")
	}
	stays()

	// Pressed again, it is asked for again, and says where the mistake still is.
	n, err := evaluate[int](p, asked)
	require.NoError(t, err)
	p.use(button("Show"))
	p.beside("Event type", "event_type: ")
	p.until("it is asked for anew, at once", fmt.Sprintf("%s > %d", asked, n))
	stays()

	p.use(button("Clear"))
	p.gone("event_type: ")
}
