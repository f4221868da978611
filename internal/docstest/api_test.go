package docstest

import (
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
)

// inspect walks the code of a package, without its tests.
func inspect(t *testing.T, folder string, visit func(ast.Node)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files, folder)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			visit(n)
			return true
		})
	}
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

// routes are the routes that internal/httpapi registers: calls of route with a
// path and a map of methods.
func routes(t *testing.T) []string {
	var all []string
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
			method, ok := literal(e.(*ast.KeyValueExpr).Key)
			require.True(t, ok)
			all = append(all, method+" "+path)
		}
	})
	return all
}

var routeForm = regexp.MustCompile("^`((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)`$")

func TestEveryRouteIsDocumentedAndNoOther(t *testing.T) {
	t.Parallel()
	all := routes(t)
	require.Greater(t, len(all), 10)
	var documented []string
	for _, h := range parse(t, "docs/api.md").headings {
		if m := routeForm.FindStringSubmatch(h.text); m != nil {
			documented = append(documented, m[1])
		}
	}
	require.ElementsMatch(t, all, documented)

	// What other documents call has to be there too.
	pathForm := regexp.MustCompile("^(?:(?:GET|POST|PUT|PATCH|DELETE) )?(/(?:api|test|health|ready|metrics)[^ ?]*)$")
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
