package permit_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/permit"
)

func document(t *testing.T, statement string) (*permit.Policies, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"Version":"2012-10-17","Statement":[`+statement+`]}`), 0o600))
	return permit.ReadDocument(file, "program")
}

func TestADocumentAllowsWhatItNames(t *testing.T) {
	t.Parallel()
	p, err := document(t, `{"Effect":"Allow","Action":["sqs:GetQueueUrl","sqs:SendMessage"],"Resource":"QUEUE_ARN"}`)
	require.NoError(t, err)
	require.True(t, calls(t, p, "program", "AmazonSQS.GetQueueUrl", `{"QueueName":"main"}`))
	require.True(t, calls(t, p, "program", "AmazonSQS.SendMessageBatch", `{"QueueUrl":"http://sqs.local/1/main"}`))
	require.False(t, calls(t, p, "program", "AmazonSQS.GetQueueUrl", `{"QueueName":"dead"}`))
	require.False(t, calls(t, p, "another", "AmazonSQS.GetQueueUrl", `{"QueueName":"main"}`))
}

func TestADocumentThatIsNotUnderstoodIsRefused(t *testing.T) {
	t.Parallel()
	for statement, reason := range map[string]string{
		`{"Effect":"Deny","Action":"sqs:SendMessage","Resource":"QUEUE_ARN"}`:  `line 1: effect "Deny" is not known here`,
		`{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"SOMEWHERE"}`: `resource "SOMEWHERE" is not known here`,
	} {
		_, err := document(t, statement)
		require.ErrorContains(t, err, reason)
	}
}
