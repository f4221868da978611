package permit_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/permit"
)

const template = `
Resources:
  ApiRole:
    Type: AWS::IAM::Role
    Properties:
      Policies:
        - PolicyName: api
          PolicyDocument:
            Statement:
              - { Effect: Allow, Action: [logs:PutLogEvents], Resource: !GetAtt ApiLogGroup.Arn }
              - { Effect: Allow, Action: [dynamodb:PutItem, dynamodb:BatchWriteItem], Resource: !GetAtt Table.Arn }
              - { Effect: Allow, Action: dynamodb:Query, Resource: !Sub "${Table.Arn}/index/GSI1" }
              - { Effect: Allow, Action: sqs:SendMessage, Resource: [!GetAtt Queue.Arn, !GetAtt DeadLetterQueue.Arn] }
              - Effect: Allow
                Action: kms:Decrypt
                Resource: !If [MakesKey, !GetAtt Key.Arn, !Ref KmsKeyArn]
                Condition: { "ForAnyValue:StringEquals": { kms:EncryptionContextKeys: posthorn:tenant } }
`

func read(t *testing.T, text string) (*permit.Policies, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "template.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return permit.Read(path)
}

var names = permit.Names{Table: "hooks", Queue: "main", DeadLetterQueue: "dead"}

// calls says of a call, on both sides of the wire, whether it is allowed.
func calls(t *testing.T, p *permit.Policies, function, target, body string) bool {
	t.Helper()
	reached := 0
	service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.Equal(t, body, string(got), "the call is handed on as it came")
		reached++
	})
	request := func() *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://aws.local/", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", target)
		return r
	}
	w := httptest.NewRecorder()
	p.Handler(function, names, service).ServeHTTP(w, request())
	direct := roundTripper(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		service.ServeHTTP(w, r)
		return w.Result(), nil
	})
	answer, err := p.Transport(function, names, direct).RoundTrip(request())
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, w.Code, answer.StatusCode)
	if w.Code == http.StatusOK {
		require.Equal(t, 2, reached)
		return true
	}
	require.Equal(t, "AccessDeniedException", answer.Header.Get("X-Amzn-Errortype"))
	require.Equal(t, "AccessDeniedException", w.Header().Get("X-Amzn-Errortype"))
	require.Zero(t, reached, "what is refused does not reach the service")
	return false
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestACallNeedsItsActionOnItsResource(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, function, target, body string
		allowed                      bool
	}{
		{"an action that is allowed", "ApiFunction", "DynamoDB_20120810.PutItem", `{"TableName":"hooks"}`, true},
		{"one that is not", "ApiFunction", "DynamoDB_20120810.DeleteItem", `{"TableName":"hooks"}`, false},
		{"another table", "ApiFunction", "DynamoDB_20120810.PutItem", `{"TableName":"others"}`, false},
		{"another function", "DeliverFunction", "DynamoDB_20120810.PutItem", `{"TableName":"hooks"}`, false},
		{"the index", "ApiFunction", "DynamoDB_20120810.Query", `{"TableName":"hooks","IndexName":"GSI1"}`, true},
		{"the table where only the index is allowed", "ApiFunction", "DynamoDB_20120810.Query", `{"TableName":"hooks"}`, false},
		{"a batch of writes", "ApiFunction", "DynamoDB_20120810.BatchWriteItem", `{"RequestItems":{"hooks":[]}}`, true},
		{"a batch of writes to another table too", "ApiFunction", "DynamoDB_20120810.BatchWriteItem", `{"RequestItems":{"hooks":[],"others":[]}}`, false},
		{"a transaction of what is allowed", "ApiFunction", "DynamoDB_20120810.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"hooks"}}]}`, true},
		{"a transaction of what is not", "ApiFunction", "DynamoDB_20120810.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"hooks"}},{"ConditionCheck":{"TableName":"hooks"}}]}`, false},
		{"a batch of messages", "ApiFunction", "AmazonSQS.SendMessageBatch", `{"QueueUrl":"http://sqs.local/1/dead"}`, true},
		{"another queue", "ApiFunction", "AmazonSQS.SendMessage", `{"QueueUrl":"http://sqs.local/1/others"}`, false},
		{"another action on a queue", "ApiFunction", "AmazonSQS.DeleteMessageBatch", `{"QueueUrl":"http://sqs.local/1/main"}`, false},
		{"a data key of a tenant", "ApiFunction", "TrentService.Decrypt", `{"EncryptionContext":{"posthorn:tenant":"acme"}}`, true},
		{"something else under the key", "ApiFunction", "TrentService.Decrypt", `{"EncryptionContext":{"other":"acme"}}`, false},
		{"something without a context", "ApiFunction", "TrentService.Decrypt", `{}`, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p, err := read(t, template)
			require.NoError(t, err)
			require.Equal(t, tc.allowed, calls(t, p, tc.function, tc.target, tc.body))
			require.Len(t, p.Refused(), map[bool]int{true: 0, false: 1}[tc.allowed])
		})
	}
}

func TestWhatNoCallUsedIsNamed(t *testing.T) {
	t.Parallel()
	p, err := read(t, template)
	require.NoError(t, err)
	require.True(t, calls(t, p, "ApiFunction", "DynamoDB_20120810.PutItem", `{"TableName":"hooks"}`))
	require.True(t, calls(t, p, "ApiFunction", "AmazonSQS.SendMessage", `{"QueueUrl":"http://sqs.local/1/main"}`))
	var unused []string
	for _, g := range p.Unused() {
		unused = append(unused, g.String())
	}
	require.Equal(t, []string{
		"ApiFunction: dynamodb:BatchWriteItem on !GetAtt Table.Arn",
		"ApiFunction: dynamodb:Query on !Sub ${Table.Arn}/index/GSI1",
		"ApiFunction: kms:Decrypt on !If MakesKey",
		"ApiFunction: sqs:SendMessage on !GetAtt DeadLetterQueue.Arn",
	}, unused, "and none of Lambda's own")
	require.Equal(t, []permit.Grant{
		{Function: "ApiFunction", Action: "dynamodb:PutItem", Resource: "!GetAtt Table.Arn"},
		{Function: "ApiFunction", Action: "sqs:SendMessage", Resource: "!GetAtt Queue.Arn"},
	}, p.Used())
}

func TestAPolicyThatIsNotUnderstoodIsRefused(t *testing.T) {
	t.Parallel()
	for _, replacement := range []string{
		"Effect: Deny, Action: [dynamodb:PutItem, dynamodb:BatchWriteItem]", "Effect: Allow, Action: dynamodb:*", "Effect: Allow, NotAction: dynamodb:PutItem",
		"Effect: Allow, Action: dynamodb:PutItem, Condition: { StringEquals: { a: b } }",
	} {
		_, err := read(t, strings.Replace(template, "Effect: Allow, Action: [dynamodb:PutItem, dynamodb:BatchWriteItem]", replacement, 1))
		require.ErrorContains(t, err, "not known here", replacement)
		require.ErrorContains(t, err, "ApiRole, line 11", replacement)
	}
	for old, replacement := range map[string]string{
		"kms:EncryptionContextKeys: posthorn:tenant": "kms:EncryptionContextKeys: posthorn:tenant, kms:ViaService: x",
		"      Policies:\n":                          "      ManagedPolicyArns: [arn:aws:iam::aws:policy/AdministratorAccess]\n      Policies:\n",
		"    Properties:\n":                          "    Properties:\n      PermissionsBoundary: arn:aws:iam::1:policy/x\n",
		"Effect: Allow, Action: dynamodb:Query, ":    "Effect: Allow, ",
		"{ Effect: Allow, Action: dynamodb:Query, Resource: !Sub \"${Table.Arn}/index/GSI1\" }": "!If [X, { Effect: Allow, Action: dynamodb:Query, Resource: \"*\" }, !Ref AWS::NoValue]",
	} {
		require.Contains(t, template, old)
		_, err := read(t, strings.Replace(template, old, replacement, 1))
		require.ErrorContains(t, err, "not known here", replacement)
		require.ErrorContains(t, err, "ApiRole, line ", replacement)
	}
	_, err := read(t, strings.Replace(template, "      Policies:\n", "      ManagedPolicyArns: !If [InVpc, [!Ref NetworkPolicy], !Ref AWS::NoValue]\n      Policies:\n", 1))
	require.NoError(t, err, "a role's way into a VPC is Lambda's")
}
