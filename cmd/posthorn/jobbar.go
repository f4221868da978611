package main

import (
	"io"

	"github.com/schollz/progressbar/v3"

	"posthorn/internal/client"
)

// jobBar shows on a terminal how far a job, or what is like one, has come, and nothing elsewhere: what
// programs read is printed when it is over.
type jobBar struct {
	bar *progressbar.ProgressBar // nil: no terminal, or it cannot be written to
}

func newJobBar(out io.Writer, terminal bool) *jobBar {
	if !terminal {
		return &jobBar{}
	}
	return &jobBar{bar: progressbar.NewOptions64(-1, progressbar.OptionSetWriter(out), progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true))}
}

func (b *jobBar) show(j client.Job) {
	if b.bar == nil {
		return
	}
	if j.Total > 0 {
		b.bar.ChangeMax64(int64(j.Total))
	}
	b.bar.Describe(j.Kind)
	b.after(b.bar.Set64(int64(j.Done)))
}

func (b *jobBar) end() {
	if b.bar != nil {
		b.after(b.bar.Clear())
	}
	b.bar = nil
}

// after stops for good at the first error: progress is worth no failed command.
func (b *jobBar) after(err error) {
	if err != nil {
		b.bar = nil
	}
}
