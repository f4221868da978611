package browser

import (
	"testing"
	"time"
)

// redocs is what axe-core finds in the reference that Redoc writes so, with no
// option for it:
//
//   - heading-order: the parts of an operation, "Request Body schema" and the like,
//     are h5 below its h2.
var redocs = []string{"heading-order: "}

// The reference at /docs is made in the browser, under a policy that lets it ask
// no other host: what the policy refuses fails the test. Its links lead to where
// they say, as an address of its own does, and it fits a phone, light and dark. Of
// what axe-core finds there, nothing is ours.
func TestTheReferenceIsRead(t *testing.T) {
	t.Parallel()
	s := start(t, "off")
	p := open(t, s, "/docs")
	const heading = "[...document.querySelectorAll('h2')].find(e => e.innerText.trim() === 'Send many dead letters again')"
	const near = "(() => { const e = " + heading + "; if (!e) return false; const y = e.getBoundingClientRect().y; return y > -50 && y < innerHeight })()"
	item := func(words string) string {
		return "[...document.querySelectorAll('[role=menuitem] label')].find(e => e.getClientRects().length > 0 && e.innerText.includes(" + quote(words) + "))"
	}
	p.until("the reference", heading)
	p.until("it begins at its beginning", "!"+near)
	p.press(item("Dead letters"))
	p.press(item("Send many dead letters again"))
	p.until("the operation, and its address", near+" && location.hash === '#tag/Dead-letters/operation/replayDeadLetters'")
	p.visit("/console")
	p.visit("/docs#tag/Dead-letters/operation/replayDeadLetters")
	p.until("the operation, by its address", near)
	p.until("every link within the page leads somewhere", "(() => { const to = [...document.querySelectorAll('a[href^=\"#\"]')].map(a => decodeURIComponent(a.hash.slice(1))); "+
		"return to.length > 20 && to.every(id => document.getElementById(id)) })()")
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"wide", 1280, 900}, {"narrow", 390, 844}, {"narrowest", 360, 740}} {
		p.size(size.width, size.height)
		for _, scheme := range []string{"light", "dark"} {
			p.scheme(scheme)
			p.until("its colours", "document.documentElement.classList.contains('dark') === "+map[bool]string{true: "true", false: "false"}[scheme == "dark"])
			p.until("the reference", heading)
			p.until("no line is wider than the page", "document.documentElement.scrollWidth <= innerWidth")
			p.screen("reference-" + size.name + "-" + scheme)
			if size.name == "wide" {
				p.patience = time.Minute // it is a long page
				accessible(p, "reference "+scheme, redocs...)
				p.patience = patience
			}
		}
	}
}
