package intake

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
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

// TestRetentionThatPassesTheEndBeforeAHandOver is the same as seen by who gets the partition then.
func TestRetentionThatPassesTheEndBeforeAHandOver(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 10)
		first := w.prepare(untilNow, func(c *Config) { c.PartitionMaxBytes = 1 })
		first.setRoom(0, 4)
		first.run(w)
		w.until(20*time.Second, "some are committed", first.committed(0, 4))
		second := w.start(untilNow)
		w.until(time.Minute, "joined", second.in.Joined)
		w.produce(0, 20)
		if err := w.kafka.DeleteRecords(testTopic, 0, 25); err != nil {
			t.Fatal(err)
		}
		first.stop()
		w.until(time.Minute, "at the end", second.over(0, 10))
		w.until(20*time.Second, "committed at the end", second.committed(0, 10))
		if lost := second.part(0).lost; lost != 6 || second.count(0) != 0 {
			t.Errorf("%d records counted as lost, want the 6 before the end; %d read", lost, second.count(0))
		}
	})
}

// logEnds makes partition 0 end at an offset, as far as the answer to who asks for its end goes.
func (w *world) logEnds(answer func() (int64, *kerr.Error)) {
	w.on(kmsg.ListOffsets, func(q kmsg.Request) (kmsg.Response, error, bool) {
		req := q.(*kmsg.ListOffsetsRequest)
		if req.Topics[0].Partitions[0].Timestamp != latest {
			return nil, nil, false
		}
		p := kmsg.NewListOffsetsResponseTopicPartition()
		offset, err := answer()
		if p.Offset = offset; err != nil {
			p.Offset, p.ErrorCode = -1, err.Code
		}
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		resp.Topics = []kmsg.ListOffsetsResponseTopic{{Topic: testTopic, Partitions: []kmsg.ListOffsetsResponseTopicPartition{p}}}
		return resp, nil, true
	})
}

// bare makes fetches from an offset on find nothing there, in a log that goes on to end, while they may. Who asks for ever is told the truth at last.
func (w *world) bare(from, end int64, throttle time.Duration, while func() bool) {
	asked := 0
	w.on(kmsg.Fetch, func(q kmsg.Request) (kmsg.Response, error, bool) {
		req := q.(*kmsg.FetchRequest)
		if req.Topics[0].Partitions[0].FetchOffset < from || !while() || asked > flood {
			return nil, nil, false
		}
		asked++
		p := kmsg.NewFetchResponseTopicPartition()
		p.HighWatermark, p.LastStableOffset, p.LogStartOffset = end, end, 0
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		resp.ThrottleMillis = int32(throttle.Milliseconds())
		resp.Topics = []kmsg.FetchResponseTopic{{Topic: testTopic, TopicID: req.Topics[0].TopicID, Partitions: []kmsg.FetchResponseTopicPartition{p}}}
		return resp, nil, true
	})
}

func always() bool { return true }

func TestALogThatIsTruncatedBelowTheEndEndsTheReading(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 10)
		s := w.prepare(untilNow, func(c *Config) { c.PartitionMaxBytes = 1 })
		s.setRoom(0, 4)
		s.run(w)
		w.until(20*time.Second, "some are read", s.has(0, 4))
		w.bare(6, 6, 0, always)
		w.logEnds(func() (int64, *kerr.Error) { return 6, nil })
		s.setRoom(0, 100)
		w.until(time.Minute, "over", func() bool { return s.part(0).ends.Over })
		w.until(20*time.Second, "committed where the log ends", s.committed(0, 6))
		if p := s.part(0); len(p.records) != 6 || p.lost != 4 {
			t.Errorf("%d records read, %d counted as lost, want 6 and 4", len(p.records), p.lost)
		}
		fetched := w.fetched(0)
		pass(20 * time.Second)
		if n := w.fetched(0) - fetched; n != 0 {
			t.Errorf("%d fetches after the end", n)
		}
	})
}

// TestAHighWatermarkThatLagsIsNotTakenForATruncation: that of a new leader, or of a follower.
func TestAHighWatermarkThatLagsIsNotTakenForATruncation(t *testing.T) {
	for name, answer := range map[string]func() (int64, *kerr.Error){
		"the leader is not sure yet": func() (int64, *kerr.Error) { return -1, kerr.OffsetNotAvailable },
		"the leader knows better":    func() (int64, *kerr.Error) { return 10, nil },
		"the log has grown":          func() (int64, *kerr.Error) { return 8, nil },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				w.produce(0, 10)
				s := w.prepare(untilNow, func(c *Config) { c.PartitionMaxBytes = 1 })
				s.setRoom(0, 4)
				s.run(w)
				w.until(20*time.Second, "some are read", s.has(0, 4))
				asked := 0
				w.bare(6, 6, 0, func() bool { return asked < 5 })
				w.logEnds(func() (int64, *kerr.Error) { asked++; return answer() })
				s.setRoom(0, 100)
				w.until(time.Minute, "at the end", s.over(0, 10))
				if p := s.part(0); len(p.records) != 10 || p.lost != 0 || asked < 5 {
					t.Errorf("%d records read, %d counted as lost, asked %d times", len(p.records), p.lost, asked)
				}
			})
		})
	}
}

func TestAnElectionThatRewritesTheLogTakesTheEndBack(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.epochEnds(func(epoch int32) (int32, int64, *kerr.Error) { return epoch, 4, nil })
		w.produce(0, 10)
		s := w.prepare(untilNow, func(c *Config) { c.PartitionMaxBytes = 1 })
		s.setRoom(0, 6)
		s.run(w)
		w.until(20*time.Second, "some are committed", s.committed(0, 6))
		w.logEnds(func() (int64, *kerr.Error) { return 4, nil })
		w.elect()
		s.setRoom(0, 100)
		w.until(time.Minute, "at the end of the log", s.over(0, 4))
		w.until(20*time.Second, "committed there", s.committed(0, 4))
		if p := s.part(0); len(p.records) != 0 || p.lost != 4 {
			t.Errorf("%d records read of those that came in their place, %d counted as lost", len(p.records), p.lost)
		}
	})
}

func TestATruncationBelowThePositionTakesTheEndBack(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 10)
		s := w.prepare(untilNow, func(c *Config) { c.PartitionMaxBytes = 1 })
		s.held = true
		s.setRoom(0, 6)
		s.run(w)
		w.until(20*time.Second, "some are read", s.has(0, 6))
		w.logEnds(func() (int64, *kerr.Error) { return 4, nil })
		w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: testTopic, Err: kerr.OffsetOutOfRange})
		s.with(func() { s.held = false })
		s.setRoom(0, 100)
		w.until(time.Minute, "at the end of the log", s.over(0, 4))
		// Two were read and not settled, four never read.
		if p := s.part(0); len(p.records) != 4 || p.lost != 6 {
			t.Errorf("%d records read, %d counted as lost, want 4 and 6", len(p.records), p.lost)
		}
	})
}

// TestAnEmptyTailEndsTheReadingWithoutACommitPastIt is the tail that compaction leaves when what it removes is the last of its segment.
func TestAnEmptyTailEndsTheReadingWithoutACommitPastIt(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 10)
		w.bare(7, 10, 0, always)
		s := w.prepare(untilNow, func(c *Config) { c.PartitionMaxBytes = 1 })
		s.run(w)
		w.until(time.Minute, "over", func() bool { return s.count(0) == 7 && s.part(0).ends.Over })
		fetched := w.fetched(0)
		pass(20 * time.Second)
		if w.fetched(0) != fetched {
			t.Errorf("%d fetches after the end", w.fetched(0)-fetched)
		}
		w.until(20*time.Second, "committed below the tail", s.committed(0, 7))
	})
}

func TestAnswersThatAreEmptyForAQuotaDoNotEndTheReading(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 10)
		answers := 0
		w.bare(7, 10, time.Second, func() bool { answers++; return answers <= 2*bareAnswers })
		s := w.prepare(untilNow, func(c *Config) { c.PartitionMaxBytes = 1 })
		s.run(w)
		w.until(time.Minute, "at the end", s.over(0, 10))
		if n := s.count(0); n != 10 {
			t.Errorf("%d records read", n)
		}
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
