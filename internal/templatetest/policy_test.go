package templatetest

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// actionsOf says which actions an operation needs, where they are not its own
// name: see "Actions, resources, and condition keys" of DynamoDB and SQS.
var actionsOf = map[string][]string{
	"SendMessageBatch":             {"SendMessage"},
	"DeleteMessageBatch":           {"DeleteMessage"},
	"ChangeMessageVisibilityBatch": {"ChangeMessageVisibility"},
	"TransactWriteItems":           nil, // those of its items
	// Only for queues given by name, and a function is given URLs.
	"GetQueueUrl": nil,
}

// itemActions are those of the items of a transaction, by their types.
var itemActions = map[string]string{
	"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem",
}

// actions are those that a method needs.
func actions(a *adapter, method string) set {
	needed := set{}
	for name := range a.reach(method) {
		for op := range a.calls[name] {
			if own, other := actionsOf[op]; other {
				needed.add(own...)
			} else {
				needed.add(op)
			}
		}
		for kind := range a.types[name] {
			if action, ok := itemActions[kind]; ok {
				needed.add(action)
			}
		}
	}
	return needed
}

func tableActions(a *adapter, methods []string) set {
	needed := set{}
	for _, method := range methods {
		needed.add(actions(a, method).sorted()...)
	}
	return needed
}

// queueActions are "Queue SendMessage" and the like. Which queue a method means
// is read from the field of Queues that it uses.
func queueActions(a *adapter, methods []string) set {
	needed := set{}
	for _, method := range methods {
		reach := a.reach(method)
		for field, queue := range map[string]string{".main": "Queue", ".dead": "DeadLetterQueue"} {
			if reach[field] {
				for action := range actions(a, method) {
					needed.add(queue + " " + action)
				}
			}
		}
	}
	return needed
}

// Each function may do what its code calls, and nothing else.
func TestPoliciesAllowWhatIsCalledAndNoMore(t *testing.T) {
	t.Parallel()
	table, queues, keys := readAdapter(t, "../dynamo"), readAdapter(t, "../awssqs"), readAdapter(t, "../seal")
	counts := interfaceMethods(sources(t, "../metrics"))
	wire := sources(t, "../wire")

	// What telling endpoints of something takes: of all that ingest does, this.
	notify := []string{"EndpointSet", "PutEventWithKey", "Event", "MarkKeySent", "PutJob", "Send"}
	require.Subset(t, slices.Concat(interfaceMethods(sources(t, "../ingest")), interfaceMethods(sources(t, "../bulk"))), notify)
	redrive := interfaceMethods(sources(t, "../redrive"))
	methods := map[string][]string{
		"ApiRole": slices.Concat(counts, redrive,
			interfaceMethods(sources(t, "../ingest")), interfaceMethods(sources(t, "../httpapi")), []string{"PutJob", "SaveJob"},
			calledOn(wire, "table"), calledOn(wire, "queues")),
		"DeliverRole":    slices.Concat(counts, redrive, notify, interfaceMethods(sources(t, "../deliver")), interfaceMethods(sources(t, "../bulk"))),
		"DlqSweeperRole": slices.Concat(counts, notify, interfaceMethods(sources(t, "../deadletter"))),
	}
	// The API makes data keys and shows what they seal; a delivery is signed with
	// what they open; the sweeper has no secrets to do with.
	wrapped := map[string][]string{"ApiRole": {"NewKey", "Unwrap"}, "DeliverRole": {"Unwrap"}}
	require.Subset(t, interfaceMethods(sources(t, "../seal")), wrapped["ApiRole"])
	// What Lambda itself does in the function's name.
	platform := map[string][]string{
		"DeliverRole": {"Queue ReceiveMessage", "Queue DeleteMessage", "Queue GetQueueAttributes"},
	}

	roles := resources(t, "AWS::IAM::Role")
	require.Len(t, roles, len(methods))
	for id, names := range methods {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			var onTable, onQueues []string
			for _, n := range names {
				if table.exported[n] {
					onTable = append(onTable, n)
				}
				if queues.exported[n] {
					onQueues = append(onQueues, n)
				}
			}
			require.NotEmpty(t, onTable)
			wantTable, wantQueues := tableActions(table, onTable), queueActions(queues, onQueues)
			if id != "DeliverRole" {
				delete(wantTable, "ConditionCheckItem") // of the writes of a row, only holding checks something
			}
			wantQueues.add(platform[id]...)
			wantKey := set{}
			for _, method := range wrapped[id] {
				wantKey.add(actions(keys, method).sorted()...)
			}
			require.Equal(t, len(wrapped[id]), len(wantKey), "each calls one operation")

			group := strings.TrimSuffix(id, "Role") + "LogGroup"
			gotTable, gotQueues, gotKey := set{}, set{}, set{}
			for _, policy := range roles[id].at("Properties", "Policies").items() {
				for _, s := range policy.at("PolicyDocument", "Statement").items() {
					require.Equal(t, "Allow", s.at("Effect").text())
					if s.at("Resource").n.Tag == "!If" {
						require.Equal(t, keyInUse, s.at("Resource").outcomes("MakesKey"))
						context := stringConst(t, "../seal", "contextKey")
						require.Equal(t, context, s.at("Condition", "ForAnyValue:StringEquals", "kms:EncryptionContextKeys").text())
						for _, action := range s.at("Action").texts() {
							name, ok := strings.CutPrefix(action, "kms:")
							require.True(t, ok, action)
							gotKey.add(name)
						}
						continue
					}
					for _, resource := range s.at("Resource").texts() {
						for _, action := range s.at("Action").texts() {
							service, name, _ := strings.Cut(action, ":")
							switch {
							case service == "logs":
								require.Equal(t, "!GetAtt "+group+".Arn", resource)
								require.Contains(t, []string{"CreateLogStream", "PutLogEvents"}, name)
							case service == "dynamodb" && resource == "!GetAtt Table.Arn":
								gotTable.add(name)
							case service == "dynamodb":
								require.Equal(t, "!Sub ${Table.Arn}/index/GSI1", resource)
								require.Equal(t, "Query", name)
							case service == "sqs":
								queue := strings.TrimSuffix(strings.TrimPrefix(resource, "!GetAtt "), ".Arn")
								require.Contains(t, []string{"Queue", "DeadLetterQueue"}, queue)
								gotQueues.add(queue + " " + name)
							default:
								require.Fail(t, "an action of no service that is used", action)
							}
						}
					}
				}
			}
			require.Equal(t, wantTable.sorted(), gotTable.sorted(), "on the table")
			require.Equal(t, wantQueues.sorted(), gotQueues.sorted(), "on the queues")
			require.Equal(t, wantKey.sorted(), gotKey.sorted(), "with the key")
		})
	}
}

func TestFunctionsHaveTheirOwnRoles(t *testing.T) {
	t.Parallel()
	for id, f := range resources(t, serverlessFunction) {
		require.Equal(t, "!GetAtt "+strings.TrimSuffix(id, "Function")+"Role.Arn", f.at("Properties", "Role").text())
		managed := template(t).at("Resources", strings.TrimSuffix(id, "Function")+"Role", "Properties", "ManagedPolicyArns")
		require.Equal(t, "!If [InVpc [!Ref NetworkPolicy] !Ref AWS::NoValue]", managed.written(), "AWS's own managed policies allow more than is called")
	}
}
