package cost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// quotaPeriod is in which spans a share of a processor is given out.
const quotaPeriod = 20 * time.Millisecond

// quotas are control groups of Linux, one for each function, that give it the
// share of a processor that its memory buys.
type quotas struct {
	root    string // where they are mounted
	folders []string
}

// controlGroups is where Linux mounts them.
const controlGroups = "/sys/fs/cgroup"

// errNoQuotas says that this machine lets nobody make control groups.
var errNoQuotas = errors.New("shares of a processor need Linux's control groups, and the right to make them")

// wrapper is what stands in for a bootstrap: it enters the group, and becomes
// the bootstrap.
const wrapper = `#!/bin/sh
echo $$ > '%s/cgroup.procs' || exit 1
exec '%s'
`

// limit puts the functions below dir into control groups, and returns the folder
// of their stand-ins. The functions' own files stay as they are.
func limit(root, dir, into string, memory map[string]int, p *Prices) (q *quotas, err error) {
	q = &quotas{root: root}
	defer func() {
		if err != nil {
			err = errors.Join(err, q.close())
		}
	}()
	for _, name := range functionNames() {
		share := min(float64(memory[name])/p.Assumed.ProcessorMB, 1)
		group, err := q.group(name, share)
		if err != nil {
			return q, fmt.Errorf("%w: %v", errNoQuotas, err)
		}
		program, err := filepath.Abs(filepath.Join(dir, name, "bootstrap"))
		if err != nil {
			return q, fmt.Errorf("limit %s: %w", name, err)
		}
		if err := os.MkdirAll(filepath.Join(into, name), 0o700); err != nil {
			return q, fmt.Errorf("limit %s: %w", name, err)
		}
		stand := filepath.Join(into, name, "bootstrap")
		if err := os.WriteFile(stand, fmt.Appendf(nil, wrapper, group, program), 0o700); err != nil {
			return q, fmt.Errorf("limit %s: %w", name, err)
		}
	}
	return q, nil
}

// group makes a control group, of the second version where it is mounted and of
// the first otherwise.
func (q *quotas) group(name string, share float64) (string, error) {
	period := quotaPeriod.Microseconds()
	quota := max(int64(float64(period)*share), 1000) // the least that Linux takes
	root, settings := filepath.Join(q.root, "cpu"), map[string]string{"cpu.cfs_period_us": strconv.FormatInt(period, 10), "cpu.cfs_quota_us": strconv.FormatInt(quota, 10)}
	if _, err := os.Stat(filepath.Join(q.root, "cgroup.controllers")); err == nil {
		root, settings = q.root, map[string]string{"cpu.max": fmt.Sprintf("%d %d", quota, period)}
	}
	folder := filepath.Join(root, fmt.Sprintf("posthorn-cost-%d-%s", os.Getpid(), name))
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", err
	}
	q.folders = append(q.folders, folder)
	for file, value := range settings {
		if err := os.WriteFile(filepath.Join(folder, file), []byte(value), 0o600); err != nil {
			return "", err
		}
	}
	return folder, nil
}

// close removes the groups; their processes have to be gone.
func (q *quotas) close() error {
	var errs []error
	for _, folder := range q.folders {
		if err := os.Remove(folder); err != nil {
			errs = append(errs, fmt.Errorf("remove a control group: %w", err))
		}
	}
	return errors.Join(errs...)
}
