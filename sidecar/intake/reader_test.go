package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/ledger"
)

func TestCompactedGapsAreReadOver(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		if err := w.kafka.CreateTopic(testTopic, 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			w.produce(0, 10) // keys k0 to k2, again and again
		}
		w.kafka.Compact()
		info := w.kafka.PartitionInfo(testTopic, 0)
		s := w.start()
		w.until(20*time.Second, "at the end", func() bool { return s.opened(0)() && s.part(0).next == info.HighWatermark })
		if p := s.part(0); len(p.records) == 0 || len(p.records) > 20 || p.records[len(p.records)-1].Offset != 99 || p.lost != 0 {
			t.Fatalf("%d records", len(p.records))
		}
		w.until(20*time.Second, "committed", s.committed(0, 100))
	})
}

func TestMarkersAtTheEndAreCommittedToo(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		cl := w.client(kgo.TransactionalID("txn"))
		defer cl.Close()
		for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
			if err := cl.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			w.send(cl, &kgo.Record{Value: []byte("a")})
			if err := cl.EndTransaction(t.Context(), end); err != nil {
				t.Fatal(err)
			}
		}
		s := w.start()
		w.until(20*time.Second, "committed", s.committed(0, 4))
		if n := s.count(0); n != 1 {
			t.Fatalf("%d records", n)
		}
	})
}

func TestReaderMovesWithTheLeader(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 3)
		s := w.start()
		w.until(20*time.Second, "read", s.has(0, 3))
		for i := range int32(6) {
			if err := w.kafka.MoveTopicPartition(testTopic, 0, (w.kafka.LeaderFor(testTopic, 0)+1)%3); err != nil {
				t.Fatal(err)
			}
			w.produce(0, 1)
			w.until(5*time.Second, "read from the new leader", s.has(0, int(4+i)))
		}
		if s.said("open") != 1 || s.said("close") != 0 {
			t.Fatalf("%q", s.calls)
		}
	})
}

func TestReadingOutlivesConnectionsAndBrokers(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		s := w.start()
		w.until(20*time.Second, "opened", s.opened(0, 1))
		n := 0
		more := func(what string) {
			t.Helper()
			n++
			w.produce(0, 1)
			w.produce(1, 1)
			w.until(30*time.Second, what, func() bool { return s.count(0) == n && s.count(1) == n })
		}
		for range 5 {
			w.cut()
			more("read after a cut")
		}
		w.setDown(true)
		w.cut()
		pass(20 * time.Second)
		w.setDown(false)
		more("read after an outage")
		if err := w.kafka.RemoveNode(w.kafka.LeaderFor(testTopic, 0)); err != nil {
			t.Fatal(err)
		}
		more("read after a broker's end")
		if s.said("close") != 0 {
			t.Fatalf("%q", s.calls)
		}
	})
}

func TestRecordsThatRetentionTookAreCountedAndReadingGoesOn(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 30)
		s := w.prepare(func(c *Config) { c.PartitionMaxBytes = 1 }) // a record at a time
		s.setRoom(0, 5)
		s.run(w)
		w.until(20*time.Second, "at the bound", s.has(0, 5))
		pass(time.Second)
		if err := w.kafka.DeleteRecords(testTopic, 0, 20); err != nil {
			t.Fatal(err)
		}
		s.setRoom(0, 100)
		w.until(20*time.Second, "read on", s.has(0, 15))
		if p := s.part(0); p.lost != 15 || p.records[5].Offset != 20 {
			t.Fatalf("lost %d, went on at %d", p.lost, p.records[5].Offset)
		}
		w.until(20*time.Second, "committed", s.committed(0, 30))
	})
}

func TestTruncatedLogIsReadFromItsStart(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 10)
		s := w.start()
		w.until(20*time.Second, "read", s.has(0, 10))
		// The broker's log ends at 4 now, as far as its answers go.
		w.on(kmsg.ListOffsets, func(q kmsg.Request) (kmsg.Response, error, bool) {
			req := q.(*kmsg.ListOffsetsRequest)
			resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
			p := kmsg.NewListOffsetsResponseTopicPartition()
			if p.Offset = 0; req.Topics[0].Partitions[0].Timestamp == latest {
				p.Offset = 4
			}
			resp.Topics = []kmsg.ListOffsetsResponseTopic{{Topic: testTopic, Partitions: []kmsg.ListOffsetsResponseTopicPartition{p}}}
			return resp, nil, true
		})
		w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: testTopic, Err: kerr.OffsetOutOfRange})
		w.until(20*time.Second, "opened anew", func() bool { return s.said("open 0@0") == 2 })
		w.until(20*time.Second, "read anew", s.has(0, 10))
	})
}

func TestOffsetThatIsInTheLogIsAskedForAgain(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 10)
		s := w.start()
		w.until(20*time.Second, "read", s.has(0, 10))
		h := w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: testTopic, Err: kerr.OffsetOutOfRange, Count: 3}) // by one that lags
		w.produce(0, 1)
		w.until(20*time.Second, "read on", s.has(0, 11))
		if p := s.part(0); h.Hits() != 3 || p.lost != 0 || s.said("open") != 1 {
			t.Fatalf("%d faults, lost %d, %q", h.Hits(), p.lost, s.calls)
		}
	})
}

func TestTopicThatIsRecreatedIsReadFromItsStart(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.produce(0, 5)
		w.produce(1, 5)
		s := w.start()
		w.until(20*time.Second, "committed", func() bool { return s.committed(0, 5)() && s.committed(1, 5)() })
		before := s.part(0).Log.TopicID
		w.recreate(2)
		w.produce(0, 20) // beyond the old position: by offset alone the first five would never be seen
		w.produce(1, 1)
		w.until(time.Minute, "read anew", func() bool { return s.count(0) == 20 && s.count(1) == 1 })
		if p := s.part(0); p.Log.TopicID == before || p.Log.TopicID != w.kafka.TopicInfo(testTopic).TopicID || p.records[0].Offset != 0 {
			t.Fatalf("%+v", p.Partition)
		}
		w.until(20*time.Second, "committed", func() bool { return w.commits()[0].Offset == 20 && w.commits()[1].Offset == 1 })
	})
}

func TestBrokerThatDoesNotSayTheTopicIDHasNoOtherTopic(t *testing.T) {
	known := ledger.Identity{TopicID: [16]byte{1}}
	partitions := []cluster.Partition{{Leader: "localhost:9092"}}
	in := &Intake{topic: newTopicView(testTopic, func(context.Context, string) (cluster.Topic, error) {
		return cluster.Topic{Name: testTopic, Partitions: partitions}, nil
	})}
	r := &reader{in: in, part: Partition{Log: known}, next: 7}
	if err := r.recover(t.Context(), kafka.UnknownTopicOrPartition); !errors.Is(err, kafka.UnknownTopicOrPartition) || r.next != 7 || r.part.Log != known {
		t.Fatalf("%v, reads on at %d", err, r.next)
	}
}

func TestPartitionWithoutRoomSendsNoFetchAndOthersGoOn(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		s := w.prepare()
		s.setRoom(0, 0)
		s.run(w)
		w.until(20*time.Second, "opened", s.opened(0, 1, 2))
		for i := range 10 {
			for id := range int32(3) {
				w.produce(id, 1)
			}
			w.until(5*time.Second, "the others are read", func() bool { return s.count(1) == i+1 && s.count(2) == i+1 })
		}
		if n := w.fetched(0); n != 0 || s.count(0) != 0 {
			t.Fatalf("%d requests without room, %d records", n, s.count(0))
		}
		// Its end is known all the same.
		w.until(time.Minute, "the end is known", func() bool { return s.part(0).ends.High == 10 && s.part(0).ends.Stable == 10 })
		s.setRoom(0, 4)
		w.until(5*time.Second, "as many as there is room for", s.has(0, 4))
		n := w.fetched(0)
		pass(time.Minute)
		if s.count(0) != 4 || w.fetched(0) != n {
			t.Fatalf("%d records, %d requests at the bound", s.count(0), w.fetched(0)-n)
		}
		s.setRoom(0, 100)
		w.until(5*time.Second, "the rest", s.has(0, 10))
	})
}

func TestFetchBringsNoMoreThanWasReserved(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		var mu sync.Mutex
		var asked []int32
		w.on(kmsg.Fetch, func(q kmsg.Request) (kmsg.Response, error, bool) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, q.(*kmsg.FetchRequest).Topics[0].Partitions[0].PartitionMaxBytes)
			return nil, nil, false
		})
		s := w.prepare()
		s.most = 700
		s.run(w)
		w.produce(0, 50)
		w.until(time.Minute, "read", s.has(0, 50))
		mu.Lock()
		defer mu.Unlock()
		if slices.ContainsFunc(asked, func(n int32) bool { return n != 700 }) {
			t.Fatalf("asked for %v", asked)
		}
	})
}

// sendLarge appends one batch of 100 records that is small on the wire.
func (w *world) sendLarge(id int32) {
	w.t.Helper()
	cl := w.client(kgo.ProducerBatchCompression(kgo.GzipCompression()))
	defer cl.Close()
	var batch []*kgo.Record
	for i := range 100 {
		batch = append(batch, &kgo.Record{Partition: id, Value: append(fmt.Append(nil, i), bytes.Repeat([]byte{' '}, 1000)...)})
	}
	w.send(cl, batch...)
}

// A batch that is larger than the allowance is not kept in memory by a reader that waits for room, or nobody else could read one.
func TestLargeBatchIsNotHeldWhileItsReaderWaits(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		send := w.sendLarge
		send(0)
		s := w.prepare(func(c *Config) { c.BatchAllowance = 1 << 10 })
		s.setRoom(0, 7)
		s.run(w)
		w.until(20*time.Second, "at the bound", s.has(0, 7))
		send(1)
		w.until(20*time.Second, "the other partition is read", s.has(1, 100))
		for n := 7; n < 100; n += 31 { // each time it is unpacked anew, and goes on where it was
			s.setRoom(0, 31)
			w.until(20*time.Second, "as many as there is room for", s.has(0, n+31))
		}
		s.in.holds.mu.Lock()
		defer s.in.holds.mu.Unlock()
		if h := s.in.holds; h.used != 0 || h.above != nil {
			t.Fatalf("%d bytes are held", h.used)
		}
	})
}

// Room that a reader was told of may be gone when it comes with the record.
func TestLargeBatchIsNotHeldByAReaderThatLostItsRoom(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.sendLarge(0)
		s := w.prepare(func(c *Config) { c.BatchAllowance = 1 << 10 })
		s.snatch = true
		s.run(w)
		w.until(20*time.Second, "somebody else took the room", func() (lost bool) { s.with(func() { lost = !s.snatch }); return lost })
		w.sendLarge(1)
		w.until(20*time.Second, "the other partition is read", s.has(1, 100))
		if n := s.count(0); n != 0 {
			t.Fatalf("%d records of partition 0 were taken without room", n)
		}
		s.setRoom(0, 100)
		w.until(20*time.Second, "read", s.has(0, 100))
	})
}
