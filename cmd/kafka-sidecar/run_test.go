package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

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
