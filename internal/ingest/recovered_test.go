package ingest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What panics in a goroutine of its own is an error of its event, and not the
// end of the process.
func TestAPanicIsATroubleOfItsEvent(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "key"} {
		w := newWorld(endpoint(1, "*"))
		in := w.ingester()
		w.faults["put"] = panics
		_, err := in.Accept(t.Context(), tenant, request("a", `{}`, key))
		require.ErrorContains(t, err, "panic: boom")
		again, err := in.Accept(t.Context(), tenant, request("a", `{}`, key))
		require.NoError(t, err)
		w.requireDelivered(t, again)
	}

	w := newWorld(endpoint(1, "*"))
	w.faults["mark"] = panics
	a, err := w.ingester().Accept(t.Context(), tenant, request("a", `{}`, "key"))
	require.NoError(t, err, "everything was sent: the producer need not know")
	w.requireDelivered(t, a)
}
