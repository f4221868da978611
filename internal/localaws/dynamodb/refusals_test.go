package dynamodb

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// refusal is a request and how it is refused. K stands for a key of the table
// and its name, I for an item's key attributes, in the body.
type refusal struct {
	name      string
	operation string
	body      string
	code      string
	message   string
}

const validation = "ValidationException"

var refusals = []refusal{
	{"no such table", "GetItem", `{"TableName":"nothing","Key":{"PK":{"S":"p"}}}`, "ResourceNotFoundException", "Requested resource not found"},
	{"no such operation", "ExecuteStatement", `{}`, "UnknownOperationException", ""},
	{"table exists", "CreateTable", `{"TableName":"things","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"}],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}]}`, "ResourceInUseException", "Table already exists: things"},
	{"key not defined", "CreateTable", `{"TableName":"other","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"}],"KeySchema":[{"AttributeName":"b","KeyType":"HASH"}]}`, validation, ""},
	{"definition not used", "CreateTable", `{"TableName":"other","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"},{"AttributeName":"b","AttributeType":"S"}],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}]}`, validation, ""},
	{"time to live is on", "UpdateTimeToLive", `{"TableName":"things","TimeToLiveSpecification":{"AttributeName":"expires_at","Enabled":true}}`, validation, "TimeToLive is already enabled"},
	{"delete an unknown table", "DeleteTable", `{"TableName":"nothing"}`, "ResourceNotFoundException", "Requested resource not found: Table: nothing not found"},
	{"backups of an unknown table", "DescribeContinuousBackups", `{"TableName":"nothing"}`, "TableNotFoundException", "Table not found: nothing"},

	{"missing key", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"}}}`, validation, "One or more parameter values were invalid: Missing the key SK in the item"},
	{"wrong type of key", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"N":"1"}}}`, validation, "One or more parameter values were invalid: Type mismatch for key SK expected: S actual: N"},
	{"empty key", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":""}}}`, validation, "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: SK"},
	{"long hash key", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"` + strings.Repeat("x", 2049) + `"},"SK":{"S":"s"}}}`, validation, "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes"},
	{"long sort key", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":"` + strings.Repeat("x", 1025) + `"}}}`, validation, "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes"},
	{"wrong type of index key", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":"s"},"GSK":{"S":"1"}}}`, validation, "One or more parameter values were invalid: Type mismatch for Index Key GSK Expected: N Actual: S IndexName: "},
	{"empty index key", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":"s"},"GPK":{"S":""}}}`, validation, "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty string value. IndexName: "},
	{"large item", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":"s"},"x":{"S":"` + strings.Repeat("x", 400<<10) + `"}}}`, validation, "Item size has exceeded the maximum allowed size"},
	{"empty set", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":"s"},"x":{"SS":[]}}}`, validation, "One or more parameter values were invalid: An string set  may not be empty"},
	{"repeated member", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":"s"},"x":{"SS":["a","a"]}}}`, validation, "One or more parameter values were invalid: Input collection "},
	{"repeated number", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":"s"},"x":{"NS":["1","1.0"]}}}`, validation, "Input collection contains duplicates"},
	{"not a number", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":"s"},"x":{"N":"one"}}}`, validation, "The parameter cannot be converted to a numeric value: one"},
	{"too many digits", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":"s"},"x":{"N":"` + strings.Repeat("1", 39) + `"}}}`, validation, "Attempting to store more than 38 significant digits in a Number"},
	{"too large", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":"s"},"x":{"N":"1E126"}}}`, validation, "Number overflow. Attempting to store a number with magnitude larger than supported range"},
	{"too small", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":"s"},"x":{"N":"1E-131"}}}`, validation, "Number underflow. Attempting to store a number with magnitude smaller than supported range"},
	{"false null", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":"s"},"x":{"NULL":false}}}`, validation, "One or more parameter values were invalid: Null attribute value types must have the value of true"},
	{"no type", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":"s"},"x":{}}}`, validation, "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"},
	{"two types", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":"s"},"x":{"S":"a","N":"1"}}}`, validation, "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"},
	{"nested too deep", "PutItem", `{"TableName":"things","Item":{"PK":{"S":"p"},"SK":{"S":"s"},"x":` + strings.Repeat(`{"L":[`, 33) + strings.Repeat(`]}`, 33) + `}}`, validation, "Nesting Levels have exceeded supported limits"},
	{"return values of a put", "PutItem", `{"TableName":"things","Item":{I},"ReturnValues":"ALL_NEW"}`, validation, "ReturnValues can only be ALL_OLD or NONE"},
	{"legacy parameter", "PutItem", `{"TableName":"things","Item":{I},"Expected":{"a":{"Exists":false}}}`, validation, ""},
	{"not JSON", "PutItem", `{"TableName":"things",`, "SerializationException", ""},
	{"number for text", "PutItem", `{"TableName":"things","Item":{"PK":{"S":1}}}`, "SerializationException", "NUMBER_VALUE cannot be converted to String"},

	{"key too short", "GetItem", `{"TableName":"things","Key":{"PK":{"S":"p"}}}`, validation, "The provided key element does not match the schema"},
	{"key too long", "GetItem", `{"TableName":"things","Key":{"PK":{"S":"p"},"SK":{"S":"s"},"x":{"S":"s"}}}`, validation, "The provided key element does not match the schema"},
	{"key of wrong type", "GetItem", `{"TableName":"things","Key":{"PK":{"S":"p"},"SK":{"N":"1"}}}`, validation, "The provided key element does not match the schema"},
	{"reserved word", "GetItem", `{K,"ProjectionExpression":"a, Name"}`, validation, "Invalid ProjectionExpression: Attribute name is a reserved keyword; reserved keyword: Name"},
	{"overlapping projection", "GetItem", `{K,"ProjectionExpression":"a.b, a"}`, validation, "Invalid ProjectionExpression: Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a]"},
	{"undefined name", "GetItem", `{K,"ProjectionExpression":"#x"}`, validation, "Invalid ProjectionExpression: An expression attribute name used in the document path is not defined; attribute name: #x"},
	{"unused name", "GetItem", `{K,"ProjectionExpression":"a","ExpressionAttributeNames":{"#x":"b"}}`, validation, "Value provided in ExpressionAttributeNames unused in expressions: keys: {#x}"},
	{"names without expression", "GetItem", `{K,"ExpressionAttributeNames":{"#x":"b"}}`, validation, "ExpressionAttributeNames can only be specified when using expressions"},
	{"empty expression", "GetItem", `{K,"ProjectionExpression":""}`, validation, "Invalid ProjectionExpression: The expression can not be empty;"},

	{"condition fails", "DeleteItem", `{K,"ConditionExpression":"attribute_exists(PK)"}`, "ConditionalCheckFailedException", "The conditional request failed"},
	{"undefined value", "DeleteItem", `{K,"ConditionExpression":"a = :v"}`, validation, "Invalid ConditionExpression: An expression attribute value used in expression is not defined; attribute value: :v"},
	{"unused value", "DeleteItem", `{K,"ConditionExpression":"a = :v","ExpressionAttributeValues":{":v":{"N":"1"},":w":{"N":"1"}}}`, validation, "Value provided in ExpressionAttributeValues unused in expressions: keys: {:w}"},
	{"bad placeholder", "DeleteItem", `{K,"ConditionExpression":"a = :v","ExpressionAttributeValues":{"v":{"N":"1"}}}`, validation, `ExpressionAttributeValues contains invalid key: Syntax error; key: "v"`},
	{"syntax", "DeleteItem", `{K,"ConditionExpression":"a = = b"}`, validation, `Invalid ConditionExpression: Syntax error; token: "=", near: "= = b"`},
	{"syntax at the end", "DeleteItem", `{K,"ConditionExpression":"a ="}`, validation, `Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "="`},
	{"unknown sign", "DeleteItem", `{K,"ConditionExpression":"a ! b"}`, validation, `Invalid ConditionExpression: Syntax error; token: "!"`},
	{"unknown function", "DeleteItem", `{K,"ConditionExpression":"foo(a)"}`, validation, "Invalid ConditionExpression: Invalid function name; function: foo"},
	{"unordered operand", "DeleteItem", `{K,"ConditionExpression":"a < :v","ExpressionAttributeValues":{":v":{"BOOL":true}}}`, validation, "Invalid ConditionExpression: Incorrect operand type for operator or function; operator or function: <, operand type: BOOL"},
	{"prefix of a number", "DeleteItem", `{K,"ConditionExpression":"begins_with(a, :v)","ExpressionAttributeValues":{":v":{"N":"1"}}}`, validation, "Invalid ConditionExpression: Incorrect operand type for operator or function; operator or function: begins_with, operand type: N"},
	{"unknown type", "DeleteItem", `{K,"ConditionExpression":"attribute_type(a, :v)","ExpressionAttributeValues":{":v":{"S":"X"}}}`, validation, "Invalid ConditionExpression: Invalid attribute type name found; type: X, valid types: {"},
	{"bounds in wrong order", "DeleteItem", `{K,"ConditionExpression":"a BETWEEN :v AND :w","ExpressionAttributeValues":{":v":{"N":"2"},":w":{"N":"1"}}}`, validation, "Invalid ConditionExpression: The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:2}, upper bound operand: AttributeValue: {N:1}"},
	{"compared with itself", "DeleteItem", `{K,"ConditionExpression":"a = a"}`, validation, "Invalid ConditionExpression: The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]"},

	{"update of a key", "UpdateItem", `{K,"UpdateExpression":"SET SK = :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "One or more parameter values were invalid: Cannot update attribute SK. This attribute is part of the key"},
	{"section twice", "UpdateItem", `{K,"UpdateExpression":"REMOVE a REMOVE b"}`, validation, `Invalid UpdateExpression: The "REMOVE" section can only be used once in an update expression;`},
	{"path twice", "UpdateItem", `{K,"UpdateExpression":"REMOVE a, a.b"}`, validation, "Invalid UpdateExpression: Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a, b]"},
	{"add a text", "UpdateItem", `{K,"UpdateExpression":"ADD a :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "Invalid UpdateExpression: Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND"},
	{"delete a number", "UpdateItem", `{K,"UpdateExpression":"DELETE a :v","ExpressionAttributeValues":{":v":{"N":"1"}}}`, validation, "Invalid UpdateExpression: Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_DELETE_OPERAND"},
	{"sum of texts", "UpdateItem", `{K,"UpdateExpression":"SET a = b + :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "Invalid UpdateExpression: Incorrect operand type for operator or function; operator or function: +, operand type: S"},
	{"append to no list", "UpdateItem", `{K,"UpdateExpression":"SET a = list_append(b, :v)","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "Invalid UpdateExpression: Incorrect operand type for operator or function; operator or function: list_append, operand type: S"},
	{"missing operand", "UpdateItem", `{K,"UpdateExpression":"SET a = b"}`, validation, "The provided expression refers to an attribute that does not exist in the item"},
	{"missing parent", "UpdateItem", `{K,"UpdateExpression":"SET a.b = :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "The document path provided in the update expression is invalid for update"},
	{"add to a text", "UpdateItem", `{"TableName":"things","Key":{"PK":{"S":"full"},"SK":{"S":"s"}},"UpdateExpression":"ADD a :v","ExpressionAttributeValues":{":v":{"N":"1"}}}`, validation, "An operand in the update expression has an incorrect data type"},
	{"update becomes too large", "UpdateItem", `{K,"UpdateExpression":"SET a = :v","ExpressionAttributeValues":{":v":{"S":"` + strings.Repeat("x", 400<<10) + `"}}}`, validation, "Item size to update has exceeded the maximum allowed size"},
	{"update makes a bad index key", "UpdateItem", `{K,"UpdateExpression":"SET GPK = :v","ExpressionAttributeValues":{":v":{"N":"1"}}}`, validation, "Type mismatch for Index Key GPK Expected: S Actual: N IndexName: "},

	{"no key condition", "Query", `{"TableName":"things"}`, validation, "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."},
	{"hash key missing", "Query", `{"TableName":"things","KeyConditionExpression":"SK = :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "Query condition missed key schema element: PK"},
	{"hash key by range", "Query", `{"TableName":"things","KeyConditionExpression":"PK > :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "Query key condition not supported"},
	{"not a key", "Query", `{"TableName":"things","KeyConditionExpression":"PK = :v AND a = :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "Query condition missed key schema element: SK"},
	{"key condition of wrong type", "Query", `{"TableName":"things","KeyConditionExpression":"PK = :v","ExpressionAttributeValues":{":v":{"N":"1"}}}`, validation, "One or more parameter values were invalid: Condition parameter type does not match schema type"},
	{"sort key twice", "Query", `{"TableName":"things","KeyConditionExpression":"PK = :v AND SK > :v AND SK < :w","ExpressionAttributeValues":{":v":{"S":"1"},":w":{"S":"2"}}}`, validation, "KeyConditionExpressions must only contain one condition per key"},
	{"either key", "Query", `{"TableName":"things","KeyConditionExpression":"PK = :v OR SK = :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "Invalid operator used in KeyConditionExpression: OR"},
	{"other than a key", "Query", `{"TableName":"things","KeyConditionExpression":"PK = :v AND SK <> :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, ""},
	{"filter on a key", "Query", `{"TableName":"things","KeyConditionExpression":"PK = :v","FilterExpression":"SK > :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "Filter Expression can only contain non-primary key attributes: Primary key attribute: SK"},
	{"empty key value", "Query", `{"TableName":"things","KeyConditionExpression":"PK = :v","ExpressionAttributeValues":{":v":{"S":""}}}`, validation, "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: PK"},
	{"no such index", "Query", `{"TableName":"things","IndexName":"nothing","KeyConditionExpression":"PK = :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "The table does not have the specified index: nothing"},
	{"consistent index", "Query", `{"TableName":"things","IndexName":"KEYS","ConsistentRead":true,"KeyConditionExpression":"GPK = :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "Consistent reads are not supported on global secondary indexes"},
	{"not projected", "Query", `{"TableName":"things","IndexName":"KEYS","KeyConditionExpression":"GPK = :v","ProjectionExpression":"a","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "One or more parameter values were invalid: Global secondary index KEYS does not project "},
	{"all of a part", "Query", `{"TableName":"things","IndexName":"KEYS","Select":"ALL_ATTRIBUTES","KeyConditionExpression":"GPK = :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary index KEYS because its projection type is not ALL"},
	{"limit of nothing", "Query", `{"TableName":"things","Limit":0,"KeyConditionExpression":"PK = :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "failed to satisfy constraint: Member must have value greater than or equal to 1"},
	{"bad start", "Query", `{"TableName":"things","ExclusiveStartKey":{"PK":{"S":"1"}},"KeyConditionExpression":"PK = :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "The provided starting key is invalid"},
	{"start elsewhere", "Query", `{"TableName":"things","ExclusiveStartKey":{"PK":{"S":"2"},"SK":{"S":"1"}},"KeyConditionExpression":"PK = :v","ExpressionAttributeValues":{":v":{"S":"1"}}}`, validation, "The provided starting key is "},
	{"segment too high", "Scan", `{"TableName":"things","Segment":2,"TotalSegments":2}`, validation, "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: 2 is not less than TotalSegments: 2"},
	{"segment alone", "Scan", `{"TableName":"things","Segment":2}`, validation, "The TotalSegments parameter is required but was not present in the request when Segment parameter is present"},

	{"empty batch", "BatchGetItem", `{"RequestItems":{}}`, validation, "failed to satisfy constraint"},
	{"key twice in a batch", "BatchGetItem", `{"RequestItems":{"things":{"Keys":[{I},{I}]}}}`, validation, "Provided list of item keys contains duplicates"},
	{"item twice in a batch", "BatchWriteItem", `{"RequestItems":{"things":[{"PutRequest":{"Item":{I}}},{"DeleteRequest":{"Key":{I}}}]}}`, validation, "Provided list of item keys contains duplicates"},
	{"batch too long", "BatchWriteItem", `{"RequestItems":{"things":[` + strings.Repeat(`{"PutRequest":{"Item":{I}}},`, 25) + `{"PutRequest":{"Item":{I}}}]}}`, validation, ""},
	{"unknown table in a batch", "BatchWriteItem", `{"RequestItems":{"nothing":[{"DeleteRequest":{"Key":{I}}}]}}`, "ResourceNotFoundException", "Requested resource not found"},

	{"item twice in a transaction", "TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"things","Item":{I}}},{"Delete":{K}}]}`, validation, "Transaction request cannot include multiple operations on one item"},
	{"empty transaction", "TransactWriteItems", `{"TransactItems":[]}`, validation, "failed to satisfy constraint"},
	{"transaction too long", "TransactGetItems", `{"TransactItems":[` + strings.Repeat(`{"Get":{K}},`, 100) + `{"Get":{K}}]}`, validation, "Member must have length less than or equal to 100"},
	{"cancelled", "TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"things","Item":{"PK":{"S":"o"},"SK":{"S":"o"}}}},{"ConditionCheck":{K,"ConditionExpression":"attribute_exists(PK)"}}]}`, "TransactionCanceledException", "Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed]"},
}

func (r refusal) request() string {
	return strings.NewReplacer(`{K,`, `{"TableName":"things","Key":{"PK":{"S":"p"},"SK":{"S":"s"}},`,
		`{K}`, `{"TableName":"things","Key":{"PK":{"S":"p"},"SK":{"S":"s"}}}`,
		`{I}`, `{"PK":{"S":"p"},"SK":{"S":"s"}}`).Replace(r.body)
}

// tester is what a test, a benchmark and a property have in common.
type tester interface {
	require.TestingT
	Helper()
}

// send posts a request and returns what an answer says.
func send(t tester, h http.Handler, operation, body string) (status int, code, message string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var out struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out), w.Body.String())
	_, code, _ = strings.Cut(out.Type, "#")
	return w.Code, code, out.Message
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	s.put(t, thing("full", "s", attrs{"a": str("text")}))
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			status, code, message := send(t, s.server, r.operation, r.request())
			require.Equal(t, http.StatusBadRequest, status)
			require.Equal(t, r.code, code, message)
			require.Contains(t, message, r.message)
			require.NotEmpty(t, message)
		})
	}
	require.Nil(t, s.get(t, "p", "s"), "a refused write must not be done")
	require.Nil(t, s.get(t, "o", "o"), "a refused write must not be done")
}
