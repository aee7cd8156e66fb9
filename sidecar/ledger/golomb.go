package ledger

import "math/bits"

// bitWriter appends bits, highest first.
type bitWriter struct {
	b    []byte
	free uint // unused low bits of the last byte
}

func (w *bitWriter) write(v uint64, n uint) {
	for n > 0 {
		if w.free == 0 {
			w.b, w.free = append(w.b, 0), 8
		}
		take := min(n, w.free)
		chunk := byte(v>>(n-take)) & (1<<take - 1)
		w.b[len(w.b)-1] |= chunk << (w.free - take)
		n -= take
		w.free -= take
	}
}

// bitReader reads them back; past the end it fails for good and gives zeros.
type bitReader struct {
	b      []byte
	at     uint // bits read
	failed bool
}

func (r *bitReader) read(n uint) uint64 {
	if r.failed || n > uint(len(r.b))*8-r.at {
		r.failed = true
		return 0
	}
	var v uint64
	for n > 0 {
		left := 8 - r.at%8
		take := min(n, left)
		v = v<<take | uint64(r.b[r.at/8]>>(left-take))&(1<<take-1)
		r.at += take
		n -= take
	}
	return v
}

const (
	golombWindow = 128 // gaps that the running mean remembers
	golombEscape = 24  // quotient from which a gap is written plainly
)

// golomb codes gaps with a parameter that follows their running mean, as the two ends of it see the same gaps. It starts from a
// mean given as a power of two and adapts, since unsettled offsets are sparse where keys are parked and dense near the position.
type golomb struct{ sum, n uint64 }

func newGolomb(logMean uint) golomb { return golomb{sum: 1 << min(logMean, 40), n: 1} }

// m is the code's parameter, the best one for gaps with a geometric distribution: ln 2 of (mean + 1/2), rounded.
func (g *golomb) m() uint64 { return max(1, (g.sum*45+g.n*54)/(g.n*64)) }

func (g *golomb) learn(gap, m uint64) {
	g.sum += min(gap, 16*m+16, 1<<40) // one far outlier must not spoil the mean for all that follow
	if g.n++; g.n == golombWindow {
		g.sum, g.n = g.sum/2, g.n/2
	}
}

func (g *golomb) write(w *bitWriter, gap uint64) {
	m := g.m()
	if q := gap / m; q < golombEscape {
		w.write(1<<(q+1)-2, uint(q)+1) // q ones and a zero
		// The remainder in truncated binary: the first few values take a bit less.
		k := uint(bits.Len64(m - 1))
		if short, r := uint64(1)<<k-m, gap%m; r < short {
			w.write(r, k-1)
		} else {
			w.write(r+short, k)
		}
	} else {
		w.write(1<<golombEscape-1, golombEscape)
		n := uint(bits.Len64(gap))
		w.write(uint64(n), 7)
		w.write(gap, n)
	}
	g.learn(gap, m)
}

func (g *golomb) read(r *bitReader) uint64 {
	m := g.m()
	var q, gap uint64
	for q < golombEscape && r.read(1) == 1 {
		q++
	}
	if q < golombEscape {
		k := uint(bits.Len64(m - 1))
		if short := uint64(1)<<k - m; k > 0 {
			if gap = r.read(k - 1); gap >= short {
				gap = gap<<1 | r.read(1)
				gap -= short
			}
		}
		gap += q * m
	} else {
		n := uint(r.read(7))
		if n > 64 {
			r.failed = true
			return 0
		}
		gap = r.read(n)
	}
	g.learn(gap, m)
	return gap
}
