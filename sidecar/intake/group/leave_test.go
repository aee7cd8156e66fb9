package group

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// undisturbed fails the test when a replica is told anything but what it gets in addition, or may not start.
func (r *replica) undisturbed(t *testing.T, kept []int32) {
	t.Helper()
	if r.said("revoke ") != 0 || r.said("lost") != 0 || !r.member.MayStart(time.Now()) {
		t.Fatalf("%s, who stays: %v, may start %v", r.name, r.calls, r.member.MayStart(time.Now()))
	}
	for _, p := range kept {
		if !slices.Contains(r.owned(), p) {
			t.Fatalf("%s, who stays, owns %v of %v", r.name, r.owned(), kept)
		}
	}
}

func TestMembersThatLeaveAtOnceDisturbNobody(t *testing.T) {
	inWorld(t, 9, func(t *testing.T, w *world) {
		a, b, c := w.prepare("a"), w.prepare("b"), w.prepare("c")
		for _, r := range []*replica{c, a, b} { // whoever is first leads the group, and one test is for each
			r.run()
		}
		w.until(30*time.Second, "balanced", w.balanced(9, a, b, c))
		c.calls = nil
		kept := c.owned()
		a.drain = func(ctx context.Context) { pause(ctx, 10*time.Second) }
		b.drain = func(ctx context.Context) { pause(ctx, 3*time.Second) }
		a.stops()
		b.stops()
		for range 150 {
			pass(100 * time.Millisecond)
			c.undisturbed(t, kept)
		}
		w.until(5*time.Second, "all is with who stays", w.balanced(9, c))
		<-a.done
		<-b.done
		if a.err != nil || b.err != nil || a.said("lost")+b.said("lost") != 0 {
			t.Fatal(a.err, b.err, a.calls, b.calls)
		}
	})
}

// The others have joined and wait for an assignment that the leader does not make any more.
func TestLeaderThatLeavesInTheMiddleOfASyncIsNotWaitedFor(t *testing.T) {
	for name, drain := range map[string]time.Duration{"at once": 0, "after a drain": 15 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 6, func(t *testing.T, w *world) {
				a := w.start("a")
				w.until(10*time.Second, "balanced", w.balanced(6, a))
				b := w.start("b")
				w.until(20*time.Second, "balanced", w.balanced(6, a, b))
				b.calls = nil
				kept := b.owned()
				a.drain = func(ctx context.Context) { pause(ctx, drain) }
				leader := a.member.State().MemberID
				generation := a.member.State().Generation
				w.kafka.ControlKey(int16(kmsg.SyncGroup), func(q kmsg.Request) (kmsg.Response, error, bool) {
					w.kafka.KeepControl()
					s := q.(*kmsg.SyncGroupRequest)
					return nil, nil, s.MemberID == leader && s.Generation == generation+1 // never answered
				})
				c := w.start("c")
				w.until(10*time.Second, "the sync has begun", func() bool { return a.member.identity().generation > generation })
				a.stops()
				for end := time.Now().Add(drain + 10*time.Second); time.Now().Before(end) && len(b.owned())+len(c.owned()) < 6; {
					pass(100 * time.Millisecond)
					b.undisturbed(t, kept)
				}
				w.until(time.Second, "all is with those who stay", w.balanced(6, b, c))
				<-a.done
				if a.err != nil || a.said("lost") != 0 {
					t.Fatal(a.err, a.calls)
				}
			})
		})
	}
}

// A static member that stops does not leave. What the others decide while it still drains must not take its partitions from it: they are
// its own when it is back, at once.
func TestStaticMemberThatStopsDuringARebalanceKeepsItsPlace(t *testing.T) {
	inWorld(t, 6, func(t *testing.T, w *world) {
		static := func(id string) func(*Config) { return func(c *Config) { c.InstanceID = id } }
		b := w.start("b", static("two")) // it leads: kfake, unlike Kafka, rebalances when a leader is back
		w.until(20*time.Second, "balanced", w.balanced(6, b))
		a := w.start("a", static("one"))
		w.until(20*time.Second, "balanced", w.balanced(6, a, b))
		own := a.owned()
		a.drain = func(ctx context.Context) { pause(ctx, 10*time.Second) }
		a.stops()
		pass(time.Second)
		c := w.start("c", static("three"))
		w.until(10*time.Second, "c has joined", func() bool { return c.member.Joined() })
		<-a.done
		for _, m := range w.kafka.GroupInfo(testGroup).Members {
			if m.InstanceID == nil || *m.InstanceID != "one" {
				continue
			}
			// Its share of three, of what it had: what it is answered with when it is back.
			kept := m.Assignment[testTopic]
			if len(kept) != 2 || slices.ContainsFunc(kept, func(p int32) bool { return !slices.Contains(own, p) }) {
				t.Errorf("it had %v, and %v wait for it", own, kept)
			}
		}
		again := w.start("a", static("one"))
		w.until(15*time.Second, "back", w.balanced(6, again, b, c))
	})
}
