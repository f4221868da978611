package main

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"posthorn/internal/config"
	"posthorn/internal/localaws"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/wire"
)

// emulator is an account over HTTP, which the environment names, with a table
// and queues that are as they have to be.
func emulator(t *testing.T) wire.Services {
	t.Helper()
	services, err := localaws.Open("")
	require.NoError(t, err)
	server := httptest.NewServer(services)
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, services.Close())
	})
	account(t, server.URL)
	on := wire.Local(inproc.Client(services), server.URL)
	cfg, err := config.Load(config.Local, config.Source{Getenv: func(string) string { return "" }})
	require.NoError(t, err)
	require.NoError(t, wire.Provision(t.Context(), cfg, on))
	return on
}

func TestTheDoctorExaminesWithoutChangingAnything(t *testing.T) {
	on := emulator(t)
	key, err := kms.NewFromConfig(on).CreateKey(t.Context(), &kms.CreateKeyInput{})
	require.NoError(t, err)
	id := *key.KeyMetadata.KeyId

	well := posthorn(t, "doctor", "--kms-key", id)
	require.Zero(t, well.code, well.stderr+well.stdout)
	require.NotContains(t, well.stdout, "wrong")
	require.Contains(t, well.stdout, "ok       table posthorn has the keys PK:S and SK:S\n")
	require.Contains(t, well.stdout, "KMS key "+id+" is enabled")
	require.Contains(t, well.stdout, "warning  table posthorn has no point-in-time recovery\n")

	// A stack that somebody has changed, and a table of somebody else's.
	queues := sqs.NewFromConfig(on)
	queue, err := queues.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("posthorn-deliveries")})
	require.NoError(t, err)
	attributes := map[string]string{"RedrivePolicy": "", "VisibilityTimeout": "30"}
	_, err = queues.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: queue.QueueUrl, Attributes: attributes})
	require.NoError(t, err)
	_, err = dynamodb.NewFromConfig(on).CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("theirs"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
	})
	require.NoError(t, err)
	ill := posthorn(t, "doctor", "--table", "theirs", "--json")
	require.Equal(t, exitFailure, ill.code)
	require.Equal(t, "posthorn: 5 things are wrong\n", ill.stderr)
	var shown struct {
		OK       bool
		Findings []struct{ Level, About, Says, Do string }
	}
	require.NoError(t, json.Unmarshal([]byte(ill.stdout), &shown))
	require.False(t, shown.OK)
	var wrong []string
	for _, f := range shown.Findings {
		if f.Level == "wrong" {
			wrong = append(wrong, f.About+" "+f.Says)
			require.NotEmpty(t, f.Do)
		}
	}
	for i, says := range []string{
		"table theirs has the keys id:S alone, not PK:S and SK:S", "table theirs has no index GSI1", "table theirs has no time to live",
		"queue posthorn-deliveries has no redrive policy", "queue posthorn-deliveries hides a received message for 30s",
	} {
		require.Contains(t, wrong[i], says)
	}

	missing := posthorn(t, "doctor", "--table", "nothing", "--queue", "nothing", "--dead-letter-queue", "none", "--kms-key", "alias/nothing")
	require.Equal(t, exitFailure, missing.code)
	for _, says := range []string{"table nothing is not there", "queue nothing is not there", "dead-letter queue none is not there", "KMS key alias/nothing KMS refuses DescribeKey"} {
		require.Contains(t, missing.stdout, says)
	}
	require.Equal(t, "posthorn: 4 things are wrong\n", missing.stderr)
}

func TestADoctorOfThisMachineGivesNoAdviceForAnAccount(t *testing.T) {
	_, port, ok := strings.Cut(strings.TrimPrefix(after(t, startLocal(t, map[string]string{}), "SQS, DynamoDB "), "http://"), ":")
	require.True(t, ok)
	o := posthorn(t, "doctor", "--local", "--aws-port", port)
	require.Zero(t, o.code, o.stderr)
	require.Contains(t, o.stdout, "has no point-in-time recovery\n         -> copy its data folder while it is stopped")
	require.NotContains(t, o.stdout, "template")
}

func TestADoctorWithoutAnAccountSaysWhatIsMissing(t *testing.T) {
	nothing(t)
	for _, command := range [][]string{{"doctor"}, {"keys", "list", "--table", "posthorn"}, {"reconcile"}} {
		o := posthorn(t, command...)
		require.Equal(t, exitUsage, o.code)
		require.Equal(t, 1, strings.Count(o.stderr, "\n"), o.stderr)
		for _, what := range []string{"AWS_REGION: ", "AWS_ACCESS_KEY_ID", "--local"} {
			require.Contains(t, o.stderr, what)
		}
		require.NotContains(t, o.stderr, "operation error")
	}
	t.Setenv("AWS_PROFILE", "nobody's")
	o := posthorn(t, "keys", "list", "--table", "posthorn")
	require.Equal(t, exitUsage, o.code)
	require.Contains(t, o.stderr, "nobody's")
	require.Equal(t, 1, strings.Count(o.stderr, "\n"), o.stderr)
}

// nothing is an environment in which the SDK finds neither region nor
// credentials.
func nothing(t *testing.T) {
	t.Helper()
	account(t, "")
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
}

func TestServicesThatRefuseAreQuotedInOneLine(t *testing.T) {
	emulator(t)
	o := posthorn(t, "keys", "list", "--table", "nothing")
	require.Equal(t, exitFailure, o.code)
	require.Equal(t, "posthorn: there is no table nothing in eu-central-1: name it with --table\n", o.stderr)
}

func TestServeRefusesServicesThatAreNotThere(t *testing.T) {
	emulator(t)
	t.Setenv("PORT", "0")
	t.Setenv("POSTHORN_SEAL_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	for says, args := range map[string][]string{
		"there is no table nothing in eu-central-1: set POSTHORN_TABLE or --table": {"--table", "nothing", "--queue", "posthorn-deliveries", "--dead-letter-queue", "posthorn-dead-letters"},
		"there is no queue nothing, or no dead-letter queue none":                  {"--table", "posthorn", "--queue", "nothing", "--dead-letter-queue", "none"},
	} {
		o := posthorn(t, append([]string{"serve"}, args...)...)
		require.Equal(t, exitFailure, o.code)
		require.Contains(t, o.stderr, says)
		require.Contains(t, o.stderr, "posthorn doctor")
		require.Equal(t, 1, strings.Count(o.stderr, "\n"), o.stderr)
	}
	o := posthorn(t, "serve", "--provision", "--table", "hooks", "--queue", "http://127.0.0.1/1/a", "--dead-letter-queue", "b")
	require.Equal(t, exitUsage, o.code)
	require.Contains(t, o.stderr, "--provision")
}

func TestHealthAsksARunningServer(t *testing.T) {
	greeting := startLocal(t, map[string]string{})
	url := after(t, greeting, "API ")
	for _, args := range [][]string{{"--server", url}, {"--server", url + "/", "--ready"}} {
		o := posthorn(t, append([]string{"health"}, args...)...)
		require.Zero(t, o.code, o.stderr)
		require.Contains(t, o.stdout, "status")
	}
	host, port, ok := strings.Cut(strings.TrimPrefix(url, "http://"), ":")
	require.True(t, ok)
	t.Setenv("HOST", "0.0.0.0")
	t.Setenv("PORT", port)
	require.Equal(t, "127.0.0.1", host)
	require.Zero(t, posthorn(t, "health").code, "the server that the environment describes")
	t.Setenv("PORT", "1")
	o := posthorn(t, "health")
	require.Equal(t, exitFailure, o.code)
	require.Contains(t, o.stderr, "nothing answers at http://127.0.0.1:1/health")
	require.Equal(t, exitUsage, posthorn(t, "health", "--server", "8000").code)
	ill := httptest.NewServer(nil)
	defer ill.Close()
	o = posthorn(t, "health", "--server", ill.URL)
	require.Equal(t, exitFailure, o.code)
	require.Contains(t, o.stderr, "404")
}

func TestUntilSignalEndsWithoutOne(t *testing.T) {
	ctx, release := untilSignal(context.Background())
	require.NoError(t, ctx.Err())
	release()
	require.Error(t, ctx.Err())
}
