package fetch

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/segmentio/kafka-go/compress"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// rec is a record to encode; nil key, value and header values are null.
type rec struct {
	delta   int64
	time    int64 // relative to the batch's base
	key     []byte
	value   []byte
	headers []record.Header
}

func (r rec) encode() []byte {
	body := []byte{0}
	body = binary.AppendVarint(body, r.time)
	body = binary.AppendVarint(body, r.delta)
	field := func(b []byte) {
		if b == nil {
			body = binary.AppendVarint(body, -1)
			return
		}
		body = binary.AppendVarint(body, int64(len(b)))
		body = append(body, b...)
	}
	field(r.key)
	field(r.value)
	body = binary.AppendVarint(body, int64(len(r.headers)))
	for _, h := range r.headers {
		field([]byte(h.Name))
		field(h.Value)
	}
	return append(binary.AppendVarint(nil, int64(len(body))), body...)
}

// shape is a record batch to encode. Fields that stay zero are derived from the records; producer 0 means none.
type shape struct {
	base       int64
	tail       int64 // offsets behind the last record
	records    []rec
	payload    []byte // instead of records
	count      *int32
	codec      int8
	attributes int16
	epoch      int32
	baseTime   int64
	maxTime    int64
	producer   int64
	pack       func([]byte) []byte // instead of kafka-go's codec
	magic      int8
	badCRC     bool
}

func (s shape) encode() []byte {
	payload := s.payload
	delta := max(0, s.tail-1)
	for _, r := range s.records {
		payload = append(payload, r.encode()...)
		delta = r.delta + s.tail
	}
	count := int32(len(s.records))
	if s.count != nil {
		count = *s.count
	}
	switch {
	case s.pack != nil:
		payload = s.pack(payload)
	case s.codec != 0:
		payload = pack(s.codec, payload)
	}
	producer := s.producer
	if producer == 0 {
		producer = -1
	}
	if s.magic == 0 {
		s.magic = 2
	}
	be := binary.BigEndian
	body := be.AppendUint16(nil, uint16(s.attributes|int16(s.codec)))
	body = be.AppendUint32(body, uint32(delta))
	body = be.AppendUint64(body, uint64(s.baseTime))
	body = be.AppendUint64(body, uint64(s.maxTime))
	body = be.AppendUint64(body, uint64(producer))
	body = be.AppendUint16(body, 0)
	body = be.AppendUint32(body, 0)
	body = be.AppendUint32(body, uint32(count))
	body = append(body, payload...)
	sum := crc32.Checksum(body, castagnoli)
	if s.badCRC {
		sum++
	}
	out := be.AppendUint64(nil, uint64(s.base))
	out = be.AppendUint32(out, uint32(len(body)+9))
	out = be.AppendUint32(out, uint32(s.epoch))
	out = append(out, byte(s.magic))
	out = be.AppendUint32(out, sum)
	return append(out, body...)
}

func pack(codec int8, b []byte) []byte {
	var out bytes.Buffer
	w := compress.Codecs[codec].NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// set is the record set of an answer.
func set(shapes ...shape) []byte {
	var out []byte
	for _, s := range shapes {
		out = append(out, s.encode()...)
	}
	return out
}

// values makes one record for each, at deltas from 0 without gaps.
func values(vs ...string) (rs []rec) {
	for i, v := range vs {
		rs = append(rs, rec{delta: int64(i), value: []byte(v)})
	}
	return rs
}

// marker is a control batch that ends a transaction.
func marker(base, producer int64, kind int16) shape {
	key := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(kind))
	return shape{base: base, producer: producer, attributes: controlBit | transactionalBit, records: []rec{{key: key, value: make([]byte, 6)}}}
}

const (
	abort  = 0
	commit = 1
)

// drain reads everything, checking on the way what holds for every input: the position never goes back, PeekSize tells the truth, nothing below From
// comes out and offsets rise.
func drain(t testing.TB, d *Decoder) (recs []*record.Record, err error) {
	t.Helper()
	pos := d.Position()
	check := func() {
		if p := d.Position(); p < pos {
			t.Fatalf("position went back from %d to %d", pos, p)
		} else {
			pos = p
		}
	}
	last := d.o.From - 1
	for {
		_, ok, err := d.NextBatch()
		check()
		if !ok || err != nil {
			d.Release()
			return recs, err
		}
		for {
			size, peeked := d.PeekSize()
			check()
			rec, ok, err := d.Next()
			check()
			if ok != peeked {
				t.Fatalf("PeekSize says %v, Next %v", peeked, ok)
			}
			if err != nil {
				d.Release()
				return recs, err
			}
			if !ok {
				break
			}
			if rec.Size() != size {
				t.Fatalf("PeekSize says %d, the record is %d", size, rec.Size())
			}
			if rec.Offset <= last || rec.Offset >= d.Position() {
				t.Fatalf("offset %d follows %d, position %d", rec.Offset, last, d.Position())
			}
			last = rec.Offset
			recs = append(recs, rec)
		}
	}
}

// read drains and fails on an error.
func read(t testing.TB, raw []byte, o Options) ([]*record.Record, *Decoder) {
	t.Helper()
	o.CheckCRC = true
	d := NewDecoder(raw, o)
	recs, err := drain(t, d)
	if err != nil {
		t.Fatal(err)
	}
	return recs, d
}

// texts gives the values, for comparing.
func texts(recs []*record.Record) []string {
	var out []string
	for _, r := range recs {
		out = append(out, string(r.Value))
	}
	return out
}

// noise is n bytes that do not compress well, the same every time.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}
