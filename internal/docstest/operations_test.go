package docstest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"posthorn/internal/dynamo"
	"posthorn/internal/hook"
	"posthorn/internal/id"
	"posthorn/internal/wire"
)

// What docs/operations.md prints for the operator's own endpoint and key.
const (
	printedEndpoint = "ep_01M87K1Y771YB2C77R73KNNW8P"
	printedKeyID    = "01JCXZ5T5V8Q0R9A1B2C3D4E5F"
)

// operator is who follows the runbook: at a Posthorn that asks for keys, with an
// endpoint that fails, a dead letter, and a delivery that the queue has lost. The
// services of its account are those of the `posthorn local` that it runs on.
type operator struct {
	t      *testing.T
	on     *local
	client *http.Client
	fails  *failing

	key      string            // an admin's
	endpoint string            // the id of the one that fails
	secret   string            // that was made for it last
	keyID    string            // of the key that was made last
	letters  int               // dead letters that there are when nothing is under way
	found    int               // of them by the last dry run
	names    map[string]string // what a flag's printed placeholder stands for
	dir      string            // where commands are run
}

// placeholders are what the documents print for the outputs of a stack.
var placeholders = []string{"NAME", "TABLE", "NEW", "URL", "ID"}

func newOperator(t *testing.T) *operator {
	t.Helper()
	const table, queue, deadLetters = "hooks-Table-1A2B", "hooks-deliveries", "hooks-dead-letters"
	// What is sent again and again to the endpoint that fails is to be dead at once.
	settings := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(settings, "webhooks.yaml"), []byte("breaker: {min_attempts: 1000}\n"), 0o600))
	o := &operator{
		t: t, fails: newFailing(t), client: &http.Client{Transport: &http.Transport{}, Timeout: patience}, dir: t.TempDir(),
		on: startLocal(t, "POSTHORN_AUTH=keys", "POSTHORN_TABLE="+table, "POSTHORN_QUEUE_URL="+queue, "POSTHORN_DLQ_URL="+deadLetters, "POSTHORN_CONFIG_DIR="+settings),
	}
	t.Cleanup(o.client.CloseIdleConnections)
	services := wire.Local(o.client, o.on.aws)
	sealing, err := kms.NewFromConfig(services).CreateKey(t.Context(), &kms.CreateKeyInput{})
	require.NoError(t, err)
	o.names = map[string]string{"--table": table, "--kms-key": *sealing.KeyMetadata.KeyId}
	for flag, name := range map[string]string{"--queue": queue, "--dead-letter-queue": deadLetters} {
		found, err := sqs.NewFromConfig(services).GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &name})
		require.NoError(t, err)
		o.names[flag] = *found.QueueUrl
	}
	lose(t, dynamo.New(services, table, dynamo.Options{}))

	out, _ := o.posthorn("keys", "create", "--role", "admin", "--table", table)
	o.key = strings.TrimSpace(out)
	var made struct{ ID, Secret string }
	o.call(http.MethodPost, "/api/v1/webhooks", fmt.Sprintf(`{"url":%q,"events":["*"],"max_retries":0}`, o.fails.URL+"/hook"), &made)
	o.endpoint, o.secret = made.ID, made.Secret
	o.post()
	o.letters = 1
	o.settle()
	return o
}

// post sends an event to the endpoint.
func (o *operator) post() {
	o.t.Helper()
	o.call(http.MethodPost, "/api/v1/events", `{"event_type":"order.created","payload":{"order":1}}`, nil)
}

// held are the endpoint's deliveries that wait until it is resumed.
func (o *operator) held() []json.RawMessage {
	var page struct{ Data []json.RawMessage }
	o.call(http.MethodGet, "/api/v1/deliveries?status=held&endpoint_id="+o.endpoint, "", &page)
	return page.Data
}

// lose stores an event of two hours ago whose delivery no message carries.
func lose(t *testing.T, table *dynamo.Table) {
	t.Helper()
	ids, then := id.NewSource(), time.Now().Add(-2*time.Hour)
	eventID := ids.New(hook.EventPrefix, then)
	require.NoError(t, table.PutEvent(t.Context(), &hook.Event{
		ID: eventID, Tenant: "default", Type: "order.created", CreatedAt: then, Body: hook.NewBody(eventID, "order.created", then, []byte(`{}`)),
		EndpointIDs: []string{ids.New(hook.EndpointPrefix, then)}, Targets: 1, ExpiresAt: then.Add(24 * time.Hour),
	}))
}

// --- calls

// do makes a request with the operator's key, which has to be answered with 2xx.
func (o *operator) do(req *http.Request, out any) {
	o.t.Helper()
	resp, err := o.client.Do(req)
	require.NoError(o.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(o.t, err)
	require.Equal(o.t, 2, resp.StatusCode/100, "%s %s: %d %s", req.Method, req.URL, resp.StatusCode, answer)
	if out != nil {
		require.NoError(o.t, json.Unmarshal(answer, out), "%s %s: %s", req.Method, req.URL, answer)
	}
}

func (o *operator) call(method, path, body string, out any) {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), method, o.on.api+path, strings.NewReader(body))
	require.NoError(o.t, err)
	req.Header.Set("Authorization", "Bearer "+o.key)
	req.Header.Set("Content-Type", "application/json")
	o.do(req, out)
}

// entry is a dead letter, as far as it counts here.
type entry struct {
	EndpointID    string `json:"endpoint_id"`
	FailureReason string `json:"failure_reason"`
}

func (o *operator) entries() []entry {
	var page struct{ Data []entry }
	o.call(http.MethodGet, "/api/v1/dlq?limit=200", "", &page)
	return page.Data
}

// settle waits until everything that was sent is dead again.
func (o *operator) settle() {
	o.t.Helper()
	require.Eventually(o.t, func() bool { return len(o.entries()) == o.letters }, patience, 20*time.Millisecond, "%d dead letters are expected", o.letters)
}

// job is long work, as the API shows it.
type job struct {
	ID, Kind, Status string
	Done             int
}

// over waits until a job is over, and returns how it ended.
func (o *operator) over(id string) (j job) {
	o.t.Helper()
	require.Eventually(o.t, func() bool {
		o.call(http.MethodGet, "/api/v1/jobs/"+id, "", &j)
		return j.Status != "running"
	}, patience, 20*time.Millisecond, "the job runs on: %+v", &j)
	return j
}

// answer has the fields of every answer that is looked at here.
type answer struct {
	ID, Status, Secret string
	Data               []struct {
		ID string
		entry
	}
	Endpoints  struct{ Total int }
	Dlq        struct{ Entries int }
	Events     int `json:"events_total"`
	Job        *job
	Deliveries json.RawMessage // of an event a list, of the figures an object
}

// answers are what has to come of a call, by its route.
var answers = map[string]func(o *operator, a answer){
	"GET /api/v1/stats": func(o *operator, a answer) {
		require.Equal(o.t, 1, a.Endpoints.Total)
		require.Equal(o.t, o.letters, a.Dlq.Entries)
		require.Positive(o.t, a.Events)
	},
	"GET /api/v1/webhooks": func(o *operator, a answer) {
		require.Len(o.t, a.Data, 1)
		require.Equal(o.t, o.endpoint, a.Data[0].ID)
	},
	"POST /api/v1/webhooks/{id}/test": func(o *operator, a answer) {
		var to []entry
		require.NoError(o.t, json.Unmarshal(a.Deliveries, &to))
		require.Equal(o.t, []entry{{EndpointID: o.endpoint}}, to)
		o.letters++ // which fails, too
		o.settle()
	},
	"POST /api/v1/webhooks/{id}/rotate-secret": func(o *operator, a answer) {
		require.Regexp(o.t, `^whsec_`, a.Secret)
		require.NotEqual(o.t, o.secret, a.Secret)
		o.secret = a.Secret
	},
	"POST /api/v1/webhooks/{id}/pause": func(o *operator, a answer) {
		require.Equal(o.t, "paused", a.Status)
		if len(o.held()) > 0 { // it was paused before
			return
		}
		o.post()
		require.Eventually(o.t, func() bool { return len(o.held()) == 1 }, patience, 20*time.Millisecond, "what comes meanwhile is held")
	},
	"POST /api/v1/webhooks/{id}/resume": func(o *operator, a answer) {
		require.NotNil(o.t, a.Job) // which goes on to look for a while
		require.Equal(o.t, "resume", a.Job.Kind)
		o.letters++ // what was held is tried, and fails
		o.settle()
		require.Empty(o.t, o.held())
	},
	"POST /api/v1/webhooks/{id}/recover": func(o *operator, a answer) {
		require.Equal(o.t, job{Kind: "recover", Status: "done", Done: o.letters}, o.done(a))
		o.settle()
	},
}

// done is how the job of an answer ended, without its id.
func (o *operator) done(a answer) job {
	o.t.Helper()
	require.NotNil(o.t, a.Job)
	j := o.over(a.Job.ID)
	j.ID = ""
	return j
}

var anID = regexp.MustCompile(`/(ep|evt|dlv|dlq|job)_[0-9A-Z_]+`)

// curl makes a printed call, and looks at what comes of it.
func (o *operator) curl(c command) {
	o.t.Helper()
	req, err := curl(o.t.Context(), strings.NewReplacer("$API_URL", o.on.api, "$KEY", o.key, printedEndpoint, o.endpoint).Replace(c.text))
	require.NoError(o.t, err, "%s: %s", c.at, c.text)
	require.Equal(o.t, "Bearer "+o.key, req.Header.Get("Authorization"), c.at)
	route := req.Method + " " + anID.ReplaceAllString(req.URL.Path, "/{id}")
	check := answers[route]
	require.NotNil(o.t, check, "%s: nothing says what has to come of %s", c.at, route)
	var a answer
	o.do(req, &a)
	check(o, a)
}

// --- the command line

// environment is the operator's: the key, and an account that is here.
func (o *operator) environment() []string {
	return []string{
		"POSTHORN_URL=" + o.on.api, "POSTHORN_KEY=" + o.key, "HOST=127.0.0.1", "PORT=0",
		"AWS_ENDPOINT_URL=" + o.on.aws, "AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any", "AWS_EC2_METADATA_DISABLED=true",
	}
}

func (o *operator) posthorn(args ...string) (out, said string) {
	o.t.Helper()
	return o.on.prints(o.t, o.dir, o.environment(), args...)
}

// arguments are those of a printed command, with what is here for what is printed.
func (o *operator) arguments(c command) []string {
	o.t.Helper()
	args, err := words(strings.NewReplacer("$API_URL", o.on.api, "$TABLE_NAME", o.names["--table"], printedEndpoint, o.endpoint, printedKeyID, o.keyID).Replace(c.text))
	require.NoError(o.t, err, "%s: %s", c.at, c.text)
	for i := 2; i < len(args); i++ {
		if slices.Contains(placeholders, args[i]) {
			args[i] = o.names[args[i-1]]
			require.NotEmpty(o.t, args[i], "%s: nothing is there for the value of %s in %s", c.at, args[i-1], c.text)
		}
	}
	return args[1:]
}

// prints are what has to come of a command of the program, by its words.
var prints = map[string]func(o *operator, args []string, out, said string){
	"keys create": func(o *operator, _ []string, out, _ string) {
		key, _, ok := hook.ParseAPIKey(strings.TrimSpace(out))
		require.True(o.t, ok, out)
		o.keyID = key
	},
	"keys list": func(o *operator, _ []string, out, _ string) { require.Contains(o.t, out, o.keyID) },
	"keys revoke": func(o *operator, args []string, _, _ string) {
		left, _ := o.posthorn("keys", "list", "--table", o.names["--table"])
		require.NotContains(o.t, left, args[2])
	},
	"reconcile": func(o *operator, _ []string, out, _ string) {
		require.Contains(o.t, out, "Looked at 1 events with 1 deliveries")
		require.Contains(o.t, out, "To be sent again: 1\n")
	},
	"dlq list": func(o *operator, _ []string, out, _ string) {
		require.Len(o.t, regexp.MustCompile(`(?m)^dlq_\w+ +`+o.endpoint+` .*HTTP (503: Service Unavailable|401: Unauthorized) .*`+regexp.QuoteMeta(o.fails.URL)).FindAllString(out, -1), o.letters, out)
	},
	"dlq replay": func(o *operator, args []string, out, _ string) {
		if slices.Contains(args, "--dry-run") {
			entries := o.entries()
			require.Len(o.t, entries, o.letters, "it changes nothing")
			o.found = 0
			for _, e := range entries {
				if slices.Contains(args, e.EndpointID) || slices.Contains(args, e.FailureReason) {
					o.found++
				}
			}
			require.Positive(o.t, o.found, args)
			require.Equal(o.t, fmt.Sprintf("matched  %d\n", o.found), out)
			return
		}
		require.Regexp(o.t, fmt.Sprintf(`(?s)kind +replay\nstatus +done\ndone +%d\n`, o.found), out)
		o.settle()
	},
	"dlq export": func(o *operator, args []string, out, said string) {
		if args[2] != "--endpoint" {
			require.Equal(o.t, fmt.Sprintf("%d dead letters are in %s.\n", o.letters, args[2]), said)
			written, err := os.ReadFile(filepath.Join(o.dir, args[2]))
			require.NoError(o.t, err)
			out = string(written)
		}
		require.Equal(o.t, o.letters, strings.Count(out, "\n"), out)
		require.Equal(o.t, o.letters, strings.Count(out, `"endpoint_id":"`+o.endpoint+`"`), out)
	},
	"dlq import": func(o *operator, args []string, _, said string) {
		const ours = 1 // the test event is Posthorn's own
		sent := o.letters - ours
		require.Contains(o.t, said, fmt.Sprintf("%d dead letters are sent again.", sent))
		require.FileExists(o.t, filepath.Join(o.dir, args[2]+".imported"))
		o.letters += sent
		o.settle()
	},
	"doctor": func(o *operator, _ []string, out, _ string) {
		for _, name := range o.names {
			require.Contains(o.t, out, name)
		}
		require.NotContains(o.t, out, "wrong")
	},
}

// run runs a printed command of the program, and looks at what comes of it.
func (o *operator) run(c command) {
	o.t.Helper()
	args := o.arguments(c)
	if args[0] == "serve" {
		o.serve(args)
		return
	}
	name := args[0]
	if prints[name] == nil {
		name = strings.Join(args[:2], " ")
	}
	check := prints[name]
	require.NotNil(o.t, check, "%s: nothing says what has to come of %s", c.at, c.text)
	out, said := o.posthorn(args...)
	check(o, args, out, said)
}

var serving = regexp.MustCompile(`"msg":"serving".*"address":"([^"]+)"`)

// serve starts the process, which has to be ready, and ends well when it is told
// to stop.
func (o *operator) serve(args []string) {
	o.t.Helper()
	p := started(o.t, o.on.command(o.t, o.dir, o.environment(), args...))
	address := p.says(o.t, serving)[1]
	req, err := http.NewRequestWithContext(o.t.Context(), http.MethodGet, "http://"+address+"/ready", http.NoBody)
	require.NoError(o.t, err)
	o.do(req, nil)
	p.stop(o.t, syscall.SIGTERM)
}

// printedForOperators are the commands of whoever has just deployed Posthorn, and of
// whoever is woken up at night.
func printedForOperators(t *testing.T) []command {
	t.Helper()
	var all []command
	for _, c := range commandsOf(parse(t, "README.md")) {
		if c.section == "Deploying" {
			all = append(all, c)
		}
	}
	return append(all, commandsOf(parse(t, "docs/operations.md"))...)
}

func TestTheCommandsOfOperatorsWorkAsPrinted(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	section, seen := "", map[string]int{}
	for _, c := range printedForOperators(t) {
		if c.section != section { // files of one are none of another's
			section, o.dir = c.section, t.TempDir()
			o.fails.refuse(section == "Receivers refuse signatures")
		}
		seen[c.program()]++
		switch made, makes := strings.CutPrefix(c.text, "KEY=$("); {
		case makes:
			c.text = strings.TrimSuffix(made, ")")
			out, _ := o.posthorn(o.arguments(c)...)
			o.key = strings.TrimSpace(out) // all that comes is called with it
		case c.program() == "curl":
			o.curl(c)
		case c.program() == "posthorn":
			o.run(c)
		default:
			require.NotEmpty(t, notRun[c.program()], "%s: %s", c.at, c.text)
		}
	}
	require.Equal(t, 1, seen["KEY=$(bin/posthorn"])
	require.Greater(t, seen["curl"], 12)
	require.Greater(t, seen["posthorn"], 15)
}
