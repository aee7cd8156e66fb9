package tests

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// A key in the URL, as many webhooks and functions have it, is rotated: handler and dead-letter target refuse the old one.
func TestRotatedQueryOfAURLNeedsNoRestart(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var valid atomic.Value
	valid.Store("code=first")
	guarded := func(path string, status int) string {
		t.Helper()
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path || r.URL.RawQuery != valid.Load() {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			w.WriteHeader(status)
		}))
		t.Cleanup(srv.Close)
		return srv.URL + path
	}
	handler, dead := guarded("/x", http.StatusUnprocessableEntity), guarded("/y", http.StatusOK)
	env := harness.TestEnv(b, topic, harness.NewHandler(t, harness.OK)).With("SUBSCRIPTION_SINK", "",
		"SUBSCRIPTION_SINK_FILE", write("sink", handler+"?code=first"), "DEAD_LETTER_URL_FILE", write("target", dead+"?code=first"))
	s := harness.Start(t, env)
	b.Produce(harness.Record(topic, "k", "1"))
	b.WaitCommitted(env.Group(), topic)

	valid.Store("code=second")
	b.Produce(harness.Record(topic, "k", "2"))
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		return s.Metrics().Value("kafka_sidecar_attempts_total", "code", "403") > 0, "the old code is not refused"
	})
	write("sink", handler+"?code=second")
	write("target", dead+"?code=second")
	b.WaitCommitted(env.Group(), topic)
	if out := strings.Join(s.Lines(), "\n"); strings.Contains(out, "code=") {
		t.Errorf("a query is shown:\n%s", out)
	}
}
