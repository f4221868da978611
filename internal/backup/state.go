package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// readState reads what was written last. Its error is that of os.ReadFile, or names
// the file that is none.
func readState(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s is damaged: remove it to begin anew", path)
	}
	return nil
}

// writeState writes a state as a whole or not at all.
func writeState(path string, state any) error {
	raw, err := json.Marshal(state)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
