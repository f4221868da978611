package faultpairs

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"testing"

	"posthorn/internal/permit"
)

// policies are what the template lets the functions do. They hold on every
// walk.
var policies *permit.Policies

func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(400) // thousands of small accounts: collecting after each is a seventh of the time
	os.Exit(func() int {
		var err error
		if policies, err = permit.Read("../../template.yaml"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		status := m.Run()
		for _, g := range policies.Refused() {
			fmt.Fprintf(os.Stderr, "template.yaml does not allow %s\n", g)
			status = 1
		}
		return status
	}())
}
