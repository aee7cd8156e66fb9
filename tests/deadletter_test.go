package tests

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// header returns the last header of a name, as text.
func header(r *kgo.Record, name string) string {
	value := ""
	for _, h := range r.Headers {
		if h.Key == name {
			value = string(h.Value)
		}
	}
	return value
}

func TestDeadLetterTopicGetsTheRecordByteForByte(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic, dead := b.CreateTopic(1), b.CreateTopic(3)
		h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Status: 422} })
		env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead)
		binary := []byte{0, 0xff, 0xfe, '\n', '"', 0x80, 0}
		records := b.ProduceAt(
			&kgo.Record{Topic: topic, Key: binary, Value: bytes.Repeat(binary, 1000), Headers: []kgo.RecordHeader{
				{Key: "twice", Value: []byte("1")}, {Key: "twice", Value: []byte("2")}, {Key: "null", Value: nil},
				{Key: "empty", Value: []byte{}}, {Key: "Bin\u00e4r \n", Value: binary}, {Key: "", Value: []byte("no name")},
			}},
			&kgo.Record{Topic: topic, Key: nil, Value: []byte("null key")},
			&kgo.Record{Topic: topic, Key: []byte{}, Value: []byte("empty key")},
			&kgo.Record{Topic: topic, Key: []byte("tombstone"), Value: nil},
			&kgo.Record{Topic: topic, Key: []byte("empty value"), Value: []byte{}},
		)
		started := time.Now()
		harness.Start(t, env)
		b.WaitCommitted(env.Group(), topic)
		letters := map[string]*kgo.Record{}
		for _, l := range b.ReadAll(dead) {
			letters[header(l, "kafka-sidecar.source.offset")] = l
		}
		if len(letters) != len(records) {
			t.Fatalf("%d dead letters, want %d", len(letters), len(records))
		}
		for _, r := range records {
			l := letters[strconv.FormatInt(r.Offset, 10)]
			if l == nil {
				t.Fatalf("no dead letter for offset %d", r.Offset)
			}
			if !sameBytes(l.Key, r.Key) || !sameBytes(l.Value, r.Value) {
				t.Errorf("offset %d: key or value changed: %q", r.Offset, l.Key)
			}
			var kept []kgo.RecordHeader
			for _, h := range l.Headers {
				if !strings.HasPrefix(h.Key, "kafka-sidecar.") {
					kept = append(kept, h)
				}
			}
			if len(kept) != len(r.Headers) {
				t.Fatalf("offset %d: headers %q, want %q", r.Offset, kept, r.Headers)
			}
			for i, want := range r.Headers {
				if kept[i].Key != want.Key || !sameBytes(kept[i].Value, want.Value) {
					t.Errorf("offset %d: header %d is %q, want %q", r.Offset, i, kept[i], want)
				}
			}
			for name, want := range map[string]string{
				"source.topic": topic, "source.partition": "0", "source.timestamp": strconv.FormatInt(r.Timestamp.UnixMilli(), 10),
				"subscription": env.Group(), "reason": "status", "status": "422", "attempts": "1",
			} {
				if got := header(l, "kafka-sidecar."+name); got != want {
					t.Errorf("offset %d: kafka-sidecar.%s is %q, want %q", r.Offset, name, got, want)
				}
			}
			if header(l, "kafka-sidecar.failed-at") == "" {
				t.Error("no kafka-sidecar.failed-at")
			}
			if l.Timestamp.Before(started.Add(-time.Second)) {
				t.Errorf("timestamp %s is not the time of the failure", l.Timestamp)
			}
		}
	})
}

// sameBytes tells null and empty apart.
func sameBytes(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func TestRedrivenRecordKeepsItsFirstSource(t *testing.T) {
	b := harness.Fake(t)
	topic, dead := b.CreateTopic(1), b.CreateTopic(1)
	h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Status: 422} })
	env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead)
	b.Produce(&kgo.Record{Topic: topic, Key: []byte("k"), Headers: []kgo.RecordHeader{
		{Key: "kafka-sidecar.source.topic", Value: []byte("first")}, {Key: "kafka-sidecar.source.partition", Value: []byte("7")},
		{Key: "kafka-sidecar.source.offset", Value: []byte("70")}, {Key: "kafka-sidecar.source.timestamp", Value: []byte("700")},
	}})
	harness.Start(t, env)
	l := b.Read(dead, 1)[0]
	for name, want := range map[string]string{"topic": "first", "partition": "7", "offset": "70", "timestamp": "700"} {
		if got := header(l, "kafka-sidecar.source."+name); got != want {
			t.Errorf("source.%s is %q, want %q", name, got, want)
		}
	}
}

func TestDeadLettersOfOneKeyStayInOrderOnOnePartition(t *testing.T) {
	b := harness.Fake(t)
	topic, dead := b.CreateTopic(2), b.CreateTopic(5)
	h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Status: 404} })
	env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead, "FAILURE_LIMIT", "off")
	b.Produce(harness.Keyed(topic, 200, 10)...)
	harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	partition, last := map[string]int32{}, map[string]int{}
	letters := b.ReadAll(dead)
	for _, l := range letters {
		key := string(l.Key)
		if p, ok := partition[key]; ok && p != l.Partition {
			t.Errorf("%s is on partitions %d and %d", key, p, l.Partition)
		}
		partition[key] = l.Partition
		offset, err := strconv.Atoi(header(l, "kafka-sidecar.source.offset"))
		if before, ok := last[key]; err != nil || ok && offset < before {
			t.Errorf("%s: offset %d after %d (%v)", key, offset, before, err)
		}
		last[key] = offset
	}
	if len(letters) < 200 {
		t.Errorf("%d dead letters, want 200", len(letters))
	}
	// The same partition as a Java producer would choose, so that consumers of both topics agree.
	for _, r := range b.Produce(harness.Keyed(dead, 10, 10)...) {
		if partition[string(r.Key)] != r.Partition {
			t.Errorf("%s went to partition %d, a producer would choose %d", r.Key, partition[string(r.Key)], r.Partition)
		}
	}
}

func TestDeadLetterURLGetsTheValueAndTheFacts(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Status: 410} })
	target := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		if c.Attempt < 3 {
			return harness.Answer{Status: 500}
		}
		return harness.Answer{}
	})
	env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_URL", target.URL("/dead"), "HANDLER_FORWARD_HEADERS", "x-*", "HANDLER_HEADERS", "x-token: of the handler")
	r := harness.Record(topic, "k", `{"a":1}`)
	r.Headers = []kgo.RecordHeader{{Key: "x-tenant", Value: []byte("a")}, {Key: "y", Value: []byte("b")}}
	b.Produce(r)
	harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	calls := target.CallsOf(r)
	if len(calls) != 3 {
		t.Fatalf("%d calls, want three: the target refused two", len(calls))
	}
	c := calls[2]
	if string(c.Body) != `{"a":1}` || c.Path != "/dead" || c.Key != "k" {
		t.Errorf("dead letter %q to %s for %q", c.Body, c.Path, c.Key)
	}
	for name, want := range map[string]string{
		"kafka-sidecar-reason": "status", "kafka-sidecar-status": "410", "kafka-sidecar-attempts": "1",
		"kafka-sidecar-source-topic": topic, "kafka-sidecar-source-partition": "0", "kafka-sidecar-source-offset": "0",
		"kafka-sidecar-subscription": env.Group(),
		"content-type":               "application/json", "kafka.topic": topic, "kafka.partition": "0", "kafka.offset": "0", "kafka.key": "aw==",
		"kafka.timestamp": strconv.FormatInt(r.Timestamp.UnixMilli(), 10), "restate.subscription.id": env.Group(), "kafka-sidecar-timeout-ms": "20000",
		"kafka-sidecar-attempt": "3", "idempotency-key": h.CallsOf(r)[0].IdempotencyKey, "x-tenant": "a", "y": "", "x-token": "",
	} {
		if got := c.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestFailingDeadLetterTargetBlocksItsKeyAndCommitsNothingPast(t *testing.T) {
	check := func(t *testing.T, b *harness.Broker, env harness.Env, topic string, h *harness.Handler, reason string, fail, heal func()) {
		h.Script(answerTo("key-0", harness.Answer{Status: 400}))
		s := harness.Start(t, env).WaitReady()
		fail() // not before the start, which would find out
		records := b.Produce(harness.Keyed(topic, 100, 10)...)
		h.WaitSettled(without("key-0", records))
		s.WaitMetric(1, "kafka_sidecar_parked_keys")
		s.WaitLog(reason)
		harness.Throughout(t, 500*time.Millisecond, func() (bool, string) {
			c := b.Commits(env.Group(), topic)[0]
			return c.Offset == 0, fmt.Sprintf("committed %d past a record whose dead letter was never written", c.Offset)
		})
		if n := len(h.CallsOf(records[10])); n != 0 {
			t.Errorf("the next record of the key was tried %d times", n)
		}
		heal()
		b.WaitCommitted(env.Group(), topic)
		if n := len(h.CallsOf(records[0])); n != 1 {
			t.Errorf("%d calls for a record that had failed already, want 1", n)
		}
	}
	t.Run("url", func(t *testing.T) {
		b := harness.Fake(t)
		topic := b.CreateTopic(1)
		h, target := harness.NewHandler(t, harness.OK), harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Status: 500} })
		env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_URL", target.URL("/dead"))
		check(t, b, env, topic, h, "post to DEAD_LETTER_URL: answered 500", func() {}, func() { target.Script(harness.OK) })
		if got := target.Answered(); got != 10 {
			t.Errorf("%d dead letters taken, want 10", got)
		}
	})
	t.Run("topic", func(t *testing.T) {
		harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
			topic, dead := b.CreateTopic(1), b.CreateTopic(1)
			h := harness.NewHandler(t, harness.OK)
			env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead)
			var fault *kfake.FaultHandle
			fail := func() {
				if b.Fake == nil {
					setMaxBytes(t, b, dead, "100")
					return
				}
				fault = b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: dead, Err: kerr.NotEnoughReplicas, Count: -1})
			}
			heal := func() {
				if b.Fake == nil {
					setMaxBytes(t, b, dead, "1048588")
					return
				}
				fault.Remove()
			}
			check(t, b, env, topic, h, "write dead letter to topic", fail, heal)
			if got := len(b.ReadAll(dead)); got < 10 {
				t.Errorf("%d dead letters, want 10", got)
			}
		})
	})
}

// setMaxBytes makes a topic refuse every write, or take them again.
func setMaxBytes(t *testing.T, b *harness.Broker, topic, limit string) {
	t.Helper()
	answers, err := b.Admin().AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}, topic)
	if err == nil {
		_, err = answers.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestALetterSaysWhyItsRecordFailed(t *testing.T) {
	b := harness.Fake(t)
	topic, dead := b.CreateTopic(1), b.CreateTopic(1)
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		switch string(c.Body) {
		case "status":
			return harness.Answer{Status: 400}
		case "outcome":
			return harness.Answer{Header: map[string]string{"kafka-sidecar-outcome": "fail"}}
		}
		return harness.Answer{Status: 429}
	})
	env := harness.TestEnv(b, topic, h).With("SUBSCRIPTION_SINK", "service://Billing/charge", "HANDLER_URL", h.URL(""), "HANDLER_TYPE", "object",
		"TOMBSTONES", "fail", "RETRY_MAX_ATTEMPTS", "2", "DEAD_LETTER_TOPIC", dead)
	records := b.ProduceAt(
		&kgo.Record{Topic: topic, Key: []byte("a"), Value: []byte("status")},
		&kgo.Record{Topic: topic, Key: []byte("b"), Value: []byte("outcome")},
		&kgo.Record{Topic: topic, Key: []byte("c"), Value: []byte("attempts")},
		&kgo.Record{Topic: topic, Value: []byte("null-key")},
		&kgo.Record{Topic: topic, Key: []byte("\xff"), Value: []byte("invalid-key")},
		&kgo.Record{Topic: topic, Key: []byte("d")},
	)
	harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	got := map[string]string{}
	for _, l := range b.ReadAll(dead) {
		got[header(l, "kafka-sidecar.source.offset")] = header(l, "kafka-sidecar.reason") + " " + header(l, "kafka-sidecar.status") + " " + header(l, "kafka-sidecar.attempts")
	}
	for i, want := range []string{"status 400 1", "outcome 200 1", "attempts 429 2", "null-key 0 0", "invalid-key 0 0", "tombstone 0 0"} {
		if offset := strconv.FormatInt(records[i].Offset, 10); got[offset] != want {
			t.Errorf("the letter of offset %s says %q, want %q", offset, got[offset], want)
		}
	}
}
