package intake

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake/group"
)

// stopped ends a sidecar and says how long that took.
func (s *sidecar) stopped() time.Duration {
	began := time.Now()
	s.stop()
	<-s.done
	return time.Since(began)
}

func TestFinalCommitIsRepeatedUntilItIsAcknowledged(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.produce(0, 5)
		w.produce(1, 7)
		s := w.start(func(c *Config) { c.CommitInterval = time.Hour })
		w.until(20*time.Second, "read", func() bool { return s.count(0) == 5 && s.count(1) == 7 })
		h := w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: testGroup, Err: kerr.RebalanceInProgress, Count: 5})
		took := s.stopped()
		if a, b := w.commits()[0].Offset, w.commits()[1].Offset; a != 5 || b != 7 || h.Hits() != 5 || took > 2*time.Second || s.err != nil {
			t.Fatalf("committed %d and %d after %d refusals and %s: %v", a, b, h.Hits(), took, s.err)
		}
		if len(w.kafka.GroupInfo(testGroup).Members) != 0 {
			t.Fatal("the group was not left")
		}
	})
}

func TestFinalCommitEndsWithItsTime(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 5)
		s := w.start(func(c *Config) { c.CommitInterval = time.Hour })
		w.until(20*time.Second, "read", s.has(0, 5))
		h := w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: testGroup, Err: kerr.CoordinatorLoadInProgress, Count: -1})
		if took := s.stopped(); took < finalCommit || took > finalCommit+100*time.Millisecond || h.Hits() < 10 || s.err != nil {
			t.Fatalf("ended after %s and %d commits: %v", took, h.Hits(), s.err)
		}
	})
}

// TestStopEndsInItsTimeThoughTheCoordinatorIsSilent: what attempts, the last commit and leaving take together is no longer than there is.
func TestStopEndsInItsTimeThoughTheCoordinatorIsSilent(t *testing.T) {
	for name, c := range map[string]struct{ drain, rest time.Duration }{"long": {22 * time.Second, 3 * time.Second}, "short": {2 * time.Second, 2 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				w.produce(0, 5)
				s := w.prepare(func(cfg *Config) { cfg.CommitInterval, cfg.StopTimeout, cfg.StopRest = time.Hour, c.drain, c.rest })
				s.drain = func(ctx context.Context) { <-ctx.Done() }
				s.run(w)
				w.until(20*time.Second, "read", s.has(0, 5))
				w.dig("localhost:9092", "localhost:9093", "localhost:9094")
				w.cut()
				if took := s.stopped(); took <= c.drain+c.rest/2 || took >= c.drain+c.rest || s.err != nil {
					t.Errorf("took %s of %s: %v", took, c.drain+c.rest, s.err)
				}
			})
		})
	}
}

func TestStopDrainsBeforeTheFinalCommit(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 5)
		s := w.prepare()
		s.held = true
		s.drain = func(ctx context.Context) {
			wait(ctx, 5*time.Second) // attempts that were under way end
			s.with(func() {
				for o := s.parts[0].ledger; ; {
					e, ok := o.Oldest()
					if !ok {
						return
					}
					o.Settle(e)
				}
			})
		}
		s.run(w)
		w.until(20*time.Second, "read", s.has(0, 5))
		pass(10 * time.Second)
		if c := w.commits()[0]; c.Offset != 0 {
			t.Fatalf("committed %d before anything was settled", c.Offset)
		}
		requests := w.fetched(0)
		if took := s.stopped(); took < 5*time.Second || took > 6*time.Second {
			t.Fatalf("took %s", took)
		}
		if c := w.commits()[0]; c.Offset != 5 || w.fetched(0) != requests {
			t.Fatalf("committed %d, %d requests while draining", c.Offset, w.fetched(0)-requests)
		}
	})
}

func TestNothingIsCommittedAfterALoss(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 5)
		s := w.start()
		w.until(20*time.Second, "committed", s.committed(0, 5))
		s.with(func() { s.held = true })
		w.produce(0, 1)
		w.until(20*time.Second, "read", s.has(0, 6))
		w.setDown(true)
		w.cut()
		w.until(time.Minute, "lost", func() bool { return s.said("close") > 0 })
		if s.in.MayStart(time.Now()) || s.in.Joined() {
			t.Fatal("still a member")
		}
		said := s.said("")
		pass(time.Minute)
		if s.said("") != said || s.said("final") > 0 || s.said("drain") > 0 {
			t.Fatalf("%q", s.calls)
		}
		w.setDown(false)
		w.until(time.Minute, "read again", s.has(0, 1))
		if p := s.part(0); p.Start != 5 || s.said("open") != 2 {
			t.Fatalf("opened at %d", p.Start)
		}
	})
}

func TestNothingIsCommittedWhenTheMembershipIsLostWhileDraining(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 5)
		s := w.prepare(func(c *Config) { c.CommitInterval, c.StopTimeout = time.Hour, 30*time.Second })
		var cause error
		s.drain = func(ctx context.Context) {
			<-ctx.Done()
			cause = context.Cause(ctx)
		}
		s.run(w)
		w.until(20*time.Second, "read", s.has(0, 5))
		w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: testGroup, Err: kerr.UnknownMemberID})
		took := s.stopped()
		if !errors.Is(cause, group.ErrLost) || took > 10*time.Second {
			t.Fatalf("drained for %s: %v", took, cause)
		}
		if s.said("final") > 0 || w.commits()[0].Offset != 0 {
			t.Fatalf("%q, %v", s.calls, w.commits())
		}
	})
}

func TestPartitionIsLetGoThoughThePositionsOfOthersAreNotKnown(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.commit(0, 0, "")
		w.commit(1, 0, "")
		var joined bool
		w.on(kmsg.JoinGroup, func(kmsg.Request) (kmsg.Response, error, bool) { joined = true; return nil, nil, false })
		h := w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: testGroup, TopLevel: true, Err: kerr.CoordinatorLoadInProgress, Count: -1,
			When: func(kmsg.Request) bool { return joined }})
		a := w.prepare()
		b := w.prepare()
		if err := b.in.prepare(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		a.run(w)
		w.until(20*time.Second, "joined", func() bool { return a.in.Joined() && h.Hits() > 0 })
		// The other replica had its start behind it when the trouble began.
		h2 := h.Hits()
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- b.in.member.Run(ctx) }()
		w.until(20*time.Second, "let go", func() bool { return a.said("close") == 1 })
		if h.Hits() == h2 || a.said("open") > 0 {
			t.Fatalf("%d faults, %q", h.Hits(), a.calls)
		}
		h.Remove()
		w.until(30*time.Second, "each has one", func() bool { return a.said("open") == 1 && b.said("open") == 1 })
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		b.in.readers.Wait()
		b.in.cfg.Cluster.Close()
	})
}

func TestHandOverKeepsWhatStays(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		for id := range int32(4) {
			w.produce(id, 3)
		}
		a := w.start()
		w.until(20*time.Second, "read", func() bool { return a.has(0, 3)() && a.has(1, 3)() && a.has(2, 3)() && a.has(3, 3)() })
		b := w.start()
		w.until(30*time.Second, "shared", func() bool { return b.said("open") == 2 })
		for id := range int32(4) {
			w.produce(id, 3)
		}
		w.until(30*time.Second, "read by one of them", func() bool {
			for id := range int32(4) {
				if max(a.count(id), 0) != 6 && b.count(id) != 3 {
					return false
				}
			}
			return true
		})
		if a.said("open") != 4 || a.said("close") != 1 {
			t.Fatalf("%q", a.calls)
		}
	})
}

func TestReaderEndsAtOnce(t *testing.T) {
	all := []string{"localhost:9092", "localhost:9093", "localhost:9094"}
	for name, trouble := range map[string]func(w *world){
		"in a long poll":         func(*world) {},
		"at a bound":             nil,
		"in front of black hole": func(w *world) { w.dig(all...); w.cut() },
		"during an outage":       func(w *world) { w.setDown(true); w.cut() },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 4, func(t *testing.T, w *world) {
				s := w.prepare(func(c *Config) { c.FetchMaxWait, c.StopTimeout = time.Hour, time.Second })
				if trouble == nil {
					for id := range int32(4) {
						s.setRoom(id, 0)
					}
				}
				s.run(w)
				w.until(20*time.Second, "opened", s.opened(0, 1, 2, 3))
				pass(2 * time.Second)
				if trouble != nil {
					trouble(w)
				}
				pass(3 * time.Second)
				s.in.mu.Lock()
				one, rest := s.in.owned[0], []int32{1, 2, 3}
				s.in.mu.Unlock()
				began := time.Now()
				// The one first: it must not wait for what the others are stuck in.
				s.in.stopReading([]int32{0})
				<-one.done
				s.in.stopReading(rest)
				if took := time.Since(began); took != 0 {
					t.Fatalf("took %s", took)
				}
			})
		})
	}
}

func TestPausedJoinsAndReadsNothing(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.produce(0, 10)
		w.commit(0, 4, "")
		s := w.start(func(c *Config) { c.Paused = true })
		w.until(20*time.Second, "joined", func() bool { return s.opened(0, 1)() && s.in.Joined() })
		if p := s.part(0); p.ends.High != 10 {
			t.Fatalf("the end is not known from the start: %+v", p.ends)
		}
		pass(time.Minute)
		if w.fetched(0)+w.fetched(1) != 0 || s.count(0) != 0 || !s.in.Joined() {
			t.Fatalf("%d requests, %d records", w.fetched(0)+w.fetched(1), s.count(0))
		}
		if p := s.part(0); p.ends.High != 10 {
			t.Fatalf("the end is not known: %+v", p.ends)
		}
		if took := s.stopped(); took > time.Second || s.err != nil || w.commits()[0].Offset != 4 {
			t.Fatalf("stopped after %s: %v, committed %v", took, s.err, w.commits())
		}
	})
}

func TestGroupOfAnotherKindEndsTheRun(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Group: testGroup, Err: kerr.InconsistentGroupProtocol})
		s := w.start()
		<-s.done
		if s.err == nil || !strings.Contains(s.err.Error(), `"`+testGroup+`"`) {
			t.Fatal(s.err)
		}
	})
}
