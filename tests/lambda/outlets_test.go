package lambda

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/otlp"
)

func TestHandlerKnowsWhoSent(t *testing.T) {
	l, h, _ := start(t, harness.OK, "HANDLER_AUTH", "bearer", "HANDLER_BEARER_TOKEN", "t0ken")
	record := one(1, "a")
	l.Invoke(harness.KafkaEvent(t, harness.MSK, record), time.Minute).OK()
	if got := h.CallsOf(record)[0].Header.Get("Authorization"); got != "Bearer t0ken" {
		t.Errorf("authorization %q", got)
	}
}

func TestNothingIsAttemptedWithoutAuthentication(t *testing.T) {
	l, h, _ := start(t, harness.OK, "HANDLER_AUTH", "google-id-token", "HANDLER_GOOGLE_AUDIENCE", "billing", "GCE_METADATA_HOST", harness.FreeAddr(t))
	record := one(1, "a")
	i := l.Invoke(harness.KafkaEvent(t, harness.MSK, record), 5*time.Second).Wait()
	if !strings.Contains(i.Err.Message, "authenticate to the handler") || len(h.CallsOf(record)) != 0 || i.At.After(i.Deadline()) {
		t.Errorf("error %s: %s, calls %v", i.Err.Type, i.Err.Message, h.CallsOf(record))
	}
}

// TestInvocationKeepsNothingBack: what waits for later may wait for ever, since the process may be frozen after any answer.
func TestInvocationKeepsNothingBack(t *testing.T) {
	collector := otlp.Collect(t)
	l, _, s := start(t, harness.OK, "METRICS_EMF", "true", "METRICS_EMF_NAMESPACE", "shop", "OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL,
		"OTEL_BSP_SCHEDULE_DELAY", "600000", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
	records := numbered(50, 2, 5)
	for n := range 2 {
		l.Invoke(harness.KafkaEvent(t, harness.MSK, records[25*n:25*(n+1)]...), time.Minute).OK()
		if got := len(collector.Spans()); got != 25*(n+1) {
			t.Errorf("%d spans after %d records", got, 25*(n+1))
		}
	}
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		var done []float64
		for _, line := range s.Lines() {
			var document struct {
				AWS          json.RawMessage `json:"_aws"`
				Subscription string
				Done         float64
			}
			if json.Unmarshal([]byte(line), &document) == nil && document.AWS != nil && document.Subscription == s.Env().Group() {
				done = append(done, document.Done)
			}
		}
		return len(done) == 2 && done[0] == 25 && done[1] == 25, fmt.Sprintf("documents count %v records, want 25 each", done)
	})
}

func TestCollectorThatIsDownCostsNoAnswer(t *testing.T) {
	silent := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Hang: true} })
	l, h, _ := start(t, harness.OK, "OTEL_EXPORTER_OTLP_ENDPOINT", silent.URL(""), "OTEL_EXPORTER_OTLP_TIMEOUT", "600000")
	for n, timeout := range []time.Duration{2 * time.Second, time.Minute} {
		began, record := time.Now(), one(int64(n), "a")
		i := l.Invoke(harness.KafkaEvent(t, harness.MSK, record), timeout)
		i.OK()
		if took := i.At.Sub(began); i.At.After(i.Deadline()) || took > 10*time.Second || len(h.CallsOf(record)) != 1 {
			t.Errorf("answered after %s of %s, calls %v", took, timeout, h.CallsOf(record))
		}
	}
}
