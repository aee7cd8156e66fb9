package group

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func offset(p int32, o int64) Offset { return Offset{Partition: p, Offset: o, LeaderEpoch: 0} }

func TestCommitOfWhatIsOwnedAndNothingElse(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		a := w.prepare("a")
		if results, err := a.member.Commit(t.Context(), []Offset{offset(0, 1)}); err != nil || !errors.Is(results[0], ErrNotOwned) {
			t.Fatal(results, err)
		}
		a.run()
		w.until(10*time.Second, "balanced", w.balanced(4, a))
		b := w.start("b")
		w.until(20*time.Second, "balanced", w.balanced(4, a, b))
		all := []Offset{{Partition: 0, Offset: 10, LeaderEpoch: 3, Metadata: "map"}, offset(1, 11), offset(2, 12), offset(3, 13), offset(9, 1)}
		results, err := a.member.Commit(t.Context(), all)
		if err != nil || len(results) != 5 {
			t.Fatal(results, err)
		}
		mine := map[int32]bool{}
		for _, p := range a.owned() {
			mine[p] = true
		}
		commits := w.kafka.GroupInfo(testGroup).Commits[testTopic]
		for p := range int32(4) {
			if _, there := commits[p]; mine[p] != (results[p] == nil) || mine[p] != there || !mine[p] && !errors.Is(results[p], ErrNotOwned) {
				t.Errorf("partition %d: owned %v, result %v, commits %v", p, mine[p], results[p], commits)
			}
		}
		if c := commits[0]; c.LeaderEpoch != 3 || c.Metadata != "map" || c.Offset != 10 {
			t.Errorf("%+v", c)
		}
		got, err := b.member.Committed(t.Context(), []int32{0, 3})
		if want := map[int32]Committed{0: {10, 3, "map"}, 3: {-1, -1, ""}}; err != nil || !maps.Equal(got, want) {
			t.Fatal(got, err)
		}
	})
}

func TestDrainingPartitionIsCommittedUnderTheNewGeneration(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		var results map[int32]error
		a.drain = func(ctx context.Context) {
			pause(ctx, 10*time.Second)
			results, _ = a.member.Commit(ctx, []Offset{offset(0, 5), offset(1, 6)})
		}
		w.until(10*time.Second, "balanced", w.balanced(2, a))
		b := w.start("b")
		w.until(30*time.Second, "balanced", w.balanced(2, a, b))
		if len(results) != 2 || results[0] != nil || results[1] != nil {
			t.Fatal(results)
		}
		a.drain = nil
		// What has been let go is refused from then on.
		if results, _ := a.member.Commit(t.Context(), []Offset{offset(1, 7)}); !errors.Is(results[1], ErrNotOwned) {
			t.Fatal(results)
		}
		if c := w.kafka.GroupInfo(testGroup).Commits[testTopic][1]; c.Offset != 6 {
			t.Fatalf("%+v", c)
		}
	})
}

func TestCommitThatWasUnderWayWhenTheMembershipWasLostDoesNotCount(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(2, a))
		lost := make(chan struct{})
		w.kafka.ControlKey(int16(kmsg.OffsetCommit), func(q kmsg.Request) (kmsg.Response, error, bool) {
			w.kafka.SleepControl(func() { <-lost })
			return nil, nil, false // and then it is acknowledged, unknown to the coordinator as we are by then
		})
		w.answerBeats(25, 1)
		done := make(chan map[int32]error)
		go func() {
			pass(time.Second)
			results, _ := a.member.Commit(context.Background(), []Offset{offset(0, 5)})
			done <- results
		}()
		w.until(4*time.Second, "lost", func() bool { return a.said("lost") == 1 })
		close(lost)
		if results := <-done; !errors.Is(results[0], ErrNotOwned) {
			t.Fatal(results)
		}
	})
}

func TestCommitThatLostItsConnectionIsNotOwnedAfterALoss(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(2, a))
		a.wire.set(hole)
		results, err := a.member.Commit(t.Context(), []Offset{offset(0, 5)})
		if err == nil || !errors.Is(results[0], err) || errors.Is(results[0], ErrNotOwned) {
			t.Fatal(results, err)
		}
		w.until(time.Minute, "lost", func() bool { return a.said("lost") == 1 })
		if results, err := a.member.Commit(t.Context(), []Offset{offset(0, 5)}); err != nil || !errors.Is(results[0], ErrNotOwned) {
			t.Fatal(results, err)
		}
	})
}

// commits counts the OffsetCommit requests that arrive.
func (w *world) commits() *atomic.Int32 {
	var n atomic.Int32
	w.kafka.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.kafka.KeepControl()
		n.Add(1)
		return nil, nil, false
	})
	return &n
}

// What was settled under one assignment is not committed under the next: in between the partition may have been another member's, who has
// committed more. Brokers take such a commit, it has the newest generation.
func TestCommitDoesNotOutliveItsAssignment(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(2, a))
		sent := w.commits()
		w.swallow(kmsg.OffsetFetch, 1) // whoever commits meanwhile waits for its turn
		read := make(chan error)
		go func() {
			_, err := a.member.Committed(context.Background(), []int32{0})
			read <- err
		}()
		pass(time.Second)
		done := make(chan map[int32]error)
		go func() {
			results, _ := a.member.Commit(context.Background(), []Offset{offset(0, 5)})
			done <- results
		}()
		w.answerBeats(illegalGeneration, 1)
		w.until(4*time.Second, "lost and given back", func() bool { return a.said("lost") == 1 && a.said("assigned") == 2 })
		if results := <-done; !errors.Is(results[0], ErrNotOwned) || sent.Load() != 0 {
			t.Errorf("a commit of the assignment before was sent %d times under the new one: %v", sent.Load(), results)
		}
		if err := <-read; err != nil {
			t.Fatal(err)
		}
		if results, err := a.member.Commit(t.Context(), []Offset{offset(0, 6)}); err != nil || results[0] != nil || sent.Load() != 1 {
			t.Fatal(results, err)
		}
	})
}

// A request without an answer is sent again over a new connection, but not after the loss of what it commits; and what is given to us next does
// not wait for it.
func TestCommitIsNotSentAgainAfterALoss(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(2, a))
		w.swallow(kmsg.OffsetCommit, 1)
		done := make(chan map[int32]error)
		go func() {
			results, _ := a.member.Commit(context.Background(), []Offset{offset(0, 5)})
			done <- results
		}()
		pass(time.Second)
		sent := w.commits()
		w.answerBeats(illegalGeneration, 1)
		w.until(4*time.Second, "lost", func() bool { return a.said("lost") == 1 })
		begin := time.Now()
		if results := <-done; !errors.Is(results[0], ErrNotOwned) || time.Since(begin) > 100*time.Millisecond {
			t.Errorf("the commit went on for %s after the loss: %v", time.Since(begin), results)
		}
		w.until(4*time.Second, "given back", func() bool { return a.said("assigned") == 2 })
		pass(time.Minute)
		if n := sent.Load(); n != 0 {
			t.Errorf("the commit was sent again after the loss, %d times", n)
		}
	})
}

func TestCommitFindsTheCoordinatorThatMoved(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(2, a))
		commit := func(o int64) {
			t.Helper()
			if results, err := a.member.Commit(t.Context(), []Offset{offset(0, o), offset(1, o)}); err != nil || results[0] != nil || results[1] != nil {
				t.Fatal(results, err)
			}
		}
		commit(1)
		for range 5 {
			w.kafka.RehashCoordinators()
			commit(2)
		}
		a.wire.cut() // as after an idle time or an expired token
		commit(3)
	})
}

func TestCommitShowsTheBrokersCodes(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(3, a))
		w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: testTopic, Partitions: []int32{1}, Err: kerr.OffsetMetadataTooLarge})
		results, err := a.member.Commit(t.Context(), []Offset{offset(0, 1), offset(1, 1), {Partition: 2, Offset: 1, Metadata: strings.Repeat("x", 1<<16)}})
		if err != nil || results[0] != nil || !errors.Is(results[1], kafka.OffsetMetadataTooLarge) || !errors.Is(results[2], kafka.OffsetMetadataTooLarge) {
			t.Fatal(results, err)
		}
		// The group rebalances: passing, and nothing is lost by it.
		w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: testGroup, Err: kerr.RebalanceInProgress})
		if results, err := a.member.Commit(t.Context(), []Offset{offset(0, 2)}); err != nil || !errors.Is(results[0], kafka.RebalanceInProgress) {
			t.Fatal(results, err)
		}
		if results, err := a.member.Commit(t.Context(), []Offset{offset(0, 2)}); err != nil || results[0] != nil {
			t.Fatal(results, err)
		}
		// 25 need not wait for a heartbeat.
		w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: testGroup, Err: kerr.UnknownMemberID})
		begin := time.Now()
		_, _ = a.member.Commit(t.Context(), []Offset{offset(0, 3)})
		w.until(time.Second, "lost", func() bool { return a.said("lost") == 1 })
		if time.Since(begin) > 100*time.Millisecond {
			t.Fatal("waited for a heartbeat")
		}
	})
}

func TestCommitWithMuchMetadataIsSplit(t *testing.T) {
	inWorld(t, 256, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(256, a))
		var sizes []int
		w.kafka.ControlKey(int16(kmsg.OffsetCommit), func(q kmsg.Request) (kmsg.Response, error, bool) {
			w.kafka.KeepControl()
			size := 0
			for _, p := range q.(*kmsg.OffsetCommitRequest).Topics[0].Partitions {
				size += len(*p.Metadata)
			}
			sizes = append(sizes, size)
			return nil, nil, false
		})
		var offsets []Offset
		for p := range int32(256) {
			offsets = append(offsets, Offset{Partition: p, Offset: 9, LeaderEpoch: -1, Metadata: strings.Repeat("m", 4096)})
		}
		results, err := a.member.Commit(t.Context(), offsets)
		if err != nil || len(results) != 256 || len(sizes) != 4 {
			t.Fatal(len(results), sizes, err)
		}
		for i, size := range sizes {
			if size > 256<<10 {
				t.Fatalf("request %d has %d bytes of metadata", i, size)
			}
		}
		for p, err := range results {
			if err != nil {
				t.Fatalf("partition %d: %v", p, err)
			}
		}
		if got := w.kafka.GroupInfo(testGroup).Commits[testTopic]; len(got) != 256 || len(got[255].Metadata) != 4096 {
			t.Fatal(len(got))
		}
	})
}

func TestCommitsWaitForEachOtherAndForNobodyWhoGaveUp(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(2, a))
		w.swallow(kmsg.OffsetCommit, 1)
		first := make(chan map[int32]error)
		go func() {
			results, _ := a.member.Commit(context.Background(), []Offset{offset(0, 1)})
			first <- results
		}()
		pass(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if results, err := a.member.Commit(ctx, []Offset{offset(0, 2)}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(results[0], context.DeadlineExceeded) {
			t.Fatal(results, err)
		}
		if results := <-first; results[0] == nil {
			t.Fatal("acknowledged by nobody")
		}
		if results, err := a.member.Commit(context.Background(), []Offset{offset(0, 2)}); err != nil || results[0] != nil {
			t.Fatal(results, err)
		}
	})
}

func TestInitialCommitIsACompareAndSet(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a, b := w.prepare("a"), w.prepare("b")
		if err := a.member.CommitInitial(t.Context(), []Offset{offset(0, 100), offset(1, 200)}); err != nil {
			t.Fatal(err)
		}
		a.run()
		w.until(10*time.Second, "balanced", w.balanced(2, a))
		if err := b.member.CommitInitial(t.Context(), []Offset{offset(0, 900), offset(1, 900)}); !errors.Is(err, kafka.UnknownMemberId) {
			t.Fatal(err)
		}
		got, err := b.member.Committed(t.Context(), []int32{0, 1})
		if err != nil || got[0].Offset != 100 || got[1].Offset != 200 {
			t.Fatal(got, err)
		}
		b.run()
	})
}

func TestOffsetsAreNeverReadAsMissingForAnError(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		w.until(10*time.Second, "balanced", w.balanced(2, a))
		if results, err := a.member.Commit(t.Context(), []Offset{offset(0, 7), offset(1, 8)}); err != nil || results[0] != nil {
			t.Fatal(results, err)
		}
		read := func(want error) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			got, err := a.member.Committed(ctx, []int32{0, 1})
			switch {
			case want != nil && (!errors.Is(err, want) || got != nil):
				t.Fatal(got, err)
			case want == nil && (err != nil || got[0].Offset != 7 || got[1].Offset != 8):
				t.Fatal(got, err)
			}
		}
		// As a broker that is loading answers a v5: the code at the end, and no or empty partitions.
		for _, code := range []int16{14, 15, 16} {
			for n := range 3 {
				w.kafka.ControlKey(int16(kmsg.OffsetFetch), func(q kmsg.Request) (kmsg.Response, error, bool) {
					r := q.ResponseKind().(*kmsg.OffsetFetchResponse)
					if n > 0 { // a partition's own code
						r.Topics = []kmsg.OffsetFetchResponseTopic{{Topic: testTopic, Partitions: []kmsg.OffsetFetchResponseTopicPartition{
							{Partition: 0, Offset: -1, ErrorCode: code}, {Partition: 1, Offset: -1}}}}
					}
					if n < 2 {
						r.ErrorCode = code
					}
					return r, nil, true
				})
			}
			read(nil)
		}
		// An answer that lacks a partition.
		w.kafka.ControlKey(int16(kmsg.OffsetFetch), func(q kmsg.Request) (kmsg.Response, error, bool) {
			return q.ResponseKind(), nil, true
		})
		read(errNoAnswer)
		w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: testGroup, Err: kerr.GroupAuthorizationFailed})
		read(kafka.GroupAuthorizationFailed)
		w.hangUp(kmsg.OffsetFetch, 3)
		read(nil)
		a.wire.set(dead)
		read(context.DeadlineExceeded)
		a.wire.set(up)
		read(nil)
	})
}
