package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/spf13/cobra"

	"posthorn/internal/config"
	"posthorn/internal/lambdaevent"
	"posthorn/internal/localaws"
	"posthorn/internal/localaws/gateway"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/localaws/poller"
	"posthorn/internal/localaws/store"
	"posthorn/internal/seal"
	"posthorn/internal/wire"
)

// local runs the whole system in this process. A flag wins over its variable.
type local struct{ Host, Port, AWSHost, AWSPort, Data *string }

func localCommand() *cobra.Command {
	l := &local{}
	c := &cobra.Command{
		Use: "local", Short: "Run everything on this machine: API, deliveries, SQS and DynamoDB", Args: none,
		Long:    "Run everything in this process: the API, deliveries, SQS and DynamoDB, with the data in a folder.",
		Example: "  posthorn local\n  posthorn local --port 9000 --data /var/lib/posthorn",
		RunE:    func(*cobra.Command, []string) error { return l.Run() },
	}
	f := c.Flags()
	f.Var(optional{&l.Host, "ADDR"}, "host", "Address of the API. Variable: HOST (127.0.0.1).")
	f.Var(optional{&l.Port, "PORT"}, "port", "Port of the API; 0: any free one. Variable: PORT (8000).")
	f.Var(optional{&l.AWSHost, "ADDR"}, "aws-host", "Address of SQS, DynamoDB and KMS. Variable: POSTHORN_AWS_HOST (127.0.0.1).")
	f.Var(optional{&l.AWSPort, "PORT"}, "aws-port", "Port of SQS, DynamoDB and KMS; 0: any free one. Variable: POSTHORN_AWS_PORT (4566).")
	f.Var(optional{&l.Data, "DIR"}, "data", "Folder of the data. Variable: POSTHORN_DATA_DIR (.posthorn).")
	return c
}

// countsEvery is how often counters are stored; a process that is killed
// forgets as much.
const countsEvery = 200 * time.Millisecond

// deliverTimeout ends an invocation of the deliver function, as template.yaml
// has it.
const deliverTimeout = 45 * time.Second

// gcPercent is GOGC where the environment does not set it.
const gcPercent = 200

// Run implements the command.
func (c *local) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := config.Load(config.Local, c.source())
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		// The live heap is a few MiB: collecting it half as often costs little
		// memory and saves some of the processor's time.
		debug.SetGCPercent(gcPercent)
	}
	log := slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: cfg.LogLevel}))
	return runLocal(ctx, cfg, log, os.Stderr)
}

// source is the process's own configuration with the flags before it.
func (c *local) source() config.Source {
	src := config.Environment()
	for _, f := range []struct {
		name, variable string
		value          *string
	}{
		{"--host", "HOST", c.Host},
		{"--port", "PORT", c.Port},
		{"--aws-host", "POSTHORN_AWS_HOST", c.AWSHost},
		{"--aws-port", "POSTHORN_AWS_PORT", c.AWSPort},
		{"--data", "POSTHORN_DATA_DIR", c.Data},
	} {
		if f.value != nil {
			src.Flags = append(src.Flags, config.Flag{Name: f.name, Variable: f.variable, Value: *f.value})
		}
	}
	return src
}

// runLocal serves until ctx ends.
func runLocal(ctx context.Context, cfg *config.Config, log *slog.Logger, banner io.Writer) (err error) {
	api, apiErr := listen(cfg.HTTP.Host, cfg.HTTP.Port, "HOST and PORT, or --host and --port")
	if apiErr == nil {
		defer closeWith(&err, api)
	}
	aws, awsErr := listen(cfg.Local.Host, cfg.Local.Port, "POSTHORN_AWS_HOST and POSTHORN_AWS_PORT, or --aws-host and --aws-port")
	if awsErr == nil {
		defer closeWith(&err, aws)
	}
	if err := notListening(apiErr, awsErr); err != nil {
		return err
	}
	services, err := localaws.Open(cfg.Local.DataDir)
	if errors.Is(err, store.ErrLocked) {
		return fmt.Errorf("the data folder %s is in use by another process: stop it, or choose another with --data", cfg.Local.DataDir)
	}
	if err != nil {
		return fmt.Errorf("%w: choose another folder with --data or POSTHORN_DATA_DIR", err)
	}
	defer closeWith(&err, services)

	account := wire.Local(inproc.Client(services), "http://"+aws.Addr().String())
	if err := wire.Provision(ctx, cfg, account); err != nil {
		return err
	}
	if cfg, err = withKey(cfg); err != nil {
		return err
	}
	app, err := wire.New(cfg, account, log)
	if err != nil {
		return err
	}
	// Counts are stored in the background, and a last time when all else is done.
	counting, stopCounting := context.WithCancel(context.WithoutCancel(ctx))
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		app.Counts().Run(counting, countsEvery)
	}()
	defer func() { stopCounting(); <-counted }()

	if err := greet(banner, cfg, api, aws); err != nil {
		return err
	}
	hosts := cfg.HTTP.AllowedHosts
	if name, err := os.Hostname(); err == nil && !loopback(api) {
		hosts = append(slices.Clone(hosts), name)
	}
	tellIgnored(log, cfg)
	context.AfterFunc(ctx, func() { log.Info("stopping", "waits_for", "answers and posts under way") })
	return localaws.Run(ctx, localaws.Options{
		Services: services, Functions: inProcess(app),
		Queue: cfg.Queue.Main, BatchSize: cfg.Queue.BatchSize, Workers: cfg.Queue.Workers, DeliverTimeout: deliverTimeout,
		SweepInterval: cfg.SweepInterval, API: api, AWS: aws, Ingress: cfg.Limits.Ingress, AllowedHosts: hosts, Log: log,
	})
}

// withKey adds the key of the data folder where no other is set.
func withKey(cfg *config.Config) (*config.Config, error) {
	if cfg.Seal.KMSKey != "" || cfg.Seal.Key != nil {
		return cfg, nil
	}
	key, err := seal.KeyFile(cfg.Local.DataDir)
	if err != nil {
		return nil, err
	}
	own := *cfg
	own.Seal.Key = key
	return &own, nil
}

// inProcess is the three functions as calls inside the process.
func inProcess(app *wire.App) localaws.Functions {
	deliverer, sweeper := app.Deliverer(), app.Sweeper()
	return localaws.Functions{
		API: gateway.Function(lambdaevent.Gateway(app.API(wire.APIOptions{TestReceiver: true}))),
		Deliver: poller.Function(func(ctx context.Context, e events.SQSEvent, over func(messageID string)) (events.SQSEventResponse, error) {
			return lambdaevent.Failures(deliverer.DeliverEach(ctx, lambdaevent.Batch(e), over)), nil
		}),
		Sweep: func(ctx context.Context) error {
			_, err := sweeper.Sweep(ctx)
			return err
		},
	}
}

// inUse is syscall.EADDRINUSE in words that help.
type inUse string

func (e inUse) Error() string { return string(e) }

// Unwrap says what it is.
func (e inUse) Unwrap() error { return syscall.EADDRINUSE }

// listen opens a port, and says what to set when it cannot.
func listen(host string, port int, how string) (net.Listener, error) {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, inUse(fmt.Sprintf("%s is in use by another program: stop it, or choose another address with %s", addr, how))
	case err != nil:
		return nil, fmt.Errorf("listen on %s (set by %s): %w", addr, how, err)
	}
	return l, nil
}

// notListening says of both ports at once what keeps them from being opened; nil:
// nothing does.
func notListening(errs ...error) error {
	err := errors.Join(errs...)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w\nSuch as: posthorn local --port 9000 --aws-port 0, or make run ARGS=\"--port 9000 --aws-port 0\"", err)
	}
	return err
}

// closeWith closes c and adds its error to err, unless it was closed already.
func closeWith(err *error, c io.Closer) {
	if e := c.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
		*err = errors.Join(*err, e)
	}
}

// greet says where everything is and how to send a first event.
func greet(w io.Writer, cfg *config.Config, api, aws net.Listener) error {
	data, err := filepath.Abs(cfg.Local.DataDir)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n  Posthorn %[1]s\n  API            http://%[2]s\n  Console        http://%[2]s/console\n  SQS, DynamoDB  http://%[3]s\n  Data           %[4]s\n",
		wire.Version, shown(cfg.HTTP.Host, api), shown(cfg.Local.Host, aws), data)
	asks := cfg.Security.Auth == config.AuthKeys
	switch {
	case !asks && !(loopback(api) && loopback(aws)):
		b.WriteString("\n  WARNING        reachable from other machines, and asks nobody for a key\n")
	case !loopback(aws):
		b.WriteString("\n  WARNING        SQS and DynamoDB are reachable from other machines, and ask nobody for a key\n")
	}
	if cfg.Security.AllowHTTP && cfg.Security.AllowPrivate { // its own receiver may be an endpoint
		b.WriteString("\n  Send a first event:\n")
		key := ""
		if asks {
			fmt.Fprintf(&b, "    KEY=$(%s keys create --role admin %s)\n", os.Args[0], flagsFor(aws))
			key = ` -H "Authorization: Bearer $KEY"`
		}
		fmt.Fprintf(&b, `    curl -s %[1]s/api/v1/webhooks%[2]s -H 'Content-Type: application/json' \
      -d '{"url":"%[1]s/test/webhook","events":["*"],"secret":"test-secret"}'
    curl -s %[1]s/api/v1/events%[2]s -H 'Content-Type: application/json' \
      -d '{"event_type":"test.event","payload":{"hello":"world"}}'
`, "http://"+from(api), key)
	}
	b.WriteString("\n")
	_, err = io.WriteString(w, b.String())
	return err
}

// shown is a listener's address, with the host as it was asked for.
func shown(host string, l net.Listener) string {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return l.Addr().String()
	}
	return net.JoinHostPort(host, port)
}

// from is where this machine reaches a listener.
func from(l net.Listener) string {
	if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(a.Port))
	}
	return l.Addr().String()
}

// flagsFor says to a command where the services of this program are.
func flagsFor(aws net.Listener) string {
	host, port, err := net.SplitHostPort(from(aws))
	if err != nil {
		return "--local"
	}
	if host != "127.0.0.1" {
		return "--local --aws-host " + host + " --aws-port " + port
	}
	return "--local --aws-port " + port
}

func loopback(l net.Listener) bool {
	a, ok := l.Addr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}
