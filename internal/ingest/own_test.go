package ingest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

func TestATestEventGoesToOneEndpointWhateverItsFilters(t *testing.T) {
	t.Parallel()
	one := endpoint(1, "order.created")
	one.Tenant = "acme"
	w := newWorld(one, endpoint(2, "*"))
	a, err := w.ingester().Test(t.Context(), one)
	require.NoError(t, err)
	require.Equal(t, "posthorn.test", a.Event.Type)
	require.Equal(t, []string{one.ID}, a.Event.EndpointIDs)
	require.Len(t, w.sent, 1)
	require.Equal(t, one.ID, w.sent[0].EndpointID)
	w.requireDelivered(t, a)
}

var notice = hook.Notice{Tenant: "acme", Type: hook.NoticeDisabled, EndpointID: endpoint(1).ID, Key: "ep_1 disabled 3", Fields: map[string]any{"reason": "HTTP 410: Gone"}}

func TestANoticeGoesToThoseThatNameItsTypeAndNotToTheOneItIsAbout(t *testing.T) {
	t.Parallel()
	w := newWorld(
		endpoint(1, hook.NoticeDisabled), // it is about this one
		endpoint(2, "*"),
		endpoint(3, hook.NoticeDisabled),
		endpoint(4, "posthorn.endpoint.*"),
		endpoint(5, hook.NoticeDead),
	)
	require.NoError(t, w.ingester().Notify(t.Context(), notice))
	require.Len(t, w.sent, 2)
	require.Equal(t, endpoint(3).ID, w.sent[0].EndpointID)
	require.Equal(t, endpoint(4).ID, w.sent[1].EndpointID)
	for _, e := range w.events {
		require.JSONEq(t, `{"reason":"HTTP 410: Gone"}`, string(e.Payload()))
	}
}

func TestANoticeThatNobodyNamesWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(endpoint(1, hook.NoticeDisabled), endpoint(2, "*"))
	require.NoError(t, w.ingester().Notify(t.Context(), notice))
	require.Empty(t, w.events)
	require.Empty(t, w.sent)
}

func TestTheSameNoticeAgainIsTheSameEvent(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"", "endpoints", "put", "send last", "mark"} {
		for _, f := range []fault{failed, lost} {
			w := newWorld(endpoint(3, hook.NoticeDisabled))
			in := w.ingester()
			w.faults[op] = f
			if err := in.Notify(t.Context(), notice); err != nil {
				require.ErrorIs(t, err, errFault)
			}
			w.sleep(1_000_000_000)
			require.NoError(t, in.Notify(t.Context(), notice), op)
			require.Len(t, w.events, 1, "%s %d", op, f)
			require.NotEmpty(t, w.sent)
			if op == "" {
				require.Len(t, w.sent, 1, "what is marked as sent is not sent again")
			}
		}
	}
}

// A producer's key cannot be that of a notice: theirs are printable.
func TestProducersCannotTakeANoticesKey(t *testing.T) {
	t.Parallel()
	w := newWorld(endpoint(3, "*", hook.NoticeDisabled))
	in := w.ingester()
	_, err := in.Accept(t.Context(), "acme", Request{EventType: "a", Payload: []byte(`{}`), ProducerID: ownKeyPrefix + notice.Type + " " + notice.Key})
	require.Error(t, err)
	_, err = in.Accept(t.Context(), "acme", Request{EventType: "a", Payload: []byte(`{}`), ProducerID: notice.Type + " " + notice.Key})
	require.NoError(t, err)
	require.NoError(t, in.Notify(t.Context(), notice))
	require.Len(t, w.events, 2)
}
