package main

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver
)

// sqliteStore has one writer, which puts what waits for it into one
// transaction, and connections of their own for readers.
type sqliteStore struct {
	db     *sql.DB
	reader *sql.Stmt
	writes chan sqliteWrite
	done   chan error
}

type sqliteWrite struct {
	group
	answer chan error
}

const pragmas = "?_pragma=page_size(8192)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
	"&_pragma=cache_size(-8192)&_pragma=busy_timeout(10000)&_txlock=immediate"

func openSQLite(dir string) (engine, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "db")+pragmas)
	if err != nil {
		return nil, err
	}
	db.SetMaxIdleConns(8)
	db.SetMaxOpenConns(8)
	if _, err := db.Exec("CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID"); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	reader, err := db.Prepare("SELECT v FROM kv WHERE k = ?")
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s := &sqliteStore{db: db, reader: reader, writes: make(chan sqliteWrite, callers), done: make(chan error, 1)}
	go func() { s.done <- s.run() }()
	return s, nil
}

// run commits what callers send, until the channel is closed.
func (s *sqliteStore) run() (err error) {
	ctx := context.Background()
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	put, err := conn.PrepareContext(ctx, "INSERT INTO kv (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v")
	if err != nil {
		return err
	}
	remove, err := conn.PrepareContext(ctx, "DELETE FROM kv WHERE k >= ? AND k < ?")
	if err != nil {
		return err
	}
	waiting := make([]sqliteWrite, 0, callers)
	for first := range s.writes {
		waiting = append(waiting[:0], first)
		for more := true; more && len(waiting) < callers; {
			select {
			case w, ok := <-s.writes:
				if more = ok; ok {
					waiting = append(waiting, w)
				}
			default:
				more = false
			}
		}
		err := commit(ctx, conn, put, remove, waiting)
		for _, w := range waiting {
			w.answer <- err
		}
	}
	return nil
}

func commit(ctx context.Context, conn *sql.Conn, put, remove *sql.Stmt, writes []sqliteWrite) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	put, remove = tx.StmtContext(ctx, put), tx.StmtContext(ctx, remove)
	for _, w := range writes {
		for _, p := range w.sets {
			if _, err := put.ExecContext(ctx, p.key, p.value); err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		if w.hi == nil {
			continue
		}
		if _, err := remove.ExecContext(ctx, w.lo, w.hi); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

func (s *sqliteStore) Write(g group) error {
	w := sqliteWrite{group: g, answer: make(chan error, 1)}
	s.writes <- w
	return <-w.answer
}

func (s *sqliteStore) Fill(pairs []pair) error { return s.Write(group{sets: pairs}) }

func (s *sqliteStore) Get(key []byte) (bool, error) {
	var v sql.RawBytes
	rows, err := s.reader.Query(key)
	if err != nil {
		return false, err
	}
	found := rows.Next()
	if found {
		err = rows.Scan(&v)
	}
	return found, errors.Join(err, rows.Err(), rows.Close())
}

func (s *sqliteStore) Close() error {
	close(s.writes)
	return errors.Join(<-s.done, s.reader.Close(), s.db.Close())
}
