//go:build unix && !linux

package process

import (
	"os/exec"
	"syscall"
)

// isolate puts the child into a group of its own. Other systems than Linux cannot tie its life to ours.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
