package attacks

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

// by names the replica that made a call; named gives it its name.
func by(c harness.Call) string { return c.Header.Get("x-replica") }

func named(env harness.Env, name string) harness.Env {
	return env.With("HANDLER_HEADERS", "x-replica: "+name)
}

// begun counts a replica's calls in some partitions; none named means all.
func begun(h *harness.Handler, replica string, partitions ...int32) (n int) {
	for _, c := range h.Calls() {
		if by(c) != replica {
			continue
		}
		if len(partitions) == 0 {
			n++
		}
		for _, p := range partitions {
			if c.Partition == p {
				n++
			}
		}
	}
	return n
}

// assigned are the partitions that a replica's page lists.
func assigned(s *harness.Sidecar) (ids []int32) {
	status, _ := s.Subscription()["status"].(map[string]any)
	list, _ := status["assigned_partitions"].([]any)
	for _, v := range list {
		ids = append(ids, int32(v.(float64)))
	}
	return ids
}

// waitAssigned waits until a replica owns so many partitions, and returns them.
func waitAssigned(t *testing.T, s *harness.Sidecar, n int) (ids []int32) {
	t.Helper()
	s.WaitReady()
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		ids = assigned(s)
		return len(ids) == n, fmt.Sprintf("owns %v, want %d partitions", ids, n)
	})
	return ids
}

// each makes one record of a key for every partition.
func each(topic string, partitions int, key string) (records []*kgo.Record) {
	for p := range int32(partitions) {
		records = append(records, &kgo.Record{Topic: topic, Partition: p, Key: []byte(key), Value: []byte("1")})
	}
	return records
}

// checkHandedOver checks, for partitions that passed from one replica to another because the first one was given up, that everything
// of the first was over before the second began.
func checkHandedOver(t *testing.T, h *harness.Handler, from, to string, partitions []int32) {
	t.Helper()
	calls := h.Calls()
	for _, p := range partitions {
		first := int64(0)
		for _, c := range calls {
			if by(c) == to && c.Partition == p && (first == 0 || c.Start < first) {
				first = c.Start
			}
		}
		if first == 0 {
			t.Errorf("partition %d: the new owner never began", p)
		}
		for _, c := range calls {
			switch {
			case by(c) != from || c.Partition != p:
			case c.Start > first:
				t.Errorf("partition %d: the old owner began offset %d after the new one had begun with the partition", p, c.Offset)
			case c.End == 0 || c.End > first:
				t.Errorf("partition %d: an attempt of the old owner for offset %d was in the handler when the new one began", p, c.Offset)
			}
		}
	}
}

// Only the way to the coordinator is lost, and silently: records and handler are as healthy as ever, so nothing but the lease ends
// what the old owner does. socket.timeout.ms is a minute, and must not matter.
func TestLostCoordinatorEndsTheOldOwnerBeforeTheNewOneBegins(t *testing.T) {
	t.Parallel()
	b, proxy := harness.ProxiedReal(t, realkafka.Options{}, "PLAINTEXT")
	const partitions = 4
	topic := b.CreateTopic(partitions)
	release := make(chan struct{})
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		if c.Key == "slow" && by(c) == "old" {
			return harness.Answer{Until: release} // it has to be cancelled, too
		}
		return harness.Answer{Delay: 20 * time.Millisecond}
	})
	env := harness.TestEnv(b, topic, h).With("CONCURRENCY", "6", "HANDLER_TIMEOUT", "60s", "KAFKA_OPTION_SOCKET_TIMEOUT_MS", "60000",
		"KAFKA_OPTION_SESSION_TIMEOUT_MS", "6000", "KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "500")
	old := harness.Start(t, named(env, "old").With("KAFKA_BOOTSTRAP_SERVERS", proxy.Addr))
	waitAssigned(t, old, partitions)
	heir := harness.Start(t, named(env, "new"))
	waitAssigned(t, heir, partitions/2)
	moving := waitAssigned(t, old, partitions/2)
	records := b.ProduceAt(each(topic, partitions, "slow")...)
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		return h.Running() == len(moving), fmt.Sprintf("%d slow attempts of the old owner run", h.Running())
	})
	records = append(records, b.Produce(harness.Keyed(topic, 4_000, 400)...)...)

	before := begun(h, "old")
	lost := time.Now()
	proxy.Lose(harness.GroupKeys...)
	fetches := proxy.Passed(kmsg.Fetch)
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		for _, p := range moving {
			if begun(h, "new", p) < 20 {
				return false, fmt.Sprintf("the heir has begun little of partition %d", p)
			}
		}
		return true, ""
	})
	checkHandedOver(t, h, "old", "new", moving)
	if begun(h, "old") == before || proxy.Passed(kmsg.Fetch) == fetches {
		t.Error("the old owner did not work at all without its coordinator: the attack did not happen")
	}
	// The lease is the session less 2 s, from the last heartbeat that was answered.
	for _, c := range h.Calls() {
		if late := c.At.Sub(lost); by(c) == "old" && late > 4500*time.Millisecond {
			t.Errorf("the old owner began an attempt %s after its coordinator was lost, with a lease of 4s", late)
			break
		}
	}
	if status, body := old.Get("/live"); status != 200 {
		t.Errorf("/live of the old owner: %d %s", status, body)
	}
	close(release)
	// What was held back arrives late, commits of the old owner among it.
	proxy.Pass()
	h.WaitSettledWithin(records, 2*harness.Patience)
	h.CheckOrder(t, records, harness.Again, nil)
	b.WaitMembers(env.Group(), 2)
	b.WaitCommitted(env.Group(), topic)
}

// A middlebox forgets connections all the time. The next one is made before the lease is over, and nobody loses anything.
func TestForgottenCoordinatorConnectionsTakeNothing(t *testing.T) {
	t.Parallel()
	b, proxy := harness.ProxiedReal(t, realkafka.Options{}, "PLAINTEXT")
	topic := b.CreateTopic(2)
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h).With("KAFKA_BOOTSTRAP_SERVERS", proxy.Addr, "KAFKA_OPTION_SOCKET_TIMEOUT_MS", "60000",
		"KAFKA_OPTION_SESSION_TIMEOUT_MS", "12000", "KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "500")
	s := harness.Start(t, env)
	waitAssigned(t, s, 2)
	records := b.Produce(harness.Keyed(topic, 100, 10)...)
	h.WaitSettled(records)
	b.WaitCommitted(env.Group(), topic)
	rebalances := s.Metrics().Value("kafka_sidecar_rebalances_total")
	beats := proxy.Passed(kmsg.Heartbeat)
	if proxy.Silence(kmsg.Heartbeat, kmsg.OffsetCommit) < 2 {
		t.Fatal("no connections to forget: the attack did not happen")
	}
	records = append(records, b.Produce(harness.Keyed(topic, 100, 10)...)...)
	h.WaitSettled(records)
	b.WaitCommitted(env.Group(), topic)
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		return proxy.Passed(kmsg.Heartbeat) >= beats+5, "no more heartbeats"
	})
	h.CheckOrder(t, records, harness.Once, nil)
	if now := s.Metrics().Value("kafka_sidecar_rebalances_total"); now != rebalances {
		t.Errorf("%v rebalances, %v before the connections were forgotten: the membership was lost", now, rebalances)
	}
}
