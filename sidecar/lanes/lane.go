package lanes

import (
	"iter"
	"time"
)

// state is what the head of a lane does.
type state uint8

const (
	isReady   state = iota // it waits for a slot for its first attempt
	isWaiting              // it waits until its next attempt is due, or for a slot after that
	isRunning
	states
)

// lane is a queue of records of which only the first may run. It exists only while it holds one.
//
// A lane is in exactly one list: of the ready lanes, or of its partition's running ones, or (waiting or running) of its
// partition's parked ones. That is how everything of a partition is found without a list of all.
type lane struct {
	part       *part
	key        string // its entry in the partition's map, when named
	head, tail *Item
	records    int64
	bytes      int64
	prev, next *lane // in its list

	due   time.Time // when parked: when the head may be attempted again
	turn  uint64    // order of arrival among those due at once
	place int       // in the heap of waiting lanes

	state  state
	named  bool // found by its key; else a record of its own
	parked bool // the head was attempted without success
	slow   bool // its last attempt was slow
}

func (ln *lane) push(it *Item) {
	if ln.tail == nil {
		ln.head = it
	} else {
		ln.tail.next = it
	}
	ln.tail = it
	ln.records++
	ln.bytes += it.size
}

// pop takes the head out. The item forgets its neighbours: whoever still holds it must not hold all that came after it.
func (ln *lane) pop() {
	it := ln.head
	ln.head = it.next
	if ln.head == nil {
		ln.tail = nil
	}
	ln.records--
	ln.bytes -= it.size
	it.next, it.lane = nil, nil
}

// list is a first-in first-out queue of lanes that one can be taken out of anywhere.
type list struct {
	head, tail *lane
	len        int
}

func (q *list) push(ln *lane) {
	ln.prev, ln.next = q.tail, nil
	if q.tail == nil {
		q.head = ln
	} else {
		q.tail.next = ln
	}
	q.tail = ln
	q.len++
}

func (q *list) pushFront(ln *lane) {
	ln.prev, ln.next = nil, q.head
	if q.head == nil {
		q.tail = ln
	} else {
		q.head.prev = ln
	}
	q.head = ln
	q.len++
}

func (q *list) remove(ln *lane) {
	if ln.prev == nil {
		q.head = ln.next
	} else {
		ln.prev.next = ln.next
	}
	if ln.next == nil {
		q.tail = ln.prev
	} else {
		ln.next.prev = ln.prev
	}
	ln.prev, ln.next = nil, nil
	q.len--
}

// all goes through the lanes in order; the one that it is at may be removed.
func (q *list) all() iter.Seq[*lane] {
	return func(yield func(*lane) bool) {
		for ln := q.head; ln != nil; {
			next := ln.next
			if !yield(ln) {
				return
			}
			ln = next
		}
	}
}
