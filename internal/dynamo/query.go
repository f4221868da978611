package dynamo

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// search is a walk through one partition, newest first.
type search struct {
	pk          string
	from        string // lowest sort key, itself included
	below       string // above the highest sort key, which must be lower
	index       bool   // of GSI1
	limit       int    // items wanted; 0: all
	bytes       int    // stop, with what is there, once items make up so much; 0: never
	consistent  bool
	ascending   bool
	filter      string // FilterExpression; empty: none
	filterNames map[string]string
	filterVals  item
}

// query returns up to limit items that have not expired. It returns fewer only
// when there are no more, or when it stopped for bytes.
func (t *Table) query(ctx context.Context, s search) ([]item, error) {
	in := &dynamodb.QueryInput{
		TableName:              t.name,
		KeyConditionExpression: aws.String("PK = :pk AND SK BETWEEN :from AND :below"),
		ExpressionAttributeValues: item{
			":pk": str(s.pk), ":from": str(s.from), ":below": str(s.below),
		},
		ScanIndexForward: aws.Bool(s.ascending),
		ConsistentRead:   aws.Bool(s.consistent),
	}
	sk := SortKey
	if s.index {
		in.IndexName = aws.String(Index)
		in.KeyConditionExpression = aws.String("GSI1PK = :pk AND GSI1SK BETWEEN :from AND :below")
		sk = IndexSortKey
	}
	if s.filter != "" {
		in.FilterExpression = &s.filter
		in.ExpressionAttributeNames = s.filterNames
		for k, v := range s.filterVals {
			in.ExpressionAttributeValues[k] = v
		}
	}
	limit := s.limit
	if limit <= 0 {
		limit = math.MaxInt
	}
	var found []item
	total, now := 0, t.now()
	for {
		if s.limit > 0 && s.filter == "" {
			// One more than wanted, for the bound itself, which BETWEEN includes.
			in.Limit = aws.Int32(int32(min(limit-len(found)+1, 1000)))
		}
		out, err := t.client.Query(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, it := range out.Items {
			if getStr(it, sk) == s.below || expired(it, now) {
				continue
			}
			found = append(found, it)
			total += size(it)
			if len(found) == limit || s.bytes > 0 && total >= s.bytes {
				return found, nil
			}
		}
		if out.LastEvaluatedKey == nil {
			return found, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// maxAnswerBytes keeps a page of items below the 4 MB that an answer may have.
const maxAnswerBytes = 3 << 20

// page merges the newest items of several partitions: up to limit of them and
// up to maxAnswerBytes. more says whether there are further ones.
func (t *Table) page(ctx context.Context, searches []search, limit int) (items []item, more bool, err error) {
	found := make([][]item, len(searches))
	errs := make([]error, len(searches))
	var wg sync.WaitGroup
	for i, s := range searches {
		s.limit, s.bytes = limit+1, maxAnswerBytes
		wg.Go(func() { found[i], errs[i] = t.query(ctx, s) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, false, err
		}
	}
	sk := SortKey
	if len(searches) > 0 && searches[0].index {
		sk = IndexSortKey
	}
	// Each search that stopped for its bytes holds more than the page can
	// take, so nothing newer than the page's last item is left out.
	all := slices.Concat(found...)
	slices.SortFunc(all, func(a, b item) int { return strings.Compare(getStr(b, sk), getStr(a, sk)) })
	total := 0
	for _, it := range all {
		if len(items) == limit || total >= maxAnswerBytes {
			return items, true, nil
		}
		items = append(items, it)
		total += size(it)
	}
	return items, false, nil
}

func getList(it item, name string) []types.AttributeValue {
	if v, ok := it[name].(*types.AttributeValueMemberL); ok {
		return v.Value
	}
	return nil
}
