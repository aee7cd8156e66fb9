package harness

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// PeakMemory is the largest resident set that the process ever had, in bytes, 0 where the system has no /proc. Samples taken from outside would miss
// a peak that lasts for milliseconds.
func (s *Sidecar) PeakMemory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.proc.PID()))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		rest, ok := strings.CutPrefix(line, "VmHWM:")
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
