package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzDecodeEvent holds the splitting of a body against encoding/json: what one
// takes for an event, the other does too, and with the same fields.
func FuzzDecodeEvent(f *testing.F) {
	for _, body := range []string{
		`{"event_type":"a","payload":{"n":1.0},"id":"k"}`,
		` { "payload" : {"a":[{},"]\"}"]} , "event\u005ftype":"\u0061" , "id":null}`,
		`{"event_type":"a","payload":{"a":[}}`,
		`{"event_type":"a","payload":{},}`,
		`{"a":1}{}`, `{"id":"\ud800"}`, `{"":tru}`, `[]`, `{`, `{"a"`, `{"a":`, "{\"\\",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, _, err := decodeEvent(body, http.Header{})
		if err != nil {
			k, _, _ := kindOf(err)
			require.Equal(t, http.StatusBadRequest, k.status)
			return
		}
		if !json.Valid(req.Payload) {
			require.False(t, json.Valid(body), "what is not checked here is refused by ingest")
			return
		}
		require.True(t, json.Valid(body), "%q", body)
		var want struct {
			EventType string          `json:"event_type"`
			Payload   json.RawMessage `json:"payload"`
			ID        string          `json:"id"`
		}
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		require.NoError(t, dec.Decode(&want))
		// Outside strings of invalid UTF-8, which readBody refuses before.
		if bytes.ContainsRune(body, '\uFFFD') || !json.Valid(bytes.ToValidUTF8(body, nil)) {
			return
		}
		require.Equal(t, want.EventType, req.EventType)
		require.Equal(t, want.ID, req.ProducerID)
		require.Equal(t, string(want.Payload), string(req.Payload))
	})
}

func FuzzObject(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":[{"c":"]}"}],"a\u0062":null}`))
	f.Add([]byte(`{"a":{"a":{"a":{}}}} `))
	f.Fuzz(func(t *testing.T, body []byte) {
		if !json.Valid(body) {
			return
		}
		// A valid document splits into valid values, the same as the decoder's.
		got := map[string]string{}
		err := object("", body, func(name, value []byte) error {
			require.True(t, json.Valid(value), "%q", value)
			got[string(name)] = string(value)
			return nil
		})
		var want map[string]json.RawMessage
		if json.Unmarshal(body, &want) != nil || bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
			require.Error(t, err, "not an object")
			return
		}
		if err != nil {
			_, _, detail := kindOf(err)
			require.Contains(t, detail, "more than once")
			return
		}
		require.Len(t, got, len(want))
	})
}
