package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// Contract is an OpenAPI document that requests and answers are held against.
// It may be used by several goroutines at once.
type Contract struct {
	document *openapi3.T
	router   routers.Router
	bodies   *bodies
}

// New reads a document, as JSON. A document that is not one of OpenAPI is an
// error, and so is an example that its schema does not allow.
func New(document []byte) (*Contract, error) {
	closed, err := closeSchemas(document)
	if err != nil {
		return nil, err
	}
	d, err := openapi3.NewLoader().LoadFromData(closed)
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	if err := d.Validate(context.Background(), openapi3.EnableExamplesValidation()); err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	router, err := gorillamux.NewRouter(d)
	if err != nil {
		return nil, fmt.Errorf("the document's paths: %w", err)
	}
	bodies, err := newBodies(closed)
	if err != nil {
		return nil, err
	}
	return &Contract{document: d, router: router, bodies: bodies}, nil
}

// Exchange is a request with its answer.
type Exchange struct {
	Request     *http.Request // its body is not read
	RequestBody []byte
	Status      int
	Header      http.Header
	Body        []byte
}

// Check holds an exchange against the document:
//
//   - a path that it does not name is answered with 404 not_found;
//   - a method that it does not name for a path, with 405 method_not_allowed and
//     an Allow of those that it names, and HEAD where there is GET;
//   - any other answer has a status, a media type, headers and a body that it names;
//   - HEAD is answered as GET, without a body;
//   - a request that was not refused is one that it allows.
//
// Who may call is not looked at: that is asked with keys and without.
func (c *Contract) Check(e Exchange) error {
	r := e.Request.Clone(e.Request.Context())
	r.Body = io.NopCloser(bytes.NewReader(e.RequestBody))
	r.ContentLength = int64(len(e.RequestBody))
	if r.Method == http.MethodHead {
		r.Method = http.MethodGet
	}
	route, params, err := c.router.FindRoute(r)
	switch {
	case errors.Is(err, routers.ErrMethodNotAllowed):
		err = c.checkMethod(r, e)
	case err != nil:
		err = checkAbsent(e)
	default:
		err = c.check(r, route, params, e)
	}
	if err != nil {
		return fmt.Errorf("%s %s answered with %d %s: %w", e.Request.Method, e.Request.URL, e.Status, shortened(e.Body), err)
	}
	return nil
}

// check checks an exchange of an operation.
func (c *Contract) check(r *http.Request, route *routers.Route, params map[string]string, e Exchange) error {
	documented := route.Operation.Responses.Status(e.Status)
	if documented == nil {
		return errors.New("this status is not documented")
	}
	if err := checkHeaders(documented.Value, e); err != nil {
		return err
	}
	operation := "/paths/" + escaped(route.Path) + "/" + strings.ToLower(r.Method)
	if e.Request.Method != http.MethodHead && len(documented.Value.Content) > 0 && isJSON(e.Header.Get("Content-Type")) {
		at := below(operation+"/responses/"+strconv.Itoa(e.Status), documented.Ref)
		if err := c.bodies.check(at, e.Header.Get("Content-Type"), e.Body); err != nil {
			return fmt.Errorf("the answer is not as documented: %w", err)
		}
	}
	if e.Status >= http.StatusMultipleChoices {
		return nil
	}
	return c.checkRequest(r, route, params, operation, e.RequestBody)
}

// checkRequest checks a request that was not refused.
func (c *Contract) checkRequest(r *http.Request, route *routers.Route, params map[string]string, operation string, body []byte) error {
	err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: &openapi3filter.Options{
		MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true, ExcludeRequestBody: true,
	}})
	if documented := route.Operation.RequestBody; err == nil && documented != nil && isJSON(r.Header.Get("Content-Type")) {
		switch {
		case len(body) > 0 && documented.Value.Content["application/json"] != nil:
			err = c.bodies.check(below(operation+"/requestBody", documented.Ref), "application/json", body)
		case len(body) == 0 && documented.Value.Required:
			err = errors.New("a body is required")
		}
	}
	if err != nil {
		return fmt.Errorf("it was not refused, and the document does not allow it: %s: %w", shortened(body), err)
	}
	return nil
}

// below is where in the document something is that may be a reference.
func below(path, ref string) string {
	if ref != "" {
		return strings.TrimPrefix(ref, "#")
	}
	return path
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// checkMethod checks the answer to a method that a path does not take.
func (c *Contract) checkMethod(r *http.Request, e Exchange) error {
	var allowed []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPatch, http.MethodPost, http.MethodPut} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, _, err := c.router.FindRoute(other); err != nil {
			continue
		}
		allowed = append(allowed, method)
		if method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	if want := strings.Join(allowed, ", "); e.Status != http.StatusMethodNotAllowed || e.Header.Get("Allow") != want {
		return fmt.Errorf("its Allow is %q, and the document has %q there", e.Header.Get("Allow"), want)
	}
	return checkCode(e, "method_not_allowed")
}

func checkAbsent(e Exchange) error {
	if e.Status != http.StatusNotFound {
		return errors.New("the document has no such path")
	}
	return checkCode(e, "not_found")
}

// checkCode checks that an answer is a problem document with that code. That of
// HEAD has no body to look at.
func checkCode(e Exchange, code string) error {
	if media := e.Header.Get("Content-Type"); media != "application/problem+json" {
		return fmt.Errorf("the Content-Type is %q, and not that of a problem document", media)
	}
	if e.Request.Method == http.MethodHead {
		return nil
	}
	var problem struct{ Code string }
	if err := json.Unmarshal(e.Body, &problem); err != nil {
		return fmt.Errorf("read the problem document: %w", err)
	}
	if problem.Code != code {
		return fmt.Errorf("its code is %q, and has to be %q", problem.Code, code)
	}
	return nil
}

// common are the headers that any answer may have.
var common = []string{
	"Content-Type", "Content-Length", "Content-Encoding", "Cache-Control", "Vary", "Date", "Connection", "X-Content-Type-Options",
	"Apigw-Requestid", "Content-Security-Policy", "Referrer-Policy",
}

// checkHeaders checks that the headers of an answer are named, and what kind
// its body is of.
func checkHeaders(documented *openapi3.Response, e Exchange) error {
	for name := range e.Header {
		known := slices.Contains(common, http.CanonicalHeaderKey(name))
		for named := range documented.Headers {
			known = known || strings.EqualFold(named, name)
		}
		if !known {
			return fmt.Errorf("the header %s is not documented", name)
		}
	}
	if len(documented.Content) == 0 {
		if len(e.Body) > 0 {
			return errors.New("its body is not documented")
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(e.Header.Get("Content-Type"))
	if err != nil || documented.Content[media] == nil {
		return fmt.Errorf("the Content-Type %q is not documented", e.Header.Get("Content-Type"))
	}
	return nil
}

// Operation is what a document says of an operation, beside its shapes.
type Operation struct {
	Route string   // method and path
	Roles []string // of the keys that it takes; none: it is open to all
	Open  bool     // it asks for no key
	Codes []string // of the problem documents that it answers with, sorted
}

// Operations returns what the document says of each of its operations.
func (c *Contract) Operations() ([]Operation, error) {
	var all []Operation
	for path, item := range c.document.Paths.Map() {
		for method, op := range item.Operations() {
			o := Operation{Route: method + " " + path, Open: op.Security != nil && len(*op.Security) == 0}
			raw, err := json.Marshal(op.Extensions["x-roles"])
			if err != nil {
				return nil, err
			}
			if err := json.Unmarshal(raw, &o.Roles); err != nil {
				return nil, fmt.Errorf("%s: x-roles: %w", o.Route, err)
			}
			for _, response := range op.Responses.Map() {
				if problem := response.Value.Content["application/problem+json"]; problem != nil {
					for _, part := range problem.Schema.Value.AllOf {
						if code := part.Value.Properties["code"]; code != nil {
							for _, v := range code.Value.Enum {
								o.Codes = append(o.Codes, fmt.Sprint(v))
							}
						}
					}
				}
			}
			slices.Sort(o.Codes)
			o.Codes = slices.Compact(o.Codes)
			all = append(all, o)
		}
	}
	return all, nil
}

func shortened(b []byte) string {
	const most = 500
	if len(b) > most {
		return string(b[:most]) + "…"
	}
	return string(b)
}
