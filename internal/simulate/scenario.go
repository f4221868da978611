package simulate

import "time"

// Scenario is a day with a name.
type Scenario struct {
	Name    string
	Options Options
}

// Scenarios are the days that docs/scale.md tells of.
func Scenarios() []Scenario {
	with := func(name string, change func(*Options)) Scenario {
		o := Day()
		change(&o)
		return Scenario{name, o}
	}
	return []Scenario{
		with("nobody hangs", func(o *Options) { o.Hanging = 0 }),
		with("a tenth hangs, as shipped", func(*Options) {}),
		with("a breaker of 5 attempts in 5 minutes", func(o *Options) { o.Breaker.MinAttempts, o.Breaker.Window = 5, 5*time.Minute }),
		with("a timeout of 5 seconds", func(o *Options) { o.Timeout = 5 * time.Second }),
		with("both", func(o *Options) {
			o.Breaker.MinAttempts, o.Breaker.Window, o.Timeout = 5, 5*time.Minute, 5*time.Second
		}),
	}
}
