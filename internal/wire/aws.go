package wire

import (
	"context"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
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
