package lanes

import "time"

// Stats says what is held and what runs. InFlight and InFlightBytes, ParkedRecords and ParkedBytes are what is charged
// to the two budgets and are read against their bounds; together they are all that is held. Near a bound records of
// parked lanes may be charged in flight, and the reverse.
type Stats struct {
	InFlight       int
	InFlightBytes  int64 // without Reserved
	Reserved       int64 // bytes set aside for fetches
	ParkedKeys     int   // parked lanes
	ParkedRecords  int
	ParkedBytes    int64
	Ready          int // lanes whose head waits for a slot for its first attempt
	Waiting        int // lanes whose head waits for a further attempt, due or not
	Running        int // slots in use, those of orphans too
	RunningRetries int // of these, by further attempts
}

// Stats is the state of all partitions together. Orphans count as held until their attempts have ended.
func (l *Lanes) Stats() Stats {
	s := Stats{
		InFlight:       int(l.records.inFlight.used),
		InFlightBytes:  l.bytes.inFlight.used,
		ParkedKeys:     l.parkedKeys,
		ParkedRecords:  int(l.records.parked.used),
		ParkedBytes:    l.bytes.parked.used,
		Ready:          l.ready.len,
		Waiting:        len(l.brisk) + len(l.slow),
		Running:        l.running,
		RunningRetries: l.retries,
	}
	for _, p := range l.parts {
		s.Reserved += p.bytes.reserved
	}
	s.InFlightBytes -= s.Reserved
	return s
}

// PartitionStats is the state of one partition, open or stopped; zero for any other.
func (l *Lanes) PartitionStats(p int32) Stats {
	pt := l.parts[p]
	if pt == nil {
		return Stats{}
	}
	return Stats{
		InFlight:       int(pt.records.inFlight.use),
		InFlightBytes:  pt.bytes.inFlight.use - pt.bytes.reserved,
		Reserved:       pt.bytes.reserved,
		ParkedKeys:     pt.parked.len,
		ParkedRecords:  int(pt.records.onParked.use),
		ParkedBytes:    pt.bytes.onParked.use,
		Ready:          pt.count[isReady],
		Waiting:        pt.count[isWaiting],
		Running:        pt.count[isRunning],
		RunningRetries: pt.count[isRunning] - pt.running.len,
	}
}

// ParkedUse is how much of what a partition may hold in parked lanes it does hold, in percent, of the partition and the quantity that are nearest to
// their end. The bounds are shared: one partition among many may reach its part when half of the whole is free.
func (l *Lanes) ParkedUse() (percent int) {
	part := func(b *bound, c *charge) {
		if c.use > 0 {
			percent = max(percent, int(c.use*100/(c.use+b.room(c))))
		}
	}
	for _, p := range l.parts {
		part(&l.records.parked, &p.records.onParked)
		part(&l.bytes.parked, &p.bytes.onParked)
	}
	return percent
}

// Running is how many attempts of the partition run; orphans are not counted.
func (l *Lanes) Running(p int32) int {
	if pt := l.parts[p]; pt != nil {
		return pt.count[isRunning]
	}
	return 0
}

// RunningTotal is how many slots are in use, those of orphans too.
func (l *Lanes) RunningTotal() int { return l.running }

// Only says whether the partition holds parked lanes alone, with heads of the given kind.
func (l *Lanes) Only(p int32, kind func(*Item) bool) bool {
	pt := l.parts[p]
	if pt == nil || pt.count[isReady] > 0 || pt.running.len > 0 {
		return false
	}
	for ln := range pt.parked.all() {
		if !kind(ln.head) {
			return false
		}
	}
	return true
}

// Free is how many records the partition holds in lanes that are not parked, wherever they are charged.
func (l *Lanes) Free(p int32) int {
	if pt := l.parts[p]; pt != nil {
		return int(pt.records.free)
	}
	return 0
}

// Slots says what the slots are used for: how many are in use, how many of these by lanes that are not parked, and how many lanes wait for
// one for their first attempt.
func (l *Lanes) Slots() (used, first, ready int) {
	return l.running, l.running - l.retries, l.ready.len
}

// ParkedLane is a parked lane as the status page shows it.
type ParkedLane struct {
	Item    *Item     // its head
	Due     time.Time // when the head is, or was, due for its next attempt
	Running bool      // an attempt runs now
	Records int       // held by the lane, the head included
}

// Parked lists the partition's parked lanes, those parked longest first, at most limit.
func (l *Lanes) Parked(p int32, limit int) []ParkedLane {
	pt := l.parts[p]
	if pt == nil || limit <= 0 {
		return nil
	}
	found := make([]ParkedLane, 0, min(limit, pt.parked.len))
	for ln := range pt.parked.all() {
		if len(found) == limit {
			break
		}
		found = append(found, ParkedLane{Item: ln.head, Due: ln.due, Running: ln.state == isRunning, Records: int(ln.records)})
	}
	return found
}
