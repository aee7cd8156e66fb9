package attacks

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// commitAs writes a commit of a group that has no members, for partition 0.
func commitAs(t *testing.T, b *harness.Broker, group, topic string, offset int64, epoch int32, metadata string) {
	t.Helper()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, At: offset, LeaderEpoch: epoch, Metadata: metadata})
	// The first group of a cluster waits for its coordinator.
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		answers, err := b.Admin().CommitOffsets(t.Context(), group, offsets)
		err = errors.Join(err, answers.Error())
		return err == nil, fmt.Sprintf("commit for %s: %v", group, err)
	})
}

// offsets are those of the calls from the n-th on that settled a record, ascending, each once.
func offsets(h *harness.Handler, n int) (offsets []int64) {
	for _, c := range h.Calls()[n:] {
		if c.Status == 200 {
			offsets = append(offsets, c.Offset)
		}
	}
	slices.Sort(offsets)
	return slices.Compact(offsets)
}

func span(from, to int64) (offsets []int64) {
	for o := from; o < to; o++ {
		offsets = append(offsets, o)
	}
	return offsets
}

// delivers waits until exactly these offsets were settled since the n-th call.
func delivers(t *testing.T, h *harness.Handler, n int, want []int64, guarantee string) {
	t.Helper()
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		got := offsets(h, n)
		return slices.Equal(got, want), fmt.Sprintf("%s: delivered %v, want %v", guarantee, got, want)
	})
}

// parked is a topic of 40 records of which offset 5 is of a key that fails, everything else is settled, and nobody runs.
type parked struct {
	topic string
	h     *harness.Handler
	env   harness.Env
	heal  chan struct{}
	at    harness.Commit // with the map
}

const parkedAt = 5

func parkOne(t *testing.T, b *harness.Broker) *parked {
	t.Helper()
	l := &parked{topic: b.CreateTopic(1), heal: make(chan struct{})}
	l.h = harness.NewHandler(t, func(c harness.Call) harness.Answer {
		select {
		case <-l.heal:
		default:
			if c.Offset == parkedAt {
				return harness.Answer{Status: 500}
			}
		}
		return harness.Answer{}
	})
	l.env = harness.TestEnv(b, l.topic, l.h)
	b.Produce(harness.Keyed(l.topic, 40, 40)...)
	s := harness.Start(t, l.env)
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		return l.h.Answered() == 39, fmt.Sprintf("%d of 39 records settled", l.h.Answered())
	})
	s.Signal(syscall.SIGTERM)
	s.Exit(0)
	l.at = b.Commits(l.env.Group(), l.topic)[0]
	if l.at.Offset != parkedAt || l.at.Metadata == "" {
		t.Fatalf("committed %+v", l.at)
	}
	l.env = l.env.With("START_AT", "latest")
	return l
}

func TestATopicRecreatedWhileNobodyRunsIsReadFromItsStart(t *testing.T) {
	b := harness.Real(t)
	l := parkOne(t, b)
	b.DeleteTopic(l.topic)
	b.CreateTopicNamed(l.topic, 1)
	b.Produce(harness.Keyed(l.topic, 80, 40)...)
	// The broker deletes the commits of a deleted topic. What brings them back are backups, mirrors, and a commit that was under way.
	commitAs(t, b, l.env.Group(), l.topic, l.at.Offset, -1, l.at.Metadata)
	close(l.heal)
	n := l.h.Count()
	s := harness.Start(t, l.env)
	delivers(t, l.h, n, span(0, 80), "records of the new topic were taken for those of the deleted one")
	s.WaitLog(`"level":"error"`, "deleted and created again")
}

// A reader that waits for room asks nothing of the broker meanwhile: when it goes on, everything is there, but in another log.
func TestATopicRecreatedWhileItsReaderWaitsIsReadFromItsStart(t *testing.T) {
	b := harness.Real(t)
	topic := b.CreateTopic(1)
	hold := make(chan struct{})
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		if c.Offset == 39 {
			return harness.Answer{Until: hold}
		}
		return harness.Answer{}
	})
	env := harness.TestEnv(b, topic, h).With("MAX_IN_FLIGHT", "1", "KAFKA_OPTION_TOPIC_METADATA_REFRESH_INTERVAL_MS", "300000")
	b.Produce(harness.Keyed(topic, 40, 40)...)
	s := harness.Start(t, env)
	h.WaitCalls(40)
	b.DeleteTopic(topic)
	b.CreateTopicNamed(topic, 1)
	b.Produce(harness.Keyed(topic, 80, 40)...)
	close(hold)
	delivers(t, h, 40, span(0, 80), "records of the new topic were taken for those of the deleted one")
	s.WaitLog(`"level":"error"`, "deleted and created again")
}

func TestRetentionThatPassesTheCommitOfAStoppedSidecarIsCounted(t *testing.T) {
	b := harness.Real(t)
	l := parkOne(t, b)
	b.DeleteRecords(l.topic, 0, 30)
	n := l.h.Count()
	s := harness.Start(t, l.env)
	b.Produce(harness.Keyed(l.topic, 10, 5)...)
	delivers(t, l.h, n, span(40, 50), "reading goes on at the log start, and what the map calls settled is not repeated")
	s.WaitMetric(25, "kafka_sidecar_records_lost_total")
	b.WaitCommitted(l.env.Group(), l.topic)
}

func TestRetentionThatPassesAReaderBehindAParkedKeyIsCounted(t *testing.T) {
	b := harness.Real(t)
	topic := b.CreateTopic(1)
	heal := make(chan struct{})
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		select {
		case <-heal:
			return harness.Answer{}
		default:
			return harness.Answer{Status: 500}
		}
	})
	// One key, parked, whose followers fill the bound: the reader waits in front of the rest.
	b.ProduceWith([]kgo.Opt{kgo.ProducerBatchMaxBytes(512)}, harness.Keyed(topic, 200, 1)...)
	s := harness.Start(t, harness.TestEnv(b, topic, h).With("PARKED_MAX", "10", "MAX_IN_FLIGHT", "10", "KAFKA_OPTION_MAX_PARTITION_FETCH_BYTES", "1024")).WaitReady()
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		return s.Metrics().Value("kafka_sidecar_parked_records") >= 10, "the parked records do not fill the bound"
	})
	b.DeleteRecords(topic, 0, 150)
	close(heal)
	late := b.Produce(harness.Keyed(topic, 10, 5)...)
	h.WaitSettled(late)
	got := offsets(h, 0)
	below, _ := slices.BinarySearch(got, 150)
	if !slices.Equal(got[below:], span(150, 210)) {
		t.Errorf("reading does not go on at the log start: settled %v", got[below:])
	}
	if below < 10 || below >= 150 {
		t.Fatalf("%d records below the new log start were settled: retention has not passed the reader", below)
	}
	s.WaitMetric(float64(150-below), "kafka_sidecar_records_lost_total")
	s.WaitLog(`"level":"error"`, "deleted by retention")
}

// Tools write an offset and no metadata; mirrors and backups write an offset of their own beside the metadata that they found.
func TestAResetWhileNobodyRunsIsObeyed(t *testing.T) {
	b := harness.Real(t)
	for name, c := range map[string]struct {
		offset int64
		stale  bool // the metadata stays that of the old commit
		want   []int64
	}{
		"back":                                 {2, false, span(2, 40)},
		"back, with the map that was there":    {2, true, span(2, 40)},
		"forward":                              {20, false, span(20, 40)},
		"forward, with the map that was there": {20, true, span(20, 40)},
		"to where it was":                      {parkedAt, false, span(parkedAt, 40)},
		"to the end":                           {40, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := parkOne(t, b)
			metadata := ""
			if c.stale {
				metadata = l.at.Metadata
			}
			commitAs(t, b, l.env.Group(), l.topic, c.offset, -1, metadata)
			close(l.heal)
			n := l.h.Count()
			harness.Start(t, l.env)
			b.Produce(harness.Keyed(l.topic, 1, 1)...)
			delivers(t, l.h, n, append(c.want, 40), "a reset decides where reading begins, and skips nothing beyond")
		})
	}
	t.Run("to a time", func(t *testing.T) {
		topic := b.CreateTopic(1)
		h := harness.NewHandler(t, harness.OK)
		env := harness.TestEnv(b, topic, h)
		now := time.Now()
		records := harness.Keyed(topic, 10, 10)
		for i, r := range records {
			r.Timestamp = now.Add(time.Duration(i-10) * time.Hour)
		}
		b.Produce(records...)
		s := harness.Start(t, env)
		h.WaitSettled(records)
		s.Signal(syscall.SIGTERM)
		s.Exit(0)
		found, err := b.Admin().ListOffsetsAfterMilli(t.Context(), now.Add(-150*time.Minute).UnixMilli(), topic)
		if err != nil {
			t.Fatal(err)
		}
		at, _ := found.Lookup(topic, 0)
		if at.Offset != 8 {
			t.Fatalf("the tool found offset %d", at.Offset)
		}
		commitAs(t, b, env.Group(), topic, at.Offset, at.LeaderEpoch, "")
		n := h.Count()
		harness.Start(t, env)
		delivers(t, h, n, span(8, 10), "a reset to a time is obeyed")
	})
}

func TestMetadataThatIsNotOfThisCommitSkipsNothing(t *testing.T) {
	b := harness.Real(t)
	other := parkOne(t, b) // its map fits in everything but the topic's id
	for name, metadata := range map[string]func(ours string) string{
		"empty":                 func(string) string { return "" },
		"foreign":               func(string) string { return "2026-01-01T00:00:00Z consumer-7" },
		"of a later release":    func(ours string) string { return "ks9:" + strings.TrimPrefix(ours, "ks1:") },
		"truncated":             func(ours string) string { return ours[:len(ours)-5] },
		"altered":               func(ours string) string { return ours[:12] + "AAAA" + ours[16:] },
		"of another topic's id": func(string) string { return other.at.Metadata },
	} {
		t.Run(name, func(t *testing.T) {
			l := parkOne(t, b)
			commitAs(t, b, l.env.Group(), l.topic, parkedAt, -1, metadata(l.at.Metadata))
			close(l.heal)
			n := l.h.Count()
			harness.Start(t, l.env)
			from := int64(parkedAt)
			if name == "of another topic's id" {
				from = 0 // the commit is one of a topic that was deleted, as far as anybody can tell
			}
			delivers(t, l.h, n, span(from, 40), "records were called settled by metadata that is not of this commit")
		})
	}
	for name, c := range map[string]struct {
		epoch int32
		from  int64
	}{
		"the leader's epoch":            {0, parkedAt},
		"an epoch that never was":       {99, 0}, // the commit is of another log
		"an epoch that nobody has told": {-1, parkedAt},
	} {
		t.Run(name, func(t *testing.T) {
			l := parkOne(t, b)
			commitAs(t, b, l.env.Group(), l.topic, parkedAt, c.epoch, "")
			close(l.heal)
			n := l.h.Count()
			harness.Start(t, l.env)
			delivers(t, l.h, n, span(c.from, 40), "a commit of another log decides nothing about this one")
		})
	}
}
