package group

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestOneMemberGetsEverythingAndLeavesInOrder(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(4, a))
		if !a.member.Joined() || !a.member.MayStart(time.Now()) || a.member.State().Generation < 1 {
			t.Fatalf("state %+v", a.member.State())
		}
		a.stop()
		if a.err != nil {
			t.Fatal(a.err)
		}
		if len(w.book()) != 0 || a.member.Joined() || a.member.MayStart(time.Now()) {
			t.Fatalf("after the end: %v", w.book())
		}
		if g := w.kafka.GroupInfo(testGroup); len(g.Members) != 0 {
			t.Fatalf("members left behind: %+v", g.Members)
		}
	})
}

func TestPartitionsThatStaySeeNoCall(t *testing.T) {
	inWorld(t, 6, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(6, a))
		b := w.start("b")
		w.until(20*time.Second, "balanced", w.balanced(6, a, b))
		c := w.start("c")
		w.until(20*time.Second, "balanced", w.balanced(6, a, b, c))
		// Two of a's stayed throughout, and one of b's at least.
		w.mu.Lock()
		starts := w.starts
		w.mu.Unlock()
		for _, p := range a.owned() {
			if starts[p] != 1 {
				t.Errorf("partition %d was started %d times", p, starts[p])
			}
		}
		if moves := starts[0] + starts[1] + starts[2] + starts[3] + starts[4] + starts[5]; moves != 6+3+2 {
			t.Errorf("starts %v", starts)
		}
		b.stop()
		w.until(20*time.Second, "balanced", w.balanced(6, a, c))
		info := w.kafka.GroupInfo(testGroup)
		for _, m := range info.Members {
			if !slices.Equal(m.SubscribedTopics, []string{testTopic}) || len(m.Assignment[testTopic]) != 3 {
				t.Errorf("tools see %+v", m)
			}
		}
	})
}

// answerBeats answers heartbeats with a code, n times.
func (w *world) answerBeats(code int16, n int) {
	w.kafka.ControlKey(int16(kmsg.Heartbeat), func(q kmsg.Request) (kmsg.Response, error, bool) {
		if n == 0 {
			w.kafka.DropControl()
			return nil, nil, false
		}
		n--
		w.kafka.KeepControl()
		r := q.ResponseKind().(*kmsg.HeartbeatResponse)
		r.ErrorCode = code
		return r, nil, true
	})
}

func TestWhatMayHealTakesNothing(t *testing.T) {
	for name, fault := range map[string]func(w *world, a *replica){
		"heartbeats answered 14":                 func(w *world, _ *replica) { w.answerBeats(14, 5) },
		"heartbeats answered 15":                 func(w *world, _ *replica) { w.answerBeats(15, 5) },
		"heartbeats answered 16":                 func(w *world, _ *replica) { w.answerBeats(16, 5) },
		"heartbeats answered -1":                 func(w *world, _ *replica) { w.answerBeats(-1, 5) },
		"heartbeats answered 27":                 func(w *world, _ *replica) { w.answerBeats(27, 3) },
		"connections cut":                        func(_ *world, a *replica) { a.wire.cut() },
		"coordinator moved":                      func(w *world, _ *replica) { w.kafka.RehashCoordinators() },
		"network down for 30 s":                  func(_ *world, a *replica) { a.wire.set(dead); pass(30 * time.Second); a.wire.set(up) },
		"network swallows for 30 s":              func(_ *world, a *replica) { a.wire.set(hole); pass(30 * time.Second); a.wire.set(up) },
		"a join is swallowed while nobody waits": func(w *world, _ *replica) { w.swallow(kmsg.JoinGroup, 1); w.answerBeats(27, 1) },
		"a join is cut":                          func(w *world, _ *replica) { w.hangUp(kmsg.JoinGroup, 3); w.answerBeats(27, 1) },
		"a sync is swallowed":                    func(w *world, _ *replica) { w.swallow(kmsg.SyncGroup, 2); w.answerBeats(27, 1) },
		"a sync is cut":                          func(w *world, _ *replica) { w.hangUp(kmsg.SyncGroup, 3); w.answerBeats(27, 1) },
		"a sync is answered 22":                  func(w *world, _ *replica) { w.refuse(kmsg.SyncGroup, kerr.IllegalGeneration, 1); w.answerBeats(27, 1) },
		"a sync is answered 27": func(w *world, _ *replica) {
			w.refuse(kmsg.SyncGroup, kerr.RebalanceInProgress, 5)
			w.answerBeats(27, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 4, func(t *testing.T, w *world) {
				a := w.start("a")
				b := w.start("b")
				w.until(20*time.Second, "balanced", w.balanced(4, a, b))
				id := a.member.State().MemberID
				calls := len(a.calls) + len(b.calls)
				fault(w, a)
				pass(2 * time.Minute)
				if got := len(a.calls) + len(b.calls); got != calls || a.member.State().MemberID != id || !a.member.Joined() || !a.member.MayStart(time.Now()) {
					t.Fatalf("%d calls of the owner, state %+v", got-calls, a.member.State())
				}
			})
		})
	}
}

// swallow takes requests and never answers; hangUp cuts the connection instead.
func (w *world) swallow(key kmsg.Key, n int) { w.control(key, n, nil) }
func (w *world) hangUp(key kmsg.Key, n int)  { w.control(key, n, errors.New("cut")) }

func (w *world) control(key kmsg.Key, n int, err error) {
	w.kafka.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.kafka.KeepControl()
		if n--; n == 0 {
			w.kafka.DropControl()
		}
		return nil, err, true
	})
}

func (w *world) refuse(key kmsg.Key, e *kerr.Error, n int) *kfake.FaultHandle {
	return w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{key}, TopLevel: true, Err: e, Count: n})
}

func TestUnknownMemberLosesAllAndJoinsAsANewOne(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(4, a))
		id := a.member.State().MemberID
		w.answerBeats(25, 1)
		w.until(10*time.Second, "lost", func() bool { return a.said("lost [0 1 2 3]") == 1 })
		w.until(2*time.Minute, "balanced", w.balanced(4, a))
		if a.member.State().MemberID == id || a.said("lost") != 1 {
			t.Fatalf("state %+v calls %v", a.member.State(), a.calls)
		}
	})
}

func TestIllegalGenerationLosesAllAndKeepsTheMemberID(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(4, a))
		id := a.member.State().MemberID
		w.answerBeats(22, 1)
		w.until(10*time.Second, "lost", func() bool { return a.said("lost") == 1 })
		w.until(time.Minute, "balanced", w.balanced(4, a))
		if a.member.State().MemberID != id {
			t.Fatalf("state %+v", a.member.State())
		}
	})
}

func TestSilentCoordinatorEndsTheLeaseBeforeAnotherOwns(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		a, b := w.start("a"), w.start("b")
		w.until(20*time.Second, "balanced", w.balanced(4, a, b))
		a.wire.set(hole)
		heard := time.Now() // the last heartbeat was sent before this
		w.until(44*time.Second, "lost", func() bool { return a.said("lost") == 1 })
		if since := time.Since(heard); since < 39*time.Second || a.member.Joined() {
			t.Fatalf("lost after %s", since)
		}
		w.until(time.Minute, "b has all", func() bool {
			if a.member.MayStart(time.Now()) {
				t.Fatal("may start without a lease")
			}
			return len(b.owned()) == 4
		})
		if time.Since(a.member.Progress()) > 2*time.Second {
			t.Fatal("no progress")
		}
		if a.said("lost") != 1 {
			t.Fatal("told twice")
		}
		a.wire.set(up)
		w.until(time.Minute, "balanced", w.balanced(4, a, b))
	})
}

// While a join may not have arrived, heartbeats do not keep the place in the group: nothing starts once the group may have gone on without us.
func TestNothingStartsWhenTheRebalanceMayHaveGoneOnWithoutUs(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(4, a))
		id := a.member.State().MemberID
		w.kafka.ControlKey(int16(kmsg.JoinGroup), func(q kmsg.Request) (kmsg.Response, error, bool) {
			w.kafka.KeepControl()
			return nil, nil, q.(*kmsg.JoinGroupRequest).MemberID == id
		})
		w.tolerated = true // until the next heartbeat a does not know, but it pauses
		b := w.start("b")
		w.until(2*time.Minute, "b goes on alone", func() bool {
			if len(b.owned()) > 0 && a.member.MayStart(time.Now()) {
				t.Fatal("a may start")
			}
			return len(b.owned()) > 0
		})
	}, kfake.GroupMinSessionTimeout(time.Second))
}

func TestStaticMemberThatRestartsMovesNothing(t *testing.T) {
	inWorld(t, 6, func(t *testing.T, w *world) {
		static := func(id string) func(*Config) { return func(c *Config) { c.InstanceID = id } }
		a, b, c := w.start("a", static("ia")), w.start("b", static("ib")), w.start("c", static("ic"))
		w.until(30*time.Second, "balanced", w.balanced(6, a, b, c))
		mine, others := b.owned(), len(a.calls)+len(c.calls)
		b.stop()
		if len(w.kafka.GroupInfo(testGroup).Members) != 3 {
			t.Fatal("a static member left")
		}
		b2 := w.start("b2", static("ib"))
		w.until(30*time.Second, "balanced", w.balanced(6, a, b2, c))
		if !slices.Equal(b2.owned(), mine) || len(a.calls)+len(c.calls) != others {
			t.Fatalf("had %v, has %v; calls %v %v", mine, b2.owned(), a.calls, c.calls)
		}
	})
}

func TestStaticMemberAloneGetsItsStoredAssignmentWithoutARebalance(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		static := func(c *Config) { c.InstanceID = "ia" }
		a := w.start("a", static)
		w.until(10*time.Second, "balanced", w.balanced(3, a))
		generation := a.member.State().Generation
		a.stop()
		a2 := w.start("a2", static)
		w.until(10*time.Second, "balanced", w.balanced(3, a2))
		if got := a2.member.State().Generation; got != generation {
			t.Fatalf("generation %d after %d", got, generation)
		}
	})
}

func TestFencedStaticMemberLosesAllAndEnds(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a := w.start("a", func(c *Config) { c.InstanceID = "same" })
		w.until(10*time.Second, "balanced", w.balanced(2, a))
		w.refuse(kmsg.Heartbeat, kerr.FencedInstanceID, 1)
		<-a.done
		if !errors.Is(a.err, kafka.FencedInstanceID) || !strings.Contains(a.err.Error(), `another process with group.instance.id "same"`) || a.said("lost [0 1]") != 1 {
			t.Fatalf("%v %v", a.err, a.calls)
		}
	})
}

func TestGroupOfAnotherKindIsRefusedInPlainWords(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		java, err := kgo.NewClient(kgo.SeedBrokers("localhost:9092"), kgo.Dialer(w.net.DialContext), kgo.ConsumerGroup(testGroup), kgo.ConsumeTopics(testTopic))
		if err != nil {
			t.Fatal(err)
		}
		defer java.Close()
		w.until(time.Minute, "the other has joined", func() bool {
			g := w.kafka.GroupInfo(testGroup)
			return g != nil && g.State == "Stable"
		})
		a := w.start("a")
		<-a.done
		if !errors.Is(a.err, kafka.InconsistentGroupProtocol) || !strings.Contains(a.err.Error(), "members of another kind") || !strings.Contains(a.err.Error(), "group.id of its own") {
			t.Fatal(a.err)
		}
		if g := w.kafka.GroupInfo(testGroup); len(g.Members) != 1 || g.State != "Stable" {
			t.Fatalf("the other was disturbed: %+v", g)
		}
	})
}

func TestWhatCannotHealEndsWithAHint(t *testing.T) {
	for _, c := range []struct {
		err   *kerr.Error
		words string
	}{
		{kerr.GroupAuthorizationFailed, "operation Read"},
		{kerr.InvalidSessionTimeout, "group.min.session.timeout.ms"},
		{kerr.InvalidGroupID, "group.id"},
		{kerr.UnsupportedVersion, "join group"},
	} {
		t.Run(c.err.Message, func(t *testing.T) {
			inWorld(t, 2, func(t *testing.T, w *world) {
				w.refuse(kmsg.JoinGroup, c.err, 1)
				a := w.start("a")
				<-a.done
				if !errors.Is(a.err, kafka.Error(c.err.Code)) || !strings.Contains(a.err.Error(), c.words) {
					t.Fatal(a.err)
				}
			})
		})
	}
}

func TestWhatMayHealIsWaitedForAtStart(t *testing.T) {
	for _, e := range []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.GroupMaxSizeReached, kerr.UnknownServerError, kerr.RebalanceInProgress} {
		t.Run(e.Message, func(t *testing.T) {
			inWorld(t, 2, func(t *testing.T, w *world) {
				w.refuse(kmsg.JoinGroup, e, 5)
				a := w.start("a")
				w.until(time.Minute, "balanced", w.balanced(2, a))
			})
		})
	}
}

func TestStartsWhenTheBrokersComeUpAndShowsProgressMeanwhile(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a := w.prepare("a")
		a.wire.set(dead)
		a.run()
		for range 60 {
			pass(time.Second)
			if time.Since(a.member.Progress()) > 2*time.Second {
				t.Fatal("no progress")
			}
		}
		a.wire.set(up)
		w.until(10*time.Second, "balanced", w.balanced(2, a))
	})
}

func TestAddedPartitionsAreGivenOut(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		a, b := w.start("a"), w.start("b")
		w.until(20*time.Second, "balanced", w.balanced(4, a, b))
		client, err := kgo.NewClient(kgo.SeedBrokers("localhost:9092"), kgo.Dialer(w.net.DialContext))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if _, err := kadm.NewClient(client).UpdatePartitions(context.Background(), 8, testTopic); err != nil {
			t.Fatal(err)
		}
		let := a.said("revoke ") + b.said("revoke ")
		w.until(time.Minute, "balanced", w.balanced(8, a, b))
		if a.said("revoke ")+b.said("revoke ") != let {
			t.Fatalf("calls %v %v", a.calls, b.calls)
		}
		if len(a.topics) == 0 || len(a.topics[len(a.topics)-1].Partitions) != 8 {
			t.Fatal("OnTopic was not told")
		}
	})
}

func TestMissingTopicIsWaitedForAndThenAssigned(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		a := w.start("a", func(c *Config) { c.Topic = "later" })
		w.until(10*time.Second, "joined", func() bool { return a.member.Joined() })
		client, err := kgo.NewClient(kgo.SeedBrokers("localhost:9092"), kgo.Dialer(w.net.DialContext))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if _, err := kadm.NewClient(client).CreateTopic(context.Background(), 3, 1, nil, "later"); err != nil {
			t.Fatal(err)
		}
		w.until(time.Minute, "balanced", w.balanced(3, a))
	})
}

// The end comes between the answer to a join and the assignment: commits under either generation would be refused, were the round just dropped.
