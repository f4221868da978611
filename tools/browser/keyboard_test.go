package browser

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// stop is where the keyboard is.
type stop struct {
	Name    string
	Dialog  bool // in the dialog that is open
	Wrong   string
	Outside bool // no element of the page has the focus
	There   bool // where it was to go
	Under   bool // under a dialog
}

// where says what has the focus, and what is wrong with how that shows: it has an
// outline of at least 2 px, of at least three times the contrast of what is around
// it, and is in sight, with nothing over it.
const where = `(() => {
	const e = document.activeElement;
	if (!e || e === document.body) return { Outside: true };
	const open = document.querySelector('dialog[open]');
	const name = (e.getAttribute('aria-label') ?? e.labels?.[0]?.innerText ?? e.innerText ?? '').trim().replace(/\s+/g, ' ').slice(0, 60) || e.tagName;
	const at = { Name: name, Dialog: !!open?.contains(e), Wrong: '' };
	const brush = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
	const paint = colour => { brush.fillStyle = colour; brush.fillRect(0, 0, 1, 1); };
	const light = () => { const [r, g, b] = [...brush.getImageData(0, 0, 1, 1).data].map(c => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const around = [];
	for (let a = e.parentElement; a; a = a.parentElement) around.unshift(getComputedStyle(a).backgroundColor);
	around.forEach(paint);
	const under = light(), style = getComputedStyle(e);
	paint(style.outlineColor);
	const line = light(), contrast = (Math.max(line, under) + 0.05) / (Math.min(line, under) + 0.05);
	if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) at.Wrong = 'has no outline';
	else if (contrast < 3) at.Wrong = 'has an outline of too little contrast: ' + contrast.toFixed(2);
	const r = e.getClientRects()[0], middle = r && [(Math.max(r.left, 0) + Math.min(r.right, innerWidth)) / 2, (Math.max(r.top, 0) + Math.min(r.bottom, innerHeight)) / 2];
	if (!r || r.bottom <= 0 || r.top >= innerHeight || r.right <= 0 || r.left >= innerWidth) at.Wrong ||= 'is out of sight';
	else { const top = document.elementFromPoint(...middle); if (!top || !e.contains(top) && !top.contains(e)) at.Wrong ||= 'is covered by ' + (top?.className || top?.tagName); }
	return at;
})()`

// stop returns where the keyboard is, once that shows as it has to.
func (p *page) stop() stop {
	p.t.Helper()
	at, err := evaluate[stop](p, where)
	require.NoError(p.t, err)
	require.Empty(p.t, at.Wrong, "the focus at %q, on %s", at.Name, p.location())
	return at
}

func (p *page) location() string {
	p.t.Helper()
	at, err := evaluate[string](p, "location.pathname + location.search")
	require.NoError(p.t, err)
	return at
}

// tabTo goes to an element as the keyboard does, and fails where that takes more
// stops than a person has patience for, or leads under a dialog. It returns the
// names of the stops.
func (p *page) tabTo(element string) []string { p.t.Helper(); return p.goTo(element, false) }

// tabBack goes the other way.
func (p *page) tabBack(element string) []string { p.t.Helper(); return p.goTo(element, true) }

func (p *page) goTo(element string, back bool) []string {
	p.t.Helper()
	p.until(element, element)
	const look = "(() => { const at = %s; at.There = document.activeElement === %s; at.Under = !!document.querySelector('dialog[open]') && !at.Dialog; return at })()"
	var way []string
	for len(way) < 60 {
		at, err := evaluate[stop](p, fmt.Sprintf(look, where, element))
		require.NoError(p.t, err)
		if len(way) > 0 {
			way[len(way)-1] = at.Name
			require.Empty(p.t, at.Wrong, "the focus at %q, on %s", at.Name, p.location())
			require.False(p.t, at.Under && !at.Outside, "the focus at %q is under the dialog", at.Name) // between the last stop and the first is the browser's own frame
		}
		if at.There {
			return way
		}
		if back {
			p.run(chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(chromedp.ModifierShift)))
		} else {
			p.keys(kb.Tab)
		}
		way = append(way, "")
	}
	p.picture("failed")
	require.FailNow(p.t, "the keyboard does not get there", "%s, on %s, by way of %q", element, p.location(), way)
	return nil
}

// use goes to a button or a link, and presses it.
func (p *page) use(element string) { p.t.Helper(); p.tabTo(element); p.keys(kb.Enter) }

// enter goes to a field and types into the place of what is there.
func (p *page) enter(label, text string) {
	p.t.Helper()
	p.tabTo(field(label))
	p.instead(text)
}

// instead types in the place of what the field with the focus holds.
func (p *page) instead(text string) {
	p.t.Helper()
	p.keys(kb.End)
	p.run(chromedp.KeyEvent(kb.Home, chromedp.KeyModifiers(chromedp.ModifierShift)))
	p.keys(kb.Delete + text)
}

// on waits until the focus is on the title of a page, where a reader begins.
func (p *page) on(title string) {
	p.t.Helper()
	p.until("the focus on "+title, "document.activeElement?.tagName === 'H1' && document.activeElement.innerText === "+quote(title))
	p.stop()
}

// at waits until an element has the focus.
func (p *page) at(element string) {
	p.t.Helper()
	p.until("the focus on "+element, "document.activeElement === "+element)
	p.stop()
}

// inside waits for a dialog, and goes once around it, either way.
func (p *page) inside(title string) {
	p.t.Helper()
	p.until("the focus in the dialog "+title, "document.querySelector('dialog[open]')?.getAttribute('aria-label') === "+quote(title)+" && document.querySelector('dialog[open]').contains(document.activeElement)")
	p.stop()
	p.tabTo(button("Close"))
	p.keys(kb.Tab)
	p.stop()
	p.tabTo(button("Close"))
	p.run(chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(chromedp.ModifierShift)))
	p.stop()
	p.tabBack(button("Close"))
}

// The whole story by the keyboard alone: no click, and no focus but what the
// browser and the console give. Each stop shows; a dialog keeps the focus and gives
// it back; and a page that changes leaves it where a reader goes on.
func TestTheWholeStoryByKeyboard(t *testing.T) {
	t.Parallel()
	s := start(t, "keys")
	r := newReceiver(t)
	r.down.Store(true)
	p := open(t, s, "/console")
	began := time.Now()

	// The field of the key has the focus from the beginning, and a mistake leaves it there.
	p.allow("401", "400")
	p.at(field("API key"))
	p.keys("ph_nothing" + kb.Enter)
	p.wrongAt("API key", "key")
	p.instead(s.key)
	p.keys(kb.Enter)
	p.on("Overview")
	p.sees("There is no endpoint yet")

	// The menu is first, in its order, and what jumps over it is before it.
	p.tabBack(button("To the content"))
	require.Equal(t, []string{"Posthorn, overview", "Overview", "Endpoints", "Events", "Deliveries", "Dead letters", "Jobs", "Event types", "API keys", "Sign out", "API", "Dead letters 0", "Endpoints 0 all active", "Make an endpoint"},
		p.tabTo(button("Make an endpoint")))
	p.tabBack(button("To the content"))
	p.keys(kb.Enter)
	p.on("Overview")

	// An endpoint, whose form is walked through from above.
	p.use(button("Make an endpoint"))
	p.on("New endpoint")
	require.Equal(t, []string{"URL"}, p.tabTo(field("URL")))
	p.keys(r.URL + "/billing")
	require.Equal(t, []string{"Events"}, p.tabTo(field("Events")))
	p.keys(kb.End + kb.Backspace + "invoice.*")
	require.Equal(t, []string{"Description", "Secret", "Retries, limits, headers"}, p.tabTo(button("Retries, limits, headers")))
	p.keys(" ")
	p.enter("Retries", "many")
	p.keys(kb.Enter)
	p.wrongAt("Retries", "must be a number")
	p.stop()
	p.instead("1")
	p.use(button("Make the endpoint"))
	p.on("The endpoint is made")
	p.use(button("Go to the endpoint"))
	p.until("its page", "document.activeElement?.tagName === 'H1' && document.activeElement.innerText.includes('/billing')")

	// A test event, and its delivery: it fails, twice.
	require.Equal(t, []string{"Send a test event"}, p.tabTo(button("Send a test event")))
	p.keys(kb.Enter)
	p.on("posthorn.test")
	p.sees("dead", "Attempt 2", "Attempt 1")
	p.tabTo(`[...document.querySelectorAll('.attempts summary')].at(-1)`)
	p.keys(" ")
	p.until("the first attempt", "document.querySelectorAll('.exchange').length === 2")
	p.tabBack(`document.querySelector('.headers summary')`)
	p.keys(kb.Enter)
	p.sees("X-Webhook-Attempt: 2", "down for maintenance")

	// Dead letters: found by a filter, whose focus stays, chosen with the space bar.
	for i := range 3 { // with the test event fewer attempts than open the breaker
		s.call(t, "POST", "/api/v1/events", map[string]any{"event_type": "invoice.sent", "payload": map[string]any{"invoice": i}})
	}
	p.tabBack(button("Dead letters"))
	p.keys(kb.Enter)
	p.on("Dead letters")
	p.until("four entries", "document.querySelectorAll('tbody tr').length === 4")
	require.Equal(t, []string{"Replay many…", "Endpoint", "Event type"}, p.tabTo(field("Event type")))
	p.keys("no type" + kb.Enter)
	p.wrongAt("Event type", "event_type: ")
	p.stop()
	p.instead("invoice.sent")
	p.keys(kb.Enter)
	p.until("three entries", "document.querySelectorAll('tbody tr').length === 3")
	p.at(field("Event type"))
	p.use(button("Clear"))
	p.until("four entries", "document.querySelectorAll('tbody tr').length === 4")
	p.until("the focus is in the filter", "document.querySelector('.filter').contains(document.activeElement)")
	p.tabTo(checkbox("Choose invoice.sent"))
	p.keys(" ")
	p.sees("1 chosen")
	r.down.Store(false)
	p.tabBack(button("Replay them"))
	p.keys(kb.Enter)
	p.sees("1 entry on the way again.")
	p.until("three entries", "document.querySelectorAll('tbody tr').length === 3")
	p.on("Dead letters") // the button is not to be pressed again

	// All of them: counted, then sent, and watched.
	p.use(button("Replay many…"))
	p.at(field("Endpoint"))
	p.inside("Replay dead letters")
	p.keys(kb.Escape)
	p.at(button("Replay many…"))
	p.keys(kb.Enter)
	p.enter("So many a second", "0.5")
	p.keys(kb.Enter)
	p.sees("3 entries match.", "At most 0.5 a second.")
	p.inside("Replay dead letters")
	p.tabTo(button("Back"))
	p.keys(kb.Enter)
	p.enter("So many a second", "0.5") // which leaves seconds to come to the button below
	p.use(button("Count first"))
	p.sees("3 entries match.")
	p.use(button("Replay 3"))
	p.at(button("Replay many…"))
	p.until("progress on the way", "(() => { const b = document.querySelector('.job progress'); return b && b.position > 0 && b.position < 1 })()")
	p.tabTo(button("Stop it")) // which is not pressed
	p.until("progress at its end", "document.querySelector('.job progress').position === 1")
	p.sees("Nothing here: what is sent is delivered")
	p.on("Dead letters") // the button is gone

	// A pause and a resume: the focus stays where they are.
	p.tabBack(button("Endpoints"))
	p.keys(kb.Enter)
	p.on("Endpoints")
	p.use(linkWith("/billing"))
	p.use(button("Pause"))
	p.sees("paused by its owner")
	p.at(button("Resume"))
	p.keys(kb.Enter)
	p.sees("The endpoint is active again.")
	p.at(button("Pause"))
	p.use(button("Delete"))
	p.at(button("Cancel")) // and not on what cannot be undone
	p.inside("Delete the endpoint?")
	p.use(button("Cancel"))
	p.at(button("Delete"))

	// A key is made and revoked.
	p.tabBack(button("API keys"))
	p.keys(kb.Enter)
	p.on("API keys")
	p.use(button("New key"))
	p.at(field("Role"))
	p.inside("New API key")
	p.tabTo(field("Role"))
	p.keys(kb.ArrowDown)
	p.until("another role", field("Role")+".value === 'viewer'")
	p.enter("Tenant", "Not one")
	p.keys(kb.Enter)
	p.wrongAt("Tenant", "tenant: ")
	p.stop()
	p.instead("")
	p.use(button("Make the key"))
	p.until("the key", "document.querySelector('dialog #key')?.innerText.startsWith('ph_')")
	made := strings.Split(p.text("dialog #key"), "_")[1]
	p.inside("New API key")
	p.use(button("Done"))
	p.at(button("New key"))
	p.use(button("Revoke " + made))
	p.inside("Revoke the key?")
	p.use(button("Revoke it"))
	p.sees("The key is revoked.")
	p.gone(made)
	p.on("API keys")

	// On a phone the menu stands below who is signed in, and the keyboard comes to it there.
	p.size(360, 740)
	p.tabBack(button("To the content"))
	require.Equal(t, []string{"Posthorn, overview", "Sign out", "Overview", "Endpoints", "Events", "Deliveries", "Dead letters", "Jobs", "Event types", "API keys"},
		p.tabTo(button("API keys")))
	p.size(1280, 900)

	// An end, after which the next begins as this one did.
	p.tabBack(button("Sign out"))
	p.keys(kb.Enter)
	p.at(field("API key"))
	t.Logf("the story by keyboard: %v", time.Since(began))
}

// steps are the presses and the fields of a story, and the pages that are read.
type steps struct {
	presses, fields int
	pages           []string
}

// An operator finds out what died, and why, and sends it again: from the page that
// asks for a key to a delivery that is delivered. The machine's time is measured and
// printed, and no bound is set to it; a person's is reckoned by the keystroke-level model of Card, Moran and Newell
// (1980): 1.35 s to think before each step, 1.1 s to point, 0.2 s to press, 0.4 s for
// the hand to change between mouse and keyboard, with the key pasted, and 5 s to read
// each page.
func TestADeadLetterIsFoundAndReplayedInUnderAMinute(t *testing.T) {
	t.Parallel()
	s := start(t, "keys")
	r := newReceiver(t)
	r.down.Store(true)
	s.call(t, "POST", "/api/v1/webhooks", map[string]any{"url": r.URL + "/billing", "events": []string{"invoice.*"}, "max_retries": 1})
	s.call(t, "POST", "/api/v1/events", map[string]any{"event_type": "invoice.sent", "payload": map[string]any{"invoice": 7}})
	require.Eventually(t, func() bool {
		return len(s.call(t, "GET", "/api/v1/dlq", nil)["data"].([]any)) == 1
	}, patience, 50*time.Millisecond)
	r.down.Store(false)

	var did steps
	p := open(t, s, "/console")
	began := time.Now()
	p.allow("401")
	did.pages = append(did.pages, "sign in")
	p.at(field("API key")) // without a press
	p.keys(s.key)
	did.fields++
	p.keys(kb.Enter)
	did.presses++
	did.pages = append(did.pages, "overview")
	p.sees("Died last", "HTTP 503: Service Unavailable")
	p.until("all of it in sight, without scrolling", "[...document.querySelectorAll('h2')].find(e => e.innerText === 'Died last').closest('section').getBoundingClientRect().bottom <= innerHeight")
	p.press(linkWith("invoice.sent"))
	did.presses++
	did.pages = append(did.pages, "the dead letter")
	p.sees("HTTP 503: Service Unavailable", "/billing", `"invoice": 7`)
	p.click("Replay")
	did.presses++
	did.pages = append(did.pages, "its delivery")
	p.until("it is delivered", "document.querySelector('.facts .badge')?.innerText === 'delivered'")
	machine := time.Since(began)

	n := did.presses + did.fields
	person := time.Duration(n)*1350*time.Millisecond + // to think
		time.Duration(did.presses)*1300*time.Millisecond + // to point and press
		2*400*time.Millisecond + // to the keyboard and back
		time.Duration(len(did.pages))*5*time.Second // to read
	fmt.Printf("dead letter found and replayed: %d steps (%d field, %d presses, %d pages), %.1f s of the machine's; %.1f s with a person's\n",
		n, did.fields, did.presses, len(did.pages), machine.Seconds(), (machine + person).Seconds())
	require.LessOrEqual(t, n, 4)
	require.LessOrEqual(t, len(did.pages), 4)
	require.Less(t, person, time.Minute)

	// By way of the list, why it died shows there too, and it is as near.
	r.down.Store(true)
	s.call(t, "POST", "/api/v1/events", map[string]any{"event_type": "invoice.due", "payload": map[string]any{"invoice": 8}})
	p.click("Dead letters")
	p.sees("invoice.due", "HTTP 503: Service Unavailable", "/billing")
}
