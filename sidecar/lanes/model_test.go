package lanes

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// model is the naive twin of Lanes: slices and linear scans. It knows order, slots and what is held; for the budgets it
// only checks that what Lanes charges is right, strict and refused for a reason.
type model struct {
	t       *testing.T
	l       *Lanes
	now     time.Time
	lanes   []*modelLane
	ready   []*modelLane
	parts   map[int32]*modelPart
	all     []*modelPart // incarnations, also closed ones
	running []*modelItem
	stale   []*Item // ended or dropped: every call with one must be refused
	begun   []bool  // of every attempt, whether it was a further one
	turns   int

	added, settled, dropped int
	largest                 int64
}

type modelPart struct {
	id           int32
	open, closed bool
	offset       int64
	settled      map[string]int64 // highest offset per key
}

type modelLane struct {
	part                  *modelPart
	key                   string
	items                 []*modelItem
	running, parked, slow bool
	due                   time.Time
	turn                  int
}

type modelItem struct {
	*Item
	lane *modelLane
}

func newModel(t *testing.T, l *Lanes) *model {
	return &model{t: t, l: l, now: time.Unix(1_700_000_000, 0), parts: map[int32]*modelPart{}}
}

func (m *model) open(p int32) {
	m.l.Open(p)
	if old := m.parts[p]; old != nil {
		if old.open {
			return
		}
		old.closed = true
	}
	pt := &modelPart{id: p, open: true, settled: map[string]int64{}}
	m.parts[p] = pt
	m.all = append(m.all, pt)
}

func (m *model) stop(p int32, forget bool) {
	want := 0
	if pt := m.parts[p]; pt != nil {
		pt.open = false
		for _, ln := range slices.Clone(m.lanes) {
			if ln.part != pt {
				continue
			}
			keep := 0
			if ln.running {
				keep = 1
			}
			for _, it := range ln.items[keep:] {
				m.stale = append(m.stale, it.Item)
				want++
			}
			if ln.items = ln.items[:keep]; keep == 0 {
				m.remove(ln)
			}
		}
		if forget {
			pt.closed = true
			delete(m.parts, p)
		}
	}
	m.dropped += want
	var got int
	if forget {
		got = m.l.Close(p)
	} else {
		got = m.l.Stop(p)
	}
	if got != want {
		m.t.Fatalf("partition %d dropped %d records, want %d", p, got, want)
	}
}

func (m *model) remove(ln *modelLane) {
	is := func(x *modelLane) bool { return x == ln }
	m.lanes = slices.DeleteFunc(m.lanes, is)
	m.ready = slices.DeleteFunc(m.ready, is)
}

// laneOf finds the lane of a record by definition; key is unique to the record where it is a lane of its own.
func (m *model) laneOf(pt *modelPart, r *record.Record) (key string, ln *modelLane) {
	switch {
	case m.l.ordering == None, m.l.ordering == ByKey && r.Key == nil && m.l.nullKeyIsLane:
		return "offset " + strconv.FormatInt(r.Offset, 10), nil
	case m.l.ordering == ByKey:
		key = "key " + string(r.Key)
	}
	for _, ln := range m.lanes {
		if ln.part == pt && ln.key == key {
			return key, ln
		}
	}
	return key, nil
}

func (m *model) add(p int32, key []byte, value int) {
	r := &record.Record{Partition: p, Key: key, Value: make([]byte, value)}
	pt := m.parts[p]
	if pt == nil || !pt.open {
		if _, ok := m.l.Add(r); ok {
			m.t.Fatalf("partition %d is not open but takes a record", p)
		}
		return
	}
	r.Offset = pt.offset
	name, ln := m.laneOf(pt, r)
	refusable := m.refusable(p, r.Size(), ln != nil && ln.parked)
	it, ok := m.l.Add(r)
	if ok == refusable {
		m.t.Fatalf("add of %d bytes to partition %d: taken %t, but refusable %t: %+v", r.Size(), p, ok, refusable, m.l.PartitionStats(p))
	}
	if !ok {
		return
	}
	pt.offset++
	m.added++
	m.largest = max(m.largest, r.Size())
	if ln == nil {
		ln = &modelLane{part: pt, key: name}
		m.lanes = append(m.lanes, ln)
		m.ready = append(m.ready, ln)
	}
	ln.items = append(ln.items, &modelItem{it, ln})
}

// refusable says from the sums of all partitions whether a record must be refused. The charges are evened first, as Add
// does before it refuses.
func (m *model) refusable(p int32, size int64, parked bool) bool {
	pt := m.l.parts[p]
	m.l.even(pt)
	room := func(b *bound, use func(*part) *charge) int64 {
		n, common := int64(0), b.used
		for _, o := range m.l.parts {
			if o.open {
				n++
			}
		}
		for _, o := range m.l.parts {
			if o.open {
				common -= min(use(o).use, b.max/(2*n))
			}
		}
		each := b.max / (2 * n)
		return max(0, min(b.max-b.used, max(0, each-use(pt).use)+max(0, b.max-n*each-common)))
	}
	records := room(&m.l.records.inFlight, func(p *part) *charge { return &p.records.inFlight })
	bytes := pt.bytes.reserved + room(&m.l.bytes.inFlight, func(p *part) *charge { return &p.bytes.inFlight })
	if parked {
		records += room(&m.l.records.parked, func(p *part) *charge { return &p.records.onParked })
		bytes += room(&m.l.bytes.parked, func(p *part) *charge { return &p.bytes.onParked })
	}
	idle := m.l.PartitionStats(p).InFlight == 0 && m.l.PartitionStats(p).InFlightBytes == 0
	within := m.l.bytes.inFlight.used-pt.bytes.reserved <= m.l.bytes.inFlight.max && m.l.bytes.parked.used <= m.l.bytes.parked.max
	return records < 1 || size > bytes && size > pt.bytes.reserved && (parked || !idle || !within)
}

// expect says which lane is to be served next, by definition.
func (m *model) expect() *modelLane {
	retries, slowly := 0, 0
	for _, it := range m.running {
		if it.lane.parked {
			retries++
			if it.lane.slow {
				slowly++
			}
		}
	}
	if len(m.running) >= m.l.slots {
		return nil
	}
	quarter := max(1, m.l.slots/4)
	var retry *modelLane
	for _, ln := range m.lanes {
		if !ln.parked || ln.running || ln.due.After(m.now) || ln.slow && slowly >= quarter-quarter/4 {
			continue
		}
		if retry == nil || ln.due.Before(retry.due) || ln.due.Equal(retry.due) && ln.turn < retry.turn {
			retry = ln
		}
	}
	rest := 0 // so many first attempts come between two further ones
	switch {
	case m.l.paced:
		rest = 3
	case m.l.slots < 4:
		rest = 1
	}
	if len(m.ready) == 0 || retry != nil && retries < quarter && !slices.Contains(m.begun[max(0, len(m.begun)-rest):], true) && len(m.begun) >= rest {
		return retry
	}
	return m.ready[0]
}

func (m *model) next() {
	want := m.expect()
	if m.l.Ready(m.now) != (want != nil) {
		m.t.Fatalf("ready is %t, want %v", want == nil, want)
	}
	got := m.l.Next(m.now)
	if want == nil || got == nil {
		if want != nil || got != nil {
			m.t.Fatalf("next is %v, want %v", got, want)
		}
		if at, ok := m.l.Wake(); ok && !at.After(m.now) {
			m.t.Fatalf("nothing to do at %v, but wake is %v: a timer would spin", m.now, at)
		}
		return
	}
	it := want.items[0]
	if got != it.Item || want.running {
		m.t.Fatalf("next is %d of partition %d, want %d of %d", got.Record.Offset, got.Record.Partition, it.Record.Offset, it.Record.Partition)
	}
	if last, ok := want.part.settled[want.key]; ok && last >= it.Record.Offset {
		m.t.Fatalf("key %q: %d begins after %d was settled", want.key, it.Record.Offset, last)
	}
	want.running, m.begun = true, append(m.begun, want.parked)
	if !want.parked {
		m.ready = m.ready[1:]
	}
	m.running = append(m.running, it)
}

// end takes the running item out of the model's slots and, when gone, out of its lane.
func (m *model) end(i int, gone bool) (*modelItem, *modelLane) {
	it := m.running[i]
	m.running = slices.Delete(m.running, i, i+1)
	ln := it.lane
	ln.running = false
	if gone || !ln.part.open {
		m.stale = append(m.stale, it.Item)
		if ln.items = ln.items[1:]; len(ln.items) == 0 {
			m.remove(ln)
		}
	}
	return it, ln
}

func (m *model) settle(i int) {
	it, ln := m.end(i, true)
	if got := m.l.Settle(it.Item); got == ln.part.closed {
		m.t.Fatalf("settle reports %t, partition closed: %t", got, ln.part.closed)
	}
	m.checkEven(ln.part)
	m.settled++
	ln.part.settled[ln.key] = it.Record.Offset
	if len(ln.items) > 0 {
		ln.parked, ln.slow, ln.due = false, false, time.Time{}
		m.ready = append(m.ready, ln)
	}
}

func (m *model) retry(i int, at time.Time, slow bool) {
	it, ln := m.end(i, false)
	if got := m.l.Retry(it.Item, at, slow); got != ln.part.open {
		m.t.Fatalf("retry reports %t, partition open: %t", got, ln.part.open)
	}
	m.checkEven(ln.part)
	if !ln.part.open {
		m.dropped++
		return
	}
	m.turns++
	ln.parked, ln.slow, ln.due, ln.turn = true, slow, at, m.turns
}

func (m *model) abandon(i int) {
	it, ln := m.end(i, false)
	if got := m.l.Abandon(it.Item); got != ln.part.open {
		m.t.Fatalf("abandon reports %t, partition open: %t", got, ln.part.open)
	}
	switch {
	case !ln.part.open:
		m.dropped++
	case ln.parked:
		m.turns++
		ln.turn = m.turns
	default:
		m.ready = slices.Insert(m.ready, 0, ln)
	}
}

func (m *model) hurry(at time.Time) {
	m.l.Hurry(func(*Item, time.Time) time.Time { return at })
	for _, ln := range m.lanes {
		if ln.parked && !ln.running && ln.due.After(at) {
			ln.due = at
		}
	}
}

// misuse calls with an item that does not run; it must change nothing, which check then sees.
func (m *model) misuse(it *Item) {
	if m.l.Settle(it) || m.l.Retry(it, m.now, false) || m.l.Abandon(it) {
		m.t.Fatalf("an item that does not run was accepted")
	}
}
