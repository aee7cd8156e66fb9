package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

func TestCompactedLogsAreReadToTheirEnd(t *testing.T) {
	empty := func(base, offsets int64) shape { return shape{base: base, tail: offsets, producer: 7} }
	gaps := []rec{{delta: 0, value: []byte("a")}, {delta: 4, value: []byte("b")}}
	for _, c := range []struct {
		name   string
		raw    []byte
		from   int64
		want   []string
		offset []int64
		pos    int64
	}{
		{"three empty batches", set(empty(0, 5), empty(5, 1), empty(6, 4), shape{base: 10, records: values("x")}), 0, []string{"x"}, []int64{10}, 11},
		{"data, then an empty batch", set(shape{base: 0, records: values("a", "b")}, empty(2, 3)), 0, []string{"a", "b"}, []int64{0, 1}, 5},
		{"an empty batch only", set(empty(1, 9)), 1, nil, nil, 10},
		{"gaps and tail, plain", set(shape{base: 10, tail: 5, records: gaps}), 10, []string{"a", "b"}, []int64{10, 14}, 20},
		{"gaps and tail, gzip", set(shape{base: 10, tail: 5, records: gaps, codec: 1}), 10, []string{"a", "b"}, []int64{10, 14}, 20},
		{"start in a batch", set(shape{base: 10, records: values("a", "b", "c")}), 11, []string{"b", "c"}, []int64{11, 12}, 13},
		{"start in a gap", set(shape{base: 10, records: gaps}), 12, []string{"b"}, []int64{14}, 15},
		{"start in the tail", set(shape{base: 10, tail: 5, records: gaps}, shape{base: 20, records: values("z")}), 17, []string{"z"}, []int64{20}, 21},
		{"gap between batches", set(shape{base: 0, records: values("a")}, shape{base: 100, records: values("b")}), 0, []string{"a", "b"}, []int64{0, 100}, 101},
		{"everything below the start", set(shape{base: 0, records: values("a")}), 9, nil, nil, 9},
		{"null record set", nil, 3, nil, nil, 3},
		{"empty record set", []byte{}, 3, nil, nil, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			recs, d := read(t, c.raw, Options{From: c.from})
			var offsets []int64
			for _, r := range recs {
				offsets = append(offsets, r.Offset)
			}
			if !slices.Equal(texts(recs), c.want) || !slices.Equal(offsets, c.offset) || d.Position() != c.pos {
				t.Fatalf("got %q at %v, position %d; want %q at %v, position %d", texts(recs), offsets, d.Position(), c.want, c.offset, c.pos)
			}
		})
	}
}

func TestNothingFromUntilOnIsGiven(t *testing.T) {
	gaps := []rec{{delta: 0, value: []byte("a")}, {delta: 4, value: []byte("b")}}
	for _, c := range []struct {
		name  string
		raw   []byte
		until int64
		want  []string
		pos   int64
	}{
		{"inside a batch", set(shape{base: 0, records: values("a", "b", "c")}, shape{base: 3, records: values("d")}), 2, []string{"a", "b"}, 2},
		{"inside a packed batch", set(shape{base: 0, records: values("a", "b", "c"), codec: 1}), 1, []string{"a"}, 1},
		{"between batches", set(shape{base: 0, records: values("a", "b")}, shape{base: 2, records: values("c")}), 2, []string{"a", "b"}, 2},
		{"in a gap of a batch", set(shape{base: 10, records: gaps}), 12, []string{"a"}, 12},
		{"in a gap between batches", set(shape{base: 0, records: values("a")}, shape{base: 100, records: values("b")}), 50, []string{"a"}, 50},
		{"before the first batch", set(shape{base: 100, records: values("b")}), 50, nil, 50},
		{"beyond everything", set(shape{base: 0, records: values("a")}), 50, []string{"a"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if recs, d := read(t, c.raw, Options{Until: c.until}); !slices.Equal(texts(recs), c.want) || d.Position() != c.pos {
				t.Fatalf("got %q, position %d; want %q, position %d", texts(recs), d.Position(), c.want, c.pos)
			}
		})
	}
}

func TestPositionFollowsWhatWasGiven(t *testing.T) {
	d := NewDecoder(set(shape{base: 10, tail: 3, records: values("a", "b")}, shape{base: 20, records: values("c")}), Options{From: 10})
	var got []int64
	for {
		_, ok, err := d.NextBatch()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d.Position())
		if !ok {
			break
		}
		for _, more, _ := d.Next(); more; _, more, _ = d.Next() {
			got = append(got, d.Position())
		}
	}
	if want := []int64{10, 11, 15, 15, 21, 21}; !slices.Equal(got, want) {
		t.Fatalf("positions %v, want %v", got, want)
	}
}

func TestTransactionMarkersAreNotDelivered(t *testing.T) {
	raw := set(shape{base: 0, producer: 5, attributes: transactionalBit, records: values("a")}, marker(1, 5, commit), marker(2, -1, 2))
	for _, committed := range []bool{false, true} {
		recs, d := read(t, raw, Options{ReadCommitted: committed})
		if got := texts(recs); !slices.Equal(got, []string{"a"}) || d.Position() != 3 {
			t.Fatalf("read committed %v: got %q, position %d", committed, got, d.Position())
		}
	}
}

func TestAbortedTransactionsAreNotDelivered(t *testing.T) {
	txn := func(base, producer int64, v string) shape {
		return shape{base: base, producer: producer, attributes: transactionalBit, records: values(v)}
	}
	raw := set(
		txn(0, 1, "1 aborted"), txn(1, 2, "2 committed"), txn(2, 1, "1 aborted too"),
		shape{base: 3, producer: 1, records: values("1 outside of transactions")}, shape{base: 4, records: values("no producer")},
		marker(5, 1, abort), marker(6, 2, commit), txn(7, 1, "1 committed"), txn(8, 2, "2 aborted"), marker(9, 1, commit), marker(10, 2, abort),
		txn(11, 2, "2 committed too"), marker(12, 2, commit))
	aborted := []Aborted{{ProducerID: 2, FirstOffset: 8}, {ProducerID: 1, FirstOffset: 0}} // the order is not promised

	recs, d := read(t, raw, Options{ReadCommitted: true, Aborted: aborted})
	want := []string{"2 committed", "1 outside of transactions", "no producer", "1 committed", "2 committed too"}
	if got := texts(recs); !slices.Equal(got, want) || d.Position() != 13 {
		t.Fatalf("got %q, position %d; want %q", got, d.Position(), want)
	}
	if aborted[0].ProducerID != 2 {
		t.Fatal("the caller's list was sorted")
	}
	if recs, _ := read(t, raw, Options{Aborted: aborted}); len(recs) != 8 {
		t.Fatalf("read uncommitted gives %d records, want 8", len(recs))
	}
	// From behind the abort marker, the transaction must be seen to have ended.
	recs, _ = read(t, raw, Options{ReadCommitted: true, Aborted: aborted, From: 6})
	if got := texts(recs); !slices.Equal(got, []string{"1 committed", "2 committed too"}) {
		t.Fatalf("from 6: got %q", got)
	}
}

func TestCommittedRecordsSurviveALostAbortMarker(t *testing.T) {
	txn := func(base int64, v string) shape {
		return shape{base: base, producer: 1, attributes: transactionalBit, records: values(v)}
	}
	// Compaction has emptied the batch of the abort marker at 1.
	raw := set(txn(0, "aborted"), shape{base: 1, tail: 1, producer: 1, attributes: controlBit | transactionalBit}, marker(2, 1, commit), txn(3, "good"), marker(4, 1, commit))
	recs, _ := read(t, raw, Options{ReadCommitted: true, Aborted: []Aborted{{1, 0}}})
	if got := texts(recs); !slices.Equal(got, []string{"good"}) {
		t.Fatalf("got %q", got)
	}
}

func TestCutBatchIsLeftForTheNextFetch(t *testing.T) {
	whole := set(shape{base: 0, records: values("a", "b")})
	second := set(shape{base: 2, records: values("c", "d")})
	for cut := range len(second) {
		recs, d := read(t, slices.Concat(whole, second[:cut]), Options{})
		if got := texts(recs); !slices.Equal(got, []string{"a", "b"}) || d.Position() != 2 {
			t.Fatalf("cut at %d: got %q, position %d", cut, got, d.Position())
		}
	}
	// A first batch is never cut (KIP-74): a quiet end would be fetched again for ever.
	for cut := 1; cut < len(whole); cut++ {
		if _, err := drain(t, NewDecoder(whole[:cut], Options{})); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}

func TestCorruptBytesAreAnErrorThatNamesTheOffset(t *testing.T) {
	count := func(n int32) *int32 { return &n }
	good := shape{base: 40, records: values("a", "b")}
	record := rec{value: []byte("v")}.encode()
	for _, c := range []struct {
		name string
		bad  shape
	}{
		{"checksum", shape{base: 42, records: values("x"), badCRC: true}},
		{"negative count", shape{base: 42, records: values("x"), count: count(-1)}},
		{"smallest count", shape{base: 42, records: values("x"), count: count(math.MinInt32)}},
		{"no count but records", shape{base: 42, records: values("x"), count: count(0)}},
		{"count but no records", shape{base: 42, count: count(1)}},
		{"count above the offsets", shape{base: 42, records: values("x"), count: count(2)}},
		{"count above the records", shape{base: 42, tail: 5, records: values("x"), count: count(2)}},
		{"count below the records", shape{base: 42, records: values("x", "y"), count: count(1)}},
		{"negative base", shape{base: -5, records: values("x")}},
		{"offsets overflow", shape{base: math.MaxInt64, records: values("x")}},
		{"offset twice", shape{base: 42, tail: 1, records: []rec{{delta: 0}, {delta: 0}}}},
		{"offset beyond the batch", shape{base: 42, tail: -1, records: []rec{{delta: 3}}}},
		{"negative offset delta", shape{base: 42, tail: 2, records: []rec{{delta: -1}}}},
		{"record length", shape{base: 42, tail: 1, payload: []byte{0xfe, 0xff, 0xff, 0xff, 0x0f, 0}, count: count(1)}},
		{"record length negative", shape{base: 42, tail: 1, payload: []byte{1, 0}, count: count(1)}},
		{"record length endless", shape{base: 42, tail: 1, payload: bytes.Repeat([]byte{0xff}, 30), count: count(1)}},
		{"record length zero", shape{base: 42, tail: 1, payload: []byte{0}, count: count(1)}},
		{"trailing byte", shape{base: 42, tail: 1, payload: append(slices.Clone(record), 0), count: count(1)}},
		{"value length", shape{base: 42, tail: 1, payload: []byte{14, 0, 0, 0, 1, 0x7e, 'v', 0}, count: count(1)}},
		{"header count", shape{base: 42, tail: 1, payload: []byte{18, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0x0f}, count: count(1)}},
		{"header count negative", shape{base: 42, tail: 1, payload: []byte{12, 0, 0, 0, 1, 1, 1}, count: count(1)}},
		{"header without name", shape{base: 42, tail: 1, payload: []byte{16, 0, 0, 0, 1, 1, 2, 1, 1}, count: count(1)}},
		{"short marker", shape{base: 42, producer: 1, attributes: controlBit, records: []rec{{key: []byte{0}}}}},
		{"gzip", shape{base: 42, records: values("x"), codec: 1, pack: func([]byte) []byte { return noise(40) }}},
		{"snappy", shape{base: 42, records: values("x"), codec: 2, pack: func([]byte) []byte { return noise(40) }}},
		{"lz4", shape{base: 42, records: values("x"), codec: 3, pack: func([]byte) []byte { return noise(40) }}},
		{"zstd", shape{base: 42, records: values("x"), codec: 4, pack: func([]byte) []byte { return noise(40) }}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := NewDecoder(set(good, c.bad), Options{Partition: 3, From: 40, CheckCRC: true, ReadCommitted: true})
			recs, err := drain(t, d)
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "partition 3 at offset 4") {
				t.Fatalf("error %v", err)
			}
			if len(recs) < 2 {
				t.Fatalf("%d records before the error, want those of the good batch", len(recs))
			}
			if _, again := drain(t, d); again != err {
				t.Fatalf("the error did not stick: %v", again)
			}
		})
	}
	if recs, err := drain(t, NewDecoder(set(shape{records: values("x"), badCRC: true}), Options{})); err != nil || len(recs) != 1 {
		t.Fatalf("check.crcs off: %d records, %v", len(recs), err)
	}
}

func TestOldFormatsAreRefusedInPlainWords(t *testing.T) {
	for _, c := range []struct {
		bad  shape
		says string
	}{
		{shape{records: values("x"), magic: 1}, "older than Kafka 0.11"},
		{shape{records: values("x"), magic: 3}, "magic 3"},
		{shape{records: values("x"), codec: 5, pack: slices.Clone[[]byte]}, "compression 5"},
	} {
		if _, err := drain(t, NewDecoder(set(c.bad), Options{CheckCRC: true})); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("error %v, want one that says %q", err, c.says)
		}
	}
	magic0 := set(shape{records: values("x")})
	magic0[magicAt] = 0
	if _, err := drain(t, NewDecoder(magic0[:20], Options{})); !errors.Is(err, ErrUnsupported) {
		t.Errorf("cut message set: %v", err)
	}
}

func TestNullAndEmptyStayDistinct(t *testing.T) {
	in := []rec{
		{delta: 0}, {delta: 1, key: []byte{}, value: []byte{}}, {delta: 2, key: []byte("k")}, {delta: 3, value: []byte("v")},
		{delta: 4, headers: []record.Header{{Name: "", Value: nil}, {Name: "a", Value: []byte{}}, {Name: "a", Value: []byte("x")}}},
	}
	for codec := range int8(5) {
		recs, _ := read(t, set(shape{records: in, codec: codec}), Options{})
		if len(recs) != len(in) {
			t.Fatalf("codec %d: %d records", codec, len(recs))
		}
		for i, r := range recs {
			if !same(r.Key, in[i].key) || !same(r.Value, in[i].value) || len(r.Headers) != len(in[i].headers) {
				t.Errorf("codec %d, record %d: key %#v, value %#v, headers %v", codec, i, r.Key, r.Value, r.Headers)
			}
			for j, h := range r.Headers {
				if h.Name != in[i].headers[j].Name || !same(h.Value, in[i].headers[j].Value) {
					t.Errorf("codec %d: header %d is %q %#v", codec, j, h.Name, h.Value)
				}
			}
		}
	}
}

func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func TestTimestampsAreThoseOfTheLog(t *testing.T) {
	in := []rec{{delta: 0, time: -3, value: []byte("a")}, {delta: 1, time: 1 << 40, value: []byte("b")}}
	const horizonBit = 1 << 6
	for _, c := range []struct {
		attributes int16
		want       [2]int64
	}{{0, [2]int64{97, 100 + 1<<40}}, {horizonBit, [2]int64{97, 100 + 1<<40}}, {logAppendTimeBit, [2]int64{500, 500}}} {
		recs, _ := read(t, set(shape{records: in, baseTime: 100, maxTime: 500, epoch: 9, attributes: c.attributes}), Options{Partition: 4})
		if got := [2]int64{recs[0].Timestamp, recs[1].Timestamp}; got != c.want {
			t.Errorf("attributes %#x: %v, want %v", c.attributes, got, c.want)
		}
		if recs[0].AppendTime != (c.attributes == logAppendTimeBit) {
			t.Errorf("attributes %#x: the broker's time: %t", c.attributes, recs[0].AppendTime)
		}
		if recs[0].LeaderEpoch != 9 || recs[0].Partition != 4 {
			t.Errorf("epoch %d, partition %d", recs[0].LeaderEpoch, recs[0].Partition)
		}
	}
}

func TestRecordsOwnTheirMemory(t *testing.T) {
	in := []rec{{key: []byte("key"), value: []byte("value"), headers: []record.Header{{Name: "name", Value: []byte("header")}}}}
	for codec := range int8(5) {
		raw := set(shape{records: in, codec: codec})
		d := NewDecoder(raw, Options{})
		if _, ok, err := d.NextBatch(); !ok || err != nil {
			t.Fatal(ok, err)
		}
		buf := d.buf
		rec, _, _ := d.Next()
		clear(raw)
		if buf != nil {
			clear(buf.B[:cap(buf.B)])
		}
		d.Release()
		_ = append(rec.Key, "overwrites"...)
		if got := fmt.Sprintf("%s %s %s %s", rec.Key, rec.Value, rec.Headers[0].Name, rec.Headers[0].Value); got != "key value name header" {
			t.Errorf("codec %d: %q", codec, got)
		}
	}
}

func TestRecordsCostTwoAllocations(t *testing.T) {
	raw := set(shape{records: slices.Repeat([]rec{{key: []byte("key"), value: []byte("value")}}, 1)})
	d := NewDecoder(raw, Options{})
	d.NextBatch()
	d.PeekSize()
	e := d.next
	if n := testing.AllocsPerRun(100, func() { e.record(0, 0) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}
