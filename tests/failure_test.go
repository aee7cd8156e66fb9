package tests

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func TestPoisonRecordParksOnlyItsKey(t *testing.T) {
	for name, answer := range map[string]harness.Answer{"retry": {Status: 500}, "failed": {Status: 404}} {
		t.Run(name, func(t *testing.T) {
			harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
				topic := b.CreateTopic(1)
				h := harness.NewHandler(t, answerTo("key-0", answer))
				env := harness.TestEnv(b, topic, h)
				records := b.Produce(harness.Keyed(topic, 400, 20)...)
				s := harness.Start(t, env)
				h.WaitSettled(without("key-0", records))
				s.WaitMetric(1, "kafka_sidecar_parked_keys")
				s.WaitMetric(20, "kafka_sidecar_parked_records")
				s.WaitMetric(380, "kafka_sidecar_settled_total")
				if c := b.Commits(env.Group(), topic)[0]; c.Offset != 0 {
					t.Errorf("committed %d while offset 0 is not settled", c.Offset)
				}
				for _, c := range h.Calls() {
					if c.Key == "key-0" && c.Offset != 0 {
						t.Fatalf("offset %d began while its key is parked at offset 0", c.Offset)
					}
				}
				h.Script(harness.OK)
				h.WaitSettled(records)
				h.CheckOrder(t, records, harness.Once, nil)
				b.WaitCommitted(env.Group(), topic)
				s.WaitMetric(0, "kafka_sidecar_parked_keys")
			})
		})
	}
}

func TestDropCountsAndLogs(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, answerTo("key-3", harness.Answer{Status: 422}))
	env := harness.TestEnv(b, topic, h).With("ON_FAILURE", "drop")
	records := b.Produce(harness.Keyed(topic, 50, 5)...)
	s := harness.Start(t, env)
	h.WaitSettled(without("key-3", records))
	b.WaitCommitted(env.Group(), topic)
	s.WaitMetric(50, "kafka_sidecar_settled_total")
	s.WaitMetric(10, "kafka_sidecar_settled_total", "outcome", "dropped")
	s.WaitLog(`"offset":3`, "drop")
	for _, r := range only("key-3", records) {
		if calls := h.CallsOf(r); len(calls) != 1 {
			t.Errorf("%d calls for offset %d, want 1", len(calls), r.Offset)
		}
	}
}

func TestOutcomeHeaderOverridesTheStatus(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	outcome := func(o string) map[string]string { return map[string]string{"kafka-sidecar-outcome": o} }
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		switch {
		case c.Key == "done":
			return harness.Answer{Status: 500, Header: outcome("done")}
		case c.Key == "drop":
			return harness.Answer{Status: 500, Header: outcome("drop")}
		case c.Key == "retry" && c.Attempt < 3:
			return harness.Answer{Status: 200, Header: outcome("retry")}
		case c.Key == "fail":
			return harness.Answer{Status: 200, Header: outcome("fail")}
		}
		return harness.Answer{}
	})
	dead := b.CreateTopic(1)
	env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead)
	records := b.Produce(harness.Record(topic, "done", "1"), harness.Record(topic, "drop", "2"), harness.Record(topic, "retry", "3"), harness.Record(topic, "fail", "4"))
	harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	for i, want := range []int{1, 1, 3, 1} {
		if got := len(h.CallsOf(records[i])); got != want {
			t.Errorf("%d calls for %s, want %d", got, records[i].Key, want)
		}
	}
	letters := b.ReadAll(dead)
	if len(letters) != 1 || string(letters[0].Key) != "fail" || header(letters[0], "kafka-sidecar.reason") != "outcome" {
		t.Errorf("dead letters %v, want the one with the outcome fail", letters)
	}
}

func TestStopExitsThree(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
			if c.Offset == 10 {
				return harness.Answer{Status: 404}
			}
			return harness.Answer{}
		})
		env := harness.TestEnv(b, topic, h).With("ON_FAILURE", "stop", "FAILURE_LIMIT", "off")
		records := b.Produce(harness.Keyed(topic, 50, 5)...)
		s := harness.Start(t, env)
		s.Exit(3)
		if c := b.Commits(env.Group(), topic)[0]; c.Offset > 10 {
			t.Errorf("committed %d, past the record that failed", c.Offset)
		}
		b.WaitMembers(env.Group(), 0)
		h.Script(harness.OK)
		harness.Start(t, env)
		h.WaitSettled(records)
		h.CheckOrder(t, records, harness.Once, nil)
		b.WaitCommitted(env.Group(), topic)
	})
}

func TestSkipRecordsAreSettledByRule(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(2)
		h := harness.NewHandler(t, harness.OK)
		var records []*kgo.Record
		for i := range 20 {
			r := harness.Record(topic, "k", fmt.Sprint(i))
			r.Partition = int32(i % 2)
			records = append(records, r)
		}
		b.ProduceAt(records...)
		env := harness.TestEnv(b, topic, h).With("SKIP_RECORDS", "0@0,1@3,1@9")
		s := harness.Start(t, env)
		b.WaitCommitted(env.Group(), topic)
		s.WaitMetric(20, "kafka_sidecar_settled_total")
		for _, r := range records {
			skipped := harness.ID(r) == "0@0" || harness.ID(r) == "1@3" || harness.ID(r) == "1@9"
			if calls := len(h.CallsOf(r)); skipped && calls != 0 || !skipped && calls != 1 {
				t.Errorf("%d calls for %s", calls, harness.ID(r))
			}
		}
		s.WaitLog("skip", `"offset":9`)
	})
}

func TestRetryingEndsAfterTheGivenAttempts(t *testing.T) {
	b := harness.Fake(t)
	topic, dead := b.CreateTopic(1), b.CreateTopic(1)
	h := harness.NewHandler(t, answerTo("key-1", harness.Answer{Status: 500}))
	env := harness.TestEnv(b, topic, h).With("RETRY_MAX_ATTEMPTS", "3", "DEAD_LETTER_TOPIC", dead)
	records := b.Produce(harness.Keyed(topic, 4, 2)...)
	harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	for _, r := range only("key-1", records) {
		calls := h.CallsOf(r)
		if len(calls) != 3 {
			t.Fatalf("%d calls, want 3", len(calls))
		}
		for i, c := range calls {
			if c.Attempt != i+1 {
				t.Errorf("call %d says attempt %d", i+1, c.Attempt)
			}
		}
	}
	for _, l := range b.ReadAll(dead) {
		if header(l, "kafka-sidecar.reason") != "attempts" || header(l, "kafka-sidecar.attempts") != "3" {
			t.Errorf("headers %v", l.Headers)
		}
	}
}

func TestHandlerThatIsDownUsesUpNoAttempts(t *testing.T) {
	b := harness.Fake(t)
	topic, dead := b.CreateTopic(1), b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	h.Down()
	env := harness.TestEnv(b, topic, h).With("RETRY_MAX_ATTEMPTS", "1", "DEAD_LETTER_TOPIC", dead)
	records := b.Produce(harness.Keyed(topic, 100, 50)...)
	s := harness.Start(t, env)
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		if status, _ := s.Get("/metrics"); status != 200 {
			return false, "no metrics yet"
		}
		n := s.Metrics().Value("kafka_sidecar_attempts_total")
		return n >= 200, fmt.Sprintf("%v attempts against a closed port", n)
	})
	h.Up()
	h.WaitSettled(records)
	b.WaitCommitted(env.Group(), topic)
	if letters := b.ReadAll(dead); len(letters) != 0 {
		t.Errorf("%d dead letters because the handler restarted", len(letters))
	}
}

func TestFailureLimitKeepsTheTopicFromBeingEmptied(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic, dead := b.CreateTopic(2), b.CreateTopic(1)
		h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Status: 404} })
		env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead, "FAILURE_LIMIT", "5", "RETRY_MAX_INTERVAL", "500ms")
		records := b.Produce(harness.Keyed(topic, 200, 100)...)
		s := harness.Start(t, env)
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			n := len(b.ReadAll(dead))
			return n == 5, fmt.Sprintf("%d dead letters, want 5", n)
		})
		s.WaitLog("FAILURE_LIMIT")
		// What was running when the limit was reached ends; then one probe per RETRY_MAX_INTERVAL.
		before := h.Count()
		harness.Throughout(t, 2*time.Second, func() (bool, string) {
			n := h.Count()
			return n <= before+64+8, fmt.Sprintf("%d calls after the limit was reached at %d", n, before)
		})
		if n := len(b.ReadAll(dead)); n != 5 {
			t.Errorf("%d dead letters past the limit of 5", n)
		}
		h.Script(harness.OK)
		b.WaitCommitted(env.Group(), topic)
		if got, want := len(h.Missing(records)), 5; got != want {
			t.Errorf("%d records were never answered with 2xx, want the %d dead letters", got, want)
		}
	})
}
