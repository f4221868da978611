package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"flag"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"posthorn/internal/localaws/gateway"
	"posthorn/internal/localaws/poller"
	"posthorn/internal/localaws/schedule"
)

// Other stand-ins for AWS. With the first, the stories are told on it instead of
// on the local default; with both, on each.
var (
	localstackURL    = flag.String("localstack", "", "URL of a running LocalStack, on which the stories are told")
	dynamodbLocalURL = flag.String("dynamodb-local", "", "URL of a running DynamoDB Local with one table space, to stand behind DynamoDB once more")
)

// background is for what is cleaned up after a test.
var background = context.Background()

// oracle is somebody else's stand-in for AWS, and what template.yaml made on it.
type oracle struct {
	url      string
	dynamodb string // URL of DynamoDB, if it is another
	stack    *stack
}

// oracles are the modes on what the flags name: the three bootstraps, on a stack
// of their own for each story.
func oracles() []mode {
	list := []mode{{name: "LocalStack", workers: environments, oracle: oracle{url: *localstackURL}}}
	if *dynamodbLocalURL != "" {
		list = append(list, mode{name: "LocalStack with DynamoDB Local", workers: environments, oracle: oracle{url: *localstackURL, dynamodb: *dynamodbLocalURL}})
	}
	return list
}

// account is the configuration for services at a URL.
func account(url string) aws.Config {
	return aws.Config{Region: "us-east-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
}

// tables is where the oracle's tables are.
func (o *oracle) tables() aws.Config {
	if o.dynamodb != "" {
		return account(o.dynamodb)
	}
	return account(o.url)
}

// environment is what a program needs to reach the oracle.
func (o *oracle) environment() map[string]string {
	env := map[string]string{"AWS_ENDPOINT_URL": o.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
	if o.dynamodb != "" {
		env["AWS_ENDPOINT_URL_DYNAMODB"] = o.dynamodb
	}
	return env
}

// assume is the environment of a function that has its role's credentials, as
// Lambda gives them. LocalStack's free edition lets every role do everything:
// what each may do is held against the code in internal/templatetest.
func (o *oracle) assume(t testing.TB, function string) map[string]string {
	t.Helper()
	arn := o.stack.roles[function]
	require.Contains(t, arn, ":role/", function)
	out, err := sts.NewFromConfig(account(o.url)).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: &function})
	require.NoError(t, err)
	return map[string]string{
		"AWS_ACCESS_KEY_ID": *out.Credentials.AccessKeyId, "AWS_SECRET_ACCESS_KEY": *out.Credentials.SecretAccessKey,
		"AWS_SESSION_TOKEN": *out.Credentials.SessionToken,
	}
}

// startOnOracle starts a system whose functions run as real processes, on what
// CloudFormation has made of template.yaml.
func startOnOracle(t testing.TB, m mode) *system {
	t.Helper()
	o := &m.oracle
	o.stack = deploy(t, account(o.url), "posthorn-"+strings.ToLower(rand.Text()[:8]))
	table := o.stack.environment["POSTHORN_TABLE"]
	if o.dynamodb != "" {
		moveTable(t, account(o.url), account(o.dynamodb), table)
	}
	t.Cleanup(func() { o.deleteWhatStays(t) })

	s := &system{
		t: t, receiver: newReceiver(t), log: &logged{}, oracle: o,
		account: account(o.url), queueURL: o.stack.environment["POSTHORN_QUEUE_URL"],
	}
	s.env = maps.Clone(o.stack.environment)
	maps.Copy(s.env, environment(s.receiver.port()))
	maps.Copy(s.env, m.env)
	s.watchLog()
	functions := s.functions(func(function string) map[string]string {
		env := o.environment()
		maps.Copy(env, o.assume(t, function))
		return env
	})

	api := listen(t)
	s.url = "http://" + api.Addr().String()
	quiet := slog.New(slog.DiscardHandler)
	web := &http.Server{Handler: gateway.New(functions.API, gateway.Options{Logger: quiet})}
	mapping := poller.New(poller.Options{
		Queue: sdkQueue{sqs.NewFromConfig(s.account), s.queueURL}, Function: functions.Deliver, Workers: m.workers, Logger: quiet,
	})
	sweeps := schedule.Schedule{Name: "dlq-sweeper", Interval: 200 * time.Millisecond, Function: functions.Sweep, Logger: quiet}
	ctx, stop := context.WithCancel(background)
	served, ended := make(chan error, 1), make(chan error, 2)
	go func() { served <- web.Serve(api) }()
	go func() { ended <- mapping.Run(ctx) }()
	go func() { ended <- sweeps.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		require.NoError(t, <-ended)
		require.NoError(t, web.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return s
}

// moveTable makes a table as CloudFormation has made it elsewhere, where there
// is none afterwards: who asks there is answered so.
func moveTable(t testing.TB, from, to aws.Config, name string) {
	t.Helper()
	made, copied := dynamodb.NewFromConfig(from), dynamodb.NewFromConfig(to)
	described, err := made.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &name})
	require.NoError(t, err)
	in := &dynamodb.CreateTableInput{
		TableName: &name, AttributeDefinitions: described.Table.AttributeDefinitions, KeySchema: described.Table.KeySchema,
		BillingMode: described.Table.BillingModeSummary.BillingMode,
	}
	for _, index := range described.Table.GlobalSecondaryIndexes {
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, dynamodbtypes.GlobalSecondaryIndex{
			IndexName: index.IndexName, KeySchema: index.KeySchema, Projection: index.Projection,
		})
	}
	_, err = copied.CreateTable(t.Context(), in)
	require.NoError(t, err)
	ttl, err := made.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &name})
	require.NoError(t, err)
	_, err = copied.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{
		TableName: &name, TimeToLiveSpecification: &dynamodbtypes.TimeToLiveSpecification{AttributeName: ttl.TimeToLiveDescription.AttributeName, Enabled: aws.Bool(true)},
	})
	require.NoError(t, err)
	_, err = made.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &name})
	require.NoError(t, err)
}

// deleteWhatStays deletes the table and the key, which outlive the stack.
func (o *oracle) deleteWhatStays(t testing.TB) {
	table, key := o.stack.environment["POSTHORN_TABLE"], o.stack.environment["POSTHORN_KMS_KEY_ID"]
	_, err := dynamodb.NewFromConfig(o.tables()).DeleteTable(background, &dynamodb.DeleteTableInput{TableName: &table})
	require.NoError(t, err)
	_, err = kms.NewFromConfig(account(o.url)).ScheduleKeyDeletion(background, &kms.ScheduleKeyDeletionInput{KeyId: &key})
	require.NoError(t, err)
}

// contents is all that the table holds.
func (o *oracle) contents(t testing.TB) []byte {
	t.Helper()
	table := o.stack.environment["POSTHORN_TABLE"]
	var all bytes.Buffer
	pages := dynamodb.NewScanPaginator(dynamodb.NewFromConfig(o.tables()), &dynamodb.ScanInput{TableName: &table})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, it := range page.Items {
			write(&all, &dynamodbtypes.AttributeValueMemberM{Value: it})
		}
	}
	return all.Bytes()
}

// write writes the texts and bytes in a value.
func write(to *bytes.Buffer, v dynamodbtypes.AttributeValue) {
	switch v := v.(type) {
	case *dynamodbtypes.AttributeValueMemberS:
		to.WriteString(v.Value)
	case *dynamodbtypes.AttributeValueMemberB:
		to.Write(v.Value)
	case *dynamodbtypes.AttributeValueMemberL:
		for _, e := range v.Value {
			write(to, e)
		}
	case *dynamodbtypes.AttributeValueMemberM:
		for name, e := range v.Value {
			to.WriteString(name)
			write(to, e)
		}
	}
}

// sdkQueue is a queue behind the SDK, as the poller takes it.
type sdkQueue struct {
	client *sqs.Client
	url    string
}

func (q sdkQueue) Receive(ctx context.Context, limit int, wait time.Duration) ([]poller.Message, error) {
	out, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &q.url, MaxNumberOfMessages: int32(limit), WaitTimeSeconds: int32(wait / time.Second),
		MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{sqstypes.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, err
	}
	messages := make([]poller.Message, len(out.Messages))
	for i, m := range out.Messages {
		messages[i] = poller.Message{ID: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, MD5OfBody: *m.MD5OfBody, Attributes: m.Attributes}
	}
	return messages, nil
}

func (q sdkQueue) Delete(ctx context.Context, receiptHandles []string) error {
	for _, h := range receiptHandles {
		if _, err := q.client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &q.url, ReceiptHandle: &h}); err != nil {
			return err
		}
	}
	return nil
}
