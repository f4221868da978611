package deliver

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// errPanic is what became of something that panicked.
var errPanic = errors.New("panicked")

// guard calls do. A panic becomes an error, a trouble of our own like any other,
// and is logged with its stack: it must not take along the other messages of the
// batch, or the process.
func (d *Deliverer) guard(ctx context.Context, what string, do func() error, attrs ...any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			attrs = append(attrs, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			d.Log.ErrorContext(ctx, what+" panicked", attrs...)
			err = fmt.Errorf("%s %w", what, errPanic)
		}
	}()
	return do()
}
