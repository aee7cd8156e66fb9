package deadletter

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

func TestMurmur2IsThatOfTheJavaClient(t *testing.T) {
	for in, want := range map[string]int32{ // from the tests of Kafka's Utils.murmur2
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		if got := int32(murmur2([]byte(in))); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
	for n := 1; n < 50; n++ {
		if p := partitionOf([]byte("21"), n); p < 0 || p >= n {
			t.Errorf("partition %d of %d", p, n)
		}
	}
}

func TestBatchIsInFormatV2(t *testing.T) {
	entries := []entry{
		{timestamp: 2000, key: []byte("k"), value: []byte("v"), headers: []record.Header{{Name: "h", Value: nil}}},
		{timestamp: 1000, key: nil, value: nil},
		{timestamp: 3000, key: []byte{}, value: []byte{}},
	}
	raw := encodeBatch(entries, producer{id: 77, epoch: 5, sequence: 1 << 30}, true) // too small to become smaller
	var b kmsg.RecordBatch
	if err := b.ReadFrom(raw); err != nil {
		t.Fatal(err)
	}
	if int(b.Length) != len(raw)-12 || b.Magic != 2 || b.Attributes != 0 || b.NumRecords != 3 || b.LastOffsetDelta != 2 ||
		b.FirstTimestamp != 2000 || b.MaxTimestamp != 3000 || b.ProducerID != 77 || b.ProducerEpoch != 5 || b.FirstSequence != 1<<30 {
		t.Errorf("batch %+v", b)
	}
	if uint32(b.CRC) != crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)) {
		t.Error("wrong checksum")
	}
	for i, rest := 0, b.Records; i < 3; i++ {
		var r kmsg.Record
		size := int(rest[0])/2 + 1
		if err := r.ReadFrom(rest[:size]); err != nil {
			t.Fatal(err)
		}
		rest = rest[size:]
		e := entries[i]
		if r.TimestampDelta64+2000 != e.timestamp || int(r.OffsetDelta) != i || !bytes.Equal(r.Key, e.key) || (r.Key == nil) != (e.key == nil) || (r.Value == nil) != (e.value == nil) {
			t.Errorf("record %d: %+v", i, r)
		}
	}
	large := encodeBatch([]entry{{value: make([]byte, 1<<20)}}, anonymous, true)
	if err := b.ReadFrom(large); err != nil || b.Attributes != codecZstd || len(large) > 1000 || b.ProducerID != -1 || b.ProducerEpoch != -1 || b.FirstSequence != -1 {
		t.Errorf("%d bytes, attributes %d, %v", len(large), b.Attributes, err)
	}
}

func TestSequenceStartsAgainBehindTheLargest(t *testing.T) {
	p := producer{id: 1, sequence: 1<<31 - 2}
	if p = p.after(1); p.sequence != 1<<31-1 {
		t.Errorf("sequence %d", p.sequence)
	}
	if p = p.after(1); p.sequence != 0 {
		t.Errorf("sequence %d", p.sequence)
	}
	if anonymous.after(5) != anonymous {
		t.Error("a producer without an id counts")
	}
}

type post func(rec *record.Record, facts []Fact) error

func (p post) Post(_ context.Context, rec *record.Record, facts []Fact) error { return p(rec, facts) }
func (p post) Check(context.Context) error                                    { return nil }
func (p post) Close()                                                         {}

func TestURLGetsTheFactsAsHeaders(t *testing.T) {
	l := letter("k")
	l.Write = 2
	refused := errors.New("answered 503")
	var answer error
	var got []Fact
	target := NewURL(post(func(rec *record.Record, facts []Fact) error {
		if rec != l.Record {
			t.Error("another record")
		}
		got = facts
		return answer
	}))
	defer target.Close()
	if err := target.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, target, l)
	want := []Fact{
		{"kafka-sidecar-source-topic", "source"}, {"kafka-sidecar-source-partition", "3"}, {"kafka-sidecar-source-offset", "4711"},
		{"kafka-sidecar-source-timestamp", "1700000000123"}, {"kafka-sidecar-subscription", "orders-to-billing"}, {"kafka-sidecar-reason", "status"},
		{"kafka-sidecar-status", "422"}, {"kafka-sidecar-attempts", "3"}, {"kafka-sidecar-failed-at", "2026-11-22T09:00:00.005Z"},
		{"kafka-sidecar-attempt", "2"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("facts %v", got)
	}
	l.Record.Headers = []record.Header{{Name: "kafka-sidecar.source.topic", Value: []byte("fir\r\nst %é")}}
	answer = refused
	if err := target.Write(t.Context(), l); !errors.Is(err, refused) {
		t.Errorf("error %v", err)
	}
	if got[0] != (Fact{"kafka-sidecar-source-topic", "fir%0D%0Ast%20%25%C3%A9"}) || got[1].Name != "kafka-sidecar-subscription" {
		t.Errorf("facts of a redriven record: %v", got)
	}
}

func TestVarintSizeIsThatOfTheVarint(t *testing.T) {
	for shift := range 64 {
		for _, v := range []int64{1 << shift, 1<<shift - 1, -1 << shift, -(1 << shift) - 1} {
			if got, want := varintSize(v), len(binary.AppendVarint(nil, v)); got != want {
				t.Errorf("%d takes %d bytes, want %d", v, got, want)
			}
		}
	}
}
