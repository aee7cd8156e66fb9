package ledger

import (
	"math/rand/v2"
	"testing"
)

// The figures in the package comment, which are held here; run with -v to see them to the last digit. The best of the encodings tried before (bitmap,
// deflate) reached 215,000, 66,000 and 32,000 offsets and 306 keys.
func TestMapReach(t *testing.T) {
	for _, c := range []struct{ percent, documented int }{{1, 298_000}, {5, 82_000}, {20, 32_800}} {
		r := rand.New(rand.NewPCG(uint64(c.percent), 0))
		l := New(testID, 1_000_000_000, nil)
		l.Take(l.Position(), 12, key(0))
		for i := range uint64(400_000) {
			if e := l.Take(l.Position(), 12, key(i+1)); r.IntN(100) >= c.percent {
				l.Settle(e)
			}
		}
		m := parsed(t, commit(t, l).Metadata)
		reach := int(m.horizon - m.base)
		t.Logf("%d %% unsettled: %d offsets", c.percent, reach)
		if reach < c.documented {
			t.Errorf("%d %% unsettled: the map reaches %d offsets, the package comment says %d", c.percent, reach, c.documented)
		}
	}
}

func TestMapReachOfOneKeyBehindTenMillion(t *testing.T) {
	l := New(testID, 1_000_000_000, nil)
	parked := LaneHash([]byte("parked"))
	for i := range int64(10_000_000) {
		if i%10_000 == 0 { // the key goes on receiving
			l.Take(l.Position(), 12, parked)
		} else {
			l.Settle(l.Take(l.Position(), 12, 77))
		}
	}
	c := commit(t, l)
	m := parsed(t, c.Metadata)
	t.Logf("one key with 1,000 records parked behind 10,000,000: %d offsets in %d characters", m.horizon-m.base, len(c.Metadata))
	if m.horizon != l.Position() || len(c.Metadata) > 64 {
		t.Errorf("reaches %d of %d in %d characters", m.horizon-m.base, l.Position()-m.base, len(c.Metadata))
	}
}

func TestMapReachOfManyParkedKeys(t *testing.T) {
	// Parked keys spread over 250 million offsets, each with followers; settled records between them. How many fit?
	fits := func(keys int) bool {
		r := rand.New(rand.NewPCG(4, 4))
		l := New(testID, 0, nil)
		step := int64(250_000_000 / keys / 20)
		for i := range keys * 20 {
			l.Advance(int64(i)*step+r.Int64N(step), -1)
			l.Take(l.Position(), 1, key(uint64(i/20+r.IntN(20)*keys/40)%uint64(keys)))
		}
		l.Advance(250_000_000, -1)
		l.Settle(l.Take(l.Position(), 1, 0))
		m := parsed(t, commit(t, l).Metadata)
		return m.horizon == l.Position()
	}
	keys := 200
	for fits(keys + 1) {
		keys++
	}
	t.Logf("%d parked keys over 250,000,000 offsets", keys)
	if keys < 358 {
		t.Errorf("%d parked keys fit, the package comment says 358", keys)
	}
}

// BenchmarkLedger is one record's way through the ledger, a thousand keys in flight, with a commit for every 5,000 records.
func BenchmarkLedger(b *testing.B) {
	const inFlight = 10_000
	l := New(testID, 0, nil)
	r := rand.New(rand.NewPCG(1, 1))
	var ring [inFlight]*Entry
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := r.IntN(inFlight)
		if ring[at] != nil {
			l.Settle(ring[at])
		}
		ring[at] = l.Take(int64(i), 0, uint64(i%1000)+1)
		if i%5000 == 0 {
			if c, changed := l.Commit(full); changed {
				l.Acked(c)
			}
		}
	}
}

func BenchmarkCommit(b *testing.B) {
	for name, unsettled := range map[string]int{"10k": 10_000, "110k": 110_000} {
		b.Run(name, func(b *testing.B) {
			l := New(testID, 0, nil)
			r := rand.New(rand.NewPCG(1, 1))
			for l.Unsettled() < unsettled {
				if e := l.Take(l.Position(), 0, key(r.Uint64N(1000))); r.IntN(2) == 0 {
					l.Settle(e)
				}
			}
			var c Commit
			b.ReportAllocs()
			for b.Loop() {
				c, _ = l.Commit(full)
			}
			b.ReportMetric(float64(parsedHorizon(c)), "reach")
			b.ReportMetric(float64(len(c.Metadata)), "chars")
		})
	}
}

func parsedHorizon(c Commit) int64 {
	m, _ := ParseMetadata(c.Metadata)
	return m.horizon
}
