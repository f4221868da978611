package dynamo_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/dynamo"
	"posthorn/internal/hook"
	"posthorn/internal/id"
	"posthorn/internal/localaws/dynamodb"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/localaws/store"
)

// bench is a world for benchmarks: the real clock, no faults, a store in memory.
func bench(b *testing.B) *world {
	b.Helper()
	db, err := store.OpenMemory()
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	service, err := dynamodb.New(dynamodb.Options{Store: db})
	require.NoError(b, err)
	w := &world{ids: id.NewSource(), config: config(inproc.Client(service))}
	w.now.Store(time.Now().UnixMilli())
	require.NoError(b, dynamo.CreateTable(b.Context(), w.config, tableName))
	w.Table = dynamo.New(w.config, tableName, dynamo.Options{})
	b.ReportAllocs()
	return w
}

const benchPayload = `{"order":4711,"items":[{"sku":"A-1","n":2},{"sku":"B-7","n":1}],"total":"129.90","currency":"EUR"}`

// many makes calls from 32 callers at once, as a busy server does.
func many(b *testing.B, call func() error) {
	b.SetParallelism(16) // times two cores
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := call(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkPutEvent(b *testing.B) {
	w := bench(b)
	endpoint := w.endpointID()
	for b.Loop() {
		if err := w.PutEvent(b.Context(), w.event("order.created", benchPayload, endpoint)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPutEventFrom32(b *testing.B) {
	w := bench(b)
	endpoint := w.endpointID()
	many(b, func() error { return w.PutEvent(b.Context(), w.event("order.created", benchPayload, endpoint)) })
}

func BenchmarkSaveFirstOutcomeFrom32(b *testing.B) {
	w := bench(b)
	endpoint := w.endpointID()
	many(b, func() error { return w.SaveDelivery(b.Context(), w.delivery(endpoint, hook.Delivered)) })
}

func BenchmarkReadTenRowsFrom32(b *testing.B) {
	w := bench(b)
	refs := make([]hook.Ref, 10)
	for i := range refs {
		refs[i] = w.ref()
	}
	many(b, func() error { _, err := w.Deliveries(b.Context(), refs); return err })
}

func BenchmarkEndpointSet(b *testing.B) {
	w := bench(b)
	require.NoError(b, w.CreateEndpoint(b.Context(), w.endpoint()))
	for b.Loop() {
		if _, err := w.EndpointSet(b.Context(), tenant); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEndpointSetFrom32(b *testing.B) {
	w := bench(b)
	require.NoError(b, w.CreateEndpoint(b.Context(), w.endpoint()))
	many(b, func() error { _, err := w.EndpointSet(b.Context(), tenant); return err })
}
