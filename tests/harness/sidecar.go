package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/process"
)

// Env is the whole environment of a sidecar: it inherits nothing but PATH and HOME.
type Env map[string]string

// With returns a copy with further variables, name and value in turn. An empty value removes the variable.
func (e Env) With(pairs ...string) Env {
	out := maps.Clone(e)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			delete(out, pairs[i])
			continue
		}
		out[pairs[i]] = pairs[i+1]
	}
	return out
}

// Group is the consumer group that the environment leads to.
func (e Env) Group() string { return e["SUBSCRIPTION_ID"] }

// SmallestEnv is the smallest configuration of a subscription, with a group of its own. Every sidecar gets its own
// ADMIN_ADDR at its start unless one is set.
func SmallestEnv(b *Broker, topic string, h *Handler) Env {
	return Env{
		"KAFKA_BOOTSTRAP_SERVERS": b.Addr,
		"SUBSCRIPTION_ID":         Name(b.t, "group"),
		"SUBSCRIPTION_SOURCE":     "kafka://test/" + topic,
		"SUBSCRIPTION_SINK":       h.URL("/records"),
	}
}

// TestEnv is SmallestEnv for a test that produces before it starts the sidecar and does not want to wait for retries.
func TestEnv(b *Broker, topic string, h *Handler) Env {
	return SmallestEnv(b, topic, h).With(
		"START_AT", "earliest",
		"RETRY_INITIAL_INTERVAL", "5ms",
		"RETRY_MAX_INTERVAL", "100ms",
		"COMMIT_INTERVAL", "100ms",
		"KAFKA_OPTION_FETCH_WAIT_MAX_MS", "100",
	)
}

var build struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// Binary builds cmd/kafka-sidecar once per test process, with the race detector where SIDECAR_RACE=1 asks for it, and
// returns its path.
func Binary(t testing.TB) string {
	t.Helper()
	build.once.Do(func() {
		build.dir, build.err = os.MkdirTemp("", "kafka-sidecar-*")
		if build.err != nil {
			return
		}
		if build.err = watchSources(); build.err != nil {
			return
		}
		build.path = filepath.Join(build.dir, "kafka-sidecar")
		args := []string{"build", "-o", build.path}
		if os.Getenv("SIDECAR_RACE") == "1" {
			args = append(args, "-race")
		}
		cmd := exec.Command("go", append(args, "github.com/kafka-sidecar/kafka-sidecar/cmd/kafka-sidecar")...)
		if out, err := cmd.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("build the sidecar: %w\n%s", err, out)
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.path
}

// watchSources reads the folders that the binary is built from. go test remembers which files and folders of the module a test has
// looked at, and takes a result from its cache only while they are the same; of what a child process compiles it knows nothing.
func watchSources() error {
	root, err := os.Getwd()
	for ; err == nil; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			return errors.New("find the sources of the sidecar: the test does not run inside its module")
		}
	}
	for _, folder := range []string{"cmd", "envconfig", "sidecar"} {
		err = errors.Join(err, filepath.WalkDir(filepath.Join(root, folder), func(_ string, _ fs.DirEntry, err error) error { return err }))
	}
	return err
}

func cleanBuild() {
	if build.dir != "" {
		_ = os.RemoveAll(build.dir)
	}
}

// Sidecar is one running binary.
type Sidecar struct {
	t     testing.TB
	env   Env
	proc  *process.Process
	admin string

	mu    sync.Mutex
	lines []string
	eof   sync.WaitGroup
}

// Start runs the binary. It is killed when the test ends; a data race or a panic in its output fails the test.
func Start(t testing.TB, env Env) *Sidecar {
	t.Helper()
	if _, set := env["ADMIN_ADDR"]; !set {
		env = env.With("ADMIN_ADDR", FreeAddr(t))
	}
	s := &Sidecar{t: t, env: env, admin: env["ADMIN_ADDR"]}
	cmd := command(t, env)
	output, input := io.Pipe()
	cmd.Stdout, cmd.Stderr = input, input
	s.eof.Go(func() { s.read(output) })
	proc, err := process.Start(cmd)
	if err != nil {
		_ = input.Close()
		t.Fatal(err)
	}
	s.proc = proc
	s.eof.Go(func() {
		<-proc.Done()
		_ = input.Close()
	})
	t.Cleanup(s.finish)
	return s
}

func command(t testing.TB, env Env, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(Binary(t), args...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, name+"="+env[name])
	}
	return cmd
}

// FreeAddr is an address of the loopback that nothing listens on.
func FreeAddr(t testing.TB) string {
	t.Helper()
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// Run runs one command of the binary to its end, at most for a minute.
func Run(t testing.TB, env Env, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := command(t, env, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	proc, err := process.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(Patience, proc.Kill)
	defer timer.Stop()
	code = proc.ExitCode() // waits for the output, too
	return out.String(), errs.String(), code
}

func (s *Sidecar) read(output io.Reader) {
	in := bufio.NewReader(output)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			s.mu.Lock()
			s.lines = append(s.lines, strings.TrimSuffix(line, "\n"))
			s.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

func (s *Sidecar) finish() {
	_ = s.proc.Signal(syscall.SIGCONT)
	s.proc.Kill()
	s.eof.Wait()
	lines := s.Lines()
	for _, l := range lines {
		if strings.HasPrefix(l, "panic:") || strings.Contains(l, "DATA RACE") || strings.HasPrefix(l, "fatal error:") {
			s.t.Errorf("the sidecar crashed:\n%s", strings.Join(lines[max(0, len(lines)-60):], "\n"))
			return
		}
	}
	if s.t.Failed() {
		s.t.Logf("end of the sidecar's output:\n%s", strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
}

// Env is the environment that the sidecar runs with.
func (s *Sidecar) Env() Env { return s.env }

// Lines is everything that was written to standard output and standard error so far.
func (s *Sidecar) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

// Logs are the lines that are JSON objects.
func (s *Sidecar) Logs() []map[string]any {
	var logs []map[string]any
	for _, l := range s.Lines() {
		var m map[string]any
		if json.Unmarshal([]byte(l), &m) == nil {
			logs = append(logs, m)
		}
	}
	return logs
}

// WaitLog waits for a line that holds all of the texts, without regard to case, and returns it.
func (s *Sidecar) WaitLog(texts ...string) string {
	s.t.Helper()
	var found string
	Eventually(s.t, Patience, func() (bool, string) {
		for _, l := range s.Lines() {
			lower, all := strings.ToLower(l), true
			for _, text := range texts {
				all = all && strings.Contains(lower, strings.ToLower(text))
			}
			if all {
				found = l
				return true, ""
			}
		}
		return false, fmt.Sprintf("no line with %q", texts)
	})
	return found
}

// Get asks one page of the admin address. A page that cannot be had has status 0.
func (s *Sidecar) Get(path string) (status int, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	// A connection for each question, so that none is left when the sidecar ends.
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// WaitReady waits until /ready answers 200.
func (s *Sidecar) WaitReady() *Sidecar {
	s.t.Helper()
	s.WaitStatus("/ready", http.StatusOK)
	return s
}

// WaitStatus waits until a page answers with a status.
func (s *Sidecar) WaitStatus(path string, want int) {
	s.t.Helper()
	Eventually(s.t, Patience, func() (bool, string) {
		if !s.proc.Running() {
			s.t.Fatalf("the sidecar ended with code %d", s.proc.ExitCode())
		}
		status, body := s.Get(path)
		return status == want, fmt.Sprintf("%s: %d %s", path, status, body)
	})
}

// Metrics reads /metrics.
func (s *Sidecar) Metrics() Metrics {
	s.t.Helper()
	status, body := s.Get("/metrics")
	if status != http.StatusOK {
		s.t.Fatalf("/metrics: %d %s", status, body)
	}
	m, err := ParseMetrics(body)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// WaitMetric waits until the samples of a name with the given labels add up to a value.
func (s *Sidecar) WaitMetric(want float64, name string, labels ...string) {
	s.t.Helper()
	Eventually(s.t, Patience, func() (bool, string) {
		got := s.Metrics().Value(name, labels...)
		return got == want, fmt.Sprintf("%s%v is %v, want %v", name, labels, got, want)
	})
}

// Subscription reads /subscription.
func (s *Sidecar) Subscription() map[string]any {
	s.t.Helper()
	status, body := s.Get("/subscription")
	if status != http.StatusOK {
		s.t.Fatalf("/subscription: %d %s", status, body)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		s.t.Fatalf("/subscription: %v\n%s", err, body)
	}
	return m
}

// Signal sends a signal to the process.
func (s *Sidecar) Signal(sig os.Signal) {
	s.t.Helper()
	if err := s.proc.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Kill ends the process with SIGKILL, as a crash does.
func (s *Sidecar) Kill() { s.proc.Kill() }

// Running says whether the process has not ended.
func (s *Sidecar) Running() bool { return s.proc.Running() }

// Memory is the resident set in bytes.
func (s *Sidecar) Memory() int64 { return s.proc.Memory() }

// PeakMemory is the largest resident set that the process ever had, in bytes, 0 where the system has no /proc.
func (s *Sidecar) PeakMemory() int64 { return s.proc.PeakMemory() }

// State waits for the end and returns CPU times and the like.
func (s *Sidecar) State() *os.ProcessState { return s.proc.State() }

// Exit waits for the end and checks the exit code.
func (s *Sidecar) Exit(want int) {
	s.t.Helper()
	s.ExitWithin(Patience, want)
}

// ExitWithin is Exit with a bound of its own, for promises about how long the end may take.
func (s *Sidecar) ExitWithin(timeout time.Duration, want int) {
	s.t.Helper()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-s.proc.Done():
	case <-timer.C:
		s.t.Fatalf("still running after %s", timeout)
	}
	s.eof.Wait()
	if code := s.proc.ExitCode(); code != want {
		s.t.Fatalf("exit code %d, want %d", code, want)
	}
}
