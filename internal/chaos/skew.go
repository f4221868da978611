package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Functions whose clocks are off are built from the very same sources, but with
// another time.Now: the Go command lays two files over the standard library's
// package time. So the clock is off for all that runs in the process, the AWS
// SDK and the Lambda runtime included, and timers run as ever, as on a machine
// whose clock is off.

// skewVariable sets by how many milliseconds a process's clock is off.
const skewVariable = "CHAOS_CLOCK_SKEW_MS"

// nowBegins is how time.Now begins in the standard library.
const nowBegins = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"

// skewSource is added to package time.
const skewSource = `package time

import "syscall"

var skew = readSkew()

func readSkew() int64 {
	s, ok := syscall.Getenv("` + skewVariable + `")
	if !ok {
		return 0
	}
	ms, err := atoi(s)
	if err != nil {
		return 0
	}
	return int64(ms) * 1e6
}

func skewed(sec int64, nsec int32) (int64, int32) {
	total := int64(nsec) + skew
	sec += total / 1e9
	if total %= 1e9; total < 0 {
		return sec - 1, int32(total + 1e9)
	}
	return sec, int32(total)
}
`

// overlay writes into dir what the Go command lays over package time, and
// returns the file that says so.
func overlay(ctx context.Context, dir string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find the standard library: %w", err)
	}
	library := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	source, err := os.ReadFile(filepath.Join(library, "time.go"))
	if err != nil {
		return "", fmt.Errorf("read package time: %w", err)
	}
	if bytes.Count(source, []byte(nowBegins)) != 1 {
		return "", errors.New("this Go's time.Now is another than the one that can be put off; run without skew")
	}
	changed := strings.Replace(string(source), nowBegins, nowBegins+"\tsec, nsec = skewed(sec, nsec)\n", 1)
	replace := map[string]string{}
	for name, text := range map[string]string{"time.go": changed, "skew.go": skewSource} {
		own := filepath.Join(dir, name)
		if err := os.WriteFile(own, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("write %s: %w", name, err)
		}
		replace[filepath.Join(library, name)] = own
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("encode the overlay: %w", err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	return file, nil
}

// Build builds the three functions into dir, with clocks that can be put off or
// as they are deployed.
func Build(ctx context.Context, dir string, skewed bool) error {
	arguments := []string{"build", "-tags", "lambda.norpc"}
	if skewed {
		file, err := overlay(ctx, dir)
		if err != nil {
			return err
		}
		arguments = append(arguments, "-overlay", file)
	}
	for _, name := range []string{nameAPI, nameDeliver, nameSweeper} {
		build := exec.CommandContext(ctx, "go", append(arguments, "-o", filepath.Join(dir, name, "bootstrap"), "posthorn/functions/"+name)...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", name, err, text)
		}
	}
	return nil
}
