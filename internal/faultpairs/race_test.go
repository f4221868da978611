//go:build race

package faultpairs

// thinned says that of each call one way to fail is walked, not all: the race
// detector makes a walk several times as slow, and sees no more in the others.
const thinned = true
