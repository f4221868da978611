package dynamodb

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"posthorn/internal/localaws/store"
)

func TestEverythingIsThereAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := func() (*setup, func()) {
		db, err := store.Open(dir)
		require.NoError(t, err)
		server, err := New(Options{Store: db})
		require.NoError(t, err)
		return &setup{Client: client(t, server), server: server, ctx: t.Context()}, func() { require.NoError(t, db.Close()) }
	}
	s, stop := open()
	s.createTable(t)
	it := thing("p", "s", attrs{"GPK": str("g"), "GSK": num("1"), "expires_at": num("1700000000"), "l": list(nums("1", "2"), bin("\x00"))})
	s.put(t, it)
	stop()

	s, stop = open()
	require.Equal(t, it, s.get(t, "p", "s"))
	q, err := s.Query(s.ctx, &sdk.QueryInput{TableName: aws.String(tableName), IndexName: aws.String("EVERY"), KeyConditionExpression: aws.String("GPK = :g"), ExpressionAttributeValues: attrs{":g": str("g")}})
	require.NoError(t, err)
	require.Equal(t, []attrs{it}, q.Items)
	// A table made after the restart does not share the first one's items.
	_, err = s.CreateTable(s.ctx, tableInput("second"))
	require.NoError(t, err)
	scan, err := s.Scan(s.ctx, &sdk.ScanInput{TableName: aws.String("second")})
	require.NoError(t, err)
	require.Empty(t, scan.Items)
	n, err := s.server.SweepExpired(s.ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	stop()
}

// do posts a request that has to succeed, and decodes the answer.
func do(t tester, h http.Handler, operation, body string, out any) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", targetPrefix+operation)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	if out != nil {
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), out))
	}
}

type counter struct{ N string }

func (c counter) value(t tester) int {
	if c.N == "" {
		return 0
	}
	n, err := strconv.Atoi(c.N)
	require.NoError(t, err)
	return n
}

// TestALossOfPowerUndoesNothingThatWasTold has writers count up, and readers
// look, while copies of the disk are taken as a loss of power would leave them.
// Each copy has to hold at least what was answered before it was taken.
func TestALossOfPowerUndoesNothingThatWasTold(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	db, err := store.OpenFS(fs, "db")
	require.NoError(t, err)
	s, err := New(Options{Store: db})
	require.NoError(t, err)
	do(t, s, "CreateTable", benchTable, nil)

	const writers, crashes = 4, 12
	keyOf := func(w int) string { return fmt.Sprintf(`{"PK":{"S":"p%d"},"SK":{"S":"s"}}`, w) }
	var mu sync.Mutex
	var told [2 * writers]int // by writers' counters, then by their transactions'
	tell := func(i, n int) {
		mu.Lock()
		defer mu.Unlock()
		told[i] = max(told[i], n)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() { // counts up, and moves through the index
			for {
				select {
				case <-stop:
					return
				default:
				}
				var out struct{ Attributes struct{ N counter } }
				do(t, s, "UpdateItem", `{"TableName":"bench","Key":`+keyOf(w)+`,"UpdateExpression":"ADD #n :1 SET GSI1PK = :g, GSI1SK = :g","ReturnValues":"ALL_NEW",
					"ExpressionAttributeNames":{"#n":"N"},"ExpressionAttributeValues":{":1":{"N":"1"},":g":{"S":"g`+strconv.Itoa(w)+`"}}}`, &out)
				tell(w, out.Attributes.N.value(t))
			}
		})
		wg.Go(func() { // looks, and is told the same
			for {
				select {
				case <-stop:
					return
				default:
				}
				var out struct{ Item struct{ N counter } }
				do(t, s, "GetItem", `{"TableName":"bench","Key":`+keyOf(w)+`}`, &out)
				tell(w, out.Item.N.value(t))
			}
		})
		wg.Go(func() { // two items that always change together
			for i := 1; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				put := func(sk string) string {
					return fmt.Sprintf(`{"Put":{"TableName":"bench","Item":{"PK":{"S":"tx%d"},"SK":{"S":"%s"},"N":{"N":"%d"}}}}`, w, sk, i)
				}
				do(t, s, "TransactWriteItems", `{"TransactItems":[`+put("a")+`,`+put("b")+`]}`, nil)
				tell(writers+w, i)
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for crash := range crashes {
		for {
			mu.Lock()
			before := told
			mu.Unlock()
			if before[0] <= crash*20 {
				continue // let it go on for a while
			}
			left := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			requireTold(t, left, before[:writers], before[writers:], keyOf)
			break
		}
	}
	close(stop)
	wg.Wait()
	require.NoError(t, db.Close())
}

// requireTold opens what a loss of power left and checks it.
func requireTold(t *testing.T, fs vfs.FS, counted, transacted []int, keyOf func(int) string) {
	t.Helper()
	db, err := store.OpenFS(fs, "db")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	s, err := New(Options{Store: db})
	require.NoError(t, err)
	for w, n := range counted {
		var got struct{ Item struct{ N counter } }
		do(t, s, "GetItem", `{"TableName":"bench","Key":`+keyOf(w)+`}`, &got)
		require.GreaterOrEqual(t, got.Item.N.value(t), n)
		var q struct{ Count int }
		do(t, s, "Query", `{"TableName":"bench","IndexName":"GSI1","KeyConditionExpression":"GSI1PK = :g","ExpressionAttributeValues":{":g":{"S":"g`+strconv.Itoa(w)+`"}}}`, &q)
		require.Equal(t, min(1, got.Item.N.value(t)), q.Count, "an item and its index entry go together")
	}
	for w, n := range transacted {
		var q struct{ Items []struct{ N counter } }
		do(t, s, "Query", fmt.Sprintf(`{"TableName":"bench","KeyConditionExpression":"PK = :p","ExpressionAttributeValues":{":p":{"S":"tx%d"}}}`, w), &q)
		if n == 0 && len(q.Items) == 0 {
			continue
		}
		require.Len(t, q.Items, 2)
		require.Equal(t, q.Items[0], q.Items[1], "a transaction is there or is not")
		require.GreaterOrEqual(t, q.Items[0].N.value(t), n)
	}
}

// TestWhatIsShownIsOnDisk leaves a write as it is while its writer waits for
// the disk. Whoever is told of it meanwhile has to find it after a loss of power.
func TestWhatIsShownIsOnDisk(t *testing.T) {
	t.Parallel()
	const where = `{"PK":{"S":"p"},"SK":{"S":"s"}}`
	tests := map[string]struct{ operation, body string }{
		"get":                 {"GetItem", `{"TableName":"bench","Key":` + where + `}`},
		"query":               {"Query", `{"TableName":"bench","KeyConditionExpression":"PK = :p","ExpressionAttributeValues":{":p":{"S":"p"}}}`},
		"scan":                {"Scan", `{"TableName":"bench"}`},
		"batch":               {"BatchGetItem", `{"RequestItems":{"bench":{"Keys":[` + where + `]}}}`},
		"transaction":         {"TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"bench","Key":` + where + `}}]}`},
		"failed condition":    {"PutItem", `{"TableName":"bench","Item":` + where + `,"ConditionExpression":"attribute_not_exists(PK)"}`},
		"failed check":        {"TransactWriteItems", `{"TransactItems":[{"ConditionCheck":{"TableName":"bench","Key":` + where + `,"ConditionExpression":"attribute_not_exists(PK)"}}]}`},
		"check that succeeds": {"TransactWriteItems", `{"TransactItems":[{"ConditionCheck":{"TableName":"bench","Key":` + where + `,"ConditionExpression":"attribute_exists(PK)"}}]}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewCrashableMem()
			db, err := store.OpenFS(fs, "db")
			require.NoError(t, err)
			defer func() { require.NoError(t, db.Close()) }()
			s, err := New(Options{Store: db})
			require.NoError(t, err)
			do(t, s, "CreateTable", benchTable, nil)
			it := item{{"PK", value{kind: kindS, text: "p"}}, {"SK", value{kind: kindS, text: "s"}}}
			itemKey := s.tables["bench"].appendItemKey(nil, it)
			h := s.locks.take([]uint32{stripeOf(itemKey)})
			h.writing()
			b := db.NewBatch()
			require.NoError(t, b.Set(itemKey, appendRecord(nil, it, it.size())))
			require.NoError(t, db.ApplyLazily(b))
			h.release()

			send(t, s, tt.operation, tt.body)

			left, err := store.OpenFS(fs.CrashClone(vfs.CrashCloneCfg{}), "db")
			require.NoError(t, err)
			defer func() { require.NoError(t, left.Close()) }()
			_, ok, err := left.Get(itemKey)
			require.NoError(t, err)
			require.True(t, ok)
		})
	}
}
