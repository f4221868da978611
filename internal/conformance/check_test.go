package conformance

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
)

// Where AWS documents its services. A check's source is a page of these.
const (
	sqsAPI        = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_"
	sqsGuide      = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"
	dynamodbAPI   = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_"
	dynamodbGuide = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/"
	kmsAPI        = "https://docs.aws.amazon.com/kms/latest/APIReference/API_"
)

// Where exceptions are known from: the targets' own documents and code, at the
// versions that oracles/ pins.
const (
	dynamodbLocalNotes = dynamodbGuide + "DynamoDBLocal.UsageNotes.html"
	dynamodbLocalSeen  = "seen with DynamoDB Local 3.3.1"
	localStackSQS      = "https://github.com/localstack/localstack/blob/v4.14.0/localstack-core/localstack/services/sqs/"
	localStackDynamoDB = "https://github.com/localstack/localstack/blob/v4.14.0/localstack-core/localstack/services/dynamodb/"
)

// service is one of those that a target may have.
type service string

const (
	onSQS      service = "SQS"
	onDynamoDB service = "DynamoDB"
	onKMS      service = "KMS"
)

// check is one behaviour of a service that Posthorn relies on.
type check struct {
	on         service
	name       string // a sentence
	source     string // the document of AWS that says so
	run        func(t *trial)
	exceptions []exception
}

// exception says that a target is known to behave differently.
type exception struct {
	target  string
	instead string // what it does
	source  string // where that is known from
	shows   string // what the check's failure has to say
}

func (c *check) exception(target string) *exception {
	for i := range c.exceptions {
		if c.exceptions[i].target == target {
			return &c.exceptions[i]
		}
	}
	return nil
}

// all are the checks, by service.
func all() []check {
	return slices.Concat(
		queueChecks(), sendChecks(), receiveChecks(), redriveChecks(),
		itemChecks(), conditionChecks(), queryChecks(), batchChecks(), transactionChecks(), capacityChecks(), expiryChecks(), alikeChecks(),
		keyChecks(),
	)
}

const (
	// patience is how long a trial waits for what must come.
	patience = time.Minute
	// trialTime is how long a trial may take in all, on a machine that is busy.
	trialTime = 4 * time.Minute
)

// trial is one run of a check on a target. It takes the place of *testing.T, so
// that a failure which is expected can be told from one that is not.
type trial struct {
	target *target
	sqs    *sqs.Client
	db     *dynamodb.Client
	kms    *kms.Client
	table  string // the one that dynamo.CreateTable has made
	unique string // in no other trial's names

	ctx      context.Context
	made     atomic.Int64 // names
	mu       sync.Mutex
	failures []string
	after    []func()
}

// Errorf implements require.TestingT.
func (t *trial) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, fmt.Sprintf(format, args...))
}

// FailNow implements require.TestingT: it ends the trial.
func (t *trial) FailNow() { runtime.Goexit() }

// name returns a name that nothing else on the target has.
func (t *trial) name() string { return fmt.Sprintf("%s-%d", t.unique, t.made.Add(1)) }

// cleanup calls f when the trial is over.
func (t *trial) cleanup(f func()) { t.after = append(t.after, f) }

// until calls done until it says true, and fails when that takes too long.
func (t *trial) until(what string, done func() bool) { t.within(patience, what, done) }

// within is until with a time of its own.
func (t *trial) within(patience time.Duration, what string, done func() bool) {
	late := time.After(patience)
	for pause := 10 * time.Millisecond; !done(); pause = min(2*pause, 250*time.Millisecond) {
		select {
		case <-late:
			require.Fail(t, "this did not come: "+what)
		case <-t.ctx.Done():
			require.Fail(t, "this did not come: "+what)
		case <-time.After(pause):
		}
	}
}

// perform runs a check to its end and returns how it failed, or nothing.
func (t *trial) perform(ctx context.Context, run func(t *trial)) string {
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	t.ctx = ctx
	ended := make(chan struct{})
	go func() { // which FailNow may end
		defer close(ended)
		defer func() {
			for _, f := range slices.Backward(t.after) {
				f()
			}
		}()
		run(t)
	}()
	<-ended
	return strings.Join(t.failures, "\n")
}

// verdict is how a check has come out on a target.
type verdict string

const (
	passed    verdict = "pass"
	excepted  verdict = "exception"
	failed    verdict = "FAIL"
	untouched verdict = "-" // the target has no such service
)

// judge says what a failure, or none, means for a check on a target; why is
// empty unless the verdict is failed.
func judge(e *exception, failure string) (v verdict, why string) {
	switch {
	case e == nil && failure == "":
		return passed, ""
	case e == nil:
		return failed, failure
	case failure == "":
		return failed, "there is an exception that says: " + e.instead + "; but it behaves as AWS does"
	case !strings.Contains(failure, e.shows):
		return failed, fmt.Sprintf("there is an exception that says: %s; but it fails in another way than with %q:\n%s", e.instead, e.shows, failure)
	default:
		return excepted, ""
	}
}

func TestAnExceptionHoldsOnlyWhileItIsTrue(t *testing.T) {
	t.Parallel()
	e := &exception{target: "x", instead: "it forgets", shows: "forgotten"}
	for _, tc := range []struct {
		name    string
		e       *exception
		failure string
		want    verdict
	}{
		{"no failure", nil, "", passed},
		{"a failure", nil, "forgotten", failed},
		{"the failure that is known", e, "it was forgotten", excepted},
		{"another failure", e, "it was lost", failed},
		{"no failure any more", e, "", failed},
	} {
		v, why := judge(tc.e, tc.failure)
		require.Equal(t, tc.want, v, tc.name)
		require.Equal(t, v == failed, why != "", tc.name)
	}
}

func TestATrialKeepsItsFailureAndCleansUp(t *testing.T) {
	t.Parallel()
	var did []string
	run := func(t *trial) {
		t.cleanup(func() { did = append(did, "first made") })
		t.cleanup(func() { did = append(did, "last made") })
		require.Equal(t, 1, 2, "numbers")
		did = append(did, "went on")
	}
	require.Contains(t, (&trial{}).perform(t.Context(), run), "numbers")
	require.Equal(t, []string{"last made", "first made"}, did)
	require.Empty(t, (&trial{}).perform(t.Context(), func(*trial) {}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Contains(t, (&trial{}).perform(ctx, func(t *trial) { t.until("spring", func() bool { return false }) }), "this did not come: spring")
}

func TestEveryCheckNamesItsSource(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range all() {
		require.False(t, seen[c.name], "there are two: %s", c.name)
		seen[c.name] = true
		pages := map[service][]string{onSQS: {sqsAPI, sqsGuide}, onDynamoDB: {dynamodbAPI, dynamodbGuide}, onKMS: {kmsAPI}}[c.on]
		require.True(t, slices.ContainsFunc(pages, func(p string) bool { return strings.HasPrefix(c.source, p) && strings.HasSuffix(c.source, ".html") }), "%s: %q", c.name, c.source)
		for _, e := range c.exceptions {
			require.NotEmpty(t, e.instead, c.name)
			require.NotEmpty(t, e.shows, c.name)
			require.True(t, strings.HasPrefix(e.source, "https://") || e.source == dynamodbLocalSeen, "%s: %q", c.name, e.source)
			_, known := services[e.target]
			require.True(t, known, "%s: there is no target %q", c.name, e.target)
			require.NotEqual(t, localDefault, e.target, "%s: what the local default does wrong is to be put right", c.name)
		}
	}
}
