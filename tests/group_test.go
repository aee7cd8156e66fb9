package tests

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

func TestReplicasComeAndGoWithoutLossOrDisorder(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(6)
		h := harness.NewHandler(t, jitter).Brief()
		env := harness.TestEnv(b, topic, h).With("KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "300")
		batch := size(4_000, 1_000)
		var all []*kgo.Record
		// Every change of the replicas finds records in the log and attempts running; nothing is waited for in between.
		load := func() { all = append(all, b.Produce(harness.Keyed(topic, batch, 300)...)...) }
		progress := func(n int) {
			before := h.Count()
			harness.Eventually(t, harness.Patience, func() (bool, string) {
				return h.Count() >= before+n, fmt.Sprintf("%d calls since the replicas changed", h.Count()-before)
			})
		}
		load()
		one := harness.Start(t, env)
		progress(batch / 4)
		two := harness.Start(t, env)
		load()
		b.WaitMembers(env.Group(), 2)
		load()
		progress(batch / 4)
		three := harness.Start(t, env)
		load()
		b.WaitMembers(env.Group(), 3)
		load()
		progress(batch / 4)
		two.Signal(syscall.SIGTERM)
		load()
		two.Exit(0)
		load()
		one.Signal(syscall.SIGTERM)
		one.Exit(0)
		b.WaitMembers(env.Group(), 1)
		load()
		h.WaitSettledWithin(all, 2*harness.Patience)
		h.CheckOrder(t, all, harness.Again, nil)
		b.WaitCommitted(env.Group(), topic)
		// Every hand-over was in good order: drained, committed, then given away.
		if n := h.Repeats(); n != 0 {
			t.Errorf("%d records came again although nothing crashed", n)
		}
		if !three.Running() {
			t.Error("the last replica ended")
		}
	})
}

func TestEveryReplicaGetsItsShare(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(4)
		env := harness.TestEnv(b, topic, harness.NewHandler(t, harness.OK))
		replicas := []*harness.Sidecar{harness.Start(t, env), harness.Start(t, env)}
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			var owned []float64
			for _, r := range replicas {
				if status, _ := r.Get("/ready"); status != 200 {
					return false, "not ready"
				}
				owned = append(owned, r.Metrics().Value("kafka_sidecar_assigned_partitions"))
			}
			return owned[0] == 2 && owned[1] == 2, fmt.Sprintf("partitions owned: %v", owned)
		})
	})
}

func TestKeptPartitionsGoOnDuringAHandOver(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(2)
		release := make(chan struct{})
		// One partition has an attempt that takes as long as the test wants, so whoever gives it away has to wait.
		h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
			if c.Key == "slow" {
				return harness.Answer{Until: release}
			}
			return harness.Answer{}
		})
		env := harness.TestEnv(b, topic, h)
		at := func(partition int32, key string) *kgo.Record {
			return &kgo.Record{Topic: topic, Partition: partition, Key: []byte(key), Value: []byte("x")}
		}
		slow := b.ProduceAt(at(0, "slow"), at(1, "slow"))
		harness.Start(t, env)
		h.WaitCalls(2)
		harness.Start(t, env)
		// The joining replica cannot get its partition yet. The partition that stays delivers all the same.
		b.WaitMembersAtLeast(env.Group(), 2)
		fast := b.ProduceAt(at(0, "fast"), at(1, "fast"))
		harness.Eventually(t, 15*time.Second, func() (bool, string) {
			return len(h.Missing(fast)) < len(fast), "no partition delivers during the hand-over"
		})
		close(release)
		h.WaitSettled(append(fast, slow...))
		if n := len(h.CallsOf(slow[0])) + len(h.CallsOf(slow[1])); n != 2 {
			t.Errorf("%d attempts for the two slow records: running attempts were not let end", n)
		}
	})
}

func TestStaticMembershipSurvivesARestartWithoutRebalance(t *testing.T) {
	// kfake rebalances when a static leader comes back; Apache Kafka is the judge (KIP-345, KIP-814).
	b := harness.Real(t)
	topic := b.CreateTopic(4)
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h)
	one := harness.Start(t, env.With("KAFKA_OPTION_GROUP_INSTANCE_ID", "one"))
	two := harness.Start(t, env.With("KAFKA_OPTION_GROUP_INSTANCE_ID", "two"))
	b.WaitMembers(env.Group(), 2)
	one.WaitMetric(2, "kafka_sidecar_assigned_partitions")
	two.WaitMetric(2, "kafka_sidecar_assigned_partitions")
	rebalances := two.Metrics().Value("kafka_sidecar_rebalances_total")
	one.Kill()
	records := b.Produce(harness.Keyed(topic, 100, 20)...)
	one = harness.Start(t, env.With("KAFKA_OPTION_GROUP_INSTANCE_ID", "one"))
	h.WaitSettled(records)
	if now := two.Metrics().Value("kafka_sidecar_rebalances_total"); now != rebalances {
		t.Errorf("%v rebalances at the other member, before the restart %v", now, rebalances)
	}
	one.WaitMetric(2, "kafka_sidecar_assigned_partitions")
}

func TestGroupOfAnotherKindEndsTheStartAndHarmsNobody(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		env := harness.TestEnv(b, topic, harness.NewHandler(t, harness.OK))
		consumer := b.Client(kgo.ConsumerGroup(env.Group()), kgo.ConsumeTopics(topic), kgo.Balancers(kgo.RangeBalancer()))
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if fetches := consumer.PollFetches(t.Context()); fetches.IsClientClosed() || t.Context().Err() != nil {
					return
				}
			}
		}()
		t.Cleanup(func() { consumer.Close(); <-done })
		b.WaitMembers(env.Group(), 1)
		s := harness.Start(t, env)
		s.Exit(1)
		s.WaitLog("group", env.Group())
		if ids, state := b.Members(env.Group()); len(ids) != 1 || state != "Stable" {
			t.Errorf("the other consumer's group is %s with %v", state, ids)
		}
	})
}

func TestPartitionsAddedLaterAreReadFromTheirStart(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		h := harness.NewHandler(t, harness.OK)
		// latest, so that a partition without a commit would be skipped if it were treated like a new group.
		env := harness.TestEnv(b, topic, h).With("START_AT", "latest", "KAFKA_OPTION_TOPIC_METADATA_REFRESH_INTERVAL_MS", "1000")
		harness.Start(t, env).WaitReady()
		b.AddPartitions(topic, 3)
		var records []*kgo.Record
		for p := range int32(3) {
			records = append(records, &kgo.Record{Topic: topic, Partition: p, Key: []byte("k"), Value: []byte("x")})
		}
		b.ProduceAt(records...)
		h.WaitSettled(records)
		b.WaitCommitted(env.Group(), topic)
	})
}

// frozen makes the handler slow and the sidecar busy: two slots with a backlog of thousands of attempts.
func frozen(t *testing.T, b *harness.Broker) (env harness.Env, h *harness.Handler, records []*kgo.Record) {
	t.Helper()
	topic := b.CreateTopic(2)
	h = harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Delay: 20 * time.Millisecond} })
	env = harness.TestEnv(b, topic, h).With("CONCURRENCY", "4",
		"KAFKA_OPTION_SESSION_TIMEOUT_MS", "6000", "KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "500")
	return env, h, b.Produce(harness.Keyed(topic, 1_600, 300)...)
}

func TestNothingStartsBeyondTheLease(t *testing.T) {
	check := func(t *testing.T, b *harness.Broker) {
		t.Parallel()
		env, h, records := frozen(t, b)
		s := harness.Start(t, env)
		h.WaitCalls(50)
		b.Freeze()
		began := time.Now()
		// The lease runs for session.timeout.ms less 2 s from the last heartbeat that was acknowledged.
		harness.Eventually(t, 10*time.Second, func() (bool, string) {
			calls := h.Calls()
			idle := time.Since(calls[len(calls)-1].At)
			return idle > time.Second && h.Running() == 0, fmt.Sprintf("the last attempt began %s ago, the broker froze %s ago", idle, time.Since(began))
		})
		calls := h.Calls()
		if last := calls[len(calls)-1].At.Sub(began); last > 4500*time.Millisecond {
			t.Errorf("an attempt began %s after the broker froze, with a lease of 4s", last)
		}
		if status, body := s.Get("/live"); status != 200 {
			t.Errorf("/live %d %s", status, body)
		}
		b.Recover()
		h.WaitSettledWithin(records, 2*harness.Patience)
		h.CheckOrder(t, records, harness.Again, nil)
		b.WaitCommitted(env.Group(), records[0].Topic)
	}
	t.Run("kfake", func(t *testing.T) { check(t, harness.Fake(t)) })
	t.Run("kafka", func(t *testing.T) { check(t, harness.PrivateReal(t, realkafka.Options{})) })
}

// The worst moment: when the processes go on, long after their partitions have got another owner, answers wait in the sockets of running
// attempts and retries have been due for seconds, and all of them race the goroutine that looks at the lease. Which of them is first is
// a matter of chance, so there are several processes to be caught.
func TestAFrozenReplicaStartsNothingOfWhatItLost(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		t.Parallel()
		const frozen = 3
		const partitions = 2 * frozen
		topic := b.CreateTopic(partitions)
		answer, release := make(chan struct{}), make(chan struct{})
		heirs := func(c harness.Call) bool { return c.Header.Get("x-replica") == "heir" }
		h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
			switch {
			case heirs(c) && c.Key == "late": // the heir can give no partition away before its attempt ends
				return harness.Answer{Until: release}
			case heirs(c):
				return harness.Answer{}
			case strings.HasPrefix(c.Key, "retry"):
				return harness.Answer{Status: 503}
			}
			return harness.Answer{Until: answer}
		})
		at := func(key string) (records []*kgo.Record) {
			for p := range int32(partitions) {
				records = append(records, &kgo.Record{Topic: topic, Partition: p, Key: []byte(key), Value: []byte("1")})
			}
			return records
		}
		env := harness.TestEnv(b, topic, h).With("CONCURRENCY", "64", "HANDLER_TIMEOUT", "60s", "RETRY_MAX_INTERVAL", "200ms",
			"KAFKA_OPTION_SESSION_TIMEOUT_MS", "6000", "KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "500")
		var sleepers []*harness.Sidecar
		for i := range frozen {
			sleepers = append(sleepers, harness.Start(t, env.With("HANDLER_HEADERS", fmt.Sprint("x-replica: sleeper-", i))))
		}
		for _, s := range sleepers {
			s.WaitReady().WaitMetric(partitions/frozen, "kafka_sidecar_assigned_partitions")
		}
		var records []*kgo.Record
		for i := range 20 {
			for range 20 {
				records = append(records, at(fmt.Sprint("hangs-", i))...)
			}
			records = append(records, at(fmt.Sprint("retry-", i))...)
		}
		b.ProduceAt(records...)
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			return h.Running() >= 20*partitions, fmt.Sprintf("%d attempts run", h.Running())
		})
		for _, s := range sleepers {
			s.Freeze()
		}
		close(answer)
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			return h.Running() == 0, fmt.Sprintf("%d attempts of frozen replicas are in the handler", h.Running())
		})
		harness.Start(t, env.With("HANDLER_HEADERS", "x-replica: heir"))
		h.WaitSettled(records)
		records = append(records, b.ProduceAt(at("late")...)...)
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			return h.Running() == partitions, fmt.Sprintf("%d attempts run, the heir's %d are awaited", h.Running(), partitions)
		})
		before := h.Count()
		for _, s := range sleepers {
			s.Thaw()
		}
		for _, s := range sleepers {
			s.WaitLog("partitions lost")
		}
		b.WaitMembersAtLeast(env.Group(), frozen+1)
		// They are members again and own nothing: whatever they have begun, they have begun of what they had lost.
		if n := h.Count() - before; n != 0 {
			t.Errorf("%d attempts of partitions that the heir owns were begun by replicas that had been frozen", n)
		}
		close(release)
		b.WaitMembers(env.Group(), frozen+1)
		last := b.Produce(harness.Keyed(topic, 100, 20)...)
		h.WaitSettled(last)
		h.CheckOrder(t, append(records, last...), harness.Again, nil)
		b.WaitCommitted(env.Group(), topic)
	})
}
