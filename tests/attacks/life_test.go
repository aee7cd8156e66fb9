package attacks

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

func TestAnAttemptLongerThanTheDrainIsCutAndMadeAgain(t *testing.T) {
	t.Parallel()
	b := harness.Real(t)
	topic := b.CreateTopic(2)
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer { return harness.Answer{Hang: c.Key == "key-0"} })
	const shutdown = 6 * time.Second
	env := harness.TestEnv(b, topic, h).With("SHUTDOWN_TIMEOUT", shutdown.String(), "HANDLER_TIMEOUT", "60s")
	records := b.Produce(harness.Keyed(topic, 200, 20)...)
	s := harness.Start(t, env)
	s.WaitLog("configuration note", "HANDLER_TIMEOUT", "1m0s", "SHUTDOWN_TIMEOUT")
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		return h.Answered() == 190 && h.Running() == 1, fmt.Sprintf("%d answered, %d running, want all but those of the key that hangs", h.Answered(), h.Running())
	})
	s.Signal(syscall.SIGTERM)
	s.ExitWithin(shutdown+10*time.Second, 4)
	s.WaitLog("drain budget exceeded", "delivered again")
	b.WaitMembers(env.Group(), 0) // it has left for all that
	h.Script(harness.OK)
	before := h.Count()
	harness.Start(t, env)
	h.WaitSettled(records)
	b.WaitCommitted(env.Group(), topic)
	if n := h.Count() - before; n != 10 {
		t.Errorf("%d calls by the next process, want the 10 records of the key whose attempt was cut", n)
	}
	h.CheckOrder(t, records, harness.Once, nil)
}

// A frozen member keeps the group in a rebalance: whoever joins waits until its session is over.
func TestAStopWhileJoiningLeavesNothingBehind(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		name := "while others are waited for"
		if frozen {
			name = "while the coordinator is silent"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := harness.PrivateReal(t, realkafka.Options{})
			topic := b.CreateTopic(4)
			h := harness.NewHandler(t, harness.OK)
			env := harness.TestEnv(b, topic, h).With("SHUTDOWN_TIMEOUT", "10s", "KAFKA_OPTION_SESSION_TIMEOUT_MS", "20000")
			first := harness.Start(t, env).WaitReady()
			first.Signal(syscall.SIGSTOP)
			joining := harness.Start(t, env)
			b.WaitMembersAtLeast(env.Group(), 2)
			if frozen {
				b.Freeze()
			}
			joining.Signal(syscall.SIGTERM)
			joining.ExitWithin(30*time.Second, 0) // 4 is what it would be had SHUTDOWN_TIMEOUT passed
			if frozen {
				b.Recover()
			} else {
				joining.WaitLog("left the group")
				b.WaitMembersAtMost(env.Group(), 1)
			}
			first.Signal(syscall.SIGCONT)
			records := b.Produce(harness.Keyed(topic, 200, 20)...)
			h.WaitSettled(records)
			b.WaitCommitted(env.Group(), topic)
			h.CheckOrder(t, records, harness.Once, nil)
			if !frozen {
				b.WaitMembers(env.Group(), 1)
			}
		})
	}
}

func TestAStopBeforeTheBrokerWasReachedIsNoFailure(t *testing.T) {
	t.Parallel()
	b := harness.PrivateReal(t, realkafka.Options{})
	topic := b.CreateTopic(1)
	b.Freeze()
	s := harness.Start(t, harness.TestEnv(b, topic, harness.NewHandler(t, harness.OK)))
	s.WaitStatus("/live", http.StatusOK)
	s.WaitStatus("/startup", http.StatusServiceUnavailable)
	s.Signal(syscall.SIGTERM)
	s.ExitWithin(20*time.Second, 0)
}

func TestAStopDuringAHandOverLosesNothing(t *testing.T) {
	for _, stopped := range []string{"who gives", "who takes"} {
		t.Run(stopped, func(t *testing.T) {
			t.Parallel()
			b := harness.Real(t)
			topic := b.CreateTopic(4)
			release := make(chan struct{})
			h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Until: release} })
			env := harness.TestEnv(b, topic, h).With("CONCURRENCY", "8")
			records := b.Produce(harness.Keyed(topic, 400, 40)...)
			first := harness.Start(t, env)
			h.WaitCalls(8)
			second := harness.Start(t, env)
			first.WaitLog("letting partitions go") // and they wait for the attempts that run
			leaver, stayer := first, second
			if stopped == "who takes" {
				leaver, stayer = second, first
			}
			leaver.Signal(syscall.SIGTERM)
			leaver.WaitLog("stopping: no more records are taken in")
			close(release)
			leaver.Exit(0)
			h.WaitSettled(records)
			b.WaitCommitted(env.Group(), topic)
			b.WaitMembers(env.Group(), 1)
			h.CheckOrder(t, records, harness.Once, nil)
			noneCut(t, h)
			if n := h.Repeats(); n > 0 {
				t.Errorf("%d records were delivered again although everything was drained and committed", n)
			}
			if !stayer.Running() {
				t.Error("the other replica has ended")
			}
		})
	}
}

// noneCut checks that every call got its answer.
func noneCut(t *testing.T, h *harness.Handler) {
	t.Helper()
	for _, c := range h.Calls() {
		if c.Status != http.StatusOK {
			t.Errorf("the attempt for %d@%d was cut although it had the time to end", c.Partition, c.Offset)
		}
	}
}

func TestAStopDuringABrokerOutageLosesNothing(t *testing.T) {
	for name, outage := range map[string]func(*harness.Broker){"stopped": (*harness.Broker).Outage, "frozen": (*harness.Broker).Freeze} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := harness.PrivateReal(t, realkafka.Options{})
			topic := b.CreateTopic(2)
			release := make(chan struct{})
			h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
				if c.Key == "key-0" {
					return harness.Answer{Until: release}
				}
				return harness.Answer{}
			})
			env := harness.TestEnv(b, topic, h).With("SHUTDOWN_TIMEOUT", "12s", "KAFKA_OPTION_SESSION_TIMEOUT_MS", "15000")
			records := b.Produce(harness.Keyed(topic, 100, 10)...)
			s := harness.Start(t, env)
			harness.Eventually(t, harness.Patience, func() (bool, string) {
				return h.Answered() == 90 && h.Running() == 1, fmt.Sprintf("%d answered, %d running", h.Answered(), h.Running())
			})
			outage(b)
			s.Signal(syscall.SIGTERM)
			s.WaitLog("stopping: no more records are taken in")
			close(release)                  // the attempt ends well, and its commit cannot be made
			s.ExitWithin(40*time.Second, 0) // 4 is what it would be had SHUTDOWN_TIMEOUT passed
			s.WaitLog("final commit was not acknowledged", "delivered again")
			b.Recover()
			// Its place in the group, which it could not give up, would be kept until its session ends: that is not what this is about.
			harness.Start(t, env)
			h.WaitSettledWithin(records, 2*harness.Patience)
			b.WaitCommitted(env.Group(), topic)
			h.CheckOrder(t, records, harness.Again, nil)
		})
	}
}

func TestAStopTogetherWithTheHandlerFailsNothing(t *testing.T) {
	t.Parallel()
	b := harness.Real(t)
	topic, dead := b.CreateTopic(4), b.CreateTopic(1)
	var slow atomic.Bool
	slow.Store(true)
	h := harness.NewHandler(t, func(harness.Call) harness.Answer {
		if slow.Load() {
			return harness.Answer{Delay: 300 * time.Millisecond}
		}
		return harness.Answer{}
	})
	env := harness.TestEnv(b, topic, h).With("CONCURRENCY", "16", "RETRY_MAX_ATTEMPTS", "1", "DEAD_LETTER_TOPIC", dead)
	records := b.Produce(harness.Keyed(topic, 500, 100)...)
	s := harness.Start(t, env)
	h.WaitCalls(40)
	var down sync.WaitGroup
	down.Go(h.Shutdown)
	harness.Eventually(t, harness.Patience, func() (bool, string) { // the handler is always a little faster
		n := s.Metrics().Value("kafka_sidecar_attempts_total", "code", "connect")
		return n > 0, "no attempt was refused while the handler ends"
	})
	s.Signal(syscall.SIGTERM)
	s.Exit(0)
	down.Wait()
	if n := len(b.ReadAll(dead)); n > 0 {
		t.Fatalf("%d dead letters because the handler stopped together with the sidecar, want none", n)
	}
	noneCut(t, h)
	b.WaitMembers(env.Group(), 0)
	slow.Store(false)
	h.Up()
	harness.Start(t, env)
	h.WaitSettled(records)
	b.WaitCommitted(env.Group(), topic)
	h.CheckOrder(t, records, harness.Once, nil)
	if n := h.Repeats(); n > 0 {
		t.Errorf("%d records were delivered again because sidecar and handler stopped together, want none", n)
	}
}

// hangingTransaction leaves a transaction open, for longer than a test lasts, until end.
func hangingTransaction(t *testing.T, b *harness.Broker, records ...*kgo.Record) (end func()) {
	t.Helper()
	cl := b.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(harness.Name(t, "txn")), kgo.TransactionTimeout(10*time.Minute))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := cl.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnOpenTransactionIsShown(t *testing.T) {
	t.Parallel()
	s, end := behindATransaction(t)
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		_, page := s.Get("/subscription")
		compact := strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(page)
		return strings.Contains(compact, `"blocked_by_transaction_records":11`) && strings.Contains(compact, `"lag_records":11`), page
	})
	end()
}

func TestAnOpenTransactionIsWarnedOfAfterAMinute(t *testing.T) {
	harness.Long(t)
	t.Parallel()
	s, end := behindATransaction(t)
	var opened, warned time.Time // by the sidecar's own clock
	harness.Eventually(t, 2*harness.Patience, func() (bool, string) {
		for _, l := range s.Logs() {
			at, _ := time.Parse(time.RFC3339Nano, fmt.Sprint(l["time"]))
			switch {
			case l["msg"] == "partition opened":
				opened = at
			case l["msg"] == "an open transaction holds records back" && l["level"] == "WARN" && l["records"] == 11.0:
				warned = at
			}
		}
		return !warned.IsZero(), "no warning of the transaction that holds everything back"
	})
	if after := warned.Sub(opened); after < time.Minute {
		t.Errorf("warned after %s, want a minute", after)
	}
	end()
}

// behindATransaction is a sidecar for which ten records wait behind one of a transaction that hangs.
func behindATransaction(t *testing.T) (s *harness.Sidecar, end func()) {
	t.Helper()
	b := harness.Real(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	abort := hangingTransaction(t, b, harness.Record(topic, "a", "open"))
	behind := b.ProduceAt(harness.Keyed(topic, 10, 5)...)
	s = harness.Start(t, harness.TestEnv(b, topic, h))
	s.WaitReady()
	s.WaitMetric(11, "kafka_sidecar_blocked_by_transaction_records")
	s.WaitMetric(11, "kafka_sidecar_lag_records") // to the high watermark: nothing is hidden
	if n := h.Count(); n != 0 {
		t.Errorf("%d records were sent from behind an open transaction", n)
	}
	return s, func() {
		t.Helper()
		abort()
		h.WaitSettled(behind)
		s.WaitMetric(0, "kafka_sidecar_blocked_by_transaction_records")
		s.WaitMetric(0, "kafka_sidecar_lag_records")
		if n := h.Count(); n != 10 {
			t.Errorf("%d calls, want the 10 records behind the aborted one", n)
		}
	}
}

func TestANewGroupSaysLoudlyWhatItWillNotRead(t *testing.T) {
	t.Parallel()
	b := harness.Real(t)
	topic := b.CreateTopic(2)
	h := harness.NewHandler(t, harness.OK)
	b.Produce(harness.Keyed(topic, 17, 5)...)
	env := harness.TestEnv(b, topic, h).With("LOG_LEVEL", "warn")
	s := harness.Start(t, env.With("START_AT", "latest")).WaitReady()
	s.WaitLog("new group: start positions committed", `"existing_records_not_read":17`)
	// What is read in full needs no warning.
	all := harness.Start(t, env.With("SUBSCRIPTION_ID", harness.Name(t, "group"))).WaitReady()
	if lines := all.Lines(); len(lines) > 0 {
		t.Errorf("warnings of a group that reads everything: %q", lines)
	}
}

// Since Kafka 2.1 (KIP-211) a group's offsets expire when the group has been empty for offsets.retention.minutes, and not while it has
// members, however long its topic is idle.
func TestOffsetsThatTheBrokerForgotAreANewGroupAndLoudlySo(t *testing.T) {
	harness.Long(t)
	t.Parallel()
	b := harness.PrivateReal(t, realkafka.Options{Properties: map[string]string{
		"offsets.retention.minutes": "1", "offsets.retention.check.interval.ms": "1000",
	}})
	idle := b.CreateTopic(2)
	idleHandler := harness.NewHandler(t, harness.OK)
	idleEnv := harness.TestEnv(b, idle, idleHandler)
	idleRecords := b.Produce(harness.Keyed(idle, 20, 5)...)
	alive := harness.Start(t, idleEnv)
	b.WaitCommitted(idleEnv.Group(), idle)
	kept := b.Commits(idleEnv.Group(), idle)

	topic := b.CreateTopic(2)
	h := harness.NewHandler(t, harness.OK)
	read := b.Produce(harness.Keyed(topic, 10, 5)...)
	latest := harness.TestEnv(b, topic, h)
	earliest := latest.With("SUBSCRIPTION_ID", harness.Name(t, "group"))
	for _, env := range []harness.Env{latest, earliest} {
		s := harness.Start(t, env)
		b.WaitCommitted(env.Group(), topic)
		s.Signal(syscall.SIGTERM)
		s.Exit(0)
	}
	for _, env := range []harness.Env{latest, earliest} {
		harness.Eventually(t, 3*harness.Patience, func() (bool, string) {
			c := b.Commits(env.Group(), topic)
			return len(c) == 0, fmt.Sprintf("group %s still has %v", env.Group(), c)
		})
	}
	if now := b.Commits(idleEnv.Group(), idle); fmt.Sprint(now) != fmt.Sprint(kept) {
		t.Errorf("the offsets of a live group with an idle topic are %v, were %v", now, kept)
	}
	missed := b.Produce(harness.Keyed(topic, 7, 5)...)

	before := h.Count()
	s := harness.Start(t, latest.With("START_AT", "latest")).WaitReady()
	line := s.WaitLog("new group: start positions committed")
	if !strings.Contains(line, `"level":"WARN"`) || !strings.Contains(line, `"existing_records_not_read":17`) {
		t.Errorf("17 records are not read and that is not said loudly: %s", line)
	}
	fresh := b.Produce(harness.Keyed(topic, 5, 5)...)
	h.WaitSettled(fresh)
	if n := h.Count() - before; n != 5 {
		t.Errorf("%d calls of a new group that starts at the end, want the 5 records that came since", n)
	}
	s.Signal(syscall.SIGTERM)
	s.Exit(0)

	harness.Start(t, earliest)
	h.WaitSettled(append(append(read, missed...), fresh...))
	b.WaitCommitted(earliest.Group(), topic)

	if n := idleHandler.Count(); n != len(idleRecords) || !alive.Running() {
		t.Errorf("%d calls for the %d records of the idle topic", n, len(idleRecords))
	}
}

func TestAStopByAFailedRecordUnderARestartLosesNothing(t *testing.T) {
	t.Parallel()
	b := harness.Real(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		if c.Offset == 5 {
			return harness.Answer{Status: http.StatusNotFound}
		}
		return harness.Answer{}
	})
	env := harness.TestEnv(b, topic, h).With("ON_FAILURE", "stop")
	records := b.Produce(harness.Keyed(topic, 50, 10)...)
	for turn := range 3 {
		s := harness.Start(t, env)
		s.WaitLog(`"level":"WARN"`, "ON_FAILURE", "crash loop")
		s.Exit(3)
		s.WaitLog(`"level":"ERROR"`, "ON_FAILURE is stop", `"offset":5`)
		if c := b.Commits(env.Group(), topic)[0]; c.Offset > 5 {
			t.Fatalf("after turn %d the commit is %d, past the record that failed", turn+1, c.Offset)
		}
		b.WaitMembers(env.Group(), 0)
	}
	if n := len(h.CallsOf(records[5])); n != 3 {
		t.Errorf("%d calls for the failed record in three turns, want one a turn", n)
	}
	h.Script(harness.OK)
	harness.Start(t, env)
	h.WaitSettled(records)
	b.WaitCommitted(env.Group(), topic)
	h.CheckOrder(t, records, harness.Once, nil)
	if n := h.Repeats(); n > 0 {
		t.Errorf("%d settled records were delivered again after the turns", n)
	}
}

func TestAnOldBacklogIsNoReasonToGiveUp(t *testing.T) {
	t.Parallel()
	b := harness.Real(t)
	topic, dead := b.CreateTopic(2), b.CreateTopic(1)
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		if c.Attempt < 3 {
			return harness.Answer{Status: http.StatusInternalServerError}
		}
		return harness.Answer{}
	})
	env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead, "RETRY_MAX_AGE", "1h")
	records := harness.Keyed(topic, 100, 20)
	for _, r := range records {
		r.Timestamp = time.Now().Add(-30 * 24 * time.Hour)
	}
	b.Produce(records...)
	harness.Start(t, env)
	h.WaitSettled(records)
	b.WaitCommitted(env.Group(), topic)
	if n := len(b.ReadAll(dead)); n > 0 {
		t.Errorf("%d records of last month are dead letters after one attempt: RETRY_MAX_AGE counts from their own time", n)
	}
}
