package group

import (
	"math"
	"sync/atomic"
	"time"
)

// lease says until when attempts may begin. It has one writer, the loop, and any number of readers.
//
// The session part: the coordinator counts the session from when it received a heartbeat of ours, which is never earlier than when we sent it.
// So the time of sending, plus the session, less a margin for cancelling what runs, is a time at which nobody else owns our partitions. Only
// heartbeats count: a SyncGroup, or a follower's JoinGroup, that meets a group at rest is answered without the session beginning anew (Kafka
// 4.4), which is what happens when the answer to an earlier join was lost.
//
// The barrier part only pauses: unlike an ended session it takes nothing away. It stands from the first assignment of a membership until a
// heartbeat has confirmed it. And once a rebalance has begun, heartbeats alone do not keep a member in the group; who has not joined again
// within the rebalance timeout is put out, and learns so only by its next heartbeat. While we cannot be sure that our join has arrived,
// nothing begins after that time.
type lease struct {
	base    time.Time
	term    time.Duration
	session instant
	barrier instant
	opened  atomic.Bool
	stamp   time.Time // what session was counted from; the writer's own
}

func newLease(base time.Time, session time.Duration) *lease {
	l := &lease{base: base, term: shorten(session)}
	l.session.set(passed, passed)
	l.barrier.set(never, never)
	return l
}

// shorten takes the margin off a timeout of the broker's: two seconds, or a third where that would leave too little.
func shorten(d time.Duration) time.Duration {
	const margin = 2 * time.Second
	if d < 3*margin {
		return d * 2 / 3
	}
	return d - margin
}

// open begins a lease that counts from when something was sent, or renews a running one.
func (l *lease) open(sent time.Time) {
	if !l.opened.Load() || sent.After(l.stamp) {
		l.stamp = sent
		// By the wall clock the end may be earlier than before: a clock that was set back must not lengthen the lease.
		l.session.set(l.read(sent.Add(l.term)))
	}
	l.opened.Store(true)
}

// extend renews a running lease; one that was closed stays closed until the next assignment.
func (l *lease) extend(sent time.Time) {
	if l.opened.Load() {
		l.open(sent)
	}
}

func (l *lease) close() {
	l.opened.Store(false)
	l.session.set(passed, passed)
	l.unblock()
}

func (l *lease) running() bool { return l.opened.Load() }

func (l *lease) block()              { l.barrier.set(passed, passed) }
func (l *lease) blockAt(t time.Time) { l.barrier.set(l.read(t)) }
func (l *lease) unblock()            { l.barrier.set(never, never) }

// mayStart is the whole answer.
func (l *lease) mayStart(now time.Time) bool {
	mono, wall := l.read(now)
	return l.session.left(mono, wall) > 0 && l.barrier.left(mono, wall) > 0
}

// left is how much of the session part remains, zero or less when it has run out or was never begun.
func (l *lease) left(now time.Time) time.Duration { return l.session.left(l.read(now)) }

// read takes a time apart: by the monotonic clock in ns since base, by the wall clock in ns since 1970.
func (l *lease) read(t time.Time) (mono, wall int64) { return int64(t.Sub(l.base)), t.UnixNano() }

// instant is a point in time on both clocks. Written by one goroutine; a reader that sees half of a change sees, for either clock, a value
// that held before or after it.
type instant struct {
	mono, wall atomic.Int64
}

// Instants that never come and that are always over.
const (
	never  = math.MaxInt64
	passed = math.MinInt64
)

func (i *instant) set(mono, wall int64) {
	i.mono.Store(mono)
	i.wall.Store(wall)
}

// left is the shorter of what the two clocks say. The monotonic one stops while a machine is suspended, the wall clock may be set.
func (i *instant) left(mono, wall int64) time.Duration {
	return time.Duration(min(left(i.mono.Load(), mono), left(i.wall.Load(), wall)))
}

func left(until, now int64) int64 {
	switch until {
	case passed:
		return 0
	case never:
		return never
	}
	return until - now
}
