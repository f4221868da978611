package docstest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// words splits a command as a POSIX shell does, as far as the documents go:
// quotes, backslashes, and no expansions.
func words(command string) ([]string, error) {
	var all []string
	var word strings.Builder
	begun := false
	end := func() {
		if begun {
			all = append(all, word.String())
		}
		word.Reset()
		begun = false
	}
	for i := 0; i < len(command); i++ {
		switch c := command[i]; c {
		case ' ', '\t', '\n':
			end()
		case '\'', '"':
			length := strings.IndexByte(command[i+1:], c)
			if length < 0 {
				return nil, errors.New("a quote does not end")
			}
			quoted := command[i+1 : i+1+length]
			if c == '"' && strings.ContainsAny(quoted, "$`\\") {
				return nil, fmt.Errorf("an expansion in %q", quoted)
			}
			word.WriteString(quoted)
			begun = true
			i += length + 1
		case '\\':
			i++
			if i < len(command) && command[i] != '\n' {
				word.WriteByte(command[i])
				begun = true
			}
		case '$', '`', '|', '&', ';', '<', '>', '(', ')', '*', '?', '#':
			return nil, fmt.Errorf("%q outside quotes", c)
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	end()
	return all, nil
}

// curl makes the request that a curl command makes.
func curl(ctx context.Context, command string) (*http.Request, error) {
	args, err := words(command)
	if err != nil {
		return nil, err
	}
	if len(args) == 0 || args[0] != "curl" {
		return nil, errors.New("no curl command")
	}
	var method, url, body string
	hasBody := false
	header := http.Header{"Accept": {"*/*"}}
	for args = args[1:]; len(args) > 0; args = args[1:] {
		flag := args[0]
		switch flag {
		case "-s":
			continue
		case "-X", "-H", "-d":
			if len(args) < 2 {
				return nil, fmt.Errorf("%s without a value", flag)
			}
			args = args[1:]
		}
		switch {
		case flag == "-X":
			method = args[0]
		case flag == "-H":
			name, value, ok := strings.Cut(args[0], ":")
			if !ok {
				return nil, fmt.Errorf("%q is no header", args[0])
			}
			header.Add(name, strings.TrimSpace(value))
		case flag == "-d":
			body, hasBody = args[0], true
		case strings.HasPrefix(flag, "-"):
			return nil, fmt.Errorf("the flag %s is not known here", flag)
		case url != "":
			return nil, fmt.Errorf("a second URL: %s", flag)
		default:
			url = flag
		}
	}
	if hasBody && header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	switch {
	case method != "":
	case hasBody:
		method = http.MethodPost
	default:
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header
	return req, nil
}

func TestCurlCallsAreReadAsCurlReadsThem(t *testing.T) {
	t.Parallel()
	req, err := curl(t.Context(), "curl -s -X PATCH 'http://h/a?b=c&d=e' -H 'Content-Type: application/json' \\\n  -d '{\"a\":\"b c\"}'\n")
	require.NoError(t, err)
	require.Equal(t, "PATCH", req.Method)
	require.Equal(t, "http://h/a?b=c&d=e", req.URL.String())
	require.Equal(t, "application/json", req.Header.Get("Content-Type"))
	require.EqualValues(t, len(`{"a":"b c"}`), req.ContentLength)

	for command, method := range map[string]string{"curl -s http://h/": "GET", "curl http://h/ -d x": "POST", "curl -X DELETE http://h/": "DELETE"} {
		req, err := curl(t.Context(), command)
		require.NoError(t, err, command)
		require.Equal(t, method, req.Method, command)
	}
	req, err = curl(t.Context(), "curl http://h/ -d x")
	require.NoError(t, err)
	require.Equal(t, "application/x-www-form-urlencoded", req.Header.Get("Content-Type"), "curl's own")

	for _, command := range []string{
		"", "wget http://h/", "curl -k http://h/", "curl -X", "curl http://h/ http://i/", "curl -H nothing http://h/",
		"curl 'http://h/", "curl http://h/$ID", `curl "http://h/$ID"`, "curl http://h/?a=b&c=d", "curl http://h/ | cat",
	} {
		_, err := curl(t.Context(), command)
		require.Error(t, err, command)
	}
}
