package lanes

// bound is one limit of one budget and what is used of it. Half of the equal share is guaranteed to every open
// partition, the rest is common.
type bound struct {
	max    int64
	fair   int64 // equal share of one open partition
	each   int64 // guaranteed to every open partition: half of the equal share
	common int64 // what is not guaranteed to anyone
	used   int64 // by all partitions
	shared int64 // of used, what partitions use beyond their guarantee; may exceed common after another partition came
}

// charge is what one partition uses of one bound.
type charge struct {
	use  int64
	open bool // has a guarantee
}

// room is how much more the partition may take.
func (b *bound) room(c *charge) int64 {
	own := int64(0)
	if c.open {
		own = max(0, b.each-c.use)
	}
	return max(0, min(b.max-b.used, own+max(0, b.common-b.shared)))
}

func (b *bound) add(c *charge, n int64) {
	b.shared -= b.beyond(c)
	c.use += n
	b.used += n
	b.shared += b.beyond(c)
}

func (b *bound) beyond(c *charge) int64 {
	if !c.open {
		return c.use
	}
	return max(0, c.use-b.each)
}

// divide sets the shares for n open partitions; every one of them must then be passed to guarantee.
func (b *bound) divide(n int64) {
	n = max(1, n)
	b.fair, b.each = b.max/n, b.max/(2*n)
	b.common = b.max - n*b.each
	b.shared = b.used
}

func (b *bound) guarantee(c *charge) { b.shared -= min(c.use, b.each) }

// regained says whether so much of a bound that was hit is free again that fetching is worth it: a quarter of the equal
// share. Where that is less than one, any room will do.
func (b *bound) regained(room int64) bool { return room >= max(1, b.fair/4) }

// meter measures one quantity, records or bytes, against both budgets.
type meter struct {
	inFlight, parked bound
}

// account is what one partition holds of one quantity and where that is charged. Always
//
//	free + parked = (inFlight.use - reserved) + onParked.use
//
// and, as far as the bounds allow, parked = onParked.use.
type account struct {
	free, parked       int64 // held by lanes that are not parked, and by those that are
	inFlight, onParked charge
	reserved           int64 // of inFlight: promised to a fetch, not held yet
}

// fits says whether n more may be held. A parked lane may use both budgets.
func (m *meter) fits(a *account, n int64, parked bool) bool {
	if n <= 0 {
		return true // covered by a reservation
	}
	room := m.inFlight.room(&a.inFlight)
	if parked {
		room += m.parked.room(&a.onParked)
	}
	return room >= n
}

// put holds n more, for a lane that is parked or not.
func (m *meter) put(a *account, n int64, parked bool) {
	if !parked {
		a.free += n
		m.inFlight.add(&a.inFlight, n)
		return
	}
	a.parked += n
	aside := min(n, m.parked.room(&a.onParked))
	m.parked.add(&a.onParked, aside)
	m.inFlight.add(&a.inFlight, n-aside)
}

// drop holds n less. What is charged to parked without need goes first.
func (m *meter) drop(a *account, n int64, parked bool) {
	if parked {
		a.parked -= n
	} else {
		a.free -= n
	}
	aside := min(n, max(0, a.onParked.use-a.parked))
	if aside > 0 {
		m.parked.add(&a.onParked, -aside)
	}
	m.inFlight.add(&a.inFlight, aside-n)
}

// park says that n of what is held now belongs to a parked lane; a negative n takes that back.
func (m *meter) park(a *account, n int64) {
	a.free -= n
	a.parked += n
}

// reserve changes the reservation by n.
func (m *meter) reserve(a *account, n int64) {
	a.reserved += n
	m.inFlight.add(&a.inFlight, n)
}

// even moves charges to where they belong, as far as there is room.
func (m *meter) even(a *account) {
	switch aside := a.parked - a.onParked.use; {
	case aside > 0:
		n := min(aside, m.parked.room(&a.onParked))
		m.shift(a, n)
		// A record above the bounds that fails must not stop every partition's intake for as long as it does: the excess
		// goes with it. The sum of both budgets stays as it was, so it is still one record above.
		if over := min(aside-n, m.inFlight.used-m.inFlight.max); over > 0 {
			m.shift(a, over)
		}
	case aside < 0:
		m.shift(a, -min(-aside, m.inFlight.room(&a.inFlight)))
	}
}

// shift moves n from in flight to parked.
func (m *meter) shift(a *account, n int64) {
	m.inFlight.add(&a.inFlight, -n)
	m.parked.add(&a.onParked, n)
}

// admit charges one record of size bytes to a partition, out of its reservation first. False changes nothing.
func (l *Lanes) admit(p *part, size int64, parked bool) bool {
	covered := min(p.bytes.reserved, size)
	if !l.records.fits(&p.records, 1, parked) {
		return false
	}
	if !l.bytes.fits(&p.bytes, size-covered, parked) && (parked || !l.alone(p)) {
		// A parked lane never gets the record above the bounds: it could keep it for as long as its head fails.
		return false
	}
	l.records.put(&p.records, 1, parked)
	l.bytes.reserve(&p.bytes, -covered)
	l.bytes.put(&p.bytes, size, parked)
	return true
}

// alone says whether the partition may take one record for which there are not enough bytes: it has nothing in flight
// and, its own reservation aside, no byte bound is exceeded yet. Without it a record that never fits would block its
// partition, and partitions that have reserved everything could block each other.
func (l *Lanes) alone(p *part) bool {
	return p.records.inFlight.use == 0 && p.bytes.inFlight.use == p.bytes.reserved &&
		l.bytes.inFlight.used-p.bytes.reserved <= l.bytes.inFlight.max && l.bytes.parked.used <= l.bytes.parked.max
}

// even brings the partition's charges to where they belong, as far as there is room by now.
func (l *Lanes) even(p *part) {
	l.records.even(&p.records)
	l.bytes.even(&p.bytes)
}

// release takes n records of together size bytes out of both budgets.
func (l *Lanes) release(p *part, n, size int64, parked bool) {
	l.records.drop(&p.records, n, parked)
	l.bytes.drop(&p.bytes, size, parked)
}

// Reserve sets bytes of the in-flight budget aside for a fetch of the partition and returns how many it got: at most
// what the partition may take, and never so much that its reservations exceed its equal share, so that long polls of
// quiet partitions leave something to busy ones. 0: no room, or the partition is not open. A partition with nothing in
// flight gets at least one byte unless the bounds are exceeded already: Kafka answers a fetch with one whole batch
// however small its limit is (KIP-74).
//
// Every record that [Lanes.Add] takes uses up the reservation by its size, also when it is charged to the parked budget.
func (l *Lanes) Reserve(p int32, bytes int64) int64 {
	pt := l.parts[p]
	if pt == nil || !pt.open || bytes <= 0 {
		return 0
	}
	l.even(pt)
	granted := int64(0)
	if l.records.fits(&pt.records, 1, false) {
		room := min(l.bytes.inFlight.room(&pt.bytes.inFlight), max(1, l.bytes.inFlight.fair)-pt.bytes.reserved)
		granted = max(0, min(bytes, room))
		if granted == 0 && pt.bytes.reserved == 0 && l.alone(pt) {
			granted = 1
		}
	}
	if granted == 0 {
		pt.full = true
		return 0
	}
	l.bytes.reserve(&pt.bytes, granted)
	return granted
}

// Unreserve gives back bytes that [Lanes.Reserve] granted and no record used. More than what is left counts as all of
// it, so the caller need not know how far records have used it up. Returns how many it were.
func (l *Lanes) Unreserve(p int32, bytes int64) int64 {
	pt := l.parts[p]
	if pt == nil || bytes <= 0 {
		return 0
	}
	n := min(bytes, pt.bytes.reserved)
	l.bytes.reserve(&pt.bytes, -n)
	return n
}

// Fits says whether Add would take a record of this size now, out of the partition's reservation first, into a lane that is not parked. For the lane
// of a parked key there may be room although it says no.
func (l *Lanes) Fits(p int32, size int64) bool {
	pt := l.parts[p]
	if pt == nil || !pt.open {
		return false
	}
	l.even(pt)
	covered := min(pt.bytes.reserved, size)
	return l.records.fits(&pt.records, 1, false) && (l.bytes.fits(&pt.bytes, size-covered, false) || l.alone(pt))
}

// Secure sets aside what one record of this size still needs beyond what the partition has reserved, so that [Lanes.Add] takes it unless the count is
// used up meanwhile. It may be the one record above the bounds. False changes nothing: see [Lanes.Fits].
func (l *Lanes) Secure(p int32, size int64) bool {
	if !l.Fits(p, size) {
		return false
	}
	pt := l.parts[p]
	if more := size - pt.bytes.reserved; more > 0 {
		l.bytes.reserve(&pt.bytes, more)
	}
	return true
}

// HasRoom says whether fetching for the partition is worth it. Once a bound was hit (Add or Reserve refused) it is only
// when a quarter of the partition's equal share is free again, so that a full sidecar does not fetch record by record;
// where a quarter is less than one, or where the partition has nothing left that could free more, any room will do.
//
// It is a hint for when to try again: the record that Add refused may be larger than the room.
func (l *Lanes) HasRoom(p int32) bool {
	pt := l.parts[p]
	if pt == nil || !pt.open {
		return false
	}
	l.even(pt)
	records, bytes := l.records.inFlight.room(&pt.records.inFlight), l.bytes.inFlight.room(&pt.bytes.inFlight)
	switch {
	case records == 0:
		pt.full = true
	case l.alone(pt):
		pt.full = false
	case bytes == 0:
		pt.full = true
	case pt.records.free == 0 && pt.bytes.reserved == 0:
		pt.full = false
	case pt.full:
		pt.full = !l.records.inFlight.regained(records) || !l.bytes.inFlight.regained(bytes)
	}
	return !pt.full
}
