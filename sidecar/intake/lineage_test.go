package intake

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake/fetch"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/ledger"
)

func TestTheFirstOffsetOnWhichTwoLogsMayDifferIsFound(t *testing.T) {
	read := lineage{}.add(2, 10).add(2, 15).add(-1, 17).add(5, 20).add(7, 30)
	committed := lineage{}.add(5, 0)
	for name, c := range map[string]struct {
		read     lineage
		position int64
		leader   fetch.EpochEnd
		at       int64
		differs  bool
	}{
		"the same":                              {read, 40, fetch.EpochEnd{Epoch: 7, Offset: 40}, 40, false},
		"more of the same epoch":                {read, 40, fetch.EpochEnd{Epoch: 7, Offset: 60}, 40, false},
		"less of the same epoch":                {read, 40, fetch.EpochEnd{Epoch: 7, Offset: 33}, 33, true},
		"lacks the last epoch":                  {read, 40, fetch.EpochEnd{Epoch: 5, Offset: 30}, 30, true},
		"lacks it, and some of the one before":  {read, 40, fetch.EpochEnd{Epoch: 5, Offset: 25}, 25, true},
		"another log under an older epoch":      {read, 40, fetch.EpochEnd{Epoch: 5, Offset: 90}, 30, true},
		"an epoch that was never read":          {read, 40, fetch.EpochEnd{Epoch: 4, Offset: 90}, 20, true},
		"none of the epochs":                    {read, 40, fetch.EpochEnd{Epoch: 1, Offset: 90}, 10, true},
		"knows no such epoch":                   {read, 40, fetch.EpochEnd{Epoch: -1, Offset: -1}, -1, true},
		"begins an epoch where nothing is read": {read, 30, fetch.EpochEnd{Epoch: 5, Offset: 30}, 30, false},
		"commit, the same":                      {committed, 40, fetch.EpochEnd{Epoch: 5, Offset: 41}, 40, false},
		"commit, less":                          {committed, 40, fetch.EpochEnd{Epoch: 5, Offset: 39}, 39, true},
		"commit, lacks the epoch":               {committed, 40, fetch.EpochEnd{Epoch: 4, Offset: 39}, 0, true}, // where it began is not known
	} {
		if at, differs := c.read.differs(c.position, c.leader); at != c.at || differs != c.differs {
			t.Errorf("%s: %d %t, want %d %t", name, at, differs, c.at, c.differs)
		}
	}
	if short := read.until(30); len(short) != 2 || short.last() != 5 {
		t.Errorf("below 30: %v", short)
	}
	for i := range int32(200) {
		read = read.add(10+i, 100+int64(i))
	}
	if len(read) != maxReigns || read[0].start != 0 || read.last() != 209 {
		t.Errorf("%d reigns from %+v", len(read), read[0])
	}
}

// epochEnds answers for the leader where an epoch ends, while a topic of one partition is read.
func (w *world) epochEnds(answer func(epoch int32) (int32, int64, *kerr.Error)) (asked *[]int32) {
	asked = new([]int32)
	w.on(kmsg.OffsetForLeaderEpoch, func(q kmsg.Request) (kmsg.Response, error, bool) {
		req := q.(*kmsg.OffsetForLeaderEpochRequest)
		epoch := req.Topics[0].Partitions[0].LeaderEpoch
		p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
		var e *kerr.Error
		w.mu.Lock()
		*asked = append(*asked, epoch)
		p.LeaderEpoch, p.EndOffset, e = answer(epoch)
		w.mu.Unlock()
		if e != nil {
			p.ErrorCode = e.Code
		}
		resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		resp.Topics = []kmsg.OffsetForLeaderEpochResponseTopic{{Topic: testTopic, Partitions: []kmsg.OffsetForLeaderEpochResponseTopicPartition{p}}}
		return resp, nil, true
	})
	return asked
}

func (w *world) elect() {
	w.t.Helper()
	if err := w.kafka.MoveTopicPartition(testTopic, 0, (w.kafka.LeaderFor(testTopic, 0)+1)%3); err != nil {
		w.t.Fatal(err)
	}
}

func TestALeaderIsAskedOnceWhetherItHasWhatWasRead(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		refuse := true
		asked := w.epochEnds(func(epoch int32) (int32, int64, *kerr.Error) {
			if refuse {
				refuse = false
				return -1, -1, kerr.UnknownLeaderEpoch // it does not know yet that it leads
			}
			return epoch, 3, nil
		})
		w.produce(0, 3)
		s := w.start()
		w.until(20*time.Second, "read", s.has(0, 3))
		w.elect()
		pass(time.Minute)
		w.produce(0, 3)
		w.until(20*time.Second, "read on", s.has(0, 6))
		if len(*asked) != 2 || s.said("open") != 1 {
			t.Fatalf("asked for %v; %q", *asked, s.calls)
		}
	})
}

func TestABrokerThatCannotTellOfEpochsIsReadAllTheSame(t *testing.T) {
	for name, answer := range map[string]func(int32) (int32, int64, *kerr.Error){
		"unknown": func(int32) (int32, int64, *kerr.Error) { return -1, -1, nil },
		"refused": func(int32) (int32, int64, *kerr.Error) { return -1, -1, kerr.TopicAuthorizationFailed },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				w.epochEnds(answer)
				w.produce(0, 3)
				s := w.start()
				w.until(20*time.Second, "read", s.has(0, 3))
				w.elect()
				w.produce(0, 1)
				w.until(20*time.Second, "read on", s.has(0, 4))
				if s.said("open") != 1 {
					t.Fatalf("%q", s.calls)
				}
			})
		})
	}
}

func TestTheGroupsPositionGoesBackToWhereTheLogWasRewritten(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		last := int32(-1)
		w.epochEnds(func(epoch int32) (int32, int64, *kerr.Error) {
			if last = max(last, epoch); epoch == last {
				return epoch, 4, nil
			}
			return epoch, 10, nil
		})
		w.produce(0, 10)
		s := w.start()
		w.until(20*time.Second, "committed", s.committed(0, 10))
		s.setRoom(0, 1)
		w.elect()
		w.until(20*time.Second, "begun where the logs part", func() bool { return s.said("open 0@4 read 4") == 1 })
		w.until(20*time.Second, "committed", func() bool { return w.commits()[0].Offset == 5 })
		s.setRoom(0, 100)
		w.until(20*time.Second, "what took their place is read", s.has(0, 6))
		w.until(20*time.Second, "committed", s.committed(0, 10))
		if p := s.part(0); p.lost != 0 {
			t.Fatalf("%d records lost, of which all were settled", p.lost)
		}
	})
}

func TestUnsettledRecordsThatAnElectionTookAreCounted(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.epochEnds(func(epoch int32) (int32, int64, *kerr.Error) { return epoch, 4, nil })
		w.produce(0, 3)
		s := w.start()
		w.until(20*time.Second, "committed", s.committed(0, 3))
		s.with(func() { s.held = true })
		w.produce(0, 7)
		w.until(20*time.Second, "read", s.has(0, 10))
		w.elect()
		w.until(20*time.Second, "begun at the commit", func() bool { return s.said("open 0@3 read 3") == 1 })
		w.until(20*time.Second, "counted", func() bool { return s.part(0).lost == 6 })
	})
}

func TestAMapIsNotBelievedFromWhereTheLogWasRewritten(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.epochEnds(func(epoch int32) (int32, int64, *kerr.Error) { return epoch, 6, nil })
		s := w.prepare()
		s.held = true
		s.run(w)
		w.until(20*time.Second, "opened", s.opened(0))
		w.produce(0, 1)
		w.until(20*time.Second, "read", s.has(0, 1))
		s.with(func() { s.held = false })
		w.produce(0, 9)
		w.until(20*time.Second, "read", s.has(0, 10))
		w.elect()
		w.until(20*time.Second, "begun at the commit", func() bool { return s.said("open 0@0") == 2 })
		m := s.part(0).Restored
		if m == nil {
			t.Fatal("what lies below is repeated")
		}
		if horizon, _ := m.Reach(); horizon != 6 {
			t.Fatalf("records up to offset %d are called settled, of which those from 6 on are others now", horizon)
		}
	})
}

// A map may go beyond the position. Its epoch tells a record that was written later, not one that an older leader has brought back.
func TestAMapOfAnEpochThatTheLeaderLacksIsNotBelieved(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 12)
		id := ledger.Identity{TopicID: w.kafka.TopicInfo(testTopic).TopicID}
		l := ledger.New(id, 2, nil)
		l.Take(2, 0, ledger.LaneHash([]byte("parked")))
		for o := int64(3); o < 12; o++ {
			l.Settle(l.Take(o, 3, ledger.LaneHash([]byte("k"))))
		}
		c, _ := l.Commit(ledger.MaxMetadata)
		w.commit(0, 2, c.Metadata)
		w.epochEnds(func(int32) (int32, int64, *kerr.Error) { return 2, 100, nil })
		s := w.start()
		w.until(20*time.Second, "read", func() bool { return s.opened(0)() && s.part(0).next == 12 })
		if p := s.part(0); p.Restored != nil || p.Start != 2 || s.said("open") != 2 {
			t.Fatalf("%+v; %q", p.Partition, s.calls)
		}
	}, kfake.NumBrokers(3))
}

func TestACommitOfALaterEpochThanTheLeadersIsOfAnotherLog(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 12)
		w.commitAt(0, 9, 40, "")
		w.epochEnds(func(int32) (int32, int64, *kerr.Error) { return -1, -1, nil })
		s := w.start()
		w.until(20*time.Second, "read from the log start", s.has(0, 12))
	})
}
