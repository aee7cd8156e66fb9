package ledger

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// model is a naive account of one partition over many owners: the log, what was really settled, and what the last commit that the
// broker stored can know. It holds every settled offset, which is what the ledger must not do.
type model struct {
	t    *testing.T
	next func(n int) int // choices: from a random source or from the fuzzer

	room   int // characters of metadata
	exact  bool
	parked uint64 // a lane that never settles; 0 for none

	log      []logRecord // ascending by offset, with gaps
	epoch    int32
	end      int64
	done     map[int64]bool // really settled, as the log stands now
	stored   Commit         // what the broker has
	snapshot map[int64]bool // what the owner knew as settled when it made that commit
}

type logRecord struct {
	offset int64
	epoch  int32
	lane   uint64
}

// session is one owner, from its start to its crash.
type session struct {
	*model
	l     *Ledger
	known map[int64]bool // settled, as far as this owner can know: what the commit said and what it settled itself
	at    int            // next record of the log to read
	lanes map[uint64][]*Entry
	loose []*Entry // records without a lane
}

func (m *model) append(n int) {
	for range n {
		m.end += int64(m.next(10) / 7 * m.next(6)) // mostly dense, some gaps
		var lane uint64
		if k := m.next(6); k > 0 {
			lane = uint64(k * 1000)
		}
		m.log = append(m.log, logRecord{m.end, m.epoch, lane})
		m.end++
	}
}

// elect is an unclean election: the log is cut above the committed offset and goes on under a new epoch.
func (m *model) elect() {
	cut := m.stored.Offset + int64(m.next(int(max(1, m.end-m.stored.Offset))))
	for len(m.log) > 0 && m.log[len(m.log)-1].offset >= cut {
		m.log = m.log[:len(m.log)-1]
	}
	for _, known := range []map[int64]bool{m.done, m.snapshot} {
		maps.DeleteFunc(known, func(offset int64, _ bool) bool { return offset >= cut })
	}
	m.end = cut
	m.epoch++
}

func (m *model) start() *session {
	restored, _ := ParseMetadata(m.stored.Metadata)
	s := &session{model: m, l: New(testID, m.stored.Offset, restored), known: maps.Clone(m.snapshot), lanes: map[uint64][]*Entry{}}
	for s.at < len(m.log) && m.log[s.at].offset < m.stored.Offset {
		if !m.done[m.log[s.at].offset] {
			m.t.Fatalf("offset %d lies below the committed offset %d and is not settled", m.log[s.at].offset, m.stored.Offset)
		}
		s.at++
	}
	return s
}

func (s *session) read() {
	if s.at == len(s.log) {
		s.l.Advance(s.end, -1)
		return
	}
	r := s.log[s.at]
	s.at++
	if s.next(2) == 0 {
		s.l.Advance(r.offset, -1)
	}
	settled := s.l.Settled(r.offset, r.epoch, r.lane)
	switch {
	case settled && !s.done[r.offset]:
		s.t.Fatalf("offset %d counts as settled and is not", r.offset)
	case !settled && s.exact && s.known[r.offset]:
		s.t.Fatalf("offset %d is settled and would be delivered again", r.offset)
	case settled:
		s.l.Advance(r.offset+1, -1)
		s.known[r.offset] = true
	default:
		e := s.l.Take(r.offset, r.epoch, r.lane)
		delete(s.known, r.offset) // does not fit: unknown again
		if r.lane == 0 {
			s.loose = append(s.loose, e)
		} else {
			s.lanes[r.lane] = append(s.lanes[r.lane], e)
		}
	}
}

// settle settles the first record of a lane, or any record without one.
func (s *session) settle() {
	var e *Entry
	if k := s.next(6); k > 0 {
		lane := uint64(k * 1000)
		if q := s.lanes[lane]; len(q) > 0 && lane != s.parked {
			e, s.lanes[lane] = q[0], q[1:]
		}
	} else if n := len(s.loose); n > 0 {
		i := s.next(n)
		e, s.loose[i] = s.loose[i], s.loose[n-1]
		s.loose = s.loose[:n-1]
	}
	if e != nil {
		s.l.Settle(e)
		s.done[e.Offset()] = true
		s.known[e.Offset()] = true
	}
}

func (s *session) commit() {
	c, changed := s.l.Commit(s.room)
	if !changed || s.next(8) == 0 { // lost on the way to the broker
		return
	}
	if c.Offset < s.stored.Offset {
		s.t.Fatalf("commit goes back from %d to %d", s.stored.Offset, c.Offset)
	}
	s.stored = c
	s.snapshot = maps.Clone(s.known)
	if s.next(8) > 0 { // else the answer is lost
		s.l.Acked(c)
	}
}

func (m *model) run(steps int) {
	m.done, m.snapshot = map[int64]bool{}, map[int64]bool{}
	s := m.start()
	for range steps {
		switch k := m.next(100); {
		case k < 10:
			m.append(1 + m.next(8))
		case k < 50:
			s.read()
		case k < 85:
			s.settle()
		case k < 96:
			s.commit()
		default: // a crash, now and then together with the broker's
			if m.next(4) == 0 {
				m.elect()
			}
			s = m.start()
		}
	}
}

func TestNothingUnsettledIsSkippedAndNothingSettledRepeated(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := &model{t: t, next: r.IntN, room: full, exact: true, parked: seed % 4 * 1000}
		m.run(1500)
	}
}

func TestNothingUnsettledIsSkippedWithAMapTooSmall(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		m := &model{t: t, next: r.IntN, room: 44 + r.IntN(60), parked: seed % 4 * 1000}
		m.run(1500)
	}
}

func FuzzLedger(f *testing.F) {
	f.Add([]byte("\x00\x05\x20\x20\x60\x60\x90\x99"), uint8(0))
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		b := make([]byte, 400)
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		f.Add(b, uint8(seed))
	}
	f.Fuzz(func(t *testing.T, choices []byte, room uint8) {
		m := &model{t: t, room: full, exact: true, parked: uint64(room) % 4 * 1000}
		if room > 0 {
			m.room, m.exact = 40+int(room), false
		}
		m.next = func(n int) int {
			if len(choices) == 0 {
				return n - 1
			}
			c := int(choices[0])
			choices = choices[1:]
			return c % n
		}
		m.run(min(len(choices), 3000))
	})
}

func TestGapsOfAnySizeAreReadBack(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 200 {
		gaps := make([]uint64, 300)
		shift := r.IntN(64)
		for i := range gaps {
			if r.IntN(40) == 0 {
				shift = r.IntN(64)
			}
			gaps[i] = r.Uint64() >> shift
		}
		start := uint(r.IntN(64))
		var w bitWriter
		for code, i := newGolomb(start), 0; i < len(gaps); i++ {
			code.write(&w, gaps[i])
		}
		reader := bitReader{b: w.b}
		for code, i := newGolomb(start), 0; i < len(gaps); i++ {
			if got := code.read(&reader); got != gaps[i] || reader.failed {
				t.Fatalf("gap %d: read %d, wrote %d", i, got, gaps[i])
			}
		}
		if reader.read(8); !reader.failed {
			t.Fatal("reads past the end")
		}
	}
}

func FuzzParseMetadata(f *testing.F) {
	f.Add("", []byte{}, uint8(0))
	r := rand.New(rand.NewPCG(9, 9))
	for range 10 {
		l := New(testID, r.Int64N(1<<40), nil)
		for range 200 {
			l.Advance(l.Position()+r.Int64N(50), -1)
			if e := l.Take(l.Position(), 1, key(r.Uint64N(30))); r.IntN(4) > 0 {
				l.Settle(e)
			}
		}
		c, _ := l.Commit(full)
		f.Add(c.Metadata, []byte{1, 2, 3}, uint8(0))
	}
	f.Fuzz(func(t *testing.T, s string, raw []byte, n uint8) {
		if m, err := ParseMetadata(s); (m == nil) == (err == nil) {
			t.Fatal("neither a map nor an error, or both")
		}
		// Behind the checksum, where no damage should get: forged bodies, and ours with bytes changed.
		parse(raw)
		if m, ok := parse(append(make([]byte, n%40), raw...)); ok {
			l := New(m.id, m.base, m)
			l.Settled(m.base, 0, 1)
			l.Advance(m.base+1, -1)
			if c, changed := l.Commit(full); changed {
				if _, err := ParseMetadata(c.Metadata); c.Metadata != "" && err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
