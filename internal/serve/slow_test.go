package serve

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// one is a listener with one connection.
type one struct {
	silent
	conn chan net.Conn
}

func (o *one) Accept() (net.Conn, error) {
	select {
	case c := <-o.conn:
		return c, nil
	case <-o.closed:
		return nil, net.ErrClosed
	}
}

// Who asks and does not read must not keep an answer in memory for ever.
func TestAnAnswerThatNobodyReadsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		listen := &one{silent{make(chan struct{})}, make(chan net.Conn, 1)}
		listen.conn <- server
		var failed error
		answered := make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		r := &running{queue: newQueue()}
		go func() {
			ended <- Run(ctx, Options{
				API: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, failed = w.Write(make([]byte, 1<<20))
					close(answered)
				}),
				Listen: listen, Queue: r.queue, Deliver: nil,
				Sweep: func(context.Context) error { return nil }, Leases: never{}, Counts: &r.counts, Name: "a", BatchSize: 10, Workers: 20,
				DeliverTimeout: 45 * time.Second, SweepInterval: time.Minute, Drain: 30 * time.Second, Log: slog.New(slog.DiscardHandler),
			})
		}()
		_, err := client.Write([]byte("GET / HTTP/1.1\r\nHost: posthorn\r\n\r\n"))
		require.NoError(t, err)
		begun := time.Now()
		<-answered
		require.Error(t, failed)
		require.LessOrEqual(t, time.Since(begun), 2*time.Minute)
		stop()
		require.NoError(t, <-ended)
		require.NoError(t, client.Close())
	})
}
