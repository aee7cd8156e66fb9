package lanes

import (
	"math/rand/v2"
	"testing"
	"time"
)

const partitions = 3

// FuzzLanes drives random calls against the model and checks after each one that order, slots, bounds and sums hold.
func FuzzLanes(f *testing.F) {
	for seed := range uint64(16) {
		f.Add(program(seed, 300))
	}
	f.Fuzz(play)
}

// TestLanesAgreeWithModel is the same over many fixed seeds.
func TestLanesAgreeWithModel(t *testing.T) {
	seeds := uint64(600)
	if testing.Short() {
		seeds = 60
	}
	for seed := range seeds {
		play(t, program(seed, 700))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func program(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 42))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// play reads calls and their arguments from the program: first the limits, then one call after the other.
func play(t *testing.T, program []byte) {
	arg := func(n int) int {
		if len(program) == 0 {
			return 0
		}
		b := program[0]
		program = program[1:]
		return int(b) % n
	}
	l := New(Ordering(arg(3)), arg(2) == 0, Limits{
		Concurrency:      []int{0, 1, 2, 3, 4, 8, 17, 64}[arg(8)],
		MaxInFlight:      1 + arg(30),
		MaxInFlightBytes: []int64{0, 300, 1000, 5000, 50000}[arg(5)],
		ParkedMax:        arg(30),
		ParkedMaxBytes:   []int64{0, 300, 1000, 5000, 50000}[arg(5)],
		Paced:            arg(3) == 0,
	})
	m := newModel(t, l)
	for p := range int32(1 + arg(partitions)) {
		m.open(p)
	}
	keys := [][]byte{nil, {}, []byte("a"), []byte("b"), []byte("c"), []byte("d")}
	for len(program) > 0 && !t.Failed() {
		p := int32(arg(partitions))
		switch op := arg(40); {
		case op < 12:
			m.add(p, keys[arg(len(keys))], []int{0, 10, 100, 700, 6000}[arg(5)*arg(2)])
		case op < 21:
			m.next()
		case op < 35:
			if len(m.running) == 0 {
				continue
			}
			i := arg(len(m.running))
			switch {
			case op < 27:
				m.settle(i)
			case op < 33:
				m.retry(i, m.now.Add(time.Duration(arg(8)-2)*time.Second), arg(2) == 0)
			default:
				m.abandon(i)
			}
		case op == 35:
			m.now = m.now.Add(time.Duration(arg(4)) * time.Second)
		case op == 36:
			m.reserve(p, int64(arg(256))*10)
		case op == 37:
			if n := int64(arg(256)) * 10; n%4 == 0 {
				m.secure(p, n)
			} else {
				l.Unreserve(p, n)
			}
		case op == 38:
			switch arg(6) {
			case 0:
				m.stop(p, false)
			case 1:
				m.stop(p, true)
			default:
				m.open(p)
			}
		default:
			m.hurry(m.now.Add(time.Duration(arg(4)) * time.Second))
			if n := len(m.stale); n > 0 {
				m.misuse(m.stale[arg(n)])
			}
			m.hasRoom(p)
		}
		m.check()
	}
	if !t.Failed() {
		m.drain()
	}
}

func (m *model) reserve(p int32, n int64) {
	before := m.l.PartitionStats(p).Reserved
	granted := m.l.Reserve(p, n)
	if pt := m.l.parts[p]; granted < 0 || granted > n || granted > 0 && (pt == nil || !pt.open) || m.l.PartitionStats(p).Reserved != before+granted {
		m.t.Fatalf("reserve %d for partition %d granted %d", n, p, granted)
	}
}

func (m *model) secure(p int32, n int64) {
	before := m.l.PartitionStats(p).Reserved
	pt := m.parts[p]
	want := pt != nil && pt.open && !m.refusable(p, n, false)
	if got := m.l.Secure(p, n); got != want {
		m.t.Fatalf("secure %d for partition %d: %t", n, p, got)
	}
	after := before
	if want {
		m.largest, after = max(m.largest, n), max(before, n)
	}
	if got := m.l.PartitionStats(p).Reserved; got != after {
		m.t.Fatalf("secure %d for partition %d: %d reserved, %d before", n, p, got, before)
	}
}

func (m *model) hasRoom(p int32) {
	room := m.l.HasRoom(p)
	pt := m.parts[p]
	if pt == nil || !pt.open {
		if room {
			m.t.Fatalf("partition %d is not open but has room", p)
		}
		return
	}
	s := m.l.Stats()
	if !room && s.InFlight == 0 && s.InFlightBytes == 0 && s.Reserved == 0 && m.l.bytes.parked.used <= m.l.bytes.parked.max {
		m.t.Fatalf("partition %d has no room though nothing is in flight", p)
	}
	if room && m.refusable(p, 1, false) {
		m.t.Fatalf("partition %d has room but would refuse a record of one byte: %+v", p, s)
	}
}

// drain settles everything that is left: nothing may be stuck.
func (m *model) drain() {
	m.hurry(m.now)
	for range 100_000 {
		switch {
		case len(m.running) > 0:
			m.settle(0)
		case len(m.lanes) > 0:
			m.next()
			if len(m.running) == 0 {
				m.t.Fatalf("%d lanes are stuck: %+v", len(m.lanes), m.l.Stats())
			}
		default:
			m.check()
			for p := range m.parts {
				m.l.Unreserve(p, 1<<40)
			}
			if s := m.l.Stats(); s != (Stats{}) {
				m.t.Fatalf("nothing is held, but %+v", s)
			}
			for p, pt := range m.parts {
				if pt.open && !m.l.HasRoom(p) {
					m.t.Fatalf("nothing is held, but partition %d has no room", p)
				}
			}
			return
		}
	}
}

// check compares the state with the model's and verifies what must always hold.
func (m *model) check() {
	t, l := m.t, m.l
	var want Stats
	var held, heldBytes int64
	for _, ln := range m.lanes {
		held += int64(len(ln.items))
		for _, it := range ln.items {
			heldBytes += it.Record.Size()
		}
		switch {
		case ln.running:
			want.Running++
			if ln.parked {
				want.RunningRetries++
			}
		case ln.parked:
			want.Waiting++
		default:
			want.Ready++
		}
		if ln.parked {
			want.ParkedKeys++
		}
	}
	s := l.Stats()
	got := Stats{ParkedKeys: s.ParkedKeys, Ready: s.Ready, Waiting: s.Waiting, Running: s.Running, RunningRetries: s.RunningRetries}
	used, first, ready := l.Slots()
	switch {
	case used != want.Running || first != want.Running-want.RunningRetries || ready != want.Ready:
		t.Fatalf("slots are %d, %d, %d; want %+v", used, first, ready, want)
	case got != want || l.RunningTotal() != want.Running:
		t.Fatalf("stats are %+v, want %+v", s, want)
	case int64(s.InFlight+s.ParkedRecords) != held || s.InFlightBytes+s.ParkedBytes != heldBytes:
		t.Fatalf("charged %+v, held %d records of %d bytes", s, held, heldBytes)
	case int64(m.added) != int64(m.settled+m.dropped)+held:
		t.Fatalf("added %d, but settled %d, dropped %d, held %d", m.added, m.settled, m.dropped, held)
	case s.Running > l.slots:
		t.Fatalf("%d attempts run, slots are %d", s.Running, l.slots)
	case l.records.inFlight.used > l.records.inFlight.max || l.records.parked.used > l.records.parked.max:
		t.Fatalf("more records than allowed: %+v", s)
	}
	// A partition that is stopped takes with it the byte that the bound is stretched for, see divide.
	above := max(0, l.bytes.inFlight.used-max(l.maxBytes, partitions)) + max(0, l.bytes.parked.used-l.bytes.parked.max)
	if above > max(1, m.largest) {
		t.Fatalf("%d bytes above the bounds: %+v", above, s)
	}
	m.checkAccounts()
	for _, w := range []waiting{l.brisk, l.slow} {
		for i, ln := range w {
			if ln.place != i || i > 0 && ln.before(w[(i-1)/2]) || ln.state != isWaiting || !ln.parked {
				t.Fatalf("heap broken at %d", i)
			}
		}
	}
}

// checkEven verifies that charges are where they belong, but for want of room.
func (m *model) checkEven(pt *modelPart) {
	if pt.closed {
		return
	}
	p := m.l.parts[pt.id]
	for i, a := range []*account{&p.records, &p.bytes} {
		mt := []*meter{&m.l.records, &m.l.bytes}[i]
		aside := a.parked - a.onParked.use
		if aside > 0 && (mt.parked.room(&a.onParked) > 0 || mt.inFlight.used > mt.inFlight.max) || aside < 0 && mt.inFlight.room(&a.inFlight) > 0 {
			m.t.Fatalf("%+v is charged in the wrong place though there is room", *a)
		}
	}
}

// checkAccounts verifies that the running sums of the budgets are the sums of what is held.
func (m *model) checkAccounts() {
	t, l := m.t, m.l
	var sums [4]int64
	seen := map[*part]bool{}
	for _, p := range l.parts {
		seen[p] = true
	}
	for _, it := range m.running {
		seen[it.Item.lane.part] = true // orphans keep theirs alive
	}
	for p := range seen {
		for i, a := range []*account{&p.records, &p.bytes} {
			if a.free < 0 || a.parked < 0 || a.reserved < 0 || a.onParked.use < 0 || a.inFlight.use < a.reserved ||
				a.free+a.parked != a.inFlight.use-a.reserved+a.onParked.use {
				t.Fatalf("account does not add up: %+v", *a)
			}
			sums[2*i] += a.inFlight.use
			sums[2*i+1] += a.onParked.use
		}
	}
	for i, b := range []*bound{&l.records.inFlight, &l.records.parked, &l.bytes.inFlight, &l.bytes.parked} {
		shared := b.used
		for _, p := range l.parts {
			if p.open {
				use := []int64{p.records.inFlight.use, p.records.onParked.use, p.bytes.inFlight.use, p.bytes.onParked.use}[i]
				shared -= min(use, b.each)
			}
		}
		if b.used != sums[i] || b.shared != shared {
			t.Fatalf("bound %d: used %d and shared %d, but they sum up to %d and %d", i, b.used, b.shared, sums[i], shared)
		}
	}
	for id, pt := range m.parts {
		held, parked := int64(0), int64(0)
		running := 0
		for _, ln := range m.lanes {
			if ln.part != pt {
				continue
			}
			held += int64(len(ln.items))
			if ln.parked {
				parked += int64(len(ln.items))
			}
			if ln.running {
				running++
			}
		}
		p := l.parts[id]
		if p.records.parked != parked || p.records.free != held-parked || l.Running(id) != running {
			t.Fatalf("partition %d: holds %d and %d parked, want %d and %d; runs %d, want %d",
				id, p.records.free, p.records.parked, held-parked, parked, l.Running(id), running)
		}
	}
}
