package dynamo

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/gather"
	"posthorn/internal/hook"
)

// endpointSets caches the endpoints of tenants, each as of a version.
type endpointSets struct {
	mu    sync.Mutex
	known map[string]*tenantSet
}

// maxTenants bounds the cache; beyond it any one makes room.
const maxTenants = 1000

// tenantSet is one tenant's place in the cache. The turn is taken while the set
// is read, so that many who find it old read it once. It is a channel and no
// mutex: whoever waits for another's read waits as long as their own context
// allows, however long that other's does.
type tenantSet struct {
	turn chan struct{} // holds one while it is taken
	set  *hook.EndpointSet
	read time.Time
}

// maxSetAge is how long a set is kept whose version does not move. It matters
// only to a change that was never answered: a crash came before the version
// moved for the second time, after which no reader is left with half of it.
const maxSetAge = time.Minute

func (s *endpointSets) of(tenant string) *tenantSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.known[tenant]; e != nil {
		return e
	}
	if s.known == nil {
		s.known = make(map[string]*tenantSet)
	}
	if len(s.known) >= maxTenants {
		for other := range s.known {
			delete(s.known, other)
			break
		}
	}
	e := &tenantSet{turn: make(chan struct{}, 1)}
	s.known[tenant] = e
	return e
}

// EndpointSet returns the tenant's endpoints. Every change that was answered
// before the call is in it: the version is read strongly consistently by a
// read that starts after the call, which concurrent callers share, and the set
// is read again when the version has moved.
func (t *Table) EndpointSet(ctx context.Context, tenant string) (*hook.EndpointSet, error) {
	version, err := t.versions.Do(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("read endpoint-set version: %w", err)
	}
	place := t.sets.of(tenant)
	select {
	case place.turn <- struct{}{}:
		defer func() { <-place.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the endpoints to be read: %w", ctx.Err())
	}
	// The set at hand may carry a later version than the one just read. It was
	// read after that later version, so it holds every change that was answered
	// before: the last thing that a change does is to move the version, and only
	// after all the rest of it can be read. A set that caught a change half-way
	// carries a version below that.
	now := t.now()
	if place.set != nil && place.set.Version >= version && now.Sub(place.read) < maxSetAge {
		return place.set, nil
	}
	set := &hook.EndpointSet{Version: version}
	if version > 0 { // the first endpoint makes version 1
		items, _, err := t.query(ctx, search{
			pk: endpointsPK(tenant), from: endpointSKPrefix, below: endpointSKPrefix + aboveAll, ascending: true, consistent: true,
		})
		if err != nil {
			return nil, fmt.Errorf("read endpoints: %w", err)
		}
		for _, it := range items {
			set.Endpoints = append(set.Endpoints, decodeEndpoint(tenant, it))
		}
	}
	place.set, place.read = set, now
	return set, nil
}

// readVersions reads the versions of some tenants' sets, each from one of its
// copies.
func (t *Table) readVersions(ctx context.Context, tenants []string) []gather.Result[int64] {
	results := make([]gather.Result[int64], len(tenants))
	stripe := min(int(t.rand()*versionStripes), versionStripes-1)
	first := tenants[0]
	same := true
	for _, tenant := range tenants {
		same = same && tenant == first
	}
	if same {
		out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: t.name, Key: versionKey(first, stripe), ConsistentRead: aws.Bool(true)})
		for i := range results {
			if results[i].Err = err; err == nil {
				results[i].Value = getNum(out.Item, "v")
			}
		}
		return results
	}
	keys := make([]item, 0, len(tenants))
	asked := make(map[string]bool, len(tenants))
	for _, tenant := range tenants {
		if !asked[tenant] {
			asked[tenant] = true
			keys = append(keys, versionKey(tenant, stripe))
		}
	}
	found, err := t.batchGet(ctx, keys)
	for i, tenant := range tenants {
		if results[i].Err = err; err == nil {
			results[i].Value = getNum(found[keyName(versionKey(tenant, stripe))], "v")
		}
	}
	return results
}

// batchGet reads different keys strongly consistently and returns what is there
// by keyName. What DynamoDB leaves unprocessed is asked for again until ctx
// ends.
func (t *Table) batchGet(ctx context.Context, keys []item) (map[string]item, error) {
	found := make(map[string]item, len(keys))
	for part := range slices.Chunk(keys, batchGetLimit) {
		if err := t.batchGetInto(ctx, part, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// batchGetInto reads up to 100 keys.
func (t *Table) batchGetInto(ctx context.Context, keys []item, found map[string]item) error {
	todo := map[string]types.KeysAndAttributes{*t.name: {Keys: keys, ConsistentRead: aws.Bool(true)}}
	for n := 0; ; n++ {
		out, err := t.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: todo})
		if err != nil {
			return err
		}
		for _, it := range out.Responses[*t.name] {
			found[keyName(it)] = it
		}
		if len(out.UnprocessedKeys) == 0 {
			return nil
		}
		todo = out.UnprocessedKeys
		if !t.pause(ctx, n) {
			return fmt.Errorf("read %d keys: %w", len(todo[*t.name].Keys), ctx.Err())
		}
	}
}

// keyName names an item by its key.
func keyName(it item) string { return getStr(it, PartitionKey) + "\x00" + getStr(it, SortKey) }
