package dynamo

import (
	"testing"
	"time"

	"posthorn/internal/hook"
)

// cleanSuccess is the record of most deliveries: delivered at the first attempt.
func cleanSuccess() *hook.Delivery {
	at := time.Date(2026, 3, 4, 5, 6, 7, 891e6, time.UTC)
	return &hook.Delivery{
		Ref:       hook.Ref{Tenant: "default", EventID: "evt_01JCXZ5T5V8Q0R9A1B2C3D4E5F", EndpointID: "ep_01JCXZ5T5V8Q0R9A1B2C3D4E5G"},
		EventType: "order.created", Status: hook.Delivered, MessageID: "7b3a1e1c-5f0e-4c55-9f65-0d0c3f1a9d10", Rev: 1, LastAttemptID: "att_1",
		Attempts: 1, GenAttempts: 1, CreatedAt: at, CompletedAt: at.Add(time.Second), ExpiresAt: at.Add(30 * 24 * time.Hour),
		First: hook.Attempt{ID: "att_1", Number: 1, At: at, Duration: 20 * time.Millisecond, Outcome: hook.OutcomeSuccess, StatusCode: 200, ResponseBody: "ok"},
	}
}

func BenchmarkEncodeDelivery(b *testing.B) {
	d := cleanSuccess()
	b.ReportAllocs()
	for b.Loop() {
		if len(encodeDelivery(d)) == 0 {
			b.Fatal("nothing")
		}
	}
}

func BenchmarkDecodeDelivery(b *testing.B) {
	d := cleanSuccess()
	it := encodeDelivery(d)
	b.ReportAllocs()
	for b.Loop() {
		if decodeDelivery(d.Ref, it).Status != hook.Delivered {
			b.Fatal("another")
		}
	}
}
