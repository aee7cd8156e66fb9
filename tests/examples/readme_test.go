package examples

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/process"
)

// example is a folder of examples/ whose README tells everything: one block of commands, the last of which is the handler,
// and one block with the environment of its sidecar.
type example struct {
	dir   string
	steps []string
	env   harness.Env
}

var fence = regexp.MustCompile("(?s)```(sh|properties)\n(.*?)\n```")

// read takes an example from its README. An example with dependencies of its own is copied, so that nothing is installed into
// the tree.
func read(t *testing.T, name string) example {
	t.Helper()
	dir := filepath.Join("..", "..", "examples", name)
	text, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	e := example{dir: dir, env: harness.Env{}}
	for _, block := range fence.FindAllStringSubmatch(string(text), -1) {
		lines := strings.Split(block[2], "\n")
		if block[1] == "sh" {
			e.steps = append(e.steps, lines...)
			continue
		}
		for _, line := range lines {
			name, value, ok := strings.Cut(line, "=")
			if !ok {
				t.Fatalf("%s: %q is no variable", dir, line)
			}
			e.env[name] = value
		}
	}
	if len(e.steps) == 0 || len(e.env) == 0 {
		t.Fatalf("%s: the README has %d commands and %d variables", dir, len(e.steps), len(e.env))
	}
	tool, _, _ := strings.Cut(e.steps[0], " ")
	if _, err := exec.LookPath(tool); err != nil {
		if os.Getenv("REQUIRE_EXAMPLES") == "1" {
			t.Fatalf("%s needs %s: %v", name, tool, err)
		}
		t.Skipf("%s needs %s: %v (REQUIRE_EXAMPLES=1 makes this a failure)", name, tool, err)
	}
	for _, own := range []string{"package.json", "pom.xml", "go.mod", "requirements.txt"} {
		if _, err := os.Stat(filepath.Join(dir, own)); err == nil {
			e.dir = t.TempDir()
			copyFolder(t, dir, e.dir)
			break
		}
	}
	return e
}

// copyFolder leaves out what a reader's own trial may have installed.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		if d.IsDir() {
			if n := d.Name(); n == "node_modules" || n == "target" || n == ".venv" {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// run does the steps of the README, the last of them in the background, and waits until the handler listens. The handler's
// address is where the environment of the README says, on a port of its own.
func (e *example) run(t *testing.T) (addr string) {
	t.Helper()
	last := len(e.steps) - 1
	for _, step := range e.steps[:last] {
		cmd := e.command(step, "")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		p, err := process.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(5*time.Minute, p.Kill)
		if code := p.ExitCode(); code != 0 {
			t.Fatalf("%q ended with %d:\n%s", step, code, out.String())
		}
		timer.Stop()
	}
	addr = harness.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := e.command(e.steps[last], port)
	cmd.Stdout, cmd.Stderr = log, log
	p, err := process.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		_ = log.Close()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s:\n%s", e.steps[last], text)
		}
	})
	addr = net.JoinHostPort("localhost", port)
	harness.Eventually(t, 4*harness.Patience, func() (bool, string) {
		if !p.Running() {
			return true, ""
		}
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return false, err.Error()
		}
		return conn.Close() == nil, ""
	})
	if !p.Running() {
		t.Fatalf("%q ended at once", e.steps[last])
	}
	return addr
}

func (e *example) command(line, port string) *exec.Cmd {
	words := strings.Fields(line)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = e.dir
	cmd.Env = os.Environ()
	if port != "" {
		cmd.Env = append(cmd.Env, "PORT="+port)
	}
	return cmd
}

// sidecar is the environment of the README with the addresses and the topic of the test.
func (e *example) sidecar(t *testing.T, b *harness.Broker, topic, handler string) harness.Env {
	env := e.env.With("KAFKA_BOOTSTRAP_SERVERS", b.Addr, "SUBSCRIPTION_SOURCE", "kafka://my-cluster/"+topic, "START_AT", "earliest",
		"SUBSCRIPTION_ID", harness.Name(t, e.env["SUBSCRIPTION_ID"]))
	for _, name := range []string{"HANDLER_URL", "SUBSCRIPTION_SINK"} {
		env[name] = strings.Replace(env[name], "localhost:8080", handler, 1)
	}
	return env.With("HANDLER_URL", env["HANDLER_URL"])
}

// post calls a handler as any program does, and returns the body of its 200.
func post(t *testing.T, url, body string) string {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: %d %s (%v)", url, res.StatusCode, text, err)
	}
	return strings.TrimSpace(string(text))
}
