package templatetest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sources parses the Go files of a folder that are no tests, or only those
// named.
func sources(t *testing.T, dir string, names ...string) []*ast.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var files []*ast.File
	for _, path := range paths {
		name := filepath.Base(path)
		if strings.HasSuffix(name, "_test.go") || len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, f)
	}
	require.NotEmpty(t, files, dir)
	return files
}

// constant finds the expression of a constant.
func constant(t *testing.T, dir, name string) ast.Expr {
	t.Helper()
	for _, f := range sources(t, dir) {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				if i := slices.IndexFunc(v.Names, func(n *ast.Ident) bool { return n.Name == name }); i >= 0 && i < len(v.Values) {
					return v.Values[i]
				}
			}
		}
	}
	require.Fail(t, "no such constant", "%s in %s", name, dir)
	return nil
}

func intConst(t *testing.T, dir, name string) int {
	t.Helper()
	lit, ok := constant(t, dir, name).(*ast.BasicLit)
	require.True(t, ok, name)
	n, err := strconv.Atoi(lit.Value)
	require.NoError(t, err)
	return n
}

func stringConst(t *testing.T, dir, name string) string {
	t.Helper()
	lit, ok := constant(t, dir, name).(*ast.BasicLit)
	require.True(t, ok, name)
	s, err := strconv.Unquote(lit.Value)
	require.NoError(t, err)
	return s
}

// secondsConst reads a constant of the form 5 * time.Second.
func secondsConst(t *testing.T, dir, name string) int {
	t.Helper()
	product, ok := constant(t, dir, name).(*ast.BinaryExpr)
	require.True(t, ok, name)
	unit, ok := product.Y.(*ast.SelectorExpr)
	require.True(t, ok && unit.Sel.Name == "Second", name)
	n, err := strconv.Atoi(product.X.(*ast.BasicLit).Value)
	require.NoError(t, err)
	return n
}

// interfaceMethods are the methods of every interface in the files.
func interfaceMethods(files []*ast.File) []string {
	var names []string
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if i, ok := n.(*ast.InterfaceType); ok {
				for _, m := range i.Methods.List {
					for _, name := range m.Names {
						names = append(names, name.Name)
					}
				}
			}
			return true
		})
	}
	return names
}

// calledOn are the methods that the files call, or pass on, of what is named
// x: of a.table and f.table where x is "table".
func calledOn(files []*ast.File, x string) []string {
	var names []string
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if on, ok := s.X.(*ast.SelectorExpr); ok && on.Sel.Name == x {
					names = append(names, s.Sel.Name)
				}
			}
			return true
		})
	}
	return names
}

// set is a set of names.
type set map[string]bool

func (s set) add(names ...string) {
	for _, n := range names {
		s[n] = true
	}
}

func (s set) sorted() []string { return slices.Sorted(maps.Keys(s)) }

// adapter is what the functions of a package that speaks to a service do, read
// from its source: which operations of the service each calls, and which other
// functions it uses. Methods, and fields of a receiver, are named with a dot
// before them. It may find more than there is, since a function that is named
// counts as used.
type adapter struct {
	exported set            // methods, without the dot
	uses     map[string]set // by function, or by field that New ties to methods
	calls    map[string]set // by function: operations of the service
	types    map[string]set // by function: types of the service that it names, such as Delete
}

func readAdapter(t *testing.T, dir string) *adapter {
	t.Helper()
	a := &adapter{exported: set{}, uses: map[string]set{}, calls: map[string]set{}, types: map[string]set{}}
	for _, f := range sources(t, dir) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				a.function(fn)
			}
		}
	}
	return a
}

func (a *adapter) function(fn *ast.FuncDecl) {
	name, receiver := fn.Name.Name, ""
	if fn.Recv != nil {
		if fn.Name.IsExported() {
			a.exported.add(name)
		}
		name = "." + name
		if names := fn.Recv.List[0].Names; len(names) == 1 {
			receiver = names[0].Name
		}
	}
	for _, m := range []map[string]set{a.uses, a.calls, a.types} {
		if m[name] == nil {
			m[name] = set{}
		}
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt: // t.rows = gather.New(..., t.readRows): who uses rows uses readRows
			if field, ok := n.Lhs[0].(*ast.SelectorExpr); ok && name == "New" {
				a.uses["."+field.Sel.Name] = selected(n.Rhs)
			}
		case *ast.SelectorExpr:
			if on, ok := n.X.(*ast.SelectorExpr); ok && on.Sel.Name == "client" {
				a.calls[name].add(n.Sel.Name)
			}
			if on, ok := n.X.(*ast.Ident); ok {
				switch on.Name {
				case "client":
					a.calls[name].add(n.Sel.Name)
				case "types":
					a.types[name].add(n.Sel.Name)
				case receiver:
					a.uses[name].add("." + n.Sel.Name)
				}
			}
		case *ast.Ident:
			a.uses[name].add(n.Name)
		}
		return true
	})
}

// selected are the methods and fields that the expressions select.
func selected(exprs []ast.Expr) set {
	names := set{}
	for _, e := range exprs {
		ast.Inspect(e, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				names.add("." + s.Sel.Name)
			}
			return true
		})
	}
	return names
}

// reach is everything that a method uses, itself included. Fields that are tied
// to nothing are in it too.
func (a *adapter) reach(method string) set {
	seen := set{}
	for names := []string{"." + method}; len(names) > 0; {
		name := names[len(names)-1]
		names = names[:len(names)-1]
		if !seen[name] {
			seen.add(name)
			names = append(names, a.uses[name].sorted()...)
		}
	}
	return seen
}
