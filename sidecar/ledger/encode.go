package ledger

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"slices"
)

// laneCost is about what one lane takes: its hash and the gap to its first unsettled offset. A lane whose offsets cost more than
// that one by one is written as a lane.
const laneCost = laneBits + 14

// item is one thing that is not settled: the record at offset or, when whole, every record of the lane from offset on.
type item struct {
	offset int64
	lane   uint64 // 0: a record of no lane, or of one that is not known any more
	state  int32  // index into encoder.lanes, set by plan for items with a lane
	whole  bool
}

// laneState is what plan found out about one lane.
type laneState struct {
	lane  uint64
	first int64
	cost  int // bits for its offsets one by one, so far
	whole bool
}

// encoder writes one map. It chooses the horizon and the form of each lane (plan), then writes (write).
type encoder struct {
	id    Identity
	base  int64
	epoch int32
	items []item // ascending by offset
	lanes []laneState
	index map[uint64]int32 // lane to its place in lanes
}

// metadata is the string for a commit of base, at most maxChars long. The longest horizon that fits is found by trying: plan only
// estimates the size, each try corrects the estimate by what write came to.
func (l *Ledger) metadata(base int64, maxChars int) string {
	e := encoder{id: l.id, base: base, epoch: l.epoch}
	horizon := max(base, l.top)
	if l.restored != nil {
		horizon = l.restored.horizon // above the position, else the map were let go
	}
	room := (maxChars - len(prefix)) * 6 / 8
	best := e.write(base)
	if maxChars < len(prefix) || len(best) > room {
		return ""
	}
	if horizon > base {
		e.collect(l, horizon)
		reach := base
		// Bits to plan for. Estimates are at most twice too high, so the first try takes in all that could fit.
		low, high := 0, room*20
		for try, budget := 0, high; low < high; try++ {
			cut := e.plan(budget, horizon)
			b := e.write(cut)
			if len(b) > room {
				high = budget - 1
			} else {
				low = budget
				best, reach = b, cut
				if cut == horizon || len(b) > room-room/256 {
					break
				}
			}
			// The next guess aims a little short, else it may miss by a byte again and again.
			budget = int(float64(budget) * float64(room-room/512) / float64(len(b)))
			if try > 6 {
				if reach > base {
					break
				}
				budget = (low + high + 1) / 2
			}
			budget = min(max(budget, low+1), high)
		}
	}
	return prefix + base64.RawURLEncoding.EncodeToString(best)
}

// collect lists what is not settled below the horizon: our own records below the position, above it what the restored map names.
func (e *encoder) collect(l *Ledger, horizon int64) {
	e.items = make([]item, 0, l.unsettled)
	for n := l.head; n != nil && n.offset < horizon; n = n.next {
		e.items = append(e.items, item{offset: n.offset, lane: n.lane})
	}
	if l.restored == nil {
		return
	}
	own := len(e.items)
	from, _ := slices.BinarySearch(l.restored.unsettled, l.position)
	for _, offset := range l.restored.unsettled[from:] {
		e.items = append(e.items, item{offset: offset})
	}
	for lane, first := range l.restored.lanes {
		e.items = append(e.items, item{offset: max(first, l.position), lane: lane, whole: true})
	}
	slices.SortFunc(e.items[own:], func(a, b item) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.lane, b.lane))
	})
}

// plan decides which lanes to write as such and where to end, so that about budget bits are used. It returns the horizon: the
// offset of the first item that is too much.
func (e *encoder) plan(budget int, horizon int64) int64 {
	e.lanes, e.index = e.lanes[:0], make(map[uint64]int32, len(e.index))
	used, prev := 0, e.base-1
	for i := range e.items {
		it := &e.items[i]
		cost := bits.Len64(uint64(it.offset-prev)) + 1
		prev = it.offset
		if it.lane == 0 {
			used += cost
		} else {
			at, known := e.index[it.lane]
			if !known {
				at = int32(len(e.lanes))
				e.index[it.lane] = at
				e.lanes = append(e.lanes, laneState{lane: it.lane, first: it.offset})
			}
			it.state = at
			switch s := &e.lanes[at]; {
			case s.whole:
			case it.whole || s.cost+cost > laneCost:
				used += laneCost - s.cost
				s.whole = true
			default:
				used += cost
				s.cost += cost
			}
		}
		if used > budget {
			return it.offset
		}
	}
	return horizon
}

// write gives the bytes of the map up to a horizon, checksum included. What parse reads is written here.
func (e *encoder) write(horizon int64) []byte {
	b := append(make([]byte, 0, 256), e.id.TopicID[:]...)
	b = binary.AppendUvarint(b, uint64(uint32(e.id.Partition)))
	b = binary.AppendUvarint(b, uint64(e.id.Lanes))
	b = binary.AppendUvarint(b, uint64(e.base))
	b = binary.AppendUvarint(b, uint64(int64(e.epoch)+1))
	b = binary.AppendUvarint(b, uint64(horizon-e.base))
	if horizon > e.base {
		b = e.writeExceptions(b, horizon)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func (e *encoder) writeExceptions(b []byte, horizon int64) []byte {
	var singles []int64
	for _, it := range e.items {
		if it.offset >= horizon {
			break
		}
		if it.lane == 0 || !e.lanes[it.state].whole {
			singles = append(singles, it.offset)
		}
	}
	var lanes []laneState // ascending by first, as plan met them
	for _, s := range e.lanes {
		if s.whole && s.first < horizon {
			lanes = append(lanes, s)
		}
	}
	logMean := func(n int) uint { return uint(bits.Len64(uint64(horizon-e.base)/uint64(n+1)|1)) - 1 }
	b = binary.AppendUvarint(b, uint64(len(singles)))
	b = binary.AppendUvarint(b, uint64(logMean(len(singles))))
	b = binary.AppendUvarint(b, uint64(len(lanes)))
	b = binary.AppendUvarint(b, uint64(logMean(len(lanes))))

	w := bitWriter{b: b}
	code, next := newGolomb(logMean(len(singles))), e.base
	for _, offset := range singles {
		code.write(&w, uint64(offset-next))
		next = offset + 1
	}
	code, next = newGolomb(logMean(len(lanes))), e.base
	for _, s := range lanes {
		code.write(&w, uint64(s.first-next))
		w.write(s.lane, laneBits)
		next = s.first
	}
	return w.b
}
