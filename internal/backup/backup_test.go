package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// letter is a dead letter as the API shows it.
func letter(n int) string {
	return fmt.Sprintf(`{"id":"dlq_%d","event_id":"evt_%d","event_type":"order.created","payload":{"n":%d,"big":1e999,"t":"<&>"},"raw":"ü"}`, n, n, n)
}

// fake is an API with so many dead letters.
type fake struct {
	mu       sync.Mutex
	letters  int
	asked    []url.Values // for pages
	events   map[string]string
	posts    int
	answers  func(post int, id string) string // of an event; empty: accepted
	failing  func(call int) int               // status of a call; 0: as it should be
	calls    int
	onAnswer func(call int)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.onAnswer != nil {
		f.onAnswer(f.calls)
	}
	if f.failing != nil {
		if status := f.failing(f.calls); status != 0 {
			w.Header().Set("Retry-After", "5")
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"status":%d,"code":"unavailable","detail":"not now."}`, status)
			return
		}
	}
	if r.Method == http.MethodGet {
		q := r.URL.Query()
		f.asked = append(f.asked, q)
		from, _ := strconv.Atoi(q.Get("cursor"))
		to := min(from+100, f.letters) // less than the limit: pages may end early
		var data []string
		for n := from; n < to; n++ {
			data = append(data, letter(n))
		}
		next := "null"
		if to < f.letters {
			next = fmt.Sprintf("%q", strconv.Itoa(to))
		}
		_, _ = fmt.Fprintf(w, `{"data":[%s],"next_cursor":%s}`, strings.Join(data, ","), next)
		return
	}
	f.posts++
	var body struct{ Events []event }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Events) == 0 || len(body.Events) > 100 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var data []string
	for _, e := range body.Events {
		answer := ""
		if f.answers != nil {
			answer = f.answers(f.posts, e.ID)
		}
		if answer == "" {
			f.events[e.ID] = e.EventType + string(e.Payload)
			answer = `{"id":"evt_new","event_type":"x","deliveries":[]}`
		}
		data = append(data, answer)
	}
	w.WriteHeader(http.StatusAccepted)
	_, _ = fmt.Fprintf(w, `{"data":[%s]}`, strings.Join(data, ","))
}

// forget ends what happens at an answer, and what was asked. An answer that nobody
// waits for any more is through by then.
func (f *fake) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onAnswer, f.asked = nil, nil
}

func start(t *testing.T, f *fake) *client.Client {
	f.events = map[string]string{}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return &client.Client{URL: server.URL, HTTP: server.Client()}
}

func told(int, int) {}

func lines(n int) string {
	var all strings.Builder
	for i := range n {
		all.WriteString(letter(i) + "\n")
	}
	return all.String()
}

func TestAnExportHasEveryDeadLetterAsItCame(t *testing.T) {
	f := &fake{letters: 250}
	var out bytes.Buffer
	var seen []int
	e := &Export{API: start(t, f), Asked: url.Values{"event_type": {"a"}}, Told: func(n int) { seen = append(seen, n) }}
	n, err := e.To(t.Context(), &out)
	require.NoError(t, err)
	require.Equal(t, 250, n)
	require.Equal(t, lines(250), out.String())
	require.Equal(t, []int{100, 200, 250}, seen)
	require.Equal(t, "a", f.asked[2].Get("event_type"))

	path := filepath.Join(t.TempDir(), "out")
	f.letters = 0
	n, err = e.ToFile(t.Context(), path)
	require.NoError(t, err)
	require.Zero(t, n)
	require.FileExists(t, path)
}

// Whichever page it is interrupted at, also after a page was written and before
// that was noted, the file has every line once.
func TestAnInterruptedExportGoesOnWhereItStopped(t *testing.T) {
	for stop := 1; stop <= 4; stop++ {
		t.Run(strconv.Itoa(stop), func(t *testing.T) {
			f := &fake{letters: 350}
			api := start(t, f)
			dir := t.TempDir()
			path := filepath.Join(dir, "out")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f.onAnswer = func(call int) {
				if call == stop {
					cancel()
				}
			}
			_, err := (&Export{API: api, Filter: url.Values{"since": {"6h"}}, Asked: url.Values{"since": {"then"}}, Told: func(int) {}}).ToFile(ctx, path)
			require.ErrorIs(t, err, context.Canceled)
			require.NoFileExists(t, path)
			partial, err := os.OpenFile(path+".partial", os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = partial.WriteString(letter(99999)[:20])
			require.NoError(t, err)
			require.NoError(t, partial.Close())

			f.forget()
			n, err := (&Export{API: api, Filter: url.Values{"since": {"6h"}}, Asked: url.Values{"since": {"now"}}, Told: func(int) {}}).ToFile(t.Context(), path)
			require.NoError(t, err)
			require.Equal(t, 350, n)
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, lines(350), string(got))
			require.Len(t, f.asked, 5-stop, "pages that it had are not asked for")
			require.Equal(t, "then", f.asked[0].Get("since"), "a length of time counts from when it began")
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, left, 1)
		})
	}
}

func TestAnExportTouchesNoOther(t *testing.T) {
	f := &fake{letters: 250}
	api := start(t, f)
	path := filepath.Join(t.TempDir(), "out")
	export := func(filter string) error {
		_, err := (&Export{API: api, Filter: url.Values{"type": {filter}}, Told: func(int) {}}).ToFile(t.Context(), path)
		return err
	}
	f.failing = func(call int) int { return map[int]int{2: 500}[call] }
	require.ErrorContains(t, export("a"), "not now")
	require.ErrorContains(t, export("b"), "is a part of another export")
	require.NoError(t, os.WriteFile(path+".partial", []byte("short"), 0o600))
	require.ErrorContains(t, export("a"), "is shorter than it was")
	require.NoError(t, os.Remove(path+".partial"))
	require.NoError(t, export("b"), "it begins anew")
	require.ErrorIs(t, export("b"), ErrExists)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path+".partial.state", []byte("{"), 0o600))
	require.ErrorContains(t, export("b"), "is damaged")
}

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const passedOver = `{"id":"dlq_a","event_id":null,"event_type":null,"payload":null,"raw_body":"x"}

{"id":"dlq_b","event_id":"evt_b","event_type":"posthorn.test","payload":{}}
`

func TestAnImportSendsEveryEventOnce(t *testing.T) {
	f := &fake{}
	again := strings.Replace(letter(3), "dlq_3", "dlq_other", 1) // the same event, dead elsewhere
	text := lines(250) + passedOver + again
	i := &Import{API: start(t, f), Told: told}
	path := written(t, text)
	result, err := i.FromFile(t.Context(), path)
	require.NoError(t, err)
	want := Result{Sent: 251, PassedOver: map[string]int{OwnEvent: 1, NoEvent: 1}}
	require.Equal(t, want, result)
	require.Equal(t, 3, f.posts)
	require.Len(t, f.events, 250)
	require.Equal(t, `order.created{"n":7,"big":1e999,"t":"<&>"}`, f.events["dlq-import:evt_7"])

	want.Before = 251
	result, err = i.FromFile(t.Context(), path)
	require.NoError(t, err)
	require.Equal(t, want, result)
	require.Equal(t, 3, f.posts, "what was imported is not imported again")

	other := &fake{}
	_, err = (&Import{API: start(t, other), Told: told}).FromFile(t.Context(), path)
	require.NoError(t, err)
	require.Len(t, other.events, 250, "to another Posthorn it is")
	result, err = i.From(t.Context(), strings.NewReader(text), "standard input")
	require.NoError(t, err)
	require.Equal(t, 251, result.Sent)
	require.NoError(t, os.WriteFile(path, []byte(lines(2)), 0o600))
	_, err = i.FromFile(t.Context(), path)
	require.ErrorContains(t, err, "is not the file that "+path+".imported tells of")
}

func TestAnInterruptedImportGoesOnWhereItStopped(t *testing.T) {
	for stop := 1; stop <= 4; stop++ {
		t.Run(strconv.Itoa(stop), func(t *testing.T) {
			f := &fake{}
			f.failing = func(call int) int {
				if call == stop {
					return http.StatusForbidden
				}
				return 0
			}
			i := &Import{API: start(t, f), Told: told}
			path := written(t, lines(350))
			result, err := i.FromFile(t.Context(), path)
			require.ErrorContains(t, err, "not now")
			require.Equal(t, 100*(stop-1), result.Sent)
			result, err = i.FromFile(t.Context(), path)
			require.NoError(t, err)
			require.Equal(t, Result{Sent: 350, Before: 100 * (stop - 1), PassedOver: map[string]int{}}, result)
			require.Equal(t, 4, f.posts, "no batch is sent twice")
			require.Len(t, f.events, 350)
		})
	}
}

func TestAnImportWaitsForWhatPasses(t *testing.T) {
	f := &fake{failing: func(call int) int { return map[int]int{1: 503, 2: 429}[call] }}
	f.answers = func(post int, id string) string {
		if post == 1 && id == "dlq-import:evt_1" {
			return `{"status":429,"code":"queue_full","detail":"full"}`
		}
		return ""
	}
	var waits []time.Duration
	i := &Import{API: start(t, f), Told: told, Wait: func(_ context.Context, d time.Duration) error {
		waits = append(waits, d)
		return nil
	}}
	result, err := i.From(t.Context(), strings.NewReader(lines(3)), "in")
	require.NoError(t, err)
	require.Equal(t, 3, result.Sent)
	require.Equal(t, []time.Duration{5 * time.Second, 5 * time.Second, 4 * time.Second}, waits, "as Retry-After says, or ever longer")
	require.Len(t, f.events, 3)

	f.failing = func(int) int { return http.StatusServiceUnavailable }
	waits = nil
	_, err = i.From(t.Context(), strings.NewReader(lines(1)), "in")
	require.ErrorContains(t, err, "not now (503 unavailable)")
	require.Len(t, waits, tries-1)
	require.Equal(t, longest, waits[tries-2])
	stop := errors.New("stop")
	i.Wait = func(context.Context, time.Duration) error { return stop }
	_, err = i.From(t.Context(), strings.NewReader(lines(1)), "in")
	require.ErrorIs(t, err, stop)
}

// Trying again would send the payloads, and the key, to it again and again.
func TestAnImportThatIsSentElsewhereEndsAtOnce(t *testing.T) {
	calls := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.Header().Set("Location", "https://hooks.example.com/")
		w.WriteHeader(http.StatusFound)
	}))
	defer proxy.Close()
	i := &Import{API: &client.Client{URL: proxy.URL, HTTP: proxy.Client()}, Told: told, Wait: func(context.Context, time.Duration) error { return nil }}
	_, err := i.From(t.Context(), strings.NewReader(lines(1)), "in")
	require.ErrorContains(t, err, "sends to https://hooks.example.com")
	require.Equal(t, 1, calls)
}

func TestALineThatTheAPIRefusesIsNamed(t *testing.T) {
	f := &fake{answers: func(_ int, id string) string {
		if id == "dlq-import:evt_120" {
			return `{"status":413,"code":"payload_too_large","detail":"events[19]: too large."}`
		}
		return ""
	}}
	path := written(t, passedOver+lines(150))
	result, err := (&Import{API: start(t, f), Told: told}).FromFile(t.Context(), path)
	require.EqualError(t, err, path+":124: events[19]: too large (413 payload_too_large)")
	require.Equal(t, 100, result.Sent)
}

func TestNothingIsSentOfAFileWithALineThatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"no JSON":       {"{", "is no JSON: unexpected end of JSON input"},
		"a list":        {"[]", "is no dead letter: json: cannot unmarshal array"},
		"another thing": {`{"id":"evt_1"}`, "is no dead letter: its id has to begin with dlq_"},
		"no type":       {`{"id":"dlq_1","event_id":"evt_1","payload":{}}`, "is no dead letter: it has no event_type"},
		"no object":     {`{"id":"dlq_1","event_id":"evt_1","event_type":"a","payload":1}`, "is no dead letter: its payload has to be an object"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			i := &Import{API: start(t, f), Told: told}
			path := written(t, lines(120)+"\n"+c.text)
			_, err := i.FromFile(t.Context(), path)
			require.ErrorContains(t, err, path+":122: "+c.says)
			require.ErrorAs(t, err, new(*LineError))
			require.Zero(t, f.posts)
			require.NoFileExists(t, path+".imported")

			result, err := i.From(t.Context(), strings.NewReader(lines(120)+c.text), "standard input")
			require.ErrorContains(t, err, "standard input:121: "+c.says)
			require.Equal(t, 120, result.Sent, "of what cannot be read twice, all before it is sent")
			require.Len(t, f.events, 120)
		})
	}
}
