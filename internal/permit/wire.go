package permit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// Names are what the template's resources are called in the calls.
type Names struct{ Table, Queue, DeadLetterQueue string }

// Transport returns next with the rights of a function, by its logical id in
// the template. Calls that it may not make are answered as IAM does, and never
// reach next.
func (p *Policies) Transport(function string, names Names, next http.RoundTripper) http.RoundTripper {
	return &transport{policies: p, function: function, names: names, next: next}
}

type transport struct {
	policies *Policies
	function string
	names    Names
	next     http.RoundTripper
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r, err := t.policies.check(t.function, t.names, r)
	var denied *deniedError
	switch {
	case errors.As(err, &denied):
		body := denied.body()
		return &http.Response{
			Status: "400 Bad Request", StatusCode: http.StatusBadRequest, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: denied.header(), Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
		}, nil
	case err != nil:
		return nil, err
	}
	return t.next.RoundTrip(r)
}

// Handler is Transport on the side of the service.
func (p *Policies) Handler(function string, names Names, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		checked, err := p.check(function, names, r)
		var denied *deniedError
		switch {
		case errors.As(err, &denied):
			for name, values := range denied.header() {
				w.Header()[name] = values
			}
			w.WriteHeader(http.StatusBadRequest)
			if _, err := w.Write(denied.body()); err != nil {
				return // the caller has gone
			}
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
		default:
			next.ServeHTTP(w, checked)
		}
	})
}

// deniedError is IAM's answer to a call that is not allowed.
type deniedError struct{ grant Grant }

func (e *deniedError) Error() string { return "not allowed: " + e.grant.String() }

func (e *deniedError) header() http.Header {
	return http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amzn-Errortype": {"AccessDeniedException"}}
}

func (e *deniedError) body() []byte {
	return []byte(`{"__type":"AccessDeniedException","message":` + strconv.Quote(e.Error()) + `}`)
}

// check returns the request to be handed on, or a deniedError.
func (p *Policies) check(function string, names Names, r *http.Request) (*http.Request, error) {
	body, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return r, fmt.Errorf("permit: read request: %w", err)
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	service, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var c call
	if err := json.Unmarshal(body, &c); err != nil {
		return r, fmt.Errorf("permit: %s: %w", operation, err)
	}
	for _, g := range c.needs(service, operation, names) {
		g.Function = function
		contexts := make([]string, 0, 1)
		for name := range c.EncryptionContext {
			contexts = append(contexts, name)
		}
		if !p.allow(g, contexts) {
			return r, &deniedError{g}
		}
	}
	return r, nil
}

// call is what a call says that its rights depend on.
type call struct {
	TableName, IndexName string
	RequestItems         map[string]json.RawMessage // by table
	TransactItems        []map[string]struct{ TableName string }
	QueueURL             string `json:"QueueUrl"`
	QueueName            string // of GetQueueUrl
	EncryptionContext    map[string]string
}

// needs are the actions and resources of a call: see "Actions, resources, and
// condition keys" of DynamoDB, SQS and KMS in the Service Authorization
// Reference.
func (c *call) needs(service, operation string, names Names) []Grant {
	switch {
	case service == "AmazonSQS":
		// A batch needs the right of one.
		return []Grant{{Action: "sqs:" + strings.TrimSuffix(operation, "Batch"), Resource: names.queue(cmp.Or(c.QueueURL, c.QueueName))}}
	case service == "TrentService":
		return []Grant{{Action: "kms:" + operation, Resource: key}}
	case strings.HasPrefix(operation, "Transact"):
		// A transaction needs the rights of its items.
		var all []Grant
		for _, item := range c.TransactItems {
			for kind, on := range item {
				all = append(all, Grant{Action: "dynamodb:" + kind + "Item", Resource: names.table(on.TableName, "")})
			}
		}
		return all
	case len(c.RequestItems) > 0:
		var all []Grant
		for name := range c.RequestItems {
			all = append(all, Grant{Action: "dynamodb:" + operation, Resource: names.table(name, "")})
		}
		return all
	default:
		return []Grant{{Action: "dynamodb:" + operation, Resource: names.table(c.TableName, c.IndexName)}}
	}
}

// queue is a queue in the template, by its URL or its name. Another one is called by its
// URL, for which there is no grant.
func (n Names) queue(url string) string {
	switch path.Base(url) {
	case n.Queue:
		return queue
	case n.DeadLetterQueue:
		return deadLetter
	}
	return url
}

func (n Names) table(name, indexName string) string {
	switch {
	case name == n.Table && indexName == "":
		return table
	case name == n.Table && indexName == "GSI1":
		return index
	}
	return name + "/" + indexName
}
