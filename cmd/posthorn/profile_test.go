package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// profilesOf makes a file of profiles, which counts for the test.
func profilesOf(t *testing.T, text string) (path string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	path = filepath.Join(dir, "posthorn", "config.yaml")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestFlagsWinOverTheEnvironmentWhichWinsOverTheFile(t *testing.T) {
	path := profilesOf(t, `
profile: production
profiles:
  production: {url: "https://p.example", key: ph_p}
  staging:
    url: https://s.example/
    key: ph_s
  here: {url: "http://localhost:8000"}
`)
	for name, c := range map[string]struct {
		env            map[string]string
		flags          remote
		url, key, from string
	}{
		"the file's own":                    {url: "https://p.example", key: "ph_p", from: path},
		"a profile":                         {flags: remote{Profile: "staging"}, url: "https://s.example/", key: "ph_s", from: path},
		"a profile of the environment":      {env: map[string]string{"POSTHORN_PROFILE": "staging"}, url: "https://s.example/", key: "ph_s", from: path},
		"a flag before a profile":           {env: map[string]string{"POSTHORN_PROFILE": "staging"}, flags: remote{Profile: "production"}, url: "https://p.example", key: "ph_p", from: path},
		"an address, without another's key": {env: map[string]string{"POSTHORN_URL": "https://e.example"}, url: "https://e.example"},
		"the same address, with its key":    {flags: remote{URL: "https://p.example/"}, url: "https://p.example/", key: "ph_p", from: path},
		"address and key":                   {env: map[string]string{"POSTHORN_URL": "https://e.example", "POSTHORN_KEY": "ph_e"}, url: "https://e.example", key: "ph_e", from: "POSTHORN_KEY"},
		"flags before all":                  {env: map[string]string{"POSTHORN_URL": "https://e.example", "POSTHORN_KEY": "ph_e"}, flags: remote{URL: "http://f", Key: "ph_f"}, url: "http://f", key: "ph_f", from: "--key"},
		"a profile that is named counts":    {env: map[string]string{"POSTHORN_URL": "https://e.example", "POSTHORN_KEY": "ph_e"}, flags: remote{Profile: "staging"}, url: "https://s.example/", key: "ph_s", from: path},
		"a profile without a key":           {env: map[string]string{"POSTHORN_KEY": "ph_e"}, flags: remote{Profile: "here"}, url: "http://localhost:8000", key: "ph_e", from: "POSTHORN_KEY"},
		"the environment's key":             {env: map[string]string{"POSTHORN_KEY": "ph_e"}, url: "https://p.example", key: "ph_e", from: "POSTHORN_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			r := c.flags
			require.Empty(t, captured(t, func() { require.NoError(t, r.Validate()) }))
			require.Equal(t, []string{c.url, c.key, c.from}, []string{r.URL, r.Key, r.keyFrom})
		})
	}
}

func TestWithoutAFileItIsTheProgramOnThisMachine(t *testing.T) {
	r := remote{}
	require.NoError(t, r.Validate())
	require.Equal(t, remote{URL: standardURL}, r)
	profilesOf(t, "# nothing yet\n")
	r = remote{}
	require.NoError(t, r.Validate())
	require.Equal(t, remote{URL: standardURL}, r)
	profilesOf(t, "profiles: {default: {url: http://d, key: ph_d}}")
	r = remote{}
	require.NoError(t, r.Validate())
	require.Equal(t, "ph_d", r.Key)
}

func TestAWrongFileIsNamedWithItsLine(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"no YAML":           {"profile: a\nprofiles: {]", ":2: did not find expected"},
		"a misspelt key":    {"profile: a\nprofils: {}", `:2: unknown key "profils": expected profile or profiles`},
		"in a profile":      {"profiles:\n  a:\n    ulr: http://x", `:3: unknown key "ulr": expected url or key`},
		"no address":        {"profiles:\n  a:\n    url: localhost", ":3: url: must be the address of an API"},
		"no key":            {"profiles:\n  a:\n    key: \"ph a\"", ":3: key: must be an API key"},
		"a list":            {"profiles:\n- a", ":2: profiles: has to be keys and values"},
		"a key without":     {"profiles:\n  a:\n    key:", ":3: key: has to be a text"},
		"a profile twice":   {"profiles:\n  a: {}\n  a: {}", `:3: "a" comes twice`},
		"none of this name": {"profile: b\nprofiles:\n  a: {}", `there is no profile "b" in `},
		"a text":            {"profiles", "the file: has to be keys and values"},
	} {
		t.Run(name, func(t *testing.T) {
			path := profilesOf(t, c.text)
			code, out, said := printed(t, "stats")
			require.Equal(t, exitUsage, code)
			require.Empty(t, out)
			require.Contains(t, said, c.says)
			require.Contains(t, said, path)
			require.True(t, strings.HasPrefix(said, "posthorn: "), said)
			require.Equal(t, 1, strings.Count(said, "\n"), said)
		})
	}
}

func TestAFileWithKeysThatOthersMayReadIsWarnedOf(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "Bearer ph_d", r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer refusing.Close()
	path := profilesOf(t, "profiles: {default: {url: "+refusing.URL+", key: ph_d}}")
	said := func() string { _, _, said := printed(t, "stats"); return said }
	require.Equal(t, "posthorn: "+refusing.URL+" does not know this API key, or not any more: it came from "+path+"\n", said())
	require.NoError(t, os.Chmod(path, 0o640))
	require.Contains(t, said(), "posthorn: warning: "+path+" holds API keys, and others may read it: chmod 600 "+path+"\n")
	require.NoError(t, os.WriteFile(path, []byte("profiles: {default: {url: "+refusing.URL+"}}"), 0o644))
	t.Setenv("POSTHORN_KEY", "ph_d")
	require.NotContains(t, said(), "warning", "no key in it")
}
