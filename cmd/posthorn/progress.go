package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	reconciling "posthorn/internal/reconcile"
)

const (
	// barSteps is how finely a bar shows the share that is done.
	barSteps = 1000
	barEvery = 100 * time.Millisecond
	// lineEvery is how often a line tells of it where there is no terminal.
	lineEvery = 10 * time.Second
)

// progress tells people how far a run has come: by a bar on a terminal, and by
// a line now and then elsewhere. What else is written meanwhile goes through
// it, so that it does not end up in the bar.
type progress struct {
	mu   sync.Mutex
	out  io.Writer
	bar  *progressbar.ProgressBar // nil: no terminal
	now  func() time.Time
	told time.Time // when it was told last
}

func newProgress(out io.Writer, terminal bool, now func() time.Time) *progress {
	p := &progress{out: out, now: now, told: now()}
	if terminal {
		p.bar = progressbar.NewOptions64(barSteps,
			progressbar.OptionSetWriter(out), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetPredictTime(true))
	}
	return p
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// show tells how far the run has come.
func (p *progress) show(at reconciling.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, every := p.now(), lineEvery
	if p.bar != nil {
		every = barEvery
	}
	if now.Sub(p.told) < every {
		return
	}
	p.told = now
	said := fmt.Sprintf("%s: %d events, %d sent again", at.Tenant, at.Result.Events, at.Result.Total())
	if p.bar == nil {
		_, err := fmt.Fprintf(p.out, "%3.0f %%  %s\n", 100*at.Share, said)
		p.after(err)
		return
	}
	// The last step would end the bar, and more tenants may follow.
	err := p.bar.Set64(min(int64(at.Share*barSteps), barSteps-1))
	p.bar.Describe(said)
	p.after(err)
}

// after stops for good at the first error: progress is worth no failed run.
func (p *progress) after(err error) {
	if err != nil {
		p.bar, p.out = nil, io.Discard
	}
}

// end takes the bar away.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.after(p.bar.Finish())
	}
}

// Write writes a line past the bar, which shows again with what it tells next.
func (p *progress) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.after(p.bar.Clear())
	}
	return p.out.Write(line)
}
