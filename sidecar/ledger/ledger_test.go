package ledger

import (
	"math/rand/v2"
	"slices"
	"testing"
)

var testID = Identity{TopicID: [16]byte{1, 2, 3}, Partition: 7, Lanes: 1}

const full = 4096

// commit is Commit and an acknowledgement; it fails the test when there was nothing to commit.
func commit(t *testing.T, l *Ledger) Commit {
	t.Helper()
	c, changed := l.Commit(full)
	if !changed {
		t.Fatal("nothing to commit")
	}
	if len(c.Metadata) > full {
		t.Fatalf("metadata of %d characters", len(c.Metadata))
	}
	l.Acked(c)
	return c
}

func parsed(t *testing.T, s string) *Map {
	t.Helper()
	m, err := ParseMetadata(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// restart is the next owner after a crash: it has what the broker has.
func restart(t *testing.T, c Commit) *Ledger {
	t.Helper()
	return New(testID, c.Offset, parsed(t, c.Metadata))
}

func key(n uint64) uint64 {
	return LaneHash([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
}

func TestCommitNeverPassesAnUnsettledRecord(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	l := New(testID, 100, nil)
	open := map[*Entry]bool{}
	for i := range 5000 {
		if r.IntN(3) > 0 {
			l.Advance(l.Position()+r.Int64N(3), -1)
			open[l.Take(l.Position(), 3, key(r.Uint64N(20)))] = true
		} else {
			for e := range open { // any order
				l.Settle(e)
				l.Settle(e)
				delete(open, e)
				break
			}
		}
		lowest := l.Position()
		for e := range open {
			lowest = min(lowest, e.Offset())
		}
		if l.Committable() != lowest || l.Unsettled() != len(open) {
			t.Fatalf("step %d: committable %d with %d open, want %d with %d", i, l.Committable(), l.Unsettled(), lowest, len(open))
		}
		oldest, any := l.Oldest()
		if any != (len(open) > 0) || any && oldest.Offset() != lowest {
			t.Fatalf("step %d: oldest %v, want %d", i, oldest, lowest)
		}
	}
}

func TestMarkersAndGapsHoldNothing(t *testing.T) {
	l := New(testID, 0, nil)
	e := l.Take(5, 0, 0)
	if l.Committable() != 5 {
		t.Fatalf("committable %d before a gap's end", l.Committable())
	}
	l.Advance(90, -1) // a compacted gap and a marker
	l.Settle(e)
	l.Advance(80, -1) // never back
	if c := commit(t, l); c.Offset != 90 {
		t.Fatalf("committed %d, want 90", c.Offset)
	}
}

func TestSettledBeyondAndUnackedAreCounted(t *testing.T) {
	l := New(testID, 0, nil)
	var es []*Entry
	for i := range int64(10) {
		es = append(es, l.Take(i, 0, 0))
	}
	want := func(beyond, unacked int64) {
		t.Helper()
		if l.SettledBeyond() != beyond || l.Unacked() != unacked {
			t.Fatalf("beyond %d, unacked %d, want %d, %d", l.SettledBeyond(), l.Unacked(), beyond, unacked)
		}
	}
	for _, i := range []int{2, 3, 7, 9} {
		l.Settle(es[i])
	}
	want(4, 4)
	first := commit(t, l)
	want(4, 0)
	l.Settle(es[0])
	want(4, 1)
	l.Settle(es[1]) // 2 and 3 are below the commit now
	want(2, 2)
	second := commit(t, l)
	l.Settle(es[4])
	l.Acked(first) // late, out of order
	want(2, 1)
	l.Settle(es[5])
	l.Settle(es[6])
	want(1, 3)
	l.Settle(es[8])
	want(0, 4)
	l.Acked(second)
	want(0, 4)
}

func TestOnlyWhatChangedIsCommitted(t *testing.T) {
	l := New(testID, 0, nil)
	c := commit(t, l) // a first commit says which log this is, even at the same offset
	if parsed(t, c.Metadata).TopicID() != testID.TopicID {
		t.Fatal("no topic id in a commit without a map")
	}
	unchanged := func() {
		t.Helper()
		if _, changed := l.Commit(full); changed {
			t.Fatal("commits without news")
		}
	}
	unchanged()
	a := l.Take(0, 4, 0)
	b := l.Take(1, 5, 0)
	unchanged()
	l.Settle(b)
	c, _ = l.Commit(full)
	if again, changed := l.Commit(full); !changed || again != c {
		t.Fatal("a commit that was not acknowledged is not repeated")
	}
	l.Acked(c)
	unchanged()
	if c.LeaderEpoch != -1 {
		t.Fatalf("epoch %d for a commit below the first record read", c.LeaderEpoch)
	}
	l.Settle(a)
	if c = commit(t, l); c.Offset != 2 || c.LeaderEpoch != 5 {
		t.Fatalf("committed %d with epoch %d", c.Offset, c.LeaderEpoch)
	}
	l = restart(t, c)
	unchanged()
}

func TestCommitCarriesTheEpochOfTheLastRecordBelowIt(t *testing.T) {
	l := New(testID, 0, nil)
	l.Settle(l.Take(0, 4, 0))
	l.Take(1, 6, 0)
	l.Settle(l.Take(2, 9, 0))
	if c := commit(t, l); c.Offset != 1 || c.LeaderEpoch != 4 {
		t.Fatalf("committed %d with epoch %d, want 1 with 4", c.Offset, c.LeaderEpoch)
	}
}

func TestSettledBeyondTheCommitIsNotDeliveredAgain(t *testing.T) {
	l := New(testID, 10, nil)
	var es []*Entry
	for i := range int64(20) {
		es = append(es, l.Take(10+i, 2, 0))
	}
	for _, i := range []int{1, 2, 5, 19} {
		l.Settle(es[i])
	}
	l = restart(t, commit(t, l))
	for i := range 20 {
		if got, want := l.Settled(10+int64(i), 2, 0), slices.Contains([]int{1, 2, 5, 19}, i); got != want {
			t.Errorf("offset %d settled: %v, want %v", 10+i, got, want)
		}
	}
	if l.Settled(9, 2, 0) || l.Settled(30, 2, 0) {
		t.Error("an offset outside the map is settled")
	}
}

func TestTakingAnOffsetTwicePanics(t *testing.T) {
	l := New(testID, 0, nil)
	l.Take(3, 0, 0)
	defer func() {
		if recover() == nil {
			t.Fatal("an offset below the position was taken")
		}
	}()
	l.Take(3, 0, 0)
}

func TestRestoredKnowledgeIsCarriedOn(t *testing.T) {
	l := New(testID, 0, nil)
	parked := key(0)
	for i := range int64(1000) {
		lane := key(uint64(i % 20))
		if e := l.Take(i, 0, lane); lane != parked && i != 777 {
			l.Settle(e)
		}
	}
	c := commit(t, l)
	for _, read := range []int64{1, 10, 500, 778, 999} {
		l := restart(t, c)
		var taken []*Entry
		for i := range read {
			if lane := key(uint64(i % 20)); l.Settled(i, 0, lane) {
				l.Advance(i+1, -1)
			} else {
				taken = append(taken, l.Take(i, 0, lane))
			}
		}
		if l.Unacked() != 0 {
			t.Fatalf("%d known records count as news", l.Unacked())
		}
		l.Settle(taken[0])
		c := commit(t, l)
		l = restart(t, c) // and again, before all was read again
		for i := c.Offset; i < 1000; i++ {
			lane := key(uint64(i % 20))
			if got, want := l.Settled(i, 0, lane), lane != parked && i != 777; got != want {
				t.Fatalf("read %d: offset %d settled: %v, want %v", read, i, got, want)
			}
		}
	}
}
