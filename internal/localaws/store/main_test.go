package store

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// holdVariable makes the test binary a process that holds the store of the
// folder that it names: see TestAnotherProcessIsRefused.
const holdVariable = "POSTHORN_TEST_HOLD_STORE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdVariable); dir != "" {
		hold(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// hold opens the store, writes a key, says what came of it, and waits for the
// end of its input.
func hold(dir string) {
	db, err := Open(dir)
	if errors.Is(err, ErrLocked) {
		fmt.Println("locked")
		return
	}
	if err == nil {
		err = put(db, "held", "by another process")
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("holding")
	bufio.NewReader(os.Stdin).ReadString('\n')
}

// put stores a key durably.
func put(db *DB, key, value string) error {
	b := db.NewBatch()
	if err := b.Set([]byte(key), []byte(value)); err != nil {
		return err
	}
	c, err := db.Apply(b)
	if err != nil {
		return err
	}
	return c.Wait()
}
