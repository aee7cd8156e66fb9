package bench

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/process"
)

// sidecar measures one run of the sidecar: a new process with a new group, from the start of the topic until that many
// records of other keys than the hot one were answered.
func (h *handler) sidecar(broker *harness.Broker, topic string, events, concurrency int) sample {
	b := h.b
	b.Helper()
	env := harness.Env{
		"KAFKA_BOOTSTRAP_SERVERS": broker.Addr,
		"SUBSCRIPTION_ID":         harness.Name(b, "group"),
		"SUBSCRIPTION_SOURCE":     "kafka://bench/" + topic,
		"SUBSCRIPTION_SINK":       h.url(),
		"START_AT":                "earliest",
		"CONCURRENCY":             strconv.Itoa(concurrency),
		"ADMIN_ADDR":              harness.FreeAddr(b),
	}
	cmd := exec.Command(harness.Binary(b))
	cmd.Dir = b.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, name+"="+env[name])
	}

	h.begin(events)
	began := time.Now()
	p, output := start(b, cmd)
	r, err := h.end(whileRunning(b, p))
	if err != nil {
		p.Kill()
		b.Fatalf("%v; end of the sidecar's output:\n%s", err, tail(output.Bytes()))
	}
	memory := peakMemory(p)
	if err := p.Signal(syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
	cpu := ended(b, p, output)
	commits := broker.Commits(env.Group(), topic)
	if r.Answered == r.Others && commits[0].Offset != int64(events) {
		b.Fatalf("the sidecar ended with %v committed of %d records", commits, events)
	}
	return sample{events: events, took: r.Last.Sub(r.First), answered: r.Answered, cpu: cpu, memory: memory, first: r.First.Sub(began)}
}

// whileRunning is a context that ends with the process: nothing is waited for that cannot come any more.
func whileRunning(b *testing.B, p *process.Process) context.Context {
	ctx, cancel := context.WithCancelCause(b.Context())
	go func() {
		defer cancel(fmt.Errorf("the process ended"))
		select {
		case <-p.Done():
		case <-ctx.Done():
		}
	}()
	return ctx
}

// peakMemory is the most that the process ever had resident, in bytes; 0 where the system has no /proc. The resource
// usage that comes with the end of a child cannot tell: on Linux it starts with the peak of the process that started it.
func peakMemory(p *process.Process) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}
