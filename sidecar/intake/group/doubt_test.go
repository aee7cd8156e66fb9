package group

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

// A heartbeat of the old generation that meets the coordinator just after it answered our join is refused with 22. So is one after a join whose
// answer was lost. Neither says that anybody else has what is ours.
func TestIllegalGenerationWhileAJoinIsUnderWayTakesNothing(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(4, a))
		w.swallow(kmsg.SyncGroup, 1) // the round takes five seconds longer, with a heartbeat in it
		var n atomic.Int32
		w.kafka.ControlKey(int16(kmsg.Heartbeat), func(q kmsg.Request) (kmsg.Response, error, bool) {
			w.kafka.KeepControl()
			r := q.ResponseKind().(*kmsg.HeartbeatResponse)
			switch n.Add(1) {
			case 1:
				r.ErrorCode = rebalanceInProgress
			case 2:
				r.ErrorCode = illegalGeneration
			default:
				return nil, nil, false
			}
			return r, nil, true
		})
		generation := a.member.State().Generation
		w.until(30*time.Second, "a new generation", func() bool { return a.member.State().Generation > generation })
		pass(time.Minute)
		if n.Load() < 3 || a.said("lost") != 0 || a.said("assigned") != 1 {
			t.Fatalf("%d heartbeats, calls %v", n.Load(), a.calls)
		}
	})
}

func TestLeaseCountsFromSendingNotFromTheAnswer(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(1, a))
		var sent time.Time
		answered := make(chan struct{})
		w.kafka.ControlKey(int16(kmsg.Heartbeat), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.kafka.DropControl()
			sent = time.Now()
			w.kafka.SleepControl(func() { pass(4 * time.Second) })
			close(answered)
			return nil, nil, false
		})
		<-answered
		a.wire.set(hole)
		w.until(time.Minute, "the lease has ended", func() bool { return !a.member.MayStart(time.Now()) })
		if since := time.Since(sent); since > 43*time.Second+20*time.Millisecond {
			t.Fatalf("started things %s after the heartbeat was sent", since)
		}
	})
}

// A rebalance that lasts longer than the session, because one member does not join: heartbeats are answered 27 and keep the rest alive.
func TestRebalanceLongerThanTheSessionTakesNothing(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		slow := func(c *Config) {
			c.SessionTimeout, c.HeartbeatInterval, c.RebalanceTimeout = 10*time.Second, time.Second, 2*time.Minute
		}
		a, b := w.start("a", slow), w.start("b", slow)
		w.until(30*time.Second, "balanced", w.balanced(4, a, b))
		kept := a.owned()
		id := b.member.State().MemberID
		w.kafka.ControlKey(int16(kmsg.JoinGroup), func(q kmsg.Request) (kmsg.Response, error, bool) {
			w.kafka.KeepControl()
			return nil, nil, q.(*kmsg.JoinGroupRequest).MemberID == id
		})
		c := w.start("c", slow)
		for range 100 {
			pass(time.Second)
			if !a.member.MayStart(time.Now()) || !slices.Equal(a.owned(), kept) {
				t.Fatalf("a owns %v, calls %v", a.owned(), a.calls)
			}
		}
		if c.member.Joined() {
			t.Fatal("the rebalance is over")
		}
	})
}

// An answer to a heartbeat of an earlier life says nothing of this one.
func TestAnswersToAnEarlierIdentityAreIgnored(t *testing.T) {
	r := &replica{w: &world{t: t, owners: map[int32]string{}, starts: map[int32]int{}}, state: map[int32]string{}}
	m := New(config(), r)
	now := identity{member: "new", generation: 7}
	m.id, m.settled = now, now
	added, _ := m.parts.take([]int32{0})
	r.Assigned(t.Context(), added)
	m.lease.open(time.Now())
	left := m.lease.left(time.Now())
	for _, id := range []identity{{"old", 7}, {"new", 6}} {
		for _, code := range []int16{noError, illegalGeneration, rebalanceInProgress, unknownMember, fencedInstance} {
			if id.member == "new" && (code == unknownMember || code == fencedInstance) {
				continue // these concern the member whatever its generation
			}
			if err := m.onBeat(t.Context(), beat{id: id, code: code, sent: time.Now().Add(time.Hour)}); err != nil || r.said("lost") != 0 || m.lease.left(time.Now()) > left {
				t.Fatalf("%+v code %d: %v %v", id, code, err, r.calls)
			}
		}
	}
	for _, code := range []int16{unknownMember, fencedInstance} {
		if err := m.onRefused(t.Context(), refusal{member: "old", code: code}); err != nil || r.said("lost") != 0 {
			t.Fatal(err, r.calls)
		}
	}
	if err := m.onRefused(t.Context(), refusal{member: "new", code: fencedInstance}); !errors.Is(err, kafka.FencedInstanceID) {
		t.Fatal(err)
	}
}

// Whoever drains joins again when it has let go. One that dies meanwhile and is back under its static id before its session ends does not, and
// the broker rebalances for nobody: so the others look again, at intervals, for as long as partitions wait.
func TestWithheldPartitionsAreNotForgotten(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		a := w.start("a")
		hold := make(chan struct{})
		release := sync.OnceFunc(func() { close(hold) })
		defer release()
		a.drain = func(context.Context) { <-hold }
		w.until(10*time.Second, "balanced", w.balanced(4, a))
		b := w.start("b")
		w.until(30*time.Second, "draining", func() bool { return a.said("revoke ") == 1 && b.member.Joined() })
		for range 2 {
			generation := w.kafka.GroupInfo(testGroup).Epoch
			w.until(2*time.Minute, "looked at again", func() bool { return w.kafka.GroupInfo(testGroup).Epoch > generation })
		}
		if len(b.owned()) != 0 || a.said("lost") != 0 {
			t.Fatal(w.book())
		}
		release()
		w.until(time.Minute, "balanced", w.balanced(4, a, b))
	})
}

func TestCommitBetweenJoinAndAssignmentIsRefusedByTheBroker(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(2, a))
		before := a.member.State().Generation
		var sent int32 = -1
		w.kafka.ControlKey(int16(kmsg.OffsetCommit), func(q kmsg.Request) (kmsg.Response, error, bool) {
			sent = q.(*kmsg.OffsetCommitRequest).Generation
			return nil, nil, false
		})
		w.swallow(kmsg.SyncGroup, 1)
		w.answerBeats(27, 1)
		w.until(10*time.Second, "joined anew", func() bool { return a.member.identity().generation > before })
		results, err := a.member.Commit(t.Context(), []Offset{offset(0, 1)})
		if err != nil || sent != before || !errors.Is(results[0], kafka.IllegalGeneration) {
			t.Fatalf("generation %d, %v %v", sent, results, err)
		}
		w.until(10*time.Second, "settled", func() bool { return a.member.State().Generation > before })
		if results, err := a.member.Commit(t.Context(), []Offset{offset(0, 1)}); err != nil || results[0] != nil || a.said("lost") != 0 {
			t.Fatal(results, err)
		}
	})
}

func TestLeaderWithoutMetadataAssignsWhatItLastSaw(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(4, a))
		w.kafka.ControlKey(int16(kmsg.Metadata), func(q kmsg.Request) (kmsg.Response, error, bool) {
			w.kafka.KeepControl()
			return nil, errors.New("cut"), true
		})
		b := w.start("b")
		w.until(30*time.Second, "balanced", w.balanced(4, a, b))
		if a.said("lost") != 0 {
			t.Fatal(a.calls)
		}
	})
}

func TestPartitionsAreNeverTakenAwayFromATopic(t *testing.T) {
	id := [16]byte{1}
	topic := func(id [16]byte, n int) cluster.Topic {
		return cluster.Topic{Name: testTopic, ID: id, Partitions: make([]cluster.Partition, n)}
	}
	for _, c := range []struct {
		name string
		next cluster.Topic
		want int
	}{
		{"a broker that lags behind", topic(id, 2), 4},
		{"more of them", topic(id, 6), 6},
		{"another topic of that name", topic([16]byte{2}, 1), 1},
		{"a broker that knows no ids", topic([16]byte{}, 2), 4},
	} {
		m := New(config(), nil)
		m.remember(topic(id, 4))
		if got := m.remember(c.next); len(got.Partitions) != c.want {
			t.Errorf("%s: %d partitions", c.name, len(got.Partitions))
		}
	}
	given := basis{known: true, topic: testTopic, topicID: id, partitions: 4}
	for n, want := range map[int]bool{3: false, 4: false, 5: true} {
		if got := given.differs(topic(id, n)); got != want {
			t.Errorf("%d partitions: %v", n, got)
		}
	}
	if !given.differs(topic([16]byte{2}, 4)) || given.differs(topic([16]byte{}, 4)) || (basis{}).differs(topic(id, 9)) {
		t.Error("topic ids")
	}
}

// A follower acts on a changed topic too, but only at its second look: the leader may not know that it leads.
func TestFollowerDoubtsBeforeItAsksForARebalance(t *testing.T) {
	m := New(config(), nil)
	m.want = ""
	m.settled = identity{"m", 1}
	m.basis = basis{known: true, topic: testTopic, partitions: 1}
	more := cluster.Topic{Name: testTopic, Partitions: make([]cluster.Partition, 2)}
	same := cluster.Topic{Name: testTopic, Partitions: make([]cluster.Partition, 1)}
	m.onLook(more)
	m.onLook(same)
	m.onLook(more)
	if m.want != "" {
		t.Fatal("at the first look")
	}
	m.onLook(more)
	if m.want == "" {
		t.Fatal("not at the second look")
	}
	m.want, m.leader = "", true
	m.onLook(more)
	if m.want == "" {
		t.Fatal("the leader waits")
	}
}

// A member of a newer or a broken kind under our protocol's name must neither stop the group nor be taken for the owner of anything.
func TestUnreadableMemberOwnsNothingAndStopsNobody(t *testing.T) {
	m := New(config(), nil)
	m.topic = &cluster.Topic{Name: testTopic, Partitions: []cluster.Partition{{ID: 0}, {ID: 1}, {ID: 2}}}
	c, err := cluster.New(cluster.Config{Brokers: []string{"localhost:1"}})
	if err != nil {
		t.Fatal(err)
	}
	c.Close() // every look at the topic fails
	m.cfg.Cluster = c
	got, err := m.lead(t.Context(), []joinMember{
		{id: "a", metadata: subscription{topic: testTopic, owned: []int32{0}, generation: 1}.encode()},
		{id: "b", metadata: []byte{0, 1, 0xff}},
		{id: "c", metadata: subscription{topic: "another", owned: []int32{1}, generation: 1}.encode()},
	})
	if err != nil || len(got) != 3 {
		t.Fatal(got, err)
	}
	counts := map[string]int{}
	for id, b := range got {
		a, err := decodeAssignment(b, testTopic)
		if err != nil || !a.basis.known || a.basis.partitions != 3 || a.basis.withheld != 0 {
			t.Fatalf("%+v %v", a, err)
		}
		counts[id] = len(a.partitions)
	}
	if counts["a"]+counts["b"] != 3 || counts["b"] == 0 || counts["c"] != 0 {
		t.Fatal(counts)
	}
}

func TestAssignmentThatLayInTheSocketForASessionIsNotUsed(t *testing.T) {
	r := &replica{w: &world{t: t, owners: map[int32]string{}, starts: map[int32]int{}}, state: map[int32]string{}}
	m := New(config(), r)
	m.settle(t.Context(), &round{reason: "start"}, outcome{id: identity{"m", 1}, sent: time.Now().Add(-44 * time.Second), assignment: assignment{partitions: []int32{0}}})
	if r.said("assigned") != 0 || m.Joined() || m.MayStart(time.Now()) || m.want == "" {
		t.Fatalf("%v %+v", r.calls, m.State())
	}
}

func TestUnauthorizedWhileRunningIsWaitedForNotEnded(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(2, a))
		beats, joins := w.refuse(kmsg.Heartbeat, kerr.GroupAuthorizationFailed, -1), w.refuse(kmsg.JoinGroup, kerr.GroupAuthorizationFailed, -1)
		w.until(time.Minute, "the lease has ended", func() bool { return a.said("lost") == 1 })
		pass(time.Minute)
		beats.Remove()
		joins.Remove()
		w.until(time.Minute, "balanced", w.balanced(2, a))
	})
}

func TestLostJoinIsSentAgainLongBeforeItsTimeout(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(2, a))
		generation := a.member.State().Generation
		w.swallow(kmsg.JoinGroup, 1)
		w.answerBeats(27, 1)
		w.until(15*time.Second, "joined again", func() bool { return a.member.State().Generation > generation })
		if len(a.calls) != 1 {
			t.Fatal(a.calls)
		}
	})
}

// What a heartbeat tells of a join that has not been answered.
func TestJoinThatCannotHaveArrivedIsFound(t *testing.T) {
	start := time.Now()
	for _, c := range []struct {
		name  string
		code  int16
		addr  string
		after time.Duration
		again bool
	}{
		{"no rebalance is prepared long after", noError, "here", 6 * time.Second, true},
		{"no rebalance is prepared yet", noError, "here", 4 * time.Second, false},
		{"a rebalance is prepared", rebalanceInProgress, "here", 30 * time.Second, false},
		{"another broker coordinates", rebalanceInProgress, "there", time.Second, true},
		{"another broker coordinated before", noError, "there", -time.Second, false},
	} {
		m := New(config(), nil)
		m.id, m.settled, m.want = identity{"m", 1}, identity{"m", 1}, ""
		m.round = &round{reason: "test", cancel: func() {}, done: make(chan struct{})}
		close(m.round.done)
		m.joins.flying.Store(&flight{api: protocol.JoinGroup, addr: "here", sent: start})
		if err := m.onBeat(t.Context(), beat{id: m.id, code: c.code, addr: c.addr, sent: start.Add(c.after)}); err != nil {
			t.Fatal(err)
		}
		if again := m.round == nil && m.want == "test"; again != c.again {
			t.Errorf("%s: sent again %v", c.name, again)
		}
	}
}

// A round that is under way answers the question by itself: asking for another one after it would rebalance for nothing.
func TestWithheldPartitionsAskForOneRoundOnly(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		a := w.start("a")
		a.drain = func(context.Context) { pass(50 * time.Second) }
		w.until(10*time.Second, "balanced", w.balanced(4, a))
		b := w.start("b")
		w.until(30*time.Second, "draining", func() bool { return a.said("revoke ") == 1 && b.member.Joined() })
		// The leader's join after the drain is swallowed, so that the round is under way when it is time to look again.
		leader := a.member.State().MemberID
		w.kafka.ControlKey(int16(kmsg.JoinGroup), func(q kmsg.Request) (kmsg.Response, error, bool) {
			if q.(*kmsg.JoinGroupRequest).MemberID != leader {
				return nil, nil, false
			}
			w.kafka.DropControl()
			w.kafka.SleepControl(func() { pass(12 * time.Second) })
			return nil, nil, false
		})
		generation := w.kafka.GroupInfo(testGroup).Epoch
		w.until(2*time.Minute, "balanced", w.balanced(4, a, b))
		pass(3 * time.Minute)
		if got := w.kafka.GroupInfo(testGroup).Epoch; got != generation+1 {
			t.Fatalf("generation %d after %d", got, generation)
		}
	})
}

// A SyncGroup that meets a group at rest is answered without the session beginning anew (Kafka 4.4): the session may be all but over when it is
// answered, if an earlier join of ours was.
func TestNothingStartsBeforeAHeartbeatConfirmsTheMembership(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.kafka.ControlKey(int16(kmsg.Heartbeat), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.kafka.KeepControl()
			return nil, nil, true
		})
		a := w.start("a")
		w.until(time.Second, "assigned", w.balanced(2, a))
		begin := time.Now()
		w.until(44*time.Second, "lost", func() bool {
			if a.member.MayStart(time.Now()) {
				t.Fatal("may start")
			}
			return a.said("lost") == 1
		})
		if took := time.Since(begin); took < 42*time.Second {
			t.Fatalf("lost after %s", took)
		}
	})
}

func TestHeartbeatConfirmsTheMembershipAtOnce(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "assigned", w.balanced(2, a))
		w.until(50*time.Millisecond, "confirmed", func() bool { return a.member.MayStart(time.Now()) })
	})
}
