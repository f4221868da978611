package load

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBodiesHaveTheSizeAndNumberAskedFor(t *testing.T) {
	t.Parallel()
	for _, size := range []int{MinPayload, DefaultPayload, 1 << 10, MaxPayload} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			b := newBodies("loadtest.rabc", size)
			for _, seq := range []int{0, 7, 1234567890, 9999999999} {
				body := b.of(seq)
				var event struct {
					EventType string          `json:"event_type"`
					Payload   json.RawMessage `json:"payload"`
				}
				require.NoError(t, json.Unmarshal(body, &event))
				require.Equal(t, "loadtest.rabc", event.EventType)
				require.Len(t, event.Payload, size)
				got, ok := sequence(event.Payload)
				require.True(t, ok)
				require.Equal(t, seq, got)
			}
		})
	}
}

func TestBodiesDoNotShareMemory(t *testing.T) {
	t.Parallel()
	b := newBodies("x", MinPayload)
	one, two := b.of(1), b.of(2)
	got, ok := sequence(one)
	require.True(t, ok)
	require.Equal(t, 1, got)
	require.NotEqual(t, one, two)
}

func TestSequenceIsFoundInADeliveryOnly(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{
		`{"id":"evt_1","event":"x","timestamp":"t","data":{"loadtest_seq":"0000000042","filler":""}}`: 42,
		`{"loadtest_seq":"9999999999`:   9999999999,
		`{"loadtest_seq":"000000004"}`:  -1,
		`{"loadtest_seq":"00000000042`:  4,
		`{"loadtest_seq":"000000 042"}`: -1,
		`{"loadtest_seq":42}`:           -1,
		`{"id":"evt_1","data":{}}`:      -1,
		``:                              -1,
	} {
		seq, ok := sequence([]byte(body))
		require.Equal(t, want >= 0, ok, body)
		if ok {
			require.Equal(t, want, seq, body)
		}
	}
}

func TestTheAnswerToABatchIsReadEventByEvent(t *testing.T) {
	t.Parallel()
	const yes, no = `{"id":"evt_1","deliveries":[],"deliveries_total":0}`, `{"type":"about:blank","status":429,"code":"queue_full"}`
	for answer, want := range map[string][]string{
		`{"data":[` + yes + "," + yes + `]}`:             nil,
		`{"data":[` + yes + "," + no + `]}`:              {"", "429"},
		`{"data":[` + no + "," + no + `]}`:               {"429", "429"},
		`{"data":[` + yes + `]}`:                         {"answer", "answer"},
		`{"data":[` + yes + "," + yes + "," + yes + `]}`: {"answer", "answer"},
		`<html>`: {"answer", "answer"},
		``:       {"answer", "answer"},
	} {
		require.Equal(t, want, refusals([]byte(answer), 2), answer)
	}
}

func TestProblemIsOneLine(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`{"title":"Bad request","status":400,"detail":"must be https","code":"invalid_url","field":"url"}`: "url: must be https",
		`{"title":"Unauthorized","status":401}`: "Unauthorized",
		"<html>\n<h1>502</h1>\n</html>":         "<html> <h1>502</h1> </html>",
		"":                                      "",
	} {
		require.Equal(t, want, problem([]byte(answer)))
	}
}
