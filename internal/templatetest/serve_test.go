package templatetest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/permit"
)

// A process of posthorn serve does what the three functions do, and reads its
// messages itself: it may do the same, and find its queues by name.
func TestServeMayDoWhatTheFunctionsMay(t *testing.T) {
	t.Parallel()
	functions, err := permit.Read("../../template.yaml")
	require.NoError(t, err)
	want := map[permit.Grant]string{
		{Function: "serve", Action: "sqs:GetQueueUrl", Resource: "!GetAtt Queue.Arn"}:           "",
		{Function: "serve", Action: "sqs:GetQueueUrl", Resource: "!GetAtt DeadLetterQueue.Arn"}: "",
	}
	for g, context := range functions.Grants() {
		if !strings.HasPrefix(g.Action, "logs:") { // Lambda's own
			want[permit.Grant{Function: "serve", Action: g.Action, Resource: g.Resource}] = context
		}
	}
	serve, err := permit.ReadDocument("../../deploy/iam/serve.json", "serve")
	require.NoError(t, err)
	require.Equal(t, want, serve.Grants())
}
