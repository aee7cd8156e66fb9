package tests

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func TestKillNineLosesNothing(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		n, kills := size(20_000, 3_000), 4
		topic := b.CreateTopic(4)
		h := harness.NewHandler(t, jitter).Brief()
		// A static member comes back as itself: no waiting for the session of the killed process.
		env := harness.TestEnv(b, topic, h).With("KAFKA_OPTION_GROUP_INSTANCE_ID", "one")
		records := b.Produce(harness.Keyed(topic, n, 200)...)
		repeatable := 0
		for kill := range kills {
			s := harness.Start(t, env)
			at := h.Count() + n/(2*kills) + rand.IntN(n/(2*kills))
			harness.Eventually(t, 2*harness.Patience, func() (bool, string) {
				return h.Count() >= at, fmt.Sprintf("life %d: %d of %d calls", kill, h.Count(), at)
			})
			s.Kill()
			// At most what is settled and not below a committed offset may come again, and what was running.
			committed := 0
			for _, c := range b.Commits(env.Group(), topic) {
				committed += int(c.Offset)
			}
			repeatable += n - len(h.Missing(records)) - committed + 64
		}
		harness.Start(t, env)
		h.WaitSettledWithin(records, 2*harness.Patience)
		b.WaitCommitted(env.Group(), topic)
		h.CheckOrder(t, records, harness.Again, nil)
		if got := h.Repeats(); got > repeatable {
			t.Errorf("%d repeats after %d crashes, at most %d were not committed", got, kills, repeatable)
		}
	})
}

func TestWhatIsSettledBeyondTheCommitIsNotRepeatedAfterACrash(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		n := 2_000
		topic := b.CreateTopic(1)
		h := harness.NewHandler(t, answerTo("key-0", harness.Answer{Status: 503}))
		env := harness.TestEnv(b, topic, h).With("KAFKA_OPTION_GROUP_INSTANCE_ID", "one")
		records := b.Produce(harness.Keyed(topic, n, 100)...)
		s := harness.Start(t, env)
		h.WaitSettled(without("key-0", records))
		s.WaitMetric(float64(n-n/100), "kafka_sidecar_settled_total")
		map1 := settledMap(t, b, env, topic)
		s.Kill()

		before := h.Count()
		h.Script(harness.OK)
		harness.Start(t, env)
		h.WaitSettled(records)
		b.WaitCommitted(env.Group(), topic)
		calls := h.Calls()[before:]
		if len(calls) != n/100 {
			t.Errorf("%d calls after the restart, want the %d records of the parked key; the map was %q", len(calls), n/100, map1)
		}
		for _, c := range calls {
			if c.Key != "key-0" {
				t.Errorf("offset %d of %s came again", c.Offset, c.Key)
			}
		}
		h.CheckOrder(t, records, harness.Again, nil)
	})
}

// settledMap waits until the commit of partition 0 stays at offset 0 with the same metadata for many commit intervals.
func settledMap(t *testing.T, b *harness.Broker, env harness.Env, topic string) string {
	t.Helper()
	var last harness.Commit
	since := time.Now()
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		c := b.Commits(env.Group(), topic)[0]
		if c != last {
			last, since = c, time.Now()
		}
		return c.Metadata != "" && time.Since(since) > time.Second, fmt.Sprintf("commit %+v", c)
	})
	if last.Offset != 0 {
		t.Fatalf("committed %d past a record that is not settled", last.Offset)
	}
	if len(last.Metadata) > 4096 {
		t.Fatalf("%d bytes of metadata", len(last.Metadata))
	}
	return last.Metadata
}

func TestAMapThatNoLogBelongsToIsIgnored(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		h := harness.NewHandler(t, answerTo("key-0", harness.Answer{Status: 503}))
		env := harness.TestEnv(b, topic, h)
		records := b.Produce(harness.Keyed(topic, 100, 10)...)
		s := harness.Start(t, env)
		h.WaitSettled(without("key-0", records))
		settledMap(t, b, env, topic)
		s.Signal(syscall.SIGTERM)
		s.Exit(0)

		// The topic is deleted and made again under its name: nothing of the new log may be taken for settled.
		b.DeleteTopic(topic)
		b.CreateTopicNamed(topic, 1)
		h.Script(harness.OK)
		before := h.Count()
		fresh := b.Produce(harness.Keyed(topic, 120, 12)...)
		harness.Start(t, env)
		b.WaitCommitted(env.Group(), topic)
		seen := map[int64]bool{}
		for _, c := range h.Calls()[before:] {
			seen[c.Offset] = true
		}
		if len(seen) != len(fresh) {
			t.Errorf("%d of %d records of the new log were delivered", len(seen), len(fresh))
		}
	})
}

func TestForeignMetadataIsIgnored(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		h := harness.NewHandler(t, harness.OK)
		env := harness.TestEnv(b, topic, h)
		records := b.Produce(harness.Keyed(topic, 20, 5)...)
		commitAs(t, b, env.Group(), topic, 0, 5, "somebody else's note \x00\xff")
		harness.Start(t, env)
		b.WaitCommitted(env.Group(), topic)
		if missing := h.Missing(records); len(missing) != 5 {
			t.Errorf("never delivered: %v, want the five below the commit", missing)
		}
	})
}

func TestAnAttemptCutByACrashIsMadeAgain(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Hang: true} })
	env := harness.TestEnv(b, topic, h).With("KAFKA_OPTION_GROUP_INSTANCE_ID", "one")
	r := b.Produce(harness.Record(topic, "k", "v"))[0]
	s := harness.Start(t, env)
	h.WaitCalls(1)
	s.Kill()
	h.Script(harness.OK)
	harness.Start(t, env)
	h.WaitSettled([]*kgo.Record{r})
	calls := h.CallsOf(r)
	if len(calls) != 2 || calls[0].IdempotencyKey != calls[1].IdempotencyKey || calls[0].IdempotencyKey == "" {
		t.Errorf("calls %+v, want two with one idempotency key", calls)
	}
}
