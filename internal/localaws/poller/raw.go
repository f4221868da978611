package poller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
)

// Raw returns the Function of something that takes and answers JSON, as a real
// Lambda function does.
//
// Its answer is read by the "Success and failure conditions" of the Lambda
// developer guide, which are written out in "Configuring partial batch response
// with DynamoDB and Lambda" and its Kinesis twin. A complete success: an empty
// or null batchItemFailures list, an empty or null response; an empty string or
// list counts as an empty response. A complete failure: an empty or null
// itemIdentifier, one with a bad key name, and, for SQS, an answer that is not
// JSON or not of that form. Key names are case-sensitive.
func Raw(invoke func(ctx context.Context, payload []byte) ([]byte, error)) Function {
	return func(ctx context.Context, batch events.SQSEvent, _ func(messageID string)) (events.SQSEventResponse, error) {
		payload, err := json.Marshal(batch)
		if err != nil {
			return events.SQSEventResponse{}, fmt.Errorf("encode the batch: %w", err)
		}
		answer, err := invoke(ctx, payload)
		if err != nil {
			return events.SQSEventResponse{}, fmt.Errorf("invoke the function: %w", err)
		}
		return report(answer)
	}
}

// report reads a raw answer. An error is a complete failure.
func report(answer []byte) (resp events.SQSEventResponse, err error) {
	answer = bytes.TrimSpace(answer)
	switch string(answer) {
	case "", "null", `""`, "[]":
		return resp, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(answer, &fields); err != nil {
		return resp, fmt.Errorf("read the report: %w", err)
	}
	list, ok := fields["batchItemFailures"]
	if !ok {
		return resp, nil
	}
	var items []map[string]json.RawMessage
	if err := json.Unmarshal(list, &items); err != nil {
		return resp, fmt.Errorf("read batchItemFailures: %w", err)
	}
	for _, item := range items {
		var id string // stays empty for null
		raw, ok := item["itemIdentifier"]
		if !ok {
			return resp, errors.New("an item of batchItemFailures has no itemIdentifier")
		}
		if err := json.Unmarshal(raw, &id); err != nil {
			return resp, fmt.Errorf("read itemIdentifier: %w", err)
		}
		resp.BatchItemFailures = append(resp.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: id})
	}
	return resp, nil
}
