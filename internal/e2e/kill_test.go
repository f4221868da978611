package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// program is a real `posthorn local` in a process of its own, always on the
// same ports and the same data.
type program struct {
	t       *testing.T
	api     int
	aws     int
	dir     string
	cmd     *exec.Cmd
	started int
}

func (p *program) url() string { return fmt.Sprintf("http://127.0.0.1:%d", p.api) }

func (p *program) start() {
	p.t.Helper()
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(p.t, err)
	defer log.Close()
	p.cmd = exec.Command(filepath.Join(bin, "posthorn"), "local", "--port", strconv.Itoa(p.api), "--aws-port", strconv.Itoa(p.aws), "--data", filepath.Join(p.dir, "data"))
	p.cmd.Env = append(os.Environ(), "RETRY_INITIAL_DELAY=0.01", "RETRY_MAX_DELAY=1")
	p.cmd.Dir = p.dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	require.NoError(p.t, p.cmd.Start())
	p.started++
	require.Eventually(p.t, func() bool {
		a, err := request(context.Background(), "GET", p.url()+"/ready", nil)
		return err == nil && a.status == http.StatusOK
	}, patience, 10*time.Millisecond, "posthorn does not come up")
}

// kill ends the process as a power button would: nothing is finished.
func (p *program) kill() {
	require.NoError(p.t, p.cmd.Process.Kill())
	require.Error(p.t, p.cmd.Wait(), "it was killed")
}

// stop ends it as a person would, and looks at how it went.
func (p *program) stop() {
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(p.t, p.cmd.Wait())
}

func freePort(t testing.TB) int {
	l := listen(t)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Two thousand events are posted while the process is killed five times. What
// was answered with 202 arrives, and what was not is posted again under the
// same key, so that in the end all of them do.
func TestNothingIsLostWhenTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	const total, producers, kills = 2000, 16, 5
	receiver := newReceiver(t)
	p := &program{t: t, api: freePort(t), aws: freePort(t), dir: t.TempDir()}
	p.start()
	created, err := request(t.Context(), "POST", p.url()+"/api/v1/webhooks", map[string]any{"url": receiver.url("/hook"), "events": []string{"*"}, "secret": secret})
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, created.status, created.body)

	work := make(chan int)
	ids := make([]string, total)
	var wg sync.WaitGroup
	for range producers {
		wg.Go(func() {
			for n := range work {
				ids[n] = post(t, p.url(), n)
			}
		})
	}
	for n := range total {
		if n > 0 && n%(total/(kills+1)) == 0 && p.started <= kills {
			p.kill()
			p.start()
		}
		work <- n
	}
	close(work)
	wg.Wait()
	require.Equal(t, kills+1, p.started)

	require.Eventually(t, func() bool {
		arrived := map[string]bool{}
		for _, r := range receiver.received(t) {
			arrived[r.header.Get("Webhook-Id")] = true
		}
		for _, id := range ids {
			if !arrived[id] {
				return false
			}
		}
		return true
	}, patience, 100*time.Millisecond, "not all arrived")
	t.Logf("%d events, %d requests at the receiver", total, len(receiver.received(t)))
	p.stop()
}

// post posts an event until it is accepted, always under its own key, and
// returns its id.
func post(t *testing.T, url string, n int) string {
	body := map[string]any{"event_type": "kill.test", "payload": map[string]any{"n": n}}
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		a, err := request(t.Context(), "POST", url+"/api/v1/events", body, "Idempotency-Key", fmt.Sprintf("kill-%d", n))
		if err == nil && a.status == http.StatusAccepted {
			return a.body["id"].(string)
		}
		<-time.After(20 * time.Millisecond) // the process is being started again
	}
	t.Errorf("event %d is not accepted", n)
	return ""
}

func TestASecondProcessOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	p := &program{t: t, api: freePort(t), aws: freePort(t), dir: t.TempDir()}
	p.start()
	second := exec.Command(filepath.Join(bin, "posthorn"), "local", "--port", "0", "--aws-port", "0", "--data", filepath.Join(p.dir, "data"))
	out, err := second.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "is in use by another process")
	require.Equal(t, 1, second.ProcessState.ExitCode())

	third := exec.Command(filepath.Join(bin, "posthorn"), "local", "--port", strconv.Itoa(p.api), "--data", filepath.Join(p.dir, "other"))
	out, err = third.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "is in use by another program")
	p.stop()
}
