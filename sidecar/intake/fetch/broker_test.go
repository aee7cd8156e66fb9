package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"go.uber.org/goleak"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a broker inside the test with one topic, and a connection to it.
type rig struct {
	t     *testing.T
	kafka *kfake.Cluster
	conn  *cluster.Conn
	topic cluster.Topic
}

func newRig(t *testing.T, opts ...kfake.Opt) *rig {
	t.Helper()
	k, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, "orders")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	c, err := cluster.New(cluster.Config{Brokers: k.ListenAddrs(), SetupTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	r := &rig{t: t, kafka: k}
	if r.topic, err = c.Topic(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	if r.conn, err = c.Dial(t.Context(), r.topic.Partitions[0].Leader); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.conn.Close() })
	return r
}

func (r *rig) request(from int64) Request {
	return Request{Topic: "orders", TopicID: r.topic.ID, Offset: from, LeaderEpoch: -1, MinBytes: 1, MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20, ReadCommitted: true}
}

// all fetches until the position has reached the end, as the intake would.
func (r *rig) all(from int64) (recs []*record.Record, end int64) {
	r.t.Helper()
	for {
		resp, err := Do(r.t.Context(), r.conn, 10*time.Second, r.request(from), nil)
		if err != nil || resp.Err != nil {
			r.t.Fatal(err, resp.Err)
		}
		d := NewDecoder(resp.Records, Options{From: from, ReadCommitted: true, CheckCRC: true, Aborted: resp.Aborted})
		got, err := drain(r.t, d)
		if err != nil {
			r.t.Fatal(err)
		}
		recs = append(recs, got...)
		if d.Position() == from {
			return recs, from
		}
		from = d.Position()
	}
}

func (r *rig) client(opts ...kgo.Opt) *kgo.Client {
	r.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(r.kafka.ListenAddrs()...), kgo.DefaultProduceTopic("orders")}, opts...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(cl.Close)
	return cl
}

func (r *rig) produce(cl *kgo.Client, recs ...*kgo.Record) {
	r.t.Helper()
	if err := cl.ProduceSync(r.t.Context(), recs...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

// versions runs a test by topic id and, as against Kafka 2.3, by name.
func versions(t *testing.T, test func(t *testing.T, opts ...kfake.Opt)) {
	t.Run("by id", func(t *testing.T) { test(t) })
	t.Run("by name", func(t *testing.T) { test(t, kfake.MaxVersions(kversion.V2_3_0())) })
}

func TestEveryCodecIsReadFromABroker(t *testing.T) {
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	versions(t, func(t *testing.T, opts ...kfake.Opt) {
		r := newRig(t, opts...)
		if byID := r.topic.ID != [16]byte{}; byID != (len(opts) == 0) {
			t.Fatalf("topic id %x", r.topic.ID)
		}
		var want []*kgo.Record
		for i, codec := range codecs {
			var recs []*kgo.Record
			for j := range 100 {
				recs = append(recs, &kgo.Record{
					Key: fmt.Appendf(nil, "key-%d", j), Value: bytes.Repeat([]byte{byte(i), byte(j)}, 50*j), Timestamp: time.UnixMilli(int64(1000*i + j)),
					Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{byte(j)}}, {Key: "null"}},
				})
			}
			recs[99].Value = nil
			r.produce(r.client(kgo.ProducerBatchCompression(codec)), recs...)
			want = append(want, recs...)
		}
		got, end := r.all(0)
		if len(got) != 500 || end != 500 {
			t.Fatalf("%d records up to %d", len(got), end)
		}
		for i, g := range got {
			w := want[i]
			if g.Offset != int64(i) || !same(g.Key, w.Key) || !same(g.Value, w.Value) || g.Timestamp != w.Timestamp.UnixMilli() || g.LeaderEpoch < 0 {
				t.Fatalf("record %d: %+v", i, g)
			}
			if len(g.Headers) != 2 || g.Headers[0].Name != "h" || !same(g.Headers[0].Value, w.Headers[0].Value) || g.Headers[1].Value != nil {
				t.Fatalf("record %d: headers %v", i, g.Headers)
			}
		}
		if got, _ := r.all(250); len(got) != 250 || got[0].Offset != 250 {
			t.Fatalf("from the middle: %d records", len(got))
		}
	})
}

func TestBrokerSideTransactionsAreFiltered(t *testing.T) {
	versions(t, func(t *testing.T, opts ...kfake.Opt) {
		r := newRig(t, opts...)
		txn := func(id string, ends kgo.TransactionEndTry, vs ...string) {
			cl := r.client(kgo.TransactionalID(id))
			if err := cl.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			for _, v := range vs {
				r.produce(cl, kgo.StringRecord(v))
			}
			if err := cl.EndTransaction(t.Context(), ends); err != nil {
				t.Fatal(err)
			}
		}
		txn("a", kgo.TryCommit, "a1", "a2")
		txn("b", kgo.TryAbort, "b1")
		r.produce(r.client(), kgo.StringRecord("plain"))
		txn("b", kgo.TryCommit, "b2")

		open := r.client(kgo.TransactionalID("open"))
		if err := open.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r.produce(open, kgo.StringRecord("undecided"))
		r.produce(r.client(), kgo.StringRecord("behind"))

		recs, end := r.all(0)
		if got := texts(recs); !slices.Equal(got, []string{"a1", "a2", "plain", "b2"}) || end != 8 {
			t.Fatalf("got %q up to %d", got, end)
		}
		resp, err := Do(t.Context(), r.conn, 10*time.Second, r.request(end), nil)
		if err != nil || resp.Err != nil || resp.LastStable != 8 || resp.HighWatermark != 10 || len(resp.Records) != 0 {
			t.Fatalf("in front of the open transaction: %+v, %v", resp, err)
		}
		if err := open.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
		recs, end = r.all(end)
		if got := texts(recs); !slices.Equal(got, []string{"behind"}) || end != 11 {
			t.Fatalf("after its end: got %q up to %d", got, end)
		}
	})
}

func TestRefusalsAreKafkaErrors(t *testing.T) {
	versions(t, func(t *testing.T, opts ...kfake.Opt) {
		r := newRig(t, append(opts, kfake.NumBrokers(2))...)
		r.produce(r.client(), kgo.StringRecord("a"))
		refused := func(req Request, want ...kafka.Error) {
			t.Helper()
			resp, err := Do(t.Context(), r.conn, 10*time.Second, req, nil)
			var code kafka.Error
			if err != nil || !errors.As(resp.Err, &code) || !slices.Contains(want, code) {
				t.Fatalf("got %v, %v; want %v", resp.Err, err, want)
			}
		}
		req := r.request(5)
		refused(req, kafka.OffsetOutOfRange)
		req = r.request(0)
		req.LeaderEpoch = 99
		refused(req, kafka.UnknownLeaderEpoch)
		req = r.request(0)
		req.Partition = 9
		refused(req, kafka.UnknownTopicOrPartition)

		leader := r.kafka.LeaderFor("orders", 0)
		if err := r.kafka.MoveTopicPartition("orders", 0, 1-leader); err != nil {
			t.Fatal(err)
		}
		refused(r.request(0), kafka.NotLeaderForPartition)
		if err := r.kafka.MoveTopicPartition("orders", 0, leader); err != nil {
			t.Fatal(err)
		}

		if err := errors.Join(r.kafka.DeleteTopic("orders"), r.kafka.CreateTopic("orders", 1, nil), r.kafka.MoveTopicPartition("orders", 0, leader)); err != nil {
			t.Fatal(err)
		}
		if r.topic.ID != [16]byte{} {
			refused(r.request(0), kafka.UnknownTopicID, kafka.InconsistentTopicID)
		} else if recs, _ := r.all(0); len(recs) != 0 { // by name the new log answers: nobody but the caller can tell
			t.Fatalf("%d records of the new topic", len(recs))
		}
	})
}

func TestAnswerIsReadIntoTheSpaceThatWasAskedFor(t *testing.T) {
	r := newRig(t)
	r.produce(r.client(), &kgo.Record{Value: noise(100_000)})
	req := r.request(0)
	req.PartitionMaxBytes = 1 // one whole batch comes all the same
	var buf []byte
	resp, err := Do(t.Context(), r.conn, 10*time.Second, req, func(_ context.Context, n int) ([]byte, error) {
		buf = make([]byte, n)
		return buf, nil
	})
	if err != nil || len(resp.Records) < 100_000 || len(buf) < len(resp.Records) {
		t.Fatalf("%d bytes of records, asked for %d: %v", len(resp.Records), len(buf), err)
	}
	clear(buf)
	if len(bytes.Trim(resp.Records, "\x00")) > 0 {
		t.Fatal("the records lie elsewhere")
	}
}

func TestCompactedTopicIsReadToItsEnd(t *testing.T) {
	versions(t, func(t *testing.T, opts ...kfake.Opt) {
		r := newRig(t, opts...)
		if err := errors.Join(r.kafka.DeleteTopic("orders"), r.kafka.CreateTopic("orders", 1, map[string]string{"cleanup.policy": "compact"})); err != nil {
			t.Fatal(err)
		}
		if r.topic.ID != [16]byte{} {
			r.topic.ID = r.kafka.TopicInfo("orders").TopicID
		}
		cl := r.client(kgo.ProducerBatchCompression(kgo.GzipCompression()))
		for i := range 50 {
			r.produce(cl, kgo.KeyStringRecord("k", fmt.Sprint(i)), kgo.KeyStringRecord(fmt.Sprint(i%5), fmt.Sprint(i)))
		}
		r.kafka.Compact()
		info := r.kafka.PartitionInfo("orders", 0)
		end := info.HighWatermark
		for from := info.LogStartOffset; from < end; from++ {
			if recs, at := r.all(from); at != end || len(recs) == 0 {
				t.Fatalf("from %d: %d records up to %d of %d", from, len(recs), at, end)
			}
		}
	})
}

func TestCancelEndsALongPollAtOnce(t *testing.T) {
	r := newRig(t)
	req := r.request(0)
	req.MaxWait = time.Hour
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("partition is gone")
	r.kafka.ControlKey(1, func(kmsg.Request) (kmsg.Response, error, bool) {
		cancel(cause) // the request has arrived; the broker goes on to wait for records
		return nil, nil, false
	})
	if _, err := Do(ctx, r.conn, 2*time.Hour, req, nil); !errors.Is(err, cause) {
		t.Fatalf("error %v, want the cause", err)
	}
}

func TestOldBrokersAreRefusedInPlainWords(t *testing.T) {
	r := newRig(t, kfake.MaxVersions(kversion.V2_1_0()))
	_, err := Do(t.Context(), r.conn, 10*time.Second, r.request(0), nil)
	if !errors.Is(err, ErrOldBroker) {
		t.Fatal(err)
	}
}
