package cost

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

//go:embed budgets.yaml
var budgetsFile []byte

// Budgets are what may be spent.
type Budgets struct {
	Workloads []struct {
		Name     string
		Requests float64 // and compute, for a million deliveries
		All      float64 // with logs and a month's storage
	}
	Idle []struct {
		Name       string
		Parameters map[string]string // of the template
		Month      float64
	}
}

// LoadBudgets reads the budgets that the program is made with.
func LoadBudgets() (*Budgets, error) {
	var b Budgets
	if err := strictly(budgetsFile, &b); err != nil {
		return nil, fmt.Errorf("budgets.yaml: %w", err)
	}
	return &b, nil
}

// Report is what was measured, in dollars.
type Report struct {
	Prices    string         `json:"prices"` // their date
	Region    string         `json:"region"`
	Memory    map[string]int `json:"memory_mb"`
	Workloads []Row          `json:"workloads"`
	Idle      []IdleRow      `json:"idle"`
}

// Row is a workload's.
type Row struct {
	Name       string             `json:"name"`
	Deliveries int                `json:"deliveries"`
	Attempts   int                `json:"attempts"`
	Millis     map[string]float64 `json:"ms"` // of an invocation, by function
	Bill       Bill               `json:"bill"`
}

// IdleRow is a month in which nothing happens.
type IdleRow struct {
	Name string `json:"name"`
	Bill Bill   `json:"bill"`
}

// Row is what goes into the report of a workload.
func (m *Measured) Row(p *Prices, memory map[string]int, logging Logging) Row {
	r := Row{Name: m.Workload.Name(), Deliveries: m.Deliveries, Attempts: m.Attempts, Millis: map[string]float64{}, Bill: m.Bill(p, memory, logging)}
	for name, c := range m.Usage.Function {
		r.Millis[name] = float64(p.Typical(c, memory[name]).Microseconds()) / 1000
	}
	return r
}

// Verdict is an error that names what costs more than its budget, and what has
// none.
func (r *Report) Verdict(b *Budgets) error {
	var errs []error
	for _, row := range r.Workloads {
		found := false
		for _, w := range b.Workloads {
			if w.Name != row.Name {
				continue
			}
			found = true
			if sum := row.Bill.Sum(Requests); sum > w.Requests {
				errs = append(errs, fmt.Errorf("%s: requests and compute cost $%.2f, the budget is $%.2f", row.Name, sum, w.Requests))
			}
			if sum := row.Bill.All(); sum > w.All {
				errs = append(errs, fmt.Errorf("%s: everything costs $%.2f, the budget is $%.2f", row.Name, sum, w.All))
			}
		}
		if !found {
			errs = append(errs, fmt.Errorf("%s: it has no budget", row.Name))
		}
	}
	for _, row := range r.Idle {
		for _, i := range b.Idle {
			if sum := row.Bill.Sum(Requests); i.Name == row.Name && sum > i.Month {
				errs = append(errs, fmt.Errorf("an idle month, %s: costs $%.2f, the budget is $%.2f", row.Name, sum, i.Month))
			}
		}
	}
	return errors.Join(errs...)
}

// columns are those of the table of workloads.
var columns = []struct {
	name string
	of   func(Bill) float64
}{
	{"API Gateway", func(b Bill) float64 { return b.Of(Requests, "API Gateway") }},
	{"Lambda", func(b Bill) float64 { return b.Of(Requests, "Lambda") }},
	{"DynamoDB", func(b Bill) float64 { return b.Of(Requests, "DynamoDB") }},
	{"SQS", func(b Bill) float64 { return b.Of(Requests, "SQS") }},
	{"egress", func(b Bill) float64 { return b.Of(Requests, "Egress") }},
	{"requests and compute", func(b Bill) float64 { return b.Sum(Requests) }},
	{"logs", func(b Bill) float64 { return b.Of(Later, "Logs") }},
	{"a month's storage", func(b Bill) float64 { return b.Of(Later, "DynamoDB") }},
	{"all", Bill.All},
	{"point-in-time recovery, beside", func(b Bill) float64 { return b.Sum(Choice) }},
}

// Markdown is the report as a document shows it.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Dollars for a million deliveries, by the prices of %s on %s:\n\n", r.Region, r.Prices)
	b.WriteString("| workload |")
	for _, c := range columns {
		b.WriteString(" " + c.name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(columns)) + "\n")
	for _, row := range r.Workloads {
		b.WriteString("| " + row.Name + " |")
		for _, c := range columns {
			fmt.Fprintf(&b, " %.2f |", c.of(row.Bill))
		}
		b.WriteByte('\n')
	}
	for _, row := range r.Workloads {
		if row.Name != (Workload{Events: 10, FanOut: 1}).Name() {
			continue
		}
		fmt.Fprintf(&b, "\nWhere it goes with %s:\n\n| line | $ |\n|---|--:|\n", row.Name)
		for _, l := range row.Bill {
			if l.Dollars >= 0.0005 && l.Part != Choice {
				fmt.Fprintf(&b, "| %s | %.3f |\n", l.Name, l.Dollars)
			}
		}
		fmt.Fprintf(&b, "| all | %.3f |\n", row.Bill.All())
	}
	b.WriteString("\nDollars for a month in which nothing happens:\n\n| |")
	for _, i := range r.Idle {
		b.WriteString(" " + i.Name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(r.Idle)) + "\n")
	if len(r.Idle) > 0 {
		for n, l := range r.Idle[0].Bill {
			b.WriteString("| " + l.Name + " |")
			for _, i := range r.Idle {
				fmt.Fprintf(&b, " %.2f |", i.Bill[n].Dollars)
			}
			b.WriteByte('\n')
		}
	}
	b.WriteString("| all |")
	for _, i := range r.Idle {
		fmt.Fprintf(&b, " %.2f |", i.Bill.Sum(Requests))
	}
	b.WriteByte('\n')
	return b.String()
}

// What stands around the part of a document that is written here.
const (
	partBegin = "<!-- written by make cost -->\n"
	partEnd   = "<!-- end -->\n"
)

// documentPart cuts out of a document what stands between the marks.
func documentPart(text string) (before, part, after string, err error) {
	before, rest, begins := strings.Cut(text, partBegin)
	part, after, ends := strings.Cut(rest, partEnd)
	if !begins || !ends {
		return "", "", "", fmt.Errorf("the document has no %q and %q", strings.TrimSpace(partBegin), strings.TrimSpace(partEnd))
	}
	return before, part, after, nil
}

// Write puts the report into the document at path, and its figures into the
// file at figures. Nothing is written when the document has no place for it.
func (r *Report) Write(path, figures string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	before, _, after, err := documentPart(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	all, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	if err := os.WriteFile(figures, append(all, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	if err := os.WriteFile(path, []byte(before+partBegin+r.Markdown()+partEnd+after), 0o600); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// Text is the report as it is printed: every line of every workload.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Prices of %s on %s. Dollars for a million deliveries.\n", r.Region, r.Prices)
	for _, row := range r.Workloads {
		fmt.Fprintf(&b, "\n%s (%d deliveries, %d attempts", row.Name, row.Deliveries, row.Attempts)
		for _, name := range functionNames() {
			if ms, there := row.Millis[name]; there {
				fmt.Fprintf(&b, ", %s %.0f ms with %d MB", name, ms, r.Memory[name])
			}
		}
		b.WriteString(")\n")
		itemise(&b, row.Bill)
		fmt.Fprintf(&b, "  %-44s %8.3f\n  %-44s %8.3f\n", "requests and compute", row.Bill.Sum(Requests), "with logs and a month's storage", row.Bill.All())
	}
	for _, row := range r.Idle {
		fmt.Fprintf(&b, "\nA month in which nothing happens, %s\n", row.Name)
		itemise(&b, row.Bill)
		fmt.Fprintf(&b, "  %-44s %8.3f\n", "all", row.Bill.Sum(Requests))
	}
	return b.String()
}

func itemise(b *strings.Builder, bill Bill) {
	for _, l := range bill {
		if l.Dollars > 0 {
			fmt.Fprintf(b, "  %-44s %8.3f\n", l.Name, l.Dollars)
		}
	}
}
