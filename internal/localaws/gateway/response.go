package gateway

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/aws/aws-lambda-go/events"
)

// respond writes a function's answer. An error means that the answer is
// malformed and nothing was written.
//
// A header of MultiValueHeaders wins over one of the same name in Headers. An
// answer that names no content type is text/plain, as in the service.
func (g *Gateway) respond(w http.ResponseWriter, resp *events.APIGatewayV2HTTPResponse) error {
	if resp.StatusCode < 200 || resp.StatusCode > 599 {
		return fmt.Errorf("status code %d", resp.StatusCode)
	}
	if len(resp.Body) > MaxResponse {
		return fmt.Errorf("body of %d bytes, of at most %d", len(resp.Body), MaxResponse)
	}
	var decoded []byte
	size := len(resp.Body)
	if resp.IsBase64Encoded {
		var err error
		if decoded, err = base64.StdEncoding.DecodeString(resp.Body); err != nil {
			return fmt.Errorf("decode the body: %w", err)
		}
		size = len(decoded)
	}

	h := w.Header()
	for name, value := range resp.Headers {
		if name = http.CanonicalHeaderKey(name); !ownHeader(name) {
			h.Set(name, value)
		}
	}
	for name, values := range resp.MultiValueHeaders {
		if name = http.CanonicalHeaderKey(name); !ownHeader(name) {
			h[name] = append([]string(nil), values...)
		}
	}
	for _, c := range resp.Cookies {
		h.Add("Set-Cookie", c)
	}
	if resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified {
		w.WriteHeader(resp.StatusCode)
		return nil
	}
	if size > 0 && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	h.Set("Content-Length", strconv.Itoa(size))
	w.WriteHeader(resp.StatusCode)
	var err error
	switch {
	case size == 0:
	case resp.IsBase64Encoded:
		_, err = w.Write(decoded)
	default:
		_, err = io.WriteString(w, resp.Body)
	}
	if err != nil { // the client went away: nobody is left to be told
		g.log.Debug("write the answer", "error", err)
	}
	return nil
}

// ownHeader reports whether the gateway sets this header itself, whatever the
// function says. It takes a canonical name.
func ownHeader(name string) bool {
	return name == "Content-Length" || hopByHop(name)
}
