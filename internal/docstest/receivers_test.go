package docstest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
	"posthorn/internal/sign"
)

// receivers are the languages whose receivers are run: what they need is not on
// every machine. `make receivers` names all of them.
var receivers = flag.String("receivers", "go", "languages of docs/receiving.md whose receivers are run, with commas between them")

// listens is what runs a receiver of docs/receiving.md, by the language of its
// block. The Go one is a module of its own.
var listens = map[string]struct {
	file string
	run  func(t *testing.T, file string) []string
}{
	"go": {"receiver.go", func(t *testing.T, file string) []string {
		folder := filepath.Dir(file)
		for _, args := range [][]string{{"mod", "init", "receiver"}, besideAClone(t), {"build", "-o", "receiver", "."}} {
			cmd := exec.Command("go", args...)
			cmd.Dir, cmd.Env = folder, append(os.Environ(), "CGO_ENABLED=0", "GOPROXY=off")
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "go %v: %s", args, out)
		}
		return []string{filepath.Join(folder, "receiver")}
	}},
	"python": {"receiver.py", func(_ *testing.T, file string) []string { return []string{"python3", file} }},
	"js":     {"receiver.js", func(_ *testing.T, file string) []string { return []string{"node", file} }},
}

// besideAClone are the arguments of the go command that docs/receiving.md prints for
// a module that stands beside a clone: this repository.
func besideAClone(t *testing.T) []string {
	t.Helper()
	clone, err := filepath.Abs(root)
	require.NoError(t, err)
	for _, s := range parse(t, "docs/receiving.md").spans {
		if args, ok := strings.CutPrefix(s.text, "go mod edit "); ok {
			return append([]string{"mod", "edit"}, strings.Fields(strings.ReplaceAll(args, "PATH-OF-THE-CLONE", clone))...)
		}
	}
	require.Fail(t, "docs/receiving.md does not say how to build beside a clone")
	return nil
}

// receiver is a running receiver.
type receiver struct {
	url   string
	lines chan string // that it wrote
}

// startReceiver runs the receiver of a language with secrets, on a free port.
func startReceiver(t *testing.T, command []string, secrets ...string) *receiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())

	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(port), "SECRETS="+strings.Join(secrets, ","))
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	r := &receiver{url: fmt.Sprintf("http://127.0.0.1:%d/hook", port), lines: make(chan string, 100)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			r.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-read
		_ = cmd.Wait() // ended by the signal
		if t.Failed() {
			t.Logf("the receiver: %s", &said)
		}
	})
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			err = c.Close()
		}
		return err == nil
	}, patience, 20*time.Millisecond, "the receiver does not listen")
	return r
}

// line is what the receiver writes next.
func (r *receiver) line(t *testing.T) string {
	t.Helper()
	select {
	case line := <-r.lines:
		return line
	case <-time.After(patience):
		require.Fail(t, "the receiver took nothing")
		return ""
	}
}

// attempt is an attempt of an event's delivery, signed with a secret at a time.
type attempt struct {
	id, secret string
	at         time.Time
}

func (a attempt) headers(body []byte) http.Header {
	h := http.Header{"Content-Type": {"application/json"}, "X-Webhook-Timestamp": {strconv.FormatInt(a.at.Unix(), 10)}}
	sign.Headers(h, []hook.Secret{{Value: a.secret}}, a.id, a.at, body)
	return h
}

func send(t *testing.T, client *http.Client, url string, header http.Header, body []byte) (status int, said string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header = header
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	word, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(word)
}

// api calls the running program and returns its answer.
func api(ctx context.Context, t *testing.T, client *http.Client, method, url, body string, status int) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var v map[string]any
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&v))
	require.Equal(t, status, resp.StatusCode, v)
	return v
}

// wordOf is what a receiver answers to what it refuses. One that is not signed has no
// time either.
var wordOf = map[string]string{
	"another body": "signature", "another secret": "signature", "of an hour ago": "timestamp", "of the next hour": "timestamp",
	"signed for another": "signature", "with a newer time": "signature", "a time that is none": "timestamp|signature", "half a signature": "signature",
	"not signed": "timestamp|signed",
}

// Every receiver that is printed takes what Posthorn sends, once, also while its
// secret is rotated, and refuses what somebody has tampered with.
func TestTheReceiversWorkAsPrinted(t *testing.T) {
	t.Parallel()
	printed := map[string]string{}
	for _, b := range parse(t, "docs/receiving.md").blocks {
		require.Contains(t, listens, b.info, "a block that nothing runs")
		require.Empty(t, printed[b.info])
		printed[b.info] = b.text
	}
	require.Len(t, printed, len(listens))

	base := "http://127.0.0.1:" + startLocal(t).port()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	for language := range strings.SplitSeq(*receivers, ",") {
		t.Run(language, func(t *testing.T) {
			how, ok := listens[language]
			require.True(t, ok)
			file := filepath.Join(t.TempDir(), how.file)
			require.NoError(t, os.WriteFile(file, []byte(printed[language]), 0o600))
			command := how.run(t, file)

			// The receiver needs the secret, and the endpoint the receiver's URL:
			// so it is registered elsewhere first, and moved.
			e := api(t.Context(), t, client, "POST", base+"/api/v1/webhooks", `{"url":"http://127.0.0.1:9/","events":["`+language+`.*"]}`, 201)
			endpoint, secret := e["id"].(string), e["secret"].(string)
			r := startReceiver(t, command, secret)
			api(t.Context(), t, client, "PATCH", base+"/api/v1/webhooks/"+endpoint, `{"url":"`+r.url+`"}`, 200)

			emit := func(n int) string {
				a := api(t.Context(), t, client, "POST", base+"/api/v1/events", fmt.Sprintf(`{"event_type":"%s.made","payload":{"n":%d,"ü":"ß"}}`, language, n), 202)
				return a["id"].(string)
			}
			first := emit(1)
			require.Contains(t, r.line(t), first+" "+language+".made")

			// The same event once more is taken and not worked on again. The receiver
			// has written its line before the delivery is recorded, and an attempt that
			// is under way when its event is sent again does not count.
			delivered := func(attempts float64) {
				t.Helper()
				require.Eventually(t, func() bool {
					d := api(t.Context(), t, client, "GET", base+"/api/v1/deliveries?event_id="+first, "", 200)["data"].([]any)[0].(map[string]any)
					return d["status"] == "delivered" && d["attempts"] == attempts
				}, patience, 20*time.Millisecond)
			}
			delivered(1)
			api(t.Context(), t, client, "POST", base+"/api/v1/events/"+first+"/resend", "", 202)
			delivered(2)

			// Rotated, both sign: the receiver that has the old secret goes on, and so
			// does one that has the new one alone.
			fresh := api(t.Context(), t, client, "POST", base+"/api/v1/webhooks/"+endpoint+"/rotate-secret", "", 200)["secret"].(string)
			second := emit(2)
			require.Contains(t, r.line(t), second, "and the repeat wrote no line")
			after := startReceiver(t, command, fresh)
			api(t.Context(), t, client, "PATCH", base+"/api/v1/webhooks/"+endpoint, `{"url":"`+after.url+`"}`, 200)
			third := emit(3)
			require.Contains(t, after.line(t), third)
			both := startReceiver(t, command, secret, fresh)

			// What an attacker would try.
			body := []byte(`{"id":"evt_x","event":"a.b","timestamp":"2026-11-24T20:13:18.464Z","data":{"n":1}}`)
			now := time.Now()
			good := attempt{"evt_x", fresh, now}
			takes := func(a attempt, why string) {
				t.Helper()
				status, _ := send(t, client, both.url, a.headers(body), body)
				require.Equal(t, 204, status, why)
			}
			takes(good, "the new secret")
			require.Contains(t, both.line(t), "evt_x")
			takes(attempt{"evt_x", secret, now}, "the old one")
			for name, header := range map[string]http.Header{
				"another body":        good.headers([]byte(strings.Replace(string(body), `"n":1`, `"n":2`, 1))),
				"another secret":      attempt{"evt_x", "somebody-elses", now}.headers(body),
				"of an hour ago":      attempt{"evt_x", fresh, now.Add(-time.Hour)}.headers(body),
				"of the next hour":    attempt{"evt_x", fresh, now.Add(time.Hour)}.headers(body),
				"signed for another":  replaced(good.headers(body), "Webhook-Id", "evt_y"),
				"with a newer time":   replaced(attempt{"evt_x", fresh, now.Add(-time.Hour)}.headers(body), "Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10)),
				"a time that is none": replaced(good.headers(body), "Webhook-Timestamp", "now"),
				"half a signature":    replaced(good.headers(body), "Webhook-Signature", good.headers(body).Get("Webhook-Signature")[:20]),
				"not signed":          {},
			} {
				status, said := send(t, client, both.url, header, body)
				require.Equal(t, 401, status, name)
				require.Regexp(t, wordOf[name], said, "%s: a word on what is wrong", name)
			}
			status, said := send(t, client, both.url, good.headers(body), bytes.Repeat([]byte(" "), 1<<20+1))
			require.Equal(t, 413, status)
			require.Contains(t, said, "body")
			takes(good, "what was refused did it no harm")
			atOnce(t, client, both, fresh)
			require.Empty(t, both.lines)
			require.Empty(t, after.lines)
			require.Empty(t, r.lines)
		})
	}
}

// atOnce sends events at the same time, each of them four times: they have to make one
// whole line each.
func atOnce(t *testing.T, client *http.Client, to *receiver, secret string) {
	t.Helper()
	var all sync.WaitGroup
	want := map[string]bool{}
	statuses := make(chan int, 80)
	for n := range 20 {
		id := fmt.Sprintf("evt_%d", n)
		body := []byte(`{"id":"` + id + `","event":"a.b","timestamp":"2026-11-24T20:13:18.464Z","data":{}}`)
		want[id+" a.b {}"] = true
		for range 4 {
			all.Go(func() {
				status, _ := send(t, client, to.url, attempt{id, secret, time.Now()}.headers(body), body)
				statuses <- status
			})
		}
	}
	all.Wait()
	close(statuses)
	for status := range statuses {
		require.Equal(t, 204, status)
	}
	for range 20 {
		line := to.line(t)
		require.True(t, want[line], line)
		delete(want, line)
	}
}

func replaced(h http.Header, name, value string) http.Header {
	h.Set(name, value)
	return h
}
