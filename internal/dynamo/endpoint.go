package dynamo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/hook"
)

// Attributes of an endpoint.
const (
	epURL      = "u"
	epFilters  = "f"  // list
	epSecrets  = "s"  // list of maps: v (sealed), x (expires, ms)
	epHeaders  = "h"  // list of maps: n (name), v (sealed)
	epLimit    = "rl" // deliveries a second; absent: none
	epEpoch    = "e"
	epMended   = "m"
	epRetries  = "mr" // absent: the policy decides
	epTimeout  = "to" // ms
	epPolicy   = "rp"
	epText     = "d"
	epMetadata = "md" // map
	epStatus   = "st"
	epReason   = "sr"
	epCreated  = "ca"
	epUpdated  = "ua"
	epRev      = "r"
)

func encodeEndpoint(e *hook.Endpoint) item {
	it := endpointKey(e.Tenant, e.ID)
	it[epURL], it[epStatus] = str(e.URL), str(string(e.Status))
	it[epTimeout], it[epRev] = num(e.Timeout.Milliseconds()), num(e.Rev)
	it[epCreated], it[epUpdated] = millis(e.CreatedAt), millis(e.UpdatedAt)
	filters := make([]types.AttributeValue, len(e.Filters))
	for i, f := range e.Filters {
		filters[i] = str(f)
	}
	it[epFilters] = &types.AttributeValueMemberL{Value: filters}
	secrets := make([]types.AttributeValue, len(e.Secrets))
	for i, s := range e.Secrets {
		m := item{"v": bin(s.Sealed)}
		setTime(m, "x", s.ExpiresAt)
		secrets[i] = &types.AttributeValueMemberM{Value: m}
	}
	it[epSecrets] = &types.AttributeValueMemberL{Value: secrets}
	if len(e.Headers) > 0 {
		headers := make([]types.AttributeValue, len(e.Headers))
		for i, h := range e.Headers {
			headers[i] = &types.AttributeValueMemberM{Value: item{"n": str(h.Name), "v": bin(h.Sealed)}}
		}
		it[epHeaders] = &types.AttributeValueMemberL{Value: headers}
	}
	if e.RateLimit > 0 {
		it[epLimit] = decimal(e.RateLimit)
	}
	setNum(it, epEpoch, e.Epoch)
	setNum(it, epMended, e.Mended)
	if e.MaxRetries != nil {
		it[epRetries] = num(int64(*e.MaxRetries))
	}
	setStr(it, epPolicy, e.RetryPolicy)
	setStr(it, epText, e.Description)
	setStr(it, epReason, e.StatusReason)
	if len(e.Metadata) > 0 {
		m := make(item, len(e.Metadata))
		for k, v := range e.Metadata {
			m[k] = str(v)
		}
		it[epMetadata] = &types.AttributeValueMemberM{Value: m}
	}
	return it
}

func decodeEndpoint(tenant string, it item) *hook.Endpoint {
	e := &hook.Endpoint{
		ID:           hook.EndpointPrefix + strings.TrimPrefix(getStr(it, SortKey), endpointSKPrefix),
		Tenant:       tenant,
		URL:          getStr(it, epURL),
		Timeout:      time.Duration(getNum(it, epTimeout)) * time.Millisecond,
		RetryPolicy:  getStr(it, epPolicy),
		RateLimit:    getDecimal(it, epLimit),
		Description:  getStr(it, epText),
		Status:       hook.EndpointStatus(getStr(it, epStatus)),
		StatusReason: getStr(it, epReason),
		Epoch:        getNum(it, epEpoch),
		Mended:       getNum(it, epMended),
		Rev:          getNum(it, epRev),
		CreatedAt:    getTime(it, epCreated),
		UpdatedAt:    getTime(it, epUpdated),
	}
	for _, v := range getList(it, epFilters) {
		if s, ok := v.(*types.AttributeValueMemberS); ok {
			e.Filters = append(e.Filters, s.Value)
		}
	}
	for _, v := range getList(it, epSecrets) {
		if m, ok := v.(*types.AttributeValueMemberM); ok {
			e.Secrets = append(e.Secrets, hook.SealedSecret{Sealed: getBin(m.Value, "v"), ExpiresAt: getTime(m.Value, "x")})
		}
	}
	for _, v := range getList(it, epHeaders) {
		if m, ok := v.(*types.AttributeValueMemberM); ok {
			e.Headers = append(e.Headers, hook.SealedHeader{Name: getStr(m.Value, "n"), Sealed: getBin(m.Value, "v")})
		}
	}
	if _, ok := it[epRetries]; ok {
		n := int(getNum(it, epRetries))
		e.MaxRetries = &n
	}
	if m := getMap(it, epMetadata); m != nil {
		e.Metadata = make(map[string]string, len(m))
		for k := range m {
			e.Metadata[k] = getStr(m, k)
		}
	}
	return e
}

// CreateEndpoint stores a new endpoint, at its first revision. Whoever asks for the tenant's set
// afterwards sees it.
func (t *Table) CreateEndpoint(ctx context.Context, e *hook.Endpoint) error {
	e.Rev = 1
	put := types.TransactWriteItem{Put: &types.Put{
		TableName: t.name, Item: encodeEndpoint(e), ConditionExpression: aws.String("attribute_not_exists(PK)"),
	}}
	if err := t.changeEndpoint(ctx, e.Tenant, put, map[hook.EndpointStatus]int{e.Status: 1}); err != nil {
		return fmt.Errorf("create endpoint %s: %w", e.ID, err)
	}
	return nil
}

// Endpoint reads one endpoint; hook.ErrNotFound when there is none.
func (t *Table) Endpoint(ctx context.Context, tenant, id string) (*hook.Endpoint, error) {
	it, err := t.readEndpoint(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	return decodeEndpoint(tenant, it), nil
}

func (t *Table) readEndpoint(ctx context.Context, tenant, id string) (item, error) {
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: t.name, Key: endpointKey(tenant, id), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("read endpoint %s: %w", id, err)
	}
	if out.Item == nil {
		return nil, fmt.Errorf("endpoint %s: %w", id, hook.ErrNotFound)
	}
	return out.Item, nil
}

// UpdateEndpoint reads the endpoint, lets change alter it, and writes it back
// unless somebody else has meanwhile; then it starts again. An error of change
// ends it with nothing written.
func (t *Table) UpdateEndpoint(ctx context.Context, tenant, id string, change func(*hook.Endpoint) error) (*hook.Endpoint, error) {
	for n := 0; ; n++ {
		it, err := t.readEndpoint(ctx, tenant, id)
		if err != nil {
			return nil, err
		}
		e := decodeEndpoint(tenant, it)
		before, rev := e.Status, e.Rev
		if err := change(e); err != nil {
			return nil, err
		}
		e.Rev = rev + 1
		put := types.TransactWriteItem{Put: &types.Put{
			TableName: t.name, Item: encodeEndpoint(e), ConditionExpression: aws.String("r = :rev"),
			ExpressionAttributeValues: item{":rev": num(rev)},
		}}
		counts := map[hook.EndpointStatus]int{}
		if e.Status != before {
			counts[before], counts[e.Status] = -1, 1
		}
		err = t.changeEndpoint(ctx, tenant, put, counts)
		switch {
		case err == nil:
			return e, nil
		case !errors.Is(err, hook.ErrConflict) || !t.pause(ctx, n):
			return nil, fmt.Errorf("update endpoint %s: %w", id, err)
		}
	}
}

// errAsItIs ends a change that is none.
var errAsItIs = errors.New("nothing to change")

// DisableEndpoint disables an endpoint that is active and still what it was when
// seen was read, and says whether it has. One that was changed meanwhile, in
// whatever way, stays as it is: its owner may have mended it.
func (t *Table) DisableEndpoint(ctx context.Context, seen *hook.Endpoint, reason string) (changed bool, err error) {
	now := t.now().UTC().Truncate(time.Millisecond)
	_, err = t.UpdateEndpoint(ctx, seen.Tenant, seen.ID, func(e *hook.Endpoint) error {
		if e.Status != hook.EndpointActive || e.Rev != seen.Rev {
			return errAsItIs
		}
		e.SetStatus(hook.EndpointDisabled, reason)
		e.UpdatedAt = now
		return nil
	})
	if errors.Is(err, errAsItIs) || errors.Is(err, hook.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// DeleteEndpoint removes an endpoint; hook.ErrNotFound when there is none.
func (t *Table) DeleteEndpoint(ctx context.Context, tenant, id string) error {
	for n := 0; ; n++ {
		it, err := t.readEndpoint(ctx, tenant, id)
		if err != nil {
			return err
		}
		del := types.TransactWriteItem{Delete: &types.Delete{
			TableName: t.name, Key: endpointKey(tenant, id), ConditionExpression: aws.String("r = :rev"),
			ExpressionAttributeValues: item{":rev": num(getNum(it, epRev))},
		}}
		err = t.changeEndpoint(ctx, tenant, del, map[hook.EndpointStatus]int{hook.EndpointStatus(getStr(it, epStatus)): -1})
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, hook.ErrConflict) || !t.pause(ctx, n):
			return fmt.Errorf("delete endpoint %s: %w", id, err)
		}
	}
}

// ListEndpoints lists a tenant's endpoints, newest first. next is where the
// next page goes on; empty at the end.
func (t *Table) ListEndpoints(ctx context.Context, tenant string, p hook.Page) (eps []*hook.Endpoint, next string, err error) {
	below := endpointSKPrefix + aboveAll
	if p.After != "" {
		below = endpointSK(p.After)
	}
	items, next, err := t.page(ctx, []search{{pk: endpointsPK(tenant), from: endpointSKPrefix, below: below, consistent: true}}, p.Limit, maxAnswerBytes)
	if err != nil {
		return nil, "", fmt.Errorf("list endpoints: %w", err)
	}
	for _, it := range items {
		eps = append(eps, decodeEndpoint(tenant, it))
	}
	if next != "" {
		next = hook.EndpointPrefix + strings.TrimPrefix(next, endpointSKPrefix)
	}
	return eps, next, nil
}

// EndpointCounts counts the endpoints of all tenants by status.
func (t *Table) EndpointCounts(ctx context.Context) (hook.EndpointCounts, error) {
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: t.name, Key: endpointCountsKey(), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return hook.EndpointCounts{}, fmt.Errorf("read endpoint counts: %w", err)
	}
	count := func(s hook.EndpointStatus) int { return int(getNum(out.Item, string(s))) }
	return hook.EndpointCounts{Active: count(hook.EndpointActive), Paused: count(hook.EndpointPaused), Disabled: count(hook.EndpointDisabled)}, nil
}

// changeEndpoint makes a change of one endpoint together with a new version of
// its tenant's set and the counts, all or nothing. The condition of the change
// failing is hook.ErrConflict; after any other error the change may have been
// made. Changes of other endpoints meet on the version items: DynamoDB refuses
// one of two such transactions, which is tried again.
//
// Reads that are no transactions can see a part of a transaction that is under
// way ("Amazon DynamoDB Transactions: How it works", DynamoDB developer guide):
// the new version, and not yet the endpoint. Who caches such a set has to read
// it again, so the version is moved once more when the change is complete.
func (t *Table) changeEndpoint(ctx context.Context, tenant string, change types.TransactWriteItem, counts map[hook.EndpointStatus]int) error {
	writes := make([]types.TransactWriteItem, 0, versionStripes+2)
	writes = append(append(writes, change), t.moveVersion(tenant)...)
	if w := t.countEndpoints(counts); w != nil {
		writes = append(writes, *w)
	}
	err := t.transact(ctx, writes)
	if _, no := refused(err, 0); no {
		return hook.ErrConflict
	}
	if err != nil {
		return err
	}
	if err := t.transact(ctx, t.moveVersion(tenant)); err != nil {
		return fmt.Errorf("tell all readers: %w", err)
	}
	return nil
}

// moveVersion is a new version of the tenant's set, in every copy. The copies
// are only ever written together: where one were ahead of another, a set cached
// under it would pass for newer than it is.
func (t *Table) moveVersion(tenant string) []types.TransactWriteItem {
	writes := make([]types.TransactWriteItem, versionStripes)
	for stripe := range writes {
		writes[stripe].Update = &types.Update{
			TableName: t.name, Key: versionKey(tenant, stripe),
			UpdateExpression: aws.String("ADD v :one"), ExpressionAttributeValues: item{":one": num(1)},
		}
	}
	return writes
}

// countEndpoints is the write that adds to the counts; nil when there is
// nothing to add.
func (t *Table) countEndpoints(counts map[hook.EndpointStatus]int) *types.TransactWriteItem {
	if len(counts) == 0 {
		return nil
	}
	names, values := map[string]string{}, item{}
	var parts []string
	for status, n := range counts {
		tag := string(status)
		names["#"+tag], values[":"+tag] = tag, num(int64(n))
		parts = append(parts, "#"+tag+" :"+tag)
	}
	return &types.TransactWriteItem{Update: &types.Update{
		TableName: t.name, Key: endpointCountsKey(), UpdateExpression: aws.String("ADD " + strings.Join(parts, ", ")),
		ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}}
}
