package tests

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func TestOrderPerKeyHoldsUnderRetries(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		n := size(100_000, 5_000)
		topic := b.CreateTopic(4)
		h := harness.NewHandler(t, jitter).Brief()
		env := harness.TestEnv(b, topic, h)
		records := b.Produce(harness.Keyed(topic, n, 1_000)...)
		s := harness.Start(t, env)
		h.WaitSettledWithin(records, 4*time.Minute)
		h.CheckOrder(t, records, harness.Once, nil)
		if got := h.Repeats(); got != 0 {
			t.Errorf("%d records came again after they were settled", got)
		}
		if most := h.MaxRunning(); most > 64 {
			t.Errorf("%d attempts at once, more than CONCURRENCY", most)
		}
		b.WaitCommitted(env.Group(), topic)
		s.WaitMetric(float64(n), "kafka_sidecar_settled_total")
	})
}

func TestKeysOfOnePartitionRunInParallel(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		release := make(chan struct{})
		h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Until: release} })
		records := b.Produce(harness.Keyed(topic, 64, 32)...)
		harness.Start(t, harness.TestEnv(b, topic, h))
		// One record of every key is in the handler at the same time, and no second one.
		h.WaitCalls(32)
		harness.Throughout(t, 300*time.Millisecond, func() (bool, string) {
			return h.Count() == 32, fmt.Sprintf("%d calls while the first of each of 32 keys is running", h.Count())
		})
		close(release)
		h.WaitSettled(records)
		h.CheckOrder(t, records, harness.Once, nil)
	})
}

func TestConcurrencyIsTheMostAttemptsAtOnce(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(2)
	release := make(chan struct{})
	h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Until: release} })
	records := b.Produce(harness.Keyed(topic, 100, 100)...)
	harness.Start(t, harness.TestEnv(b, topic, h).With("CONCURRENCY", "7"))
	h.WaitCalls(7)
	harness.Throughout(t, 300*time.Millisecond, func() (bool, string) {
		return h.Count() == 7, fmt.Sprintf("%d calls with CONCURRENCY=7", h.Count())
	})
	close(release)
	h.WaitSettled(records)
}

func TestOrderingPartitionTakesOneRecordOfAPartitionAtATime(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(3)
	h := harness.NewHandler(t, jitter)
	records := b.Produce(harness.Keyed(topic, 600, 50)...)
	harness.Start(t, harness.TestEnv(b, topic, h).With("ORDERING", "partition"))
	h.WaitSettled(records)
	if most := h.MaxRunningInPartition(); most != 1 {
		t.Errorf("%d attempts of one partition at once", most)
	}
	last := map[int32]int64{}
	for _, c := range h.Calls() {
		if before, ok := last[c.Partition]; ok && c.Offset != before && c.Offset != before+1 {
			t.Errorf("offset %d after %d", c.Offset, before)
		}
		last[c.Partition] = c.Offset
	}
}

func TestOrderingNoneRunsOneKeyInParallel(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	release := make(chan struct{})
	h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Until: release} })
	records := b.Produce(harness.Keyed(topic, 20, 1)...)
	harness.Start(t, harness.TestEnv(b, topic, h).With("ORDERING", "none"))
	h.WaitCalls(20)
	close(release)
	h.WaitSettled(records)
}

func TestRecordsWithoutAKeyWaitForNothing(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	release := make(chan struct{})
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer { return harness.Answer{Until: release} })
	var records []*kgo.Record
	for range 10 {
		records = append(records, &kgo.Record{Topic: topic, Value: []byte("x")})                // null key
		records = append(records, &kgo.Record{Topic: topic, Key: []byte{}, Value: []byte("x")}) // empty key
	}
	b.ProduceAt(records...)
	harness.Start(t, harness.TestEnv(b, topic, h))
	h.WaitCalls(11)
	harness.Throughout(t, 300*time.Millisecond, func() (bool, string) {
		return h.Count() == 11, fmt.Sprintf("%d calls for ten null keys and the first of ten empty keys", h.Count())
	})
	close(release)
	h.WaitSettled(records)
	h.CheckOrder(t, records, harness.Once, nil)
}
