package hook_test

import (
	"testing"
	"time"

	"posthorn/internal/hook"
)

// benchMessage is a message as most are: 300 bytes of payload, the first try.
func benchMessage() *hook.Message {
	at := time.Date(2026, 3, 4, 5, 6, 7, 891e6, time.UTC)
	data := make([]byte, 0, 300)
	data = append(data, `{"order":4711,"text":"`...)
	for len(data) < 298 {
		data = append(data, 'x')
	}
	data = append(data, `"}`...)
	return &hook.Message{
		Ref: hook.Ref{Tenant: "default", EventID: eventID, EndpointID: endpointID}, EventType: "order.created", CreatedAt: at,
		Body: hook.NewBody(eventID, "order.created", at, data),
	}
}

func BenchmarkEncodeMessage(b *testing.B) {
	m := benchMessage()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := hook.EncodeMessage(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeMessage(b *testing.B) {
	raw, err := hook.EncodeMessage(benchMessage())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := hook.DecodeMessage(raw); err != nil {
			b.Fatal(err)
		}
	}
}
