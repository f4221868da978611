package chaos

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"posthorn/internal/config"
	"posthorn/internal/dynamo"
	"posthorn/internal/hook"
	"posthorn/internal/httpapi"
	"posthorn/internal/id"
	"posthorn/internal/localaws"
	"posthorn/internal/localaws/gateway"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/localaws/poller"
	"posthorn/internal/permit"
	"posthorn/internal/wire"
)

// run is a run under way.
type run struct {
	o        Options
	began    time.Time
	tally    *tally
	ledger   *ledger
	secrecy  *secrecy
	services *localaws.Services
	faults   *awsFaults
	receiver *receiver
	fn       *functions
	operator *operator
	queue    string
	dead     string

	stop    context.CancelFunc
	serving sync.WaitGroup
	aws     *http.Server
}

// Run breaks a Posthorn of its own while it works, and does the books. An error
// says that the run could not be made; whether the books balance is in the
// result. A run that does not come to rest in its time is one that does not
// balance: the books say what is left.
func Run(ctx context.Context, o Options) (result Result, err error) {
	if err := o.Check(); err != nil {
		return Result{}, err
	}
	r := &run{o: o, began: time.Now(), tally: newTally(), ledger: newLedger()}
	r.secrecy = &secrecy{ledger: r.ledger}
	defer func() { err = errors.Join(err, r.close()) }()
	within, cancel := context.WithTimeout(ctx, o.Longest)
	defer cancel()
	if err := r.start(within); err != nil {
		return Result{}, fmt.Errorf("start: %w", err)
	}
	if err := r.all(within); err != nil {
		if ctx.Err() != nil {
			return Result{}, err // it was told to stop
		}
		r.ledger.wrongf("%v", err)
	}
	toRead, cancelRead := context.WithTimeout(ctx, readTime)
	defer cancelRead()
	for _, g := range refused(o.Policies) {
		r.ledger.wrongf("the template does not allow %s", g)
	}
	return r.books(toRead), nil
}

// readTime bounds how long reading what is on record takes.
const readTime = time.Minute

// all is what the books are about.
func (r *run) all(ctx context.Context) error {
	if err := r.operator.register(ctx); err != nil {
		return fmt.Errorf("register endpoints: %w", err)
	}
	if err := r.chaos(ctx); err != nil {
		return err
	}
	// A 410 of the last moment may disable an endpoint when the others have been
	// resumed. Nobody answers so any more: it ends when none is found.
	for rested := false; ; rested = true {
		resumed, err := r.operator.resumeAll(ctx)
		if err != nil {
			return fmt.Errorf("resume endpoints: %w", err)
		}
		if rested && resumed == 0 {
			return nil
		}
		if err := r.settle(ctx); err != nil {
			return err
		}
	}
}

// start starts everything.
func (r *run) start(ctx context.Context) (err error) {
	if r.receiver, err = newReceiver(r.o, r.ledger, r.tally); err != nil {
		return err
	}
	if r.services, err = localaws.Open(""); err != nil {
		return err
	}
	cfg, err := config.Load(config.Local, config.Source{Getenv: func(string) string { return "" }})
	if err != nil {
		return err
	}
	cfg.Queue.Visibility = r.o.Visibility
	r.queue, r.dead = cfg.Queue.Main, cfg.Queue.DeadLetters

	api, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the API: %w", err)
	}
	aws, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(fmt.Errorf("listen for AWS: %w", err), api.Close())
	}
	awsURL := "http://" + aws.Addr().String()
	straight := inproc.Client(r.services)
	if err := wire.Provision(ctx, cfg, wire.Local(straight, awsURL)); err != nil {
		return errors.Join(err, api.Close(), aws.Close())
	}
	key, err := makeKey(ctx, straight, awsURL)
	if err != nil {
		return errors.Join(err, api.Close(), aws.Close())
	}
	apiKey, err := r.makeAPIKey(ctx, dynamo.New(wire.Local(straight, awsURL), cfg.Table, dynamo.Options{}))
	if err != nil {
		return errors.Join(err, api.Close(), aws.Close())
	}
	r.faults = newAWSFaults(r.o, r.tally)
	names := permit.Names{Table: cfg.Table, Queue: cfg.Queue.Main, DeadLetterQueue: cfg.Queue.DeadLetters}
	r.aws = &http.Server{Handler: r.faults.service(asAllowed(r.o.Policies, names, r.services)), ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	r.serving.Go(func() {
		if err := r.aws.Serve(aws); !errors.Is(err, http.ErrServerClosed) {
			r.ledger.wrongf("AWS stopped: %v", err)
		}
	})
	settings, err := r.settings()
	if err != nil {
		return errors.Join(err, api.Close())
	}
	r.fn, err = startFunctions(r.o, []string{
		"AWS_ENDPOINT_URL=" + awsURL, "AWS_SECRET_ACCESS_KEY=chaos",
		"POSTHORN_TABLE=" + cfg.Table, "POSTHORN_QUEUE_URL=" + awsURL + "/000000000000/" + r.queue, "POSTHORN_DLQ_URL=" + awsURL + "/000000000000/" + r.dead,
		"POSTHORN_KMS_KEY_ID=" + key, "POSTHORN_ALLOW_HTTP=true", "POSTHORN_ALLOW_PRIVATE=true",
		fmt.Sprintf("POSTHORN_ALLOW_PORTS=%d", r.receiver.port()), "POSTHORN_CONFIG_DIR=" + settings,
		"RETRY_INITIAL_DELAY=0.2", "RETRY_MAX_DELAY=1", "LOG_LEVEL=debug",
	}, r.tally, r.ledger, r.secrecy)
	if err != nil {
		return errors.Join(err, api.Close())
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = stop
	r.serving.Go(func() {
		err := localaws.Run(running, localaws.Options{
			Services: r.services, Queue: r.queue, BatchSize: cfg.Queue.BatchSize, Workers: r.o.Environments * cfg.Queue.BatchSize, SweepInterval: 2 * time.Second, API: api,
			Log: slog.New(slog.NewJSONHandler(lines(func(line []byte) { r.secrecy.read("the account", line) }), &slog.HandlerOptions{Level: slog.LevelDebug})),
			Functions: localaws.Functions{
				API: gateway.Raw(r.fn.api.Invoke), Deliver: poller.Raw(r.fn.batch),
				Sweep: func(ctx context.Context) error {
					_, err := r.fn.sweeper.Invoke(ctx, []byte(`{}`))
					return err
				},
			},
		})
		if err != nil {
			r.ledger.wrongf("the account stopped: %v", err)
		}
	})
	r.operator = &operator{
		client: &client{url: "http://" + api.Addr().String(), key: apiKey, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * r.o.Producers}}, tally: r.tally, ledger: r.ledger},
		o:      r.o, dice: dice(r.o.Seed), receiver: r.receiver,
	}
	return nil
}

// makeAPIKey makes an admin's key, as an operator does, and returns its text.
func (r *run) makeAPIKey(ctx context.Context, table *dynamo.Table) (string, error) {
	keyID := id.NewSource().New("", time.Now())
	k := &hook.APIKey{ID: keyID, Tenant: httpapi.DefaultTenant, Role: hook.RoleAdmin, CreatedAt: hook.IDTime(keyID)}
	text, err := k.NewSecret(rand.Reader)
	if err == nil {
		err = table.CreateAPIKey(ctx, k)
	}
	if err != nil {
		return "", fmt.Errorf("make an API key: %w", err)
	}
	r.secrecy.key = []byte(text[strings.LastIndexByte(text, '_')+1:])
	return text, nil
}

// makeKey makes a KMS key and returns its ARN.
func makeKey(ctx context.Context, client *http.Client, awsURL string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, awsURL, strings.NewReader("{}"))
	if err != nil {
		return "", fmt.Errorf("make a KMS key: %w", err)
	}
	req.Header.Set("X-Amz-Target", "TrentService.CreateKey")
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("make a KMS key: %w", err)
	}
	var made struct{ KeyMetadata struct{ Arn string } }
	if err := errors.Join(json.NewDecoder(resp.Body).Decode(&made), resp.Body.Close()); err != nil {
		return "", fmt.Errorf("make a KMS key: %w", err)
	}
	if made.KeyMetadata.Arn == "" {
		return "", fmt.Errorf("make a KMS key: answered %d", resp.StatusCode)
	}
	return made.KeyMetadata.Arn, nil
}

// shortBreaker lets breakers open and close within seconds.
const shortBreaker = `breaker: {window: 5s, min_attempts: 20, failure_ratio: 0.5, open_for: 1s, max_open_for: 2s}
`

// settings writes the functions' configuration, and returns its folder.
func (r *run) settings() (string, error) {
	dir := filepath.Join(r.o.Functions, "config")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the folder of the configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "webhooks.yaml"), []byte(shortBreaker), 0o600); err != nil {
		return "", fmt.Errorf("write the configuration: %w", err)
	}
	return dir, nil
}

// close ends everything that was started.
func (r *run) close() error {
	var errs []error
	if r.stop != nil {
		r.stop()
	}
	if r.fn != nil {
		errs = append(errs, r.fn.close())
	}
	if r.aws != nil {
		errs = append(errs, r.aws.Close())
	}
	r.serving.Wait()
	if r.receiver != nil {
		errs = append(errs, r.receiver.close())
	}
	if r.operator != nil {
		r.operator.http.CloseIdleConnections()
	}
	if r.services != nil {
		errs = append(errs, r.services.Close())
	}
	return errors.Join(errs...)
}

// chaos posts all events while everything breaks, and lets it break a while
// longer.
func (r *run) chaos(ctx context.Context) error {
	breaking, stop := context.WithCancel(ctx)
	defer stop()
	var at sync.WaitGroup
	at.Go(func() { r.fn.strike(breaking) })
	at.Go(func() { outages(breaking, dice(r.o.Seed), r.o.Faults, r.faults, r.tally) })
	at.Go(func() { r.report(breaking, false) })
	var disturbed error
	at.Go(func() { disturbed = r.operator.disturb(breaking) })
	err := produce(ctx, r.o, planOf(r.o), r.operator.client)
	if err == nil {
		wait(ctx, r.o.tail())
	}
	stop()
	at.Wait()
	if err = errors.Join(err, disturbed); err != nil {
		return fmt.Errorf("post events: %w", err)
	}
	r.faults.setCalm(true)
	r.fn.setCalm()
	r.receiver.setCalm()
	return nil
}

// report tells of progress until ctx ends.
func (r *run) report(ctx context.Context, calm bool) {
	if r.o.Progress == nil {
		return
	}
	for wait(ctx, 5*time.Second) {
		ready, inFlight, delayed, err := r.services.SQS.Depth(r.queue)
		if err != nil {
			return // it is being stopped
		}
		accepted, posts := r.ledger.progress()
		r.o.Progress(Progress{Elapsed: time.Since(r.began), Accepted: accepted, Arrived: posts, Waiting: ready + inFlight + delayed, Calm: calm})
	}
}

// settle waits until nothing is left to do: both queues are empty, but for the
// messages of jobs that look a last time, a minute later, whether anything is
// held.
func (r *run) settle(ctx context.Context) error {
	reporting, stop := context.WithCancel(ctx)
	defer stop()
	var reports sync.WaitGroup
	reports.Go(func() { r.report(reporting, true) })
	defer reports.Wait()
	defer stop()
	left := ""
	for quiet := 0; quiet < 3; {
		if !wait(ctx, 300*time.Millisecond) {
			return fmt.Errorf("it does not come to rest: %s", left)
		}
		var err error
		if left, err = r.left(ctx); err != nil {
			return fmt.Errorf("see whether it has come to rest: %w", err)
		}
		if quiet++; left != "" {
			quiet = 0
		}
	}
	return nil
}

// left says what is left to do; empty: nothing.
func (r *run) left(ctx context.Context) (string, error) {
	ready, inFlight, delayed, err := r.services.SQS.Depth(r.queue)
	if err != nil {
		return "", err
	}
	deadReady, deadInFlight, deadDelayed, err := r.services.SQS.Depth(r.dead)
	if err != nil {
		return "", err
	}
	left := fmt.Sprintf("%d messages ready, %d in flight and %d delayed; of dead letters %d, %d and %d", ready, inFlight, delayed, deadReady, deadInFlight, deadDelayed)
	if ready+inFlight+deadReady+deadInFlight+deadDelayed > 0 {
		return left, nil
	}
	looking, working, err := r.operator.jobs(ctx)
	if err != nil || working > 0 || delayed > looking {
		return fmt.Sprintf("%s; jobs with something to do: %d, that look a last time: %d", left, working, looking), err
	}
	held, err := r.operator.held(ctx)
	if err != nil || held > 0 {
		return fmt.Sprintf("%s; active endpoints with something held: %d", left, held), err
	}
	return "", nil
}
