package inproc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/localaws/inproc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func post(ctx context.Context, t *testing.T, client *http.Client, body io.Reader) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://service.test:4566/a/b?c=d", body)
	require.NoError(t, err)
	r.Header.Set("X-Amz-Target", "Service.Do")
	return client.Do(r)
}

func read(t *testing.T, answer *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return string(b)
}

func TestTheHandlerSeesTheRequestAndTheCallerTheAnswer(t *testing.T) {
	t.Parallel()
	client := inproc.Client(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got := []string{r.Method, r.Host, r.URL.Path, r.RequestURI, r.RemoteAddr, r.Header.Get("X-Amz-Target"), string(body)}
		want := []string{"POST", "service.test:4566", "/a/b", "/a/b?c=d", "127.0.0.1:0", "Service.Do", "question"}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("got %q, want %q", got, want)
		}
		w.Header().Set("X-Mine", "yes")
		w.WriteHeader(http.StatusTeapot)
		w.WriteHeader(http.StatusOK) // too late
		for _, part := range []string{"ans", "wer"} {
			if _, err := io.WriteString(w, part); err != nil {
				t.Error(err)
			}
		}
	}))
	answer, err := post(t.Context(), t, client, strings.NewReader("question"))
	require.NoError(t, err)
	require.Equal(t, http.StatusTeapot, answer.StatusCode)
	require.Equal(t, "418 I'm a teapot", answer.Status)
	require.Equal(t, "yes", answer.Header.Get("X-Mine"))
	require.Equal(t, int64(6), answer.ContentLength)
	require.Equal(t, "answer", read(t, answer))
}

func TestAHandlerThatWritesNothingAnswers200(t *testing.T) {
	t.Parallel()
	client := inproc.Client(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, body := range []io.Reader{nil, http.NoBody, strings.NewReader("")} {
		answer, err := post(t.Context(), t, client, body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.StatusCode)
		require.Empty(t, read(t, answer))
	}
}

func TestAHandlerSeesItsCallersContextEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := inproc.Client(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		answer, err := post(ctx, t, client, strings.NewReader("question"))
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestAContextThatHasEndedReachesNoHandler(t *testing.T) {
	t.Parallel()
	client := inproc.Client(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("called") }))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	answer, err := post(ctx, t, client, strings.NewReader("question"))
	if err == nil {
		require.NoError(t, answer.Body.Close())
	}
	require.ErrorIs(t, err, context.Canceled)
}

func TestWhatGoesWrongIsAnErrorOfTheCall(t *testing.T) {
	t.Parallel()
	panics := inproc.Client(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
	answer, err := post(t.Context(), t, panics, strings.NewReader("question"))
	if err == nil {
		require.NoError(t, answer.Body.Close())
	}
	require.ErrorContains(t, err, "handler panicked: boom")
}

func TestConcurrentCallsKeepApart(t *testing.T) {
	t.Parallel()
	client := inproc.Client(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Error(err)
		}
	}))
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			want := strings.Repeat(string(rune('a'+caller)), 10_000)
			for range 50 {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://service.test/", strings.NewReader(want))
				if err != nil {
					t.Error(err)
					return
				}
				answer, err := client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(answer.Body)
				if err = errors.Join(err, answer.Body.Close()); err != nil || string(got) != want {
					t.Errorf("caller %d: %d bytes, %v", caller, len(got), err)
				}
			}
		})
	}
	wg.Wait()
}
