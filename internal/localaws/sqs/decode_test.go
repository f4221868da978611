package sqs

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// reference is what the standard library reads of a request.
type reference struct {
	QueueUrl, MessageBody *string
	DelaySeconds          *int32
	Attributes            map[string]string
	TagKeys               []string
	Entries               []struct{ Id, MessageBody *string }
}

// FuzzDecode compares the request decoder with the standard library: what it
// takes, the library takes too and reads the same; and it never reads outside
// of its buffer.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"QueueUrl":"http://localhost/1/q","MessageBody":"a\u00e4\ud83d\udcef\\\"\/\b\f\n\r\t"}`,
		`{"MessageBody":"\ud800","DelaySeconds":-12}`, ` { "Entries" : [ { "Id" : "a" , "MessageBody" : null } , {} ] } `,
		`{"Attributes":{"a":"b","":""},"TagKeys":["x","y"]}`, `{"MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"AAE="}}}`,
		`{"DelaySeconds":01}`, `{"DelaySeconds":1.5}`, `{"DelaySeconds":2147483648}`, `[`, `{"a`, `{"MessageBody":"\u12"}`, `{"MessageBody":"\`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got request
		if err := got.decode(bytes.Clone(data)); err != nil {
			asAPIError(err)
			return
		}
		var want reference
		d := json.NewDecoder(bytes.NewReader(data))
		require.NoError(t, d.Decode(&want), "%q", data)
		if strings.Contains(strings.ToLower(string(data)), `\ud`) || !utf8.Valid(data) || repeats(data) {
			return // the library replaces what is no text, folds cases and merges
		}
		same(t, want.QueueUrl, got.queueURL)
		same(t, want.MessageBody, got.body)
		require.Equal(t, want.DelaySeconds != nil, got.delay.set)
		if want.DelaySeconds != nil {
			require.EqualValues(t, *want.DelaySeconds, got.delay.n)
		}
		require.Len(t, got.attributes, len(want.Attributes))
		for _, a := range got.attributes {
			require.Equal(t, want.Attributes[string(a.name)], string(a.value))
		}
		require.Len(t, got.tagKeys, len(want.TagKeys))
		for i, k := range got.tagKeys {
			require.Equal(t, want.TagKeys[i], string(k))
		}
		require.Len(t, got.entries, len(want.Entries))
		for i, e := range got.entries {
			same(t, want.Entries[i].Id, e.id)
			same(t, want.Entries[i].MessageBody, e.body)
		}
	})
}

func same(t *testing.T, want *string, got []byte) {
	t.Helper()
	require.Equal(t, want == nil, got == nil)
	if want != nil {
		require.Equal(t, *want, string(got))
	}
}

// repeats says whether a member's name may be there twice, in any case or
// spelling.
func repeats(data []byte) bool {
	lower := strings.ToLower(string(data))
	for _, name := range []string{"queueurl", "messagebody", "delayseconds", "attributes", "tagkeys", "entries", `"id"`} {
		if strings.Count(lower, name) > 1 {
			return true
		}
	}
	return strings.Contains(lower, `\u`) || strings.Contains(lower, "null")
}

func TestTextsAreReadAsTheStandardLibraryWritesThem(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		b, err := json.Marshal(map[string]any{"MessageBody": text, "Entries": []map[string]string{{"Id": text}}})
		require.NoError(t, err)
		var r request
		require.NoError(t, r.decode(b))
		require.Equal(t, text, string(r.body))
		require.Equal(t, text, string(r.entries[0].id))
		var back string
		require.NoError(t, json.Unmarshal(appendText(nil, text), &back))
		require.Equal(t, text, back)
	})
}

func TestALoneSurrogateIsNoAllowedText(t *testing.T) {
	t.Parallel()
	for body, allowed := range map[string]bool{
		`\ud800`: false, `\udc00\ud800`: false, `\ud83dx`: false, `\ud83d\udcef`: true, `x\ud83d\u0041`: false, `\uD83D\uDCEF!`: true,
	} {
		var r request
		require.NoError(t, r.decode([]byte(`{"MessageBody":"`+body+`"}`)))
		require.Equal(t, allowed, allowedText(r.body), body)
	}
	require.False(t, allowedText([]byte{0xff}))
}

func TestARequestIsResetForTheNext(t *testing.T) {
	t.Parallel()
	var r request
	require.NoError(t, r.decode([]byte(`{"QueueUrl":"u","MessageBody":"b","DelaySeconds":3,"Attributes":{"a":"b"},"Entries":[{"Id":"x","MessageAttributes":{"a":{"DataType":"String","StringValue":"v"}}}]}`)))
	r.reset()
	require.NoError(t, r.decode([]byte(`{"Entries":[{}]}`)))
	require.Len(t, r.entries, 1)
	r.entries = nil
	require.Equal(t, request{}, r)
}

func TestStoredMessagesAreReadAsWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		field := rapid.SliceOfN(rapid.Byte(), 0, 300)
		m := stored{
			sent: rapid.Int64().Draw(t, "sent"), due: rapid.Int64().Draw(t, "due"), first: rapid.Int64().Draw(t, "first"),
			base: rapid.Uint32().Draw(t, "base"), group: field.Draw(t, "group"), source: field.Draw(t, "source"),
			trace: field.Draw(t, "trace"), body: field.Draw(t, "body"),
		}
		copy(m.id[:], field.Draw(t, "id"))
		for range rapid.IntRange(0, 3).Draw(t, "attributes") {
			a := attribute{name: field.Draw(t, "name"), dataType: field.Draw(t, "type"), text: field.Draw(t, "text")}
			if rapid.Bool().Draw(t, "binary") {
				a.text, a.binary = nil, a.text
			}
			m.attributes = append(m.attributes, a)
		}
		value := m.append(nil)
		var back stored
		require.NoError(t, back.read(value))
		require.Equal(t, value, back.append(nil))
		require.Equal(t, m.group, back.group)
		require.Equal(t, m.body, back.body)
		short := value[:rapid.IntRange(0, len(value)-len(m.body)-1).Draw(t, "cut")]
		require.Error(t, back.read(short))
	})
}

func TestReceiptHandles(t *testing.T) {
	t.Parallel()
	r := receipt{queue: 1<<40 + 1, seq: 1<<40 + 2, epoch: 1, receive: 3}
	handle := r.append(nil)
	require.Len(t, handle, handleSize)
	back, ok := parseReceipt(handle)
	require.True(t, ok)
	require.Equal(t, r, back)
	for i := range handle {
		changed := bytes.Clone(handle)
		changed[i] ^= 1
		_, ok := parseReceipt(changed)
		require.False(t, ok, "character %d", i)
	}
}
