package dynamo

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
)

// The rules are those of "DynamoDB item sizes and formats" in the developer
// guide; a number's size is given there as an approximation.
func TestSizeIsAboutWhatAnItemIsBilledFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		value types.AttributeValue
		want  int
	}{
		"string":         {str("héllo"), 6},
		"number":         {num(123456), 5},
		"binary":         {&types.AttributeValueMemberB{Value: make([]byte, 100)}, 100},
		"boolean":        {&types.AttributeValueMemberBOOL{Value: true}, 1},
		"null":           {&types.AttributeValueMemberNULL{Value: true}, 1},
		"set of numbers": {&types.AttributeValueMemberNS{Value: []string{"1234", "12"}}, 4 + 3},
		"empty list":     {&types.AttributeValueMemberL{}, 3},
		"list":           {&types.AttributeValueMemberL{Value: []types.AttributeValue{str("four"), str("fives")}}, 3 + 5 + 6},
		"map":            {&types.AttributeValueMemberM{Value: item{"k": str("four")}}, 3 + 1 + 5},
		"list of maps":   {&types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberM{Value: item{"k": str("four")}}}}, 3 + 1 + 9},
	} {
		require.Equal(t, len("name")+c.want, size(item{"name": c.value}), name)
	}
}
