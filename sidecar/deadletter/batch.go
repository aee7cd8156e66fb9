package deadletter

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// entry is one record of a batch to write.
type entry struct {
	timestamp  int64 // milliseconds since 1970
	key, value []byte
	headers    []record.Header
}

// producer is who writes, as the broker knows it. With an id the broker drops a batch that comes again with the same sequence.
type producer struct {
	id       int64 // -1: not idempotent
	epoch    int16
	sequence int32 // of the next record
}

var anonymous = producer{id: -1, epoch: -1, sequence: -1}

// after is the producer after n more records. The sequence starts at 0 again behind the largest int32.
func (p producer) after(n int) producer {
	if p.id >= 0 {
		p.sequence = int32((int64(p.sequence) + int64(n)) & 0x7fffffff)
	}
	return p
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	batchHeader = 61 // bytes before the first record
	crcAt       = 17
	crcFrom     = 21 // the checksum covers everything from here on
	codecZstd   = 4
)

// zstdEncoder is shared: one letter at a time is compressed. A window of 1 MiB keeps its memory small.
var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
	if err != nil {
		panic(err) // only an option out of its range
	}
	return e
})

// encodeBatch writes a record batch in format v2 (KIP-98), compressed where that makes it smaller: zstd, because a record that came out of a
// well compressed batch must fit into one of its own (KIP-110; brokers since 2.1).
func encodeBatch(entries []entry, p producer, compress bool) []byte {
	base, newest := entries[0].timestamp, entries[0].timestamp
	size := 0
	for i := range entries {
		newest = max(newest, entries[i].timestamp)
		size += recordSize(&entries[i], int64(i), base) + binary.MaxVarintLen32
	}
	records := make([]byte, 0, size)
	for i := range entries {
		records = appendRecord(records, &entries[i], int64(i), base)
	}
	b := make([]byte, batchHeader, batchHeader+len(records)/4)
	attributes := uint16(codecZstd)
	if compress {
		b = zstdEncoder().EncodeAll(records, b)
	}
	if !compress || len(b)-batchHeader >= len(records) {
		b, attributes = append(b[:batchHeader], records...), 0
	}
	size = len(b) // the header goes into the room left for it
	b = b[:0]
	b = binary.BigEndian.AppendUint64(b, 0) // base offset: the broker's to give
	b = binary.BigEndian.AppendUint32(b, uint32(size-12))
	b = binary.BigEndian.AppendUint32(b, ^uint32(0)) // partition leader epoch: likewise
	b = append(b, 2)                                 // magic
	b = binary.BigEndian.AppendUint32(b, 0)          // checksum, below
	b = binary.BigEndian.AppendUint16(b, attributes)
	b = binary.BigEndian.AppendUint32(b, uint32(len(entries)-1))
	b = binary.BigEndian.AppendUint64(b, uint64(base))
	b = binary.BigEndian.AppendUint64(b, uint64(newest))
	b = binary.BigEndian.AppendUint64(b, uint64(p.id))
	b = binary.BigEndian.AppendUint16(b, uint16(p.epoch))
	b = binary.BigEndian.AppendUint32(b, uint32(p.sequence))
	b = binary.BigEndian.AppendUint32(b, uint32(len(entries)))
	b = b[:size]
	binary.BigEndian.PutUint32(b[crcAt:], crc32.Checksum(b[crcFrom:], castagnoli))
	return b
}

func appendRecord(b []byte, e *entry, delta, base int64) []byte {
	b = binary.AppendVarint(b, int64(recordSize(e, delta, base)))
	b = append(b, 0) // attributes
	b = binary.AppendVarint(b, e.timestamp-base)
	b = binary.AppendVarint(b, delta)
	b = appendBytes(b, e.key)
	b = appendBytes(b, e.value)
	b = binary.AppendVarint(b, int64(len(e.headers)))
	for _, h := range e.headers {
		b = binary.AppendVarint(b, int64(len(h.Name)))
		b = append(b, h.Name...)
		b = appendBytes(b, h.Value)
	}
	return b
}

// recordSize is what appendRecord appends behind the size itself.
func recordSize(e *entry, delta, base int64) int {
	n := 1 + varintSize(e.timestamp-base) + varintSize(delta) + bytesSize(e.key) + bytesSize(e.value) + varintSize(int64(len(e.headers)))
	for _, h := range e.headers {
		n += varintSize(int64(len(h.Name))) + len(h.Name) + bytesSize(h.Value)
	}
	return n
}

// appendBytes keeps null (length -1) and empty apart.
func appendBytes(b, v []byte) []byte {
	if v == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(v))), v...)
}

func bytesSize(v []byte) int {
	if v == nil {
		return 1
	}
	return varintSize(int64(len(v))) + len(v)
}

// varintSize is the length of a zigzag varint: seven bits a byte.
func varintSize(v int64) int { return (bits.Len64(uint64(v)<<1^uint64(v>>63)|1) + 6) / 7 }
