package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/config"
	"posthorn/internal/localaws"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/permit"
	"posthorn/internal/seal"
	"posthorn/internal/wire"
)

var slow = flag.Bool("slow", false, "kill replicas of posthorn serve for a minute, and not a few times")

// shared is what several processes of `posthorn serve` share: the services, over
// their own protocols, and a receiver.
type shared struct {
	t        testing.TB
	env      map[string]string
	receiver *receiver
	services *localaws.Services
}

// share makes the services, whose queue hides received messages for so long.
func share(t testing.TB, visibility time.Duration) *shared {
	t.Helper()
	services, err := localaws.Open(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, services.Close()) })
	cfg, err := config.Load(config.Local, config.Source{Getenv: func(string) string { return "" }})
	require.NoError(t, err)
	cfg.Queue.Visibility = visibility
	require.NoError(t, wire.Provision(t.Context(), cfg, wire.Local(inproc.Client(services), "http://localhost")))
	policy, err := permit.ReadDocument("../../deploy/iam/serve.json", "posthorn serve")
	require.NoError(t, err)
	t.Cleanup(func() { require.Empty(t, policy.Refused(), "calls that deploy/iam/serve.json does not allow") })
	aws := httptest.NewServer(policy.Handler("posthorn serve", names(cfg), services))
	t.Cleanup(aws.Close)
	s := &shared{t: t, receiver: newReceiver(t), services: services}
	s.env = environment(s.receiver.port())
	maps.Copy(s.env, map[string]string{
		"AWS_ENDPOINT_URL": aws.URL, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
		"POSTHORN_TABLE": cfg.Table, "POSTHORN_QUEUE_URL": cfg.Queue.Main, "POSTHORN_DLQ_URL": cfg.Queue.DeadLetters,
		"POSTHORN_SEAL_KEY":       base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, seal.KeySize)),
		"POSTHORN_SWEEP_INTERVAL": "1", "WEBHOOK_WORKER_COUNT": "16",
	})
	return s
}

// replica is one process of `posthorn serve`, always on the same port.
type replica struct {
	*shared
	port int
	log  *logged
	env  map[string]string // over what all have
	cmd  *exec.Cmd
	dir  string
}

func (s *shared) replica(env map[string]string) *replica {
	s.t.Helper()
	r := &replica{shared: s, port: freePort(s.t), log: &logged{}, env: env, dir: s.t.TempDir()}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			text := r.log.String()
			s.t.Logf("the end of the log of %d:\n%s", r.port, text[max(0, len(text)-3000):])
		}
		require.NotContains(s.t, r.log.String(), secret, "a secret in the log")
	})
	r.start()
	return r
}

func (r *replica) url() string { return fmt.Sprintf("http://127.0.0.1:%d", r.port) }

func (r *replica) start() {
	r.t.Helper()
	env := maps.Clone(r.shared.env)
	maps.Copy(env, r.env)
	env["PORT"] = strconv.Itoa(r.port)
	r.cmd = exec.Command(filepath.Join(bin, "posthorn"), "serve")
	r.cmd.Dir = r.dir
	for name, value := range env {
		r.cmd.Env = append(r.cmd.Env, name+"="+value)
	}
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	require.NoError(r.t, r.cmd.Start())
	cmd := r.cmd
	r.t.Cleanup(func() {
		if cmd.ProcessState == nil { // the test has failed
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	require.Eventually(r.t, func() bool {
		a, err := request(context.Background(), "GET", r.url()+"/ready", nil)
		return err == nil && a.status == http.StatusOK
	}, patience, 10*time.Millisecond, "posthorn serve does not come up")
}

// kill ends the process as a power button would.
func (r *replica) kill() {
	require.NoError(r.t, r.cmd.Process.Kill())
	require.Error(r.t, r.cmd.Wait(), "it was killed")
}

// terminate tells it to stop, as an orchestrator does.
func (r *replica) terminate() { require.NoError(r.t, r.cmd.Process.Signal(syscall.SIGTERM)) }

// ends waits for the process to end by itself, and in order.
func (r *replica) ends() {
	r.t.Helper()
	require.NoError(r.t, r.cmd.Wait())
}

// must makes a call of the API that has to be answered with status.
func (r *replica) must(method, path string, body any, status int) map[string]any {
	r.t.Helper()
	a, err := request(r.t.Context(), method, r.url()+path, body)
	require.NoError(r.t, err)
	require.Equal(r.t, status, a.status, a.body)
	return a.body
}

func (r *replica) register(path string) {
	r.t.Helper()
	r.must("POST", "/api/v1/webhooks", map[string]any{"url": r.receiver.url(path), "events": []string{"*"}, "secret": secret}, http.StatusCreated)
}

// emit posts an event and returns the id of its one delivery.
func (r *replica) emit() string {
	r.t.Helper()
	event := r.must("POST", "/api/v1/events", map[string]any{"event_type": "serve.test", "payload": map[string]any{}}, http.StatusAccepted)
	return event["deliveries"].([]any)[0].(map[string]any)["id"].(string)
}

// until waits for a delivery to reach a status.
func (r *replica) until(delivery, status string) map[string]any {
	r.t.Helper()
	var last answer
	require.Eventually(r.t, func() bool {
		a, err := request(r.t.Context(), "GET", r.url()+"/api/v1/deliveries/"+delivery, nil)
		last = a
		return err == nil && a.body["status"] == status
	}, patience, 20*time.Millisecond, "delivery %s does not become %s: %v", delivery, status, &last)
	return last.body
}

// Three processes share one account. One of them, by chance, is killed and
// started again, and again, while producers post to whichever answers. What was
// accepted arrives, and is recorded as delivered; nothing ends dead.
func TestNothingIsLostWhenReplicasAreKilled(t *testing.T) {
	t.Parallel()
	const producers = 8
	kills, between, atLeast := 4, 60, time.Duration(0)
	if *slow {
		kills, between, atLeast = 30, 200, time.Minute
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))

	s := share(t, 2*time.Second)
	replicas := []*replica{s.replica(nil), s.replica(nil), s.replica(nil)}
	replicas[0].register("/hook")

	var (
		mu       sync.Mutex
		accepted = map[string]string{} // delivery by event
		tried    atomic.Int64
		stop     = make(chan struct{})
		wg       sync.WaitGroup
	)
	stopping := sync.OnceFunc(func() { close(stop) })
	defer stopping()
	for range producers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := tried.Add(1)
				event, delivery := postToAny(t, replicas, n)
				mu.Lock()
				accepted[event] = delivery
				mu.Unlock()
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(accepted)
	}
	began, killed := time.Now(), 0
	for killed < kills || time.Since(began) < atLeast {
		next := count() + between
		require.Eventually(t, func() bool { return count() >= next }, patience, time.Millisecond, "events are accepted no more")
		victim := replicas[dice.IntN(len(replicas))]
		victim.kill()
		victim.start()
		killed++
	}
	stopping()
	wg.Wait()

	require.Eventually(t, func() bool {
		arrived := map[string]bool{}
		for _, r := range s.receiver.received(t) {
			arrived[r.header.Get("Webhook-Id")] = true
		}
		for event := range accepted {
			if !arrived[event] {
				return false
			}
		}
		return true
	}, patience, 100*time.Millisecond, "not all arrived")
	for _, delivery := range accepted {
		replicas[0].until(delivery, "delivered")
	}
	require.Eventually(t, func() bool {
		stats := replicas[1].must("GET", "/api/v1/stats", nil, http.StatusOK)
		queue, dlq := stats["queue"].(map[string]any), stats["dlq"].(map[string]any)
		require.EqualValues(t, 0, dlq["entries"], "nothing ends dead")
		return queue["ready"].(float64)+queue["in_flight"].(float64)+queue["delayed"].(float64)+dlq["waiting"].(float64) == 0
	}, patience, 100*time.Millisecond, "the queues are not empty in the end")
	t.Logf("%d events, %d kills, %d requests at the receiver", len(accepted), killed, len(s.receiver.received(t)))
	for _, r := range replicas {
		r.terminate()
	}
	for _, r := range replicas {
		r.ends()
	}
}

// postToAny posts an event to one replica after the other until it is accepted,
// always under its own key.
func postToAny(t *testing.T, replicas []*replica, n int64) (event, delivery string) {
	body := map[string]any{"event_type": "serve.test", "payload": map[string]any{"n": n}}
	for try, deadline := int(n), time.Now().Add(patience); time.Now().Before(deadline); try++ {
		a, err := request(t.Context(), "POST", replicas[try%len(replicas)].url()+"/api/v1/events", body, "Idempotency-Key", fmt.Sprintf("serve-%d", n))
		if err == nil && a.status == http.StatusAccepted {
			return a.body["id"].(string), a.body["deliveries"].([]any)[0].(map[string]any)["id"].(string)
		}
	}
	t.Errorf("event %d is not accepted", n)
	return "", ""
}

// A process that is told to stop lets its post under way finish, records it, and
// ends in order; nobody posts it again.
func TestServeFinishesItsPostsWhenItIsToldToStop(t *testing.T) {
	t.Parallel()
	s := share(t, 4*time.Minute)
	first := s.replica(nil)
	first.register("/hang")
	delivery := first.emit()
	require.Eventually(t, func() bool { return s.receiver.hangs() == 1 }, patience, time.Millisecond)
	first.terminate()
	require.Eventually(t, func() bool {
		_, err := request(t.Context(), "GET", first.url()+"/health", nil)
		return err != nil
	}, patience, time.Millisecond, "it takes requests although it is to stop")
	require.Equal(t, 1, s.receiver.hangs(), "the post is still under way")
	close(s.receiver.unhang)
	first.ends()

	second := s.replica(nil)
	recorded := second.until(delivery, "delivered")
	require.EqualValues(t, 1, recorded["attempts"])
	require.Len(t, s.receiver.received(t), 1)
	require.Contains(t, second.must("GET", "/api/v1/stats", nil, http.StatusOK)["attempts"], "succeeded")
	require.EqualValues(t, 1, second.must("GET", "/api/v1/stats", nil, http.StatusOK)["attempts"].(map[string]any)["succeeded"], "it was counted")
	second.terminate()
	second.ends()
}

// What does not finish within the drain's time is cut off and goes back to the
// queue, where another process has it at once, long before the visibility
// timeout; the attempt that was cut off is none.
func TestWhatServeCutsOffGoesBackToTheQueue(t *testing.T) {
	t.Parallel()
	s := share(t, 4*time.Minute)
	first := s.replica(map[string]string{"POSTHORN_DRAIN_TIMEOUT": "0.2"})
	first.register("/hang")
	delivery := first.emit()
	require.Eventually(t, func() bool { return s.receiver.hangs() == 1 }, patience, time.Millisecond)
	first.terminate()
	first.ends()
	require.Contains(t, first.log.String(), `"msg":"messages returned"`)

	second := s.replica(nil)
	require.Eventually(t, func() bool { return s.receiver.hangs() == 2 }, patience, time.Millisecond, "nobody posts it again")
	close(s.receiver.unhang)
	require.EqualValues(t, 1, second.until(delivery, "delivered")["attempts"])
	second.terminate()
	second.ends()
}

func TestASecondSignalEndsServeAtOnce(t *testing.T) {
	t.Parallel()
	s := share(t, 4*time.Minute)
	r := s.replica(nil)
	r.register("/hang")
	r.emit()
	require.Eventually(t, func() bool { return s.receiver.hangs() == 1 }, patience, time.Millisecond)
	r.terminate()
	require.Eventually(t, func() bool { return strings.Contains(r.log.String(), `"msg":"stopping"`) }, patience, time.Millisecond)
	r.terminate()
	require.Error(t, r.cmd.Wait())
	require.Equal(t, 1, r.cmd.ProcessState.ExitCode())
	close(s.receiver.unhang)
}

func TestServeSaysAtOnceAllThatIsMissing(t *testing.T) {
	t.Parallel()
	nowhere := filepath.Join(t.TempDir(), "none")
	cmd := exec.Command(filepath.Join(bin, "posthorn"), "serve")
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=" + nowhere, "AWS_SHARED_CREDENTIALS_FILE=" + nowhere}
	cmd.Dir = t.TempDir()
	said, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, 2, cmd.ProcessState.ExitCode())
	require.Equal(t, 1, strings.Count(string(said), "\n"), "%s", said)
	for _, what := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "POSTHORN_TABLE", "POSTHORN_QUEUE_URL", "POSTHORN_DLQ_URL", "POSTHORN_KMS_KEY_ID", "POSTHORN_SEAL_KEY", "--table", "posthorn doctor"} {
		require.Contains(t, string(said), what)
	}
}
