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
	pk         string
	from       string // lowest sort key, itself included
	below      string // above the highest sort key, which must be lower
	index      bool   // of GSI1, which has no strongly consistent reads
	consistent bool   // read strongly consistently, at twice the price
	limit      int    // items wanted; 0: all, however many
	bytes      int    // stop, with what is there, once items make up so much; 0: never
	ascending  bool
	conditions []condition // all of which an item has to meet
}

// condition is an attribute, not of the key, with a value. set, where it is not
// empty, is an attribute that will do as well: a set with the value in it.
type condition struct{ attribute, value, set string }

// where adds a condition, unless the value is empty.
func where(list []condition, attribute, value string) []condition {
	if value == "" {
		return list
	}
	return append(list, condition{attribute: attribute, value: value})
}

const (
	// maxRounds bounds the calls of one search for a limited number of items.
	// Each looks at 1 MB at most ("Query", DynamoDB API reference).
	maxRounds = 4
	// minRead is the least number of items that a call looks at: most of them
	// may have expired.
	minRead = 10
)

func (t *Table) queryInput(s *search) *dynamodb.QueryInput {
	in := &dynamodb.QueryInput{
		TableName:                 t.name,
		KeyConditionExpression:    aws.String("PK = :pk AND SK BETWEEN :from AND :below"),
		ExpressionAttributeValues: item{":pk": str(s.pk), ":from": str(s.from), ":below": str(s.below)},
		ScanIndexForward:          aws.Bool(s.ascending),
		ConsistentRead:            aws.Bool(s.consistent),
	}
	if s.index {
		in.IndexName = aws.String(Index)
		in.KeyConditionExpression = aws.String("GSI1PK = :pk AND GSI1SK BETWEEN :from AND :below")
	}
	if len(s.conditions) == 0 {
		return in
	}
	in.ExpressionAttributeNames = make(map[string]string, len(s.conditions))
	parts := make([]string, len(s.conditions))
	for i, c := range s.conditions {
		in.ExpressionAttributeNames["#"+c.attribute] = c.attribute
		in.ExpressionAttributeValues[":"+c.attribute] = str(c.value)
		parts[i] = "#" + c.attribute + " = :" + c.attribute
		if c.set != "" {
			in.ExpressionAttributeNames["#"+c.set] = c.set
			parts[i] = "(" + parts[i] + " OR contains(#" + c.set + ", :" + c.attribute + "))"
		}
	}
	in.FilterExpression = aws.String(strings.Join(parts, " AND "))
	return in
}

func (s *search) sortKey() string {
	if s.index {
		return IndexSortKey
	}
	return SortKey
}

// query returns the items of a search that have not expired. reached is empty
// when they are all there are, or as many as were wanted; otherwise it is the
// sort key down to which was looked.
func (t *Table) query(ctx context.Context, s search) (found []item, reached string, err error) {
	if s.from >= s.below {
		return nil, "", nil
	}
	limit := s.limit
	if limit <= 0 {
		limit = math.MaxInt
	}
	in, sk := t.queryInput(&s), s.sortKey()
	total, now := 0, t.now()
	for round := 1; ; round++ {
		if s.limit > 0 && len(s.conditions) == 0 {
			// One more than wanted, for the bound itself, which BETWEEN includes.
			in.Limit = aws.Int32(int32(max(limit-len(found)+1, minRead)))
		}
		out, err := t.client.Query(ctx, in)
		if err != nil {
			return nil, "", err
		}
		for i, it := range out.Items {
			if getStr(it, sk) == s.below || expired(it, now) {
				continue
			}
			found = append(found, it)
			total += size(it)
			if len(found) == limit {
				return found, "", nil
			}
			if s.bytes > 0 && total >= s.bytes {
				if i == len(out.Items)-1 && out.LastEvaluatedKey == nil {
					return found, "", nil
				}
				return found, getStr(it, sk), nil
			}
		}
		switch {
		case out.LastEvaluatedKey == nil:
			return found, "", nil
		case s.limit > 0 && round == maxRounds:
			return found, getStr(out.LastEvaluatedKey, sk), nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// count counts the items that a query finds, over all its pages.
func (t *Table) count(ctx context.Context, in *dynamodb.QueryInput) (int, error) {
	in.TableName, in.Select = t.name, types.SelectCount
	total := 0
	for {
		out, err := t.client.Query(ctx, in)
		if err != nil {
			return 0, err
		}
		total += int(out.Count)
		if out.LastEvaluatedKey == nil {
			return total, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// maxAnswerBytes keeps a page of items below the 4 MB that an answer may have.
const maxAnswerBytes = 3 << 20

// page merges the newest items of several partitions: up to limit of them, at
// least 1, and only so many that they make up about as many bytes. next is the
// sort key at which the page ended, empty when there is nothing more. A page
// can end early, even with no item, when much was looked at in vain.
func (t *Table) page(ctx context.Context, searches []search, limit, bytes int) (items []item, next string, err error) {
	found := make([][]item, len(searches))
	reached := make([]string, len(searches))
	errs := make([]error, len(searches))
	var wg sync.WaitGroup
	for i, s := range searches {
		s.limit, s.bytes = limit+1, bytes
		wg.Go(func() { found[i], reached[i], errs[i] = t.query(ctx, s) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, "", err
		}
	}
	sk := SortKey
	if len(searches) > 0 {
		sk = searches[0].sortKey()
	}
	// Each search that stopped for its limit holds more than the page can take.
	// Of what lies below the point down to which all have
	// looked, something newer may be missing.
	frontier := slices.Max(append(reached, ""))
	all := slices.Concat(found...)
	slices.SortFunc(all, func(a, b item) int { return strings.Compare(getStr(b, sk), getStr(a, sk)) })
	total := 0
	for _, it := range all {
		if getStr(it, sk) < frontier {
			break
		}
		if len(items) == limit || total >= bytes {
			return items, getStr(items[len(items)-1], sk), nil
		}
		items = append(items, it)
		total += size(it)
	}
	return items, frontier, nil
}
