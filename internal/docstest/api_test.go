package docstest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/contract"
	"posthorn/internal/deliver/retry"
	"posthorn/internal/hook"
	"posthorn/internal/httpapi"
)

// inspect walks the code of a package, without its tests.
func inspect(t *testing.T, folder string, visit func(ast.Node)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files, folder)
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			inspectFile(t, file, visit)
		}
	}
}

func inspectFile(t *testing.T, file string, visit func(ast.Node)) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	ast.Inspect(f, func(n ast.Node) bool {
		visit(n)
		return true
	})
}

// literal is the value of a string literal; ok is false for anything else.
func literal(e ast.Expr) (s string, ok bool) {
	lit, isLit := e.(*ast.BasicLit)
	if !isLit || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// registered is a route that internal/httpapi registers.
type registered struct {
	name string // method and path
	who  string // the function that says who may call it
}

// routes are the routes that internal/httpapi registers: calls of route with a
// path and a map of methods to handlers, each in a call that says who may call.
func routes(t *testing.T) []registered {
	var all []registered
	inspect(t, "internal/httpapi", func(n ast.Node) {
		c, ok := n.(*ast.CallExpr)
		if !ok || len(c.Args) != 2 {
			return
		}
		if f, ok := c.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "route" {
			return
		}
		path, ok := literal(c.Args[0])
		require.True(t, ok)
		methods, ok := c.Args[1].(*ast.CompositeLit)
		require.True(t, ok)
		for _, e := range methods.Elts {
			pair := e.(*ast.KeyValueExpr)
			method, ok := literal(pair.Key)
			require.True(t, ok)
			guard, ok := pair.Value.(*ast.CallExpr)
			require.True(t, ok, "%s %s", method, path)
			who, ok := guard.Fun.(*ast.Ident)
			require.True(t, ok, "%s %s", method, path)
			all = append(all, registered{method + " " + path, who.Name})
		}
	})
	return all
}

var routeForm = regexp.MustCompile("^`((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)`$")

func TestEveryRouteIsDocumentedAndNoOther(t *testing.T) {
	t.Parallel()
	var all []string
	for _, r := range routes(t) {
		all = append(all, r.name)
	}
	require.Greater(t, len(all), 10)
	var documented []string
	for _, h := range parse(t, "docs/api.md").headings {
		if m := routeForm.FindStringSubmatch(h.text); m != nil {
			documented = append(documented, m[1])
		}
	}
	require.ElementsMatch(t, all, documented)

	// What other documents call has to be there too.
	pathForm := regexp.MustCompile("^(?:(?:GET|POST|PUT|PATCH|DELETE) )?(/(?:api|test|health|ready|metrics|docs|openapi)[^ ?]*)$")
	for _, name := range documents {
		d := parse(t, name)
		for _, s := range d.spans {
			m := pathForm.FindStringSubmatch(s.text)
			known := func(route string) bool {
				return strings.HasSuffix(route, " "+strings.TrimSpace(s.text)) || route == s.text
			}
			require.True(t, m == nil || slices.ContainsFunc(all, known), "%s: there is no route %s", d.at(s.line), s.text)
		}
	}
}

// ofDocument are the operations of the OpenAPI document.
func ofDocument(t *testing.T) []contract.Operation {
	t.Helper()
	c, err := contract.New(httpapi.OpenAPI())
	require.NoError(t, err)
	all, err := c.Operations()
	require.NoError(t, err)
	require.NotEmpty(t, all)
	return all
}

func TestEveryRouteIsInTheOpenAPIDocumentAndNoOther(t *testing.T) {
	t.Parallel()
	inCode, written := map[string]string{}, map[string]string{}
	for _, r := range routes(t) {
		inCode[r.name] = rolesOf[r.who]
	}
	for _, o := range ofDocument(t) {
		roles := "open"
		if len(o.Roles) > 0 {
			roles = "`" + strings.Join(o.Roles, "`, `") + "`"
		}
		require.Equal(t, len(o.Roles) == 0, o.Open, "%s: who is open to all asks for no key", o.Route)
		written[o.Route] = roles
	}
	require.Equal(t, inCode, written)
}

func TestEveryErrorCodeIsInTheOpenAPIDocumentAndNoOther(t *testing.T) {
	t.Parallel()
	var written []string
	for _, o := range ofDocument(t) {
		written = append(written, o.Codes...)
	}
	slices.Sort(written)
	// Those of requests that are for no operation are in the text at its head.
	require.ElementsMatch(t, codes(t), append(slices.Compact(written), "method_not_allowed"))
}

// codes are the codes of all problem documents: the string in a field named
// code or Code of a composite literal.
func codes(t *testing.T) []string {
	all := map[string]bool{}
	for _, folder := range append(stages(t), "internal/localaws/gateway") {
		inspect(t, folder, func(n ast.Node) {
			kv, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return
			}
			if name, ok := kv.Key.(*ast.Ident); !ok || !strings.EqualFold(name.Name, "code") {
				return
			}
			if s, ok := literal(kv.Value); ok {
				all[s] = true
			}
		})
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	return names
}

// stages are the folders whose errors callers of the API can see: all of the
// module's own but the stand-ins for AWS, whose codes are AWS's (but for the
// guard that stands before the API).
func stages(t *testing.T) []string {
	var all []string
	require.NoError(t, filepath.WalkDir(filepath.Join(root, "internal"), func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		if e.Name() == "localaws" || e.Name() == "testdata" || e.Name() == "faultwire" {
			return fs.SkipDir
		}
		if files, err := filepath.Glob(filepath.Join(p, "*.go")); err == nil && len(files) > 0 {
			folder, err := filepath.Rel(root, p)
			require.NoError(t, err)
			all = append(all, folder)
		}
		return nil
	}))
	return all
}

func TestEveryErrorCodeIsDocumentedAndNoOther(t *testing.T) {
	t.Parallel()
	all := codes(t)
	require.Greater(t, len(all), 20)
	require.ElementsMatch(t, all, parse(t, "docs/api.md").under(t, "Errors").column(1))
}

func TestEveryMetricIsDocumentedAndNoOther(t *testing.T) {
	t.Parallel()
	var all, documented []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\w+) (\w+)$`).FindAllStringSubmatch(read(t, "internal/metrics/testdata/metrics.txt"), -1) {
		all = append(all, m[1]+" "+m[2])
	}
	require.NotEmpty(t, all)
	for _, row := range parse(t, "docs/api.md").under(t, "`GET /metrics`").rows {
		name, _, _ := strings.Cut(code(row[0]), "{")
		kind, _, _ := strings.Cut(row[1], ":")
		documented = append(documented, name+" "+kind)
	}
	require.ElementsMatch(t, all, documented)
}

// rolesOf are the roles that the functions of the route table stand for, as
// they are written in the table of routes.
var rolesOf = map[string]string{
	"open": "open", "admin": "`admin`", "produce": "`admin`, `producer`", "view": "`admin`, `viewer`",
	"produceOrView": "`admin`, `viewer`, `producer`", "everyone": "`admin`, `producer`, `viewer`, `metrics`", "operate": "`admin`, `viewer`, `metrics`",
}

func TestEveryRouteSaysWhoMayCallIt(t *testing.T) {
	t.Parallel()
	inCode, written := map[string]string{}, map[string]string{}
	for _, r := range routes(t) {
		require.Contains(t, rolesOf, r.who, r.name)
		inCode[r.name] = rolesOf[r.who]
	}
	for _, row := range parse(t, "docs/api.md").under(t, "All routes").rows {
		written[code(row[0])] = row[1]
	}
	require.Equal(t, inCode, written)
}

// constants are the values of a package's string constants of a type.
func constants(t *testing.T, folder, typeName string) []string {
	var all []string
	inspect(t, folder, func(n ast.Node) {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return
		}
		if named, ok := spec.Type.(*ast.Ident); !ok || named.Name != typeName {
			return
		}
		for _, v := range spec.Values {
			s, ok := literal(v)
			require.True(t, ok, typeName)
			all = append(all, s)
		}
	})
	require.NotEmpty(t, all, typeName)
	return all
}

// tableOf is the table under a heading whose first column has that head.
func (d *document) tableOf(t *testing.T, heading, head string) table {
	t.Helper()
	for _, tab := range d.tables {
		if tab.heading == heading && tab.head[0] == head {
			return tab
		}
	}
	require.Fail(t, "no table", "%s: of %s under %q", d.path, head, heading)
	return table{}
}

func TestEveryStatusIsDocumentedAndNoOther(t *testing.T) {
	t.Parallel()
	d := parse(t, "docs/api.md")
	require.ElementsMatch(t, constants(t, "internal/hook", "Status"), d.tableOf(t, "`GET /api/v1/deliveries/{id}`", "status").column(0))
	require.ElementsMatch(t, constants(t, "internal/hook", "EndpointStatus"), d.tableOf(t, "`POST /api/v1/webhooks`", "status").column(0))
}

func TestEveryKindOfJobIsDocumentedAndNoOther(t *testing.T) {
	t.Parallel()
	inCode, written := map[string]string{}, map[string]string{}
	for _, kind := range constants(t, "internal/hook", "JobKind") {
		inCode[kind] = map[bool]string{true: "yes", false: "no"}[hook.JobKind(kind).Cancellable()]
	}
	for _, row := range parse(t, "docs/api.md").under(t, "Jobs").rows {
		written[code(row[0])] = row[3]
	}
	require.Equal(t, inCode, written)
}

func TestEveryEventOfOursIsDocumentedAndNoOther(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, hook.OperationalTypes(), parse(t, "docs/api.md").under(t, "Posthorn's own events").column(0))
}

// What an answer means is written in the words of the code, for every status.
func TestWhatEveryAnswerMeansIsDocumented(t *testing.T) {
	t.Parallel()
	words := map[retry.Meaning]string{retry.Taken: "delivered", retry.Gone: "dead", retry.Busy: "tried again, after `Retry-After`", retry.Failed: "tried again"}
	written := map[string]string{}
	for _, row := range parse(t, "docs/api.md").under(t, "What an answer means").rows {
		for _, m := range spanForm.FindAllStringSubmatch(row[0], -1) {
			written[m[1]] = row[1]
		}
		written[row[0]] = row[1]
	}
	for status := 100; status < 600; status++ {
		said, ok := written[strconv.Itoa(status)]
		if !ok {
			said, ok = written[fmt.Sprintf("%dxx", status/100)]
		}
		if !ok {
			said = written["any other"]
		}
		require.Equal(t, words[retry.MeaningOf(status)], said, status)
	}
	require.Equal(t, words[retry.MeaningOf(0)], written["none"], "no answer")
}
