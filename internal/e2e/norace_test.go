//go:build !race

package e2e

// wideFanOut is how many endpoints the widest fan-out has.
const wideFanOut = 10_000
