package dynamodb

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
)

func sortKeys(items []attrs) []string {
	out := []string{}
	for _, it := range items {
		v, ok := it["SK"].(*types.AttributeValueMemberS)
		if !ok {
			return nil
		}
		out = append(out, v.Value)
	}
	return out
}

func TestKeyConditions(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	for _, sk := range []string{"a", "ab", "ab\x00", "ab\x00c", "abc", "b", "b1", "ç", "\x01"} {
		s.put(t, key("p", sk))
		s.put(t, key("p2", sk))
		s.put(t, key("P", sk))
	}
	tests := []struct {
		condition string
		v, w      string
		want      []string
	}{
		{"PK = :pk", "", "", []string{"\x01", "a", "ab", "ab\x00", "ab\x00c", "abc", "b", "b1", "ç"}},
		{"PK = :pk AND SK = :v", "ab", "", []string{"ab"}},
		{"SK = :v AND :pk = PK", "ab\x00", "", []string{"ab\x00"}},
		{"PK = :pk AND SK < :v", "ab", "", []string{"\x01", "a"}},
		{"PK = :pk AND SK <= :v", "ab", "", []string{"\x01", "a", "ab"}},
		{"PK = :pk AND SK > :v", "ab", "", []string{"ab\x00", "ab\x00c", "abc", "b", "b1", "ç"}},
		{"PK = :pk AND SK >= :v", "abc", "", []string{"abc", "b", "b1", "ç"}},
		{"(PK = :pk) AND (SK BETWEEN :v AND :w)", "ab", "b", []string{"ab", "ab\x00", "ab\x00c", "abc", "b"}},
		{"PK = :pk AND begins_with(SK, :v)", "ab", "", []string{"ab", "ab\x00", "ab\x00c", "abc"}},
		{"PK = :pk AND begins_with(SK, :v)", "ab\x00", "", []string{"ab\x00", "ab\x00c"}},
		{"PK = :pk AND :v < SK", "abc", "", []string{"b", "b1", "ç"}},
		{"PK = :pk AND SK = :v", "nothing", "", []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.condition, func(t *testing.T) {
			values := attrs{":pk": str("p")}
			if tt.v != "" {
				values[":v"] = str(tt.v)
			}
			if tt.w != "" {
				values[":w"] = str(tt.w)
			}
			in := &sdk.QueryInput{TableName: aws.String(tableName), KeyConditionExpression: aws.String(tt.condition), ExpressionAttributeValues: values}
			out, err := s.Query(s.ctx, in)
			require.NoError(t, err)
			require.Equal(t, tt.want, sortKeys(out.Items))
			require.EqualValues(t, len(tt.want), out.Count)
			require.Nil(t, out.LastEvaluatedKey)

			in.ScanIndexForward = aws.Bool(false)
			out, err = s.Query(s.ctx, in)
			require.NoError(t, err)
			slices.Reverse(out.Items)
			require.Equal(t, tt.want, sortKeys(out.Items))

			for _, forward := range []bool{true, false} {
				in.ScanIndexForward, in.Limit, in.ExclusiveStartKey = aws.Bool(forward), aws.Int32(2), nil
				var all []attrs
				for {
					out, err = s.Query(s.ctx, in)
					require.NoError(t, err)
					require.LessOrEqual(t, len(out.Items), 2)
					all = append(all, out.Items...)
					if in.ExclusiveStartKey = out.LastEvaluatedKey; in.ExclusiveStartKey == nil {
						break
					}
				}
				if !forward {
					slices.Reverse(all)
				}
				require.Equal(t, tt.want, sortKeys(all))
			}
		})
	}
}

func TestNumbersSortAsNumbersInKeys(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	ascending := []string{
		"-90000000000000000000000000000000000000", "-1000000000000000000001", "-1000000000000000000000", "-100", "-12", "-2", "-1.5", "-1", "-0.5", "-0.0001", "0",
		"0.00000001", "0.1", "0.12", "0.2", "1", "1.00001", "1.5", "2", "10", "99", "100", "123456789012345678", "12345678901234567890123456789",
	}
	shuffled := slices.Clone(ascending)
	slices.SortFunc(shuffled, strings.Compare)
	for i, n := range shuffled {
		s.put(t, thing("p", fmt.Sprint(i), attrs{"GPK": str("g"), "GSK": num(n)}))
	}
	query := func(condition string, values attrs) []string {
		values[":g"] = str("g")
		out, err := s.Query(s.ctx, &sdk.QueryInput{TableName: aws.String(tableName), IndexName: aws.String("KEYS"), KeyConditionExpression: aws.String(condition), ExpressionAttributeValues: values})
		require.NoError(t, err)
		var got []string
		for _, it := range out.Items {
			v, ok := it["GSK"].(*types.AttributeValueMemberN)
			require.True(t, ok)
			got = append(got, v.Value)
		}
		return got
	}
	require.Equal(t, ascending, query("GPK = :g", attrs{}))
	require.Equal(t, []string{"-1", "-0.5", "-0.0001", "0", "0.00000001", "0.1", "0.12"}, query("GPK = :g AND GSK BETWEEN :a AND :b", attrs{":a": num("-1.0"), ":b": num("1.2E-1")}))
	require.Equal(t, []string{"12345678901234567890123456789"}, query("GPK = :g AND GSK > :a", attrs{":a": num("123456789012345678")}))
	require.Equal(t, []string{"2"}, query("GPK = :g AND GSK = :a", attrs{":a": num("2.000")}))
}

func TestIndexesFollowTheirItems(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	full := thing("p", "s", attrs{"GPK": str("g"), "GSK": num("1"), "a": str("A"), "c": str("C")})
	find := func(index, gpk string) []attrs {
		out, err := s.Query(s.ctx, &sdk.QueryInput{TableName: aws.String(tableName), IndexName: aws.String(index), KeyConditionExpression: aws.String("GPK = :g"), ExpressionAttributeValues: attrs{":g": str(gpk)}})
		require.NoError(t, err)
		scan, err := s.Scan(s.ctx, &sdk.ScanInput{TableName: aws.String(tableName), IndexName: aws.String(index), FilterExpression: aws.String("GPK = :g"), ExpressionAttributeValues: attrs{":g": str(gpk)}})
		require.NoError(t, err)
		require.Equal(t, out.Items, scan.Items)
		return out.Items
	}
	s.put(t, full)
	require.Equal(t, []attrs{full}, find("EVERY", "g"))
	require.Equal(t, []attrs{thing("p", "s", attrs{"GPK": str("g"), "GSK": num("1")})}, find("KEYS", "g"))
	require.Equal(t, []attrs{thing("p", "s", attrs{"GPK": str("g"), "a": str("A")})}, find("SOME", "g"))

	// It moves.
	update := func(expression string, values attrs) {
		_, err := s.UpdateItem(s.ctx, &sdk.UpdateItemInput{TableName: aws.String(tableName), Key: key("p", "s"), UpdateExpression: aws.String(expression), ExpressionAttributeValues: values})
		require.NoError(t, err)
	}
	update("SET GPK = :g", attrs{":g": str("h")})
	for _, index := range []string{"KEYS", "SOME", "EVERY"} {
		require.Empty(t, find(index, "g"))
		require.Len(t, find(index, "h"), 1)
	}
	// It leaves the indexes that need what is removed.
	update("REMOVE GSK", nil)
	require.Empty(t, find("KEYS", "h"))
	require.Len(t, find("SOME", "h"), 1)
	require.Empty(t, find("EVERY", "h"))
	// Two items may have one index key.
	update("SET GSK = :n", attrs{":n": num("1")})
	s.put(t, thing("p", "s2", attrs{"GPK": str("h"), "GSK": num("1")}))
	require.Len(t, find("KEYS", "h"), 2)
	_, err := s.DeleteItem(s.ctx, &sdk.DeleteItemInput{TableName: aws.String(tableName), Key: key("p", "s")})
	require.NoError(t, err)
	require.Equal(t, []string{"s2"}, sortKeys(find("KEYS", "h")))
}

func TestLimitCountsBeforeTheFilter(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	for i := range 10 {
		s.put(t, thing("p", fmt.Sprint(i), attrs{"n": num(fmt.Sprint(i))}))
	}
	in := &sdk.QueryInput{
		TableName: aws.String(tableName), KeyConditionExpression: aws.String("PK = :p"), FilterExpression: aws.String("n >= :n"),
		ExpressionAttributeValues: attrs{":p": str("p"), ":n": num("4")}, Limit: aws.Int32(5),
	}
	out, err := s.Query(s.ctx, in)
	require.NoError(t, err)
	require.Equal(t, []string{"4"}, sortKeys(out.Items))
	require.EqualValues(t, 1, out.Count)
	require.EqualValues(t, 5, out.ScannedCount)
	require.Equal(t, key("p", "4"), out.LastEvaluatedKey)

	in.ExclusiveStartKey = out.LastEvaluatedKey
	out, err = s.Query(s.ctx, in)
	require.NoError(t, err)
	require.Len(t, out.Items, 5)
	require.Equal(t, key("p", "9"), out.LastEvaluatedKey, "a page that ends with the last item does not know it yet")

	in.ExclusiveStartKey = out.LastEvaluatedKey
	out, err = s.Query(s.ctx, in)
	require.NoError(t, err)
	require.Empty(t, out.Items)
	require.Nil(t, out.LastEvaluatedKey)

	in.ExclusiveStartKey, in.Limit, in.Select = nil, nil, types.SelectCount
	out, err = s.Query(s.ctx, in)
	require.NoError(t, err)
	require.Nil(t, out.Items)
	require.EqualValues(t, 6, out.Count)
	require.EqualValues(t, 10, out.ScannedCount)
}

func TestPagesEndAtOneMegabyte(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	for i := range 13 {
		s.put(t, thing("p", fmt.Sprintf("%02d", i), attrs{"x": str(strings.Repeat("x", 200<<10))}))
	}
	pages := sdk.NewQueryPaginator(s, &sdk.QueryInput{TableName: aws.String(tableName), KeyConditionExpression: aws.String("PK = :p"), ExpressionAttributeValues: attrs{":p": str("p")}})
	var sizes []int
	for pages.HasMorePages() {
		out, err := pages.NextPage(s.ctx)
		require.NoError(t, err)
		sizes = append(sizes, len(out.Items))
	}
	require.Equal(t, []int{6, 6, 1}, sizes)
}

func TestSegmentsShareAScan(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	want := map[string]bool{}
	for i := range 60 {
		pk := fmt.Sprint("p", i)
		s.put(t, key(pk, "s"))
		want[pk] = true
	}
	for _, segments := range []int32{1, 2, 3, 7} {
		got := map[string]bool{}
		for segment := range segments {
			in := &sdk.ScanInput{TableName: aws.String(tableName), Segment: aws.Int32(segment), TotalSegments: aws.Int32(segments), Limit: aws.Int32(4)}
			n := 0
			for pages := sdk.NewScanPaginator(s, in); pages.HasMorePages(); {
				out, err := pages.NextPage(s.ctx)
				require.NoError(t, err)
				for _, it := range out.Items {
					pk, ok := it["PK"].(*types.AttributeValueMemberS)
					require.True(t, ok)
					require.False(t, got[pk.Value], "shown twice")
					got[pk.Value] = true
					n++
				}
			}
			require.Positive(t, n, "segment %d of %d", segment, segments)
		}
		require.Equal(t, want, got)
	}
}
