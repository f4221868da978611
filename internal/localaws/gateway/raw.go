package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-lambda-go/events"
)

// Raw returns the Function of something that takes and answers JSON, as a real
// Lambda function does.
//
// An answer with a statusCode is taken as it is. Any other valid JSON is the
// body of a 200 with the content type application/json, a JSON string without
// its quotes: "Lambda function response for format 2.0" in the API Gateway
// developer guide. An answer that is not JSON is an error.
func Raw(invoke func(ctx context.Context, payload []byte) ([]byte, error)) Function {
	return func(ctx context.Context, req events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		payload, err := json.Marshal(req)
		if err != nil {
			return events.APIGatewayV2HTTPResponse{}, fmt.Errorf("encode the event: %w", err)
		}
		answer, err := invoke(ctx, payload)
		if err != nil {
			return events.APIGatewayV2HTTPResponse{}, fmt.Errorf("invoke the function: %w", err)
		}
		return infer(answer)
	}
}

// infer reads a raw answer.
func infer(answer []byte) (events.APIGatewayV2HTTPResponse, error) {
	answer = bytes.TrimSpace(answer)
	if !json.Valid(answer) {
		return events.APIGatewayV2HTTPResponse{}, errors.New("the function's answer is not JSON")
	}
	resp := events.APIGatewayV2HTTPResponse{
		StatusCode: http.StatusOK,
		Headers:    map[string]string{"content-type": "application/json"},
		Body:       string(answer),
	}
	switch answer[0] {
	case '"':
		if err := json.Unmarshal(answer, &resp.Body); err != nil {
			return events.APIGatewayV2HTTPResponse{}, fmt.Errorf("read the function's answer: %w", err)
		}
	case '{':
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(answer, &fields); err != nil {
			return events.APIGatewayV2HTTPResponse{}, fmt.Errorf("read the function's answer: %w", err)
		}
		if _, formatted := fields["statusCode"]; formatted {
			resp = events.APIGatewayV2HTTPResponse{}
			if err := json.Unmarshal(answer, &resp); err != nil {
				return events.APIGatewayV2HTTPResponse{}, fmt.Errorf("read the function's answer: %w", err)
			}
		}
	}
	return resp, nil
}
