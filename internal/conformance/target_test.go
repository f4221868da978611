package conformance

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/dynamo"
	"posthorn/internal/localaws"
)

// Where the others are. Without a flag only the local default is asked, which
// the tests start themselves.
var (
	dynamodbLocalURL = flag.String("dynamodb-local", "", "URL of a running DynamoDB Local")
	localstackURL    = flag.String("localstack", "", "URL of a running LocalStack with sqs, dynamodb and kms")
	reportFile       = flag.String("report", "", "file for the table of checks and targets")

	alikeFirst = flag.Uint64("alike-first", 0, "first seed of the random calls")
	alikeSeeds = flag.Uint64("alike-seeds", 4, "how many seeds of random calls there are")
	alikeCalls = flag.Int("alike-calls", 100, "how many random calls are made for each seed")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// Names of the targets.
const (
	localDefault  = "localaws"
	dynamodbLocal = "dynamodb-local"
	localStack    = "localstack"
)

// services are what each target has.
var services = map[string][]service{
	localDefault:  {onSQS, onDynamoDB, onKMS},
	dynamodbLocal: {onDynamoDB},
	localStack:    {onSQS, onDynamoDB, onKMS},
}

// target is an endpoint that is asked.
type target struct {
	name   string
	config aws.Config
	run    string // in the names of everything that this run makes
	// sweep removes what has expired, where that is not done all the while.
	// sweeping is held for it.
	sweep    func(ctx context.Context) error
	sweeping sync.RWMutex
}

func (g *target) has(s service) bool { return slices.Contains(services[g.name], s) }

// trial returns a new trial of the n-th check.
func (g *target) trial(n int) *trial {
	return &trial{
		target: g, sqs: sqs.NewFromConfig(g.config), db: dynamodb.NewFromConfig(g.config), kms: kms.NewFromConfig(g.config),
		table: g.tableName(), unique: fmt.Sprintf("%s-%d", g.run, n),
	}
}

func (g *target) tableName() string { return "conformance-" + g.run }

// open makes what the checks share: the table, as Posthorn makes it.
func (g *target) open(t *testing.T) {
	require.NoError(t, dynamo.CreateTable(t.Context(), g.config, g.tableName()), "%s does not take the table", g.name)
}

// at returns a target at a URL.
func at(t *testing.T, name, url string) *target {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &target{
		name: name, run: rand.Text()[:8],
		config: aws.Config{
			Region: "us-east-1", BaseEndpoint: &url, HTTPClient: &http.Client{Transport: transport},
			Credentials: credentials.NewStaticCredentialsProvider("conformance", "conformance", ""),
		},
	}
}

// startLocalDefault serves the local default's services over HTTP, with
// everything in memory.
func startLocalDefault(t *testing.T) *target {
	services, err := localaws.Open("")
	require.NoError(t, err)
	web := httptest.NewServer(services)
	t.Cleanup(func() {
		web.Close()
		require.NoError(t, services.Close())
	})
	g := at(t, localDefault, web.URL)
	g.sweep = services.SweepExpired
	return g
}

// targets are those that are asked in this run.
func targets(t *testing.T) []*target {
	list := []*target{startLocalDefault(t)}
	if url := *dynamodbLocalURL; url != "" {
		list = append(list, at(t, dynamodbLocal, url)) // it sweeps by itself, every ten seconds
	}
	if url := *localstackURL; url != "" {
		g := at(t, localStack, url)
		g.sweep = func(ctx context.Context) error { return sweepLocalStack(ctx, url) }
		list = append(list, g)
	}
	return list
}

// sweepLocalStack has LocalStack remove what has expired, which it does once an
// hour otherwise.
func sweepLocalStack(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodDelete, url+"/_aws/dynamodb/expired", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	return errors.Join(err, answer.Body.Close())
}

func TestConformance(t *testing.T) {
	checks := all()
	asked := targets(t)
	r := newReport(checks, asked)
	t.Cleanup(func() { r.write(t, *reportFile) })
	for column, g := range asked {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			g.open(t)
			for row := range checks {
				c := &checks[row]
				if !g.has(c.on) {
					r.set(row, column, untouched)
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					v, why := judge(c.exception(g.name), g.trial(row).perform(t.Context(), c.run))
					r.set(row, column, v)
					if v == failed {
						t.Errorf("%s\n(%s)", why, c.source)
					}
				})
			}
		})
	}
}
