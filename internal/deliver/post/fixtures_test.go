package post

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// listen accepts connections and hands each, with its number, to serve, after
// which it is closed. It returns the http URL.
func listen(t *testing.T, serve func(n int, c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				serve(n, c)
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		wg.Wait()
	})
	return "http://" + l.Addr().String()
}

// readRequest reads one request; false when none came.
func readRequest(c net.Conn) bool {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err == nil
}

// write writes what a client that has gone may not read any more.
func write(c net.Conn, s string) {
	if _, err := io.WriteString(c, s); err != nil {
		return
	}
}

// nameserver is a resolver whose every query gets answer's answer. One that
// gets nil waits until the test is over: the resolver itself would wait for
// seconds, whoever has given up on it.
func nameserver(t *testing.T, answer func(query []byte) []byte) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	var late []func()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			send := func(reply []byte) {
				if _, err := pc.WriteTo(reply, from); err != nil {
					t.Error(err)
				}
			}
			if reply := answer(buf[:n]); reply != nil {
				send(reply)
				continue
			}
			reply := answerCode(3)(buf[:n])
			late = append(late, func() { send(reply) })
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, pc.SetReadDeadline(time.Now()))
		<-done
		for _, send := range late {
			send()
		}
		require.NoError(t, pc.Close())
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// question cuts a DNS query (RFC 1035) down to its header and question.
func question(query []byte) []byte {
	end := 12
	for query[end] != 0 {
		end += 1 + int(query[end])
	}
	reply := append([]byte(nil), query[:end+5]...)
	reply[2], reply[3] = 0x81, 0x80 // an answer, recursion available
	clear(reply[6:12])              // no records
	return reply
}

func answerCode(code byte) func([]byte) []byte {
	return func(query []byte) []byte {
		reply := question(query)
		reply[3] |= code
		return reply
	}
}

// answerA answers questions for IPv4 addresses with this one, others with none.
func answerA(a, b, c, d byte) func([]byte) []byte {
	return func(query []byte) []byte {
		reply := question(query)
		if reply[len(reply)-3] != 1 { // the question's type: A is 1
			return reply
		}
		reply[7] = 1
		return append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, a, b, c, d)
	}
}

func roots(s *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// certificate makes one for 127.0.0.1 that ends at notAfter, and a pool that trusts it.
func certificate(t *testing.T, notAfter time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: notAfter.Add(-time.Hour), NotAfter: notAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
