// Package startup measures how long a Lambda function takes from the start of
// its process to its first request for an invocation, and watches that it asks
// no service for anything before.
package startup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Result is what the starts of a function took.
type Result struct {
	Starts []time.Duration // ascending
	Calls  []string        // of services, before the function asked for its first invocation
}

// Median is what half of the starts took at most.
func (r Result) Median() time.Duration { return r.Starts[len(r.Starts)/2] }

// Least is what the fastest start took: what a busy machine adds is in none of
// it.
func (r Result) Least() time.Duration { return r.Starts[0] }

// longest is how long a start may take until it is given up.
const longest = 10 * time.Second

// Measure starts the program at path so many times, one after the other, as
// Lambda would, with env beside what Lambda sets. Its folder is the working
// directory.
func Measure(ctx context.Context, path string, env []string, starts int) (Result, error) {
	var r Result
	path, err := filepath.Abs(path)
	if err != nil {
		return r, fmt.Errorf("start %s: %w", path, err)
	}
	for range starts {
		took, calls, err := once(ctx, path, env)
		if err != nil {
			return r, fmt.Errorf("start %s: %w", path, err)
		}
		r.Starts, r.Calls = append(r.Starts, took), append(r.Calls, calls...)
	}
	slices.Sort(r.Starts)
	return r, nil
}

// once is one start. The program's services are at the address of its Runtime
// API, so that whatever it asks for is seen.
func once(ctx context.Context, path string, env []string) (took time.Duration, calls []string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, nil, fmt.Errorf("listen: %w", err)
	}
	asked := make(chan time.Time, 1)
	var mu sync.Mutex
	server := &http.Server{ReadHeaderTimeout: longest, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, "/runtime/invocation/next") {
			select {
			case asked <- time.Now():
			default:
			}
			<-q.Context().Done() // there is none
			return
		}
		mu.Lock()
		calls = append(calls, q.Method+" "+q.URL.Path+" "+q.Header.Get("X-Amz-Target"))
		mu.Unlock()
		w.WriteHeader(http.StatusServiceUnavailable)
	})}
	var serving sync.WaitGroup
	var stopped error
	serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			stopped = err
		}
	})
	address := l.Addr().String()
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	cmd.Dir = filepath.Dir(path)
	cmd.Env = append(slices.Clone(env),
		"AWS_LAMBDA_RUNTIME_API="+address, "AWS_ENDPOINT_URL=http://"+address, "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://"+address,
		"AWS_LAMBDA_FUNCTION_NAME=startup", "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=startup", "AWS_SECRET_ACCESS_KEY=startup", "LAMBDA_TASK_ROOT="+cmd.Dir)
	var said strings.Builder
	cmd.Stderr = &said
	began := time.Now()
	if err := cmd.Start(); err != nil {
		err = errors.Join(err, server.Close())
		serving.Wait()
		return 0, nil, err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		if cmd.Wait() != nil {
			return // killed, or ended by itself: what it said tells why
		}
	}()
	select {
	case at := <-asked:
		took = at.Sub(began)
		cancel() // kills it
		<-exited
	case <-exited:
		err = fmt.Errorf("it ended without asking for an invocation: %.500s", strings.TrimSpace(said.String()))
	}
	err = errors.Join(err, server.Close())
	serving.Wait()
	err = errors.Join(err, stopped)
	mu.Lock()
	defer mu.Unlock()
	return took, calls, err
}
