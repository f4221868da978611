package dynamo

import (
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// update is an update expression that is being built.
type update struct {
	names               map[string]string
	values              item
	sets, adds, removes []string
}

func newUpdate() *update { return &update{names: map[string]string{}, values: item{}} }

func (u *update) name(attribute string) string {
	n := "#" + strconv.Itoa(len(u.names))
	u.names[n] = attribute
	return n
}

func (u *update) add(attribute string, n int64) {
	if n == 0 {
		return
	}
	u.addValue(attribute, num(n))
}

func (u *update) addValue(attribute string, v types.AttributeValue) {
	u.adds = append(u.adds, u.name(attribute)+" "+u.value(v))
}

func (u *update) set(attribute string, v types.AttributeValue) {
	u.sets = append(u.sets, u.name(attribute)+" = "+u.value(v))
}

func (u *update) value(v types.AttributeValue) string {
	name := ":" + strconv.Itoa(len(u.values))
	u.values[name] = v
	return name
}

func (u *update) expression() string {
	var parts []string
	for _, clause := range []struct {
		keyword string
		actions []string
	}{{"SET", u.sets}, {"ADD", u.adds}, {"REMOVE", u.removes}} {
		if len(clause.actions) > 0 {
			parts = append(parts, clause.keyword+" "+strings.Join(clause.actions, ", "))
		}
	}
	return strings.Join(parts, " ")
}
