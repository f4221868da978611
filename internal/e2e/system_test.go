package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"posthorn/internal/config"
	"posthorn/internal/contract"
	"posthorn/internal/httpapi"
	"posthorn/internal/lambdaevent"
	"posthorn/internal/localaws"
	"posthorn/internal/localaws/gateway"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/localaws/poller"
	"posthorn/internal/localaws/runtimeapi"
	"posthorn/internal/permit"
	"posthorn/internal/seal"
	"posthorn/internal/wire"
)

// bin is the folder of what TestMain built: api, deliver, dlq-sweeper and
// posthorn.
var bin string

func TestMain(m *testing.M) {
	flag.Parse()
	if *localstackURL != "" {
		modes = oracles()
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "posthorn-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir
		if policies, err = permit.Read("../../template.yaml"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		for target, out := range map[string]string{
			"functions/api": "api/bootstrap", "functions/deliver": "deliver/bootstrap", "functions/dlq-sweeper": "dlq-sweeper/bootstrap",
			"cmd/posthorn": "posthorn",
		} {
			build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", filepath.Join(dir, out), "posthorn/"+target)
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			if text, err := build.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "build %s: %v\n%s", target, err, text)
				return 1
			}
		}
		return max(m.Run(), permissions())
	}())
}

// policies are what the template lets the functions do. They hold in every
// test, and keep what of them was used.
var policies *permit.Policies

// permissions says, when the tests are through, which calls the functions were
// not allowed to make and, of all tests, which permissions no function used; it
// returns the status to exit with.
func permissions() int {
	status := 0
	for _, g := range policies.Refused() {
		fmt.Fprintf(os.Stderr, "template.yaml does not allow %s\n", g)
		status = 1
	}
	if flag.Lookup("test.run").Value.String() != "" || flag.Lookup("test.skip").Value.String() != "" || flag.Lookup("test.list").Value.String() != "" {
		return status // some tests
	}
	for _, g := range policies.Unused() {
		fmt.Fprintf(os.Stderr, "template.yaml allows what nothing does: %s\n", g)
		status = 1
	}
	return status
}

// names are what the template's resources are called here.
func names(cfg *config.Config) permit.Names {
	return permit.Names{Table: cfg.Table, Queue: cfg.Queue.Main, DeadLetterQueue: cfg.Queue.DeadLetters}
}

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// system is a running Posthorn.
type system struct {
	t        testing.TB
	url      string
	aws      net.Listener // of SQS and DynamoDB
	env      map[string]string
	services *localaws.Services
	dir      string  // of what the services keep
	log      *logged // by the functions
	receiver *receiver
	account  wire.Services
	queueURL string
	oracle   *oracle      // what it is on; nil: the local default
	key      string       // the API key of call; empty: none
	ahead    atomic.Int64 // nanoseconds that the API's clock is ahead, in process
}

// mode is a way to run the three functions.
type mode struct {
	name    string
	workers int // messages in the deliver function at once: no more batches than it has environments
	// visibility timeout of the queue; 0: as configured
	visibility time.Duration
	env        map[string]string // over that of all systems
	start      func(t testing.TB, s *system, cfg *config.Config, awsURL string) localaws.Functions
	oracle     oracle // where it runs instead of on the local default, if it names a URL
}

const environments = 4 // of each function, when they are real processes

var modes = []mode{{name: "in process", workers: 64, start: inProcess}, {name: "bootstraps", workers: environments, start: bootstraps}}

// everywhere runs a story in each mode.
func everywhere(t *testing.T, story func(t *testing.T, s *system)) {
	t.Helper()
	each(t, modes, story)
}

// each runs a story in each of these modes.
func each(t *testing.T, modes []mode, story func(t *testing.T, s *system)) {
	t.Helper()
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			story(t, start(t, m))
		})
	}
}

// environment is what the tests set: quick retries, a receiver on this machine,
// and nobody asked for a key but where that is the story.
func environment(port string) map[string]string {
	return map[string]string{
		"RETRY_INITIAL_DELAY": "0.01", "RETRY_MAX_DELAY": "0.01", "POSTHORN_ALLOW_HTTP": "true", "POSTHORN_ALLOW_PRIVATE": "true",
		"POSTHORN_ALLOW_PORTS": port, "POSTHORN_AUTH": "off", "LOG_LEVEL": "info",
	}
}

func start(t testing.TB, m mode) *system {
	t.Helper()
	if m.oracle.url != "" {
		return startOnOracle(t, m)
	}
	s := &system{t: t, receiver: newReceiver(t), dir: t.TempDir(), log: &logged{}}
	s.env = environment(s.receiver.port())
	maps.Copy(s.env, m.env)
	cfg, err := config.Load(config.Local, config.Source{Getenv: func(name string) string { return s.env[name] }})
	require.NoError(t, err)
	if m.visibility > 0 {
		cfg.Queue.Visibility = m.visibility
	}
	s.services, err = localaws.Open(s.dir)
	require.NoError(t, err)
	s.watchLog()
	t.Cleanup(func() { require.NoError(t, s.services.Close()) })

	api, aws := listen(t), listen(t)
	awsURL := "http://" + aws.Addr().String()
	s.account = wire.Local(inproc.Client(s.services), awsURL)
	s.queueURL = awsURL + "/000000000000/" + cfg.Queue.Main
	require.NoError(t, wire.Provision(t.Context(), cfg, s.account))
	s.url, s.aws = "http://"+api.Addr().String(), aws
	functions := m.start(t, s, cfg, awsURL)

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- localaws.Run(ctx, localaws.Options{
			Services: s.services, Functions: functions, Queue: cfg.Queue.Main, BatchSize: cfg.Queue.BatchSize, Workers: m.workers,
			SweepInterval: 200 * time.Millisecond, API: api, AWS: aws, Ingress: cfg.Limits.Ingress, Log: slog.New(slog.DiscardHandler),
		})
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return s
}

// watchLog shows the end of the log when the test has failed, and looks for
// secrets in it.
func (s *system) watchLog() {
	s.t.Cleanup(func() {
		text := s.log.String()
		if s.t.Failed() {
			s.t.Logf("the end of the log:\n%s", text[max(0, len(text)-8000):])
		}
		require.NotContains(s.t, text, secret, "a secret in the log")
	})
}

// logged is what was logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func listen(t testing.TB) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

func inProcess(t testing.TB, s *system, cfg *config.Config, awsURL string) localaws.Functions {
	return onClient(t, s, inproc.Client(s.services), cfg, awsURL, func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) })
}

// configured adds a webhooks.yaml to the environment of the modes.
func configured(t *testing.T, yaml string, modes ...mode) []mode {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "webhooks.yaml"), []byte(yaml), 0o600))
	modes = slices.Clone(modes)
	for i := range modes {
		modes[i].env = map[string]string{"POSTHORN_CONFIG_DIR": dir}
	}
	return modes
}

// patiently are the modes without a breaker that opens within a test.
func patiently(t *testing.T) []mode {
	return configured(t, "breaker: {min_attempts: 1000000}", modes...)
}

// onClient is the functions in the process, on services behind client; the API
// goes by the clock now.
func onClient(t testing.TB, s *system, client *http.Client, cfg *config.Config, awsURL string, now func() time.Time) localaws.Functions {
	own := *cfg
	own.Queue.Main, own.Queue.DeadLetters = queueURL(awsURL, cfg.Queue.Main), queueURL(awsURL, cfg.Queue.DeadLetters) // as in an account
	own.Seal.Key = bytes.Repeat([]byte{7}, seal.KeySize)
	ctx, stop := context.WithCancel(context.Background())
	var counting sync.WaitGroup
	// Each function has an App of its own, since each has rights of its own.
	function := func(id string) *wire.App {
		as := &http.Client{Transport: policies.Transport(id, names(cfg), client.Transport)}
		if _, measured := t.(*testing.B); measured {
			as = client // asking for rights takes time that nobody else spends
		}
		app, err := wire.New(&own, wire.Local(as, awsURL), slog.New(slog.NewJSONHandler(s.log, nil)))
		require.NoError(t, err)
		counting.Go(func() { app.Counts().Run(ctx, 50*time.Millisecond) })
		return app
	}
	api, deliver, sweeper := function("ApiFunction"), function("DeliverFunction").Deliverer(), function("DlqSweeperFunction").Sweeper()
	t.Cleanup(func() { stop(); counting.Wait() })
	return localaws.Functions{
		API: gateway.Function(lambdaevent.Gateway(api.API(wire.APIOptions{TestReceiver: true, Now: now}))),
		Deliver: func(ctx context.Context, e events.SQSEvent, over func(messageID string)) (events.SQSEventResponse, error) {
			return lambdaevent.Failures(deliver.DeliverEach(ctx, lambdaevent.Batch(e), over)), nil
		},
		Sweep: func(ctx context.Context) error {
			_, err := sweeper.Sweep(ctx)
			return err
		},
	}
}

func queueURL(awsURL, name string) string { return awsURL + "/000000000000/" + name }

func bootstraps(t testing.TB, s *system, cfg *config.Config, awsURL string) localaws.Functions {
	key, err := kms.NewFromConfig(s.account).CreateKey(t.Context(), &kms.CreateKeyInput{})
	require.NoError(t, err)
	return s.functions(func(name string) map[string]string {
		account := httptest.NewServer(policies.Handler(name, names(cfg), s.services)) // with the rights of the function
		t.Cleanup(account.Close)
		return map[string]string{
			"POSTHORN_KMS_KEY_ID": *key.KeyMetadata.Arn,
			"AWS_ENDPOINT_URL":    account.URL, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
			"POSTHORN_TABLE": cfg.Table, "POSTHORN_QUEUE_URL": s.queueURL, "POSTHORN_DLQ_URL": awsURL + "/000000000000/" + cfg.Queue.DeadLetters,
		}
	})
}

// functions are the three built bootstraps behind the Lambda Runtime API, with
// the system's environment and what each, by its name in the template, has
// beside it.
func (s *system) functions(beside func(function string) map[string]string) localaws.Functions {
	function := func(name, dir string, timeout time.Duration, max int) func(context.Context, []byte) ([]byte, error) {
		all := maps.Clone(s.env)
		maps.Copy(all, beside(name))
		var env []string
		for name, value := range all {
			env = append(env, name+"="+value)
		}
		f, err := runtimeapi.New(runtimeapi.Options{
			Name: dir, Path: filepath.Join(bin, dir, "bootstrap"), Env: env, Timeout: timeout, MaxConcurrency: max, MemoryMB: 256,
			Stdout: s.log, Stderr: s.log,
		})
		require.NoError(s.t, err)
		s.t.Cleanup(f.Close)
		return f.Invoke
	}
	sweep := function("DlqSweeperFunction", "dlq-sweeper", time.Minute, 1)
	return localaws.Functions{
		API:     gateway.Raw(function("ApiFunction", "api", 29*time.Second, 2*environments)),
		Deliver: poller.Raw(function("DeliverFunction", "deliver", 45*time.Second, environments)),
		Sweep: func(ctx context.Context) error {
			_, err := sweep(ctx, []byte(`{}`))
			return err
		},
	}
}

// answer is a response, read.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

// call makes a request of the API, with body as JSON unless it is nil.
func (s *system) call(method, path string, body any, header ...string) answer {
	s.t.Helper()
	if s.key != "" {
		header = append([]string{"Authorization", "Bearer " + s.key}, header...)
	}
	a, err := request(s.t.Context(), method, s.url+path, body, header...)
	require.NoError(s.t, err)
	return a
}

func request(ctx context.Context, method, url string, body any, header ...string) (answer, error) {
	var r io.Reader
	var sent []byte
	if body != nil {
		b, ok := body.(string)
		if !ok {
			raw, err := json.Marshal(body)
			if err != nil {
				return answer{}, err
			}
			b = string(raw)
		}
		sent = []byte(b)
		r = bytes.NewReader(sent)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	if err := asDocumented(contract.Exchange{Request: req, RequestBody: sent, Status: resp.StatusCode, Header: resp.Header, Body: raw}); err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: map[string]any{}}
	if err := json.Unmarshal(raw, &a.body); err != nil {
		a.body["text"] = string(raw)
	}
	return a, nil
}

// document is the OpenAPI document, which every call of these tests is held
// against.
var document = sync.OnceValues(func() (*contract.Contract, error) { return contract.New(httpapi.OpenAPI()) })

func asDocumented(e contract.Exchange) error {
	c, err := document()
	if err != nil {
		return err
	}
	return c.Check(e)
}

// register makes an endpoint and returns its id.
func (s *system) register(fields map[string]any) string {
	s.t.Helper()
	if fields["url"] == nil {
		fields["url"] = s.receiver.url("/hook")
	}
	if fields["events"] == nil {
		fields["events"] = []string{"*"}
	}
	a := s.call("POST", "/api/v1/webhooks", fields)
	require.Equal(s.t, http.StatusCreated, a.status, a.body)
	return a.body["id"].(string)
}

// emit posts an event and returns its id and the ids of its deliveries.
func (s *system) emit(eventType string, payload any) (event string, deliveries []string) {
	s.t.Helper()
	a := s.call("POST", "/api/v1/events", map[string]any{"event_type": eventType, "payload": payload})
	require.Equal(s.t, http.StatusAccepted, a.status, a.body)
	for _, d := range a.body["deliveries"].([]any) {
		deliveries = append(deliveries, d.(map[string]any)["id"].(string))
	}
	return a.body["id"].(string), deliveries
}

// emitAtOnce posts n events in one call and returns the ids of their
// deliveries: what is to be more than a rate cannot wait for a slow machine to
// post one after another.
func (s *system) emitAtOnce(eventType string, n int) (deliveries []string) {
	s.t.Helper()
	events := make([]map[string]any, n)
	for i := range events {
		events[i] = map[string]any{"event_type": eventType, "payload": map[string]any{"n": i}}
	}
	answers := s.act("POST", "/api/v1/events/batch", map[string]any{"events": events}, http.StatusAccepted)["data"].([]any)
	require.Len(s.t, answers, n)
	for _, one := range answers {
		for _, d := range one.(map[string]any)["deliveries"].([]any) {
			deliveries = append(deliveries, d.(map[string]any)["id"].(string))
		}
	}
	return deliveries
}

// until waits for a delivery to reach a status and returns it.
func (s *system) until(delivery, status string) map[string]any {
	s.t.Helper()
	var last answer
	require.Eventually(s.t, func() bool {
		last = s.call("GET", "/api/v1/deliveries/"+delivery, nil)
		return last.body["status"] == status
	}, patience, 20*time.Millisecond, "delivery %s does not become %s: %v", delivery, status, &last)
	return last.body
}

// list reads a list whole.
func (s *system) list(path string) []map[string]any {
	s.t.Helper()
	a := s.call("GET", path, nil)
	require.Equal(s.t, http.StatusOK, a.status, a.body)
	data := make([]map[string]any, 0)
	for _, d := range a.body["data"].([]any) {
		data = append(data, d.(map[string]any))
	}
	return data
}
