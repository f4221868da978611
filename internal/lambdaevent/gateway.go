package lambdaevent

import (
	"context"
	"net/http"

	"github.com/aws/aws-lambda-go/events"
	"github.com/awslabs/aws-lambda-go-api-proxy/core"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"
)

// GatewayHandler is what lambda.Start takes for an HTTP API.
type GatewayHandler func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error)

// Gateway serves h behind API Gateway's HTTP API, payload format 2.0. Headers
// that came more than once, or with commas, arrive as several values.
func Gateway(h http.Handler) GatewayHandler {
	return httpadapter.NewV2(h).ProxyWithContext
}

// Origin says where a request came from.
type Origin struct {
	SourceIP  string // of the caller, without a port
	RequestID string // API Gateway's
}

// RequestOrigin returns what API Gateway says about the request in whose
// context ctx is; ok is false when it did not come through Gateway.
func RequestOrigin(ctx context.Context) (o Origin, ok bool) {
	rc, ok := core.GetAPIGatewayV2ContextFromContext(ctx)
	return Origin{SourceIP: rc.HTTP.SourceIP, RequestID: rc.RequestID}, ok
}
