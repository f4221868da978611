package main

import (
	"fmt"
	"path/filepath"
)

// pair is a key and its value.
type pair struct{ key, value []byte }

// group is what one caller wants on disk, all or nothing.
type group struct {
	sets   []pair
	lo, hi []byte // the keys in [lo, hi) are removed; none when hi is nil
}

// engine is an ordered key-value store under measurement. It is safe for
// concurrent use.
type engine interface {
	// Write makes the changes and returns when they are on disk.
	Write(g group) error
	// Fill adds pairs, in ascending order, and may leave them to the next Write.
	Fill(pairs []pair) error
	// Get says whether the key is there, having read its value.
	Get(key []byte) (bool, error)
	Close() error
}

// engines are the names of all engines, in the order of the table.
var engines = []string{"pebble", "bbolt", "sqlite"}

// open opens the store of the engine with this name in dir.
func open(name, dir string) (engine, error) {
	switch name {
	case "pebble":
		return openPebble(filepath.Join(dir, "pebble"))
	case "bbolt":
		return openBolt(filepath.Join(dir, "bbolt"))
	case "sqlite":
		return openSQLite(filepath.Join(dir, "sqlite"))
	}
	return nil, fmt.Errorf("no engine is named %q", name)
}
