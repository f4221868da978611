package load

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Slow is what an endpoint that answers late does to the others: rounds of the
// same run with it answering at once, and late.
type Slow struct {
	Without []Result `json:"without"`
	With    []Result `json:"with"`
	// P95Without and P95With are the medians of the rounds' p95 of the other
	// endpoints, in milliseconds.
	P95Without float64 `json:"others_p95_ms_without"`
	P95With    float64 `json:"others_p95_ms_with"`
	// Ratio is P95With to P95Without.
	Ratio float64 `json:"ratio"`
}

// RunSlow does rounds of the run of o, with its Misbehaving endpoints answering
// at once and as late as o says, in turns: what else the machine does falls on
// both.
func RunSlow(ctx context.Context, o Options, rounds int) (s Slow, err error) {
	switch {
	case rounds < 1 || rounds > 100:
		return s, fmt.Errorf("%w: rounds: %d is outside 1 to 100", ErrOptions, rounds)
	case o.Behaviour.Slow <= 0:
		return s, fmt.Errorf("%w: slow: has to be given", ErrOptions)
	case o.Misbehaving < 1 || o.Misbehaving >= o.Endpoints:
		return s, fmt.Errorf("%w: misbehaving: %d is outside 1 to one less than the %d endpoints", ErrOptions, o.Misbehaving, o.Endpoints)
	}
	// The same endpoints are left out of the others' figures, but they answer at once.
	prompt := o
	prompt.Behaviour = Behaviour{Slow: time.Nanosecond}
	for range rounds {
		for _, turn := range []struct {
			o  Options
			to *[]Result
		}{{prompt, &s.Without}, {o, &s.With}} {
			r, err := Run(ctx, turn.o)
			if err != nil {
				return s, err
			}
			*turn.to = append(*turn.to, r)
			if r.Failed() != "" {
				return s, nil
			}
		}
	}
	s.P95Without, s.P95With = othersP95(s.Without), othersP95(s.With)
	if s.P95Without > 0 {
		s.Ratio = s.P95With / s.P95Without
	}
	return s, nil
}

// othersP95 is the median of the healthy endpoints' p95.
func othersP95(rounds []Result) float64 {
	var all []float64
	for _, r := range rounds {
		if r.EndToEndHealthy != nil {
			all = append(all, r.EndToEndHealthy.P95)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}
