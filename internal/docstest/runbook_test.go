package docstest

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var override = regexp.MustCompile(`\b([A-Z][A-Za-z]+)=`)

// What is deployed by a printed command is a parameter, and an environment, that
// there is.
func TestWhatIsDeployedIsThereToBeDeployed(t *testing.T) {
	t.Parallel()
	parameters := parse(t, "docs/configuration.md").under(t, "Template parameters").column(0)
	settings := read(t, "samconfig.toml")
	seen := 0
	for _, name := range documents {
		d := parse(t, name)
		all := commandsOf(d)
		for _, s := range d.spans {
			all = append(all, command{at: d.at(s.line), text: s.text})
		}
		for _, c := range all {
			if !strings.HasPrefix(c.text, "sam ") && !strings.HasPrefix(c.text, "--parameter-overrides ") {
				continue
			}
			_, overrides, _ := strings.Cut(c.text, "--parameter-overrides")
			for _, m := range override.FindAllStringSubmatch(overrides, -1) {
				seen++
				require.Contains(t, parameters, m[1], c.at)
			}
			if _, rest, ok := strings.Cut(c.text, "--config-env "); ok {
				seen++
				require.Contains(t, settings, "["+strings.Fields(rest)[0]+".deploy.parameters]", c.at)
			}
			if _, rest, ok := strings.Cut(c.text, "--stack-name "); ok {
				seen++
				require.Contains(t, settings, `stack_name = "`+strings.Fields(rest)[0]+`"`, c.at)
			}
		}
	}
	require.Greater(t, seen, 8)
}

// An alarm that leads nowhere helps nobody.
func TestEveryAlarmIsInTheRunbook(t *testing.T) {
	t.Parallel()
	text := read(t, "docs/operations.md")
	alarms := regexp.MustCompile(`(?m)^  (\w+):\n    Type: AWS::CloudWatch::Alarm$`).FindAllStringSubmatch(read(t, "template.yaml"), -1)
	rules := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(read(t, "deploy/prometheus/alerts.yaml"), -1)
	require.Greater(t, len(alarms), 8)
	require.Greater(t, len(rules), 5)
	for _, m := range append(alarms, rules...) {
		require.Contains(t, text, "`"+m[1]+"`", "docs/operations.md names the alarm")
	}
}

// Whoever is woken up at night has to know what to put for a name.
func TestTheRunbookSaysWhereEachNameComesFrom(t *testing.T) {
	t.Parallel()
	d := parse(t, "docs/operations.md")
	_, outputs, found := strings.Cut(read(t, "template.yaml"), "\nOutputs:\n")
	require.True(t, found)
	var explained, used []string
	for _, row := range d.under(t, "Runbook").rows {
		for _, m := range spanForm.FindAllStringSubmatch(row[0], -1) {
			explained = append(explained, m[1])
		}
		if strings.HasPrefix(row[1], "the output") {
			for _, m := range spanForm.FindAllStringSubmatch(row[1], -1) {
				require.Contains(t, outputs, "\n  "+m[1]+":\n")
			}
		}
	}
	capitals := regexp.MustCompile(`^[A-Z]+(-[A-Z]+)*$`)
	for _, c := range commandsOf(d) {
		if c.section == "From the command line" || c.section == "New versions" {
			break // the runbook is over
		}
		for _, word := range strings.Fields(c.text) {
			if name := strings.TrimSuffix(word, ":live"); capitals.MatchString(name) && name != "POST" && !slices.Contains(used, name) {
				used = append(used, name)
			}
		}
	}
	require.ElementsMatch(t, explained, used)
}
