package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/admin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// command runs the program and returns what it printed and its exit code.
func command(environ []string, args ...string) (stdout, stderr string, code int) {
	var out, err strings.Builder
	code = run(args, environ, &out, &err)
	return out.String(), err.String(), code
}

// smallest is the smallest configuration; nothing listens at its addresses.
var smallest = []string{
	"KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1",
	"SUBSCRIPTION_ID=orders-to-billing",
	"SUBSCRIPTION_SOURCE=kafka://my-cluster/orders",
	"SUBSCRIPTION_SINK=http://127.0.0.1:1/orders",
}

func TestBadEnvironmentPrintsEveryMistakeAndExitsTwo(t *testing.T) {
	_, stderr, code := command([]string{"SUBSCRIPTION_SOURCE=kafka://c", "CONCURRENCY=none", "HANDLER_TIMEOT=1s", "KAFKA_OPTION_SASL_PASSWORD=hunter2"})
	if code != exitConfig {
		t.Errorf("exit code is %d, want %d", code, exitConfig)
	}
	for _, name := range []string{"SUBSCRIPTION_SOURCE:", "SUBSCRIPTION_SINK:", "CONCURRENCY:", "HANDLER_TIMEOT:", "HANDLER_TIMEOUT"} {
		if !strings.Contains(stderr, name) {
			t.Errorf("output does not name %s:\n%s", name, stderr)
		}
	}
	if strings.Contains(stderr, "hunter2") {
		t.Errorf("output holds a secret:\n%s", stderr)
	}
}

func TestUnknownCommandsAreMistakes(t *testing.T) {
	for _, args := range [][]string{{"start"}, {"run", "x"}, {"help", "me"}, {"check", "--online"}, {"healthcheck", "x"}, {"parked", "x"}} {
		if _, _, code := command(smallest, args...); code != exitConfig {
			t.Errorf("%v exits %d, want %d", args, code, exitConfig)
		}
	}
}

func TestHelpOfACommandIsNoMistake(t *testing.T) {
	for _, args := range [][]string{{"check", "--help"}, {"healthcheck", "-h"}} {
		if _, stderr, code := command(nil, args...); code != exitOK || !strings.Contains(stderr, "Usage of "+args[0]) {
			t.Errorf("%v exits %d\n%s", args, code, stderr)
		}
	}
}

func TestHelpListsEveryVariable(t *testing.T) {
	text, _, code := command(nil, "help", "env")
	for _, name := range []string{"KAFKA_BOOTSTRAP_SERVERS", "SUBSCRIPTION_SINK", "DEAD_LETTER_TOPIC", "SHUTDOWN_TIMEOUT"} {
		if !strings.Contains(text, name) {
			t.Errorf("help env does not tell of %s", name)
		}
	}
	usage, _, helpCode := command(nil, "help")
	version, _, versionCode := command(nil, "version")
	if code != 0 || helpCode != 0 || versionCode != 0 || !strings.Contains(usage, "healthcheck") || !strings.HasPrefix(version, "kafka-sidecar ") {
		t.Errorf("help env %d, help %d, version %d %q", code, helpCode, versionCode, version)
	}
}

func TestCheckOfflineConnectsToNothing(t *testing.T) {
	environ := append([]string{"KAFKA_OPTION_SASL_MECHANISM=PLAIN", "KAFKA_OPTION_SECURITY_PROTOCOL=SASL_PLAINTEXT", "KAFKA_OPTION_SASL_USERNAME=me", "KAFKA_OPTION_SASL_PASSWORD=hunter2"}, smallest...)
	stdout, stderr, code := command(environ, "check", "--offline")
	if code != exitOK || !strings.Contains(stdout, "ok: configuration") || strings.Contains(stdout+stderr, "hunter2") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}

func TestCheckSaysWhatCannotBeReached(t *testing.T) {
	stdout, _, code := command(smallest, "check")
	if code != exitFailure || !strings.Contains(stdout, "FAILED: broker and topic") || !strings.Contains(stdout, "FAILED: handler") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
}

// TestCheckNamesWhatAnswersNothing: a packet filter drops what it does not let through, so that silence is what most mistakes look like.
func TestCheckNamesWhatAnswersNothing(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	addr := silent.Addr().String()
	environ := slices.Clone(smallest)
	environ[0], environ[3] = "KAFKA_BOOTSTRAP_SERVERS="+addr, "SUBSCRIPTION_SINK=https://"+addr+"/orders"
	cfg, err := envconfig.Parse(environ)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, errors.New("time is up"))
	defer cancel()
	if _, err := sidecar.Probe(ctx, cfg); err == nil || !strings.Contains(err.Error(), addr) || !strings.HasSuffix(err.Error(), "in the step ApiVersions: time is up") {
		t.Errorf("a silent broker: %v", err)
	}
	ctx, cancel = context.WithTimeoutCause(t.Context(), 300*time.Millisecond, errors.New("time is up"))
	defer cancel()
	if _, err := reachHandler(ctx, cfg); err == nil || !strings.HasSuffix(err.Error(), addr+" over TLS: time is up") {
		t.Errorf("a silent handler: %v", err)
	}
}

func TestCheckTellsAPrivateAuthorityFromOtherTLSMistakes(t *testing.T) {
	private := httptest.NewTLSServer(http.NotFoundHandler())
	defer private.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for url, hint := range map[string]bool{private.URL: true, "https" + strings.TrimPrefix(plain.URL, "http"): false} {
		cfg, err := envconfig.Parse(append(slices.Clone(smallest[:3]), "SUBSCRIPTION_SINK="+url))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reachHandler(t.Context(), cfg); err == nil || strings.Contains(err.Error(), "HANDLER_TLS_CA") != hint {
			t.Errorf("hint %t: %v", hint, err)
		}
	}
}

func TestLogsAreTextOnATerminalAlone(t *testing.T) {
	t.Setenv("TERM", "") // says what a terminal can do, not that there is one
	for name, want := range map[string]bool{"/dev/ptmx": true, os.DevNull: false, filepath.Join(t.TempDir(), "log"): false} {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			if want {
				t.Logf("no terminal to be had: %v", err)
				continue
			}
			t.Fatal(err)
		}
		if got := isTerminal(f); got != want {
			t.Errorf("%s: %t, want %t", name, got, want)
		}
		f.Close()
	}
	var out strings.Builder
	newLogger(&envconfig.Config{}, &out).Info("hello")
	if !strings.HasPrefix(out.String(), "{") {
		t.Errorf("not JSON: %s", out.String())
	}
}

// running stands in for a sidecar that runs beside the command, and gives the environment both share.
func running(t *testing.T, page http.HandlerFunc) []string {
	t.Helper()
	server := httptest.NewServer(page)
	t.Cleanup(server.Close)
	return []string{"ADMIN_ADDR=" + strings.TrimPrefix(server.URL, "http://")}
}

func TestHealthcheckTellsWhatTheSidecarSays(t *testing.T) {
	environ := running(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" {
			http.Error(w, "draining", http.StatusServiceUnavailable)
		}
	})
	if _, _, code := command(environ, "healthcheck"); code != exitOK {
		t.Errorf("live sidecar: exit %d", code)
	}
	if stdout, _, code := command(environ, "healthcheck", "--ready"); code != exitFailure || !strings.Contains(stdout, "draining") {
		t.Errorf("sidecar that is not ready: exit %d, %q", code, stdout)
	}
	if _, stderr, code := command([]string{"ADMIN_ADDR=127.0.0.1:1"}, "healthcheck"); code != exitFailure || !strings.Contains(stderr, "ADMIN_ADDR") {
		t.Errorf("no sidecar: exit %d, %q", code, stderr)
	}
	if _, stderr, code := command([]string{"ADMIN_ADDR=off"}, "healthcheck"); code != exitFailure || !strings.Contains(stderr, "off") {
		t.Errorf("admin pages off: exit %d, %q", code, stderr)
	}
}

func TestParkedListsWhatWaits(t *testing.T) {
	next := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	environ := running(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(admin.Subscription{Status: admin.Status{Partitions: []admin.Partition{{Partition: 3, ParkedKeys: 2, Parked: []admin.Parked{
			{KeyHash: "00c0ffee0001", Offset: 42, Records: 7, LastStatus: 422, Attempts: 9, NextAttempt: &next},
		}}}}})
	})
	stdout, _, code := command(environ, "parked")
	if code != exitOK {
		t.Fatalf("exit %d", code)
	}
	for _, want := range []string{"3@42", "00c0ffee0001", "422", "9", "7", "2026-01-02T03:04:05Z", "and 1 more"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("output lacks %q:\n%s", want, stdout)
		}
	}
}

func TestAdminAddressIsSeenFromTheSameMachine(t *testing.T) {
	for addr, want := range map[string]string{"": "localhost:9464", ":81": "localhost:81", "0.0.0.0:82": "localhost:82", "[::]:83": "localhost:83", "10.0.0.1:84": "10.0.0.1:84"} {
		if got, err := adminAddr([]string{"ADMIN_ADDR=" + addr}); err != nil || got != want {
			t.Errorf("ADMIN_ADDR=%s is asked at %q (%v), want %q", addr, got, err, want)
		}
	}
}
