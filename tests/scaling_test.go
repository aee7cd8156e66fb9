package tests

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func TestEmbeddedMetricsAreAloneOnStandardOutput(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, answerTo("last", harness.Answer{Status: 400}))
	b.Produce(append(harness.Keyed(topic, 20, 1), harness.Record(topic, "last", "x"))...)
	env := harness.TestEnv(b, topic, h).With("METRICS_EMF", "true", "METRICS_EMF_NAMESPACE", "shop", "ON_FAILURE", "stop", "ORDERING", "partition", "ADMIN_ADDR", "off")
	stdout, stderr, code := harness.Run(t, env)
	if code != 3 {
		t.Fatalf("exit code %d, want 3\n%s", code, stderr)
	}
	sums := map[string]float64{}
	for line := range strings.Lines(stdout) {
		var d map[string]any
		if err := json.Unmarshal([]byte(line), &d); err != nil || !strings.HasSuffix(line, "\n") || d["_aws"] == nil || d["Subscription"] != env["SUBSCRIPTION_ID"] {
			t.Fatalf("standard output holds what is no document (%v): %q", err, line)
		}
		for _, name := range []string{"Done", "Attempts", "FailedAttempts", "AttemptDuration"} {
			v, _ := d[name].(float64)
			sums[name] += v
		}
	}
	if sums["Done"] != 20 || sums["Attempts"] != 21 || sums["FailedAttempts"] != 1 || sums["AttemptDuration"] <= 0 {
		t.Errorf("the documents of the whole run add up to %v, want 20 done of 21 attempts\n%s", sums, stdout)
	}
	if strings.Contains(stderr, "_aws") {
		t.Error("a document went to standard error")
	}
}

func TestLagIsSeenWhilePaused(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	b.Produce(harness.Keyed(topic, 7, 7)...)
	s := harness.Start(t, harness.TestEnv(b, topic, h).With("PAUSED", "true"))
	s.WaitReady()
	s.WaitMetric(7, "kafka_sidecar_lag_records")
	s.WaitMetric(7, "kafka_sidecar_backlog_records")
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		m := s.Metrics()
		return m.Value("kafka_sidecar_lag_seconds") > 0 && m.Value("kafka_sidecar_oldest_unsettled_age_seconds") > 0, "kafka_sidecar_lag_seconds or kafka_sidecar_oldest_unsettled_age_seconds stays 0 while records wait"
	})
	if n := s.Metrics().Value("kafka_sidecar_wanted_slot_seconds_total"); n != 0 {
		t.Errorf("%v slot seconds are wanted where nothing is read", n)
	}
}
