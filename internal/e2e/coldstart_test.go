package e2e

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/localaws/runtimeapi"
)

// BenchmarkColdStart is the time from the start of a function's process to its
// first request for an invocation. An operation is one start, kill included;
// the metric is the start alone.
func BenchmarkColdStart(b *testing.B) {
	refusing := httptest.NewServer(http.NotFoundHandler()) // a service that refuses every call
	b.Cleanup(refusing.Close)
	for _, name := range []string{"api", "deliver", "dlq-sweeper"} {
		b.Run(name, func(b *testing.B) {
			f, err := runtimeapi.New(runtimeapi.Options{
				Name: name, Path: filepath.Join(bin, name, "bootstrap"),
				Env: []string{
					"AWS_ENDPOINT_URL=" + refusing.URL, "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
					"POSTHORN_TABLE=posthorn", "POSTHORN_QUEUE_URL=http://127.0.0.1:1/0/q", "POSTHORN_DLQ_URL=http://127.0.0.1:1/0/d",
					"POSTHORN_KMS_KEY_ID=alias/posthorn",
				},
				Timeout: time.Minute,
			})
			require.NoError(b, err)
			b.Cleanup(f.Close)
			for b.Loop() {
				if _, err := f.Invoke(b.Context(), []byte(`{}`)); err != nil {
					var fe *runtimeapi.FunctionError
					require.ErrorAs(b, err, &fe)
					require.Equal(b, runtimeapi.KindUnhandled, fe.Kind, err) // the sweeper is refused its queue
				}
				f.KillAll()
			}
			starts := f.ColdStarts()
			slices.Sort(starts)
			b.ReportMetric(float64(starts[len(starts)/2].Microseconds())/1000, "start-p50-ms")
			b.ReportMetric(float64(starts[len(starts)*95/100].Microseconds())/1000, "start-p95-ms")
		})
	}
}
