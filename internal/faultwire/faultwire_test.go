package faultwire_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/faultwire"
)

// service counts what reaches it.
type service struct{ applied int }

func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	s.applied++
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("did " + string(body))), Request: r}, nil
}

// call returns the answer's status and body, or status 0 when it was lost.
func call(t *testing.T, client *http.Client, operation, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://service.test/", strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("X-Amz-Target", "Service_20200101."+operation)
	answer, err := client.Do(r)
	if err != nil {
		require.ErrorIs(t, err, faultwire.ErrLost)
		return 0, ""
	}
	b, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return answer.StatusCode, string(b)
}

func TestFaultsStrikeTheirCallAndNoOther(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		fault   faultwire.Fault
		want    []int // statuses of four calls of Put
		applied int
	}{
		{"before, the first", faultwire.Fault{Operation: "Put"}, []int{500, 200, 200, 200}, 3},
		{"before, the second and third", faultwire.Fault{Operation: "Put", Call: 2, Times: 2}, []int{200, 500, 500, 200}, 2},
		{"lost, all from the third on", faultwire.Fault{Operation: "Put", Call: 3, Times: faultwire.Always, Mode: faultwire.LoseAnswer}, []int{200, 200, 0, 0}, 4},
		{"throttled", faultwire.Fault{Operation: "Put", Mode: faultwire.Throttle}, []int{400, 200, 200, 200}, 3},
		{"of another operation", faultwire.Fault{Operation: "PutItem"}, []int{200, 200, 200, 200}, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &service{}
			client, faults := faultwire.Wrap(&http.Client{Transport: s}, c.fault)
			var got []int
			for range 4 {
				status, _ := call(t, client, "Put", "it")
				got = append(got, status)
			}
			require.Equal(t, c.want, got)
			require.Equal(t, c.applied, s.applied)
			require.Equal(t, 4, faults.Calls("Put"))
			status, body := call(t, client, "Get", "that")
			require.Equal(t, 200, status)
			require.Equal(t, "did that", body)
		})
	}
}

func TestRefusalsLookLikeTheServices(t *testing.T) {
	t.Parallel()
	client, _ := faultwire.Wrap(&http.Client{Transport: &service{}}, faultwire.Fault{Operation: "Put", Mode: faultwire.Throttle})
	status, body := call(t, client, "Put", "it")
	require.Equal(t, 400, status)
	require.JSONEq(t, `{"__type":"ThrottlingException","message":"made to fail by a test"}`, body)
}

func TestMatchNarrowsAFault(t *testing.T) {
	t.Parallel()
	client, faults := faultwire.Wrap(&http.Client{Transport: &service{}}, faultwire.Fault{
		Operation: "Put", Call: 2, Match: func(b []byte) bool { return strings.Contains(string(b), "bad") },
	})
	require.Equal(t, 1, faults.Pending())
	for _, step := range []struct {
		body string
		want int
	}{{"bad", 200}, {"good", 200}, {"bad", 500}, {"bad", 200}} {
		status, _ := call(t, client, "Put", step.body)
		require.Equal(t, step.want, status, step.body)
	}
	require.Zero(t, faults.Pending())
}

func TestClearTakesFaultsAway(t *testing.T) {
	t.Parallel()
	client, faults := faultwire.Wrap(&http.Client{Transport: &service{}}, faultwire.Fault{Operation: "Put", Times: faultwire.Always})
	status, _ := call(t, client, "Put", "it")
	require.Equal(t, 500, status)
	faults.Clear()
	status, _ = call(t, client, "Put", "it")
	require.Equal(t, 200, status)
}
