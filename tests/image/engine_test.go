package image

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/process"
)

// engines is the engine that the tests of this process share.
var engines shared

type shared struct {
	once   sync.Once
	engine *engine
	err    error // why there is none
	proc   *process.Process
	dir    string
}

// engine is a Docker engine, asked through its client.
type engine struct {
	client string // the client's path
	host   string // DOCKER_HOST
}

// need returns the engine and skips where there is none.
func need(t *testing.T) *engine {
	t.Helper()
	if testing.Short() {
		t.Skip("no image with -short")
	}
	engines.once.Do(func() { engines.engine, engines.err = engines.find() })
	switch {
	case engines.err == nil:
	case os.Getenv("REQUIRE_DOCKER") == "1":
		t.Fatal(engines.err)
	default:
		t.Skipf("no Docker engine: %v", engines.err)
	}
	return engines.engine
}

// daemon is where Debian's docker.io puts the engine; its client, beside it, has BuildKit built in.
const daemon, daemonClient = "/usr/sbin/dockerd", "/usr/bin/docker"

func (s *shared) find() (*engine, error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("the tests share the network of this host with containers, which takes Linux")
	}
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		client, err := exec.LookPath("docker")
		if err != nil {
			return nil, err
		}
		e := &engine{client, host}
		_, err = e.try(context.Background(), nil, "version")
		return e, err
	}
	if _, err := os.Stat(daemon); err != nil {
		return nil, fmt.Errorf("DOCKER_HOST is not set, and %w", err)
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("DOCKER_HOST is not set, and only root may start an engine")
	}
	return s.start()
}

// start runs an engine without networks of its own: containers share the host's.
func (s *shared) start() (*engine, error) {
	dir, err := os.MkdirTemp("", "kafka-sidecar-docker-*")
	if err != nil {
		return nil, err
	}
	s.dir = dir
	at := func(name string) string { return filepath.Join(dir, name) }
	e := &engine{daemonClient, "unix://" + at("docker.sock")}
	cmd := exec.Command(daemon, "--host="+e.host, "--data-root="+at("root"), "--exec-root="+at("exec"), "--pidfile="+at("pid"),
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if s.proc, err = process.Start(cmd); err != nil {
		return nil, err
	}
	deadline := time.NewTimer(harness.Patience)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err = e.try(context.Background(), nil, "version"); err == nil {
			return e, nil
		}
		select {
		case <-s.proc.Done():
			return nil, fmt.Errorf("dockerd ended with code %d:\n%s", s.proc.ExitCode(), out.String())
		case <-deadline.C:
			return nil, fmt.Errorf("dockerd does not answer: %w", err)
		case <-tick.C:
		}
	}
}

// close ends the engine that was started; on SIGTERM it ends its containers and unmounts what it mounted.
func (s *shared) close() {
	if s.proc != nil {
		_ = s.proc.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(harness.Patience, s.proc.Kill)
		<-s.proc.Done()
		timer.Stop()
	}
	if s.dir != "" {
		// The host's network namespace, which containers were given, is the one mount that the engine leaves behind.
		_ = exec.Command("umount", filepath.Join(s.dir, "exec", "netns", "default")).Run()
		if err := os.RemoveAll(s.dir); err != nil {
			fmt.Fprintln(os.Stderr, "the engine's folder is left behind:", err)
		}
	}
}

// try runs one command of the client and returns what it printed.
func (e *engine) try(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, e.client, args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.host, "DOCKER_BUILDKIT=1", "DOCKER_CLI_HINTS=false")
	cmd.Stdin = stdin
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		text := errs.String()
		return out.String(), fmt.Errorf("docker %s: %w\n%s", args[0], err, text[max(0, len(text)-4000):])
	}
	return out.String(), nil
}

// run is try for what must succeed.
func (e *engine) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := e.try(t.Context(), nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// inspect reads the engine's word on an image or a container.
func (e *engine) inspect(t *testing.T, name string, into any) {
	t.Helper()
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(e.run(t, "inspect", name)), &list); err != nil || len(list) != 1 {
		t.Fatalf("inspect %s: %v", name, err)
	}
	if err := json.Unmarshal(list[0], into); err != nil {
		t.Fatal(err)
	}
}

// stream opens what a command of the client prints as a file, for archives.
func (e *engine) stream(t *testing.T, args ...string) io.Reader {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "archive"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	cmd := exec.CommandContext(t.Context(), e.client, args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.host)
	cmd.Stdout, cmd.Stderr = f, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("docker %s: %v", args[0], err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return f
}
