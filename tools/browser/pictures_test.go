package browser

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// seed posts so many events, a hundred at a time.
func seed(t *testing.T, s *server, n int) {
	t.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			for {
				size := min(100, left.Add(-100)+100)
				if size <= 0 {
					return
				}
				batch := make([]any, size)
				for j := range batch {
					batch[j] = map[string]any{"event_type": "load.event", "payload": map[string]any{"n": j}}
				}
				if _, err := s.try(t.Context(), "POST", "/api/v1/events/batch", map[string]any{"events": batch}); err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

// Every page, light and dark, wide and narrow, for people to look at.
func TestPictures(t *testing.T) {
	t.Parallel()
	s := start(t, "keys")
	shop, broken := newReceiver(t), newReceiver(t)
	broken.down.Store(true)
	register := func(url, description string, events []string, more map[string]any) string {
		body := map[string]any{"url": url, "events": events, "description": description}
		for k, v := range more {
			body[k] = v
		}
		return s.call(t, "POST", "/api/v1/webhooks", body)["id"].(string)
	}
	good := register(shop.URL+"/orders", "Orders, to the shop", []string{"order.*", "user.created", "payment.*", "invoice.sent"}, map[string]any{"rate_limit": 500, "headers": map[string]string{"Authorization": "Bearer x"}, "metadata": map[string]string{"team": "shop"}})
	bad := register(broken.URL+"/billing", "Invoices, to billing", []string{"invoice.*"}, map[string]any{"max_retries": 1})
	paused := register(shop.URL+"/reports", "Nightly reports", []string{"report.*"}, nil)
	s.call(t, "POST", "/api/v1/webhooks/"+paused+"/pause", nil)

	p := open(t, s, "/console")
	p.allow("401")
	p.sees("Sign in")
	p.until("the field", field("API key"))
	shoot(p, "sign-in")
	signIn(p, s.key)
	p.sees("Overview")
	p.visit("/console") // as who comes back sees it, with the focus nowhere yet

	// Something to look at: half a minute of traffic, some of which fails.
	var event string
	stop, done := traffic(t, s, &event)
	p.until("charts with a line", "document.querySelectorAll('.chart').length === 6")
	p.patience = 60 * time.Second
	p.until("dead letters", "Number(document.querySelector('.tiles .bad')?.innerText) > 3")
	p.until("half a minute", "performance.now() > 32000")
	p.patience = patience
	shoot(p, "overview")
	stop()
	<-done

	delivery := s.call(t, "GET", "/api/v1/deliveries?status=dead&endpoint_id="+bad, nil)["data"].([]any)[0].(map[string]any)["id"].(string)
	dead := s.call(t, "GET", "/api/v1/dlq?limit=1", nil)["data"].([]any)[0].(map[string]any)["id"].(string)
	for _, page := range []struct{ name, path, shows string }{
		{"endpoints", "/endpoints", "of 20 delivered"},
		{"endpoint", "/endpoints/" + good, "of 20 delivered"},
		{"endpoint-paused", "/endpoints/" + paused, "paused by its owner"},
		{"endpoint-new", "/endpoints/new", "Make the endpoint"},
		{"endpoint-edit", "/endpoints/" + good + "/edit", "Attempts a second"},
		{"events", "/events", "order.created"},
		{"event", "/events/" + event, "Payload"},
		{"event-send", "/events/new", "Payload"},
		{"deliveries", "/deliveries?endpoint_id=" + bad, "invoice.sent"},
		{"deliveries-choose", "/deliveries", "Of which endpoint?"},
		{"delivery", "/deliveries/" + delivery, "down for maintenance"},
		{"dead-letters", "/dead-letters", "HTTP 503"},
		{"dead-letter", "/dead-letters/" + dead, "Payload"},
		{"jobs", "/jobs", "no job yet"},
		{"event-types", "/event-types", "Predefined"},
		{"keys", "/keys", "yours"},
	} {
		p.visit("/console" + page.path)
		p.sees(page.shows)
		p.until("all of it", "!document.querySelector('.loading') && !document.querySelector('[aria-busy=true]') && ![...document.querySelectorAll('td')].some(e => e.innerText === '…')")
		shoot(p, page.name)
	}

	// A form with a mistake, the dialogs, and a replay under way.
	p.allow("400")
	p.visit("/console/endpoints/new")
	p.fill("URL", "http://169.254.169.254/latest/meta-data")
	p.click("Make the endpoint")
	p.wrongAt("URL", "url: ")
	shoot(p, "problem-at-its-field")
	p.visit("/console/dead-letters?event_type=not+a+type")
	p.wrongAt("Event type", "event_type: ")
	shoot(p, "problem-in-a-filter")
	p.visit("/console/dead-letters")
	p.sees("HTTP 503")
	p.dialog("Replay many…")
	shoot(p, "replay-filter")
	p.fill("So many a second", "3")
	p.click("Count first")
	p.sees("match.")
	shoot(p, "replay-counted")
	p.press(fmt.Sprintf(find, `(open, seen, words) => open.querySelector('button[type=submit]')`))
	p.until("progress", "document.querySelector('.job progress')?.position > 0.1")
	shoot(p, "replay-under-way")
	p.visit("/console/endpoints/" + good)
	p.dialog("Rotate the secret")
	shoot(p, "rotate")
	p.click("Rotate")
	p.until("the secret", "document.querySelector('dialog #secret')")
	shoot(p, "rotated")
}

// traffic sends events until it is stopped.
func traffic(t *testing.T, s *server, event *string) (stop func(), done chan struct{}) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(150 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			types := []string{"order.created", "order.created", "order.paid", "user.created", "order.shipped", "payment.failed"}
			n := 1 + (i/20)%3*2
			var batch []any
			for j := range n {
				batch = append(batch, map[string]any{"event_type": types[(i+j)%len(types)], "payload": map[string]any{"order": 1001 + i, "total": "19.90", "customer": map[string]any{"id": 7, "name": "Ada"}, "items": []string{"tea", "cups"}, "gift": false}})
			}
			if i%12 == 0 {
				batch = append(batch, map[string]any{"event_type": "invoice.sent", "payload": map[string]any{"invoice": 5000 + i, "due": "2026-12-24"}})
			}
			answer, err := s.try(t.Context(), "POST", "/api/v1/events/batch", map[string]any{"events": batch})
			if err != nil {
				t.Error(err)
				return
			}
			*event = answer["data"].([]any)[0].(map[string]any)["id"].(string)
		}
	}()
	return func() { close(quit) }, done
}

// fits looks at what is shown on the narrowest of phones, and at twice the size of a
// screen 1280 px wide: nothing is to be scrolled sideways, and what can be pressed is
// 24 px high and wide, but for a link within a sentence (WCAG 2.2, 1.4.10 and 2.5.8).
func fits(p *page, name string) {
	p.t.Helper()
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"on a phone", 360, 740}, {"at 200 %", 640, 450}} {
		p.size(size.width, size.height)
		p.until("no line is wider than the page", "document.documentElement.scrollWidth <= innerWidth")
		small, err := evaluate[[]string](p, `(() => {
			const all = [...(document.querySelector('dialog[open]') ?? document).querySelectorAll('a, button, input, select, textarea, summary, [tabindex="0"]')].filter(e => e.getClientRects().length);
			const name = e => e.tagName + ' ' + (e.getAttribute('aria-label') ?? e.innerText ?? e.name);
			const inSentence = e => e.tagName === 'A' && getComputedStyle(e).display === 'inline' && e.parentElement.tagName === 'P' && e.parentElement.innerText.trim() !== e.innerText.trim();
			const small = all.filter(e => { const r = e.getBoundingClientRect(); return (r.width < 24 || r.height < 24) && !inSentence(e) && e.className !== 'skip' })
				.map(e => { const r = e.getBoundingClientRect(); return name(e) + ' is ' + r.width.toFixed(1) + ' by ' + r.height.toFixed(1) });
			const sideways = [...document.querySelectorAll('body, body *')].filter(e => /auto|scroll/.test(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth + 1 && e.tagName !== 'TEXTAREA' || e.tagName === 'TR' && e.scrollWidth > e.clientWidth).map(e => name(e) + ' is scrolled sideways');
			return [...small, ...sideways];
		})()`)
		require.NoError(p.t, err)
		if len(small) > 0 {
			p.t.Errorf("%s %s:\n%s", name, size.name, strings.Join(small, "\n"))
		}
	}
}

// shoot keeps four pictures of what is shown.
func shoot(p *page, name string) {
	p.t.Helper()
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"wide", 1280, 900}, {"narrow", 390, 844}} {
		p.size(size.width, size.height)
		for _, scheme := range []string{"light", "dark"} {
			p.scheme(scheme)
			p.until("no line is wider than the page", "document.documentElement.scrollWidth <= innerWidth")
			p.picture(name + "-" + size.name + "-" + scheme)
			if size.name == "wide" || scheme == "light" { // colours are those of the wide page
				accessible(p, name+" "+size.name+" "+scheme)
			}
		}
	}
	fits(p, name)
	p.size(1280, 900)
	p.light()
}

// accessible asks axe-core, where it is given, what of the page somebody could not
// see, read or reach. What is known is the beginning of what it finds and cannot be
// mended: each has to be found, so that none outlives its reason.
func accessible(p *page, name string, known ...string) {
	p.t.Helper()
	if *axe == "" {
		return
	}
	script, err := os.ReadFile(*axe)
	require.NoError(p.t, err)
	_, err = evaluate[bool](p, string(script)+"; true")
	require.NoError(p.t, err)
	_, err = evaluate[bool](p, `window.found = undefined; axe.run(document, { resultTypes: ['violations'] }).then(r => { window.found = r.violations.flatMap(v => v.nodes.map(n => v.id + ': ' + n.target + ' ' + n.failureSummary)) }); true`)
	require.NoError(p.t, err)
	p.until("axe's verdict", "window.found")
	found, err := evaluate[[]string](p, "window.found")
	require.NoError(p.t, err)
	for _, k := range known {
		all := len(found)
		found = slices.DeleteFunc(found, func(f string) bool { return strings.HasPrefix(f, k) })
		require.Less(p.t, len(found), all, "%s: it finds no %q any more", name, k)
	}
	if len(found) > 0 {
		p.t.Errorf("%s: %s", name, strings.Join(found, "\n"))
	}
}
