package chaos

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/permit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The short form: `make chaos` is the long one. A seed that fails is worth
// keeping: cmd/chaos takes it.
func TestNothingIsLostWhenEverythingBreaks(t *testing.T) {
	t.Parallel()
	o := Short()
	o.Seed, o.Functions = 1, t.TempDir()
	var err error
	o.Policies, err = permit.Read("../../template.yaml")
	require.NoError(t, err)
	require.NoError(t, Build(t.Context(), o.Functions, false))
	result, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.NotEmpty(t, o.Policies.Used(), "nobody asked for a right")
	var text bytes.Buffer
	require.NoError(t, result.WriteText(&text))
	require.NoError(t, result.Verdict(), text.String())
	require.Zero(t, result.Lost)
	require.Equal(t, o.Events, result.Events)
	require.Equal(t, result.Owed, result.Delivered+result.Dead, text.String())
	require.Greater(t, result.LogLines, result.Events, "nobody logged")
	for _, what := range []string{
		"AWS calls throttled", "AWS calls failed", "AWS answers lost", "AWS calls that failed with all retries", "AWS calls slow", "environments killed", "batches delivered twice", "secrets rotated", "replays of all dead letters",
	} {
		require.NotEmpty(t, result.Injected[what], "%s: it did not happen\n%s", what, text.String())
	}
}

func TestALineThatShowsWhatItMustNotIsWrong(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("5e", 32)
	for line, shows := range map[string]bool{
		`{"msg":"attempt","delivery_id":"dlv_one","status":"delivered"}` + "\n":                                                                false,
		`{"msg":"attempt","error":"Post \"http://127.0.0.1:80/e/1?token=planted-query-of-1\": EOF"}` + "\n":                                    true,
		"goroutine 1 [running]:\nsign(\"planted-secret-of-3\")\n":                                                                              true,
		`{"msg":"event accepted","payload":{"n":1,"text":"planted planted "}}` + "\n":                                                          true,
		`{"msg":"request","headers":{"Authorization":"Bearer ph_01JCXZ5T5V8Q0R9A1B2C3D4E5F_` + key + `"}}` + "\n":                              true,
		`{"msg":"API key created","key_id":"01JCXZ5T5V8Q0R9A1B2C3D4E5F"}` + "\n" + `{"msg":"attempt","response_body":"planted answer"}` + "\n": true,
	} {
		s := &secrecy{ledger: newLedger(), key: []byte(key)}
		s.read("somebody", []byte(line))
		require.Equal(t, shows, len(s.ledger.wrong) > 0, line)
		require.EqualValues(t, strings.Count(line, "\n"), s.lines.Load())
	}
}

func TestTheSameSeedMakesTheSameChoices(t *testing.T) {
	t.Parallel()
	a, b, other := dice(7), dice(7), dice(8)
	differ := 0
	for n := range 1000 {
		roll := a.roll("a", n)
		require.Equal(t, roll, b.roll("a", n))
		require.True(t, 0 <= roll && roll < 1)
		if roll != other.roll("a", n) && roll != a.roll("b", n) {
			differ++
		}
	}
	require.Equal(t, 1000, differ)
}

func TestSharesAreWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	hits := 0
	for n := range 100_000 {
		if dice(3).roll("share", n) < 0.02 {
			hits++
		}
	}
	require.InDelta(t, 2000, hits, 200)
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		set   func(*Options)
		wrong string
	}{
		{"no events", func(o *Options) { o.Events = 0 }, "events"},
		{"too few endpoints", func(o *Options) { o.Endpoints = 3 }, "endpoints"},
		{"more endpoints than an answer lists", func(o *Options) { o.Endpoints = 101 }, "endpoints"},
		{"clocks too far off", func(o *Options) { o.Skew = 3e9 }, "skew"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := Short()
			c.set(&o)
			require.ErrorContains(t, o.Check(), c.wrong)
			_, err := Run(t.Context(), o)
			require.ErrorContains(t, err, c.wrong)
		})
	}
	require.NoError(t, Full().Check())
	require.NoError(t, Middle().Check())
}

func TestAFunctionThatCannotStartOrPanicsIsUnexpected(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"SDK 2030/01/01 00:00:00 WARN failed to close HTTP response body\n":                                      false,
		`2030/01/01 00:00:00 {"errorMessage":"sweep: receive: it is out","errorType":"wrapError"}`:               false,
		`2030/01/01 00:00:00 {"errorMessage":"nil map","errorType":"plainError","stackTrace":[{"path":"x.go"}]}`: true,
		"configuration: 1 mistake\n":           true,
		"panic: nil map\n":                     true,
		"fatal error: concurrent map writes\n": true,
	} {
		require.Equal(t, want, unexpected([]byte(line)), line)
	}
}
