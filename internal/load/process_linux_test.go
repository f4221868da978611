package load

import (
	"net"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStatOfAProgramWithAnAwkwardName(t *testing.T) {
	t.Parallel()
	cpu, err := parseStat([]byte("42 (a b) R (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 100 1 2\n"))
	require.NoError(t, err)
	require.InDelta(t, 3.0, cpu, 1e-9)
	for _, bad := range []string{"", "42 (x) S 1 2", "42 (x) S 1 42 42 0 -1 4194560 100 0 0 0 ten 50 0 0"} {
		_, err := parseStat([]byte(bad))
		require.Error(t, err, bad)
	}
}

func TestStatusGivesResidentMemory(t *testing.T) {
	t.Parallel()
	rss, err := parseStatus([]byte("Name:\tx\nVmHWM:\t   99 kB\nVmRSS:\t   12345 kB\nThreads:\t1\n"))
	require.NoError(t, err)
	require.Equal(t, int64(12345<<10), rss)
	for _, bad := range []string{"Name:\tx\n", "VmRSS:\tmuch kB\n"} {
		_, err := parseStatus([]byte(bad))
		require.Error(t, err, bad)
	}
}

func TestListeningSocketsOfAPort(t *testing.T) {
	t.Parallel()
	table := []byte(`  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 0100007F:1F40 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 20 4 30 10 -1
   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0
`)
	require.Equal(t, []string{"111"}, listening(table, 8000))
	require.Equal(t, []string{"333"}, listening(table, 80))
	require.Empty(t, listening(table, 81))
}

func TestUsageOfRealProcesses(t *testing.T) {
	t.Parallel()
	one, err := readUsage([]int{os.Getpid()})
	require.NoError(t, err)
	require.Positive(t, one.rssBytes)
	two, err := readUsage([]int{os.Getpid(), os.Getpid()})
	require.NoError(t, err)
	require.GreaterOrEqual(t, two.cpuSeconds, 2*one.cpuSeconds)
	require.Greater(t, two.rssBytes, one.rssBytes)
	_, err = readUsage([]int{os.Getpid(), 1 << 30})
	require.ErrorContains(t, err, "1073741824")
}

func TestListenerIsFoundByItsURL(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(nil)
	defer s.Close()
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	require.NoError(t, err)
	require.Equal(t, os.Getpid(), listenerOf(s.URL))
	require.Equal(t, os.Getpid(), listenerOf("http://localhost:"+port))
	require.Zero(t, listenerOf("http://192.0.2.1:"+port), "another machine's")
	require.Zero(t, listenerOf("http://example.com:"+port))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	require.Zero(t, listenerOf("http://"+address))
}
