package simulate

import (
	"time"

	"posthorn/internal/deliver/breaker"
)

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
		with("a timeout of 5 seconds", func(o *Options) { o.Timeout = 5 * time.Second }),
		with("a breaker of 20 attempts in a minute", func(o *Options) { o.Breaker = Strict() }),
		with("that, and a timeout of 5 seconds", func(o *Options) { o.Breaker, o.Timeout = Strict(), 5*time.Second }),
	}
}

// Strict is the breaker that asks for 20 attempts in a minute: few failures by
// chance open it, and few endpoints that hang.
func Strict() breaker.Config {
	c := breaker.Default()
	c.MinAttempts, c.Window = 20, time.Minute
	return c
}

// Eager is the breaker that opens after 5 attempts.
func Eager() breaker.Config {
	c := breaker.Default()
	c.MinAttempts = 5
	return c
}
