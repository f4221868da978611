package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"
)

// withoutFunctions is template.yaml as plain CloudFormation, with the table, the
// queues, the key, the roles and the log groups, and without what needs SAM,
// Lambda or API Gateway:
//
//   - the resources of AWS::Serverless go, and with them Transform and Globals,
//     and those around them: domain, permission, alarms and dashboard
//   - the outputs are those that the functions would have got: one for each
//     variable of their environment, and one for the role of each
//
// So CloudFormation itself says what each variable comes to.
func withoutFunctions(t testing.TB, template []byte) (text string, variables map[string]string, roles map[string]string) {
	t.Helper()
	var doc yaml.Node
	require.NoError(t, yaml.Load(template, &doc))
	root := doc.Content[0]
	variables, roles = map[string]string{}, map[string]string{}
	outputs := &yaml.Node{Kind: yaml.MappingNode}
	output := func(name string, value *yaml.Node) {
		outputs.Content = append(outputs.Content, scalar(name), &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{scalar("Value"), value}})
	}
	all := value(value(value(value(root, "Globals"), "Function"), "Environment"), "Variables").Content
	for i := 0; i < len(all); i += 2 {
		name := all[i].Value
		variables[name] = "Variable" + strings.ReplaceAll(name, "_", "") // an output's name has letters and digits only
		output(variables[name], all[i+1])
	}
	resources := value(root, "Resources")
	var kept []*yaml.Node
	for i := 0; i < len(resources.Content); i += 2 {
		name, r := resources.Content[i].Value, resources.Content[i+1]
		kind := value(r, "Type").Value
		service := strings.Split(kind+"::", "::")[1]
		switch {
		case kind == "AWS::Serverless::Function":
			roles[name] = name + "Role"
			output(roles[name], value(value(r, "Properties"), "Role"))
		case kind == "AWS::Logs::LogGroup", slices.Contains([]string{"DynamoDB", "SQS", "KMS", "IAM"}, service):
			kept = append(kept, resources.Content[i:i+2]...)
		}
	}
	resources.Content = kept
	kept = nil
	for i := 0; i < len(root.Content); i += 2 {
		switch root.Content[i].Value {
		case "Transform", "Globals", "Outputs":
		default:
			kept = append(kept, root.Content[i:i+2]...)
		}
	}
	root.Content = append(kept, scalar("Outputs"), outputs)
	out, err := yaml.Dump(&doc)
	require.NoError(t, err)
	return string(out), variables, roles
}

func scalar(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: text} }

// value is that of a key; an empty one if there is none.
func value(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return &yaml.Node{}
}

// stack is what CloudFormation has made of template.yaml.
type stack struct {
	environment map[string]string // of the functions
	roles       map[string]string // of each function, by its name in the template
}

// deploy makes a stack, and deletes it when the test is over. The table and the
// key outlive it.
func deploy(t testing.TB, account aws.Config, name string) *stack {
	t.Helper()
	template, err := os.ReadFile("../../template.yaml")
	require.NoError(t, err)
	text, variables, roles := withoutFunctions(t, template)
	client := cloudformation.NewFromConfig(account)
	_, err = client.CreateStack(t.Context(), &cloudformation.CreateStackInput{
		StackName: &name, TemplateBody: &text, Capabilities: []types.Capability{types.CapabilityCapabilityIam},
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := client.DeleteStack(background, &cloudformation.DeleteStackInput{StackName: &name})
		require.NoError(t, err)
	})
	made := &types.Stack{}
	require.Eventually(t, func() bool {
		out, err := client.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: &name})
		if err == nil {
			made = &out.Stacks[0]
		}
		return err == nil && made.StackStatus != types.StackStatusCreateInProgress
	}, patience, 200*time.Millisecond, "the stack is not made")
	require.Equal(t, types.StackStatusCreateComplete, made.StackStatus, "%s", aws.ToString(made.StackStatusReason))
	said := map[string]string{}
	for _, o := range made.Outputs {
		said[*o.OutputKey] = aws.ToString(o.OutputValue)
	}
	s := &stack{environment: map[string]string{}, roles: map[string]string{}}
	for name, output := range variables {
		s.environment[name] = said[output]
	}
	for name, output := range roles {
		s.roles[name] = said[output]
	}
	return s
}

func TestTheTemplateWithoutFunctionsHasAllElse(t *testing.T) {
	t.Parallel()
	template, err := os.ReadFile("../../template.yaml")
	require.NoError(t, err)
	text, variables, roles := withoutFunctions(t, template)
	require.NotContains(t, text, "Serverless")
	var before, after yaml.Node
	require.NoError(t, yaml.Load(template, &before))
	require.NoError(t, yaml.Load([]byte(text), &after))
	root := after.Content[0]
	kinds := map[string]int{}
	for _, r := range value(root, "Resources").Content {
		if kind := value(r, "Type").Value; kind != "" {
			kinds[kind]++
		}
	}
	require.Equal(t, map[string]int{
		"AWS::DynamoDB::Table": 1, "AWS::SQS::Queue": 2, "AWS::KMS::Key": 1, "AWS::KMS::Alias": 1, "AWS::IAM::Role": 3, "AWS::Logs::LogGroup": 4,
		"AWS::SQS::QueuePolicy": 1, "AWS::IAM::ManagedPolicy": 2,
	}, kinds)
	for _, name := range []string{"Table", "Queue", "DeadLetterQueue", "Key", "DeliverRole"} {
		require.Equal(t, written(t, value(value(before.Content[0], "Resources"), name)), written(t, value(value(root, "Resources"), name)), "%s is as it was", name)
	}
	require.Equal(t, "!Ref Table", written(t, value(value(value(root, "Outputs"), variables["POSTHORN_TABLE"]), "Value")))
	require.Equal(t, "!GetAtt DeliverRole.Arn", written(t, value(value(value(root, "Outputs"), roles["DeliverFunction"]), "Value")))
	require.Len(t, roles, 3)
}

// written is a part of a template as text.
func written(t testing.TB, n *yaml.Node) string {
	t.Helper()
	out, err := yaml.Dump(n)
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}
