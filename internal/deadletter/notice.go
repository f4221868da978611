package deadletter

import (
	"context"
	"fmt"
	"strings"
	"time"

	"posthorn/internal/hook"
)

// tellDeath tells of a new entry, before it is made: the notice is the same
// however often the entry is made. Deaths of Posthorn's own events are not told
// of: two endpoints that fail would go on telling each other.
func (s *Sweeper) tellDeath(ctx context.Context, e *hook.DeadLetter) error {
	if strings.HasPrefix(e.EventType, hook.ReservedTypePrefix) {
		return nil
	}
	err := s.Notifier.Notify(ctx, hook.Notice{
		Tenant: e.Tenant, Type: hook.NoticeDead, EndpointID: e.EndpointID, Key: e.ID,
		Fields: map[string]any{
			"dead_letter_id": e.ID, "delivery_id": e.Ref.ID(), "event_id": e.EventID, "endpoint_id": e.EndpointID, "endpoint_url": e.EndpointURL,
			"event_type": e.EventType, "failure_reason": e.FailureReason, "attempts": e.Attempts,
		},
	})
	if err != nil {
		return fmt.Errorf("tell of the death of %s: %w", e.Ref.ID(), err)
	}
	return nil
}

// tellGrowth tells, once an hour, of tenants that have many new entries. It is
// a hint, and nothing is held up by it.
func (s *Sweeper) tellGrowth(ctx context.Context, now time.Time, grown map[string]int) {
	if s.GrowthNotice <= 0 {
		return
	}
	hour := now.UTC().Truncate(time.Hour)
	for tenant, n := range grown {
		if err := s.tellGrowthOf(ctx, tenant, hour, n); err != nil {
			s.Log.WarnContext(ctx, "growth of the dead letters not told", "tenant", tenant, "error", err)
		}
	}
}

func (s *Sweeper) tellGrowthOf(ctx context.Context, tenant string, hour time.Time, n int) error {
	set, err := s.Endpoints.EndpointSet(ctx, tenant)
	if err != nil {
		return fmt.Errorf("read endpoints: %w", err)
	}
	told := false
	for _, e := range set.Endpoints {
		told = told || e.Matches(hook.NoticeGrowing)
	}
	if !told {
		return nil // nobody wants to know: nothing is counted
	}
	total, err := s.Growth.GrowDeadLetters(ctx, tenant, hour, n)
	if err != nil {
		return err
	}
	if total < s.GrowthNotice {
		return nil
	}
	return s.Notifier.Notify(ctx, hook.Notice{
		Tenant: tenant, Type: hook.NoticeGrowing, Key: hook.FormatTime(hour),
		Fields: map[string]any{"entries": total, "since": hook.FormatTime(hour)},
	})
}
