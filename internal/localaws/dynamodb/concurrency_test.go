package dynamodb

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNoIncrementIsLost(t *testing.T) {
	t.Parallel()
	s := start(t)
	do(t, s.server, "CreateTable", benchTable, nil)
	const workers, each = 8, 100
	counterKey := `{"PK":{"S":"p"},"SK":{"S":"s"}}`
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				do(t, s.server, "UpdateItem", `{"TableName":"bench","Key":`+counterKey+`,"UpdateExpression":"ADD added :1","ExpressionAttributeValues":{":1":{"N":"1"}}}`, nil)
				for done := false; !done; { // read, and write on the condition that nobody did since
					var got struct{ Item struct{ Rev counter } }
					do(t, s.server, "GetItem", `{"TableName":"bench","Key":`+counterKey+`}`, &got)
					rev := got.Item.Rev.value(t)
					status, code, message := send(t, s.server, "UpdateItem", fmt.Sprintf(`{"TableName":"bench","Key":%s,"UpdateExpression":"SET Rev = :new",
						"ConditionExpression":"Rev = :old OR attribute_not_exists(Rev)","ExpressionAttributeValues":{":old":{"N":"%d"},":new":{"N":"%d"}}}`, counterKey, rev, rev+1))
					if done = status == http.StatusOK; !done {
						require.Equal(t, "ConditionalCheckFailedException", code, message)
					}
				}
			}
		})
	}
	wg.Wait()
	var got struct{ Item map[string]counter }
	do(t, s.server, "GetItem", `{"TableName":"bench","Key":`+counterKey+`}`, &got)
	require.Equal(t, workers*each, got.Item["added"].value(t))
	require.Equal(t, workers*each, got.Item["Rev"].value(t))
}

// Transactions that take from one account and give to another, in both
// directions, never deadlock, and nobody sees the sum differ.
func TestTransactionsKeepTheSum(t *testing.T) {
	t.Parallel()
	s := start(t)
	do(t, s.server, "CreateTable", benchTable, nil)
	const accounts, workers, each = 5, 6, 60
	account := func(i int) string { return fmt.Sprintf(`{"PK":{"S":"a%d"},"SK":{"S":"s"}}`, i%accounts) }
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				move := func(k string, n int) string {
					return fmt.Sprintf(`{"Update":{"TableName":"bench","Key":%s,"UpdateExpression":"ADD N :n","ExpressionAttributeValues":{":n":{"N":"%d"}}}}`, k, n)
				}
				a, b := account(w+i), account(w+2*i+1)
				if a == b {
					continue
				}
				do(t, s.server, "TransactWriteItems", `{"TransactItems":[`+move(a, -7)+`,`+move(b, 7)+`]}`, nil)
			}
		})
		wg.Go(func() {
			for range each {
				body := ""
				for i := range accounts {
					if i > 0 {
						body += ","
					}
					body += `{"Get":{"TableName":"bench","Key":` + account(i) + `}}`
				}
				var out struct {
					Responses []struct{ Item struct{ N counter } }
				}
				do(t, s.server, "TransactGetItems", `{"TransactItems":[`+body+`]}`, &out)
				sum := 0
				for _, r := range out.Responses {
					sum += r.Item.N.value(t)
				}
				require.Zero(t, sum)
			}
		})
	}
	wg.Wait()
}

// One token sent many times at once does its transaction once.
func TestOneTokenOneTransaction(t *testing.T) {
	t.Parallel()
	s := start(t)
	do(t, s.server, "CreateTable", benchTable, nil)
	body := `{"ClientRequestToken":"once","TransactItems":[{"Update":{"TableName":"bench","Key":{"PK":{"S":"p"},"SK":{"S":"s"}},"UpdateExpression":"ADD N :1","ExpressionAttributeValues":{":1":{"N":"1"}}}}]}`
	require.True(t, json.Valid([]byte(body)))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { do(t, s.server, "TransactWriteItems", body, nil) })
	}
	wg.Wait()
	var got struct{ Item struct{ N counter } }
	do(t, s.server, "GetItem", `{"TableName":"bench","Key":{"PK":{"S":"p"},"SK":{"S":"s"}}}`, &got)
	require.Equal(t, 1, got.Item.N.value(t))
}
