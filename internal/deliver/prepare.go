package deliver

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"posthorn/internal/deliver/breaker"
	"posthorn/internal/hook"
)

// prepare reads what some jobs are decided by, decides what is to be done with
// each, and asks the breakers and rate limits for those that are to be posted.
// A message is decided once, by one view of its delivery and one moment.
func (b *batch) prepare(ctx context.Context, jobs []*job) error {
	return b.guard(ctx, "preparation", func() error {
		if err := b.read(ctx, jobs); err != nil {
			return err
		}
		now := b.Now()
		posts := make(map[string][]*job, 1) // by endpoint
		for _, j := range jobs {
			j.verdict, j.until = Decide(j.row, j.message, j.received.MessageID, j.endpoint, now)
			if j.verdict == Post {
				posts[j.endpoint.ID] = append(posts[j.endpoint.ID], j)
			}
		}
		b.admit(ctx, posts, now)
		return nil
	})
}

// read gets the rows, states and endpoints of some jobs, at the same time.
func (b *batch) read(ctx context.Context, jobs []*job) error {
	refs := make([]hook.Ref, len(jobs))
	sets := make(map[string]*hook.EndpointSet, 1)
	for i, j := range jobs {
		refs[i] = j.message.Ref
		sets[j.message.Tenant] = nil
	}
	var (
		wg      sync.WaitGroup
		rows    []*hook.Delivery
		states  []hook.EndpointState
		rowsErr error
		setErr  error
	)
	wg.Go(func() {
		rowsErr = b.guard(ctx, "read of rows", func() (err error) {
			rows, states, err = b.Rows.DeliveriesAndStates(ctx, refs)
			return err
		})
	})
	for tenant := range sets {
		set, err := b.Endpoints.EndpointSet(ctx, tenant)
		if err != nil {
			setErr = fmt.Errorf("read endpoints: %w", err)
			break
		}
		sets[tenant] = set
	}
	wg.Wait()
	if rowsErr != nil {
		rowsErr = fmt.Errorf("read rows: %w", rowsErr)
	}
	if err := errors.Join(rowsErr, setErr); err != nil {
		return err
	}
	for i, j := range jobs {
		j.row, j.state, j.endpoint = rows[i], states[i], sets[j.message.Tenant].ByID(j.message.EndpointID)
		if j.endpoint != nil {
			j.state = breaker.In(j.state, j.endpoint.Seen())
		}
	}
	return nil
}
