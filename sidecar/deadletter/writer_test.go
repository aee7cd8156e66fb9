package deadletter

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

func TestLostAnswerLeavesOneLetter(t *testing.T) {
	b := start(t)
	var cut atomic.Int32
	topic := b.target(func(_ *TopicConfig, c *cluster.Config) {
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return &cutConn{Conn: conn, cut: &cut}, err
		}
	})
	write(t, topic, letter("k"))
	for range 3 {
		cut.Store(2) // twice in a row: the broker has the batch, we do not have its answer
		write(t, topic, letter("k"))
		if cut.Load() != 0 {
			t.Fatal("nothing was cut")
		}
	}
	b.read(4)
}

// cutConn loses the answer to a Produce request, and with it the connection, as long as cut is above 0.
type cutConn struct {
	net.Conn
	cut *atomic.Int32
	now bool
}

func (c *cutConn) Write(b []byte) (int, error) {
	if len(b) > 6 && binary.BigEndian.Uint16(b[4:]) == 0 && c.cut.Load() > 0 {
		c.now = true
		c.cut.Add(-1)
	}
	return c.Conn.Write(b)
}

func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.now && err == nil {
		c.Close()
		return 0, io.EOF
	}
	return n, err
}

func TestTimedOutWriteLeavesOneLetter(t *testing.T) {
	b := start(t)
	topic := b.target(nil)
	write(t, topic, letter("k"))
	b.refuse(kerr.RequestTimedOut, 2) // kfake appends nevertheless, as a broker does
	write(t, topic, letter("k"))
	b.read(2)
}

func TestGivenUpWriteNeverConfirmsAnotherLetter(t *testing.T) {
	// The broker has written the first letter but never said so. The second one under the same sequence would pass for its repeat:
	// confirmed, and lost.
	b := start(t)
	topic := b.target(nil)
	write(t, topic, letter("k"))
	h := b.refuse(kerr.RequestTimedOut, -1)
	lost := letter("k")
	lost.Record.Value = []byte("first")
	if err := topic.Write(t.Context(), lost); !errors.Is(err, kafka.RequestTimedOut) {
		t.Fatalf("error %v", err)
	}
	h.Remove()
	second := letter("k")
	second.Record.Value = []byte("second")
	write(t, topic, second)
	records := b.read(3)
	if v := string(records[2].Value); v != "second" {
		t.Fatalf("the last letter is %q", v)
	}
}

func TestWritesFollowTheLeader(t *testing.T) {
	b := start(t)
	topic := b.target(nil)
	write(t, topic, letter("k"))
	p := int32(partitionOf([]byte("k"), 4))
	for range 3 {
		if err := b.MoveTopicPartition("dead", p, (b.LeaderFor("dead", p)+1)%3); err != nil {
			t.Fatal(err)
		}
		write(t, topic, letter("k"))
	}
	b.read(4)
}

func TestFailuresThatHealAreSatOut(t *testing.T) {
	for _, e := range []*kerr.Error{
		kerr.NotEnoughReplicas, kerr.NotLeaderForPartition, kerr.KafkaStorageError, kerr.UnknownTopicOrPartition,
		kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch, kerr.UnsupportedCompressionType, kerr.ClusterAuthorizationFailed,
	} {
		t.Run(e.Message, func(t *testing.T) {
			b := start(t)
			topic := b.target(nil)
			write(t, topic, letter("k"))
			b.refuse(e, 1)
			write(t, topic, letter("k"))
			write(t, topic, letter("k"))
			b.read(3)
		})
	}
}

func TestRefusalIsGivenBackAndTheNextLetterIsWritten(t *testing.T) {
	for _, c := range []struct {
		code *kerr.Error
		want kafka.Error
		says string
		hits int
	}{
		{kerr.NotEnoughReplicas, kafka.NotEnoughReplicas, "min.insync.replicas", maxTries},
		{kerr.NotEnoughReplicasAfterAppend, kafka.NotEnoughReplicasAfterAppend, "min.insync.replicas", maxTries},
		{kerr.TopicAuthorizationFailed, kafka.TopicAuthorizationFailed, "right WRITE", 1},
		{kerr.InvalidRecord, kafka.InvalidRecord, "no key", 1},
		{kerr.MessageTooLarge, kafka.MessageSizeTooLarge, "max.message.bytes", 2},
		{kerr.RecordListTooLarge, kafka.RecordListTooLarge, "max.message.bytes", 2},
		{kerr.InvalidTimestamp, kafka.InvalidTimestamp, "partition", 1},
	} {
		t.Run(c.code.Message, func(t *testing.T) {
			b := start(t)
			topic := b.target(nil)
			h := b.refuse(c.code, -1)
			l := letter("secret key")
			l.Record.Value, l.Record.Headers = []byte("secret value"), []record.Header{{Name: "secret header", Value: []byte("secret")}}
			err := topic.Write(t.Context(), l)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), `"dead"`) {
				t.Fatalf("error %v", err)
			}
			if strings.Contains(err.Error()+b.log.String(), "secret") {
				t.Errorf("the record shows: %v\n%s", err, b.log.String())
			}
			if h.Hits() != c.hits {
				t.Errorf("%d requests, want %d", h.Hits(), c.hits)
			}
			h.Remove()
			before := b.count()
			write(t, topic, letter("secret key"))
			if b.count() != before+1 {
				t.Errorf("%d records after one more letter, %d before", b.count(), before)
			}
		})
	}
}

func TestTooLargeLetterIsWrittenWithTheShortHeaders(t *testing.T) {
	b := start(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "2000"}))
	topic := b.target(nil)
	l := letter("k")
	l.Record.Value = incompressible(1800)
	l.Record.Headers = []record.Header{{Name: "own", Value: incompressible(300)}}
	write(t, topic, l)
	r := b.read(1)[0]
	want := `kafka-sidecar.source.topic="source"
kafka-sidecar.source.partition="3"
kafka-sidecar.source.offset="4711"
kafka-sidecar.reason="status"`
	if h := headersOf(r); h != want {
		t.Errorf("headers:\n%s\nwant:\n%s", h, want)
	}
	if !bytes.Equal(r.Value, l.Record.Value) {
		t.Error("the value is not the record's")
	}
	l.Record.Value = incompressible(3000)
	if err := topic.Write(t.Context(), l); !errors.Is(err, kafka.MessageSizeTooLarge) {
		t.Errorf("error %v", err)
	}
}

func incompressible(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

func TestOneBadLetterFailsNoOtherOfItsBatch(t *testing.T) {
	b := start(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "5000"}))
	topic := b.target(nil)
	w := &writer{topic: topic, partition: 1, producer: anonymous}
	var batch []*pending
	for i := range 5 {
		l := letter("k")
		l.Record.Value = []byte(fmt.Sprint(i))
		if i == 2 {
			l.Record.Value = incompressible(8000)
		}
		batch = append(batch, &pending{ctx: t.Context(), letter: l, done: make(chan error, 1)})
	}
	w.deliver(batch)
	w.hangUp()
	for i, p := range batch {
		if err := <-p.done; (err != nil) != (i == 2) {
			t.Errorf("letter %d: %v", i, err)
		}
	}
	if records := b.read(4); string(records[3].Value) != "4" {
		t.Error("the order is lost")
	}
}
