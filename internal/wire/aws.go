package wire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"posthorn/internal/config"
)

// Services is how services are reached: those of an account, or of its
// stand-in.
type Services = aws.Config

// Account returns the SDK's usual configuration: region, credentials and
// endpoints from the environment (AWS_ENDPOINT_URL included). It asks nothing
// of the network.
func Account(ctx context.Context) (aws.Config, error) {
	// The SDK would say on standard error, too, where it looked in vain.
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithLogger(logging.Nop{}))
	if err != nil {
		return aws.Config{}, fmt.Errorf("load AWS configuration: %w", err)
	}
	return cfg, nil
}

// idleConnections is how many connections to one service a long-running process
// keeps for the next call; the SDK's own 10 would be opened and closed all the
// time under its workers.
const idleConnections = 256

// LongRunning is an account's configuration for a process with many workers.
func LongRunning(cfg Services) Services {
	cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 2*idleConnections, idleConnections
	})
	return cfg
}

// credentialsTime bounds the look for credentials: where there are none, the
// last place to ask is a metadata service that does not answer.
const credentialsTime = 10 * time.Second

// Lacks says what is missing in an account's configuration before anything can
// be called: a region, credentials. Nil: nothing.
func Lacks(ctx context.Context, cfg Services) []config.Mistake {
	var lacks []config.Mistake
	if cfg.Region == "" {
		lacks = append(lacks, config.Mistake{Where: "AWS_REGION", What: "has to be set: the region of the table and the queues"})
	}
	ctx, cancel := context.WithTimeout(ctx, credentialsTime)
	defer cancel()
	if cfg.Credentials == nil {
		return append(lacks, noCredentials(""))
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		detail := ""
		if profile := os.Getenv("AWS_PROFILE"); profile != "" {
			detail = " (those of profile " + strconv.Quote(profile) + " cannot be had)"
		}
		lacks = append(lacks, noCredentials(detail))
	}
	return lacks
}

func noCredentials(detail string) config.Mistake {
	return config.Mistake{
		Where: "AWS credentials",
		What:  "there are none" + detail + ": set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run with a role",
	}
}

// Explain is an error of a service as a person wants to read it: the call, the
// error's code and its message, without the identifiers of a request; or why the
// service cannot be reached. Any other error is returned as it is.
func Explain(err error) error {
	var call *smithy.OperationError
	if !errors.As(err, &call) {
		return err
	}
	var network *net.OpError
	if errors.As(err, &network) {
		return &explained{said: fmt.Sprintf("%s cannot be reached: %v", call.Service(), network), cause: err}
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return err
	}
	said := fmt.Sprintf("%s refuses %s: %s", call.Service(), call.Operation(), api.ErrorCode())
	if message := strings.TrimSpace(api.ErrorMessage()); message != "" {
		said += ": " + message
	}
	return &explained{said: said, cause: err}
}

// Refused says whether a service answered that a call may not be made, with
// these credentials or as it was made: trying again is no use.
func Refused(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorFault() != smithy.FaultServer && !retryable(api.ErrorCode())
}

// retryable says whether an error of a caller's fault passes by itself.
func retryable(code string) bool {
	return strings.Contains(code, "Throttl") || strings.Contains(code, "LimitExceeded") || strings.Contains(code, "Timeout")
}

// explained is an error that reads otherwise and is the same to errors.Is and
// errors.As.
type explained struct {
	said  string
	cause error
}

func (e *explained) Error() string { return e.said }

func (e *explained) Unwrap() error { return e.cause }

// errNoCredentials says what a function lacks that does not run as one.
var errNoCredentials = errors.New("no credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, where Lambda puts those of the function's role")

// functionAccount returns the configuration of a function: region, credentials
// and endpoints are those in its environment, where Lambda puts them
// (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html),
// and AWS_ENDPOINT_URL. Profiles, single sign-on and the metadata services,
// where Account looks too, are not there for a function, and what reads them
// is a tenth of its size.
func functionAccount() (aws.Config, error) {
	env, err := awsconfig.NewEnvConfig()
	if err != nil {
		return aws.Config{}, fmt.Errorf("load AWS configuration: %w", err)
	}
	if !env.Credentials.HasKeys() {
		return aws.Config{}, errNoCredentials
	}
	cfg := aws.Config{
		Region:                env.Region,
		Credentials:           credentials.StaticCredentialsProvider{Value: env.Credentials},
		ConfigSources:         []any{env},
		DefaultsMode:          cmp.Or(env.DefaultsMode, aws.DefaultsModeLegacy),
		RetryMode:             env.RetryMode,
		RetryMaxAttempts:      env.RetryMaxAttempts,
		AccountIDEndpointMode: cmp.Or(env.AccountIDEndpointMode, aws.AccountIDEndpointModePreferred),
	}
	if env.BaseEndpoint != "" && !aws.ToBool(env.IgnoreConfiguredEndpoints) {
		cfg.BaseEndpoint = &env.BaseEndpoint
	}
	return cfg, nil
}

// Local returns the configuration for the local stand-in, whose requests
// client carries. Any credentials do.
func Local(client *http.Client, endpoint string) aws.Config {
	return aws.Config{
		Region:       "us-east-1",
		Credentials:  aws.AnonymousCredentials{},
		HTTPClient:   client,
		BaseEndpoint: &endpoint,
	}
}
