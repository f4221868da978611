package poller

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"
)

func TestRawReport(t *testing.T) {
	const failure = "failure"
	for raw, want := range map[string]any{
		// "Lambda treats a batch as a complete success"
		`{"batchItemFailures":[]}`:   nil,
		`{"batchItemFailures":null}`: nil,
		`{}`:                         nil,
		`null`:                       nil,
		``:                           nil,
		`""`:                         nil,
		`[]`:                         nil,
		` { "other": 1 } `:           nil,
		`{"BatchItemFailures":[{"itemIdentifier":"a"}]}`: nil,
		// a partial success
		`{"batchItemFailures":[{"itemIdentifier":"a"}]}`:                        []string{"a"},
		`{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"b"}]}`: []string{"a", "b"},
		`{"batchItemFailures":[{"itemIdentifier":"a","more":1}],"more":2}`:      []string{"a"},
		// "Lambda treats a batch as a complete failure"
		`{"batchItemFailures":[{"itemIdentifier":""}]}`:                   failure,
		`{"batchItemFailures":[{"itemIdentifier":null}]}`:                 failure,
		`{"batchItemFailures":[{"foo":"a"}]}`:                             failure,
		`{"batchItemFailures":[{"ItemIdentifier":"a"}]}`:                  failure,
		`{"batchItemFailures":[{}]}`:                                      failure,
		`{"batchItemFailures":[null]}`:                                    failure,
		`{"batchItemFailures":[{"itemIdentifier":123}]}`:                  failure,
		`{"batchItemFailures":["a"]}`:                                     failure,
		`{"batchItemFailures":"a"}`:                                       failure,
		`{"batchItemFailures":{}}`:                                        failure,
		`{"batchItemFailures":[{"itemIdentifier":"x"}]}`:                  failure,
		`{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":`: failure,
		`"done"`: failure,
		`["a"]`:  failure,
		`7`:      failure,
		`oops`:   failure,
	} {
		t.Run(raw, func(t *testing.T) {
			messages := []Message{{ID: "a", ReceiptHandle: "r-a"}, {ID: "b", ReceiptHandle: "r-b"}}
			resp, err := Raw(func(context.Context, []byte) ([]byte, error) { return []byte(raw), nil })(t.Context(), events.SQSEvent{}, nil)
			var done []string
			if err == nil {
				done, err = succeeded(messages, resp.BatchItemFailures)
			}
			switch want {
			case failure:
				require.Error(t, err)
			case nil:
				require.NoError(t, err)
				require.Equal(t, []string{"r-a", "r-b"}, done)
			default:
				require.NoError(t, err)
				for _, id := range want.([]string) {
					require.NotContains(t, done, "r-"+id)
				}
				require.Len(t, done, 2-len(want.([]string)))
			}
		})
	}
}

func TestRawCarriesEventAndError(t *testing.T) {
	var got events.SQSEvent
	failed := errors.New("exit status 1")
	_, err := Raw(func(_ context.Context, payload []byte) ([]byte, error) {
		require.NoError(t, json.Unmarshal(payload, &got))
		return nil, failed
	})(t.Context(), events.SQSEvent{Records: []events.SQSMessage{{MessageId: "a"}}}, nil)
	require.ErrorIs(t, err, failed)
	require.Equal(t, "a", got.Records[0].MessageId)
}
