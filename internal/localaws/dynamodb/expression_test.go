package dynamodb

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
)

func TestConditions(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	s.put(t, thing("p", "s", attrs{
		"n": num("10"), "big": num("12345678901234567890123456789012345678"), "f": num("0.1"), "neg": num("-3"),
		"s": str("hello"), "u": str("📯"), "b": bin("\x01\x02\x03"), "t": truth(true), "z": null(),
		"l": list(str("a"), num("2"), dict(attrs{"x": str("deep")})),
		"m": dict(attrs{"k": str("v"), "n": num("1")}), "ss": strs("a", "b"), "ns": nums("1", "2"),
	}))
	values := attrs{
		":0": num("0"), ":1": num("1"), ":2": num("2"), ":9": num("9"), ":10": num("10.0"), ":11": num("1.1E1"),
		":big": num("12345678901234567890123456789012345677"), ":f": num("0.10"), ":neg": num("-4"),
		":he": str("he"), ":hello": str("hello"), ":ell": str("ell"), ":a": str("a"), ":v": str("v"), ":deep": str("deep"),
		":b": bin("\x01\x02"), ":mid": bin("\x02"), ":true": truth(true), ":null": null(), ":S": str("S"), ":L": str("L"), ":N": str("N"),
		":set": strs("b", "a"), ":m": dict(attrs{"n": num("1.0"), "k": str("v")}),
	}
	tests := []struct {
		expression string
		want       bool
	}{
		{"n = :10", true},
		{"n <> :10", false},
		{"n > :9", true},
		{"n < :11", true},
		{"n >= :10 AND n <= :10", true},
		{"big > :big", true},
		{"f = :f", true},
		{"neg > :neg", true},
		{"neg < :0", true},
		{"n > :he", false},
		{"n = :he", false},
		{"n <> :he", true},
		{"absent = :1", false},
		{"absent <> :1", true},
		{"absent <> nothing", true},
		{"absent = nothing", false},
		{"absent < :1", false},
		{"NOT absent = :1", true},
		{"n = :1 OR s = :hello", true},
		{"n = :1 OR s = :he AND n = :10", false},
		{"(n = :10 OR s = :he) AND t = :true", true},
		{"NOT n = :10 OR n = :10", true},
		{"NOT (n = :10 OR n = :10)", false},
		{"not n = :1 and z = :null", true},
		{"n BETWEEN :9 AND :11", true},
		{"n BETWEEN :1 AND :2", false},
		{"absent BETWEEN :1 AND :2", false},
		{"n IN (:1, :2, :10)", true},
		{"n IN (:1, :he)", false},
		{"attribute_exists(m.k)", true},
		{"attribute_exists(m.x)", false},
		{"attribute_exists(l[2].x)", true},
		{"attribute_not_exists(l[3])", true},
		{"attribute_not_exists(n)", false},
		{"attribute_type(s, :S)", true},
		{"attribute_type(l, :L)", true},
		{"attribute_type(l, :S)", false},
		{"begins_with(s, :he)", true},
		{"begins_with(s, :ell)", false},
		{"begins_with(b, :b)", true},
		{"begins_with(n, :he)", false},
		{"contains(s, :ell)", true},
		{"contains(b, :mid)", true},
		{"contains(ss, :a)", true},
		{"contains(ss, :he)", false},
		{"contains(ns, :2)", true},
		{"contains(l, :2)", true},
		{"contains(l, :a)", true},
		{"contains(l, :v)", false},
		{"contains(m, :v)", false},
		{"l[2].x = :deep", true},
		{"l[9] = :deep", false},
		{"m = :m", true},
		{"ss = :set", true},
		{"size(s) > :2", true},
		{"size(u) = :2", true},
		{"size(ss) = :2", true},
		{"size(m) = :2", true},
		{"size(n) = :2", false},
		{"size(absent) = :2", false},
		{"m.n = :1", true},
		{"s = m.k", false},
		{"n = :10 AND n <> m.n", true},
	}
	for _, tt := range tests {
		t.Run(tt.expression, func(t *testing.T) {
			in := &sdk.UpdateItemInput{
				TableName: aws.String(tableName), Key: key("p", "s"), ConditionExpression: aws.String(tt.expression),
				ExpressionAttributeValues: attrs{},
			}
			e, err := parseExpression(exprCondition, tt.expression)
			require.NoError(t, err)
			for _, v := range e.values {
				in.ExpressionAttributeValues[v] = values[v]
			}
			if len(e.values) == 0 {
				in.ExpressionAttributeValues = nil
			}
			_, err = s.UpdateItem(s.ctx, in)
			if tt.want {
				require.NoError(t, err)
				return
			}
			requireError(t, err, "ConditionalCheckFailedException", "The conditional request failed")
		})
	}
}

func TestUpdates(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	tests := []struct {
		name       string
		before     attrs
		expression string
		values     attrs
		after      attrs
	}{
		{"set", attrs{"a": num("1")}, "SET b = :v", attrs{":v": str("x")}, attrs{"a": num("1"), "b": str("x")}},
		{"replace", attrs{"a": num("1")}, "SET a = :v", attrs{":v": str("x")}, attrs{"a": str("x")}},
		{"add up", attrs{"a": num("1")}, "SET a = a + :v", attrs{":v": num("2.5")}, attrs{"a": num("3.5")}},
		{"subtract", attrs{"a": num("1")}, "SET a = a - :v", attrs{":v": num("3")}, attrs{"a": num("-2")}},
		{"sums of decimals are exact", attrs{"a": num("0.1")}, "SET a = a + :v", attrs{":v": num("0.2")}, attrs{"a": num("0.3")}},
		{"sums of large numbers are exact", attrs{"a": num("9223372036854775807")}, "SET a = a + :v", attrs{":v": num("1")}, attrs{"a": num("9223372036854775808")}},
		{"values of before", attrs{"a": num("1"), "b": num("2")}, "SET a = b, b = a", nil, attrs{"a": num("2"), "b": num("1")}},
		{"if not there", attrs{}, "SET a = if_not_exists(a, :v)", attrs{":v": num("7")}, attrs{"a": num("7")}},
		{"if there", attrs{"a": num("1")}, "SET a = if_not_exists(a, :v) + :v", attrs{":v": num("7")}, attrs{"a": num("8")}},
		{"append", attrs{"l": list(str("a"))}, "SET l = list_append(l, :v)", attrs{":v": list(str("b"))}, attrs{"l": list(str("a"), str("b"))}},
		{"prepend to none", attrs{}, "SET l = list_append(:v, if_not_exists(l, :e))", attrs{":v": list(str("b")), ":e": &types.AttributeValueMemberL{Value: []types.AttributeValue{}}}, attrs{"l": list(str("b"))}},
		{"set in a map", attrs{"m": dict(attrs{"x": num("1")})}, "SET m.y = :v", attrs{":v": num("2")}, attrs{"m": dict(attrs{"x": num("1"), "y": num("2")})}},
		{"set in a list", attrs{"l": list(str("a"), str("b"))}, "SET l[1] = :v", attrs{":v": num("2")}, attrs{"l": list(str("a"), num("2"))}},
		{"set beyond a list", attrs{"l": list(str("a"))}, "SET l[7] = :v", attrs{":v": num("2")}, attrs{"l": list(str("a"), num("2"))}},
		{"remove", attrs{"a": num("1"), "b": num("2")}, "REMOVE a, absent", nil, attrs{"b": num("2")}},
		{"remove elements", attrs{"l": list(str("a"), str("b"), str("c"), str("d"))}, "REMOVE l[0], l[2]", nil, attrs{"l": list(str("b"), str("d"))}},
		{"remove in a map", attrs{"m": dict(attrs{"x": num("1"), "y": num("2")})}, "REMOVE m.x", nil, attrs{"m": dict(attrs{"y": num("2")})}},
		{"remove in an element", attrs{"l": list(dict(attrs{"x": num("1"), "y": num("2")}))}, "REMOVE l[0].x", nil, attrs{"l": list(dict(attrs{"y": num("2")}))}},
		{"add a number", attrs{"a": num("1")}, "ADD a :v, b :v", attrs{":v": num("2")}, attrs{"a": num("3"), "b": num("2")}},
		{"add to a set", attrs{"s": strs("a")}, "ADD s :v, r :v", attrs{":v": strs("a", "b")}, attrs{"s": strs("a", "b"), "r": strs("a", "b")}},
		{"delete from a set", attrs{"s": strs("a", "b")}, "DELETE s :v, r :v", attrs{":v": strs("a", "c")}, attrs{"s": strs("b")}},
		{"delete all of a set", attrs{"s": nums("1", "2")}, "DELETE s :v", attrs{":v": nums("2.0", "1")}, attrs{}},
		{"remove and add", attrs{"a": num("1"), "b": num("2")}, "REMOVE a ADD b :v SET c = :v", attrs{":v": num("2")}, attrs{"b": num("4"), "c": num("2")}},
		{"no item before", nil, "SET a = :v", attrs{":v": num("2")}, attrs{"a": num("2")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pk := "update " + tt.name
			if tt.before != nil {
				s.put(t, thing(pk, "s", tt.before))
			}
			out, err := s.UpdateItem(s.ctx, &sdk.UpdateItemInput{
				TableName: aws.String(tableName), Key: key(pk, "s"), UpdateExpression: aws.String(tt.expression),
				ExpressionAttributeValues: tt.values, ReturnValues: types.ReturnValueAllNew,
			})
			require.NoError(t, err)
			require.Equal(t, thing(pk, "s", tt.after), out.Attributes)
			require.Equal(t, thing(pk, "s", tt.after), s.get(t, pk, "s"))
		})
	}
}

func TestReturnValues(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	before := attrs{"a": num("1"), "m": dict(attrs{"x": num("1"), "y": num("1")}), "l": list(num("0"), num("1"), num("2"))}
	after := attrs{"a": num("2"), "m": dict(attrs{"x": num("2"), "y": num("1")}), "l": list(num("0"), num("1"), num("9")), "new": str("n")}
	tests := []struct {
		mode types.ReturnValue
		want attrs
	}{
		{types.ReturnValueNone, nil},
		{types.ReturnValueAllOld, thing("p", "s", before)},
		{types.ReturnValueAllNew, thing("p", "s", after)},
		{types.ReturnValueUpdatedOld, attrs{"a": num("1"), "m": dict(attrs{"x": num("1")}), "l": list(num("2"))}},
		{types.ReturnValueUpdatedNew, attrs{"a": num("2"), "m": dict(attrs{"x": num("2")}), "l": list(num("9")), "new": str("n")}},
	}
	for _, tt := range tests {
		t.Run(string(tt.mode), func(t *testing.T) {
			s.put(t, thing("p", "s", before))
			out, err := s.UpdateItem(s.ctx, &sdk.UpdateItemInput{
				TableName: aws.String(tableName), Key: key("p", "s"), ReturnValues: tt.mode,
				UpdateExpression:          aws.String("SET a = :2, m.x = :2, l[2] = :9, #n = :n"),
				ExpressionAttributeNames:  map[string]string{"#n": "new"},
				ExpressionAttributeValues: attrs{":2": num("2"), ":9": num("9"), ":n": str("n")},
			})
			require.NoError(t, err)
			require.Equal(t, tt.want, out.Attributes)
		})
	}
	put, err := s.PutItem(s.ctx, &sdk.PutItemInput{TableName: aws.String(tableName), Item: key("p", "s"), ReturnValues: types.ReturnValueAllOld})
	require.NoError(t, err)
	require.Equal(t, thing("p", "s", after), put.Attributes)
	del, err := s.DeleteItem(s.ctx, &sdk.DeleteItemInput{TableName: aws.String(tableName), Key: key("p", "s"), ReturnValues: types.ReturnValueAllOld})
	require.NoError(t, err)
	require.Equal(t, key("p", "s"), del.Attributes)
	del, err = s.DeleteItem(s.ctx, &sdk.DeleteItemInput{TableName: aws.String(tableName), Key: key("p", "s"), ReturnValues: types.ReturnValueAllOld})
	require.NoError(t, err)
	require.Nil(t, del.Attributes)
}

func TestFailedConditionReturnsTheItem(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	s.put(t, thing("p", "s", attrs{"a": num("1")}))
	in := &sdk.PutItemInput{
		TableName: aws.String(tableName), Item: key("p", "s"), ConditionExpression: aws.String("attribute_not_exists(PK)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	_, err := s.PutItem(s.ctx, in)
	var failed *types.ConditionalCheckFailedException
	require.ErrorAs(t, err, &failed)
	require.Equal(t, thing("p", "s", attrs{"a": num("1")}), failed.Item)
	in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureNone
	_, err = s.PutItem(s.ctx, in)
	require.ErrorAs(t, err, &failed)
	require.Nil(t, failed.Item)
}

func TestProjections(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	s.put(t, thing("p", "s", attrs{
		"a": num("1"), "m": dict(attrs{"x": num("1"), "y": dict(attrs{"z": num("2"), "w": num("3")})}), "l": list(num("0"), dict(attrs{"x": num("1"), "y": num("2")}), num("2")), "status": str("on"),
	}))
	tests := []struct {
		expression string
		names      map[string]string
		want       attrs
	}{
		{"a", nil, attrs{"a": num("1")}},
		{"PK, a", nil, attrs{"PK": str("p"), "a": num("1")}},
		{"absent", nil, attrs{}},
		{"#s", map[string]string{"#s": "status"}, attrs{"status": str("on")}},
		{"m.x, m.y.z", nil, attrs{"m": dict(attrs{"x": num("1"), "y": dict(attrs{"z": num("2")})})}},
		{"l[0], l[2]", nil, attrs{"l": list(num("0"), num("2"))}},
		{"l[2], l[0]", nil, attrs{"l": list(num("0"), num("2"))}},
		{"l[1].y", nil, attrs{"l": list(dict(attrs{"y": num("2")}))}},
		{"l[7], m.q, a.b", nil, attrs{}},
	}
	for _, tt := range tests {
		t.Run(tt.expression, func(t *testing.T) {
			out, err := s.GetItem(s.ctx, &sdk.GetItemInput{TableName: aws.String(tableName), Key: key("p", "s"), ProjectionExpression: aws.String(tt.expression), ExpressionAttributeNames: tt.names})
			require.NoError(t, err)
			require.Equal(t, tt.want, out.Item)
		})
	}
}
