package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// patience is how long a page may take to show what is waited for.
const patience = 15 * time.Second

// page is a tab, as a person uses it: with the mouse and the keyboard.
type page struct {
	t        *testing.T
	ctx      context.Context
	base     string
	patience time.Duration

	mu     sync.Mutex
	wrong  []string // errors of scripts, what the policy refused, requests to other hosts
	expect []string // of those, what a test asks for
}

// open starts a browser of its own at a path, and ends it with the test.
func open(t *testing.T, s *server, path string) *page {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(*chromium), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("lang", "en-GB"))
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(endAllocator)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	p := &page{t: t, ctx: ctx, base: s.url, patience: patience}
	home, err := url.Parse(s.url)
	require.NoError(t, err)
	require.NoError(t, chromedp.Listen(ctx, func(e any) {
		switch e := e.(type) {
		case *runtime.EventExceptionThrown:
			p.note((&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError {
				p.note(e.Entry.Text + " " + e.Entry.URL)
			}
		case *network.EventRequestWillBeSent:
			u, err := url.Parse(e.Request.URL)
			if err != nil || u.Host != home.Host && u.Scheme != "data" && !strings.HasPrefix(e.Request.URL, "blob:"+s.url+"/") { // the browser's own pictures, and what the page made
				p.note("a request to another host: " + e.Request.URL)
			}
		}
	}))
	command(p, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}) // as a window that is looked at
	p.size(1280, 900)
	p.light()
	p.visit(path)
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		require.Empty(t, p.wrong)
	})
	return p
}

func (p *page) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.expect {
		if strings.Contains(what, e) {
			return
		}
	}
	p.wrong = append(p.wrong, what)
}

// allow says what may go wrong from now on: a browser reports every answer that
// is an error, also one that a test asks for.
func (p *page) allow(what ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expect = append(p.expect, what...)
}

func (p *page) run(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	require.NoError(p.t, chromedp.Do(ctx, steps...))
}

// command sends the browser a command whose answer says nothing.
func command[P any](p *page, c cdp.Command[P, cdp.Empty], params P) {
	p.t.Helper()
	p.run(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	}))
}

func (p *page) visit(path string) {
	p.t.Helper()
	p.run(chromedp.Navigate(p.base + path))
}

func (p *page) size(width, height int64) {
	p.t.Helper()
	command(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600})
}

func (p *page) scheme(value string) {
	p.t.Helper()
	command(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: value}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

func (p *page) light() { p.t.Helper(); p.scheme("light") }

// evaluate runs an expression in the page and returns what it comes to.
func evaluate[T any](p *page, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, p.patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression))
}

// until waits until an expression is true.
func (p *page) until(what, expression string) {
	p.t.Helper()
	deadline := time.Now().Add(p.patience)
	for {
		yes, err := evaluate[bool](p, "!!("+expression+")")
		if err == nil && yes {
			return
		}
		if time.Now().After(deadline) {
			text, _ := evaluate[string](p, "location.href + '\\nthe focus is at ' + document.activeElement?.outerHTML.slice(0, 200) + '\\n' + document.body.innerText")
			p.picture("failed")
			require.FailNow(p.t, "the page does not show it", "%s (%v), but\n%s", what, err, text)
		}
		p.run(chromedp.Sleep(25 * time.Millisecond)) // between two looks
	}
}

// sees waits until a text stands somewhere in the page.
func (p *page) sees(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.until("the text "+text, "document.body.innerText.includes("+quote(text)+")")
	}
}

// gone waits until a text stands nowhere.
func (p *page) gone(text string) {
	p.t.Helper()
	p.until("no "+text, "!document.body.innerText.includes("+quote(text)+")")
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Elements are found as people find them: a button or a link by its words, a
// field by its label. What lies under an open dialog is not found.
const find = `(() => {
	const open = [...document.querySelectorAll('dialog[open]')].pop() ?? document;
	const seen = e => e.getClientRects().length > 0 && !e.disabled;
	const words = e => (e.getAttribute('aria-label') ?? e.innerText).trim();
	const by = %s;
	return by(open, seen, words);
})()`

func button(words string) string {
	return fmt.Sprintf(find, `(open, seen, words) => [...open.querySelectorAll('button, a, summary')].find(e => seen(e) && words(e) === `+quote(words)+`)`)
}

func linkWith(words string) string {
	return fmt.Sprintf(find, `(open, seen, words) => [...open.querySelectorAll('main a, dialog a')].find(e => seen(e) && words(e).includes(`+quote(words)+`))`)
}

func checkbox(label string) string {
	return fmt.Sprintf(find, `(open, seen, words) => [...open.querySelectorAll('input[type=checkbox]')].find(e => seen(e) && words(e).startsWith(`+quote(label)+`))`)
}

func field(label string) string {
	return fmt.Sprintf(find, `(open, seen, words) => [...open.querySelectorAll('label')].filter(e => words(e) === `+quote(label)+`).map(e => e.control).find(seen)`)
}

// press clicks in the middle of an element, once it is there and has not moved
// between two looks.
func (p *page) press(element string) {
	p.t.Helper()
	p.until(element, element)
	p.until("it stands still", `(() => { const e = `+element+`; if (!e) return false; e.scrollIntoView({ block: 'center' }); const r = e.getClientRects()[0];
		const before = window.stood; window.stood = [e, r.x, r.y]; if (before?.[0] !== e || before[1] !== r.x || before[2] !== r.y) return false;
		const top = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2); return top && (e.contains(top) || top.contains(e)) })()`)
	at, err := evaluate[struct{ X, Y float64 }](p, `(() => { const r = `+element+`.getClientRects()[0]; return { X: r.x + r.width / 2, Y: r.y + r.height / 2 } })()`)
	require.NoError(p.t, err)
	p.run(chromedp.MouseClickXY(at.X, at.Y))
}

func (p *page) click(words string) { p.t.Helper(); p.press(button(words)) }

// fill writes into a field in the place of what is there.
func (p *page) fill(label, text string) {
	p.t.Helper()
	f := field(label)
	p.until("the field "+label, f)
	p.until("the focus", "(() => { const e = "+f+"; e.focus(); e.select?.(); return document.activeElement === e })()")
	if text == "" {
		p.keys(kb.Delete)
		return
	}
	command(p, input.InsertText, input.InsertTextParams{Text: text})
}

// dialog presses a button that opens a dialog, and waits for it.
func (p *page) dialog(words string) {
	p.t.Helper()
	p.click(words)
	p.until("the dialog of "+words, "document.querySelector('dialog[open]')")
}

func (p *page) choose(label, value string) {
	p.t.Helper()
	f := field(label)
	p.until("the field "+label, f)
	p.until("the choice", "(() => { const e = "+f+"; e.value = "+quote(value)+"; e.dispatchEvent(new Event('change', { bubbles: true })); return e.value === "+quote(value)+" })()")
}

func (p *page) keys(k string) {
	p.t.Helper()
	p.run(chromedp.KeyEvent(k))
}

// wrongAt waits until a field says what is wrong with it, and has the focus.
func (p *page) wrongAt(label, text string) {
	p.t.Helper()
	f := field(label)
	p.until("what is wrong with "+label, "(() => { const e = "+f+"; return e && e.getAttribute('aria-invalid') === 'true' && document.activeElement === e && "+
		"e.getAttribute('aria-describedby').split(' ').some(id => document.getElementById(id).innerText.includes("+quote(text)+")) })()")
}

// text returns what an element says.
func (p *page) text(selector string) string {
	p.t.Helper()
	p.until(selector, "document.querySelector("+quote(selector)+")")
	s, err := evaluate[string](p, "document.querySelector("+quote(selector)+").innerText")
	require.NoError(p.t, err)
	return s
}

// picture keeps a picture of the whole page, screen one of what is in sight.
func (p *page) picture(name string) { p.t.Helper(); p.keep(name, chromedp.FullScreenshot(100)) }
func (p *page) screen(name string)  { p.t.Helper(); p.keep(name, chromedp.CaptureScreenshot()) }

func (p *page) keep(name string, take chromedp.Action[[]byte]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, take)
	require.NoError(p.t, err)
	require.NoError(p.t, os.MkdirAll(*pictures, 0o755))
	require.NoError(p.t, os.WriteFile(filepath.Join(*pictures, name+".png"), png, 0o644))
}
