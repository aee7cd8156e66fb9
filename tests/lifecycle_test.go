package tests

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

func TestSigtermDrainsCommitsAndExitsZero(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			topic := b.CreateTopic(2)
			release := make(chan struct{})
			h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Until: release} })
			env := harness.TestEnv(b, topic, h).With("CONCURRENCY", "8")
			records := b.Produce(harness.Keyed(topic, 200, 50)...)
			s := harness.Start(t, env)
			h.WaitCalls(8)
			s.Signal(signal)
			s.WaitStatus("/ready", http.StatusServiceUnavailable)
			if status, body := s.Get("/live"); status != http.StatusOK {
				t.Errorf("/live while draining: %d %s", status, body)
			}
			close(release)
			s.Exit(0)
			if n := h.Count(); n != 8 {
				t.Errorf("%d calls, want only the 8 that were running at the signal", n)
			}
			b.WaitMembers(env.Group(), 0)
			// What was drained is committed: the next process repeats nothing.
			harness.Start(t, env)
			h.WaitSettled(records)
			h.CheckOrder(t, records, harness.Once, nil)
		}
	})
}

func TestSecondSignalExitsFour(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Hang: true} })
	env := harness.TestEnv(b, topic, h)
	b.Produce(harness.Keyed(topic, 10, 10)...)
	s := harness.Start(t, env)
	h.WaitCalls(10)
	s.Signal(syscall.SIGTERM)
	s.WaitStatus("/ready", http.StatusServiceUnavailable)
	s.Signal(syscall.SIGTERM)
	s.ExitWithin(5*time.Second, 4)
}

func TestDrainBudgetExceededExitsFour(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, answerTo("key-0", harness.Answer{Hang: true}))
	env := harness.TestEnv(b, topic, h).With("SHUTDOWN_TIMEOUT", "4s", "KAFKA_OPTION_GROUP_INSTANCE_ID", "one")
	records := b.Produce(harness.Keyed(topic, 100, 10)...)
	s := harness.Start(t, env)
	h.WaitSettled(without("key-0", records))
	started := time.Now()
	s.Signal(syscall.SIGTERM)
	s.ExitWithin(8*time.Second, 4)
	// Attempts get the budget less 3 s, but at least half of it.
	if took := time.Since(started); took < 1900*time.Millisecond || took > 5*time.Second {
		t.Errorf("gave up after %s of a budget of 4s", took)
	}
	// What was settled is committed all the same, the cut attempt is not.
	before := h.Count()
	h.Script(harness.OK)
	harness.Start(t, env)
	h.WaitSettled(records)
	b.WaitCommitted(env.Group(), topic)
	if n := h.Count() - before; n != 10 {
		t.Errorf("%d calls after the restart, want the 10 records of the key that hung", n)
	}
}

func TestStopsAtOnceWhenNothingRuns(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		s := harness.Start(t, harness.SmallestEnv(b, topic, harness.NewHandler(t, harness.OK))).WaitReady()
		s.Signal(syscall.SIGTERM)
		s.ExitWithin(5*time.Second, 0)
	})
}

func TestHandlerOutageLongerThanTheSessionNeedsNoRestart(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		t.Parallel()
		topic := b.CreateTopic(2)
		h := harness.NewHandler(t, jitter)
		env := harness.TestEnv(b, topic, h).With("KAFKA_OPTION_SESSION_TIMEOUT_MS", "6000", "KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "1000")
		first := b.Produce(harness.Keyed(topic, 500, 50)...)
		s := harness.Start(t, env)
		h.WaitSettled(first)
		members, _ := b.Members(env.Group())
		rebalances := s.Metrics().Value("kafka_sidecar_rebalances_total")

		h.Down()
		second := b.Produce(harness.Keyed(topic, 500, 50)...)
		harness.Throughout(t, 8*time.Second, func() (bool, string) {
			status, body := s.Get("/live")
			ready, why := s.Get("/ready")
			return status == http.StatusOK && ready == http.StatusOK, fmt.Sprintf("/live %d %s, /ready %d %s", status, body, ready, why)
		})
		h.Up()
		all := append(first, second...)
		h.WaitSettled(all)
		h.CheckOrder(t, all, harness.Once, nil)
		if now, _ := b.Members(env.Group()); fmt.Sprint(now) != fmt.Sprint(members) {
			t.Errorf("members %v, before the outage %v", now, members)
		}
		if now := s.Metrics().Value("kafka_sidecar_rebalances_total"); now != rebalances {
			t.Errorf("%v rebalances, before the outage %v", now, rebalances)
		}
	})
}

func TestBrokerRestartNeedsNoRestart(t *testing.T) {
	check := func(t *testing.T, b *harness.Broker) {
		t.Parallel()
		topic := b.CreateTopic(2)
		h := harness.NewHandler(t, jitter)
		env := harness.TestEnv(b, topic, h)
		first := b.Produce(harness.Keyed(topic, 500, 50)...)
		s := harness.Start(t, env)
		h.WaitSettled(first)
		b.Outage()
		harness.Throughout(t, 2*time.Second, func() (bool, string) {
			status, body := s.Get("/live")
			return s.Running() && status == http.StatusOK, fmt.Sprintf("/live %d %s while the broker is gone", status, body)
		})
		b.Recover()
		second := b.Produce(harness.Keyed(topic, 500, 50)...)
		all := append(first, second...)
		h.WaitSettled(all)
		// The session outlived the outage: the member is the same and nothing was revoked or repeated.
		h.CheckOrder(t, all, harness.Once, nil)
		b.WaitCommitted(env.Group(), topic)
	}
	t.Run("kfake", func(t *testing.T) { check(t, harness.Fake(t)) })
	t.Run("kafka", func(t *testing.T) { check(t, harness.PrivateReal(t, realkafka.Options{})) })
}

func TestABrokerOutageLongerThanTheSessionIsSeenOnReadyAlone(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(2)
	h := harness.NewHandler(t, jitter)
	env := harness.TestEnv(b, topic, h).With("KAFKA_OPTION_SESSION_TIMEOUT_MS", "6000", "KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "1000", "STARTUP_TIMEOUT", "2s")
	records := b.Produce(harness.Keyed(topic, 100, 10)...)
	s := harness.Start(t, env)
	h.WaitSettled(records)
	b.WaitCommitted(env.Group(), topic)
	b.Outage()
	s.WaitStatus("/ready", http.StatusServiceUnavailable)
	harness.Throughout(t, 4*time.Second, func() (bool, string) {
		live, _ := s.Get("/live")
		startup, _ := s.Get("/startup")
		ready, why := s.Get("/ready")
		return live == http.StatusOK && startup == http.StatusOK && ready == http.StatusServiceUnavailable, fmt.Sprintf("/live %d, /startup %d, /ready %d %s", live, startup, ready, why)
	})
	b.Recover()
	s.WaitStatus("/ready", http.StatusOK)
	records = append(records, b.Produce(harness.Keyed(topic, 100, 10)...)...)
	h.WaitSettled(records)
	h.CheckOrder(t, records, harness.Once, nil)
}

func TestStuckConnectionsAreReplacedWithinTheSession(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(2)
	h := harness.NewHandler(t, jitter)
	env := harness.TestEnv(b, topic, h).With("KAFKA_OPTION_SESSION_TIMEOUT_MS", "6000",
		"KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "500", "KAFKA_OPTION_SOCKET_TIMEOUT_MS", "2000")
	first := b.Produce(harness.Keyed(topic, 500, 50)...)
	s := harness.Start(t, env)
	h.WaitSettled(first)
	b.WaitCommitted(env.Group(), topic)
	rebalances := s.Metrics().Value("kafka_sidecar_rebalances_total")
	b.StallConnections()
	second := b.Produce(harness.Keyed(topic, 500, 50)...)
	all := append(first, second...)
	h.WaitSettled(all)
	h.CheckOrder(t, all, harness.Once, nil)
	b.WaitCommitted(env.Group(), topic)
	if now := s.Metrics().Value("kafka_sidecar_rebalances_total"); now != rebalances {
		t.Errorf("%v rebalances, before the connections were stuck %v", now, rebalances)
	}
}

func TestMovedLeadersAreFollowed(t *testing.T) {
	b := harness.Fake(t, kfake.NumBrokers(3))
	topic := b.CreateTopic(6)
	h := harness.NewHandler(t, jitter)
	env := harness.TestEnv(b, topic, h)
	s := harness.Start(t, env)
	var all = b.Produce(harness.Keyed(topic, 500, 50)...)
	for range 5 {
		h.WaitSettled(all)
		b.Fake.ShufflePartitionLeaders()
		b.Fake.RehashCoordinators()
		all = append(all, b.Produce(harness.Keyed(topic, 500, 50)...)...)
	}
	h.WaitSettled(all)
	h.CheckOrder(t, all, harness.Once, nil)
	b.WaitCommitted(env.Group(), topic)
	if !s.Running() {
		t.Error("the sidecar ended")
	}
}

func TestMissingTopicIsReportedNeverCreated(t *testing.T) {
	check := func(t *testing.T, b *harness.Broker) {
		t.Parallel()
		topic := harness.Name(t, "missing")
		env := harness.TestEnv(b, topic, harness.NewHandler(t, harness.OK)).With("STARTUP_TIMEOUT", "3s")
		s := harness.Start(t, env)
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			status, body := s.Get("/startup")
			return status == http.StatusServiceUnavailable && strings.Contains(body, topic), fmt.Sprintf("/startup: %d %s", status, body)
		})
		s.ExitWithin(20*time.Second, 1)
		s.WaitLog(topic)
		if b.TopicExists(topic) {
			t.Error("the topic was created")
		}
	}
	t.Run("kfake", func(t *testing.T) { check(t, harness.Fake(t, kfake.AllowAutoTopicCreation())) })
	t.Run("kafka", func(t *testing.T) { check(t, harness.Real(t)) })
}

func TestATopicThatComesWithinTheStartIsWaitedFor(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := harness.Name(t, "late")
		h := harness.NewHandler(t, harness.OK)
		s := harness.Start(t, harness.TestEnv(b, topic, h))
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			status, body := s.Get("/startup")
			return status == http.StatusServiceUnavailable && strings.Contains(body, topic), body
		})
		b.CreateTopicNamed(topic, 1)
		records := b.Produce(harness.Keyed(topic, 10, 2)...)
		h.WaitSettled(records)
		s.WaitStatus("/startup", http.StatusOK)
	})
}

func TestAnUnreachableBrokerEndsTheStartWithOne(t *testing.T) {
	b := harness.Fake(t)
	env := harness.SmallestEnv(b, "orders", harness.NewHandler(t, harness.OK)).With("STARTUP_TIMEOUT", "2s", "KAFKA_BOOTSTRAP_SERVERS", harness.FreeAddr(t))
	s := harness.Start(t, env)
	s.ExitWithin(20*time.Second, 1)
	s.WaitLog(env["KAFKA_BOOTSTRAP_SERVERS"])
}

func TestAdminPortInUseExitsOneAndNamesIt(t *testing.T) {
	b := harness.Fake(t)
	h := harness.NewHandler(t, harness.OK)
	addr := strings.TrimPrefix(h.URL(""), "http://")
	s := harness.Start(t, harness.SmallestEnv(b, b.CreateTopic(1), h).With("ADMIN_ADDR", addr))
	s.Exit(1)
	s.WaitLog(addr)
}

func TestPausedJoinsAndReadsNothing(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h)
	b.Produce(harness.Keyed(topic, 10, 2)...)
	s := harness.Start(t, env.With("PAUSED", "true")).WaitReady()
	b.WaitMembers(env.Group(), 1)
	s.WaitLog("paused")
	harness.Throughout(t, 500*time.Millisecond, func() (bool, string) { return h.Count() == 0, "delivered while paused" })
	s.Signal(syscall.SIGTERM)
	s.Exit(0)
}
