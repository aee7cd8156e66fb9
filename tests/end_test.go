package tests

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func TestARunEndsAtLatestAndDeliversNothingThatCameAfterItsStart(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(3)
		before := b.Produce(harness.Keyed(topic, size(600, 120), 20)...)
		ends := b.EndOffsets(topic)
		release := make(chan struct{})
		h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Until: release} })
		env := harness.TestEnv(b, topic, h).With("END_AT", "latest", "COMMIT_INTERVAL", "1h")
		s := harness.Start(t, env)
		h.WaitCalls(1)
		after := b.Produce(harness.Keyed(topic, 100, 20)...)
		for _, p := range s.Subscription()["status"].(map[string]any)["partitions"].([]any) {
			part := p.(map[string]any)
			if end := ends[int32(part["partition"].(float64))]; part["end_at"] != float64(end) || part["end_remaining"] != float64(end) {
				t.Errorf("partition %v ends at %v with %v to go, want %d", part["partition"], part["end_at"], part["end_remaining"], end)
			}
		}
		s.WaitMetric(float64(len(before)), "kafka_sidecar_end_remaining_records")
		close(release)
		s.Exit(0)
		h.CheckOrder(t, before, harness.Once, nil)
		if missing := h.Missing(before); len(missing) > 0 {
			t.Errorf("not delivered: %v", missing)
		}
		if n := len(h.Missing(after)); n != len(after) {
			t.Errorf("%d records from after the start were delivered", len(after)-n)
		}
		for id, c := range b.Commits(env.Group(), topic) {
			if c.Offset != ends[id] {
				t.Errorf("partition %d is committed at %d, want the end, %d", id, c.Offset, ends[id])
			}
		}
		s.WaitLog("finished", fmt.Sprintf(`"records":%d`, len(before)), `"dead_letters":0`, "duration")

		// The next run takes what came since, and the one after it finds nothing.
		harness.Start(t, env).Exit(0)
		if missing := h.Missing(after); len(missing) > 0 {
			t.Errorf("the next run did not deliver %v", missing)
		}
		n := h.Count()
		harness.Start(t, env).Exit(0)
		if h.Count() != n || h.Repeats() != 0 {
			t.Errorf("%d calls by a run with nothing to do, %d repeats in all", h.Count()-n, h.Repeats())
		}
	})
}

func TestARunOverAnEmptyTopicEndsAtOnce(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(4)
		h := harness.NewHandler(t, harness.OK)
		s := harness.Start(t, harness.TestEnv(b, topic, h).With("END_AT", "latest"))
		s.Exit(0)
		s.WaitLog("finished", `"records":0`)
	})
}

func TestATimeKeepsTheSameEndAcrossRestarts(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		now := time.Now()
		aged := func(n int, age time.Duration) (records []*kgo.Record) {
			for i := range n {
				records = append(records, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "k%d", i%5), Value: []byte("1"), Timestamp: now.Add(-age)})
			}
			return b.Produce(records...)
		}
		before := aged(60, 3*time.Hour)
		aged(20, time.Hour)
		stuck := make(chan struct{})
		h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
			if c.Offset >= 30 {
				return harness.Answer{Until: stuck}
			}
			return harness.Answer{}
		})
		env := harness.TestEnv(b, topic, h).With("START_AT", "-4h", "END_AT", now.Add(-2*time.Hour).UTC().Format(time.RFC3339),
			"KAFKA_OPTION_SESSION_TIMEOUT_MS", "6000", "KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "1000")
		s := harness.Start(t, env)
		h.WaitSettled(before[:30])
		s.Kill()
		close(stuck)
		aged(20, time.Minute)
		again := harness.Start(t, env)
		again.Exit(0)
		if missing := h.Missing(before); len(missing) > 0 {
			t.Errorf("not delivered: %v", missing)
		}
		for _, c := range h.Calls() {
			if c.Offset >= 60 {
				t.Errorf("offset %d was delivered, the end is 60", c.Offset)
			}
		}
		if c := b.Commits(env.Group(), topic)[0]; c.Offset != 60 {
			t.Errorf("committed at %d, want 60", c.Offset)
		}
	})
}

func TestARunThatOnlyParkedKeysHoldUpListsThemAndTheNextGoesOn(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		records := b.Produce(harness.Keyed(topic, 100, 10)...)
		h := harness.NewHandler(t, answerTo("key-3", harness.Answer{Status: 422}))
		env := harness.TestEnv(b, topic, h).With("END_AT", "latest")
		s := harness.Start(t, env)
		s.Exit(5)
		line := s.WaitLog("not settled", `"record":"0@3"`, `"status":422`, `"attempts"`, `"key_hash"`)
		if strings.Contains(line, "key-3") {
			t.Errorf("the list shows a key: %s", line)
		}
		s.WaitLog("10 records of 1 keys keep failing")
		healthy := without("key-3", records)
		if missing := h.Missing(healthy); len(missing) > 0 {
			t.Errorf("not delivered: %v", missing)
		}
		if c := b.Commits(env.Group(), topic)[0]; c.Offset != 3 {
			t.Errorf("committed at %d, want the parked record, 3", c.Offset)
		}

		h.Script(harness.OK)
		n := h.Count()
		harness.Start(t, env).Exit(0)
		if missing := h.Missing(records); len(missing) > 0 {
			t.Errorf("the next run did not deliver %v", missing)
		}
		if calls := h.Count() - n; calls != 10 {
			t.Errorf("%d calls by the next run, want the 10 records of the key", calls)
		}
	})
}

func TestARunStoppedBeforeItsEndDrainsAndExitsOne(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		b.Produce(harness.Keyed(topic, 200, 4)...)
		release := make(chan struct{})
		h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
			if c.Offset < 40 {
				return harness.Answer{}
			}
			return harness.Answer{Until: release}
		})
		env := harness.TestEnv(b, topic, h).With("END_AT", "latest")
		s := harness.Start(t, env)
		harness.Eventually(t, harness.Patience, func() (bool, string) { return h.Running() == 4, fmt.Sprint(h.Running()) })
		s.Signal(syscall.SIGTERM)
		s.WaitLog("stopping")
		close(release)
		s.Exit(1)
		s.WaitLog("before END_AT")
		if c := b.Commits(env.Group(), topic)[0]; c.Offset != 44 {
			t.Errorf("committed at %d, want 44: what ran was finished", c.Offset)
		}
		harness.Start(t, env).Exit(0)
		if h.Repeats() != 0 {
			t.Errorf("%d repeats", h.Repeats())
		}
	})
}

// TestARunStoppedBeforeItHasBegunIsUnfinished: whoever runs a schedule must not take the stop of a run that waited for its broker for its success. To a
// service, that has no end, there was nothing to drain.
func TestARunStoppedBeforeItHasBegunIsUnfinished(t *testing.T) {
	for _, tt := range []struct {
		name  string
		start func(t *testing.T, b *harness.Broker, env harness.Env) *harness.Sidecar // returns when it waits for something
	}{
		{"no broker is reached", func(t *testing.T, _ *harness.Broker, env harness.Env) *harness.Sidecar {
			s := harness.Start(t, env.With("KAFKA_BOOTSTRAP_SERVERS", harness.FreeAddr(t)))
			s.WaitLog("not ready to start")
			return s
		}},
		{"the broker is silent", func(t *testing.T, b *harness.Broker, env harness.Env) *harness.Sidecar {
			b.Freeze()
			s := harness.Start(t, env)
			s.WaitStatus("/startup", http.StatusServiceUnavailable)
			return s
		}},
		{"Restate is silent", func(t *testing.T, _ *harness.Broker, env harness.Env) *harness.Sidecar {
			restate := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Hang: true} })
			s := harness.Start(t, env.With("SUBSCRIPTION_SINK", "service://Cart/add", "HANDLER_URL", restate.URL(""), "RESTATE_ADMIN_URL", restate.URL("")))
			restate.WaitCalls(1)
			return s
		}},
		{"the others of the group are waited for", func(t *testing.T, b *harness.Broker, env harness.Env) *harness.Sidecar {
			first := harness.Start(t, env.With("END_AT", "")).WaitReady()
			first.Freeze()
			t.Cleanup(first.Thaw)
			s := harness.Start(t, env)
			b.WaitMembersAtLeast(env.Group(), 2)
			return s
		}},
	} {
		for end, code := range map[string]int{"latest": 1, "": 0} {
			t.Run(fmt.Sprintf("%s, END_AT=%s", tt.name, end), func(t *testing.T) {
				t.Parallel()
				b := harness.Fake(t)
				env := harness.TestEnv(b, b.CreateTopic(1), harness.NewHandler(t, harness.OK)).With("END_AT", end)
				s := tt.start(t, b, env)
				s.Signal(syscall.SIGTERM)
				s.ExitWithin(20*time.Second, code) // before STARTUP_TIMEOUT, and before SHUTDOWN_TIMEOUT, which would be 4
				if code == 1 {
					s.WaitLog("stopped before END_AT was reached")
				} else {
					s.WaitLog("drained and stopped")
				}
			})
		}
	}
}

func TestRetentionThatPassesTheEndOfARunEndsItAndSaysWhatIsLost(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		for range 30 {
			b.Produce(harness.Record(topic, "k", "before")) // a batch each
		}
		release := make(chan struct{})
		h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Until: release} })
		env := harness.TestEnv(b, topic, h).With("END_AT", "latest", "MAX_IN_FLIGHT", "1", "KAFKA_OPTION_MAX_PARTITION_FETCH_BYTES", "1")
		s := harness.Start(t, env)
		h.WaitCalls(1)
		b.Produce(harness.Keyed(topic, 20, 1)...)
		b.DeleteRecords(topic, 0, 40)
		close(release)
		s.Exit(0)
		read := h.Count()
		s.WaitLog(`"level":"error"`, "deleted by retention", fmt.Sprintf(`"records_lost":%d`, 30-read))
		s.WaitLog("finished", fmt.Sprintf(`"records":%d`, read), fmt.Sprintf(`"lost":%d`, 30-read))
		if read == 0 || read > 2 {
			t.Errorf("%d calls, want what was taken in before the records were deleted", read)
		}
		if c := b.Commits(env.Group(), topic)[0]; c.Offset != 30 {
			t.Errorf("committed at %d, want the end, 30: the next run is to see what it lost itself", c.Offset)
		}
	})
}

func TestReplicasOfARunAllEnd(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(2)
		records := b.Produce(harness.Keyed(topic, 300, 30)...)
		release := make(chan struct{})
		h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Until: release} })
		// Three replicas, two partitions: one of them owns nothing.
		env := harness.TestEnv(b, topic, h).With("END_AT", "latest", "HANDLER_TIMEOUT", "50s")
		var replicas []*harness.Sidecar
		for range 3 {
			replicas = append(replicas, harness.Start(t, env))
		}
		b.WaitMembers(env.Group(), 3)
		for _, s := range replicas {
			s.WaitReady()
		}
		close(release)
		var rebalances int
		for _, s := range replicas {
			s.Exit(0)
			for _, l := range s.Logs() {
				if l["msg"] == "partitions assigned" {
					rebalances++
				}
			}
		}
		if missing := h.Missing(records); len(missing) > 0 {
			t.Errorf("not delivered: %v", missing)
		}
		if rebalances > 10 {
			t.Errorf("partitions were assigned %d times", rebalances)
		}
		b.WaitMembers(env.Group(), 0)
	})
}

func TestARunDoesNotWaitForAHangingTransaction(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		before := b.Transaction(true, harness.Keyed(topic, 5, 5)...)
		b.Transaction(false, harness.Record(topic, "k", "aborted"))
		cl := b.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(harness.Name(t, "txn")), kgo.TransactionTimeout(10*time.Minute))
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), harness.Record(topic, "k", "open")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		b.Produce(harness.Record(topic, "k", "behind"))
		h := harness.NewHandler(t, harness.OK)
		env := harness.TestEnv(b, topic, h).With("END_AT", "latest")
		harness.Start(t, env).Exit(0)
		var delivered []int64
		for _, c := range h.Calls() {
			delivered = append(delivered, c.Offset)
		}
		slices.Sort(delivered)
		if len(delivered) != len(before) || delivered[len(delivered)-1] != 4 {
			t.Errorf("delivered %v, want what is committed", delivered)
		}
		// Five records and a marker, one aborted and a marker.
		if c := b.Commits(env.Group(), topic)[0]; c.Offset != 8 {
			t.Errorf("committed at %d, want the last stable offset, 8", c.Offset)
		}
		if err := cl.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAReplayBesideALiveGroupHasIdempotencyKeysOfItsOwn(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		records := b.Produce(harness.Keyed(topic, 20, 4)...)
		live, replay := harness.NewHandler(t, harness.OK), harness.NewHandler(t, harness.OK)
		env := harness.TestEnv(b, topic, live)
		s := harness.Start(t, env)
		live.WaitSettled(records)
		own := harness.TestEnv(b, topic, replay).With("SUBSCRIPTION_ID", harness.Name(t, "replay"), "START_AT", "-1h", "END_AT", "latest")
		harness.Start(t, own).Exit(0)
		if missing := replay.Missing(records); len(missing) > 0 {
			t.Errorf("not replayed: %v", missing)
		}
		keys := map[string]bool{}
		for _, c := range append(live.Calls(), replay.Calls()...) {
			if keys[c.IdempotencyKey] {
				t.Errorf("idempotency key %s twice", c.IdempotencyKey)
			}
			keys[c.IdempotencyKey] = true
		}
		more := b.Produce(harness.Record(topic, "k", "more"))
		live.WaitSettled(more)
		if !s.Running() || replay.Count() != 20 {
			t.Errorf("the live group was touched by the replay, which made %d calls", replay.Count())
		}
	})
}

func TestDeadLettersAreRedrivenWithTheirFirstSource(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic, dead, again := b.CreateTopic(1), b.CreateTopic(1), b.CreateTopic(1)
		records := b.Produce(harness.Keyed(topic, 30, 3)...)
		h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
			if c.Key == "key-0" {
				return harness.Answer{}
			}
			return harness.Answer{Status: 422}
		})
		harness.Start(t, harness.TestEnv(b, topic, h).With("END_AT", "latest", "DEAD_LETTER_TOPIC", dead)).Exit(0)
		if n := len(b.ReadAll(dead)); n != 20 {
			t.Fatalf("%d dead letters, want 20", n)
		}

		mended := harness.NewHandler(t, answerTo("key-2", harness.Answer{Status: 422}))
		env := harness.TestEnv(b, dead, mended).With("SUBSCRIPTION_ID", harness.Name(t, "redrive"), "END_AT", "latest", "DEAD_LETTER_TOPIC", again)
		s := harness.Start(t, env)
		s.Exit(0)
		s.WaitLog("finished", `"done":10`, `"dead_letters":10`)
		var offsets []string
		for _, r := range b.ReadAll(again) {
			if got := header(r, "kafka-sidecar.source.topic"); got != topic {
				t.Errorf("source topic %q, want the first one", got)
			}
			offsets = append(offsets, header(r, "kafka-sidecar.source.offset"))
		}
		var want []string
		for _, r := range only("key-2", records) {
			want = append(want, fmt.Sprint(r.Offset))
		}
		if !slices.Equal(offsets, want) {
			t.Errorf("sources %v, want %v", offsets, want)
		}
	})
}

func TestCheckSaysWhereARunEnds(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(2)
	b.ProduceAt(&kgo.Record{Topic: topic, Partition: 1, Value: []byte("1")}, &kgo.Record{Topic: topic, Partition: 1, Value: []byte("2")})
	env := harness.TestEnv(b, topic, harness.NewHandler(t, harness.OK)).With("END_AT", "latest")
	out, errs, code := harness.Run(t, env, "check")
	if code != 0 || !strings.Contains(out, "END_AT latest ends before 0@0, 1@2") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}
