// Package process runs the child processes of the tests: brokers, sidecars, benchmark handlers.
//
// Every child is in a process group of its own and is known by the handle that started it: nothing is ever looked up
// or killed by name. On Linux a child also dies with the test binary, however that ends, so an interrupted test run
// leaves no broker behind.
package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Process is a started child. Its methods may be called from several goroutines and after its end.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start starts cmd. The returned process has to be ended with Kill or waited for with Done.
//
// The operating system sends the parent-death signal when the *thread* that started the child ends, not when the process
// does, so one goroutine keeps its thread from the start of the child to its end.
func Start(cmd *exec.Cmd) (*Process, error) {
	isolate(cmd)
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("start %s: %w", cmd.Path, err)
			return
		}
		close(started)
		p.err = cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// PID is the process id of the child.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed once the child has ended and all of its output was copied.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running says whether the child has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends sig to the child alone. A child that has ended is no error.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", sig, err)
	}
	return nil
}

// Kill ends the child's whole group with SIGKILL and waits for its end.
func (p *Process) Kill() {
	if p.Running() {
		// The group has the child's id. It exists as long as the child was not waited for.
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	}
	<-p.done
}

// ExitCode waits for the end and returns the exit code, or 128 plus the signal's number as a shell would.
func (p *Process) ExitCode() int {
	<-p.done
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

// State waits for the end and returns what the operating system says about the child, CPU times included.
func (p *Process) State() *os.ProcessState {
	<-p.done
	return p.cmd.ProcessState
}

// Memory returns the resident set of the running child in bytes, 0 where the system has no /proc.
func (p *Process) Memory() int64 { return p.status("VmRSS:") }

// PeakMemory is the largest resident set that the child ever had, likewise. Samples taken from outside would miss a peak that lasts
// for milliseconds.
func (p *Process) PeakMemory() int64 { return p.status("VmHWM:") }

// status reads one size of what Linux tells about the running child.
func (p *Process) status(field string) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		rest, ok := strings.CutPrefix(line, field)
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		if err == nil {
			return kib << 10
		}
	}
	return 0
}

// Ports below the range that operating systems give to outgoing connections: a listener that is stopped and started
// again must not find its port taken by a connection that a test opened in between.
const firstPort, lastPort = 20000, 31999

// FreePort returns a TCP port of the loopback that nothing listens on. It stays the caller's until this process ends: a broker that is down for
// a minute finds it free again, however many test processes run beside this one.
func FreePort() (int, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("kafka-sidecar-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, fmt.Errorf("make the directory of reserved ports: %w", err)
	}
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if free, err := reserve(filepath.Join(dir, strconv.Itoa(port))); err != nil {
			return 0, fmt.Errorf("reserve port %d: %w", port, err)
		} else if !free {
			continue
		}
		if free, err := probe(port); err != nil {
			return 0, fmt.Errorf("close the probe of port %d: %w", port, err)
		} else if free {
			return port, nil
		}
	}
	return 0, errors.New("find a free port: 200 tries failed")
}

// probe listens for a moment. No process is started meanwhile: between fork and exec it would have the listener too, and keep the port for as long.
func probe(port int) (free bool, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false, nil
	}
	return true, l.Close()
}

// reserved keeps the locks of this process's ports; the operating system lets go of them when it ends.
var reserved struct {
	mu    sync.Mutex
	files []*os.File
}

// reserve takes the lock of a port, unless some process has it.
func reserve(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return false, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if closing := f.Close(); closing != nil || !errors.Is(err, syscall.EWOULDBLOCK) {
			return false, errors.Join(err, closing)
		}
		return false, nil
	}
	reserved.mu.Lock()
	defer reserved.mu.Unlock()
	reserved.files = append(reserved.files, f)
	return true, nil
}
