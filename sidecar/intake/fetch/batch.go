package fetch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

var (
	// ErrCorrupt says that the bytes are not what they should be: a wrong checksum or an impossible length. Another replica may hold them whole.
	ErrCorrupt = errors.New("corrupt record batch")
	// ErrUnsupported says that the bytes are of a format or compression that is not known here. It does not heal.
	ErrUnsupported = errors.New("unsupported record format")
	// ErrTooLarge says that a batch unpacks to more than Options.MaxBatchBytes.
	ErrTooLarge = errors.New("batch too large")
	// ErrNoRoom says that Options.Grow refused. Nothing is lost: NextBatch may be called again.
	ErrNoRoom = errors.New("no room for the batch")
)

// Offsets of the fields of a record batch v2, see https://kafka.apache.org/documentation/#recordbatch.
const (
	batchLengthAt  = 8
	leaderEpochAt  = 12
	magicAt        = 16
	crcAt          = 17
	attributesAt   = 21
	lastDeltaAt    = 23
	baseTimeAt     = 27
	maxTimeAt      = 35
	producerIDAt   = 43
	recordCountAt  = 57
	batchHeaderLen = 61

	lengthFrom = leaderEpochAt // the length counts from here
)

// Bits of a batch's attributes. Bit 6, the delete horizon (KIP-534), needs no code: it replaces the base timestamp by the horizon, and the records'
// deltas are relative to whatever stands there.
const (
	codecMask        = 0x07
	logAppendTimeBit = 1 << 3
	transactionalBit = 1 << 4
	controlBit       = 1 << 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch is a parsed header and what follows it.
type batch struct {
	base, last  int64 // offsets; last counts the compacted tail
	leaderEpoch int32
	attributes  int16
	baseTime    int64
	maxTime     int64
	producerID  int64
	count       int32
	size        int    // with header
	payload     []byte // the records, packed as attributes say
}

func (b *batch) codec() int8         { return int8(b.attributes & codecMask) }
func (b *batch) logAppendTime() bool { return b.attributes&logAppendTimeBit != 0 }
func (b *batch) transactional() bool { return b.attributes&transactionalBit != 0 }
func (b *batch) control() bool       { return b.attributes&controlBit != 0 }

// parseBatch reads the batch at the start of raw. False without an error is the end: nothing is left, or the batch is cut, since a broker fills an
// answer up to its byte bound and cuts what does not fit.
func parseBatch(raw []byte, checkCRC bool) (b batch, ok bool, err error) {
	if len(raw) <= magicAt {
		return b, false, nil
	}
	be := binary.BigEndian
	length := int32(be.Uint32(raw[batchLengthAt:]))
	switch magic := int8(raw[magicAt]); {
	case magic == 0 || magic == 1:
		return b, false, fmt.Errorf("%w: the topic holds messages older than Kafka 0.11's format (magic %d); copy it with a newer producer", ErrUnsupported, magic)
	case magic != 2:
		return b, false, fmt.Errorf("%w: magic %d", ErrUnsupported, magic)
	case length < batchHeaderLen-lengthFrom:
		return b, false, fmt.Errorf("%w: length %d", ErrCorrupt, length)
	case int(length) > len(raw)-lengthFrom:
		return b, false, nil
	}
	raw = raw[:lengthFrom+int(length)]
	if checkCRC {
		if want, got := be.Uint32(raw[crcAt:]), crc32.Checksum(raw[attributesAt:], castagnoli); want != got {
			return b, false, fmt.Errorf("%w: CRC-32C is %08x, the batch says %08x", ErrCorrupt, got, want)
		}
	}
	b = batch{
		base:        int64(be.Uint64(raw)),
		leaderEpoch: int32(be.Uint32(raw[leaderEpochAt:])),
		attributes:  int16(be.Uint16(raw[attributesAt:])),
		baseTime:    int64(be.Uint64(raw[baseTimeAt:])),
		maxTime:     int64(be.Uint64(raw[maxTimeAt:])),
		producerID:  int64(be.Uint64(raw[producerIDAt:])),
		count:       int32(be.Uint32(raw[recordCountAt:])),
		size:        len(raw),
		payload:     raw[batchHeaderLen:],
	}
	delta := int32(be.Uint32(raw[lastDeltaAt:]))
	if b.base < 0 || delta < 0 || b.base > math.MaxInt64-1-int64(delta) {
		return b, false, fmt.Errorf("%w: base offset %d, last offset delta %d", ErrCorrupt, b.base, delta)
	}
	b.last = b.base + int64(delta)
	// A compacted batch may hold fewer records than offsets, never more.
	if b.count < 0 || int64(b.count) > int64(delta)+1 || (b.count == 0) != (len(b.payload) == 0) {
		return b, false, fmt.Errorf("%w: %d records in %d bytes and %d offsets", ErrCorrupt, b.count, len(b.payload), int64(delta)+1)
	}
	return b, true, nil
}
