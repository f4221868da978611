package cost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"posthorn/internal/config"
	"posthorn/internal/load"
	"posthorn/internal/localaws"
	"posthorn/internal/localaws/gateway"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/localaws/poller"
	"posthorn/internal/localaws/runtimeapi"
	"posthorn/internal/wire"
)

// Names of the functions, and of their folders.
const (
	nameAPI     = "api"
	nameDeliver = "deliver"
	nameSweeper = "dlq-sweeper"
)

func functionNames() []string { return []string{nameAPI, nameDeliver, nameSweeper} }

// Build builds the functions into dir, for this machine's processor.
func Build(ctx context.Context, dir string) error {
	for _, name := range functionNames() {
		build := exec.CommandContext(ctx, "go", "build", "-tags", "lambda.norpc", "-o", filepath.Join(dir, name, "bootstrap"), "posthorn/functions/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", name, err, text)
		}
	}
	return nil
}

// workers is how many messages are in the functions at once. No batch may find
// all environments busy: it would wait for the queue's visibility timeout.
const workers = 24

// stack is an account with the functions in it, and one receiver.
type stack struct {
	meter    *meter
	services *localaws.Services
	fn       map[string]*runtimeapi.Function
	receiver *receiver
	url      string // of the API
	queue    string
	dead     string
	table    string
	client   *http.Client
	stop     context.CancelFunc
	serving  sync.WaitGroup
	aws      *http.Server

	mu    sync.Mutex
	wrong []error // what servers said when they stopped
}

// run runs a server until it stops by itself or is stopped, and keeps its error
// for close.
func (s *stack) run(server func() error) {
	s.serving.Go(func() {
		if err := server(); err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.wrong = append(s.wrong, err)
		}
	})
}

// settings keep a breaker from opening, which would spend the run on waiting.
const settings = "breaker: {failure_ratio: 1}\n"

// start starts a stack. functions is the folder that Build made.
func start(ctx context.Context, prices *Prices, memory map[string]int, functions string, failing float64) (s *stack, err error) {
	s = &stack{meter: newMeter(prices), fn: map[string]*runtimeapi.Function{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.services, err = localaws.Open(""); err != nil {
		return s, err
	}
	cfg, err := config.Load(config.Local, config.Source{Getenv: func(string) string { return "" }})
	if err != nil {
		return s, err
	}
	s.queue, s.dead, s.table = cfg.Queue.Main, cfg.Queue.DeadLetters, cfg.Table
	if s.receiver, err = newReceiver(s.meter, failing); err != nil {
		return s, err
	}
	aws, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return s, fmt.Errorf("listen for AWS: %w", err)
	}
	awsURL := "http://" + aws.Addr().String()
	s.aws = &http.Server{Handler: s.meter.services(s.services), ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	s.run(func() error {
		if err := s.aws.Serve(aws); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	if err := wire.Provision(ctx, cfg, wire.Local(inproc.Client(s.services), awsURL)); err != nil {
		return s, err
	}
	key, err := s.call(ctx, "TrentService.CreateKey", `{}`)
	if err != nil {
		return s, err
	}
	var made struct{ KeyMetadata struct{ Arn string } }
	if err := json.Unmarshal(key, &made); err != nil {
		return s, fmt.Errorf("make a KMS key: %w", err)
	}
	folder := filepath.Join(functions, "config")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return s, fmt.Errorf("make the folder of the configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "webhooks.yaml"), []byte(settings), 0o600); err != nil {
		return s, fmt.Errorf("write the configuration: %w", err)
	}
	for _, name := range functionNames() {
		s.fn[name], err = runtimeapi.New(runtimeapi.Options{
			Name: name, Path: filepath.Join(functions, name, "bootstrap"), Timeout: 45 * time.Second, MaxConcurrency: workers, MemoryMB: memory[name],
			Stdout: s.meter.log(name), Stderr: s.meter.log(name),
			Env: []string{
				"AWS_ENDPOINT_URL=" + awsURL, "AWS_ACCESS_KEY_ID=cost", "AWS_SECRET_ACCESS_KEY=cost", "GOMAXPROCS=1",
				"POSTHORN_TABLE=" + s.table, "POSTHORN_QUEUE_URL=" + awsURL + "/000000000000/" + s.queue, "POSTHORN_DLQ_URL=" + awsURL + "/000000000000/" + s.dead,
				"POSTHORN_KMS_KEY_ID=" + made.KeyMetadata.Arn, "POSTHORN_AUTH=off", "POSTHORN_ALLOW_HTTP=true", "POSTHORN_ALLOW_PRIVATE=true",
				fmt.Sprintf("POSTHORN_ALLOW_PORTS=%d", s.receiver.port()), "POSTHORN_CONFIG_DIR=" + folder,
				"RETRY_INITIAL_DELAY=1", "RETRY_MAX_DELAY=1", "LOG_LEVEL=info",
			},
		})
		if err != nil {
			return s, err
		}
	}
	return s, s.serve(ctx, cfg)
}

// serve starts the API and the event source mapping. The sweeper is invoked by
// hand: how often it finds nothing is not the workload's doing.
func (s *stack) serve(ctx context.Context, cfg *config.Config) error {
	api, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the API: %w", err)
	}
	s.url = "http://" + api.Addr().String()
	s.client = &http.Client{Transport: &http.Transport{DialContext: s.meter.dial, MaxIdleConnsPerHost: 4}}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.run(func() error {
		return localaws.Run(running, localaws.Options{
			Services: s.services, Queue: s.queue, BatchSize: cfg.Queue.BatchSize, Workers: workers, SweepInterval: 24 * time.Hour, API: api,
			Log: slog.New(slog.DiscardHandler),
			Functions: localaws.Functions{
				API: gateway.Raw(func(ctx context.Context, payload []byte) ([]byte, error) {
					s.meter.count(func(u *Usage) { u.Gateway++ })
					return s.invoke(ctx, nameAPI, payload)
				}),
				Deliver: poller.Raw(func(ctx context.Context, payload []byte) ([]byte, error) {
					answer, err := s.invoke(ctx, nameDeliver, payload)
					s.meter.batch(payload, answer)
					return answer, err
				}),
				Sweep: func(context.Context) error { return nil },
			},
		})
	})
	return nil
}

func (s *stack) invoke(ctx context.Context, name string, payload []byte) ([]byte, error) {
	began := time.Now()
	answer, err := s.fn[name].Invoke(ctx, payload)
	s.meter.invoked(name, time.Since(began))
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", name, err)
	}
	return answer, nil
}

// processorTime is what each function has used so far.
func (s *stack) processorTime() (map[string]time.Duration, error) {
	used := map[string]time.Duration{}
	for name, fn := range s.fn {
		seconds, err := load.CPUSeconds(fn.Processes())
		if err != nil {
			return nil, err
		}
		used[name] = time.Duration(seconds * float64(time.Second))
	}
	return used, nil
}

// call asks a service for something that is not counted.
func (s *stack) call(ctx context.Context, target, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost", strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", target, err)
	}
	req.Header.Set("X-Amz-Target", target)
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	resp, err := inproc.Client(s.services).Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", target, err)
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", target, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: answered %d: %.200s", target, resp.StatusCode, text)
	}
	return text, nil
}

// stored is what lies in the table and its index, in bytes. A scan that need
// not be consistent consumes half a unit for each 4 KB that it passes.
func (s *stack) stored(ctx context.Context) (Storage, error) {
	var sum Storage
	for _, index := range []string{"", `"IndexName":"GSI1",`} {
		for from := ""; ; {
			text, err := s.call(ctx, "DynamoDB_20120810.Scan", `{"TableName":"`+s.table+`",`+index+from+`"Select":"COUNT","ReturnConsumedCapacity":"TOTAL"}`)
			if err != nil {
				return Storage{}, err
			}
			var page struct {
				Count            float64
				ConsumedCapacity struct{ CapacityUnits float64 }
				LastEvaluatedKey json.RawMessage
			}
			if err := json.Unmarshal(text, &page); err != nil {
				return Storage{}, fmt.Errorf("read a scan: %w", err)
			}
			sum.Items += page.Count
			sum.Bytes += page.ConsumedCapacity.CapacityUnits * 8192
			if len(page.LastEvaluatedKey) == 0 {
				break
			}
			from = `"ExclusiveStartKey":` + string(page.LastEvaluatedKey) + `,`
		}
	}
	return sum, nil
}

// close ends everything that was started, and returns what went wrong with it
// since.
func (s *stack) close() error {
	var errs []error
	if s.stop != nil {
		s.stop()
	}
	for _, fn := range s.fn {
		fn.Close()
	}
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
	if s.aws != nil {
		errs = append(errs, s.aws.Close())
	}
	s.serving.Wait()
	if s.receiver != nil {
		errs = append(errs, s.receiver.close())
	}
	if s.services != nil {
		errs = append(errs, s.services.Close())
	}
	return errors.Join(append(errs, s.wrong...)...)
}

// receiver is all endpoints: it answers after a while, with 500 to a share of
// the attempts.
type receiver struct {
	listener net.Listener
	server   *http.Server
	serving  sync.WaitGroup
	mu       sync.Mutex
	dice     *rand.Rand
	failing  float64
	attempts int
	failed   int
}

func newReceiver(m *meter, failing float64) (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for deliveries: %w", err)
	}
	r := &receiver{listener: l, dice: rand.New(rand.NewPCG(1, 2)), failing: failing}
	r.server = &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			m.count(func(u *Usage) { u.Egress.Requests++ })
			if _, err := io.Copy(io.Discard, q.Body); err != nil {
				return
			}
			timer := time.NewTimer(time.Duration(m.prices.Assumed.EndpointMillis) * time.Millisecond)
			defer timer.Stop()
			<-timer.C
			if r.fails() {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}),
	}
	r.serving.Go(func() {
		counted := countingListener{Listener: l, meter: m}
		if err := r.server.Serve(counted); !errors.Is(err, http.ErrServerClosed) {
			m.count(func(u *Usage) { u.Requests["receiver stopped"]++ })
		}
	})
	return r, nil
}

func (r *receiver) fails() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts++
	if r.dice.Float64() >= r.failing {
		return false
	}
	r.failed++
	return true
}

// seen returns how many attempts there were, and how many failed, and forgets
// them.
func (r *receiver) seen() (attempts, failed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	attempts, failed = r.attempts, r.failed
	r.attempts, r.failed = 0, 0
	return attempts, failed
}

func (r *receiver) port() int { return r.listener.Addr().(*net.TCPAddr).Port }

func (r *receiver) close() error {
	err := r.server.Close()
	r.serving.Wait()
	return err
}

// countingListener counts what comes in.
type countingListener struct {
	net.Listener
	meter *meter
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.meter.count(func(u *Usage) { u.Egress.Connections++ })
	return countingConn{Conn: c, read: func(n int) { l.meter.count(func(u *Usage) { u.Egress.Bytes += int64(n) }) }}, nil
}

// dial counts what the API answers. A producer keeps its connection: it is not
// counted.
func (m *meter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return countingConn{Conn: c, read: func(n int) { m.count(func(u *Usage) { u.Answers.Bytes += int64(n) }) }}, nil
}

// countingConn counts what is read.
type countingConn struct {
	net.Conn
	read func(int)
}

func (c countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read(n)
	return n, err
}
