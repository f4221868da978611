package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"posthorn/internal/load"
)

// progressLine shows how far a run has come: one line that is rewritten on a
// terminal, else a new one every five seconds.
type progressLine struct {
	out     io.Writer
	rewrite bool
	last    load.Progress
}

func (l *progressLine) every() time.Duration {
	if l.rewrite {
		return 500 * time.Millisecond
	}
	return 5 * time.Second
}

// show writes the line, its rates taken since the last one.
func (l *progressLine) show(p load.Progress) {
	if p.Elapsed < l.last.Elapsed {
		l.last = load.Progress{} // another run has begun
	}
	span := (p.Elapsed - l.last.Elapsed).Seconds()
	rate := func(now, before int) string {
		if span <= 0 {
			return "0"
		}
		return load.Count(int(float64(now-before) / span))
	}
	doing := "posting"
	if p.Draining {
		doing = "waiting"
	}
	text := fmt.Sprintf("%s %4.0fs  %s posted  %s accepted/s  %s delivered/s  %s on the way  %s errors",
		doing, p.Elapsed.Seconds(), load.Count(p.Posted), rate(p.Accepted, l.last.Accepted),
		rate(p.Delivered, l.last.Delivered), load.Count(p.Waiting), load.Count(p.Errors))
	l.last = p
	if l.rewrite {
		text = "\r\x1b[K" + text
	} else {
		text += "\n"
	}
	l.write(text)
}

// clear takes the rewritten line away.
func (l *progressLine) clear() {
	if l.rewrite {
		l.write("\r\x1b[K")
	}
}

// write stops for good at the first error: progress is worth no failed run.
func (l *progressLine) write(text string) {
	if l.out == nil {
		return
	}
	if _, err := io.WriteString(l.out, text); err != nil {
		l.out = nil
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
