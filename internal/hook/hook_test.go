package hook_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"posthorn/internal/hook"
)

const (
	eventID    = "evt_01JCXZ5T5V8Q0R9A1B2C3D4E5F"
	endpointID = "ep_01JCXZ5T5V8Q0R9A1B2C3D4E5G"
)

func TestFilterMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filter, eventType string
		want              bool
	}{
		{"order.created", "order.created", true},
		{"order.created", "order.creates", false},
		{"order.*", "order.created", true},
		{"order.*", "order.a.b", true},
		{"order.*", "order", false},
		{"order.*", "order.", false},
		{"order.*", "orders.created", false},
		{"*", "anything", true},
		{"*", "posthorn.test", false},
		{"posthorn.*", "posthorn.test", true},
		{"posthorn.test", "posthorn.test", true},
	} {
		require.Equal(t, c.want, hook.FilterMatches(c.filter, c.eventType), "%s on %s", c.filter, c.eventType)
	}
}

func TestIDsOfAnotherFormAreRefused(t *testing.T) {
	t.Parallel()
	require.True(t, hook.ValidID(hook.EventPrefix, eventID))
	for _, id := range []string{"", "evt_", eventID[:29], eventID + "0", "ep" + eventID[3:], strings.ToLower(eventID), "evt_81JCXZ5T5V8Q0R9A1B2C3D4E5F", "evt_01JCXZ5T5V8Q0R9A1B2C3D4E5I"} {
		require.False(t, hook.ValidID(hook.EventPrefix, id), id)
	}
}

func TestIDTimeIsTheULIDsMillisecond(t *testing.T) {
	t.Parallel()
	// The specification's example: 01ARZ3NDEKTSV4RRFFQ69G5FAV is 2016-07-30T23:54:10.259Z.
	require.Equal(t, "2016-07-30T23:54:10.259Z", hook.FormatTime(hook.IDTime("evt_01ARZ3NDEKTSV4RRFFQ69G5FAV")))
}

func TestDeliveryIDNamesItsEventAndEndpoint(t *testing.T) {
	t.Parallel()
	ref := hook.Ref{Tenant: "acme", EventID: eventID, EndpointID: endpointID}
	require.Equal(t, "dlv_01JCXZ5T5V8Q0R9A1B2C3D4E5F_01JCXZ5T5V8Q0R9A1B2C3D4E5G", ref.ID())
	got, err := hook.ParseDeliveryID("acme", ref.ID())
	require.NoError(t, err)
	require.Equal(t, ref, got)
	for _, id := range []string{"", "dlv_", "dlv_x_y", ref.ID() + "_", eventID, strings.Replace(ref.ID(), "dlv", "evt", 1)} {
		_, err := hook.ParseDeliveryID("acme", id)
		require.ErrorIs(t, err, hook.ErrNotFound, id)
	}
}

func TestBodyKeepsTheDataByteForByte(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 24, 1, 2, 3, 4_000_000, time.UTC)
	data := `{"b":1.10,"a":1e400,"a":"<&>\u00e9","data":{"data":[]}}`
	body := hook.NewBody(eventID, "order.created", at, []byte(data))
	require.Equal(t, `{"id":"`+eventID+`","event":"order.created","timestamp":"2026-11-24T01:02:03.004Z","data":`+data+`}`, string(body))
	e := hook.Event{Body: body}
	require.Equal(t, data, string(e.Payload()))
}

func TestMessageComesBackAsItWent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data, err := json.Marshal(rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "data"))
		require.NoError(t, err)
		at := time.UnixMilli(rapid.Int64Range(1, 1<<41).Draw(t, "at")).UTC()
		m := hook.Message{
			Ref:       hook.Ref{Tenant: "acme", EventID: eventID, EndpointID: endpointID},
			EventType: "order.created", CreatedAt: at,
			Gen: rapid.IntRange(0, 9).Draw(t, "gen"), Hop: rapid.IntRange(0, 9).Draw(t, "hop"), Returns: rapid.IntRange(0, 3).Draw(t, "returns"), Deferrals: rapid.IntRange(0, 3).Draw(t, "deferrals"), Gone: rapid.Bool().Draw(t, "gone"),
			Body:  hook.InlineBody(hook.NewBody(eventID, "order.created", at, data)),
			Trace: rapid.SampledFrom([]string{"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}).Draw(t, "trace"),
		}
		if rapid.Bool().Draw(t, "waits") {
			m.NotBefore = at.Add(time.Second)
			m.Slot = rapid.Bool().Draw(t, "slot")
		}
		b, err := hook.EncodeMessage(&m)
		require.NoError(t, err)
		got, err := hook.DecodeMessage(b)
		require.NoError(t, err)
		require.Equal(t, m, *got)
	})
}

func TestBodiesThatAQueueRefusesAreNotInlined(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"too large":       `"` + strings.Repeat("x", hook.MaxInlineBody) + `"`,
		"noncharacter":    "{\"a\":\"\uffff\"}",
		"control":         "{\"a\":\"\x01\"}",
		"not UTF-8":       "{\"a\":\"\xff\"}",
		"noncharacter FE": "{\"a\":\"\ufffe\"}",
	} {
		require.Nil(t, hook.InlineBody([]byte(body)), name)
	}
	for name, body := range map[string]string{"ascii": `{"a":"b"}`, "astral": `{"a":"😀"}`, "replacement character": "{\"a\":\"\ufffd\"}", "delete": "{\"a\":\"\x7f\"}"} {
		require.Equal(t, body, string(hook.InlineBody([]byte(body))), name)
	}
}

func TestMessagesOfAnotherFormAreRefused(t *testing.T) {
	t.Parallel()
	good := `{"v":1,"tenant":"acme","event":"` + eventID + `","endpoint":"` + endpointID + `","type":"a","at":1}`
	_, err := hook.DecodeMessage([]byte(good))
	require.NoError(t, err)
	for name, c := range map[string]struct{ body, want string }{
		"not JSON":        {"hello", "decode message"},
		"empty":           {"", "decode message"},
		"another version": {strings.Replace(good, `"v":1`, `"v":2`, 1), "version 2 is not known"},
		"no tenant":       {strings.Replace(good, "acme", "", 1), `tenant ""`},
		"long tenant":     {strings.Replace(good, "acme", strings.Repeat("a", 65), 1), "tenant"},
		"another's keys":  {strings.Replace(good, "acme", "acme#EP", 1), "tenant"},
		"no type":         {strings.Replace(good, `"type":"a"`, `"type":""`, 1), "no event type"},
		"no time":         {strings.Replace(good, `"at":1`, `"at":0`, 1), "no time of acceptance"},
		"null body":       {strings.Replace(good, `"at":1`, `"at":1,"body":null`, 1), "the body is no object"},
		"text body":       {strings.Replace(good, `"at":1`, `"at":1,"body":"x"`, 1), "the body is no object"},
		"a brace more":    {good + "}", "something follows"},
		"a bracket more":  {good + "]", "something follows"},
		"bad event":       {strings.Replace(good, eventID, "evt_1", 1), `event id "evt_1"`},
		"bad endpoint":    {strings.Replace(good, endpointID, "ep_1", 1), `endpoint id "ep_1"`},
		"unknown field":   {strings.Replace(good, `"v":1`, `"v":1,"x":1`, 1), `unknown field "x"`},
		"negative hop":    {strings.Replace(good, `"v":1`, `"v":1,"hop":-1`, 1), "a negative count"},
		"two objects":     {good + good, "something follows"},
	} {
		_, err := hook.DecodeMessage([]byte(c.body))
		require.ErrorContains(t, err, c.want, name)
	}
}

func TestAControlMessageComesBackAsItWentAndIsNoDelivery(t *testing.T) {
	t.Parallel()
	c := hook.Control{Tenant: "acme", JobID: "job_01JCXZ5T5V8Q0R9A1B2C3D4E5F", Hop: 3, SentAt: time.UnixMilli(1700000000000).UTC()}
	b, err := hook.EncodeControl(&c)
	require.NoError(t, err)
	p, err := hook.Decode(b)
	require.NoError(t, err)
	require.Nil(t, p.Delivery)
	require.Equal(t, c, *p.Control)
	_, err = hook.DecodeMessage(b)
	require.Error(t, err)

	good := string(b)
	for name, body := range map[string]string{
		"no such tenant": strings.Replace(good, "acme", "a#b", 1),
		"no such job":    strings.Replace(good, "job_", "evt_", 1),
		"negative hop":   strings.Replace(good, `"hop":3`, `"hop":-3`, 1),
		"no time":        strings.Replace(good, `"at":1700000000000`, `"at":0`, 1),
		"unknown field":  strings.Replace(good, `"hop":3`, `"hop":3,"x":1`, 1),
		"cut short":      good[:len(good)-1],
		"two":            good + good,
	} {
		_, err := hook.Decode([]byte(body))
		require.Error(t, err, name)
	}
}

// What is a message does not depend on where its body stands, or on the white
// space around it.
func TestABodyIsFoundWhereverItStands(t *testing.T) {
	t.Parallel()
	head := `"v":1,"tenant":"acme","event":"` + eventID + `","endpoint":"` + endpointID + `","type":"a","at":1`
	for text, body := range map[string]string{
		`{` + head + `,"body":{"a":"} ,\"body\":"}}`:                                 `{"a":"} ,\"body\":"}`,
		`{` + head + `,"body":{"a":{},"body":{"b":2}}}`:                              `{"a":{},"body":{"b":2}}`,
		`{` + head + `,"body": {"a":1} }`:                                            `{"a":1}`,
		`{` + head + `,"body":{"a":1} }`:                                             `{"a":1}`,
		`{"body":{"a":1},` + head + `}`:                                              `{"a":1}`,
		`{"v":1,"body":{"a":1},` + strings.TrimPrefix(head, `"v":1,`) + "}\n":        `{"a":1}`,
		`{` + head + `,"body":{"a":1},"hop":0}`:                                      `{"a":1}`,
		`{` + head + `,"body":{"a":1},"body":{"b":2}}`:                               `{"b":2}`,
		`{` + strings.Replace(head, `"a"`, `",\"body\":{}"`, 1) + `,"body":{"a":1}}`: `{"a":1}`,
		`{` + head + `}`: "",
	} {
		m, err := hook.DecodeMessage([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, body, string(m.Body), text)
	}
	for _, text := range []string{
		`{` + head + `,"body":{"a":1}`, `{` + head + `,"body":{"a":1}}}`, `{` + head + `,"body":{"a":}}`, `{` + head + `,"body":1}`, `{` + head + `,"body":"{}"}`,
		`{` + head + `,"x":{"y":1,"body":{}}}`, `{` + head + `,"body":{}}{}`, `{` + head + `,"body":{} {}}`, `,"body":{}}`, `{"v":1,"body":{}}`,
	} {
		_, err := hook.DecodeMessage([]byte(text))
		require.Error(t, err, text)
	}
}

func TestAStatusThatChangesBeginsAnEpoch(t *testing.T) {
	t.Parallel()
	e := hook.Endpoint{Status: hook.EndpointActive}
	e.SetStatus(hook.EndpointPaused, "a")
	require.Equal(t, int64(1), e.Epoch)
	e.SetStatus(hook.EndpointPaused, "b")
	require.Equal(t, int64(1), e.Epoch, "it was that already")
	require.Equal(t, "b", e.StatusReason)
	e.SetStatus(hook.EndpointActive, "")
	require.Equal(t, int64(2), e.Epoch)
}

// What was seen of an endpoint counts no more once it was resumed, also when it was
// active all the time, and a pause is told from another by its epoch alone.
func TestAnEndpointThatIsResumedIsSeenAnew(t *testing.T) {
	t.Parallel()
	e := hook.Endpoint{Status: hook.EndpointActive, Epoch: 2}
	e.Resume()
	require.Equal(t, int64(2), e.Epoch)
	require.Equal(t, int64(3), e.Seen())
	e.SetStatus(hook.EndpointPaused, "a")
	e.Resume()
	require.Equal(t, hook.EndpointActive, e.Status)
	require.Equal(t, int64(4), e.Epoch)
	require.Equal(t, int64(5), e.Seen())
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"v":1,"job":"job_01JCXZ5T5V8Q0R9A1B2C3D4E5F","tenant":"acme","at":1}`))
	f.Add([]byte(`{"v":1,"tenant":"acme","event":"` + eventID + `","endpoint":"` + endpointID + `","type":"a","at":1,"body":{"a":1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := hook.Decode(b)
		if err != nil || p.Control == nil {
			return
		}
		again, err := hook.EncodeControl(p.Control)
		require.NoError(t, err)
		back, err := hook.Decode(again)
		require.NoError(t, err)
		require.Equal(t, p, back)
	})
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add([]byte(`{"v":1,"tenant":"acme","event":"` + eventID + `","endpoint":"` + endpointID + `","type":"a","at":1,"body":{"a":1}}`))
	f.Add([]byte(`{"v":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := hook.DecodeMessage(b)
		if err != nil {
			return
		}
		again, err := hook.EncodeMessage(m)
		require.NoError(t, err)
		back, err := hook.DecodeMessage(again)
		require.NoError(t, err)
		require.Equal(t, m, back)
	})
}

func TestByIDFindsEachEndpointAndNoOther(t *testing.T) {
	t.Parallel()
	a, b := &hook.Endpoint{ID: "ep_A"}, &hook.Endpoint{ID: "ep_C"}
	set := &hook.EndpointSet{Endpoints: []*hook.Endpoint{a, b}}
	require.Same(t, a, set.ByID("ep_A"))
	require.Same(t, b, set.ByID("ep_C"))
	require.Nil(t, set.ByID("ep_B"))
	require.Nil(t, (&hook.EndpointSet{}).ByID("ep_A"))
}
