package ledger

import "fmt"

// Identity names the log that offsets belong to.
type Identity struct {
	TopicID   [16]byte // zero where the broker does not tell it: maps are then written, but never believed
	Partition int32
	// Lanes stands for how the caller makes lane hashes. It must differ whenever the same record could be given another hash
	// (another ORDERING, another treatment of null keys), because a hash that nobody asks for would hide an unsettled lane.
	Lanes uint32
}

// Entry is one record that was taken in and is not settled yet.
type Entry struct {
	Tag int64 // the caller's own, not looked at here

	prev, next *Entry
	offset     int64
	lane       uint64
	before     int32 // leader epoch that the log was in where a commit of this offset would stand, -1 when unknown
	settled    bool
	behind     int64 // records settled between the previous unsettled entry and this one
}

// Offset is the record's offset.
func (e *Entry) Offset() int64 { return e.offset }

// Ledger is the account of one partition. It is not safe for concurrent use.
type Ledger struct {
	id         Identity
	head, tail *Entry // unsettled, ascending by offset
	unsettled  int
	position   int64 // every offset below was taken, was settled before, or holds no record
	epoch      int32 // highest leader epoch of the records taken or restored, -1 before the first
	last       int32 // leader epoch of the last offset below the position, -1 when unknown
	top        int64 // beyond it, up to the position, nothing is known to be settled
	behind     int64 // records settled above the newest unsettled entry
	beyond     int64 // records settled above the oldest unsettled entry
	restored   *Map  // what an earlier owner knew at and above position; nil once passed or void

	settles  uint64 // records settled so far
	acked    Commit // the newest commit that the broker acknowledged
	hasAcked bool
}

// Commit is what to write for the partition.
type Commit struct {
	Offset      int64
	LeaderEpoch int32  // an epoch that the log was in at Offset, or up to it; -1 when unknown
	Metadata    string // ASCII; empty only when not even the identity fits
	settles     uint64
}

// New opens the account of a partition at start, the committed offset. restored is the map that came with that very commit, or
// nil; one that belongs to another log, another offset or a log without a topic id is ignored.
func New(id Identity, start int64, restored *Map) *Ledger {
	l := &Ledger{id: id, position: start, top: start, epoch: -1, last: -1}
	if restored != nil && restored.Matches(id, start) {
		l.restored = restored.forLanes(id.Lanes)
		l.epoch = restored.epoch // until a higher one voids the map
		// What stands at the broker is what we know: nothing to commit until something changes.
		l.acked, l.hasAcked = Commit{Offset: start}, true
		l.passRestored()
	}
	return l
}

// StartsUnder notes the leader epoch of the commit that the account begins with, -1 when it is unknown: as long as nothing beyond is
// settled it is committed again.
func (l *Ledger) StartsUnder(epoch int32) { l.last = epoch }

// Settled says whether an earlier owner settled this record: the caller then calls Advance in place of Take. lane is the 48-bit hash of
// its lane, 0 for a record that is a lane of its own.
func (l *Ledger) Settled(offset int64, epoch int32, lane uint64) bool {
	return l.restored != nil && l.restored.settled(offset, epoch, lane)
}

// Take enters a record as unsettled. Offsets ascend strictly: one below the position is a fault of the caller, which would
// let a commit pass a record unseen, and panics. A log that shrank needs a new Ledger.
func (l *Ledger) Take(offset int64, epoch int32, lane uint64) *Entry {
	if offset < l.position {
		panic(fmt.Sprintf("ledger: offset %d is below the position %d", offset, l.position))
	}
	l.void(offset, epoch)
	e := &Entry{offset: offset, lane: lane & laneMask, before: l.last, prev: l.tail, behind: l.behind}
	if offset > l.position {
		// What lies between was compacted away and may have been of any epoch up to this one. A leader is asked where an epoch ends in
		// its log, and too low an epoch ends below this offset without anything being wrong.
		e.before = epoch
	}
	l.behind = 0
	if l.tail == nil {
		l.head = e
	} else {
		l.tail.next = e
	}
	l.tail = e
	l.unsettled++
	l.epoch = max(l.epoch, epoch)
	l.Advance(offset+1, epoch)
	return e
}

// Advance moves the position to next: what lies below and was not taken is settled, be it that no record is there or that Settled
// knows the one that is. epoch is the leader epoch of the batch that ends there, -1 when unknown. Moving back is ignored.
func (l *Ledger) Advance(next int64, epoch int32) {
	if next > l.position {
		l.void(l.position, epoch)
		l.position, l.last = next, epoch
		l.passRestored()
	}
}

// Settle strikes a record off. Doing it again changes nothing.
func (l *Ledger) Settle(e *Entry) {
	if e.settled {
		return
	}
	e.settled = true
	l.settles++
	l.unsettled--
	l.top = max(l.top, e.offset+1)
	passed := e.behind + 1
	if e.prev != nil {
		e.prev.next = e.next
		l.beyond++
	} else {
		l.head = e.next
	}
	next := &l.behind
	if e.next != nil {
		e.next.prev = e.prev
		next = &e.next.behind
	} else {
		l.tail = e.prev
	}
	*next += passed
	if e.prev == nil { // the oldest went: what was settled up to the next unsettled one is below the commit now
		l.beyond -= *next - passed
		*next = 0
	}
	e.prev, e.next = nil, nil
}

// Committable is the first unsettled offset, or the position when all is settled.
func (l *Ledger) Committable() int64 {
	if l.head != nil {
		return l.head.offset
	}
	return l.position
}

// Position is the next offset to read.
func (l *Ledger) Position() int64 { return l.position }

// Unsettled counts the records taken and not settled.
func (l *Ledger) Unsettled() int { return l.unsettled }

// UnsettledFrom counts the records taken and not settled at an offset and beyond it.
func (l *Ledger) UnsettledFrom(offset int64) (n int64) {
	for e := l.tail; e != nil && e.offset >= offset; e = e.prev {
		n++
	}
	return n
}

// Oldest is the unsettled record with the lowest offset: the one that holds the commit.
func (l *Ledger) Oldest() (*Entry, bool) { return l.head, l.head != nil }

// SettledBeyond counts the records that this ledger has settled above the oldest unsettled one: what only the map keeps from being repeated.
func (l *Ledger) SettledBeyond() int64 { return l.beyond }

// Unacked counts the records settled since the last acknowledged commit.
func (l *Ledger) Unacked() int64 { return int64(l.settles - l.acked.settles) }

// Commit is what to commit now, with at most maxChars characters of metadata, and whether it says more than the last
// acknowledged one. It costs a walk over the unsettled records.
func (l *Ledger) Commit(maxChars int) (Commit, bool) {
	c := Commit{Offset: l.Committable(), LeaderEpoch: l.last, settles: l.settles}
	if l.head != nil {
		c.LeaderEpoch = l.head.before
	}
	if l.hasAcked && c.Offset == l.acked.Offset && c.settles == l.acked.settles {
		return Commit{}, false
	}
	c.Metadata = l.metadata(c.Offset, maxChars)
	return c, true
}

// Acked notes that the broker acknowledged c. An older commit than the newest acknowledged one is ignored.
func (l *Ledger) Acked(c Commit) {
	if l.hasAcked && (c.settles < l.acked.settles || c.Offset < l.acked.Offset) {
		return
	}
	c.Metadata = "" // not needed any more
	l.acked, l.hasAcked = c, true
}

// void drops the rest of the restored map when a record's epoch is above the map's: the log was rewritten from here on, at the
// latest. Carried further, under the new epoch, the map would call records settled that nobody has seen.
func (l *Ledger) void(offset int64, epoch int32) {
	if l.restored != nil && epoch > l.restored.epoch {
		l.top = max(l.top, offset)
		l.restored = nil
	}
}

// passRestored lets the restored map go once the position has passed all that it says: its knowledge is the ledger's own then.
func (l *Ledger) passRestored() {
	if l.restored != nil && l.position >= l.restored.horizon {
		l.top = max(l.top, l.restored.horizon)
		l.restored = nil
	}
}
