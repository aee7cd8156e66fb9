package ledger

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestForeignMetadataIsIgnored(t *testing.T) {
	for _, s := range []string{"", "x", "ks", "ks2:AAAA", "{}", "v1:AAAA", "\x00\xff"} {
		if m, err := ParseMetadata(s); !errors.Is(err, ErrForeign) || m != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestTruncatedMetadataIsIgnored(t *testing.T) {
	l := New(testID, 0, nil)
	for i := range int64(50) {
		if e := l.Take(i, 0, key(uint64(i%9))); i%3 == 1 {
			l.Settle(e)
		}
	}
	s := commit(t, l).Metadata
	for n := len(prefix); n < len(s); n++ {
		if _, err := ParseMetadata(s[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d of %d: %v", n, len(s), err)
		}
		for _, c := range "A_-z\n=" {
			if other := s[:n] + string(c) + s[n+1:]; other != s {
				if _, err := ParseMetadata(other); !errors.Is(err, ErrDamaged) {
					t.Fatalf("%q at %d: %v", c, n, err)
				}
			}
		}
	}
	if _, err := ParseMetadata(s + "A"); !errors.Is(err, ErrDamaged) {
		t.Fatalf("longer: %v", err)
	}
}

func TestMapOfAnotherTopicIsIgnored(t *testing.T) {
	l := New(testID, 0, nil)
	l.Take(0, 0, 0)
	l.Settle(l.Take(1, 0, 0))
	c := commit(t, l)
	m := parsed(t, c.Metadata)
	recreated, partition, unknown := testID, testID, testID
	recreated.TopicID[15]++
	partition.Partition++
	unknown.TopicID = [16]byte{}
	for name, l := range map[string]*Ledger{
		"recreated topic":   New(recreated, 0, m),
		"other partition":   New(partition, 0, m),
		"unknown topic id":  New(unknown, 0, m),
		"translated offset": New(testID, 1, m), // MirrorMaker copies the string beside another offset
	} {
		if l.Settled(1, 0, 0) {
			t.Errorf("%s: the map is believed", name)
		}
		if _, changed := l.Commit(full); !changed {
			t.Errorf("%s: the next commit does not replace the map", name)
		}
	}
	if !New(testID, 0, m).Settled(1, 0, 0) {
		t.Error("the map is not believed for its own log")
	}
	// Two maps without a topic id may be of two topics with one name.
	l = New(unknown, 0, nil)
	l.Take(0, 0, 0)
	l.Settle(l.Take(1, 0, 0))
	if New(unknown, 0, parsed(t, commit(t, l).Metadata)).Settled(1, 0, 0) {
		t.Error("a map without a topic id is believed")
	}
}

func TestLaterEpochIsDeliveredAgain(t *testing.T) {
	l := New(testID, 0, nil)
	l.Take(0, 3, 0)
	for i := range int64(9) {
		l.Settle(l.Take(1+i, 3, 0))
	}
	l = restart(t, commit(t, l))
	if !l.Settled(1, 3, 0) || l.Settled(1, 4, 0) {
		t.Fatal("the epoch is not compared")
	}
	l.Take(0, 3, 0)
	l.Advance(2, -1)
	// From offset 2 on the log was rewritten. Two records are read, then a crash: the map carried on must not vouch for the
	// rewritten records above, although the new ledger has seen their epoch.
	l.Settle(l.Take(2, 4, 0))
	l.Settle(l.Take(3, 4, 0))
	if l.Settled(4, 4, 0) || l.Settled(4, 3, 0) {
		t.Fatal("the old map holds above the rewritten offset")
	}
	l = restart(t, commit(t, l))
	for i, want := range []bool{false, true, true, true, false, false} {
		if got := l.Settled(int64(i), 4, 0); got != want {
			t.Errorf("offset %d settled: %v, want %v", i, got, want)
		}
	}
}

func TestParkedKeyWithManyFollowersCostsAFewBytes(t *testing.T) {
	l := New(testID, 0, nil)
	for i := range int64(100_000) {
		e := l.Take(i, 0, key(uint64(i%10)))
		if i%10 != 3 { // one of ten keys is parked: 10,000 followers, each a hole of its own
			l.Settle(e)
		}
	}
	c := commit(t, l)
	if len(c.Metadata) > 80 {
		t.Fatalf("%d characters", len(c.Metadata))
	}
	l = restart(t, c)
	for i := c.Offset; i < 100_000; i++ {
		if got := l.Settled(i, 0, key(uint64(i%10))); got != (i%10 != 3) {
			t.Fatalf("offset %d settled: %v", i, got)
		}
	}
}

func TestHashCollisionRepeatsNeverLoses(t *testing.T) {
	// Two keys, one hash. The first is parked at 10 with many followers, the second is settled throughout. The lane clause says
	// "every record of this hash from 10 on", so it covers the second key too, and that is the whole harm.
	const hash = 99
	l := New(testID, 0, nil)
	parked := func(i int64) bool { return i >= 10 && i%2 == 0 }
	for i := range int64(1000) {
		if e := l.Take(i, 0, hash); !parked(i) {
			l.Settle(e)
		}
	}
	l.Settle(l.Take(1000, 0, key(5)))
	c := commit(t, l)
	if len(parsed(t, c.Metadata).lanes) != 1 {
		t.Fatal("the parked key is not written as a lane")
	}
	l = restart(t, c)
	for i := c.Offset; i < 1000; i++ {
		if l.Settled(i, 0, hash) {
			t.Fatalf("offset %d: a record with a parked hash counts as settled", i)
		}
	}
	if !l.Settled(1000, 0, key(5)) {
		t.Error("another key is repeated too")
	}
}

func TestOtherWayOfMakingLanesRepeatsNeverLoses(t *testing.T) {
	l := New(testID, 0, nil)
	l.Take(0, 0, 0)
	for i := int64(1); i < 1000; i++ {
		if e := l.Take(i, 0, key(uint64(i%2))); i < 50 || i%2 == 0 {
			l.Settle(e)
		}
	}
	c := commit(t, l)
	// Now without keys: nobody will ask for the parked key's hash.
	id := testID
	id.Lanes = 2
	l = New(id, c.Offset, parsed(t, c.Metadata))
	for i := range int64(1000) {
		if got, want := l.Settled(i, 0, 0), i > 0 && i < 51; got != want {
			t.Fatalf("offset %d settled: %v, want %v", i, got, want)
		}
	}
}

func TestMapThatDoesNotFitCoversLess(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	l := New(testID, 0, nil)
	settled := map[int64]bool{}
	lane := func(i int64) uint64 { return uint64(i) % 7 * uint64(i%400) } // some lanes, some without
	blocked := map[uint64]bool{}
	l.Take(0, 0, 0)
	for i := int64(1); i < 100_000; i++ {
		e := l.Take(i, 0, lane(i))
		if settled[i] = r.IntN(4) > 0 && !blocked[lane(i)]; settled[i] {
			l.Settle(e)
		} else if lane(i) != 0 {
			blocked[lane(i)] = true
		}
	}
	reach := int64(-1)
	for _, room := range []int{0, 3, 40, 50, 60, 100, 500, 2048, full} {
		c, _ := l.Commit(room)
		if len(c.Metadata) > room {
			t.Fatalf("%d characters where %d fit", len(c.Metadata), room)
		}
		if room < 40 {
			if c.Metadata != "" {
				t.Fatalf("%q", c.Metadata)
			}
			continue
		}
		m := parsed(t, c.Metadata)
		if m.horizon <= reach {
			t.Errorf("%d characters reach %d, fewer reached %d", room, m.horizon, reach)
		}
		reach = m.horizon
		for i := c.Offset; i < 100_000; i++ {
			if got, want := m.settled(i, 0, lane(i)), settled[i] && i < reach; got != want {
				t.Fatalf("%d characters: offset %d settled: %v, want %v", room, i, got, want)
			}
		}
	}
	if reach < 20_000 {
		t.Errorf("the longest map reaches %d", reach)
	}
}

func TestLaneHashIsStable(t *testing.T) {
	// A change here makes every map in every consumer group unreadable: give the encoding a new prefix then.
	for in, want := range map[string]uint64{"": 0x1f60ba992926, "a": 0xa958a9bece5b, "order-4711": 0x65d68b879ec1, strings.Repeat("k", 300): 0xb2517fc3f55f} {
		if got := LaneHash([]byte(in)); got != want {
			t.Errorf("%q: %#x", in, got)
		}
	}
}

func TestRestoredLanesThatDoNotFitAreLeftOut(t *testing.T) {
	l := New(testID, 0, nil)
	lane := func(i int64) uint64 { return key(uint64(i / 10 % 40)) } // 40 parked lanes that begin one after the other
	for i := range int64(4000) {
		l.Take(i, 0, lane(i))
	}
	l.Settle(l.Take(4000, 0, 0))
	c := commit(t, l)
	for room := 50; room < 600; room++ {
		l := restart(t, c)
		l.Settle(l.Take(0, 0, lane(0)))
		c, _ := l.Commit(room)
		m := parsed(t, c.Metadata)
		for i := c.Offset; i < 4000; i++ {
			if m.settled(i, 0, lane(i)) {
				t.Fatalf("%d characters: offset %d is settled", room, i)
			}
		}
	}
}
