package tests

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// deliversWhatIsThere checks the topic against what an independent consumer reads: the same records, bodies and keys.
func deliversWhatIsThere(t *testing.T, b *harness.Broker, topic string) *harness.Handler {
	t.Helper()
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h)
	harness.Start(t, env)
	records := b.ReadAll(topic)
	h.WaitSettled(records)
	b.WaitCommitted(env.Group(), topic)
	if n := h.Count(); n != len(records) {
		t.Errorf("%d calls, want %d: %v", n, len(records), firstUnknown(h.Calls(), records))
	}
	for _, r := range records {
		c := h.CallsOf(r)[0]
		if !bytes.Equal(c.Body, r.Value) || c.HasKey != (r.Key != nil) || c.Key != string(r.Key) {
			t.Errorf("%s: key %q with %d bytes became key %q with %d bytes", harness.ID(r), r.Key, len(r.Value), c.Key, len(c.Body))
		}
	}
	return h
}

func firstUnknown(calls []harness.Call, records []*kgo.Record) string {
	known := map[string]bool{}
	for _, r := range records {
		known[harness.ID(r)] = true
	}
	for _, c := range calls {
		if id := fmt.Sprintf("%d@%d", c.Partition, c.Offset); !known[id] {
			return id + " should not have been delivered"
		}
	}
	return "some came twice"
}

func TestEveryCodecIsRead(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		value := 0
		for _, codec := range []kgo.CompressionCodec{
			kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
		} {
			var batch []*kgo.Record
			for range 20 {
				value++
				batch = append(batch, harness.Record(topic, "key-"+strconv.Itoa(value%5), "{\"n\":"+strconv.Itoa(value)+"}"))
			}
			b.ProduceWith([]kgo.Opt{kgo.ProducerBatchCompression(codec)}, batch...)
		}
		deliversWhatIsThere(t, b, topic)
	})
}

func TestNullAndEmptyKeysAndValuesAreToldApart(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		records := b.ProduceAt(
			&kgo.Record{Topic: topic, Key: nil, Value: nil},
			&kgo.Record{Topic: topic, Key: []byte{}, Value: []byte{}},
			&kgo.Record{Topic: topic, Key: nil, Value: []byte("v")},
			&kgo.Record{Topic: topic, Key: []byte("k"), Value: nil},
			&kgo.Record{Topic: topic, Key: []byte{0, 0xff, '/', '\n'}, Value: []byte{0, 0xff}},
		)
		h := deliversWhatIsThere(t, b, topic)
		for i, want := range []string{"true", "", "", "true", ""} {
			c := h.CallsOf(records[i])[0]
			if got := c.Header.Get("kafka.tombstone"); got != want {
				t.Errorf("record %d: kafka.tombstone is %q, want %q", i, got, want)
			}
			if c.Header.Get("Transfer-Encoding") != "" || c.Header.Get("Content-Length") == "" && len(c.Body) > 0 {
				t.Errorf("record %d: body of unknown length", i)
			}
		}
	})
}

func TestAbortedTransactionsAreNotDelivered(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		make := func(value string) []*kgo.Record {
			var batch []*kgo.Record
			for i := range 10 {
				batch = append(batch, harness.Record(topic, "key-"+strconv.Itoa(i%3), value))
			}
			return batch
		}
		b.Transaction(true, make("committed 1")...)
		b.Transaction(false, make("aborted 1")...)
		b.ProduceAt(make("plain")...)
		b.Transaction(false, make("aborted 2")...)
		b.Transaction(true, make("committed 2")...)
		b.Transaction(false, make("aborted 3")...)
		h := deliversWhatIsThere(t, b, topic)
		for _, c := range h.Calls() {
			if bytes.Contains(c.Body, []byte("aborted")) {
				t.Errorf("delivered %q at offset %d", c.Body, c.Offset)
			}
		}
	})
}

func TestAnOpenTransactionHoldsBackWhatIsBehindIt(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		before := b.ProduceAt(harness.Record(topic, "a", "before"))
		open := harness.Record(topic, "b", "open")
		end := b.OpenTransaction(open)
		behind := b.ProduceAt(harness.Record(topic, "c", "behind"))
		h := harness.NewHandler(t, harness.OK)
		s := harness.Start(t, harness.TestEnv(b, topic, h))
		h.WaitSettled(before)
		s.WaitMetric(2, "kafka_sidecar_blocked_by_transaction_records")
		s.WaitMetric(2, "kafka_sidecar_lag_records")
		if n := h.Count(); n != 1 {
			t.Errorf("%d calls while the transaction is open, want 1", n)
		}
		end(true)
		h.WaitSettled(append(behind, open))
		s.WaitMetric(0, "kafka_sidecar_blocked_by_transaction_records")
	})
}

func TestCompactedLogIsReadOverItsGaps(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression()} {
			topic := b.CreateTopic(1, "cleanup.policy=compact", "min.cleanable.dirty.ratio=0.01", "segment.ms=200",
				"min.compaction.lag.ms=0", "max.compaction.lag.ms=200", "delete.retention.ms=0")
			opts := []kgo.Opt{kgo.ProducerBatchCompression(codec)}
			// Keys of their own at both ends of a batch of repeats, a batch that vanishes as a whole, and tombstones.
			batch := func(n, keys int, value string) {
				var records []*kgo.Record
				for i := range n {
					records = append(records, harness.Record(topic, "key-"+strconv.Itoa(i%keys), value+strconv.Itoa(i)))
				}
				b.ProduceWith(opts, records...)
			}
			batch(200, 7, "a")
			b.ProduceWith(opts, harness.Record(topic, "first", "1"), harness.Record(topic, "gone", "2"), harness.Record(topic, "last", "3"))
			b.ProduceWith(opts, harness.Record(topic, "gone", "4"))
			b.ProduceWith(opts, &kgo.Record{Topic: topic, Key: []byte("gone")})
			b.Transaction(true, harness.Record(topic, "key-0", "in a transaction"))
			b.Transaction(false, harness.Record(topic, "key-1", "aborted"))
			batch(200, 7, "b")
			// Cleaning leaves the newest segment alone: writing goes on until the old ones have shrunk.
			harness.Eventually(t, harness.Patience, func() (bool, string) {
				b.ProduceWith(opts, harness.Record(topic, "roll", "x"))
				if b.Fake != nil {
					b.Fake.Compact()
				}
				n := len(b.ReadAll(topic))
				return n < 60, fmt.Sprintf("%d records of more than 400 left", n)
			})
			// Nothing more is cleaned while the sidecar reads: the newest value of each key stays.
			records := b.ReadAll(topic)
			h := harness.NewHandler(t, harness.OK)
			env := harness.TestEnv(b, topic, h)
			harness.Start(t, env)
			b.WaitCommitted(env.Group(), topic)
			delivered := map[string]string{}
			for _, c := range h.Calls() {
				delivered[c.Key] = string(c.Body)
			}
			for _, r := range records {
				if string(r.Key) != "roll" && delivered[string(r.Key)] == "" && len(r.Value) > 0 {
					t.Errorf("%s of key %s was not delivered", harness.ID(r), r.Key)
				}
			}
			for key, value := range delivered {
				if value == "aborted" {
					t.Errorf("an aborted record of %s was delivered", key)
				}
			}
			if got := delivered["key-0"]; got != "b196" {
				t.Errorf("the last delivered value of key-0 is %q, want the newest", got)
			}
		}
	})
}

func TestLargeRecordIsDeliveredThoughItIsAboveTheBounds(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1, "max.message.bytes=12582912")
		h := harness.NewHandler(t, harness.OK)
		env := harness.TestEnv(b, topic, h).With("MAX_IN_FLIGHT_BYTES", "1MiB", "KAFKA_OPTION_FETCH_MESSAGE_MAX_BYTES", "65536")
		big := bytes.Repeat([]byte("0123456789abcdef"), 10<<20/16)
		records := []*kgo.Record{
			harness.Record(topic, "a", "small"), {Topic: topic, Key: []byte("b"), Value: big},
			harness.Record(topic, "c", "small"), harness.Record(topic, "b", "after the big one"),
		}
		for _, r := range records {
			b.ProduceAt(r)
		}
		// Compressed it passes a fetch of any size and grows on our side.
		squeezed := &kgo.Record{Topic: topic, Key: []byte("d"), Value: big}
		b.ProduceWith([]kgo.Opt{kgo.ProducerBatchCompression(kgo.ZstdCompression())}, squeezed)
		records = append(records, squeezed)
		harness.Start(t, env)
		h.WaitSettled(records)
		for _, r := range []*kgo.Record{records[1], squeezed} {
			if c := h.CallsOf(r)[0]; !bytes.Equal(c.Body, big) {
				t.Errorf("%s: a body of %d bytes", harness.ID(r), len(c.Body))
			}
		}
		h.CheckOrder(t, records, harness.Once, nil)
		b.WaitCommitted(env.Group(), topic)
	})
}
