package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/process"
)

// childVariable makes this test binary be one of the processes below instead of a run of tests. Its value is a task as JSON.
const childVariable = "KAFKA_SIDECAR_BENCH_CHILD"

// task is what a child process does: be the handler, or be the bare client.
type task struct {
	Role string // handler, bare

	Delay  time.Duration // handler: how long an answer takes
	HotKey string        // handler: the key whose records are not waited for

	URL          string // bare: where requests go
	Topic, Group string // bare: what their headers tell
	Requests     int    // bare
	Concurrency  int    // bare: requests at once
}

func TestMain(m *testing.M) {
	text, isChild := os.LookupEnv(childVariable)
	if !isChild {
		harness.Main(m)
		return
	}
	if err := runChild(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runChild(text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return fmt.Errorf("parse %s: %w", childVariable, err)
	}
	switch t.Role {
	case "handler":
		return serve(t)
	case "bare":
		return runBare(t)
	}
	return fmt.Errorf("unknown role %q", t.Role)
}

// command is this test binary as a child with a task.
func command(b *testing.B, t task) *exec.Cmd {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	text, err := json.Marshal(t)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = []string{childVariable + "=" + string(text)}
	return cmd
}

// start runs a child that is killed with the benchmark if it has not ended by then. What it wrote to standard error can
// be read once it has ended.
func start(b *testing.B, cmd *exec.Cmd) (*process.Process, *bytes.Buffer) {
	b.Helper()
	output := &bytes.Buffer{}
	cmd.Stderr = output
	p, err := process.Start(cmd)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Kill)
	return p, output
}

// ended waits for the end of a child, kills it if that takes too long, and fails the benchmark unless it ended well.
// It returns the CPU time that the child used.
func ended(b *testing.B, p *process.Process, output *bytes.Buffer) time.Duration {
	b.Helper()
	timer := time.AfterFunc(harness.Patience, p.Kill)
	defer timer.Stop()
	if code := p.ExitCode(); code != 0 {
		b.Fatalf("a child ended with code %d:\n%s", code, tail(output.Bytes()))
	}
	return p.State().UserTime() + p.State().SystemTime()
}

func tail(text []byte) []byte { return text[max(0, len(text)-4096):] }
