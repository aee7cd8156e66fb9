package lanes

// part is one partition: its lanes, what runs, and what it uses of the bounds.
type part struct {
	lanes   map[string]*lane // named ones by key; nil once stopped
	peak    int              // most entries the map ever had
	running list             // running lanes that are not parked
	parked  list             // parked lanes, oldest first
	count   [states]int      // lanes by state

	records, bytes account

	open   bool // takes records and has a share; else stopped
	closed bool // forgotten: what still runs is orphaned
	full   bool // a bound was hit; see HasRoom
}

// largeMap is the number of entries from which on an emptied map is given back: Go's maps never shrink.
const largeMap = 1024

func (p *part) forget(key string) {
	delete(p.lanes, key)
	if len(p.lanes) == 0 && p.peak > largeMap {
		p.lanes, p.peak = make(map[string]*lane), 0
	}
}

// setOpen also tells the accounts, which have a guarantee only while open.
func (p *part) setOpen(open bool) {
	p.open = open
	for _, a := range []*account{&p.records, &p.bytes} {
		a.inFlight.open, a.onParked.open = open, open
	}
}

// Open makes the partition take records. A partition that is open already stays as it is; one that was stopped is closed
// first.
func (l *Lanes) Open(p int32) {
	if old := l.parts[p]; old != nil {
		if old.open {
			return
		}
		l.Close(p)
	}
	pt := &part{lanes: make(map[string]*lane)}
	pt.setOpen(true)
	l.parts[p] = pt
	l.divide()
}

// Stop lets a partition run dry: what only waits is dropped at once, with its reservations, and no record is added any
// more. What runs ends as usual, so that its outcome can still be recorded: Settle reports true; Retry and Abandon drop
// the item. Running tells when nothing is left. Returns how many records were dropped.
func (l *Lanes) Stop(p int32) (dropped int) {
	pt := l.parts[p]
	if pt == nil || !pt.open {
		return 0
	}
	l.Unreserve(p, pt.bytes.reserved)
	for ln := range l.ready.all() {
		if ln.part == pt {
			l.ready.remove(ln)
			dropped += l.drop(ln)
		}
	}
	for ln := range pt.parked.all() {
		if ln.state == isRunning {
			dropped += l.cut(ln)
			continue
		}
		l.waitingOf(ln).remove(ln)
		pt.parked.remove(ln)
		l.parkedKeys--
		dropped += l.drop(ln)
	}
	for ln := range pt.running.all() {
		dropped += l.cut(ln)
	}
	pt.lanes, pt.peak = nil, 0
	pt.setOpen(false)
	l.divide()
	l.even(pt)
	return dropped
}

// Close stops the partition and forgets it. What runs is orphaned: its Settle, Retry or Abandon gives back slot and room
// and reports false, also when the partition is opened again meanwhile. Returns how many records were dropped; orphans
// are not among them.
func (l *Lanes) Close(p int32) (dropped int) {
	dropped = l.Stop(p)
	if pt := l.parts[p]; pt != nil {
		pt.closed = true
		delete(l.parts, p)
	}
	return dropped
}

// drop removes a lane that is in no list with all its records.
func (l *Lanes) drop(ln *lane) int {
	l.release(ln.part, ln.records, ln.bytes, ln.parked)
	ln.part.count[ln.state]--
	return int(ln.records)
}

// cut drops all records of a running lane but the one that runs.
func (l *Lanes) cut(ln *lane) int {
	n, head := ln.records-1, ln.head
	l.release(ln.part, n, ln.bytes-head.size, ln.parked)
	head.next, ln.tail = nil, head
	ln.records, ln.bytes = 1, head.size
	return int(n)
}

// discard removes a lane of a stopped partition whose attempt has ended, with the one record that it still has.
func (l *Lanes) discard(ln *lane) {
	if ln.parked {
		l.unpark(ln)
	}
	p := ln.part
	p.running.remove(ln)
	l.release(p, ln.records, ln.bytes, false)
	l.even(p)
	ln.pop()
	l.forget(ln)
}

// divide gives every open partition its share of the bounds.
func (l *Lanes) divide() {
	n := int64(0)
	for _, p := range l.parts {
		if p.open {
			n++
		}
	}
	// A fetch reserves one byte at least. With fewer of them than partitions, the long polls of those that are at their end would leave none to
	// the others, for as long as they are.
	l.bytes.inFlight.max = max(l.maxBytes, n)
	for _, m := range []*meter{&l.records, &l.bytes} {
		m.inFlight.divide(n)
		m.parked.divide(n)
	}
	for _, p := range l.parts {
		if p.open {
			l.records.guarantee(&p.records)
			l.bytes.guarantee(&p.bytes)
		}
	}
}

func (m *meter) guarantee(a *account) {
	m.inFlight.guarantee(&a.inFlight)
	m.parked.guarantee(&a.onParked)
}
