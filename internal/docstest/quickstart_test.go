package docstest

import (
	"encoding/json"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// The first event, as somebody who has just cloned the repository sends it.
func TestTheQuickStartWorksAsPrinted(t *testing.T) {
	t.Parallel()
	d := parse(t, "README.md")
	all := calls(t, d)
	require.Len(t, all, 4)
	for i, wanted := range []string{"/api/v1/webhooks", "/api/v1/events", "/api/v1/deliveries/dlv_", "/api/v1/stats"} {
		require.Contains(t, all[i].command, printedAPI+wanted)
	}
	s := newSession(t, "http://localhost:1")
	for _, c := range all {
		s.walk(c)
	}
	s.lookOn(d, all[1])
}

// nobodyListens is where the README lets a delivery fail.
const nobodyListens = "http://localhost:9999/hook"

// lookOn runs the commands of the text behind the first event: they look at it, and
// let one die that is sent again. post is the call that posts an event.
func (s *session) lookOn(d *document, post call) {
	s.t.Helper()
	var looked []string
	endpoint, letter := "EP-ID", "DLQ-ID" // and what they stand for, once that is there
	for _, span := range d.spans {
		line, ok := strings.CutPrefix(span.text, "bin/posthorn ")
		if !ok || d.section(span.line) != "Quick start" {
			continue
		}
		args, err := words(strings.NewReplacer(nobodyListens, "http://127.0.0.1:1/hook", "EP-ID", endpoint, "DLQ-ID", letter).Replace(s.toReal.Replace(line)))
		require.NoError(s.t, err, d.at(span.line))
		name := strings.Join(args[:min(2, len(args))], " ")
		looked = append(looked, name)
		if name == "listen" {
			s.listen(post)
			continue
		}
		out := s.posthorn(args...)
		switch name {
		case "stats":
			require.Regexp(s.t, `(?m)^deliveries delivered +1$`, out)
		case "events list":
			require.Contains(s.t, out, "test.event")
		case "endpoints create":
			endpoint = idIn(s.t, out, `(?m)^id +(ep_\w+)$`)
			s.post(post)
		case "dlq list":
			var listed []struct{ ID string }
			require.True(s.t, eventually(func() bool {
				return json.Unmarshal([]byte(s.posthorn("dlq", "list", "--json")), &listed) == nil && len(listed) == 1
			}), "%s: no dead letter", d.at(span.line))
			out = s.posthorn(args...)
			letter = idIn(s.t, out, `(?m)^(dlq_\w+) `)
			require.Equal(s.t, endpoint, idIn(s.t, out, `(?m)^dlq_\w+ +(ep_\w+) `))
		case "endpoints update":
			require.Contains(s.t, out, endpoint)
		case "dlq replay":
			require.Empty(s.t, s.posthorn("dlq", "list"))
			require.True(s.t, eventually(func() bool {
				return strings.Contains(s.posthorn("deliveries", "list", "--endpoint", s.endpoint(), "--json"), `"delivered"`)
			}), "%s: it is not delivered", d.at(span.line))
		default:
			require.Fail(s.t, "nothing says what has to come of it", "%s: %s", d.at(span.line), span.text)
		}
	}
	require.Equal(s.t, []string{"stats", "events list", "listen", "endpoints create", "dlq list", "endpoints update", "dlq replay"}, looked)
}

func (s *session) posthorn(args ...string) string {
	s.t.Helper()
	out, _ := s.on.prints(s.t, s.t.TempDir(), []string{"POSTHORN_URL=" + s.on.api}, args...)
	return out
}

// post makes a call again, whose answer is another one now.
func (s *session) post(c call) {
	s.t.Helper()
	req, err := curl(s.t.Context(), s.toReal.Replace(c.command))
	require.NoError(s.t, err)
	status, body, err := s.do(req)
	require.NoError(s.t, err)
	require.Equal(s.t, c.status, status, body)
}

// listen has the program show a delivery, and stops it.
func (s *session) listen(c call) {
	s.t.Helper()
	p := started(s.t, s.on.command(s.t, s.t.TempDir(), []string{"POSTHORN_URL=" + s.on.api}, "listen"))
	p.says(s.t, regexp.MustCompile(`Its secret: whsec_`))
	s.post(c)
	p.says(s.t, regexp.MustCompile(`test\.event .* signature: genuine`))
	p.stop(s.t, syscall.SIGINT)
}

// endpoint is the id of the endpoint that was made last.
func (s *session) endpoint() string {
	s.t.Helper()
	var all []struct{ ID string }
	require.NoError(s.t, json.Unmarshal([]byte(s.posthorn("endpoints", "list", "--json")), &all))
	require.NotEmpty(s.t, all)
	return all[0].ID
}

func idIn(t *testing.T, out, form string) string {
	t.Helper()
	found := regexp.MustCompile(form).FindStringSubmatch(out)
	require.NotNil(t, found, out)
	return found[1]
}
