package dynamodb

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestNumbersHaveOneText(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"0": "0", "-0": "0", "0.000": "0", "0e5": "0", "1": "1", "+1": "1", "001": "1", "1.0": "1", "-1.50": "-1.5", "1e3": "1000", "1.5E+2": "150", "12E-3": "0.012",
		".5": "0.5", "5.": "5", "100": "100", "0.00100": "0.001", "-120e-1": "-12", "1E-130": "0." + string(bytes.Repeat([]byte("0"), 129)) + "1",
		"99999999999999999999999999999999999999": "99999999999999999999999999999999999999", "10000000000000000000000000000000000000000": "10000000000000000000000000000000000000000",
	}
	for in, want := range tests {
		got, err := canonicalNumber(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"", "-", "+", ".", "e5", "1e", "1e+", "1x", "0x1", "1.2.3", "1 ", " 1", "NaN", "Infinity", "1_0", "--1", "1e5e5", "1e99999999999999999999", "1.0000000000000000000000000000000000000001"} {
		_, err := canonicalNumber(in)
		require.Error(t, err, in)
	}
}

func numberGen() *rapid.Generator[string] {
	return rapid.StringMatching(`-?[0-9]{1,18}(\.[0-9]{1,18})?(e-?[0-9]{1,2})?`)
}

func TestNumbersAgreeWithRationals(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := numberGen().Draw(t, "a"), numberGen().Draw(t, "b")
		x, okX := new(big.Rat).SetString(a)
		y, okY := new(big.Rat).SetString(b)
		require.True(t, okX && okY)
		ca, err := canonicalNumber(a)
		require.NoError(t, err)
		cb, err := canonicalNumber(b)
		require.NoError(t, err)
		back, ok := new(big.Rat).SetString(ca)
		require.True(t, ok)
		require.Zero(t, back.Cmp(x), "%s became %s", a, ca)
		require.Equal(t, x.Cmp(y), compareNumbers(ca, cb))
		require.Equal(t, x.Cmp(y), bytes.Compare(appendNumberKey(nil, ca), appendNumberKey(nil, cb)))
		for _, minus := range []bool{false, true} {
			sum, err := addNumbers(ca, cb, minus)
			if err != nil {
				continue // more than 38 digits
			}
			want := new(big.Rat).Add(x, y)
			if minus {
				want.Sub(x, y)
			}
			got, ok := new(big.Rat).SetString(sum)
			require.True(t, ok)
			require.Zero(t, got.Cmp(want), "%s and %s gave %s", ca, cb, sum)
		}
	})
}
