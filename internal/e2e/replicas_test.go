package e2e

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/config"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/wire"
)

// BenchmarkReplicas measures what 1, 2 and 4 processes of `posthorn serve`
// deliver a second to receivers that take 100 ms for each post. Each has so few
// workers that these bound it and not the processor: 8, which make 80 posts a
// second at most. All events wait in the queue before the first process starts;
// the rate is that from the first arrival to the last.
func BenchmarkReplicas(b *testing.B) {
	const workers, took, endpoints, deliveries = 8, 100 * time.Millisecond, 8, 800
	for _, n := range []int{1, 2, 4} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				slow := newSlow(b, took)
				s := share(b, 4*time.Minute)
				s.env["WEBHOOK_WORKER_COUNT"], s.env["POSTHORN_ALLOW_PORTS"] = strconv.Itoa(workers), slow.port(b)
				s.fill(slow.server.URL, endpoints, deliveries)
				replicas := make([]*replica, n)
				for i := range replicas {
					replicas[i] = s.replica(nil)
				}
				require.Eventually(b, func() bool { return slow.arrived() >= deliveries }, patience, 10*time.Millisecond)
				for _, r := range replicas {
					r.terminate()
				}
				for _, r := range replicas {
					r.ends()
				}
				require.Equal(b, deliveries, slow.arrived(), "nothing is posted twice")
				b.ReportMetric((deliveries-1)/slow.last.Sub(slow.first).Seconds(), "deliveries/s")
			}
		})
	}
}

// slowReceiver answers each post after a while.
type slowReceiver struct {
	server *httptest.Server

	mu          sync.Mutex
	n           int
	first, last time.Time
}

func newSlow(t testing.TB, took time.Duration) *slowReceiver {
	s := &slowReceiver{}
	s.server = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		<-time.After(took)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.n++
		s.last = time.Now()
		if s.n == 1 {
			s.first = s.last
		}
	}))
	t.Cleanup(s.server.Close)
	return s
}

func (s *slowReceiver) arrived() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

func (s *slowReceiver) port(t testing.TB) string {
	u, err := url.Parse(s.server.URL)
	require.NoError(t, err)
	return u.Port()
}

// fill registers endpoints at a URL and has so many deliveries to them wait in
// the queue, by an API that has no workers beside it.
func (s *shared) fill(at string, endpoints, deliveries int) {
	s.t.Helper()
	cfg, err := config.Load(config.Serve, config.Source{Getenv: func(name string) string { return s.env[name] }})
	require.NoError(s.t, err)
	app, err := wire.New(cfg, wire.Local(inproc.Client(s.services), "http://localhost"), slog.New(slog.DiscardHandler))
	require.NoError(s.t, err)
	api := httptest.NewServer(app.API(wire.APIOptions{}))
	defer api.Close()
	must := func(path string, body any, status int) {
		a, err := request(s.t.Context(), "POST", api.URL+path, body)
		require.NoError(s.t, err)
		require.Equal(s.t, status, a.status, a.body)
	}
	for n := range endpoints {
		must("/api/v1/webhooks", map[string]any{"url": at, "events": []string{fmt.Sprintf("type.%d", n)}}, http.StatusCreated)
	}
	for n := range deliveries {
		must("/api/v1/events", map[string]any{"event_type": fmt.Sprintf("type.%d", n%endpoints), "payload": map[string]any{"n": n}}, http.StatusAccepted)
	}
}
