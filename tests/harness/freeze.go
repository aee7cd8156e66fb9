package harness

import "syscall"

// Freeze stops the process with SIGSTOP and returns when none of its threads runs any more: the signal alone leaves them
// some time.
func (s *Sidecar) Freeze() {
	s.t.Helper()
	s.Signal(syscall.SIGSTOP)
	Eventually(s.t, Patience, func() (bool, string) {
		var status syscall.WaitStatus
		// The parent is told once all threads have stopped.
		pid, err := syscall.Wait4(s.proc.PID(), &status, syscall.WUNTRACED|syscall.WNOHANG, nil)
		if err != nil {
			s.t.Fatalf("wait for the process to stop: %v", err)
		}
		return pid == s.proc.PID() && status.Stopped(), "the process has not stopped"
	})
}

// Thaw lets a frozen process go on.
func (s *Sidecar) Thaw() {
	s.t.Helper()
	s.Signal(syscall.SIGCONT)
}
