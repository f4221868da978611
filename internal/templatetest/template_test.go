package templatetest

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"posthorn/internal/config"
	"posthorn/internal/dynamo"
)

const serverlessFunction = "AWS::Serverless::Function"

// functions are the functions by logical id and where their source is.
var functions = map[string]string{"ApiFunction": "api", "DeliverFunction": "deliver", "DlqSweeperFunction": "dlq-sweeper"}

// env are variables by name.
type env map[string]string

func (e env) get(name string) string { return e[name] }

const keyARN = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// sealing is what no server starts without.
var sealing = env{
	"POSTHORN_KMS_KEY_ID": keyARN, "POSTHORN_TABLE": "posthorn",
	"POSTHORN_QUEUE_URL": "posthorn-deliveries", "POSTHORN_DLQ_URL": "posthorn-dead-letters",
}

func shipped(t *testing.T) *config.Config {
	t.Helper()
	c, err := config.Load(config.Serve, config.Source{Getenv: sealing.get, Dirs: []string{"../../config"}})
	require.NoError(t, err)
	return c
}

func TestEveryVariableThatIsSetIsReadAndEveryRequiredOneIsSet(t *testing.T) {
	t.Parallel()
	global := template(t).at("Globals", "Function", "Environment", "Variables").keys()
	var known, required []string
	for _, v := range config.Variables() {
		known = append(known, v.Name)
		if v.Required {
			required = append(required, v.Name)
		}
	}
	require.Subset(t, known, global)
	require.Subset(t, global, required)
	for id, f := range resources(t, serverlessFunction) {
		if own, ok := f.at("Properties").find("Environment"); ok {
			require.Subset(t, known, own.at("Variables").keys(), id)
		}
	}
}

// A function starts with what the template sets, whatever its parameters are
// within their bounds.
func TestAFunctionStartsWithWhatIsSet(t *testing.T) {
	t.Parallel()
	doc := template(t)
	variables := doc.at("Globals", "Function", "Environment", "Variables")
	values := func(name string) []string {
		if name == "POSTHORN_KMS_KEY_ID" {
			require.Equal(t, keyInUse, variables.at(name).outcomes("MakesKey"))
			return []string{keyARN}
		}
		v := variables.at(name).text()
		ref, ok := strings.CutPrefix(v, "!Ref ")
		if !ok {
			return []string{v}
		}
		switch ref {
		case "Table":
			return []string{"posthorn-Table-1ABCDEFGHIJKL"}
		case "Queue", "DeadLetterQueue":
			return []string{"https://sqs.eu-central-1.amazonaws.com/123456789012/posthorn-" + ref}
		}
		p := doc.at("Parameters", ref)
		if allowed, ok := p.find("AllowedValues"); ok {
			return allowed.texts()
		}
		vs := []string{p.at("Default").text()}
		for _, bound := range []string{"MinValue", "MaxValue"} {
			if n, ok := p.find(bound); ok {
				vs = append(vs, n.text())
			}
		}
		return vs
	}
	base := env{}
	for _, name := range variables.keys() {
		base[name] = values(name)[0]
	}
	for _, name := range variables.keys() {
		for _, v := range values(name) {
			vars := maps.Clone(base)
			vars[name] = v
			_, err := config.Load(config.Function, config.Source{Getenv: vars.get})
			require.NoError(t, err, "%s=%s", name, v)
		}
	}
}

func TestDefaultsOfParametersAreThoseOfTheFiles(t *testing.T) {
	t.Parallel()
	c := shipped(t)
	parameter := func(name string) int { return template(t).at("Parameters", name, "Default").number() }
	const day = 24 * time.Hour
	require.Equal(t, int(c.Retention.Events/day), parameter("RetentionDays"))
	require.Equal(t, int(c.Retention.DeadLetters/day), parameter("DlqRetentionDays"))
	require.Zero(t, parameter("MaxQueueSize"), "an account's queue has no bound")
}

func TestAllowPortsTakesWhatIsRead(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(template(t).at("Parameters", "AllowPorts", "AllowedPattern").text())
	for value, ok := range map[string]bool{"": true, "9443": true, "9443,10443": true, "1, 2 ,3": true, "x": false, "1,": false, ",1": false} {
		require.Equal(t, ok, pattern.MatchString(value), "%q", value)
		if ok {
			vars := maps.Clone(sealing)
			vars["POSTHORN_ALLOW_PORTS"] = value
			_, err := config.Load(config.Serve, config.Source{Getenv: vars.get})
			require.NoError(t, err)
		}
	}
}

// keyInUse is the key that seals, wherever the template names it: the stack's
// own, or the one that was given.
var keyInUse = []string{"!GetAtt Key.Arn", "!Ref KmsKeyArn"}

// The stack's own key is made unless one is given, is rotated, and outlives the
// stack, as the table does whose secrets it opens.
func TestTheKey(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"!Ref KmsKeyArn", ""}, template(t).at("Conditions", "MakesKey").texts())
	require.Equal(t, "!Equals", template(t).at("Conditions", "MakesKey").n.Tag)
	require.Empty(t, template(t).at("Parameters", "KmsKeyArn", "Default").text())
	key := resources(t, "AWS::KMS::Key")["Key"]
	require.Equal(t, "MakesKey", key.at("Condition").text())
	require.Equal(t, "true", key.at("Properties", "EnableKeyRotation").text())
	statements := key.at("Properties", "KeyPolicy", "Statement").items()
	require.Len(t, statements, 1)
	require.Equal(t, "!Sub arn:${AWS::Partition}:iam::${AWS::AccountId}:root", statements[0].at("Principal", "AWS").text(), "nobody outside the account")
	require.Equal(t, []string{"kms:*"}, statements[0].at("Action").texts(), "nobody is locked out")

	alias := resources(t, "AWS::KMS::Alias")["KeyAlias"]
	require.Equal(t, "MakesKey", alias.at("Condition").text())
	require.Equal(t, "!Ref Key", alias.at("Properties", "TargetKeyId").text())
}

func TestKmsKeyArnTakesWhatIsRead(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(template(t).at("Parameters", "KmsKeyArn", "AllowedPattern").text())
	for value, ok := range map[string]bool{
		"": true, keyARN: true, "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab": true,
		"alias/a": false, "arn:aws:kms:eu-central-1:123456789012:alias/a": false, "1234abcd-12ab-34cd-56ef-1234567890ab": false, keyARN + "0": false,
	} {
		require.Equal(t, ok, pattern.MatchString(value), "%q", value)
		if ok && value != "" {
			vars := maps.Clone(sealing)
			vars["POSTHORN_KMS_KEY_ID"] = value
			_, err := config.Load(config.Serve, config.Source{Getenv: vars.get})
			require.NoError(t, err)
		}
	}
}

func TestTheTableIsTheCodes(t *testing.T) {
	t.Parallel()
	want := dynamo.Definition("any")
	got := template(t).at("Resources", "Table", "Properties")
	require.Equal(t, string(want.BillingMode), got.at("BillingMode").text())

	attributes := map[string]string{}
	for _, a := range got.at("AttributeDefinitions").items() {
		attributes[a.at("AttributeName").text()] = a.at("AttributeType").text()
	}
	require.Len(t, attributes, len(want.AttributeDefinitions))
	for _, a := range want.AttributeDefinitions {
		require.Equal(t, string(a.AttributeType), attributes[*a.AttributeName], *a.AttributeName)
	}

	requireKeys(t, want.KeySchema, got.at("KeySchema"))
	indexes := got.at("GlobalSecondaryIndexes").items()
	require.Len(t, indexes, len(want.GlobalSecondaryIndexes))
	for i, index := range want.GlobalSecondaryIndexes {
		require.Equal(t, *index.IndexName, indexes[i].at("IndexName").text())
		requireKeys(t, index.KeySchema, indexes[i].at("KeySchema"))
		require.Equal(t, string(index.Projection.ProjectionType), indexes[i].at("Projection", "ProjectionType").text())
	}
	require.Equal(t, dynamo.TTL, got.at("TimeToLiveSpecification", "AttributeName").text())
	require.Equal(t, "true", got.at("TimeToLiveSpecification", "Enabled").text())
}

func requireKeys(t *testing.T, want []types.KeySchemaElement, got node) {
	t.Helper()
	items := got.items()
	require.Len(t, items, len(want), got.path)
	for i, k := range want {
		require.Equal(t, *k.AttributeName, items[i].at("AttributeName").text(), got.path)
		require.Equal(t, string(k.KeyType), items[i].at("KeyType").text(), got.path)
	}
}

func TestTheQueues(t *testing.T) {
	t.Parallel()
	c := shipped(t)
	queues := resources(t, "AWS::SQS::Queue")
	require.Len(t, queues, 2)
	main, dead := queues["Queue"].at("Properties"), queues["DeadLetterQueue"].at("Properties")

	receives := main.at("RedrivePolicy", "maxReceiveCount").number()
	require.Equal(t, c.Retry.Default.MaxAttempts, receives, "one receive for each attempt of the default policy")
	require.Equal(t, c.Queue.MaxReceiveCount, receives, "config/queue.yaml says what the queue does")
	require.Equal(t, "!GetAtt DeadLetterQueue.Arn", main.at("RedrivePolicy", "deadLetterTargetArn").text())

	visibility := main.at("VisibilityTimeout").number()
	require.Equal(t, int(c.Queue.Visibility.Seconds()), visibility)
	timeout := template(t).at("Resources", "DeliverFunction", "Properties", "Timeout").number()
	require.GreaterOrEqual(t, visibility, 6*timeout, "what Lambda asks of a queue that it reads")
	sweep := template(t).at("Resources", "DlqSweeperFunction", "Properties", "Timeout").number()
	require.Greater(t, dead.at("VisibilityTimeout").number(), sweep, "a sweep's messages stay its own")

	for _, q := range []node{main, dead} {
		require.Equal(t, 14*24*60*60, q.at("MessageRetentionPeriod").number(), q.path)
		require.Equal(t, "true", q.at("SqsManagedSseEnabled").text(), q.path)
	}
	require.Equal(t, "byQueue", dead.at("RedriveAllowPolicy", "redrivePermission").text())
	sources := dead.at("RedriveAllowPolicy", "sourceQueueArns").items()
	require.Len(t, sources, 1)
	name, id := main.at("QueueName").substituted()
	source, same := sources[0].substituted()
	require.Equal(t, "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:"+name, source)
	require.Equal(t, id, same)

	name, id = dead.at("QueueName").substituted()
	require.Equal(t, "${AWS::StackName}-dead-letters-${Id}", name)
	require.Equal(t, same, id, "the end of the stack's id, which no other stack has")
	require.Equal(t, "Id: !Select [4 !Split [- !Select [2 !Split [/ !Ref AWS::StackId]]]]", id)
}

// What is delivered, and what has been, outlives a mistake with the stack.
func TestWhatHoldsDataIsKept(t *testing.T) {
	t.Parallel()
	var kept []string
	all := template(t).at("Resources")
	for _, id := range all.keys() {
		if policy, ok := all.at(id).find("DeletionPolicy"); ok {
			require.Equal(t, "RetainExceptOnCreate", policy.text(), "%s is not left behind by a stack that never came to be", id)
			require.Equal(t, "Retain", all.at(id, "UpdateReplacePolicy").text(), id)
			kept = append(kept, id)
		}
	}
	require.ElementsMatch(t, []string{"Table", "Queue", "DeadLetterQueue", "Key"}, kept)
	recovery := all.at("Table", "Properties", "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled")
	require.Equal(t, "!Ref PointInTimeRecovery", recovery.text())
	require.Equal(t, "true", template(t).at("Parameters", "PointInTimeRecovery", "Default").text())
}

func TestTheQueuesTakeEncryptedConnectionsOnly(t *testing.T) {
	t.Parallel()
	policy := template(t).at("Resources", "QueuesPolicy", "Properties")
	require.Equal(t, []string{"!Ref Queue", "!Ref DeadLetterQueue"}, policy.at("Queues").texts())
	statements := policy.at("PolicyDocument", "Statement").items()
	require.Len(t, statements, 1)
	s := statements[0]
	require.Equal(t, "Deny", s.at("Effect").text())
	require.Equal(t, "*", s.at("Principal").text())
	require.Equal(t, []string{"sqs:*"}, s.at("Action").texts())
	require.Equal(t, []string{"!GetAtt Queue.Arn", "!GetAtt DeadLetterQueue.Arn"}, s.at("Resource").texts())
	require.Equal(t, []string{"Bool"}, s.at("Condition").keys())
	require.Equal(t, "false", s.at("Condition", "Bool", "aws:SecureTransport").text())
}

func TestTheMapping(t *testing.T) {
	t.Parallel()
	c := shipped(t)
	events := template(t).at("Resources", "DeliverFunction", "Properties", "Events")
	require.Equal(t, []string{"Deliveries"}, events.keys())
	mapping := events.at("Deliveries")
	require.Equal(t, "SQS", mapping.at("Type").text())
	p := mapping.at("Properties")
	require.Equal(t, "!GetAtt Queue.Arn", p.at("Queue").text())
	require.Equal(t, c.Queue.BatchSize, p.at("BatchSize").number())
	require.Equal(t, 10, c.Queue.BatchSize)
	require.Equal(t, []string{"ReportBatchItemFailures"}, p.at("FunctionResponseTypes").texts())
	require.Equal(t, "!Ref DeliverConcurrency", p.at("ScalingConfig", "MaximumConcurrency").text())
	limits := template(t).at("Parameters", "DeliverConcurrency")
	require.Equal(t, 2, limits.at("MinValue").number(), "the least that ScalingConfig takes")
	_, window := p.find("MaximumBatchingWindowInSeconds")
	require.False(t, window, "a batch does not wait to fill up")
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	longest := intConst(t, "../httpapi", "maxTimeout")
	settle := secondsConst(t, "../deliver", "settleTime")
	deliver := template(t).at("Resources", "DeliverFunction", "Properties", "Timeout").number()
	require.Greater(t, deliver, longest+settle, "the longest post and what follows it fit into an invocation")
	api := template(t).at("Resources", "ApiFunction", "Properties", "Timeout").number()
	require.Less(t, api, 30, "API Gateway gives up after 30 s")
	sweep := template(t).at("Resources", "DlqSweeperFunction", "Properties", "Timeout").number()
	require.Less(t, sweep, 60, "sweeps do not overlap")
}

func TestTheFunctions(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../../functions/Makefile")
	require.NoError(t, err)
	all := resources(t, serverlessFunction)
	require.ElementsMatch(t, slices.Collect(maps.Keys(functions)), slices.Collect(maps.Keys(all)))
	global := template(t).at("Globals", "Function")
	require.Equal(t, "bootstrap", global.at("Handler").text())
	require.Equal(t, "provided.al2023", global.at("Runtime").text())
	require.Equal(t, "functions", global.at("CodeUri").text(), "the folder of the Makefile that sam build runs")
	require.Equal(t, []string{"!Ref Architecture"}, global.at("Architectures").texts())
	require.Equal(t, "arm64", template(t).at("Parameters", "Architecture", "Default").text())
	for id, dir := range functions {
		require.FileExists(t, "../../functions/"+dir+"/main.go")
		require.Equal(t, "makefile", all[id].at("Metadata", "BuildMethod").text())
		require.Contains(t, string(makefile), "build-"+id+":\n\t$(PACKAGE) package-"+dir+"\n", "make builds %s", id)
		require.Equal(t, "!Sub deploy/lambda/${Architecture}", all[id].at("Metadata", "WorkingDirectory").text())
		p := all[id].at("Properties")
		group := strings.TrimPrefix(p.at("LoggingConfig", "LogGroup").text(), "!Ref ")
		require.Equal(t, "!Ref LogRetentionDays", template(t).at("Resources", group, "Properties", "RetentionInDays").text())
	}
}

// sam build does not say for which processor, but runs make in a folder that
// the parameter names.
func TestEveryArchitectureSaysItsProcessor(t *testing.T) {
	t.Parallel()
	goarch := map[string]string{"arm64": "arm64", "x86_64": "amd64"}
	allowed := template(t).at("Parameters", "Architecture", "AllowedValues").texts()
	require.ElementsMatch(t, slices.Collect(maps.Keys(goarch)), allowed)
	for _, name := range allowed {
		text, err := os.ReadFile("../../deploy/lambda/" + name + "/architecture.mk")
		require.NoError(t, err)
		require.Contains(t, string(text), "\nLAMBDA_GOARCH := "+goarch[name]+"\n")
	}
}

// API Gateway lets everybody through, so the function has to ask.
func TestTheFunctionAsksForKeysAndTheGatewayForNothing(t *testing.T) {
	t.Parallel()
	require.Equal(t, "keys", template(t).at("Globals", "Function", "Environment", "Variables", "POSTHORN_AUTH").text())
	for id, f := range resources(t, serverlessFunction) {
		_, own := f.at("Properties").find("Environment")
		require.False(t, own, "%s is told the same", id)
	}
	api := template(t).at("Resources", "HttpApi", "Properties")
	_, authorizer := api.find("Auth")
	require.False(t, authorizer)
	paths := api.at("DefinitionBody", "paths")
	require.Equal(t, []string{"/{proxy+}"}, paths.keys())
	require.Equal(t, []string{"x-amazon-apigateway-any-method"}, paths.at("/{proxy+}").keys())
	route := paths.at("/{proxy+}", "x-amazon-apigateway-any-method")
	_, authorizer = route.find("security")
	require.False(t, authorizer)
	integration := route.at("x-amazon-apigateway-integration")
	require.Equal(t, "2.0", integration.at("payloadFormatVersion").text(), "what lambdaevent reads")
	alias := template(t).at("Globals", "Function", "AutoPublishAlias").text()
	require.Contains(t, integration.at("uri").text(), "/functions/${ApiFunction.Arn}:"+alias+"/invocations")
	permission := template(t).at("Resources", "HttpApiPermission", "Properties")
	require.Equal(t, "!Ref ApiFunction.Alias", permission.at("FunctionName").text())
	require.Equal(t, "!Sub arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${HttpApi}/*/*", permission.at("SourceArn").text(), "this API and no other")
}

func TestTheSweepersSchedule(t *testing.T) {
	t.Parallel()
	events := template(t).at("Resources", "DlqSweeperFunction", "Properties", "Events")
	require.Equal(t, []string{"EveryMinute"}, events.keys())
	require.Equal(t, "Schedule", events.at("EveryMinute", "Type").text())
	require.Equal(t, "rate(1 minute)", events.at("EveryMinute", "Properties", "Schedule").text())
}

func TestParametersAreDescribedAndUsed(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../template.yaml")
	require.NoError(t, err)
	parameters := template(t).at("Parameters")
	var grouped []string
	for _, g := range template(t).at("Metadata", "AWS::CloudFormation::Interface", "ParameterGroups").items() {
		grouped = append(grouped, g.at("Parameters").texts()...)
	}
	require.ElementsMatch(t, parameters.keys(), grouped)
	for _, name := range parameters.keys() {
		require.NotEmpty(t, parameters.at(name, "Description").text(), name)
		require.Contains(t, string(text), "!Ref "+name, name)
	}
	require.NotContains(t, string(text), ": *", "CloudFormation takes no YAML aliases")

	settings, err := os.ReadFile("../../samconfig.toml")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`(\w+)=\\"`).FindAllStringSubmatch(string(settings), -1) {
		if m[1] != "service" && m[1] != "stage" {
			require.Contains(t, parameters.keys(), m[1], "samconfig.toml")
		}
	}
}
