package ingest

import (
	"fmt"
	"runtime/debug"
)

// recovered calls do, and turns its panic into an error: in a goroutine of its own
// it would end the process, with all that others are about.
func recovered(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return do()
}
