package main

import (
	"errors"
	"fmt"
	"math"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"posthorn/internal/simulate"
)

// charts are what is drawn of each day, by minute.
var charts = []struct {
	title, unit string
	log         bool
	of          func(m simulate.Sample, dollars float64) float64
}{
	{"Ready, and waiting for their time", "million messages", true, func(m simulate.Sample, _ float64) float64 { return (m.Ready + m.Delayed) / 1e6 }},
	{"Lag of the healthy endpoints, p99", "seconds", true, func(m simulate.Sample, _ float64) float64 { return m.LagP99.Seconds() }},
	{"Environments at work", "", false, func(m simulate.Sample, _ float64) float64 { return m.Busy }},
	{"Cost", "$ an hour", false, func(_ simulate.Sample, dollars float64) float64 { return dollars }},
}

// smooth is over how many minutes a point of a line is the mean.
const smooth = 10

// draw draws the days into an SVG file: a chart for each of charts, and in it a
// line for each day.
func draw(days []day, path string) (err error) {
	const width, height = 22 * vg.Centimeter, 8 * vg.Centimeter
	canvas := vgsvg.New(width, height*vg.Length(len(charts)))
	page := vgdraw.New(canvas)
	for row, c := range charts {
		p := plot.New()
		p.Title.Text, p.Y.Label.Text, p.X.Label.Text = c.title, c.unit, "hours"
		p.Legend.Top, p.Legend.Left = true, true
		if c.log {
			p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		}
		for i, d := range days {
			var points plotter.XYs
			for at := 0; at+smooth <= len(d.samples); at += smooth {
				sum := 0.0
				for k := at; k < at+smooth; k++ {
					sum += c.of(d.samples[k], d.dollars[k])
				}
				y := sum / smooth
				if c.log {
					y = math.Max(y, 0.01)
				}
				points = append(points, plotter.XY{X: d.samples[at].At.Hours(), Y: y})
			}
			if len(points) == 0 {
				return errors.New("plot: too short to be drawn: it takes ten minutes")
			}
			line, err := plotter.NewLine(points)
			if err != nil {
				return fmt.Errorf("plot: %w", err)
			}
			line.Color = plotutil.Color(i)
			p.Add(line)
			if row == 0 {
				p.Legend.Add(d.name, line)
			}
		}
		top := height * vg.Length(len(charts)-row)
		p.Draw(vgdraw.Crop(page, 0, 0, top-height, top-height*vg.Length(len(charts))))
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	_, err = canvas.WriteTo(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	return nil
}
