package fetch

import (
	"errors"
	"fmt"
	"math"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// Options of a Decoder.
type Options struct {
	Partition     int32
	From          int64 // records below are skipped: an answer begins with the whole batch that holds From
	Until         int64 // records from there on are not given, nor counted in Position; 0: all are
	ReadCommitted bool
	CheckCRC      bool
	Aborted       []Aborted // of the same answer; looked at under ReadCommitted only
	MaxBatchBytes int64     // a batch that unpacks to more is ErrTooLarge; 0 is 2 GiB, the most that a record can have
	// Grow is asked before the buffer of unpacked batches grows by n bytes; false makes NextBatch give ErrNoRoom. What was granted is
	// held until Release, and used again by the batches in between. Nil always grants.
	Grow func(n int64) bool
}

// BatchInfo tells of the open batch.
type BatchInfo struct {
	BaseOffset, LastOffset int64 // LastOffset may have no record: compaction leaves gaps, also at the tail
	LeaderEpoch            int32 // -1 unknown
	Records                int32 // those below From included
	MaxTimestamp           int64 // milliseconds since the Unix epoch, as the batch says
	Compressed             bool
	RawSize                int64 // bytes in the answer, with header
	DecompressedSize       int64 // bytes of the records, unpacked
}

// Decoder walks over the record set of one answer from an offset on. It does no I/O, keeps no reference to a record that it has handed out, and is
// not safe for concurrent use. Errors name partition and offset and stick, except ErrNoRoom.
type Decoder struct {
	o      Options
	raw    []byte // from the open batch, or else the next one, on
	first  bool   // no batch was complete yet
	pos    int64
	epoch  int32 // of the batch that holds the offset before pos, -1 when none was read here
	filter filter
	err    error

	open  bool
	batch batch
	info  BatchInfo
	data  []byte // records of the open batch that are not parsed yet
	left  int32  // how many
	last  int64  // offset of the newest parsed one, base-1 before the first
	next  entry  // parsed and not handed out
	ready bool   // next is valid

	buf  *Buffer // nil: none held
	held int64   // granted by Grow since the last Release
}

// NewDecoder reads records, the record set of one partition's answer, which must stay as it is while the decoder is in use. Nil is an empty set.
func NewDecoder(records []byte, o Options) *Decoder {
	if o.MaxBatchBytes <= 0 || o.MaxBatchBytes > math.MaxInt32 {
		o.MaxBatchBytes = math.MaxInt32
	}
	d := &Decoder{o: o, raw: records, first: true, pos: o.From, epoch: -1}
	if o.ReadCommitted {
		d.filter = newFilter(o.Aborted)
	}
	return d
}

// Position is the next offset to fetch: one past the newest record that Next gave, or past everything up to there that holds no record to give. A
// finished batch counts to its end, the compacted tail included. It never goes back.
func (d *Decoder) Position() int64 { return d.pos }

// Epoch is the leader epoch of the batch that the offset before Position belongs to; -1 while Position has not moved, or when the batch does not tell.
func (d *Decoder) Epoch() int32 { return d.epoch }

// NextBatch opens the next batch that reaches to From or beyond; false without an error is the end of the answer. While one is open it
// gives that one again: a batch ends when Next has given its last record. The open batch may still turn out to hold no record from From on.
func (d *Decoder) NextBatch() (BatchInfo, bool, error) {
	if d.err != nil {
		return BatchInfo{}, false, d.err
	}
	for !d.open {
		b, ok, err := parseBatch(d.raw, d.o.CheckCRC)
		switch {
		case err != nil:
			return BatchInfo{}, false, d.fail(err)
		case !ok && d.first && len(d.raw) > 0:
			// Since Fetch v3 the first batch comes whole whatever its size (KIP-74). Ending quietly would fetch the same bytes for ever.
			return BatchInfo{}, false, d.fail(fmt.Errorf("%w: %d bytes without one whole batch", ErrCorrupt, len(d.raw)))
		case !ok:
			return BatchInfo{}, false, nil
		}
		d.first = false
		if d.o.Until > 0 && b.base >= d.o.Until {
			d.stop(-1)
			return BatchInfo{}, false, nil
		}
		d.batch = b
		aborted := false
		if d.o.ReadCommitted {
			if aborted, err = d.filter.see(&b); err != nil {
				return BatchInfo{}, false, d.fail(err)
			}
		}
		if b.last < d.pos || b.control() || aborted || b.count == 0 {
			d.finish()
			continue
		}
		data, err := d.unpack(&b)
		if err != nil {
			return BatchInfo{}, false, d.fail(err)
		}
		d.open, d.data, d.left, d.last = true, data, b.count, b.base-1
		d.info = BatchInfo{
			BaseOffset: b.base, LastOffset: b.last, LeaderEpoch: b.leaderEpoch, Records: b.count, MaxTimestamp: b.maxTime,
			Compressed: b.codec() != 0, RawSize: int64(b.size), DecompressedSize: int64(len(data)),
		}
	}
	return d.info, true, nil
}

// PeekSize is record.Size of what Next will give, told before anything is allocated for it. False at the end of the batch and where Next will give
// an error.
func (d *Decoder) PeekSize() (int64, bool) {
	if !d.advance() {
		return 0, false
	}
	return d.next.size(), true
}

// Next gives the next record of the open batch. False without an error is the end of the batch, or that none is open.
func (d *Decoder) Next() (*record.Record, bool, error) {
	if !d.advance() {
		return nil, false, d.err
	}
	rec := d.next.record(d.o.Partition, d.batch.leaderEpoch)
	d.ready, d.next = false, entry{}
	d.pos, d.epoch = rec.Offset+1, d.batch.leaderEpoch
	if d.left == 0 {
		d.finish()
	}
	return rec, true, nil
}

// advance makes the next record ready. False: there is none, or err is set.
func (d *Decoder) advance() bool {
	for d.open && !d.ready && d.err == nil {
		if d.left == 0 { // the batch's last records lie below From
			d.finish()
			return false
		}
		e, rest, err := parseRecord(d.data, &d.batch)
		switch {
		case err != nil:
		case e.offset <= d.last:
			err = fmt.Errorf("%w: offset %d follows %d", ErrCorrupt, e.offset, d.last)
		case d.left == 1 && len(rest) > 0:
			err = fmt.Errorf("%w: %d bytes behind the last record", ErrCorrupt, len(rest))
		case d.o.Until > 0 && e.offset >= d.o.Until:
			d.stop(d.batch.leaderEpoch)
			return false
		}
		if err != nil {
			_ = d.fail(err) // sticks; Next gives it
			return false
		}
		d.data, d.last = rest, e.offset
		d.left--
		if e.offset >= d.pos {
			d.next, d.ready = e, true
		}
	}
	return d.ready && d.err == nil
}

// Release gives the buffer of unpacked batches back and says how many bytes Grow has granted for it. A batch that is open is closed; NextBatch opens
// it again at Position. Records that were handed out stay valid.
func (d *Decoder) Release() int64 {
	d.close()
	if d.buf != nil {
		d.buf.Free()
		d.buf = nil
	}
	held := d.held
	d.held = 0
	return held
}

// finish passes the current batch.
func (d *Decoder) finish() {
	if end := d.batch.last + 1; end > d.pos {
		d.pos, d.epoch = end, d.batch.leaderEpoch
	}
	d.raw = d.raw[d.batch.size:]
	d.close()
}

// stop ends the answer at Until. epoch is that of the batch which the offset before it belongs to.
func (d *Decoder) stop(epoch int32) {
	if d.o.Until > d.pos {
		d.pos, d.epoch = d.o.Until, epoch
	}
	d.raw = nil
	d.close()
}

func (d *Decoder) close() {
	d.open, d.ready, d.data, d.next = false, false, nil, entry{}
}

// fail makes err stick, except for ErrNoRoom, which says nothing of the bytes.
func (d *Decoder) fail(err error) error {
	if errors.Is(err, ErrNoRoom) {
		return err
	}
	d.err = fmt.Errorf("decode partition %d at offset %d: %w", d.o.Partition, d.pos, err)
	return d.err
}
