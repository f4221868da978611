// Command stores measures embedded stores under the load that Posthorn's local
// default makes: many callers, each storing a small group of keys and waiting
// until it is on disk, point reads, and ranges removed as queues drain, over a
// store that holds a million entries.
//
// Every engine runs in processes of its own: one that fills, one that works and
// is killed, one that opens what the kill left. The figures are Linux's.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"
	"time"
)

type options struct {
	engines string
	entries int
	lasts   time.Duration
	dir     string
	part    string // what a child process does: "fill", "work" or "open"
	engine  string // with which store
}

func main() {
	var o options
	flag.StringVar(&o.engines, "engines", strings.Join(engines, ","), "which `engines`, separated by commas")
	flag.IntVar(&o.entries, "entries", 1_000_000, "how many entries the store holds")
	flag.DurationVar(&o.lasts, "time", 8*time.Second, "how long each engine is measured")
	flag.StringVar(&o.dir, "dir", "", "folder of the stores (a temporary one); decides which disk is measured")
	flag.StringVar(&o.part, "part", "", "what a child process does")
	flag.StringVar(&o.engine, "engine", "", "the engine of a child process")
	flag.Parse()
	if err := o.run(); err != nil {
		fmt.Fprintln(os.Stderr, "stores:", err)
		os.Exit(1)
	}
}

func (o options) run() error {
	switch o.part {
	case "":
		return o.table()
	case "fill":
		return o.fill()
	case "work":
		return o.work()
	case "open":
		return o.open()
	}
	return fmt.Errorf("no part is named %q", o.part)
}

// row is a line of the table. Children print the fields they know as JSON.
type row struct {
	WritesPerSecond float64
	P50, P95        float64 // ms
	CPU             float64 // microseconds a write
	Amplification   float64 // bytes written to the disk a byte of key and value
	Idle, IdleAnon  float64 // MB
	After, AftAnon  float64 // MB
	Disk            float64 // MB
	Open            float64 // ms
}

// table measures the engines one after the other and prints what came out.
func (o options) table() (err error) {
	dir, err := os.MkdirTemp(o.dir, "posthorn-stores-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Printf("%d callers, groups of 1-25 keys of %d bytes, %d entries, %s each\n\n", callers, valueSize, o.entries, o.lasts)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, err = fmt.Fprintln(w, "store\tdurable writes/s\tp50 ms\tp95 ms\tCPU us/write\twritten/logical\tRSS idle MB (anon)\tafter\tdisk MB\topen after kill ms\t")
	if err != nil {
		return err
	}
	for _, name := range strings.Split(o.engines, ",") {
		o.engine, o.dir = name, dir
		r, err := o.measure()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		_, err = fmt.Fprintf(w, "%s\t%.0f\t%.1f\t%.1f\t%.0f\t%.1f\t%.0f (%.0f)\t%.0f (%.0f)\t%.0f\t%.0f\t\n", name,
			r.WritesPerSecond, r.P50, r.P95, r.CPU, r.Amplification, r.Idle, r.IdleAnon, r.After, r.AftAnon, r.Disk, r.Open)
		if err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	return w.Flush()
}

// measure runs the three processes of one engine.
func (o options) measure() (r row, err error) {
	fill := o.child("fill")
	if err := fill.Run(); err != nil {
		return r, fmt.Errorf("fill: %w", err)
	}

	work := o.child("work")
	figures, err := work.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := work.Start(); err != nil {
		return r, err
	}
	decoded := json.NewDecoder(figures).Decode(&r)
	time.Sleep(time.Second) // it goes on writing
	killed := work.Process.Kill()
	if err := work.Wait(); decoded != nil || killed != nil {
		return r, errors.Join(decoded, killed, err)
	}

	reopen := o.child("open")
	var out bytes.Buffer
	reopen.Stdout = &out
	if err := reopen.Run(); err != nil {
		return r, fmt.Errorf("open after a kill: %w", err)
	}
	return r, json.Unmarshal(out.Bytes(), &r)
}

func (o options) child(part string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-part", part, "-engine", o.engine, "-dir", o.dir,
		"-entries", fmt.Sprint(o.entries), "-time", o.lasts.String())
	cmd.Stderr = os.Stderr
	return cmd
}

func (o options) fill() error {
	e, err := open(o.engine, o.dir)
	if err != nil {
		return err
	}
	return errors.Join(fill(e, o.entries), e.Close())
}

// work measures, prints, and goes on until it is killed.
func (o options) work() error {
	var r row
	e, err := open(o.engine, o.dir)
	if err != nil {
		return err
	}
	if err := settle(); err != nil {
		return err
	}
	if r.Idle, r.IdleAnon, err = resident(); err != nil {
		return err
	}
	cs := newCallers(o.entries, uint64(os.Getpid()))
	if _, err := run(e, cs, o.lasts/8); err != nil { // warm up
		return err
	}
	before, err := used()
	if err != nil {
		return err
	}
	l, err := run(e, cs, o.lasts)
	if err != nil {
		return err
	}
	if err := settle(); err != nil {
		return err
	}
	after, err := used()
	if err != nil {
		return err
	}
	r.WritesPerSecond = float64(l.writes) / l.lasted.Seconds()
	r.P50, r.P95 = l.quantile(0.5), l.quantile(0.95)
	r.CPU = float64((after.cpu - before.cpu).Microseconds()) / float64(l.writes)
	r.Amplification = float64(after.written-before.written) / float64(l.bytes)
	if r.After, r.AftAnon, err = resident(); err != nil {
		return err
	}
	if r.Disk, err = onDisk(o.dir); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return err
	}
	_, err = run(e, cs, time.Minute)
	return err
}

// open measures how long a store takes to open and to answer.
func (o options) open() error {
	start := time.Now()
	e, err := open(o.engine, o.dir)
	if err != nil {
		return err
	}
	found, err := e.Get(itemKey(0))
	took := time.Since(start)
	if err != nil {
		return err
	}
	if !found {
		return errors.New("the first entry is not there")
	}
	err = json.NewEncoder(os.Stdout).Encode(struct{ Open float64 }{float64(took) / float64(time.Millisecond)})
	return errors.Join(err, e.Close())
}
