package fetch

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// Aborted is one transaction whose records must not be delivered: those of the producer from FirstOffset up to the producer's next marker (KIP-98).
type Aborted struct{ ProducerID, FirstOffset int64 }

// filter says which batches belong to aborted transactions. It must see every batch of an answer in order, those before the start as well: a
// transaction that began before the start may end before it too.
type filter struct {
	waiting []Aborted          // by first offset
	active  map[int64]struct{} // producers inside of an aborted transaction
}

func newFilter(aborted []Aborted) filter {
	waiting := slices.Clone(aborted) // sorted below, and the list is the caller's
	slices.SortFunc(waiting, func(a, b Aborted) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	return filter{waiting: waiting, active: make(map[int64]struct{}, len(aborted))}
}

// see takes the next batch and says whether its records were aborted. Seeing a batch again changes nothing.
//
// The order is the Java client's: transactions that begin up to the batch's last offset count first. Unlike there a commit marker ends one as well:
// it proves that the abort marker is behind us and was compacted away, and what the producer writes next must not be dropped.
func (f *filter) see(b *batch) (aborted bool, err error) {
	if b.producerID < 0 {
		return false, nil
	}
	for len(f.waiting) > 0 && f.waiting[0].FirstOffset <= b.last {
		f.active[f.waiting[0].ProducerID] = struct{}{}
		f.waiting = f.waiting[1:]
	}
	if b.control() {
		ends, err := endsTransaction(b)
		if ends {
			delete(f.active, b.producerID)
		}
		return false, err
	}
	_, aborted = f.active[b.producerID]
	return aborted && b.transactional(), nil
}

// endsTransaction says whether a control batch is an abort or commit marker. Others (leader changes, snapshots) have nothing to do with transactions;
// an empty one has lost its marker to compaction.
func endsTransaction(b *batch) (bool, error) {
	if b.count == 0 {
		return false, nil
	}
	if b.codec() != 0 {
		return false, fmt.Errorf("%w: a compressed control batch", ErrUnsupported)
	}
	e, _, err := parseRecord(b.payload, b)
	if err != nil {
		return false, err
	}
	if len(e.key) < 4 { // version, type
		return false, fmt.Errorf("%w: a control record with a key of %d bytes", ErrCorrupt, len(e.key))
	}
	kind := int16(binary.BigEndian.Uint16(e.key[2:]))
	return kind == 0 || kind == 1, nil
}
