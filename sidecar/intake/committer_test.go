package intake

import (
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestOnlyWhatChangedIsCommitted(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		s := w.start()
		w.until(20*time.Second, "opened", s.opened(0, 1, 2))
		pass(10 * time.Second)
		sent := w.watchGroup()
		w.produce(1, 5)
		w.until(20*time.Second, "committed", s.committed(1, 5))
		pass(time.Minute)
		all := sent.all()
		if len(all) == 0 {
			t.Fatal("nothing was sent")
		}
		for _, r := range all {
			if r.generation < 0 || len(r.offsets) != 1 || r.offsets[1] == 0 {
				t.Fatalf("committed %+v", r)
			}
		}
	})
}

func TestCommitDoesNotWaitWhenItIsDue(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 5)
		s := w.start(func(c *Config) { c.CommitInterval = time.Hour })
		w.until(20*time.Second, "read", s.has(0, 5))
		pass(time.Minute)
		if c := w.commits()[0]; c.Offset != 0 {
			t.Fatalf("committed %d before its time", c.Offset)
		}
		s.due <- struct{}{}
		w.until(time.Second, "committed", s.committed(0, 5))
	})
}

func TestFailingCommitIsToldByPartitionAndTriedAgain(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		s := w.start()
		w.until(20*time.Second, "opened", s.opened(0, 1))
		h := w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: testTopic, Partitions: []int32{1}, Err: kerr.TopicAuthorizationFailed, Count: -1})
		w.produce(0, 5)
		w.produce(1, 5)
		w.until(20*time.Second, "partition 0 is committed", s.committed(0, 5))
		pass(10 * time.Second)
		s.with(func() {
			if len(s.failed[0]) > 0 || len(s.failed[1]) < 5 || !errors.Is(s.failed[1][0], kafka.TopicAuthorizationFailed) || s.acked[1] != 0 {
				t.Errorf("partition 0: %v, partition 1: %v, acknowledged %v", s.failed[0], s.failed[1], s.acked)
			}
		})
		h.Remove()
		w.until(20*time.Second, "partition 1 is committed", s.committed(1, 5))
		if c := w.commits(); c[0].Offset != 5 || c[1].Offset != 5 {
			t.Fatalf("%v", c)
		}
	})
}

func TestRefusingCoordinatorIsNotAskedAtTheRateOfSettling(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 1)
		s := w.start(func(c *Config) { c.CommitInterval, c.RetryBackoff = time.Hour, time.Second })
		w.until(20*time.Second, "read", s.has(0, 1))
		h := w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: testGroup, Err: kerr.GroupAuthorizationFailed, Count: -1})
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); pass(time.Millisecond) {
			select {
			case s.due <- struct{}{}:
			default:
			}
		}
		if n := h.Hits(); n < 5 || n > 11 {
			t.Fatalf("%d commits in ten seconds", n)
		}
	})
}

// The fake fails the test when a commit is asked for while another of the partition is under way.
func TestCommitsNeverOvertakeEachOther(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		s := w.prepare()
		w.produce(0, 5)
		held, release := make(chan struct{}), make(chan struct{})
		w.on(kmsg.OffsetCommit, func(q kmsg.Request) (kmsg.Response, error, bool) {
			if req := q.(*kmsg.OffsetCommitRequest); req.Generation >= 0 && req.Topics[0].Partitions[0].Offset == 5 && held != nil {
				close(held)
				held = nil
				w.kafka.SleepControl(func() { <-release })
			}
			return nil, nil, false
		})
		begun := held
		s.run(w)
		<-begun
		w.produce(0, 3)
		w.until(20*time.Second, "read", s.has(0, 8))
		s.stop()
		w.until(time.Second, "drained", func() bool { return s.said("drain") == 1 })
		pass(100 * time.Millisecond)
		synctest.Wait() // the final commit waits for its turn
		close(release)
		<-s.done
		want := map[int32]int64{0: 8}
		s.with(func() {
			if !maps.Equal(s.acked, want) || w.commits()[0].Offset != 8 {
				t.Errorf("acknowledged %v, committed %v", s.acked, w.commits())
			}
		})
	})
}

func TestOffsetWhoseMapIsRefusedIsCommittedAtOnce(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		s := w.start(func(c *Config) { c.CommitInterval, c.RetryBackoff = time.Hour, time.Minute })
		w.until(20*time.Second, "opened", s.opened(0))
		w.produce(0, 5)
		w.until(20*time.Second, "read", s.has(0, 5))
		h := w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: testGroup, Err: kerr.OffsetMetadataTooLarge, Count: 3})
		s.due <- struct{}{}
		w.until(time.Second, "committed", func() bool { return h.Hits() == 3 && s.committed(0, 5)() })
	})
}

func TestGroupStartsWhereNoMetadataIsTaken(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.on(kmsg.OffsetCommit, func(q kmsg.Request) (kmsg.Response, error, bool) {
			req := q.(*kmsg.OffsetCommitRequest)
			if m := req.Topics[0].Partitions[0].Metadata; m == nil || *m == "" {
				return nil, nil, false
			}
			resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
			topic := kmsg.OffsetCommitResponseTopic{Topic: req.Topics[0].Topic}
			for _, p := range req.Topics[0].Partitions {
				topic.Partitions = append(topic.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: kerr.OffsetMetadataTooLarge.Code})
			}
			resp.Topics = append(resp.Topics, topic)
			return resp, nil, true
		})
		s := w.start()
		w.until(20*time.Second, "opened", s.opened(0, 1))
		if c := w.commits(); len(c) != 2 || c[0].Offset != 0 || c[1].Offset != 0 {
			t.Fatalf("start positions %v", c)
		}
		s.stop()
		<-s.done
	})
}
