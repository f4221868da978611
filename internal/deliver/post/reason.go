package post

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"posthorn/internal/hook"
)

// explain sorts the error of a post that got no answer. The words are fixed:
// they stand in dead letters and are searched for, and an error's own text may
// name addresses.
func explain(err error) (hook.Outcome, string) {
	if errors.Is(err, errBlocked) {
		return hook.OutcomeBlocked, errBlocked.Error()
	}
	if reason, ok := explainDNS(err); ok {
		return hook.OutcomeDNS, "DNS lookup failed: " + reason
	}
	if reason, ok := explainTLS(err); ok {
		return hook.OutcomeTLS, "TLS handshake failed: " + reason
	}
	for _, c := range connectionErrors {
		if errors.Is(err, c.err) {
			return hook.OutcomeConnection, c.reason
		}
	}
	return explainByText(err)
}

func timeoutReason(d time.Duration) string { return "timeout after " + d.String() }

// connectionErrors are the ways in which a connection fails.
var connectionErrors = []struct {
	err    error
	reason string
}{
	{syscall.ECONNREFUSED, "connection refused"},
	{syscall.ECONNRESET, "connection reset"},
	{syscall.EPIPE, "connection reset"},
	{syscall.ENETUNREACH, "network unreachable"},
	{syscall.EHOSTUNREACH, "host unreachable"},
	{syscall.ETIMEDOUT, "connection timed out"},
	{io.EOF, "connection closed without an answer"},
	{io.ErrUnexpectedEOF, "connection closed without an answer"},
}

func explainDNS(err error) (string, bool) {
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dns):
		return "", false
	case dns.IsNotFound:
		return "no such host", true
	case dns.IsTimeout:
		return "timeout", true
	default:
		return "server failure", true
	}
}

func explainTLS(err error) (string, bool) {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		cert      x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		op        *net.OpError
	)
	switch {
	case errors.As(err, &authority):
		return "certificate signed by unknown authority", true
	case errors.As(err, &host):
		return "certificate is for another host", true
	case errors.As(err, &cert) && cert.Reason == x509.Expired:
		return "certificate has expired or is not yet valid", true
	case errors.As(err, &cert), errors.As(err, &verify):
		return "certificate is not valid", true
	case errors.As(err, &record):
		return "the endpoint does not speak TLS", true
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"):
		return strings.TrimPrefix(op.Err.Error(), "tls: "), true // an alert of RFC 8446
	case strings.HasPrefix(err.Error(), "tls: "):
		return "protocol error", true
	default:
		return "", false
	}
}

// explainByText knows the errors of net/http that have no type.
func explainByText(err error) (hook.Outcome, string) {
	s := err.Error()
	switch {
	case strings.Contains(s, "server response headers exceeded"), strings.Contains(s, "response header list larger"):
		return hook.OutcomeOther, "response headers too large"
	case strings.Contains(s, "malformed HTTP"), strings.Contains(s, "malformed MIME"), strings.Contains(s, "bad Content-Length"),
		strings.Contains(s, "unsupported transfer encoding"), strings.Contains(s, "too many 1xx"):
		return hook.OutcomeOther, "malformed answer"
	case strings.Contains(s, "server closed idle connection"), strings.Contains(s, "transport connection broken"),
		strings.Contains(s, "use of closed network connection"), strings.Contains(s, "server sent GOAWAY"):
		return hook.OutcomeConnection, "connection closed without an answer"
	case strings.Contains(s, "stream error"):
		return hook.OutcomeConnection, "HTTP/2 stream reset"
	case strings.Contains(s, "connection error"):
		return hook.OutcomeConnection, "HTTP/2 connection error"
	default:
		return hook.OutcomeOther, "request failed"
	}
}
