package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/load"
)

// BenchmarkPath is the whole path in one process, generator and receiver
// included: 32 connections, one event a POST, 300 bytes, on disk before each
// answer. An operation is an event accepted and delivered.
func BenchmarkPath(b *testing.B) { benchmarkPath(b, load.Defaults()) }

// BenchmarkPathOfBatches is the same with 100 events a POST from 4 connections.
func BenchmarkPathOfBatches(b *testing.B) {
	o := load.Defaults()
	o.Batch, o.Connections = load.MaxBatch, 4
	benchmarkPath(b, o)
}

func benchmarkPath(b *testing.B, o load.Options) {
	s := start(b, modes[0])
	o.URL, o.Events, o.Duration, o.Linger = s.url, b.N, 0, 50*time.Millisecond
	b.ReportAllocs()
	b.ResetTimer()
	res, err := load.Run(context.Background(), o)
	b.StopTimer()
	require.NoError(b, err)
	require.Zero(b, res.Lost)
	b.ReportMetric(res.DeliveredPerSecond, "delivered/s")
	b.ReportMetric(res.EndToEnd.P50, "e2e-p50-ms")
	b.ReportMetric(res.EndToEnd.P95, "e2e-p95-ms")
}
