package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// An endpoint's server belongs to somebody else: --url names it, and the key goes to
// Posthorn alone.
func TestAKeyNeverGoesToTheURLOfAnEndpoint(t *testing.T) {
	type call struct{ method, key, url string }
	var calls []call
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ URL string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		calls = append(calls, call{r.Method, r.Header.Get("Authorization"), body.URL})
		_, _ = w.Write([]byte(`{"id":"ep_x"}`))
	}))
	defer api.Close()
	asked := 0
	endpoint := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer endpoint.Close()
	t.Setenv("POSTHORN_URL", api.URL)
	t.Setenv("POSTHORN_KEY", "ph_x_y")
	for _, args := range [][]string{
		{"endpoints", "update", "ep_x", "--url", endpoint.URL},
		{"endpoints", "create", "--events", "*", "--url", endpoint.URL},
		{"endpoints", "create", "--events", "*", endpoint.URL},
	} {
		code, _, said := printed(t, args...)
		require.Zero(t, code, said)
	}
	require.Zero(t, asked)
	want := call{"POST", "Bearer ph_x_y", endpoint.URL}
	require.Equal(t, []call{{"PATCH", want.key, want.url}, want, want}, calls)

	code, _, said := printed(t, "endpoints", "create", endpoint.URL, "--url", endpoint.URL, "--events", "*")
	require.Equal(t, 2, code)
	require.Contains(t, said, "give the endpoint's URL once")
	code, _, said = printed(t, "endpoints", "create", "--events", "*")
	require.Equal(t, 2, code)
	require.Contains(t, said, "URL is missing")
	require.Len(t, calls, 3)
}

func TestNoFlagButAnEndpointsOwnIsCalledURL(t *testing.T) {
	var have []string
	every(posthornCommand(), func(c *cobra.Command) {
		named := func(f *pflag.Flag) {
			if f.Name == "url" && !slices.Contains(have, c.CommandPath()) {
				have = append(have, c.CommandPath())
			}
		}
		c.Flags().VisitAll(named)
		c.PersistentFlags().VisitAll(named)
	})
	require.Equal(t, []string{"posthorn endpoints create", "posthorn endpoints update"}, have)
}
