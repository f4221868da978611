package cost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// memories are the sizes that are tried, in MB; the last is that of a whole
// processor.
var memories = []int{128, 256, 512, 1024, 1769}

// MemoryRow is what the functions take with so much memory.
type MemoryRow struct {
	MB       int           `json:"mb"`
	API      time.Duration `json:"api"` // an invocation that takes ten events, the median
	Deliver  time.Duration `json:"deliver"`
	Dollars  float64       `json:"dollars"` // of both, for a million deliveries
	APIStart time.Duration `json:"api_start"`
}

// MeasureMemory runs ten events a POST with each size of memory, with the share
// of a processor that it buys.
func MeasureMemory(ctx context.Context, o Options) ([]MemoryRow, error) {
	var rows []MemoryRow
	for _, mb := range memories {
		row, err := measureMemory(ctx, o, mb)
		if err != nil {
			return nil, fmt.Errorf("%d MB: %w", mb, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func measureMemory(ctx context.Context, o Options, mb int) (row MemoryRow, err error) {
	into, err := os.MkdirTemp("", "posthorn-memory-")
	if err != nil {
		return row, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(into)) }()
	memory := map[string]int{nameAPI: mb, nameDeliver: mb, nameSweeper: mb}
	q, err := limit(controlGroups, o.Functions, into, memory, o.Prices)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, q.close()) }()
	m, err := Measure(ctx, Options{Prices: o.Prices, Memory: memory, Functions: into}, Workload{Events: 10, FanOut: 1, Posts: 30})
	if err != nil {
		return row, err
	}
	for name, c := range m.Usage.Function {
		c.CPU = 0 // it has taken as long as it takes there already
		m.Usage.Function[name] = c
	}
	b := m.Bill(o.Prices, memory, Logging{})
	return MemoryRow{
		MB: mb, API: o.Prices.Typical(m.Usage.Function[nameAPI], mb), Deliver: o.Prices.Typical(m.Usage.Function[nameDeliver], mb),
		Dollars: b.Of(Requests, "Lambda"), APIStart: m.Cold[nameAPI],
	}, nil
}

// MemoryTable is the rows as a document shows them.
func MemoryTable(rows []MemoryRow) string {
	var b strings.Builder
	b.WriteString("| MB | share of a processor | API: ten events, ms | API: start, ms | deliver: ten deliveries, ms | Lambda, $ a million |\n|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %d | %.2f | %.0f | %.0f | %.0f | %.2f |\n", r.MB, float64(r.MB)/float64(memories[len(memories)-1]),
			r.API.Seconds()*1000, r.APIStart.Seconds()*1000, r.Deliver.Seconds()*1000, r.Dollars)
	}
	return b.String()
}
