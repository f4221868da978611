//go:build race

package faultpairs

// thinned says that one way to fail is walked, not all, and of every third call:
// the race detector makes a walk several times as slow, and sees no more in the
// others.
const thinned = true
