package faultpairs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// adapters are the packages that call AWS, seen from this one's folder.
var adapters = []string{"../dynamo", "../awssqs", "../seal"}

// offPath are the functions of the adapters with calls that no path makes: how
// many, and why.
var offPath = map[string]struct {
	calls int
	why   string
}{
	"dynamo.CreateTable":  {2, "it provisions; an account's table is the template's"},
	"dynamo.hasTTL":       {1, "it provisions"},
	"awssqs.CreateQueues": {1, "it provisions; an account's queues are the template's"},
	"awssqs.createQueue":  {2, "it provisions"},
	"awssqs.url":          {1, "in an account the URLs are in the environment"},
	"dynamo.TakeSweep":    {1, "a timer sweeps, in processes that stay: a table of internal/serve makes both of its calls fail"},
	"dynamo.EndSweep":     {1, "likewise"},
	"dynamo.Describe":     {3, "it examines what is deployed, for a person"},
	"awssqs.Describe":     {1, "likewise"},
	"seal.DescribeKey":    {1, "likewise"},
	"dynamo.putEvents":    {1, "DynamoDB refuses no batch for what is in it: what is too large was refused before"},
}

// sites are the places in the adapters' source that paths have called AWS from.
type sites struct {
	mu   sync.Mutex
	made map[string]bool // by "file:line"
}

// see notes where the call comes from that is being made: the SDK makes it in
// its caller's goroutine.
func (s *sites) see() {
	callers := make([]uintptr, 200)
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers)])
	for {
		frame, more := frames.Next()
		folder := filepath.Base(filepath.Dir(frame.File))
		if strings.HasPrefix(frame.Function, "posthorn/internal/") && slices.Contains(adapters, "../"+folder) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.made[fmt.Sprintf("%s/%s:%d", folder, filepath.Base(frame.File), frame.Line)] = true
			return
		}
		if !more {
			return
		}
	}
}

// callsInSource finds the calls of SDK clients in the adapters: the function
// that each is in, by "file:line".
func callsInSource(t *testing.T) map[string]string {
	found := map[string]string{}
	for _, folder := range adapters {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			parsed, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			for _, d := range parsed.Decls {
				in, isFunc := d.(*ast.FuncDecl)
				if !isFunc {
					continue
				}
				ast.Inspect(in, func(n ast.Node) bool {
					if call, isCall := n.(*ast.CallExpr); isCall && callsAClient(call) {
						at := set.Position(call.Lparen)
						found[fmt.Sprintf("%s/%s:%d", filepath.Base(folder), filepath.Base(file), at.Line)] = parsed.Name.Name + "." + in.Name.Name
					}
					return true
				})
			}
		}
	}
	return found
}

// callsAClient says whether a call is one of a method of an SDK client, which
// all of them are called.
func callsAClient(call *ast.CallExpr) bool {
	method, is := call.Fun.(*ast.SelectorExpr)
	if !is {
		return false
	}
	switch of := method.X.(type) {
	case *ast.SelectorExpr:
		return of.Sel.Name == "client"
	case *ast.Ident:
		return of.Name == "client"
	default:
		return false
	}
}

// everyCallIsMade checks that the paths make every call that is in the source,
// but for those that say why not.
func everyCallIsMade(t *testing.T, s *sites) {
	source := callsInSource(t)
	require.NotEmpty(t, source)
	missing := map[string][]string{}
	for at, in := range source {
		if !s.made[at] {
			missing[in] = append(missing[in], at)
		}
	}
	for in, at := range missing {
		if offPath[in].calls == 0 {
			t.Errorf("no path makes the calls in %s: %v", in, at)
		}
	}
	for in, off := range offPath {
		if len(missing[in]) != off.calls {
			t.Errorf("%s is to have %d calls that no path makes (%s), and has %v", in, off.calls, off.why, missing[in])
		}
	}
	for at := range s.made {
		if source[at] == "" {
			t.Errorf("%s: a call that is not found in the source", at)
		}
	}
}
