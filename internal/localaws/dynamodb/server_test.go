package dynamodb

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/localaws/store"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// clock is a time that tests set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// setup is a server over an empty store in memory and an SDK client of it.
type setup struct {
	*sdk.Client
	server *Server
	clock  *clock
	ctx    context.Context
}

func start(t testing.TB) *setup {
	t.Helper()
	db, err := store.OpenMemory()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	c := &clock{at: time.Unix(1_800_000_000, 0)}
	s, err := New(Options{Store: db, Now: c.now})
	require.NoError(t, err)
	return &setup{client(t, s), s, c, t.Context()}
}

// client is an SDK client of a server behind a real listener.
func client(t testing.TB, h http.Handler) *sdk.Client {
	t.Helper()
	web := httptest.NewServer(h)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		web.Close()
	})
	return sdk.New(sdk.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(web.URL),
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:   &http.Client{Transport: transport},
	})
}

const tableName = "things"

// createTable makes a table with the keys of the product's own, and an index
// of each projection.
func (s *setup) createTable(t testing.TB) {
	t.Helper()
	_, err := s.CreateTable(s.ctx, tableInput(tableName))
	require.NoError(t, err)
	_, err = s.UpdateTimeToLive(s.ctx, &sdk.UpdateTimeToLiveInput{
		TableName:               aws.String(tableName),
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expires_at"), Enabled: aws.Bool(true)},
	})
	require.NoError(t, err)
}

func tableInput(name string) *sdk.CreateTableInput {
	attr := func(name string, k types.ScalarAttributeType) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: k}
	}
	ks := func(hash, sort string) []types.KeySchemaElement {
		return []types.KeySchemaElement{
			{AttributeName: aws.String(hash), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(sort), KeyType: types.KeyTypeRange},
		}
	}
	return &sdk.CreateTableInput{
		TableName:   aws.String(name),
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			attr("PK", types.ScalarAttributeTypeS), attr("SK", types.ScalarAttributeTypeS),
			attr("GPK", types.ScalarAttributeTypeS), attr("GSK", types.ScalarAttributeTypeN),
		},
		KeySchema: ks("PK", "SK"),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{
			{IndexName: aws.String("KEYS"), KeySchema: ks("GPK", "GSK"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}},
			{IndexName: aws.String("SOME"), KeySchema: ks("GPK", "SK"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{"a", "b"}}},
			{IndexName: aws.String("EVERY"), KeySchema: ks("GPK", "GSK"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}},
		},
	}
}

type attrs = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }
func bin(s string) types.AttributeValue { return &types.AttributeValueMemberB{Value: []byte(s)} }
func list(v ...types.AttributeValue) types.AttributeValue {
	return &types.AttributeValueMemberL{Value: v}
}
func dict(m attrs) types.AttributeValue     { return &types.AttributeValueMemberM{Value: m} }
func strs(s ...string) types.AttributeValue { return &types.AttributeValueMemberSS{Value: s} }
func nums(s ...string) types.AttributeValue { return &types.AttributeValueMemberNS{Value: s} }
func truth(b bool) types.AttributeValue     { return &types.AttributeValueMemberBOOL{Value: b} }
func null() types.AttributeValue            { return &types.AttributeValueMemberNULL{Value: true} }
func key(pk, sk string) attrs               { return attrs{"PK": str(pk), "SK": str(sk)} }
func thing(pk, sk string, more attrs) attrs {
	out := key(pk, sk)
	for k, v := range more {
		out[k] = v
	}
	return out
}

func (s *setup) put(t testing.TB, it attrs) {
	t.Helper()
	_, err := s.PutItem(s.ctx, &sdk.PutItemInput{TableName: aws.String(tableName), Item: it})
	require.NoError(t, err)
}

func (s *setup) get(t testing.TB, pk, sk string) attrs {
	t.Helper()
	out, err := s.GetItem(s.ctx, &sdk.GetItemInput{TableName: aws.String(tableName), Key: key(pk, sk), ConsistentRead: aws.Bool(true)})
	require.NoError(t, err)
	return out.Item
}

// requireError checks the code and a part of the message of a refusal.
func requireError(t testing.TB, err error, code, message string) {
	t.Helper()
	var e smithy.APIError
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.ErrorCode(), e.ErrorMessage())
	require.Contains(t, e.ErrorMessage(), message)
}

func TestItemsComeBackAsTheyWerePut(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	it := thing("p", "s", attrs{
		"text":   str("héllo \"quoted\" \\ \n\t\x01 \u2028 😀"),
		"empty":  str(""),
		"number": num("-12.5"),
		"bytes":  bin("\x00\xff\x10"),
		"yes":    truth(true),
		"no":     truth(false),
		"null":   null(),
		"list":   list(str("a"), num("1"), list([]types.AttributeValue{}...), dict(attrs{"x": null()})),
		"map":    dict(attrs{"k": list(str("v")), "empty": dict(attrs{})}),
		"ss":     strs("a", "b"),
		"ns":     nums("1", "2.5"),
		"bs":     &types.AttributeValueMemberBS{Value: [][]byte{{0}, {1, 2}}},
	})
	s.put(t, it)
	require.Equal(t, it, s.get(t, "p", "s"))
	require.Nil(t, s.get(t, "p", "other"))
}
