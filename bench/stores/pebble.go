package main

import (
	"errors"

	"posthorn/internal/localaws/store"
)

// pebbleStore is Posthorn's own store, with the options that it ships with.
type pebbleStore struct{ db *store.DB }

func openPebble(dir string) (engine, error) {
	db, err := store.Open(dir)
	if err != nil {
		return nil, err
	}
	return pebbleStore{db: db}, nil
}

func (s pebbleStore) Write(g group) error {
	b := s.db.NewBatch()
	for _, p := range g.sets {
		if err := b.Set(p.key, p.value); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	if g.hi != nil {
		if err := b.DeleteRange(g.lo, g.hi); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	commit, err := s.db.Apply(b)
	if err != nil {
		return err
	}
	return commit.Wait()
}

func (s pebbleStore) Fill(pairs []pair) error {
	b := s.db.NewBatch()
	for _, p := range pairs {
		if err := b.Set(p.key, p.value); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	return s.db.ApplyLazily(b)
}

func (s pebbleStore) Get(key []byte) (found bool, err error) {
	err = s.db.View(key, func([]byte) error { found = true; return nil })
	return found, err
}

func (s pebbleStore) Close() error { return s.db.Close() }
