package process_test

import (
	"bufio"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/process"
)

func TestExitCodeTellsTheSignalThatEndedTheChild(t *testing.T) {
	p, err := process.Start(exec.Command("sh", "-c", "exit 4"))
	if err != nil {
		t.Fatal(err)
	}
	if code := p.ExitCode(); code != 4 {
		t.Errorf("exit code %d, want 4", code)
	}

	p, err = process.Start(exec.Command("tail", "-f", "/dev/null"))
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if code := p.ExitCode(); code != 128+9 {
		t.Errorf("exit code %d, want 137", code)
	}
	if p.Running() {
		t.Error("running after Kill")
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("signal to an ended child: %v", err)
	}
}

func TestKillEndsTheWholeGroup(t *testing.T) {
	// The shell tells the id of its child, then both wait for input that never comes.
	cmd := exec.Command("sh", "-c", "sleep 1000 & echo $!; wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if p.Memory() <= 0 {
		t.Error("no resident set of a running child")
	}
	p.Kill()
	// Gone or a zombie that nothing has reaped yet: a signal that reaches a zombie is no error, so its state is asked.
	if out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(child)).Output(); err == nil &&
		!strings.HasPrefix(strings.TrimSpace(string(out)), "Z") {
		t.Errorf("child %d is still in state %q", child, out)
	}
}

func TestStartReportsAMissingProgram(t *testing.T) {
	if _, err := process.Start(exec.Command("/nonexistent/program")); err == nil {
		t.Fatal("no error for a program that does not exist")
	}
}

func TestFreePortIsOutsideTheEphemeralRange(t *testing.T) {
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if port >= 32768 || port < 1024 {
		t.Errorf("port %d", port)
	}
}

func TestAPortIsGivenOutOnceWhileItsTakerLives(t *testing.T) {
	given := map[int]bool{}
	for range 600 { // of 12,000: without a memory some would come twice
		port, err := process.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if given[port] {
			t.Fatalf("port %d was given out twice, though the first taker may only have stopped listening for a while", port)
		}
		given[port] = true
	}
}
