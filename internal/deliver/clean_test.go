package deliver_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// logged are the lines of a log, by message.
func logged(t *testing.T, text []byte) map[string][]map[string]any {
	t.Helper()
	all := map[string][]map[string]any{}
	for line := range bytes.Lines(text) {
		var fields map[string]any
		require.NoError(t, json.Unmarshal(line, &fields))
		msg := fields["msg"].(string)
		all[msg] = append(all[msg], fields)
	}
	return all
}

func TestCleanSuccessesOfABatchAreOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		var log bytes.Buffer
		w.d.Log = slog.New(slog.NewJSONHandler(&log, nil))
		batch := w.many(10, func(int, *hook.Message) {})
		require.Empty(t, w.d.Deliver(t.Context(), batch))
		lines := logged(t, log.Bytes())
		require.Empty(t, lines["attempt"])
		require.Len(t, lines["delivered"], 1)
		require.EqualValues(t, 10, lines["delivered"][0]["count"])
		var ids []string
		for _, one := range lines["delivered"][0]["deliveries"].([]any) {
			d := one.(map[string]any)
			ids = append(ids, d["id"].(string))
			require.EqualValues(t, 200, d["status_code"])
			require.Equal(t, "order.created", d["event_type"])
			require.Contains(t, d, "duration_ms")
		}
		var want []string
		for ref := range w.rows {
			want = append(want, ref.ID())
		}
		require.ElementsMatch(t, want, ids)
	})
}

// Whatever is not as usual has a line of its own, which says all there is.
func TestWhatIsNoCleanSuccessHasALineOfItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(w *world, m *hook.Message)
		receive int
	}{
		"it failed":             {func(w *world, _ *hook.Message) { w.answers[0] = fails503 }, 1},
		"it was received again": {func(*world, *hook.Message) {}, 2},
		"a copy":                {func(_ *world, m *hook.Message) { m.Hop = 1 }, 1},
		"it was sent again":     {func(_ *world, m *hook.Message) { m.Gen = 1 }, 1},
		"it could not be stored": {func(w *world, _ *hook.Message) {
			for n := range 5 {
				w.fault("save", n, fails)
			}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, ok200)
				var log bytes.Buffer
				w.d.Log = slog.New(slog.NewJSONHandler(&log, nil))
				m := w.message()
				c.change(w, m)
				w.deliver(m, "m", c.receive)
				lines := logged(t, log.Bytes())
				require.Len(t, lines["attempt"], 1)
				require.Equal(t, m.ID(), lines["attempt"][0]["delivery_id"])
				require.Empty(t, lines["delivered"])
			})
		})
	}
}
