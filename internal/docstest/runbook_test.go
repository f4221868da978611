package docstest

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// commandsOf are the commands of a document's shell blocks, one each.
func commandsOf(d *document) map[string]string {
	all := map[string]string{}
	for _, b := range d.blocks {
		if b.info != "sh" {
			continue
		}
		joined := strings.ReplaceAll(b.text, "\\\n", " ")
		for line := range strings.Lines(joined) {
			if line = strings.TrimSpace(line); line != "" {
				all[line] = d.at(b.line)
			}
		}
	}
	return all
}

var (
	apiPath  = regexp.MustCompile(`\$API_URL(/[^"?\s]*)`)
	method   = regexp.MustCompile(` -X ([A-Z]+) `)
	override = regexp.MustCompile(`\b([A-Z][A-Za-z]+)=`)
	longFlag = regexp.MustCompile(`--[a-z-]+`)
	anID     = regexp.MustCompile(`/(ep|evt|dlv|dlq|job)_[0-9A-Z_]+`)
)

// Who is woken up at night copies these.
func TestCommandsOfTheRunbookAreThoseThatThereAre(t *testing.T) {
	t.Parallel()
	bin := program(t)
	served := map[string]bool{}
	for _, r := range routes(t) {
		served[r.name] = true
	}
	parameters := parse(t, "docs/configuration.md").under(t, "Template parameters").column(0)
	seen := map[string]int{}
	for command, at := range commandsOf(parse(t, "docs/operations.md")) {
		program, _, _ := strings.Cut(command, " ")
		seen[program]++
		switch program {
		case "curl":
			m := apiPath.FindStringSubmatch(command)
			require.NotNil(t, m, "%s: %s", at, command)
			verb := "GET"
			if x := method.FindStringSubmatch(command); x != nil {
				verb = x[1]
			} else if strings.Contains(command, " -d ") {
				verb = "POST"
			}
			require.True(t, served[verb+" "+anID.ReplaceAllString(m[1], "/{id}")], "%s: %s %s", at, verb, m[1])
		case "posthorn":
			words := strings.Fields(command)[1:]
			path := words[:1]
			switch words[0] {
			case "endpoints", "events", "deliveries", "dlq", "jobs", "keys":
				path = words[:2]
			}
			help, err := exec.Command(bin, append(append([]string{}, path...), "--help")...).CombinedOutput()
			require.NoError(t, err, "%s: %s", at, help)
			for _, flag := range longFlag.FindAllString(command, -1) {
				require.Contains(t, string(help), flag, "%s: %s", at, command)
			}
		case "sam":
			_, overrides, _ := strings.Cut(command, "--parameter-overrides")
			for _, m := range override.FindAllStringSubmatch(overrides, -1) {
				require.Contains(t, parameters, m[1], at)
			}
		}
	}
	require.Greater(t, seen["curl"], 8)
	require.Greater(t, seen["posthorn"], 3)
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
