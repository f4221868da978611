package docstest

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// awsCLI is the AWS command line, which is not on every machine. `make conformance`
// names it.
var awsCLI = flag.String("aws", "", "the `program` that has to make the aws commands of the documents; without it they are only taken apart")

// awsCommands are the aws commands of the documents.
func awsCommands(t *testing.T) (all []command) {
	t.Helper()
	for _, name := range documents {
		for _, c := range commandsOf(parse(t, name)) {
			if c.program() == "aws" {
				all = append(all, c)
			}
		}
	}
	return all
}

// account is a service of AWS that takes everything, and answers with nothing.
type account struct {
	*httptest.Server
	calls atomic.Int64
}

func newAccount(t *testing.T) *account {
	a := &account{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.calls.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // who asks has gone
		}
		if form, err := url.ParseQuery(string(body)); err == nil && form.Has("Action") { // the protocol of CloudFormation
			w.Header().Set("Content-Type", "text/xml")
			_, _ = fmt.Fprintf(w, "<%[1]sResponse><%[1]sResult/></%[1]sResponse>", form.Get("Action"))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"events":[]}`) // of a log; others have no such field
	}))
	t.Cleanup(a.Close)
	return a
}

// What documents print for the address of the stand-ins, and for the id of a mapping.
const (
	printedAccount = "http://127.0.0.1:4566"
	printedUUID    = "--uuid UUID"
	aUUID          = "--uuid 2b7e1516-28ae-4d2a-a6ab-f7158809cf4f"
)

// makes is nil when the AWS command line knows a command and its parameters: then it
// comes to call the account.
func (a *account) makes(t *testing.T, command string) error {
	t.Helper()
	args, err := words(strings.NewReplacer(printedAccount, a.URL, printedUUID, aUUID).Replace(command))
	require.NoError(t, err, command)
	before := a.calls.Load()
	cmd := exec.CommandContext(t.Context(), *awsCLI, args[1:]...)
	cmd.Dir = t.TempDir()
	cache, err := os.UserCacheDir() // where oracles/aws2 has the program, whatever home it is told
	require.NoError(t, err)
	own := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	cmd.Env = append(
		own, "HOME="+t.TempDir(), "XDG_CACHE_HOME="+cache, "AWS_ENDPOINT_URL="+a.URL, "AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1",
	)
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w: %s", command, err, out)
	case a.calls.Load() == before:
		return fmt.Errorf("%s: it calls nobody: %s", command, out)
	}
	return nil
}

// What is printed for the AWS command line is what that knows: each command, each
// flag, and the form of each value.
func TestTheAWSCommandLineKnowsTheCommandsOfDocuments(t *testing.T) {
	t.Parallel()
	all := awsCommands(t)
	require.Greater(t, len(all), 20)
	if *awsCLI == "" {
		for _, c := range all {
			_, err := words(c.text)
			require.NoError(t, err, "%s: %s", c.at, c.text)
		}
		return
	}
	for _, c := range all {
		t.Run(c.at, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, newAccount(t).makes(t, c.text))
		})
	}
	for says, wrong := range map[string]string{
		"argument operation":          "aws dynamodb describe-tables",
		"Unknown options: --fast":     "aws lambda get-account-settings --fast",
		"Unknown parameter":           "aws dynamodb update-table --table-name TABLE --warm-throughput ReadUnits=15000",
		"invalid literal":             "aws kms schedule-key-deletion --key-id KEY-ID --pending-window-in-days month",
		"are required: --queue-url":   "aws sqs get-queue-attributes --attribute-names All",
		"Unknown options: --until":    "aws logs tail LOG-GROUP --until 15m",
		"Invalid value for parameter": "aws kms schedule-key-deletion --key-id KEY-ID --pending-window-in-days 0",
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t)
			require.ErrorContains(t, a.makes(t, wrong), says)
			require.Zero(t, a.calls.Load(), wrong)
		})
	}
}
