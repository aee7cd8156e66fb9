package intake

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/ledger"
)

func untilNow(c *Config) { c.EndAt.Latest = true }

// over says that the reading of a partition ended at an offset.
func (s *sidecar) over(id int32, end int64) func() bool {
	return func() bool {
		if s.count(id) < 0 {
			return false
		}
		p := s.part(id)
		return p.End.Set && p.End.Reached(p.next) && p.next == end
	}
}

func TestNothingThatCameAfterTheStartIsRead(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.produce(0, 10)
		s := w.prepare(untilNow)
		s.setRoom(0, 3)
		s.run(w)
		w.until(20*time.Second, "some are read", s.has(0, 3))
		w.produce(0, 10)
		w.produce(1, 5)
		s.setRoom(0, 100)
		w.until(20*time.Second, "at the end", s.over(0, 10))
		before := w.fetched(0)
		pass(time.Minute)
		if s.count(0) != 10 || s.count(1) != 0 || w.fetched(1) != 0 {
			t.Fatalf("%d and %d records, %d fetches of the empty partition", s.count(0), s.count(1), w.fetched(1))
		}
		if n := w.fetched(0); n != before {
			t.Errorf("%d fetches after the end", n-before)
		}
		w.until(20*time.Second, "committed at the end", s.committed(0, 10))
		if part := s.part(1); part.End != (End{Set: true}) {
			t.Errorf("the empty partition ends at %+v", part.End)
		}
	})
}

func TestPartitionsThatComeLaterEndWhereTheyBegin(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 3)
		s := w.start(untilNow)
		w.until(20*time.Second, "read", s.has(0, 3))
		cl := w.client()
		defer cl.Close()
		request := kmsg.NewPtrCreatePartitionsRequest()
		request.TimeoutMillis = 1000
		request.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: testTopic, Count: 2}}
		if _, err := request.RequestWith(t.Context(), cl); err != nil {
			t.Fatal(err)
		}
		w.produce(1, 3)
		w.until(time.Minute, "opened", s.opened(1))
		pass(10 * time.Second)
		if n := s.count(1); n != 0 {
			t.Errorf("%d records of the new partition were read", n)
		}
	})
}

func TestATopicMadeAnewHasNothingBeforeTheEnd(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 10)
		s := w.prepare(untilNow, func(c *Config) { c.PartitionMaxBytes = 1 }) // a record at a time
		s.setRoom(0, 2)
		s.run(w)
		w.until(20*time.Second, "some are read", s.has(0, 2))
		w.recreate(1)
		w.produce(0, 20)
		s.setRoom(0, 100)
		w.until(time.Minute, "begun anew", func() bool { return s.said("open") == 2 })
		pass(10 * time.Second)
		if p := s.part(0); len(p.records) != 0 || !p.End.Reached(p.next) {
			t.Errorf("%d records of the new topic were read, end %+v, position %d", len(p.records), p.End, p.next)
		}
	})
}

func TestATimeEndsBeforeTheFirstRecordFromThereOn(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.produce(0, 4)
		w.produce(1, 2)
		pass(time.Hour)
		end := time.Now()
		pass(time.Minute)
		w.produce(0, 4)
		s := w.start(func(c *Config) { c.EndAt.Time = end })
		w.until(20*time.Second, "at the end", s.over(0, 4))
		w.until(20*time.Second, "at the end", s.over(1, 2))
		w.until(20*time.Second, "at the end", s.over(2, 0))
	})
}

func TestAnOpenTransactionIsNotWaitedForByLatestButByATime(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 3)
		cl := w.client(kgo.TransactionalID("txn"), kgo.TransactionTimeout(10*time.Minute))
		defer cl.Close()
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		w.send(cl, &kgo.Record{Value: []byte("open")})
		w.produce(0, 3)
		pass(time.Second)
		s := w.start(untilNow)
		w.until(20*time.Second, "at the last stable offset", s.over(0, 3))
		s.stop()
		<-s.done

		later := w.start(func(c *Config) { c.EndAt.Time = time.Now() })
		w.until(20*time.Second, "opened", later.opened(0))
		pass(time.Minute)
		if p := later.part(0); p.next != 3 || p.End.Offset != 7 {
			t.Fatalf("position %d, end %+v", p.next, p.End)
		}
		if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		w.until(20*time.Second, "at the end", later.over(0, 7))
		if n := later.count(0); n != 4 {
			t.Errorf("%d records, want that of the transaction and the three behind it", n)
		}
	})
}

func TestMarkersRightBeforeTheEndAreRead(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 2)
		cl := w.client(kgo.TransactionalID("txn"))
		defer cl.Close()
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		w.send(cl, &kgo.Record{Value: []byte("a")})
		if err := cl.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
		s := w.start(untilNow)
		w.until(20*time.Second, "at the end", s.over(0, 4))
		w.until(20*time.Second, "committed", s.committed(0, 4))
	})
}

func TestRetentionThatPassesTheEndLosesNothingBeyondIt(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 10)
		s := w.prepare(untilNow, func(c *Config) { c.PartitionMaxBytes = 1 })
		s.setRoom(0, 4)
		s.run(w)
		w.until(20*time.Second, "some are read", s.has(0, 4))
		w.produce(0, 20)
		if err := w.kafka.DeleteRecords(testTopic, 0, 25); err != nil {
			t.Fatal(err)
		}
		s.setRoom(0, 1) // one was fetched already
		w.until(time.Minute, "at the end", s.over(0, 10))
		w.until(20*time.Second, "committed at the end", s.committed(0, 10))
		if lost := s.part(0).lost; lost != 5 && lost != 6 {
			t.Errorf("%d records counted as lost, want those before the end", lost)
		}
	})
}

func TestACommitBelowTheLogStartLosesNothingBeyondTheEnd(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 10)
		pass(time.Hour)
		end := time.Now()
		pass(time.Minute)
		w.produce(0, 20)
		w.commit(0, 4, someMap(ledger.Identity{TopicID: w.kafka.TopicInfo(testTopic).TopicID}, 4))
		if err := w.kafka.DeleteRecords(testTopic, 0, 25); err != nil {
			t.Fatal(err)
		}
		s := w.start(func(c *Config) { c.EndAt.Time = end })
		w.until(20*time.Second, "opened", s.opened(0))
		// Nothing at or after the time is older than the log start: that is where the broker finds it.
		if p := s.part(0); p.End.Offset != 25 || p.lost != 21 || p.next != 25 {
			t.Fatalf("end %+v, lost %d, position %d", p.End, p.lost, p.next)
		}
	})
}

// TestAnEmptyTailEndsTheReadingWithoutACommitPastIt is the tail that compaction leaves when what it removes is the last of its segment.
func TestAnEmptyTailEndsTheReadingWithoutACommitPastIt(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 10)
		bare := false
		w.on(kmsg.Fetch, func(q kmsg.Request) (kmsg.Response, error, bool) {
			request := q.(*kmsg.FetchRequest)
			p := request.Topics[0].Partitions[0]
			if p.FetchOffset < 7 {
				return nil, nil, false
			}
			bare = true
			answer := request.ResponseKind().(*kmsg.FetchResponse)
			part := kmsg.NewFetchResponseTopicPartition()
			part.Partition, part.HighWatermark, part.LastStableOffset, part.LogStartOffset = p.Partition, 10, 10, 0
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic, topic.TopicID = request.Topics[0].Topic, request.Topics[0].TopicID
			topic.Partitions = append(topic.Partitions, part)
			answer.Topics = append(answer.Topics, topic)
			return answer, nil, true
		})
		s := w.prepare(untilNow, func(c *Config) { c.PartitionMaxBytes = 1 })
		s.run(w)
		w.until(time.Minute, "over", func() bool { return s.count(0) == 7 && s.part(0).ends.Over })
		fetched := w.fetched(0)
		pass(20 * time.Second)
		if !bare || w.fetched(0) != fetched {
			t.Errorf("%d fetches after the end", w.fetched(0)-fetched)
		}
		w.until(20*time.Second, "committed below the tail", s.committed(0, 7))
	})
}

func TestTheGroupsCommitsTellAnIdleReplicaTheEnd(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 10)
		s := w.prepare(untilNow)
		s.setRoom(0, 4)
		s.run(w)
		w.until(20*time.Second, "some are read", s.has(0, 4))
		idle := w.start(untilNow)
		w.until(time.Minute, "joined", idle.in.Joined)
		reached := func() bool {
			t.Helper()
			ok, err := idle.in.EndReached(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		pass(5 * time.Second)
		if reached() {
			t.Fatal("the end is taken for reached while records before it are not settled")
		}
		s.setRoom(0, 100)
		w.until(20*time.Second, "committed", s.committed(0, 10))
		if !reached() {
			t.Fatal("the end is not seen")
		}
	})
}
