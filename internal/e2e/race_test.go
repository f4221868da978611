//go:build race

package e2e

// wideFanOut is how many endpoints the widest fan-out has: fewer under the race
// detector, which makes everything ten times slower.
const wideFanOut = 1000
