package attacks

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// parkedLane is what a replica's page says of the parked lane whose head is a record.
type parkedLane struct {
	attempts float64
	next     string
}

func shownLane(s *harness.Sidecar, head *kgo.Record) (lane parkedLane, found bool) {
	status, _ := s.Subscription()["status"].(map[string]any)
	partitions, _ := status["partitions"].([]any)
	for _, v := range partitions {
		p := v.(map[string]any)
		lanes, _ := p["parked"].([]any)
		for _, l := range lanes {
			if shown := l.(map[string]any); p["partition"] == float64(head.Partition) && shown["offset"] == float64(head.Offset) {
				lane.attempts, _ = shown["attempts"].(float64)
				lane.next, _ = shown["next_attempt"].(string)
				return lane, true
			}
		}
	}
	return lane, false
}

// letGo waits until a replica has begun to let partitions go, and returns them.
func letGo(t *testing.T, s *harness.Sidecar) (partitions []int32) {
	t.Helper()
	s.WaitLog("letting partitions go")
	for _, line := range s.Logs() {
		if list, ok := line["partitions"].([]any); ok && line["msg"] == "letting partitions go" {
			for _, p := range list {
				partitions = append(partitions, int32(p.(float64)))
			}
		}
	}
	return partitions
}

// of picks the records of some partitions.
func of(records []*kgo.Record, partitions []int32) []*kgo.Record {
	return slices.DeleteFunc(slices.Clone(records), func(r *kgo.Record) bool { return !slices.Contains(partitions, r.Partition) })
}

// One replica joins while attempts run at another that end only when the test says so. What stays with its owner must not notice: it
// delivers, its retries go on counting, its waits end when they would have, its parked keys stay parked.
func TestPartitionsThatStayDoNotNoticeAHandOver(t *testing.T) {
	const partitions = 4
	b := harness.Real(t)
	topic := b.CreateTopic(partitions)
	release, mended := make(chan struct{}), make(chan struct{})
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		switch c.Key {
		case "slow":
			return harness.Answer{Until: release}
		case "flaky":
			select {
			case <-mended:
			default:
				return harness.Answer{Status: 503}
			}
		case "waits":
			return harness.Answer{Status: 503, Header: map[string]string{"Retry-After": "3600"}}
		}
		return harness.Answer{}
	})
	env := harness.TestEnv(b, topic, h).With("RETRY_INITIAL_INTERVAL", "200ms", "RETRY_FACTOR", "1", "RETRY_MAX_INTERVAL", "2h",
		"HANDLER_TIMEOUT", "100s", "SHUTDOWN_TIMEOUT", "100s", "KAFKA_OPTION_MAX_POLL_INTERVAL_MS", "120000")
	first := harness.Start(t, named(env, "first"))
	waitAssigned(t, first, partitions)
	slow := b.ProduceAt(each(topic, partitions, "slow")...)
	flaky := b.ProduceAt(each(topic, partitions, "flaky")...)
	waits := b.ProduceAt(each(topic, partitions, "waits")...)
	behind := b.ProduceAt(each(topic, partitions, "waits")...)
	attempts := func(records []*kgo.Record, n int) {
		t.Helper()
		for _, r := range records {
			before := len(h.CallsOf(r))
			harness.Eventually(t, harness.Patience, func() (bool, string) {
				now := len(h.CallsOf(r))
				return now >= before+n, fmt.Sprintf("partition %d: %d further attempts of a key that is retried", r.Partition, now-before)
			})
		}
	}
	attempts(flaky, 3)
	before := map[int32]parkedLane{}
	for _, r := range waits {
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			lane, ok := shownLane(first, r)
			before[r.Partition] = lane
			return ok && lane.attempts == 1 && lane.next != "", fmt.Sprintf("partition %d: parked lane %+v", r.Partition, lane)
		})
	}

	second := harness.Start(t, named(env, "second"))
	moving := letGo(t, first)
	var kept []int32
	for p := range int32(partitions) {
		if !slices.Contains(moving, p) {
			kept = append(kept, p)
		}
	}
	if len(kept) != partitions/2 {
		t.Fatalf("one of two replicas lets %v of %d partitions go: what could stay is given away", moving, partitions)
	}
	unchanged := func(when string) {
		t.Helper()
		for _, r := range of(waits, kept) {
			if lane, ok := shownLane(first, r); !ok || lane != before[r.Partition] {
				t.Errorf("%s partition %d has parked %+v, it was %+v: a hand-over of others restarts a wait", when, r.Partition, lane, before[r.Partition])
			}
		}
	}
	// The joining replica has to wait for the slow attempts. The partitions that stay wait for nothing.
	fast := b.ProduceAt(each(topic, partitions, "fast")...)
	for _, r := range of(fast, kept) {
		harness.Eventually(t, 15*time.Second, func() (bool, string) {
			return len(h.CallsOf(r)) > 0, fmt.Sprintf("partition %d, which stays, delivers nothing while others are handed over", r.Partition)
		})
	}
	attempts(of(flaky, kept), 3)
	unchanged("during the hand-over")
	if n := begun(h, "second"); n != 0 {
		t.Errorf("the joining replica began %d attempts before the old owner was done", n)
	}

	close(release)
	waitAssigned(t, second, len(moving))
	h.WaitSettled(fast)
	unchanged("after the hand-over")
	checkHandedOver(t, h, "first", "second", moving)
	close(mended)
	h.WaitSettled(slices.Concat(fast, slow, flaky))
	for _, r := range slow {
		if n := len(h.CallsOf(r)); n != 1 {
			t.Errorf("partition %d: %d attempts of a record whose attempt ran when the hand-over began: it was not let end", r.Partition, n)
		}
	}
	for _, r := range of(flaky, kept) {
		for i, c := range h.CallsOf(r) {
			if c.Attempt != i+1 || by(c) != "first" {
				t.Errorf("partition %d: attempt %d says that it is the %d., by %s: a hand-over of others starts the count anew", r.Partition, i+1, c.Attempt, by(c))
				break
			}
		}
	}
	for _, r := range of(waits, kept) {
		if n := len(h.CallsOf(r)); n != 1 {
			t.Errorf("partition %d: %d attempts of a record that has to wait for an hour", r.Partition, n)
		}
	}
	for _, r := range behind {
		if n := len(h.CallsOf(r)); n != 0 {
			t.Errorf("partition %d: a record behind a parked one of its key was delivered", r.Partition)
		}
	}
}

// stream produces records in the background, one for every partition every few milliseconds, until the returned function is called; that
// returns what was produced.
func stream(t *testing.T, b *harness.Broker, topic string, partitions int) (stop func() []*kgo.Record) {
	t.Helper()
	client := b.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	ctx, cancel := context.WithCancel(context.Background())
	var records []*kgo.Record
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			turn := each(topic, partitions, fmt.Sprintf("key-%d", i%7))
			// Not cut off by the end: a record that was perhaps written is of no use.
			if err := client.ProduceSync(context.Background(), turn...).FirstErr(); err != nil {
				t.Errorf("produce: %v", err)
				return
			}
			records = append(records, turn...)
		}
	})
	end := sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(end)
	return func() []*kgo.Record { end(); return records }
}

// A deploy as orchestrators make it: a new process joins, an old one is told to stop, three times over, while records come in all the
// time. Every old one has an attempt that it must finish first; nobody else may stand still for that.
func TestRollingRestartLosesRepeatsAndStopsNothing(t *testing.T) {
	const partitions = 6
	b := harness.Real(t)
	topic := b.CreateTopic(partitions)
	var mu sync.Mutex
	release := make(chan struct{})
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		if c.Key == "held" {
			mu.Lock()
			defer mu.Unlock()
			return harness.Answer{Until: release}
		}
		return harness.Answer{Delay: time.Millisecond}
	})
	env := harness.TestEnv(b, topic, h).With("HANDLER_TIMEOUT", "50s", "SHUTDOWN_TIMEOUT", "60s", "KAFKA_OPTION_MAX_POLL_INTERVAL_MS", "120000",
		"KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "300")
	replicas := make([]*harness.Sidecar, 3)
	for i := range replicas {
		replicas[i] = harness.Start(t, named(env, fmt.Sprintf("old-%d", i)))
	}
	for _, r := range replicas {
		waitAssigned(t, r, partitions/len(replicas))
	}
	stop := stream(t, b, topic, partitions)
	var held []*kgo.Record
	for i, old := range replicas {
		harness.Start(t, named(env, fmt.Sprintf("new-%d", i))).WaitReady()
		var mine []int32
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			ids, state := b.Members(env.Group())
			n := 0
			for _, c := range h.Calls() {
				if by(c) == fmt.Sprintf("new-%d", i) {
					n++
				}
			}
			mine = assigned(old)
			return len(ids) == 4 && state == "Stable" && n > 0 && len(mine) > 0, fmt.Sprintf("the group is %s with %v, the new replica began %d attempts", state, ids, n)
		})
		one := b.ProduceAt(&kgo.Record{Topic: topic, Partition: mine[0], Key: []byte("held"), Value: []byte("1")})
		held = append(held, one...)
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			calls := h.CallsOf(one[0])
			return len(calls) == 1 && by(calls[0]) == fmt.Sprintf("old-%d", i), "the old replica has not begun the attempt that it is to finish"
		})
		old.Signal(syscall.SIGTERM)
		old.WaitStatus("/ready", 503)
		seen := map[int32]int{}
		for _, c := range h.Calls() {
			seen[c.Partition]++
		}
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			now := map[int32]int{}
			for _, c := range h.Calls() {
				now[c.Partition]++
			}
			for p := range int32(partitions) {
				if !slices.Contains(mine, p) && now[p] < seen[p]+30 {
					return false, fmt.Sprintf("partition %d began %d attempts while another replica finished its last one", p, now[p]-seen[p])
				}
			}
			return true, ""
		})
		if !old.Running() {
			t.Fatal("the old replica ended with an attempt in the handler")
		}
		mu.Lock()
		close(release)
		release = make(chan struct{})
		mu.Unlock()
		old.Exit(0)
		b.WaitMembers(env.Group(), 3)
	}
	records := append(stop(), held...)
	h.WaitSettled(records)
	byOffset(records)
	h.CheckOrder(t, records, harness.Once, nil)
	b.WaitCommitted(env.Group(), topic)
	if n := h.Repeats(); n != 0 {
		t.Errorf("%d records came again although every replica stopped in order", n)
	}
	// Nobody waits for the session (45 s) of a replica that has left.
	last := map[int32]time.Time{}
	for _, c := range h.Calls() {
		if before, ok := last[c.Partition]; ok && c.At.Sub(before) > 20*time.Second {
			t.Errorf("partition %d stood still for %s", c.Partition, c.At.Sub(before))
		}
		last[c.Partition] = c.At
	}
}

// byOffset puts records into the order of production, partition by partition.
func byOffset(records []*kgo.Record) {
	slices.SortFunc(records, func(a, b *kgo.Record) int { return int(a.Offset - b.Offset) })
}

// A replica with a group.instance.id is expected back: whether it ends in order or dies, its partitions wait for it, it resumes the moment
// that it is back, and nobody else notices. Its session is far longer than the test waits.
func TestStaticReplicaThatRestartsMovesNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*harness.Sidecar)
	}{
		{"terminated", func(s *harness.Sidecar) { s.Signal(syscall.SIGTERM); s.Exit(0) }},
		{"killed", func(s *harness.Sidecar) { s.Kill() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			const partitions = 4
			b := harness.Real(t)
			topic := b.CreateTopic(partitions)
			h := harness.NewHandler(t, harness.OK)
			env := harness.TestEnv(b, topic, h).With("KAFKA_OPTION_SESSION_TIMEOUT_MS", "180000", "KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "300")
			start := func(name string) *harness.Sidecar {
				return harness.Start(t, named(env, name).With("KAFKA_OPTION_GROUP_INSTANCE_ID", name))
			}
			replicas := map[string]*harness.Sidecar{}
			for _, name := range []string{"one", "two"} { // one of them leads the group, and each is restarted
				replicas[name] = start(name)
			}
			owns := map[string][]int32{}
			for name, s := range replicas {
				owns[name] = waitAssigned(t, s, partitions/2)
			}
			var records []*kgo.Record
			for name, stays := range map[string]string{"one": "two", "two": "one"} {
				rebalances := replicas[stays].Metrics().Value("kafka_sidecar_rebalances_total")
				c.end(replicas[name])
				down := b.ProduceAt(each(topic, partitions, "down")...)
				h.WaitSettled(of(down, owns[stays]))
				if missing := h.Missing(of(down, owns[name])); len(missing) != len(owns[name]) {
					t.Errorf("%s is away, and %d of its records were delivered by somebody else", name, len(owns[name])-len(missing))
				}
				replicas[name] = start(name)
				h.WaitSettled(down)
				if back := waitAssigned(t, replicas[name], partitions/2); !slices.Equal(back, owns[name]) {
					t.Errorf("%s has %v after its restart, before it %v", name, back, owns[name])
				}
				records = append(records, down...)
				records = append(records, b.ProduceAt(each(topic, partitions, "up")...)...)
				h.WaitSettled(records)
				if now := replicas[stays].Metrics().Value("kafka_sidecar_rebalances_total"); now != rebalances {
					t.Errorf("%s saw %v rebalances when %s restarted", stays, now-rebalances, name)
				}
			}
			h.CheckOrder(t, records, harness.Again, nil)
			for _, call := range h.Calls() {
				if !slices.Contains(owns[by(call)], call.Partition) {
					t.Errorf("%s delivered a record of partition %d, which was not its own", by(call), call.Partition)
				}
			}
		})
	}
}

// A static replica stops while another one joins, so that it takes part in a rebalance with partitions that it still drains, and is gone
// before the next one. What was being handed over waits for nobody's session and for no timeout once the replica is back.
func TestStaticReplicaThatStopsDuringARebalanceResumesAtOnce(t *testing.T) {
	const partitions = 6
	b := harness.Real(t)
	topic := b.CreateTopic(partitions)
	release := make(chan struct{})
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		if c.Key == "slow" && by(c) == "two" {
			return harness.Answer{Until: release}
		}
		return harness.Answer{}
	})
	env := harness.TestEnv(b, topic, h).With("KAFKA_OPTION_SESSION_TIMEOUT_MS", "180000", "KAFKA_OPTION_MAX_POLL_INTERVAL_MS", "180000",
		"KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "300", "HANDLER_TIMEOUT", "100s", "SHUTDOWN_TIMEOUT", "100s")
	start := func(name string) *harness.Sidecar {
		return harness.Start(t, named(env, name).With("KAFKA_OPTION_GROUP_INSTANCE_ID", name))
	}
	one := start("one") // leads the group, and stays
	waitAssigned(t, one, partitions)
	two := start("two")
	waitAssigned(t, two, partitions/2)
	slow := b.ProduceAt(each(topic, partitions, "slow")...)
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		return h.Running() == partitions/2, fmt.Sprintf("%d slow attempts run", h.Running())
	})
	two.Signal(syscall.SIGTERM)
	two.WaitStatus("/ready", 503)
	three := start("three")
	waitAssigned(t, one, partitions/3)
	waitAssigned(t, three, 1) // the other one of its share waits for the replica that stops
	b.WaitMembers(env.Group(), 3)
	close(release)
	two.Exit(0)
	two = start("two")
	for _, s := range []*harness.Sidecar{one, two, three} {
		waitAssigned(t, s, partitions/3)
	}
	records := append(slow, b.ProduceAt(each(topic, partitions, "fast")...)...)
	h.WaitSettled(records)
	h.CheckOrder(t, records, harness.Once, nil)
	b.WaitCommitted(env.Group(), topic)
}

// Two processes have one group.instance.id: the coordinator takes the newer one for the older one come back. The older one is told so with
// its next heartbeat or commit, and that is its end.
func TestOlderOfTwoProcessesWithOneInstanceIDEnds(t *testing.T) {
	const partitions, beat = 2, 500 * time.Millisecond
	b := harness.Real(t)
	topic := b.CreateTopic(partitions)
	h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Delay: 20 * time.Millisecond} })
	env := harness.TestEnv(b, topic, h).With("CONCURRENCY", "4", "KAFKA_OPTION_GROUP_INSTANCE_ID", "one",
		"KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", fmt.Sprint(beat.Milliseconds()))
	records := b.Produce(harness.Keyed(topic, 1_200, 300)...)
	older := harness.Start(t, named(env, "older"))
	h.WaitCalls(50)
	newer := harness.Start(t, named(env, "newer"))
	older.Exit(1)
	older.WaitLog("another process with group.instance.id", "has taken over")
	h.WaitSettledWithin(records, 2*harness.Patience)
	h.CheckOrder(t, records, harness.Again, nil)
	b.WaitCommitted(env.Group(), topic)
	newer.WaitReady()
	var first time.Time
	for _, c := range h.Calls() {
		switch by(c) {
		case "newer":
			if first.IsZero() {
				first = c.At
			}
		case "older":
			// Generous to the machine, not to the promise: with all that is left to do it would go on for many seconds.
			if late := c.At.Sub(first); !first.IsZero() && late > beat+2*time.Second {
				t.Fatalf("the older process began an attempt %s after the newer one had taken over", late)
			}
		}
	}
}
