package group

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestDrainLongerThanTheSessionLosesNothing(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		a := w.start("a", func(c *Config) {
			c.SessionTimeout, c.HeartbeatInterval, c.DrainTimeout, c.RebalanceTimeout = 10*time.Second, time.Second, time.Hour, 2*time.Minute
		})
		a.drain = func(ctx context.Context) { pause(ctx, 50*time.Second) }
		w.until(10*time.Second, "balanced", w.balanced(4, a))
		b := w.start("b")
		w.until(10*time.Second, "revoke began", func() bool { return a.said("revoke ") == 1 })
		c := w.start("c") // a rebalance while a drains
		pass(30 * time.Second)
		if a.said("lost") != 0 || len(a.owned()) != 4 {
			t.Fatalf("a owns %v", a.owned())
		}
		w.until(2*time.Minute, "balanced", w.balanced(4, a, b, c))
		if a.said("lost") != 0 {
			t.Fatal("lost while draining")
		}
	})
}

func TestPartitionGivenBackWhileItDrainsWaitsForItsRevoke(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		a := w.start("a")
		release := make(chan struct{})
		a.drain = func(ctx context.Context) {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		w.until(10*time.Second, "balanced", w.balanced(4, a))
		b := w.start("b")
		w.until(10*time.Second, "revoke began", func() bool { return a.said("revoke ") == 1 })
		b.stop()
		w.until(10*time.Second, "all given to a", func() bool {
			g := w.kafka.GroupInfo(testGroup)
			return g.State == "Stable" && len(g.Members) == 1 && g.NumAssigned() == 4
		})
		if a.said("assigned") != 1 {
			t.Fatal("assigned while draining")
		}
		close(release)
		w.until(10*time.Second, "given back", func() bool { return a.said("assigned") == 2 && len(a.owned()) == 4 })
	})
}

func TestDrainThatIsLostEndsWithItsCauseAndIsWaitedFor(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a := w.start("a", func(c *Config) { c.DrainTimeout, c.RebalanceTimeout = time.Hour, time.Hour })
		slow := make(chan struct{})
		var cause error
		a.drain = func(ctx context.Context) {
			<-ctx.Done()
			cause = context.Cause(ctx)
			<-slow // an owner that takes its time to clean up
		}
		w.until(10*time.Second, "balanced", w.balanced(2, a))
		b := w.start("b")
		w.until(10*time.Second, "revoke began", func() bool { return a.said("revoke ") == 1 })
		w.refuse(kmsg.Heartbeat, kerr.UnknownMemberID, -1)
		w.until(10*time.Second, "lost", func() bool { return a.said("lost") == 1 })
		if !errors.Is(cause, ErrLost) {
			t.Fatal(cause)
		}
		b.kill()
		pass(time.Minute)
		if a.said("revoked") != 0 {
			t.Fatal("returned")
		}
		close(slow)
		w.until(10*time.Second, "revoke returned", func() bool { return a.said("revoked") == 1 })
	})
}

func TestEndInTheMiddleOfAJoinLeavesNoGhost(t *testing.T) {
	for name, member := range map[string]bool{"asking for an id": false, "with an id": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 2, func(t *testing.T, w *world) {
				arrived := make(chan struct{}, 10)
				var left []string
				w.kafka.ControlKey(int16(kmsg.JoinGroup), func(q kmsg.Request) (kmsg.Response, error, bool) {
					w.kafka.KeepControl()
					if (q.(*kmsg.JoinGroupRequest).MemberID != "") != member {
						return nil, nil, false
					}
					arrived <- struct{}{}
					if !member {
						w.kafka.SleepControl(func() { pass(300 * time.Millisecond) }) // the id is on its way when the end comes
					}
					return nil, nil, member // with an id: never answered
				})
				w.kafka.ControlKey(int16(kmsg.LeaveGroup), func(q kmsg.Request) (kmsg.Response, error, bool) {
					w.kafka.KeepControl()
					left = append(left, q.(*kmsg.LeaveGroupRequest).Members[0].MemberID)
					return nil, nil, false
				})
				a := w.start("a")
				<-arrived
				begin := time.Now()
				a.stop()
				if len(left) != 1 || a.member.State().MemberID != left[0] || time.Since(begin) > 5*time.Second {
					t.Fatalf("left %v after %s", left, time.Since(begin))
				}
				if g := w.kafka.GroupInfo(testGroup); g != nil && len(g.Members) != 0 {
					t.Fatalf("%+v", g)
				}
			})
		})
	}
}

func TestShutdownDrainsUnderHeartbeatsThenLeaves(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		var results map[int32]error
		a := w.start("a", func(c *Config) {
			c.SessionTimeout, c.HeartbeatInterval = 10*time.Second, time.Second
			c.DrainContext = func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(context.Background(), 40*time.Second)
			}
		})
		a.drain = func(ctx context.Context) {
			<-ctx.Done()
			results, _ = a.member.Commit(context.Background(), []Offset{{Partition: 1, Offset: 7, LeaderEpoch: -1}})
		}
		w.until(10*time.Second, "balanced", w.balanced(4, a))
		begin := time.Now()
		a.stops()
		pass(20 * time.Second)
		if len(a.owned()) != 4 || a.said("lost") != 0 || !a.member.MayStart(time.Now()) {
			t.Fatal("the drain lost the membership")
		}
		<-a.done
		if took := time.Since(begin); took < 40*time.Second || took > 42*time.Second || a.err != nil {
			t.Fatalf("took %s: %v", took, a.err)
		}
		if err, answered := results[1]; !answered || err != nil {
			t.Fatal(results)
		}
		if g := w.kafka.GroupInfo(testGroup); len(g.Members) != 0 || g.Commits[testTopic][1].Offset != 7 {
			t.Fatalf("%+v", g)
		}
	})
}

func TestShutdownInTheMiddleOfARoundStillCommits(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		a := w.start("a")
		var results map[int32]error
		a.drain = func(ctx context.Context) {
			pause(ctx, 10*time.Second)
			results, _ = a.member.Commit(context.WithoutCancel(ctx), []Offset{{Partition: 2, Offset: 9, LeaderEpoch: -1}})
		}
		w.until(10*time.Second, "balanced", w.balanced(4, a))
		before := a.member.State().Generation
		w.swallow(kmsg.SyncGroup, 1)
		w.answerBeats(27, 1)
		w.until(10*time.Second, "joined anew", func() bool { return a.member.identity().generation > before })
		w.kafka.ControlKey(int16(kmsg.SyncGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.kafka.KeepControl()
			return nil, nil, a.member.identity().generation == before+1 // that round never ends
		})
		a.stop()
		if err, answered := results[2]; !answered || err != nil || w.kafka.GroupInfo(testGroup).Commits[testTopic][2].Offset != 9 {
			t.Fatal(results)
		}
	})
}

func TestDrainEndsInTimeForTheRebalance(t *testing.T) {
	for name, c := range map[string]struct{ drain, rebalance, want time.Duration }{
		"the drain's own time": {10 * time.Second, time.Minute, 10 * time.Second},
		"the rebalance's":      {time.Hour, time.Minute, 55 * time.Second},
		"a short rebalance":    {time.Hour, 8 * time.Second, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 2, func(t *testing.T, w *world) {
				a := w.start("a", func(cfg *Config) { cfg.DrainTimeout, cfg.RebalanceTimeout = c.drain, c.rebalance })
				var took time.Duration
				var cause error
				a.drain = func(ctx context.Context) {
					begin := time.Now()
					<-ctx.Done()
					took, cause = time.Since(begin), context.Cause(ctx)
				}
				w.until(10*time.Second, "balanced", w.balanced(2, a))
				b := w.start("b")
				w.until(2*time.Minute, "balanced", w.balanced(2, a, b))
				if took != c.want || !errors.Is(cause, errDrainOver) {
					t.Fatalf("took %s: %v", took, cause)
				}
				a.drain = nil
			})
		})
	}
}

func TestLeaverTakesPartInRebalancesAndIsGivenNothing(t *testing.T) {
	inWorld(t, 6, func(t *testing.T, w *world) {
		a, b := w.start("a"), w.start("b")
		w.until(20*time.Second, "balanced", w.balanced(6, a, b))
		a.drain = func(ctx context.Context) { pause(ctx, 20*time.Second) }
		kept := b.owned()
		let := a.said("revoke ")
		a.stops()
		w.until(5*time.Second, "draining", func() bool { return a.said("revoke ") == let+1 })
		c := w.start("c") // a rolling update
		w.until(10*time.Second, "c has joined", func() bool { return c.member.Joined() })
		if len(a.owned()) != 3 || !slices.Equal(b.owned(), kept) {
			t.Fatalf("a %v b %v", a.owned(), b.owned())
		}
		<-a.done
		w.until(10*time.Second, "balanced", w.balanced(6, b, c))
		if !slices.Equal(b.owned(), kept) || a.said("lost") != 0 {
			t.Fatalf("b %v", b.owned())
		}
	})
}
