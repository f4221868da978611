package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// completing is what bash does at a press of Tab, without the package that brings
// it the one helper that the script asks for.
const completing = `
_get_comp_words_by_ref() { cur="${COMP_WORDS[COMP_CWORD]}"; prev="${COMP_WORDS[COMP_CWORD-1]}"; words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; }
__ltrim_colon_completions() { :; }
compopt() { :; }
source <(posthorn completion bash)
complete -p posthorn >/dev/null || exit 9
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9
__start_posthorn
printf '%s\n' "${COMPREPLY[@]}"
`

func TestBashCompletes(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/webhooks":
			_, _ = io.WriteString(w, `{"data":[{"id":"ep_A","url":"https://a.example/hook"},{"id":"ep_B","url":"https://b.example/hook"}],"next_cursor":null}`)
		case "/api/v1/event-types":
			_, _ = io.WriteString(w, `{"data":[{"name":"order.created","description":"made"},{"name":"user.created","description":""}]}`)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer api.Close()
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "posthorn"), []byte("#!/bin/sh\nexec "+self+" \"$@\"\n"), 0o700))
	profilesOf(t, "profiles: {production: {url: "+api.URL+"}, staging: {url: http://s}}")
	tab := func(words ...string) []string {
		t.Helper()
		bash := exec.Command("bash", append([]string{"--norc", "-c", completing, "bash", "posthorn"}, words...)...)
		bash.Env = append(os.Environ(), actAsPosthorn+"=1", "PATH="+dir+":"+os.Getenv("PATH"), "POSTHORN_URL="+api.URL, "COLUMNS=200")
		out, err := bash.CombinedOutput()
		require.NoError(t, err, "%s", out)
		var offered []string
		for line := range strings.Lines(string(out)) {
			if word, _, _ := strings.Cut(strings.TrimSpace(line), " "); word != "" {
				offered = append(offered, word)
			}
		}
		return offered
	}
	require.Equal(t, []string{"delete", "export", "import", "list", "replay", "show"}, tab("dlq", ""))
	require.Equal(t, []string{"endpoints"}, tab("endp"))
	require.Subset(t, tab("dlq", "replay", "--"), []string{"--all", "--dry-run", "--endpoint", "--json", "--profile"})
	require.ElementsMatch(t, []string{"dead", "delivered"}, tab("deliveries", "list", "--status", "de"))
	require.Equal(t, []string{"ep_A", "ep_B"}, tab("endpoints", "pause", ""))
	require.Equal(t, []string{"ep_A", "ep_B"}, tab("dlq", "list", "--endpoint", "ep_"))
	require.Equal(t, []string{"order.created"}, tab("events", "list", "--type", "or"))
	require.Equal(t, []string{"production", "staging"}, tab("stats", "--profile", ""))
	require.Equal(t, []string{"producer"}, tab("keys", "create", "--role", "pro"))
	require.Empty(t, tab("endpoints", "pause", "ep_A", ""), "one id")
	require.Empty(t, tab("dlq", "show", ""), "who may not look is offered nothing")
	require.Empty(t, tab("stats", "--server", ""), "no files")
}

func TestEveryShellHasItsScript(t *testing.T) {
	for shell, says := range map[string]string{"bash": "__start_posthorn", "zsh": "#compdef posthorn", "fish": "complete -c posthorn", "powershell": "Register-ArgumentCompleter"} {
		code, out, said := printed(t, "completion", shell)
		require.Zero(t, code, said)
		require.Contains(t, out, says)
	}
}
