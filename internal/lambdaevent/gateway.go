package lambdaevent

import (
	"context"
	"net/http"
	"net/textproto"
	"net/url"

	"github.com/aws/aws-lambda-go/events"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"
)

// GatewayHandler is what lambda.Start takes for an HTTP API.
type GatewayHandler func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error)

// Gateway serves h behind API Gateway's HTTP API, payload format 2.0. Every
// header arrives as the one value that the gateway made of it: those that came
// more than once it has joined with commas. Cookies are values of their own.
//
// The service hands the path on decoded, in spite of its field's name, and
// httpadapter takes it as it stands: a decoded "?" would begin a query, and a
// control character is no URL at all. So it is encoded again.
func Gateway(h http.Handler) GatewayHandler {
	return func(ctx context.Context, req events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		req.RawPath = (&url.URL{Path: req.RawPath}).EscapedPath()
		return httpadapter.NewV2(withHeaders(h, req.Headers)).ProxyWithContext(ctx, req)
	}
}

// withHeaders undoes what httpadapter does to headers: it splits them at their
// commas, also where a comma is part of the value. And it takes the domain's name
// for the host, which has no port.
func withHeaders(h http.Handler, headers map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			if name = textproto.CanonicalMIMEHeaderKey(name); name != "Cookie" {
				r.Header[name] = []string{textproto.TrimString(value)}
			}
			if name == "Host" {
				r.Host = value
			}
		}
		h.ServeHTTP(w, r)
	})
}
