package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// stopTimeout is how long the handlers of a dead process may take to end.
const stopTimeout = 5 * time.Second

// invocation is one call of the function.
type invocation struct {
	id       string
	trace    string
	payload  []byte
	deadline time.Time
	answered chan result // what the runtime posted; room for one
	done     chan result // what Invoke returns; room for one
}

type result struct {
	answer []byte
	err    error
}

func newInvocation(payload []byte) *invocation {
	a, b := rand.Uint64(), rand.Uint64()
	return &invocation{
		id:       fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", uint32(a), uint16(a>>32), a>>52, b>>50|0x8000, b&(1<<48-1)),
		trace:    fmt.Sprintf("Root=1-%08x-%016x%08x;Parent=%016x;Sampled=0", uint32(time.Now().Unix()), rand.Uint64(), rand.Uint32(), rand.Uint64()),
		payload:  payload,
		answered: make(chan result, 1),
		done:     make(chan result, 1),
	}
}

// environment is one process with its Runtime API. run is its life; the other
// methods are called from it, except kill and those of the server.
type environment struct {
	f      *Function
	n      int              // of the function's environments, from 0
	work   chan *invocation // room for one: it has one at a time
	next   chan *invocation // to the runtime's request for the next invocation
	asked  chan struct{}    // the runtime asked for the next invocation
	failed chan []byte      // the runtime reported that it cannot initialise
	exited chan struct{}    // closed when the process has ended
	over   chan struct{}    // closed when the server is to stop

	mu      sync.Mutex
	killed  bool
	cmd     *exec.Cmd   // nil before the process was started
	current *invocation // that the runtime may answer

	server *http.Server // of the Runtime API
}

func newEnvironment(f *Function) *environment {
	return &environment{
		f:      f,
		work:   make(chan *invocation, 1),
		next:   make(chan *invocation),
		asked:  make(chan struct{}, 1),
		failed: make(chan []byte, 1),
		exited: make(chan struct{}),
		over:   make(chan struct{}),
	}
}

// run starts the process, serves invocations, and returns when the process and
// all that belongs to it is gone.
func (e *environment) run() {
	defer e.f.live.Done()
	stop, err := e.come()
	defer stop()
	if err != nil {
		e.f.remove(e)
		e.f.end(<-e.work, result{err: err}, nil)
		return
	}
	for {
		select {
		case inv := <-e.work:
			r, delivered, alive := e.invoke(inv)
			if alive {
				e.f.end(inv, r, e)
				continue
			}
			e.f.remove(e)
			e.kill()
			<-e.exited // before Invoke returns: what it waited for runs no more
			if delivered {
				e.f.end(inv, r, nil)
			} else {
				e.f.dispatch(inv) // it was free and is dead: another one's turn
			}
			return
		case <-e.exited: // while it was free
			e.f.remove(e)
			select {
			case inv := <-e.work:
				e.f.dispatch(inv)
			default:
			}
			return
		}
	}
}

// come brings the environment up to the runtime's request for its first
// invocation. On an error the process is gone. stop ends what was started.
func (e *environment) come() (stop func(), err error) {
	stop, err = e.serve()
	if err != nil {
		return stop, err
	}
	begin := time.Now()
	if err := e.start(); err != nil {
		return stop, err
	}
	if err := e.initialise(); err != nil {
		e.kill()
		<-e.exited
		return stop, err
	}
	e.f.addColdStart(time.Since(begin))
	return stop, nil
}

// start starts the process.
func (e *environment) start() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.killed {
		return e.exitError("killed before it started")
	}
	cmd := exec.Command(e.f.o.Path)
	cmd.Dir, cmd.Env = e.f.workDir(), e.f.environ(e.n, e.server.Addr)
	out, errs := wholeLines(e.f.stdout), wholeLines(e.f.stderr)
	if out != nil {
		cmd.Stdout = out
	}
	if errs != nil {
		cmd.Stderr = errs
	}
	cmd.WaitDelay = time.Second // a child of the process may hold its output open
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("runtimeapi: start %s: %w", e.f.o.Name, err)
	}
	e.cmd = cmd
	go func() {
		defer close(e.exited)
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
			e.note("wait for the process", err)
		}
		if err := errors.Join(out.end(), errs.end()); err != nil {
			e.note("write the end of its output", err)
		}
	}()
	return nil
}

// initialise waits until the runtime asks for its first invocation.
func (e *environment) initialise() error {
	timer := time.NewTimer(e.f.initTimeout)
	defer timer.Stop()
	select {
	case <-e.asked:
		return nil
	case report := <-e.failed:
		return &FunctionError{Kind: KindUnhandled, Payload: report}
	case <-e.exited:
		select {
		case report := <-e.failed:
			return &FunctionError{Kind: KindUnhandled, Payload: report}
		default:
		}
		return e.exitError(e.cmd.ProcessState.String())
	case <-timer.C:
		return failure(KindTimeout, "Sandbox.Timedout", "Init timed out after %.2f seconds", e.f.initTimeout.Seconds())
	}
}

// invoke runs one invocation. delivered says that the runtime was given it,
// alive that the environment is free again.
func (e *environment) invoke(inv *invocation) (r result, delivered, alive bool) {
	timeout := e.f.o.Timeout
	inv.deadline = time.Now().Add(timeout)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	timedOut := result{err: failure(KindTimeout, "Sandbox.Timedout",
		"RequestId: %s Error: Task timed out after %.2f seconds", inv.id, timeout.Seconds())}

	if !e.expect(inv) {
		return result{}, false, false
	}
	defer e.expect(nil)
	select {
	case e.next <- inv:
	case <-e.exited:
		return result{}, false, false
	case <-timer.C:
		return timedOut, true, false
	}
	select {
	case r = <-inv.answered:
	case <-timer.C:
		return timedOut, true, false
	case <-e.exited:
		select {
		case r = <-inv.answered: // its last words
		default:
			r.err = e.exitError(fmt.Sprintf("RequestId: %s Error: Runtime exited with error: %s", inv.id, e.cmd.ProcessState))
		}
		return r, true, false
	}
	select {
	case <-e.asked:
		return r, true, true
	case <-e.exited:
	case <-timer.C:
	}
	return r, true, false
}

func (e *environment) exitError(message string) error {
	return failure(KindExit, "Runtime.ExitError", "%s", message)
}

// kill ends the process, or keeps it from being started.
func (e *environment) kill() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.killed = true
	if e.cmd == nil {
		return
	}
	if err := e.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		e.note("kill the process", err)
	}
}

// process is the id of the process; 0 before it was started.
func (e *environment) process() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cmd == nil {
		return 0
	}
	return e.cmd.Process.Pid
}

// freeze stops the process where it is.
func (e *environment) freeze() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cmd == nil {
		return
	}
	if err := e.cmd.Process.Signal(syscall.SIGSTOP); err != nil && !errors.Is(err, os.ErrProcessDone) {
		e.note("stop the process", err)
	}
}

// note writes a line among the function's errors.
func (e *environment) note(what string, err error) {
	if e.f.stderr == nil {
		return
	}
	if _, werr := fmt.Fprintf(e.f.stderr, "runtimeapi: %s: %v\n", what, err); werr != nil {
		return // there is no other place to say so
	}
}

// serve starts the Runtime API on a listener of the environment's own. stop
// ends it, with all its connections and handlers; it is never nil, and comes
// when the process is gone.
func (e *environment) serve() (stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return func() {}, fmt.Errorf("runtimeapi: listen for %s: %w", e.f.o.Name, err)
	}
	e.server = &http.Server{Addr: l.Addr().String(), Handler: e.handler(), ReadHeaderTimeout: InitTimeout}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := e.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			e.note("serve the Runtime API", err)
		}
	}()
	return func() {
		close(e.over)
		// The client is dead, so that no handler takes long.
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := e.server.Shutdown(ctx); err != nil {
			e.note("stop the Runtime API", errors.Join(err, e.server.Close()))
		}
		<-ended
	}, nil
}
