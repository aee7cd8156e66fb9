package intake

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake/group"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/ledger"
)

// someMap is the metadata of a commit at offset base: base is not settled, the nine records after it are.
func someMap(id ledger.Identity, base int64) string {
	l := ledger.New(id, base, nil)
	l.Take(base, 0, ledger.LaneHash([]byte("parked")))
	for o := base + 1; o < base+10; o++ {
		l.Settle(l.Take(o, 0, ledger.LaneHash([]byte("k"))))
	}
	c, _ := l.Commit(ledger.MaxMetadata)
	return c.Metadata
}

func TestReadingNeverBeginsAtTheEndForWantOfAPosition(t *testing.T) {
	topic := cluster.Topic{Name: testTopic, ID: [16]byte{1}}
	unknown := cluster.Topic{Name: testTopic} // the broker does not say the id
	log := func(topic cluster.Topic, partition int32, lanes uint32) ledger.Identity {
		return ledger.Identity{TopicID: topic.ID, Partition: partition, Lanes: lanes}
	}
	ours := log(topic, 3, 7)
	damaged := func(s string) string { return s[:len(s)-3] + strings.Repeat("A", 3) }
	const start, end = 100, 200
	for name, c := range map[string]struct {
		topic             cluster.Topic
		committed         int64
		metadata          string
		wantStart, wantAt int64
		lost              int64
		restored          bool
	}{
		"no commit":                        {topic, -1, "", start, start, 0, false},
		"at the log start":                 {topic, start, someMap(ours, start), start, start, 0, true},
		"inside":                           {topic, 150, someMap(ours, 150), 150, 150, 0, true},
		"at the end":                       {topic, end, someMap(ours, end), end, end, 0, true},
		"below the log start":              {topic, 95, someMap(ours, 95), 95, start, 5, true},
		"below the log start, no map":      {topic, 0, "", 0, start, 100, false},
		"beyond the end":                   {topic, end + 1, someMap(ours, end+1), start, start, 0, false},
		"beyond the end, foreign":          {topic, 1000, "x", start, start, 0, false},
		"another topic id":                 {topic, 150, someMap(log(cluster.Topic{ID: [16]byte{2}}, 3, 7), 150), start, start, 0, false},
		"another topic id, below":          {topic, 95, someMap(log(cluster.Topic{ID: [16]byte{2}}, 3, 7), 95), start, start, 0, false},
		"topic id unknown now":             {unknown, 150, someMap(ours, 150), 150, 150, 0, false},
		"topic id unknown then":            {topic, 150, someMap(log(unknown, 3, 7), 150), 150, 150, 0, false},
		"no metadata":                      {topic, 150, "", 150, 150, 0, false},
		"foreign metadata":                 {topic, 150, "ts=1700000000", 150, 150, 0, false},
		"damaged map":                      {topic, 150, damaged(someMap(ours, 150)), 150, 150, 0, false},
		"map beside another offset":        {topic, 151, someMap(ours, 150), 151, 151, 0, false}, // as MirrorMaker copies it
		"map of another partition":         {topic, 150, someMap(log(topic, 4, 7), 150), 150, 150, 0, false},
		"damaged map beyond the end":       {topic, end + 1, damaged(someMap(ours, end+1)), start, start, 0, false},
		"damaged map below the log start":  {topic, 99, damaged(someMap(ours, 99)), 99, start, 1, false},
		"offset zero of a log that has it": {topic, 0, someMap(ours, 0), 0, start, 100, true},
	} {
		in := &Intake{cfg: Config{LaneScheme: 7}, log: slog.New(slog.DiscardHandler)}
		p := in.position(t.Context(), 3, c.topic, group.Committed{Offset: c.committed, LeaderEpoch: -1, Metadata: c.metadata}, start, end)
		if p.ID != 3 || p.Start != c.wantStart || p.Read != c.wantAt || p.Lost != c.lost || (p.Restored != nil) != c.restored || p.Log != log(c.topic, 3, 7) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestRecordsThatRetentionTookBeforeTheStartAreCounted(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 20)
		w.commit(0, 5, someMap(ledger.Identity{TopicID: w.kafka.TopicInfo(testTopic).TopicID}, 5))
		if err := w.kafka.DeleteRecords(testTopic, 0, 12); err != nil {
			t.Fatal(err)
		}
		s := w.prepare(func(c *Config) { c.StartAt.Latest = true })
		s.setRoom(0, 0)
		s.run(w)
		w.until(20*time.Second, "committed past what is gone, before anything is read", s.committed(0, 12))
		s.setRoom(0, 100)
		w.until(20*time.Second, "read", s.has(0, 8))
		if p := s.part(0); p.Start != 5 || p.Read != 12 || p.lost != 7 || p.Restored == nil || p.records[0].Offset != 12 {
			t.Fatalf("%+v", p.Partition)
		}
		w.until(20*time.Second, "committed", s.committed(0, 20))
	})
}

func TestTopicThatWasRecreatedWhileNobodyRanIsReadFromItsStart(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 5)
		old := someMap(ledger.Identity{TopicID: w.kafka.TopicInfo(testTopic).TopicID}, 4)
		w.recreate(1)
		w.produce(0, 10) // more than were there before: the offset alone would be believed
		w.commit(0, 4, old)
		s := w.start(func(c *Config) { c.StartAt.Latest = true })
		w.until(20*time.Second, "read", s.has(0, 10))
		if p := s.part(0); p.Log.TopicID != w.kafka.TopicInfo(testTopic).TopicID || p.Restored != nil {
			t.Fatalf("%+v", p.Partition)
		}
	})
}
