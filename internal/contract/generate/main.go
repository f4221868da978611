// Command generate writes a YAML document as JSON: generate openapi.yaml
// openapi.json.
package main

import (
	"errors"
	"fmt"
	"os"

	"posthorn/internal/contract"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(files []string) error {
	if len(files) != 2 {
		return errors.New("takes two files: YAML to read, JSON to write")
	}
	document, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	asJSON, err := contract.JSON(document)
	if err != nil {
		return fmt.Errorf("%s: %w", files[0], err)
	}
	return os.WriteFile(files[1], asJSON, 0o644)
}
