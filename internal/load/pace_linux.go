package load

import (
	"syscall"
	"time"
)

// kernelSleep sleeps for d, about 0.05 ms longer, or less when a signal comes.
func kernelSleep(d time.Duration) {
	wait := syscall.NsecToTimespec(d.Nanoseconds())
	if err := syscall.Nanosleep(&wait, nil); err != nil && err != syscall.EINTR {
		time.Sleep(d)
	}
}
