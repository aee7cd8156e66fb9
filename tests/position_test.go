package tests

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// commitAs writes a commit of a group that has no members.
func commitAs(t *testing.T, b *harness.Broker, group, topic string, partition int32, offset int64, metadata string) {
	t.Helper()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: partition, At: offset, LeaderEpoch: -1, Metadata: metadata})
	answers, err := b.Admin().CommitOffsets(t.Context(), group, offsets)
	if err = errors.Join(err, answers.Error()); err != nil {
		t.Fatal(err)
	}
}

func TestStartAtDecidesForANewGroup(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		now := time.Now()
		topic := ""
		stamped := func(value string, age time.Duration) *kgo.Record {
			return &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte(value), Timestamp: now.Add(-age)}
		}
		for _, test := range []struct {
			at    string
			first int64 // offset of the first record that is delivered
		}{
			{"earliest", 0},
			{"latest", 3},
			{"-90m", 2},
			{"-10h", 0},
			{"-1m", 3}, // nothing is that young: the end
			{now.Add(-2*time.Hour - time.Minute).UTC().Format(time.RFC3339), 1},
		} {
			t.Run(test.at, func(t *testing.T) {
				topic = b.CreateTopic(1)
				for i, age := range []time.Duration{3 * time.Hour, 2 * time.Hour, time.Hour} {
					b.Produce(stamped(fmt.Sprint(i), age))
				}
				h := harness.NewHandler(t, harness.OK)
				env := harness.TestEnv(b, topic, h).With("SUBSCRIPTION_ID", harness.Name(t, "group"), "START_AT", test.at)
				s := harness.Start(t, env)
				// The position is committed before anything is delivered, so a crash cannot lose it.
				harness.Eventually(t, harness.Patience, func() (bool, string) {
					c, ok := b.Commits(env.Group(), topic)[0]
					return ok && c.Offset >= test.first, fmt.Sprintf("commit %+v", c)
				})
				s.WaitReady()
				late := b.Produce(harness.Record(topic, "k", "late"))[0]
				h.WaitSettled([]*kgo.Record{late})
				if got := h.Calls()[0].Offset; got != test.first {
					t.Errorf("first delivered offset %d, want %d", got, test.first)
				}
			})
		}
	})
}

func TestAutoOffsetResetIsTheDefaultOfStartAt(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	old := b.Produce(harness.Record(topic, "k", "old"))
	h := harness.NewHandler(t, harness.OK)
	harness.Start(t, harness.SmallestEnv(b, topic, h).With("SUBSCRIPTION_OPTIONS", `{"auto.offset.reset":"earliest"}`))
	h.WaitSettled(old)

	latest := harness.NewHandler(t, harness.OK)
	s := harness.Start(t, harness.SmallestEnv(b, topic, latest)).WaitReady()
	young := b.Produce(harness.Record(topic, "k", "young"))
	latest.WaitSettled(young)
	if n := latest.Count(); n != 1 {
		t.Errorf("%d calls, want only the record that came after the start", n)
	}
	// What a new group will not read is said.
	s.WaitLog("1", "not")
}

func TestACommitWinsOverStartAt(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		records := b.Produce(harness.Keyed(topic, 10, 1)...)
		h := harness.NewHandler(t, harness.OK)
		env := harness.TestEnv(b, topic, h).With("START_AT", "latest")
		commitAs(t, b, env.Group(), topic, 0, 4, "")
		harness.Start(t, env)
		b.WaitCommitted(env.Group(), topic)
		if missing := h.Missing(records); len(missing) != 4 || h.Calls()[0].Offset != 4 {
			t.Errorf("not delivered: %v", missing)
		}
	})
}

func TestRecordsThatRetentionTookAreCountedAndNeverSkippedToTheEnd(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		records := b.Produce(harness.Keyed(topic, 100, 10)...)
		h := harness.NewHandler(t, harness.OK)
		env := harness.TestEnv(b, topic, h).With("START_AT", "latest")
		commitAs(t, b, env.Group(), topic, 0, 20, "")
		b.DeleteRecords(topic, 0, 50)
		s := harness.Start(t, env)
		h.WaitSettled(records[50:])
		s.WaitMetric(30, "kafka_sidecar_records_lost_total")
		s.WaitLog(`"level":"error"`, "30")
		if n := h.Count(); n != 50 {
			t.Errorf("%d calls, want 50", n)
		}
	})
}

func TestATopicRecreatedUnderTheSidecarIsReadFromItsStart(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		t.Parallel()
		topic := b.CreateTopic(1)
		h := harness.NewHandler(t, harness.OK)
		env := harness.TestEnv(b, topic, h).With("KAFKA_OPTION_TOPIC_METADATA_REFRESH_INTERVAL_MS", "1000")
		first := b.Produce(harness.Keyed(topic, 50, 5)...)
		s := harness.Start(t, env)
		h.WaitSettled(first)
		b.WaitCommitted(env.Group(), topic)
		b.DeleteTopic(topic)
		b.CreateTopicNamed(topic, 1)
		before := h.Count()
		// More records than before: without care the old position would hide the first 50 of them.
		second := b.Produce(harness.Keyed(topic, 80, 5)...)
		seen := func() map[int64]bool {
			seen := map[int64]bool{}
			for _, c := range h.Calls()[before:] {
				seen[c.Offset] = true
			}
			return seen
		}
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			return len(seen()) == len(second), fmt.Sprintf("%d of %d records of the new log", len(seen()), len(second))
		})
		b.WaitCommitted(env.Group(), topic)
		keys := map[string]bool{}
		for _, c := range h.Calls() {
			keys[c.IdempotencyKey] = true
		}
		if len(keys) != len(first)+len(second) {
			t.Errorf("%d idempotency keys for %d records", len(keys), len(first)+len(second))
		}
		if !s.Running() {
			t.Error("the sidecar ended")
		}
	})
}
