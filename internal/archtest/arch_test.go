package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	root   = "../.."
	module = "posthorn"
)

// pkg is the part of a package that is no test.
type pkg struct {
	name    string
	files   map[string]*ast.File // by path from the module's root
	imports []string
}

// packages reads the module, by path from its root.
func packages(t *testing.T) map[string]*pkg {
	t.Helper()
	all := map[string]*pkg{}
	require.NoError(t, filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if file == root {
				return nil
			}
			_, err := os.Stat(filepath.Join(file, "go.mod")) // a module of its own
			if err == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		p := all[path.Dir(rel)]
		if p == nil {
			p = &pkg{name: f.Name.Name, files: map[string]*ast.File{}}
			all[path.Dir(rel)] = p
		}
		p.files[rel] = f
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if !slices.Contains(p.imports, imported) {
				p.imports = append(p.imports, imported)
			}
		}
		return nil
	}))
	require.NotEmpty(t, all)
	return all
}

// within says whether p is dir or below it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

func withinAny(p string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return within(p, dir) })
}

// own returns the path from the module's root of a package of ours.
func own(imported string) (string, bool) { return strings.CutPrefix(imported, module+"/") }

// standard says whether an import is the standard library's: its path does not
// begin with a host's name.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".") && first != module
}

// layers are the packages that may import some of ours only, beside what is
// below themselves. A package without a rule here may import any.
var layers = map[string][]string{
	"internal/hook":        nil,
	"internal/sign":        {"internal/hook"},
	"internal/ingest":      {"internal/hook"},
	"internal/deliver":     {"internal/hook"},
	"internal/deadletter":  {"internal/hook"},
	"internal/redrive":     {"internal/hook"},
	"internal/bulk":        {"internal/hook"},
	"internal/reconcile":   {"internal/hook"},
	"internal/metrics":     {"internal/hook"},
	"internal/lambdaevent": {"internal/hook"},
	"internal/id":          nil,
	"internal/stack":       nil,
	"internal/gather":      {"internal/stack"},
	"internal/serve":       {"internal/hook", "internal/lambdaevent", "internal/localaws/poller", "internal/localaws/schedule"},
	"internal/permit":      nil,
	"internal/load":        nil,
	"internal/gzipped":     nil,
	"internal/console":     {"internal/gzipped"},
	"internal/contract":    nil,
	"internal/client":      nil,
	"verify":               nil, // it is for others' programs
	// The API speaks of what the stages do, and knows of no store or queue.
	"internal/httpapi": {"internal/hook", "internal/ingest", "internal/gzipped"},
	// Settings are checked by those whose settings they are.
	"internal/config": {"config", "internal/hook", "internal/ingest", "internal/deliver/retry", "internal/deliver/breaker", "internal/seal"},
	// Adapters know what they carry and count, and no stage.
	"internal/dynamo": {"internal/hook", "internal/metrics", "internal/gather", "internal/stack"},
	"internal/awssqs": {"internal/hook", "internal/gather", "internal/stack"},
	"internal/seal":   {"internal/hook", "internal/gather"},
	// The stand-in for AWS knows nothing of Posthorn.
	"internal/localaws": nil,
}

func TestPackagesImportTheirOwnLayersOnly(t *testing.T) {
	t.Parallel()
	for dir, p := range packages(t) {
		for rule, allowed := range layers {
			if !within(dir, rule) {
				continue
			}
			for _, imported := range p.imports {
				if mine, ok := own(imported); ok && !within(mine, rule) {
					require.True(t, withinAny(mine, allowed), "%s imports %s", dir, imported)
				}
			}
		}
	}
}

// owners says who may import what comes from outside. What is not here is
// imported by nobody but tests. The longest prefix counts.
var owners = map[string][]string{
	"code.dny.dev/ssrf":                              {"internal/deliver/post"},
	"github.com/aws/aws-lambda-go":                   {"internal/lambdaevent", "internal/localaws", "internal/serve", "internal/wire", "functions", "cmd/posthorn"},
	"github.com/awslabs/aws-lambda-go-api-proxy":     {"internal/lambdaevent"},
	"github.com/aws/aws-sdk-go-v2/aws":               {"internal/dynamo", "internal/awssqs", "internal/seal", "internal/wire"},
	"github.com/aws/aws-sdk-go-v2/config":            {"internal/wire"},
	"github.com/aws/aws-sdk-go-v2/credentials":       {"internal/wire"},
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb":  {"internal/dynamo"},
	"github.com/aws/aws-sdk-go-v2/service/dynamodb":  {"internal/dynamo"},
	"github.com/aws/aws-sdk-go-v2/service/sqs":       {"internal/awssqs"},
	"github.com/aws/aws-sdk-go-v2/service/kms":       {"internal/seal"},
	"github.com/aws/smithy-go":                       {"internal/dynamo", "internal/awssqs", "internal/seal", "internal/wire"},
	"github.com/cockroachdb/pebble":                  {"internal/localaws/store"},
	"github.com/oklog/ulid":                          {"internal/id"},
	"github.com/getkin/kin-openapi":                  {"internal/contract"},
	"github.com/santhosh-tekuri/jsonschema":          {"internal/contract"},
	"github.com/schollz/progressbar":                 {"cmd/posthorn"},
	"github.com/spf13/cobra":                         {"cmd/posthorn", "cmd/loadtest"},
	"github.com/spf13/pflag":                         {"cmd/posthorn", "cmd/loadtest"},
	"github.com/standard-webhooks/standard-webhooks": {"internal/chaos"},
	"go.yaml.in/yaml":                                {"internal/config", "internal/permit", "internal/cost", "internal/contract", "cmd/posthorn"},
	"gonum.org/v1/plot":                              {"cmd/simulate"},
	"golang.org/x/term":                              {"cmd/posthorn"},
	"golang.org/x/time":                              {"internal/localaws/gateway"},
}

func TestWhatComesFromOutsideHasAnOwner(t *testing.T) {
	t.Parallel()
	for dir, p := range packages(t) {
		for _, imported := range p.imports {
			if _, ok := own(imported); ok || standard(imported) {
				continue
			}
			longest := ""
			for prefix := range owners {
				if within(imported, prefix) && len(prefix) > len(longest) {
					longest = prefix
				}
			}
			require.NotEmpty(t, longest, "%s imports %s, which has no owner", dir, imported)
			require.True(t, withinAny(dir, owners[longest]), "%s imports %s, which belongs to %v", dir, imported, owners[longest])
		}
	}
}

// Stages stand on the standard library. The one thing from outside is the list
// of addresses that may not be dialled.
func TestStagesKnowNothingFromOutside(t *testing.T) {
	t.Parallel()
	stages := []string{"verify", "internal/hook", "internal/sign", "internal/ingest", "internal/deliver", "internal/deadletter", "internal/redrive", "internal/bulk", "internal/reconcile", "internal/metrics", "internal/httpapi"}
	for dir, p := range packages(t) {
		if !withinAny(dir, stages) {
			continue
		}
		for _, imported := range p.imports {
			if _, ok := own(imported); ok || standard(imported) || dir == "internal/deliver/post" && imported == "code.dny.dev/ssrf" {
				continue
			}
			require.Fail(t, "a stage imports something from outside", "%s imports %s", dir, imported)
		}
	}
}

// What is deployed holds none of what is for laptops and tests.
func TestFunctionsHoldNothingLocal(t *testing.T) {
	t.Parallel()
	all := packages(t)
	from := map[string]string{}
	var todo []string
	for dir := range all {
		if within(dir, "functions") {
			todo, from[dir] = append(todo, dir), "itself"
		}
	}
	require.Len(t, todo, 3)
	for len(todo) > 0 {
		dir := todo[0]
		todo = todo[1:]
		require.False(t, withinAny(dir, []string{"internal/localaws", "internal/faultwire", "internal/load", "internal/chaos", "internal/e2e", "internal/contract", "cmd"}),
			"a function holds %s through %s", dir, from[dir])
		for _, imported := range all[dir].imports {
			if mine, ok := own(imported); ok && from[mine] == "" {
				require.Contains(t, all, mine)
				todo, from[mine] = append(todo, mine), dir
			}
		}
	}
	require.Contains(t, from, "internal/deliver", "the walk goes down")
}

func TestMainsAreSmall(t *testing.T) {
	t.Parallel()
	for dir, p := range packages(t) {
		if !within(dir, "functions") {
			continue
		}
		require.Equal(t, "main", p.name, dir)
		require.Len(t, p.files, 1, dir)
		require.LessOrEqual(t, len(p.imports), 8, "%s: config, wire, start", dir)
	}
}

func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	for dir, p := range packages(t) {
		for _, vague := range []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base", "lib"} {
			require.NotEqual(t, vague, p.name, dir)
			require.NotEqual(t, vague, path.Base(dir), dir)
		}
		documented := false
		for _, f := range p.files {
			documented = documented || f.Doc != nil
		}
		require.True(t, documented, "%s has no package comment", dir)
	}
}

// No code runs before main, linters have no exceptions, and nothing is left for
// later.
func TestHouseRules(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for name, f := range p.files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
					require.NotEqual(t, "init", fn.Name.Name, name)
				}
			}
			for _, group := range f.Comments {
				for _, c := range group.List {
					for _, mark := range []string{"nolint", "TODO", "FIXME"} {
						require.NotContains(t, c.Text, mark, name)
					}
				}
			}
		}
	}
}
