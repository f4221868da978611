//go:build !linux

package load

import "time"

// kernelSleep sleeps for d, as exactly as the Go runtime does.
func kernelSleep(d time.Duration) { time.Sleep(d) }
