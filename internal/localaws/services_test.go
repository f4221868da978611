package localaws

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARequestGoesToTheServiceItNames(t *testing.T) {
	t.Parallel()
	services, err := Open("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, services.Close()) })
	for target, says := range map[string]string{
		"AmazonSQS.ListQueues":         `{}`,
		"DynamoDB_20120810.ListTables": `"TableNames"`,
		"TrentService.CreateKey":       `"KeyMetadata"`,
		"AWSSecurityTokenService.X":    `there was "AWSSecurityTokenService.X"`,
		"":                             "This endpoint serves SQS, DynamoDB and KMS",
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
		r.Header.Set("X-Amz-Target", target)
		w := httptest.NewRecorder()
		services.ServeHTTP(w, r)
		require.Contains(t, w.Body.String(), says, target)
	}
}
