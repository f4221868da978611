package wire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Services is how services are reached: those of an account, or of its
// stand-in.
type Services = aws.Config

// Account returns the SDK's usual configuration: region, credentials and
// endpoints from the environment (AWS_ENDPOINT_URL included). It asks nothing
// of the network.
func Account(ctx context.Context) (aws.Config, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return aws.Config{}, fmt.Errorf("load AWS configuration: %w", err)
	}
	return cfg, nil
}

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
