//go:build !race

package faultpairs

const thinned = false
