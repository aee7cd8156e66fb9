package lanes

import (
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// Ordering says what a lane is.
type Ordering int

// The orderings.
const (
	ByKey       Ordering = iota // a lane per key of a partition
	ByPartition                 // a lane per partition
	None                        // a lane per record
)

// Limits bound what runs and what is held. Values below one count as one; the parked bounds may be zero, which leaves
// the records of parked lanes in flight.
type Limits struct {
	Concurrency      int   // attempts running at once
	MaxInFlight      int   // records held by lanes that are not parked
	MaxInFlightBytes int64 // and their bytes, as record.Record.Size counts them
	ParkedMax        int   // records held by parked lanes
	ParkedMaxBytes   int64
	Paced            bool // the caller begins attempts at a limited rate, which is then shared as the slots are
}

// Item is a record in its lane. Record, Begun and FirstAttempt are only read by the caller; Note is the caller's own.
type Item struct {
	Record       *record.Record
	Begun        int       // attempts begun, by Next
	FirstAttempt time.Time // when the first one began; zero before
	Note         any       // the caller's

	size int64
	lane *lane
	next *Item
}

// Lanes holds what was taken in and is not settled, and hands it out in order. See the package comment.
type Lanes struct {
	ordering      Ordering
	nullKeyIsLane bool

	slots     int
	share     int // slots for further attempts while first attempts are ready
	slowShare int // slots for further attempts after a slow one, always

	parts      map[int32]*part
	ready      list    // lanes whose head was never attempted
	brisk      waiting // lanes whose head waits for a further attempt
	slow       waiting // the same, after a slow attempt
	running    int     // slots in use
	retries    int     // of these, by further attempts
	slowly     int     // of these, by those after a slow one
	parkedKeys int
	paced      bool
	firsts     int // first attempts begun since the last further one
	turns      uint64

	records, bytes meter
	maxBytes       int64 // of the in-flight bytes, see divide

	spare  *lane // empty lanes to use again, chained by next
	spares int
}

// maxSpares bounds the memory kept for lanes to come.
const maxSpares = 1024

// New returns lanes without a partition. Under ByKey a record with a null key is a lane of its own when nullKeyIsLane is
// set; else it is in the lane of the empty key, for sinks that are given the one as the other.
func New(o Ordering, nullKeyIsLane bool, limits Limits) *Lanes {
	l := &Lanes{
		ordering:      o,
		nullKeyIsLane: nullKeyIsLane,
		slots:         max(1, limits.Concurrency),
		paced:         limits.Paced,
		parts:         make(map[int32]*part),
	}
	l.share = max(1, l.slots/4)
	l.slowShare = l.share - l.share/4
	l.records.inFlight.max = max(1, int64(limits.MaxInFlight))
	l.records.parked.max = max(0, int64(limits.ParkedMax))
	l.maxBytes = max(1, limits.MaxInFlightBytes)
	l.bytes.parked.max = max(0, limits.ParkedMaxBytes)
	l.divide()
	return l
}

// Add queues a record in its lane. False: there is no room now, or the partition is not open, and nothing changed; room
// comes with a Settle, Retry, Abandon, Stop, Close or Unreserve. The caller adds the records of a partition in log order,
// each once. A first attempt is due at once.
func (l *Lanes) Add(r *record.Record) (*Item, bool) {
	p := l.parts[r.Partition]
	if p == nil || !p.open {
		return nil, false
	}
	var ln *lane
	key, named := l.laneKey(r)
	if named {
		ln = p.lanes[string(key)]
	}
	size, parked := r.Size(), ln != nil && ln.parked
	if !l.admit(p, size, parked) {
		l.even(p) // others may have made room for what is charged in the wrong place
		if !l.admit(p, size, parked) {
			p.full = true
			return nil, false
		}
	}
	if ln == nil {
		ln = l.newLane(p)
		if named {
			ln.key, ln.named = string(key), true
			p.lanes[ln.key] = ln
			p.peak = max(p.peak, len(p.lanes))
		}
		l.queue(ln)
	}
	it := &Item{Record: r, size: size, lane: ln}
	ln.push(it)
	return it, true
}

// laneKey is the key of the record's lane inside its partition; named is false for a record that is its own lane.
func (l *Lanes) laneKey(r *record.Record) (key []byte, named bool) {
	switch l.ordering {
	case ByKey:
		return r.Key, r.Key != nil || !l.nullKeyIsLane
	case ByPartition:
		return nil, true
	default:
		return nil, false
	}
}

// Next begins an attempt: it returns the item to attempt and takes a slot for it, until Settle, Retry or Abandon; nil
// when no slot is free or nothing is due. Ask until it is nil after every call that may change the answer.
func (l *Lanes) Next(now time.Time) *Item {
	ln := l.pick(now)
	if ln == nil {
		return nil
	}
	if ln.parked {
		l.waitingOf(ln).remove(ln)
		l.retries++
		if ln.slow {
			l.slowly++
		}
	} else {
		l.ready.remove(ln)
		ln.part.running.push(ln)
	}
	l.running++
	l.firsts++
	if ln.parked {
		l.firsts = 0
	}
	ln.enter(isRunning)
	it := ln.head
	it.Begun++
	if it.FirstAttempt.IsZero() {
		it.FirstAttempt = now
	}
	return it
}

// pick chooses the lane that is served next.
func (l *Lanes) pick(now time.Time) *lane {
	if l.running >= l.slots {
		return nil
	}
	first, retry := l.ready.head, l.earliest()
	if retry != nil && retry.due.After(now) {
		retry = nil
	}
	if retry == nil || first == nil {
		if first == nil {
			return retry
		}
		return first
	}
	// Where a slot is more than a quarter, or where it is not for want of slots that attempts wait, the share is one of turns.
	if l.retries >= l.share || l.slots < 4 && l.firsts < 1 || l.paced && l.firsts < 3 {
		return first
	}
	return retry
}

// earliest is the waiting lane that is due first, of those that may have a slot.
func (l *Lanes) earliest() *lane {
	brisk := l.brisk.top()
	if l.slowly >= l.slowShare {
		return brisk
	}
	slow := l.slow.top()
	if brisk == nil || slow != nil && slow.before(brisk) {
		return slow
	}
	return brisk
}

// Wake says when Next will have something that it has not now, apart from what other calls bring about: when the
// earliest waiting head is due. False when none waits, or when those that do also need a slot to be given back first. It
// is meant for a timer, set anew when Next has returned nil.
func (l *Lanes) Wake() (time.Time, bool) {
	if l.running >= l.slots {
		return time.Time{}, false
	}
	if ln := l.earliest(); ln != nil {
		return ln.due, true
	}
	return time.Time{}, false
}

// Ready says whether Next would begin an attempt now.
func (l *Lanes) Ready(now time.Time) bool { return l.pick(now) != nil }

// Settle says that the item's record is settled. Its slot and its room are free, and the next record of its lane is
// ready, behind those that are ready already. False for an orphan (see Close), whose outcome must not be recorded.
func (l *Lanes) Settle(it *Item) bool {
	ln := l.end(it)
	if ln == nil {
		return false
	}
	p := ln.part
	if ln.parked {
		l.unpark(ln)
	}
	p.running.remove(ln)
	ln.pop()
	l.release(p, 1, it.size, false)
	l.even(p)
	if ln.head == nil {
		l.forget(ln)
	} else {
		l.queue(ln)
	}
	return !p.closed
}

// Retry says that the attempt ended without success. The lane is parked until its head settles; the head is due again at
// the given time and holds no slot meanwhile. slow: the attempt timed out or took very long, so that the next one is
// held to the share of further attempts always. False when the partition was stopped or closed: the item is dropped.
func (l *Lanes) Retry(it *Item, at time.Time, slow bool) bool {
	ln := l.end(it)
	if ln == nil {
		return false
	}
	if !ln.part.open {
		l.discard(ln)
		return false
	}
	if !ln.parked {
		l.park(ln)
	}
	l.even(ln.part)
	ln.due, ln.slow = at, slow
	l.wait(ln)
	return true
}

// Abandon says that the attempt ended without saying anything of the record, because it was cancelled. The item goes
// back to where it was: first in line, or waiting with the time that it had. False when the partition was stopped or
// closed: the item is dropped.
func (l *Lanes) Abandon(it *Item) bool {
	ln := l.end(it)
	if ln == nil {
		return false
	}
	switch p := ln.part; {
	case !p.open:
		l.discard(ln)
		return false
	case ln.parked:
		l.wait(ln)
	default:
		p.running.remove(ln)
		ln.enter(isReady)
		l.ready.pushFront(ln)
	}
	return true
}

// Hurry makes waiting heads due sooner. It asks for each when that is, given when it is due so far; a later time changes nothing.
func (l *Lanes) Hurry(sooner func(it *Item, due time.Time) time.Time) {
	l.brisk.hurry(sooner)
	l.slow.hurry(sooner)
}

// end gives the slot of a running item back and returns its lane, nil when the item does not run.
func (l *Lanes) end(it *Item) *lane {
	ln := it.lane
	if ln == nil || ln.head != it || ln.state != isRunning {
		return nil
	}
	l.running--
	if ln.parked {
		l.retries--
		if ln.slow {
			l.slowly--
		}
	}
	return ln
}

// enter changes the state of the lane and counts it.
func (ln *lane) enter(s state) {
	ln.part.count[ln.state]--
	ln.part.count[s]++
	ln.state = s
}

// queue puts a lane that is in no list behind the ready ones.
func (l *Lanes) queue(ln *lane) {
	ln.enter(isReady)
	l.ready.push(ln)
}

// wait puts a parked lane among those that wait.
func (l *Lanes) wait(ln *lane) {
	ln.enter(isWaiting)
	l.turns++
	ln.turn = l.turns
	l.waitingOf(ln).push(ln)
}

func (l *Lanes) waitingOf(ln *lane) *waiting {
	if ln.slow {
		return &l.slow
	}
	return &l.brisk
}

// park moves a running lane and all its records to the parked ones; the caller evens the charges.
func (l *Lanes) park(ln *lane) {
	p := ln.part
	p.running.remove(ln)
	p.parked.push(ln)
	ln.parked = true
	l.parkedKeys++
	l.records.park(&p.records, ln.records)
	l.bytes.park(&p.bytes, ln.bytes)
}

// unpark is the reverse of park.
func (l *Lanes) unpark(ln *lane) {
	p := ln.part
	p.parked.remove(ln)
	p.running.push(ln)
	ln.parked = false
	l.parkedKeys--
	l.records.park(&p.records, -ln.records)
	l.bytes.park(&p.bytes, -ln.bytes)
}

// newLane returns an empty lane that counts as ready.
func (l *Lanes) newLane(p *part) *lane {
	ln := l.spare
	if ln == nil {
		ln = new(lane)
	} else {
		l.spare, l.spares = ln.next, l.spares-1
		*ln = lane{}
	}
	ln.part = p
	p.count[ln.state]++
	return ln
}

// forget removes an empty lane that is in no list.
func (l *Lanes) forget(ln *lane) {
	p := ln.part
	p.count[ln.state]--
	if ln.named {
		p.forget(ln.key)
	}
	*ln = lane{}
	if l.spares < maxSpares {
		ln.next, l.spare = l.spare, ln
		l.spares++
	}
}
