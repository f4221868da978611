package templatetest

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"posthorn/internal/httpapi"
)

// refs are the parameters that a part of the template refers to.
func refs(t *testing.T, n *yaml.Node) []string {
	t.Helper()
	parameters := template(t).at("Parameters").keys()
	var found []string
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Tag == "!Ref" && slices.Contains(parameters, n.Value) && !slices.Contains(found, n.Value) {
			found = append(found, n.Value)
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(n)
	return found
}

var placeholder = regexp.MustCompile(`\$\{(\w+)\}`)

// SAM makes a new version when the text of a function's properties changes, but
// not when a parameter that they refer to does. The description of a version
// cannot be changed without making a new one, so it has to say them all:
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-version.html
func TestAChangedParameterIsANewVersion(t *testing.T) {
	t.Parallel()
	global := template(t).at("Globals", "Function")
	require.Equal(t, "live", global.at("AutoPublishAlias").text())
	for id, f := range resources(t, serverlessFunction) {
		p := f.at("Properties")
		require.Equal(t, "true", p.at("AutoPublishAliasAllProperties").text(), id)
		used := append(refs(t, global.at("Environment").n), refs(t, global.at("VpcConfig").n)...)
		used = append(used, refs(t, p.at("MemorySize").n)...)
		used = append(used, "Tracing") // by a condition
		text, values := p.at("VersionDescription").substituted()
		var said []string
		for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
			said = append(said, strings.Replace(m[1], "KeyId", "KmsKeyArn", 1))
		}
		require.ElementsMatch(t, used, said, id)
		require.Equal(t, "KeyId: !If [MakesKey own !Select [1 !Split [/ !Ref KmsKeyArn]]]", values, id)

		longest := len(placeholder.ReplaceAllString(text, ""))
		for _, name := range said {
			longest += longestValue(t, name)
		}
		require.LessOrEqual(t, longest, 256, "%s: the longest description that a version may have", id)
	}
}

// longestValue is how long a parameter's value may be; of a key, its id.
func longestValue(t *testing.T, name string) int {
	t.Helper()
	p := template(t).at("Parameters", name)
	if name == "KmsKeyArn" {
		return len("1234abcd-12ab-34cd-56ef-1234567890ab")
	}
	if n, ok := p.find("MaxLength"); ok {
		return n.number()
	}
	if n, ok := p.find("MaxValue"); ok {
		return len(n.text())
	}
	longest := 0
	for _, v := range p.at("AllowedValues").texts() {
		longest = max(longest, len(v))
	}
	return longest
}

// `sam deploy --guided` offers the defaults, and they have to do.
func TestEveryParameterHasADefaultWithinItsBounds(t *testing.T) {
	t.Parallel()
	parameters := template(t).at("Parameters")
	for _, name := range parameters.keys() {
		p := parameters.at(name)
		standard := p.at("Default").text()
		bounded := false
		if allowed, ok := p.find("AllowedValues"); ok {
			require.Contains(t, allowed.texts(), standard, name)
			bounded = true
		}
		if pattern, ok := p.find("AllowedPattern"); ok {
			require.Regexp(t, pattern.text(), standard, name)
			require.NotEmpty(t, p.at("ConstraintDescription").text(), name)
			require.True(t, strings.HasPrefix(pattern.text(), "^") && strings.HasSuffix(pattern.text(), "$"), "%s: the whole value", name)
			bounded = true
		}
		if p.at("Type").text() == "Number" && !bounded {
			value := p.at("Default").number()
			require.GreaterOrEqual(t, value, p.at("MinValue").number(), name)
			require.LessOrEqual(t, value, p.at("MaxValue").number(), name)
			bounded = true
		}
		require.True(t, bounded, "%s has no bounds", name)
	}
}

func TestPatternsOfParameters(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]map[string]bool{
		"VpcSubnetIds":        {"subnet-0123456789abcdef0": true, "subnet-01234567,subnet-89abcdef": true, "subnet-01234567, subnet-89abcdef": false, "vpc-01234567": false},
		"VpcSecurityGroupIds": {"sg-0123456789abcdef0": true, "sg-01234567,sg-89abcdef": true, "default": false},
		"CorsAllowedOrigins": {
			"*": true, "https://admin.example.com": true, "http://localhost:3000,https://a.example": true,
			"admin.example.com": false, "https://a.example/": false, "https://a.example,*": false, "*,*": false,
		},
		"DomainName":     {"hooks.example.com": true, "Hooks.example.com": false, "example": false, "https://hooks.example.com": false, "a..b": false},
		"CertificateArn": {"arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd-12ab-34cd-56ef-1234567890ab": true, "1234abcd-12ab-34cd-56ef-1234567890ab": false},
		"HostedZoneId":   {"Z0123456789ABCDEFGHIJ": true, "/hostedzone/Z0123456789ABCDEFGHIJ": false},
		"AlarmTopicArn":  {"arn:aws:sns:eu-central-1:123456789012:alarms": true, "arn:aws:sqs:eu-central-1:123456789012:alarms": false, "alarms": false},
	} {
		pattern := regexp.MustCompile(template(t).at("Parameters", name, "AllowedPattern").text())
		for value, ok := range values {
			require.Equal(t, ok, pattern.MatchString(value), "%s %q", name, value)
		}
	}
}

// operational are the alarms that tell of what no new version need have done.
var operational = []string{"DeadLettersWait", "DeadLettersGrow", "DeliveriesLate", "DeliveriesFail", "QueueNearlySilent", "ApiThrottles"}

// A new version that fails is taken back: each function has alarms that are
// asked, of its own alias or of its own log.
func TestANewVersionIsTakenBackByAnAlarm(t *testing.T) {
	t.Parallel()
	require.Equal(t, "!Ref DeploymentStyle", template(t).at("Globals", "Function", "DeploymentPreference", "Type").text())
	alarms := resources(t, "AWS::CloudWatch::Alarm")
	filters := resources(t, "AWS::Logs::MetricFilter")
	asked := set{}
	for id, f := range resources(t, serverlessFunction) {
		group := strings.TrimSuffix(id, "Function") + "LogGroup"
		choice := f.at("Properties", "DeploymentPreference", "Alarms")
		require.Equal(t, "!If", choice.n.Tag)
		parts := choice.items()
		require.Equal(t, "AsksAlarms", parts[0].text())
		require.Equal(t, []string{"!Ref AWS::NoValue"}, parts[2].texts(), "AllAtOnce is for when an alarm rings already")
		ofAlias := false
		for _, name := range parts[1].texts() {
			name = strings.TrimPrefix(name, "!Ref ")
			asked.add(name)
			a := alarms[name].at("Properties")
			if a.at("Namespace").text() == "AWS/Lambda" {
				require.Equal(t, "Errors", a.at("MetricName").text(), name)
				dimensions := a.at("Dimensions").items()
				require.Len(t, dimensions, 2, name)
				require.Equal(t, "!Ref "+id, dimensions[0].at("Value").text(), name)
				require.Equal(t, "!Sub ${"+id+"}:live", dimensions[1].at("Value").text(), name)
				ofAlias = true
				continue
			}
			filter := filters[name+"Filter"].at("Properties")
			require.Equal(t, "!Ref "+group, filter.at("LogGroupName").text(), name)
			transformation := filter.at("MetricTransformations").items()[0]
			require.Equal(t, a.at("Namespace").text(), transformation.at("MetricNamespace").text(), name)
			require.Equal(t, a.at("MetricName").text(), transformation.at("MetricName").text(), name)
		}
		require.True(t, ofAlias, "%s has an alarm of its crashes", id)
	}
	for id, a := range alarms {
		require.True(t, asked[id] || slices.Contains(operational, id), "%s is asked", id)
		condition := "HasAlarms"
		if a.at("Properties", "Namespace").text() == "Posthorn" && filters[id+"Filter"].n == nil {
			condition = "HasMetricAlarms"
		}
		require.Equal(t, condition, a.at("Condition").text(), id)
		for _, when := range []string{"AlarmActions", "OKActions"} {
			require.Equal(t, "!If [HasAlarmTopic [!Ref AlarmTopicArn] !Ref AWS::NoValue]", a.at("Properties", when).written(), id)
		}
		require.Equal(t, "notBreaching", a.at("Properties", "TreatMissingData").text(), "%s: nothing happening is nothing wrong", id)
	}
}

// The filters read what the code logs.
func TestFiltersFindWhatIsLogged(t *testing.T) {
	t.Parallel()
	filters := resources(t, "AWS::Logs::MetricFilter")
	for id, want := range map[string]struct{ pattern, file, logged string }{
		"ApiFailuresFilter":   {`{ $.level = "ERROR" }`, "../httpapi/problem.go", `level := slog.LevelError`},
		"DeliverPanicsFilter": {`{ $.msg = "*panicked" }`, "../deliver/guard.go", `what+" panicked"`},
	} {
		require.Equal(t, want.pattern, filters[id].at("Properties", "FilterPattern").text())
		text, err := os.ReadFile(want.file)
		require.NoError(t, err)
		require.Contains(t, string(text), want.logged, id)
	}
	text, err := os.ReadFile("../wire/function.go")
	require.NoError(t, err)
	require.Contains(t, string(text), "slog.NewJSONHandler(out", "functions log JSON with level and msg")
}

func TestAccessLogsSayNoQueryAndAreKeptAsLongAsOthers(t *testing.T) {
	t.Parallel()
	logs := template(t).at("Resources", "HttpApi", "Properties", "AccessLogSettings")
	require.Equal(t, "!GetAtt AccessLogGroup.Arn", logs.at("DestinationArn").text())
	require.Equal(t, "!Ref LogRetentionDays", template(t).at("Resources", "AccessLogGroup", "Properties", "RetentionInDays").text())
	format := logs.at("Format").text()
	require.NotContains(t, format, "\n", "API Gateway takes one line")
	var fields map[string]string
	require.NoError(t, json.Unmarshal([]byte(format), &fields))
	require.Equal(t, "$context.path", fields["path"])
	for name, variable := range fields {
		require.True(t, strings.HasPrefix(variable, "$context."), name)
		require.NotContains(t, variable, "querystring", name)
	}
}

func TestTheDashboardIsJSONAndAnOutput(t *testing.T) {
	t.Parallel()
	text, _ := template(t).at("Resources", "Dashboard", "Properties", "DashboardBody").substituted()
	var body struct {
		Widgets []struct {
			Properties struct {
				Metrics [][]any `json:"metrics"`
			} `json:"properties"`
		} `json:"widgets"`
	}
	require.NoError(t, json.Unmarshal([]byte(text), &body))
	require.NotEmpty(t, body.Widgets)
	for _, w := range body.Widgets {
		require.NotEmpty(t, w.Properties.Metrics)
	}
	require.Contains(t, template(t).at("Outputs", "DashboardUrl", "Value").text(), "${Dashboard}")
}

// Browsers may send what the API takes, and read what it answers with.
func TestCrossOriginRulesAreThoseOfTheAPI(t *testing.T) {
	t.Parallel()
	choice := template(t).at("Resources", "HttpApi", "Properties", "DefinitionBody", "x-amazon-apigateway-cors")
	require.Equal(t, "!If", choice.n.Tag)
	parts := choice.items()
	require.Equal(t, "HasOrigins", parts[0].text())
	require.Equal(t, "!Ref AWS::NoValue", parts[2].text(), "without origins no page may call")
	_, credentials := parts[1].find("allowCredentials")
	require.False(t, credentials, "a session is the console's own, and no other page's")

	methods, headers := taken(t)
	require.NotEmpty(t, methods)
	headers.add("content-type") // which every body has
	require.Subset(t, headers.sorted(), []string{"authorization", "x-api-key", "idempotency-key", "traceparent"})
	require.ElementsMatch(t, methods.sorted(), parts[1].at("allowMethods").texts())
	require.ElementsMatch(t, headers.sorted(), parts[1].at("allowHeaders").texts(), "and not the header of the console, which no other page may send")
}

// taken returns the methods of the API, and the headers in small letters that its
// operations and keys are sent in, as its document has them.
func taken(t *testing.T) (methods, headers set) {
	t.Helper()
	type in struct {
		In, Name, Scheme string
	}
	var document struct {
		Paths      map[string]map[string]json.RawMessage
		Components struct {
			Parameters      map[string]in
			SecuritySchemes map[string]in
		}
	}
	require.NoError(t, json.Unmarshal(httpapi.OpenAPI(), &document))
	methods, headers = set{}, set{}
	note := func(p in) {
		switch {
		case p.In == "header":
			headers.add(strings.ToLower(p.Name))
		case p.Scheme == "bearer":
			headers.add("authorization")
		}
	}
	for _, p := range document.Components.Parameters {
		note(p)
	}
	for _, p := range document.Components.SecuritySchemes {
		note(p)
	}
	for path, item := range document.Paths {
		if !strings.HasPrefix(path, "/api/") {
			continue
		}
		for method, text := range item {
			if method == "parameters" {
				continue
			}
			methods.add(strings.ToUpper(method))
			var operation struct{ Parameters []in }
			require.NoError(t, json.Unmarshal(text, &operation), "%s %s", method, path)
			for _, p := range operation.Parameters {
				note(p)
			}
		}
	}
	return methods, headers
}

// Whoever looks at the bill finds what is Posthorn's.
func TestWhatCanBeTaggedIs(t *testing.T) {
	t.Parallel()
	untagged := []string{
		"AWS::IAM::ManagedPolicy", "AWS::KMS::Alias", "AWS::SQS::QueuePolicy", "AWS::Lambda::Permission", "AWS::ApiGatewayV2::ApiMapping",
		"AWS::Route53::RecordSet", "AWS::CloudWatch::Dashboard", "AWS::Logs::MetricFilter", // which have none, or are none that cost
	}
	functionTags := template(t).at("Globals", "Function", "Tags", "service").text()
	require.Equal(t, "posthorn", functionTags)
	require.Equal(t, "true", template(t).at("Globals", "Function", "PropagateTags").text())
	all := template(t).at("Resources")
	for _, id := range all.keys() {
		kind := all.at(id, "Type").text()
		if kind == serverlessFunction || slices.Contains(untagged, kind) {
			continue
		}
		tags := all.at(id, "Properties", "Tags")
		if tags.n.Kind == yaml.MappingNode {
			require.Equal(t, "posthorn", tags.at("service").text(), id)
			continue
		}
		require.Equal(t, "service=posthorn", tags.items()[0].at("Key").text()+"="+tags.items()[0].at("Value").text(), id)
	}
}

// A VPC is joined by functions that may do so, in Lambda's hands alone.
func TestTheNetwork(t *testing.T) {
	t.Parallel()
	require.Equal(t, "InVpc", template(t).at("Globals", "Function", "VpcConfig").items()[0].text())
	policy := template(t).at("Resources", "NetworkPolicy")
	require.Equal(t, "InVpc", policy.at("Condition").text())
	statements := policy.at("Properties", "PolicyDocument", "Statement").items()
	require.Len(t, statements, 2)
	require.Equal(t, "Allow", statements[0].at("Effect").text())
	require.Equal(t, "Deny", statements[1].at("Effect").text())
	require.Equal(t, statements[0].at("Action").texts(), statements[1].at("Action").texts(), "what Lambda may, the functions' code may not")
	require.Equal(t, []string{"lambda:SourceFunctionArn"}, statements[1].at("Condition", "ArnLike").keys())
	for _, action := range statements[0].at("Action").texts() {
		require.True(t, strings.HasPrefix(action, "ec2:"), action)
	}
}

func TestParametersThatNeedEachOtherSaySo(t *testing.T) {
	t.Parallel()
	rules := template(t).at("Rules")
	for rule, pair := range map[string][2]string{"DomainWithCertificate": {"DomainName", "CertificateArn"}, "VpcWithSecurityGroups": {"VpcSubnetIds", "VpcSecurityGroupIds"}} {
		require.Equal(t, `!Not [!Equals [!Ref `+pair[0]+` ]]`, rules.at(rule, "RuleCondition").written())
		assertions := rules.at(rule, "Assertions").items()
		require.Len(t, assertions, 1)
		require.Equal(t, `!Not [!Equals [!Ref `+pair[1]+` ]]`, assertions[0].at("Assert").written())
		require.Equal(t, pair[0]+" needs "+pair[1], assertions[0].at("AssertDescription").text())
	}
}

func TestSettingsOfSAMAreThereForEveryStage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../samconfig.toml")
	require.NoError(t, err)
	for _, stage := range []string{"default", "staging", "prod"} {
		for _, part := range []string{"global", "build", "deploy"} {
			require.Contains(t, string(text), "["+stage+"."+part+".parameters]\n")
		}
	}
	parameters := template(t).at("Parameters")
	for _, m := range regexp.MustCompile(`(\w+)=\\"([^\\]*)\\"`).FindAllStringSubmatch(string(text), -1) {
		if m[1] == "service" || m[1] == "stage" {
			continue
		}
		p := parameters.at(m[1])
		if allowed, ok := p.find("AllowedValues"); ok {
			require.Contains(t, allowed.texts(), m[2], m[1])
			continue
		}
		n, err := strconv.Atoi(m[2])
		require.NoError(t, err, m[1])
		require.LessOrEqual(t, p.at("MinValue").number(), n, m[1])
		require.GreaterOrEqual(t, p.at("MaxValue").number(), n, m[1])
	}
}

// What CloudFormation replaces when one of these changes, as its schemas say
// under createOnlyProperties (and conditionalCreateOnlyProperties):
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/introduction.html
var replaced = map[string][]string{
	"AWS::DynamoDB::Table": {"TableName", "KeySchema", "ImportSourceSpecification"},
	"AWS::SQS::Queue":      {"QueueName", "FifoQueue"},
}

func TestWhatWouldReplaceTheTableOrAQueueIsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "\n## Changes that would replace the table or a queue\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")
	for kind, properties := range replaced {
		for _, p := range properties {
			require.Contains(t, section, "`"+p+"`", kind)
		}
	}
	// No name is given that would have to change with something else.
	_, named := template(t).at("Resources", "Table", "Properties").find("TableName")
	require.False(t, named)
}
