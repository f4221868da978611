package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"posthorn/internal/hook"
)

// maxAnswer is the size in bytes that a list stays under: what Lambda returns
// may have 6 MB, encoded once more as a JSON string.
const maxAnswer = 4 << 20

// encode writes v as JSON and nothing else: no HTML escapes, no line end.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// answer writes v as the JSON answer.
func (a *API) answer(w http.ResponseWriter, r *http.Request, status int, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	a.write(w, r, status, "application/json", body)
	return nil
}

// write sends an answer that is complete.
func (a *API) write(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(body); err != nil {
		a.o.Log.LogAttrs(r.Context(), slog.LevelDebug, "answer not written", slog.String("error", err.Error()))
	}
}

// moment is a time in an answer; the zero time is null.
type moment time.Time

// MarshalJSON implements json.Marshaler.
func (m moment) MarshalJSON() ([]byte, error) {
	if time.Time(m).IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + hook.FormatTime(time.Time(m)) + `"`), nil
}

// text is a string in an answer; the empty one is null.
type text string

// MarshalJSON implements json.Marshaler.
func (t text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return encode(string(t))
}
