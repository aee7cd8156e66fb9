package ledger

import "testing"

func TestACommitNamesAnEpochThatTheLogIsInThere(t *testing.T) {
	// A leader is asked where the epoch ends in its log: one that ends below the commit would read as a log that was rewritten.
	l := New(testID, 0, nil)
	l.Settle(l.Take(0, 1, 0))
	l.Advance(5, 2) // markers of another epoch
	if c := commit(t, l); c.Offset != 5 || c.LeaderEpoch != 2 {
		t.Errorf("after markers: %+v", c)
	}
	l.Take(5, 3, 0)
	l.Settle(l.Take(6, 3, 0))
	if c := commit(t, l); c.Offset != 5 || c.LeaderEpoch != 2 {
		t.Errorf("before the first record of an epoch: %+v", c)
	}
	l = New(testID, 0, nil)
	l.Settle(l.Take(0, 1, 0))
	l.Take(9, 3, 0) // what lay between was compacted away
	if c := commit(t, l); c.Offset != 9 || c.LeaderEpoch != 3 {
		t.Errorf("after a compacted gap: %+v", c)
	}
}

func TestAnAccountGoesOnUnderTheEpochOfItsCommit(t *testing.T) {
	l := New(testID, 10, nil)
	l.StartsUnder(4)
	l.Take(10, 6, 0)
	l.Settle(l.Take(11, 6, 0))
	if c := commit(t, l); c.Offset != 10 || c.LeaderEpoch != 4 {
		t.Fatalf("%+v", c)
	}
}

func TestMarkersOfALaterEpochVoidTheMapToo(t *testing.T) {
	l := New(testID, 10, nil)
	l.Take(10, 4, 0)
	l.Settle(l.Take(20, 4, 0))
	c := commit(t, l)
	m, err := ParseMetadata(c.Metadata)
	if err != nil {
		t.Fatal(err)
	}
	l = New(testID, 10, m)
	l.Take(10, 4, 0)
	l.Advance(12, 5)
	if l.Settled(20, 4, 0) {
		t.Fatal("a record is called settled, by a map that speaks of a log before the last election")
	}
}

func TestAMapThatIsCutSaysNothingBeyond(t *testing.T) {
	l := New(testID, 10, nil)
	l.Take(10, 4, 0)
	l.Settle(l.Take(11, 4, 0))
	l.Take(12, 4, 0)
	for o := int64(13); o < 20; o++ {
		l.Settle(l.Take(o, 4, 0))
	}
	if n := l.UnsettledFrom(11); n != 1 {
		t.Errorf("%d unsettled from 11 on, want 1", n)
	}
	m, err := ParseMetadata(commit(t, l).Metadata)
	if err != nil {
		t.Fatal(err)
	}
	for offset := int64(10); offset < 22; offset++ {
		for _, end := range []int64{5, 10, 12, 15, 20, 30} {
			want := m.settled(offset, 4, 0) && offset < end
			if got := m.Until(end).settled(offset, 4, 0); got != want {
				t.Errorf("cut at %d, offset %d: settled is %t, want %t", end, offset, got, want)
			}
		}
	}
	if horizon, epoch := m.Reach(); horizon != 20 || epoch != 4 {
		t.Errorf("reaches to %d under epoch %d", horizon, epoch)
	}
}
