package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAShortDayIsPrintedAndDrawn(t *testing.T) {
	t.Parallel()
	picture := filepath.Join(t.TempDir(), "scale.svg")
	var out, errOut bytes.Buffer
	require.Zero(t, run([]string{"-duration", "20m", "-plot", picture}, &out, &errOut), errOut.String())
	require.Contains(t, out.String(), "a tenth hangs, as shipped")
	require.Contains(t, out.String(), "20m0s")
	require.Contains(t, out.String(), "as shipped: 10 in five minutes")
	svg, err := os.ReadFile(picture)
	require.NoError(t, err)
	require.Contains(t, string(svg), "</svg>")
}

func TestWrongUsageIsToldInOneLine(t *testing.T) {
	t.Parallel()
	for says, args := range map[string][]string{
		"simulate: \"x\": there are no arguments\n":                     {"x"},
		"simulate: scale: must be at least 1, and leave 10 endpoints\n": {"-scale", "0"},
		"simulate: duration: must be 1m to 168h\n":                      {"-duration", "1s"},
	} {
		var out, errOut bytes.Buffer
		require.Equal(t, 2, run(args, &out, &errOut))
		require.Equal(t, says, errOut.String())
		require.Empty(t, out.String())
	}
}
