// Package restateserver runs a Restate server for tests: one node on free ports of the loopback, as a child process that
// ends with the test and keeps its data over Stop, Kill and Start.
//
// The release is installed with npm once and kept in the user's cache directory. A machine without npm skips the tests that
// need the server, unless REQUIRE_REAL_RESTATE=1 or REQUIRE_REAL_KAFKA=1 turns that into a failure. Telemetry is off.
package restateserver

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/otlp"
	"github.com/kafka-sidecar/kafka-sidecar/tests/process"
)

// readyTimeout bounds every wait for the server. A loaded machine needs a multiple of the usual second.
const readyTimeout = 90 * time.Second

// Options describe a server.
type Options struct {
	// KafkaClusters is the value of RESTATE_INGRESS__KAFKA_CLUSTERS, in Restate's own grammar; empty for none.
	KafkaClusters string
	// Traces is where the server exports its spans to; nil for nowhere.
	Traces *otlp.Collector
	// Env are further variables of the server, NAME=value.
	Env []string
}

// Server is one running Restate server. Start, Stop and Kill are for one goroutine at a time; questions may come from any.
type Server struct {
	Ingress string // URL of the ingress, without a slash at the end
	Admin   string // URL of the Admin API, likewise

	t      testing.TB
	binary string
	dir    string
	env    []string
	proc   *process.Process
	client *http.Client
}

// Start starts a server, waits until it is ready and ends it with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("no Restate server with -short")
	}
	binary, err := install()
	if errors.Is(err, errUnavailable) && os.Getenv("REQUIRE_REAL_RESTATE") != "1" && os.Getenv("REQUIRE_REAL_KAFKA") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		t: t, binary: binary, dir: t.TempDir(),
		// A connection for each question: none is left open when the server ends.
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute},
	}
	s.configure(o)
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("end of the Restate server's log:\n%s", s.log())
		}
	})
	s.Start()
	return s
}

// configure picks the ports, which stay the same for the server's life.
func (s *Server) configure(o Options) {
	s.t.Helper()
	var ports [3]string
	for i := range ports {
		port, err := process.FreePort()
		if err != nil {
			s.t.Fatal(err)
		}
		ports[i] = strconv.Itoa(port)
	}
	s.Admin, s.Ingress = "http://127.0.0.1:"+ports[1], "http://127.0.0.1:"+ports[2]
	s.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir,
		"RESTATE_NODE_NAME=test", "RESTATE_CLUSTER_NAME=test", "RESTATE_BASE_DIR=" + filepath.Join(s.dir, "data"),
		"RESTATE_LISTEN_MODE=tcp", "RESTATE_BIND_IP=127.0.0.1", "RESTATE_ADVERTISED_HOST=127.0.0.1",
		"RESTATE_BIND_PORT=" + ports[0], "RESTATE_ADMIN__BIND_PORT=" + ports[1], "RESTATE_INGRESS__BIND_PORT=" + ports[2],
		"RESTATE_DISABLE_TELEMETRY=true", "RESTATE_LOG_FILTER=warn", "NO_COLOR=1",
		// The limit is for each partition. Without one a backlog makes the services under test grow to gigabytes.
		"RESTATE_DEFAULT_NUM_PARTITIONS=4", "RESTATE_WORKER__INVOKER__CONCURRENT_INVOCATIONS_LIMIT=25",
	}
	if o.KafkaClusters != "" {
		s.env = append(s.env, "RESTATE_INGRESS__KAFKA_CLUSTERS="+o.KafkaClusters)
	}
	if o.Traces != nil {
		s.env = append(s.env, "RESTATE_TRACING_ENDPOINT="+o.Traces.URL)
	}
	s.env = append(s.env, o.Env...)
}

// Start starts a server that was stopped or killed, with the data and the ports that it had.
func (s *Server) Start() {
	s.t.Helper()
	out, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close() // the child has its own descriptor
	cmd := exec.Command(s.binary, "--no-logo")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, out, out
	if s.proc, err = process.Start(cmd); err != nil {
		s.t.Fatal(err)
	}
	s.waitReady()
}

// waitReady waits until the Admin API and the ingress answer that they are healthy, and the data of all
// partitions can be asked for: after a crash they have no leader at first.
func (s *Server) waitReady() {
	s.t.Helper()
	s.eventually(func() error {
		return errors.Join(
			s.healthy(http.MethodGet, s.Admin+"/health", nil),
			s.healthy(http.MethodGet, s.Ingress+"/restate/health", nil),
			s.healthy(http.MethodPost, s.Admin+"/query", JSON{"query": "select count(*) from sys_invocation"}),
		)
	})
}

// eventually asks again and again while the server runs, until there is no error any more.
func (s *Server) eventually(ask func() error) {
	s.t.Helper()
	deadline := time.NewTimer(readyTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-s.proc.Done():
			s.t.Fatalf("the Restate server ended with code %d:\n%s", s.proc.ExitCode(), s.log())
		case <-deadline.C:
			s.t.Fatalf("the Restate server is not ready after %s: %v\n%s", readyTimeout, err, s.log())
		case <-tick.C:
		}
	}
}

func (s *Server) healthy(method, url string, body any) error {
	status, _, err := s.Do(s.t, method, url, body)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s answers %d", url, status)
	}
	return err
}

// Stop ends the server in good order, and kills it if that takes too long. It keeps its data for the next Start.
func (s *Server) Stop() {
	_ = s.proc.Signal(syscall.SIGTERM)
	timer := time.NewTimer(30 * time.Second)
	defer timer.Stop()
	select {
	case <-s.proc.Done():
	case <-timer.C:
		s.proc.Kill()
	}
}

// Kill ends the server with SIGKILL, as a crash does.
func (s *Server) Kill() {
	if s.proc != nil {
		s.proc.Kill()
	}
}

// log is the end of what the server wrote.
func (s *Server) log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(text[max(0, len(text)-4096):])
}
