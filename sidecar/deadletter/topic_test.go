package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// headersOf is a record's headers in order, one "name=value" each.
func headersOf(r *kgo.Record) string {
	var out []string
	for _, h := range r.Headers {
		value := "null"
		if h.Value != nil {
			value = fmt.Sprintf("%q", h.Value)
		}
		out = append(out, h.Key+"="+value)
	}
	return strings.Join(out, "\n")
}

func TestDeadLetterKeepsTheRecordByteForByte(t *testing.T) {
	for name, want := range map[string]record.Record{
		"ordinary":     {Key: []byte("k"), Value: []byte("v"), Headers: []record.Header{{Name: "a", Value: []byte("1")}, {Name: "a", Value: []byte("2")}}},
		"null":         {Key: nil, Value: nil, Headers: []record.Header{{Name: "", Value: nil}}},
		"empty":        {Key: []byte{}, Value: []byte{}, Headers: []record.Header{{Name: "e", Value: []byte{}}}},
		"binary":       {Key: []byte{0, 0xff, '\n'}, Value: []byte{0xc3, 0x28, 0}, Headers: []record.Header{{Name: "\xff\x00", Value: []byte{0, 1}}}},
		"compressible": {Key: []byte("k"), Value: bytes.Repeat([]byte("all the same "), 20_000)},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			l := letter("")
			l.Record.Key, l.Record.Value, l.Record.Headers = want.Key, want.Value, want.Headers
			write(t, b.target(nil), l)
			got := b.read(1)[0]
			if !bytes.Equal(got.Key, want.Key) || (got.Key == nil) != (want.Key == nil) {
				t.Errorf("key %q, want %q", got.Key, want.Key)
			}
			if !bytes.Equal(got.Value, want.Value) || (got.Value == nil) != (want.Value == nil) {
				t.Errorf("value of %d bytes, want %d", len(got.Value), len(want.Value))
			}
			for i, h := range want.Headers {
				g := got.Headers[i]
				if g.Key != h.Name || !bytes.Equal(g.Value, h.Value) || (g.Value == nil) != (h.Value == nil) {
					t.Errorf("header %d is %q=%q, want %q=%q", i, g.Key, g.Value, h.Name, h.Value)
				}
			}
		})
	}
}

func TestDeadLetterSaysWhereItCameFromAndWhy(t *testing.T) {
	b := start(t)
	l := letter("k")
	l.Record.Headers = []record.Header{{Name: "own", Value: []byte("x")}}
	write(t, b.target(nil), l)
	got := b.read(1)[0]
	want := `own="x"
kafka-sidecar.source.topic="source"
kafka-sidecar.source.partition="3"
kafka-sidecar.source.offset="4711"
kafka-sidecar.source.timestamp="1700000000123"
kafka-sidecar.subscription="orders-to-billing"
kafka-sidecar.reason="status"
kafka-sidecar.status="422"
kafka-sidecar.attempts="3"
kafka-sidecar.failed-at="2026-11-22T09:00:00.005Z"`
	if h := headersOf(got); h != want {
		t.Errorf("headers:\n%s\nwant:\n%s", h, want)
	}
}

// With the record's own time retention could delete the letter as soon as it is written, and so it could with that of a failure that was
// a week ago when the target was mended.
func TestDeadLetterHasTheTimeOfItsFailureUnlessThatIsLongAgo(t *testing.T) {
	b := start(t)
	topic := b.target(nil)
	began := time.Now()
	fresh, late := letter("k"), letter("k")
	fresh.FailedAt, late.FailedAt = began.Add(-time.Minute).Truncate(time.Millisecond), began.Add(-8*24*time.Hour)
	write(t, topic, fresh)
	write(t, topic, late)
	got := b.read(2)
	if !got[0].Timestamp.Equal(fresh.FailedAt) {
		t.Errorf("timestamp %s, want the time of failure %s", got[0].Timestamp, fresh.FailedAt)
	}
	if got[1].Timestamp.Before(began.Truncate(time.Millisecond)) {
		t.Errorf("a letter that could be written only after 8 days has the timestamp %s: a topic that keeps its records for 7 days drops it", got[1].Timestamp)
	}
	if want := late.FailedAt.UTC().Format("2006-01-02T15:04:05"); !strings.Contains(headersOf(got[1]), want) {
		t.Errorf("headers %s, want the time of failure %s", headersOf(got[1]), want)
	}
}

func TestRedrivenRecordKeepsItsFirstSource(t *testing.T) {
	b := start(t)
	topic := b.target(nil)
	l := letter("k")
	l.Record.Headers = []record.Header{
		{Name: "kafka-sidecar.source.topic", Value: []byte("first")}, {Name: "own", Value: []byte("x")},
		{Name: "kafka-sidecar.source.partition", Value: []byte("9")}, {Name: "kafka-sidecar.source.offset", Value: []byte("8")},
		{Name: "kafka-sidecar.source.timestamp", Value: []byte("7")}, {Name: "kafka-sidecar.reason", Value: []byte("age")},
		{Name: "kafka-sidecar.attempts", Value: []byte("99")},
	}
	write(t, topic, l)
	want := `kafka-sidecar.source.topic="first"
own="x"
kafka-sidecar.source.partition="9"
kafka-sidecar.source.offset="8"
kafka-sidecar.source.timestamp="7"
kafka-sidecar.subscription="orders-to-billing"
kafka-sidecar.reason="status"
kafka-sidecar.status="422"
kafka-sidecar.attempts="3"
kafka-sidecar.failed-at="2026-11-22T09:00:00.005Z"`
	if h := headersOf(b.read(1)[0]); h != want {
		t.Errorf("headers:\n%s\nwant:\n%s", h, want)
	}
}

func TestLettersOfAKeyGoWhereTheJavaClientPutsThem(t *testing.T) {
	b := start(t)
	topic := b.target(nil)
	var all sync.WaitGroup
	for i := range 40 { // at the same time, so that some share a batch
		all.Go(func() {
			l := letter(fmt.Sprintf("key %d", i%10))
			if i >= 30 {
				l.Record.Key = nil
			}
			if err := topic.Write(t.Context(), l); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	nullKeys := map[int32]int{}
	for _, r := range b.read(40) {
		if r.Key == nil {
			nullKeys[r.Partition]++
		} else if want := int32(murmur2(r.Key)&0x7fffffff) % 4; r.Partition != want {
			t.Errorf("key %q is in partition %d, want %d", r.Key, r.Partition, want)
		}
	}
	for p := range int32(4) {
		if n := nullKeys[p]; n < 2 || n > 3 {
			t.Errorf("partition %d has %d of 10 null keys", p, n)
		}
	}
}

func TestLettersThatWaitTogetherAreWrittenTogether(t *testing.T) {
	b := start(t)
	topic := b.target(nil)
	held, release, requests := b.hold()
	var all sync.WaitGroup
	all.Go(func() { write(t, topic, letter("k")) })
	<-held
	for range 20 {
		all.Go(func() { write(t, topic, letter("k")) })
	}
	until(t, func() bool {
		topic.mu.Lock()
		defer topic.mu.Unlock()
		return len(topic.writers[int32(partitionOf([]byte("k"), 4))].queue) == 20
	})
	release()
	all.Wait()
	b.read(21)
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

// until waits for a condition that nothing announces.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("it never happened")
		}
	}
}

func TestWritesWithoutAProducerIDWhereThatIsNotAllowed(t *testing.T) {
	b := start(t)
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ClusterAuthorizationFailed, Count: -1})
	topic := b.target(nil)
	write(t, topic, letter("k"))
	write(t, topic, letter("other"))
	for _, r := range b.read(2) {
		if r.ProducerID != -1 {
			t.Errorf("producer id %d", r.ProducerID)
		}
	}
	if n := strings.Count(b.log.String(), "IDEMPOTENT_WRITE"); n != 1 {
		t.Errorf("said %d times, want once: %s", n, b.log.String())
	}
}

func TestWritesToOldBrokers(t *testing.T) {
	b := start(t, kfake.MaxVersions(kversion.V2_3_0()))
	topic := b.target(nil)
	write(t, topic, letter("k"))
	write(t, topic, letter("k"))
	if r := b.read(2)[1]; r.ProducerID < 0 {
		t.Error("written without a producer id")
	}
}

func TestCallerThatGoesIsAnsweredAtOnce(t *testing.T) {
	b := start(t)
	topic := b.target(nil)
	held, release, _ := b.hold()
	gone := errors.New("partition lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	answer := make(chan error)
	go func() { answer <- topic.Write(ctx, letter("k")) }()
	<-held
	cancel(gone)
	if err := <-answer; !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
	release()
	write(t, topic, letter("k"))
}

func TestCloseEndsWritesUnderWay(t *testing.T) {
	b := start(t)
	topic := b.target(nil)
	held, _, _ := b.hold()
	answer := make(chan error)
	go func() { answer <- topic.Write(t.Context(), letter("k")) }()
	<-held
	topic.Close()
	if err := <-answer; !errors.Is(err, errClosed) {
		t.Errorf("error %v", err)
	}
	if err := topic.Write(t.Context(), letter("k")); !errors.Is(err, errClosed) {
		t.Errorf("error %v", err)
	}
}

func TestMissingTopicIsNeverCreated(t *testing.T) {
	b := start(t, kfake.AllowAutoTopicCreation())
	topic := b.target(func(c *TopicConfig, _ *cluster.Config) { c.Topic = "typo" })
	if err := topic.Write(t.Context(), letter("k")); !errors.Is(err, kafka.UnknownTopicOrPartition) {
		t.Errorf("write: %v", err)
	}
	if err := topic.Check(t.Context()); !errors.Is(err, kafka.UnknownTopicOrPartition) || !strings.Contains(err.Error(), `"typo" does not exist`) {
		t.Errorf("check: %v", err)
	}
	if b.TopicInfo("typo") != nil {
		t.Error("the topic was created")
	}
}

func TestRepeatThatTheBrokerKnowsIsWritten(t *testing.T) {
	b := start(t)
	topic := b.target(nil)
	h := b.refuse(kerr.DuplicateSequenceNumber, 1)
	write(t, topic, letter("k"))
	if h.Hits() != 1 || b.count() != 0 {
		t.Errorf("%d requests, %d records: a repeat was sent once more", h.Hits(), b.count())
	}
}

func TestLetterOfACallerThatHasGoneIsNotWritten(t *testing.T) {
	b := start(t)
	topic := b.target(nil)
	held, release, requests := b.hold()
	var all sync.WaitGroup
	all.Go(func() { write(t, topic, letter("k")) })
	<-held
	ctx, cancel := context.WithCancel(t.Context())
	all.Go(func() { _ = topic.Write(ctx, letter("k")) })
	until(t, func() bool {
		topic.mu.Lock()
		defer topic.mu.Unlock()
		return len(topic.writers[int32(partitionOf([]byte("k"), 4))].queue) == 1
	})
	cancel()
	release()
	all.Wait()
	topic.Close()
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
	b.read(1)
}
