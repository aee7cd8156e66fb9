package process

import (
	"os/exec"
	"syscall"
)

// isolate puts the child into a group of its own and ties its life to ours.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
