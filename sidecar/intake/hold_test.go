package intake

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// held is what readers hold within the allowance, and above it.
func (a *holds) held() (within, above int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.above != nil {
		above = a.above.bytes
	}
	return a.used, above
}

func (a *holds) empty(t *testing.T) {
	t.Helper()
	if within, above := a.held(); within != 0 || above != 0 || a.above != nil || len(a.holding)+len(a.queue) > 0 {
		t.Fatalf("%d bytes within and %d above are left", within, above)
	}
}

// readers joins some.
func readers(t *testing.T, all *holds, n int) []*hold {
	var hs []*hold
	for range n {
		h := all.join(t.Context())
		t.Cleanup(h.leave)
		hs = append(hs, h)
	}
	return hs
}

// mustTake takes a reader's share and n bytes of what is common.
func mustTake(t *testing.T, h *hold, n int64) {
	t.Helper()
	if err := h.take(t.Context(), h.all.each+n); err != nil {
		t.Error(err)
	}
}

func TestReadersHaveSharesAndACommonHalfAndOneMayBeAbove(t *testing.T) {
	all := newHolds(200)
	h := readers(t, all, 4)
	a, b, c := h[0], h[1], h[2]
	is := func(within, above int64) {
		t.Helper()
		if w, o := all.held(); w != within || o != above {
			t.Fatalf("%d within and %d above, want %d and %d", w, o, within, above)
		}
	}
	mustTake(t, a, 60)
	mustTake(t, b, 40)
	mustTake(t, c, 0)
	is(100, 0)
	if err := c.take(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	mustTake(t, c, 975)
	is(100, 25+1+25+975)
	c.give(1000)
	is(100, 26)
	c.give(1) // what is left is its share
	is(100, 0)
	c.release()
	b.release()
	b.release()
	a.release()
	all.empty(t)
	mustTake(t, a, 1000)
	is(0, 1025)
	a.release()
	all.empty(t)
}

func TestReaderThatComesOrGoesChangesTheShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newHolds(200)
		a, b := all.join(t.Context()), all.join(t.Context())
		mustTake(t, a, 0)
		c := all.join(t.Context()) // the share of a is 33 now
		if within, _ := all.held(); within != 17 {
			t.Fatalf("%d bytes of what is common are in use", within)
		}
		mustTake(t, b, 70)
		mustTake(t, c, 200) // above
		got := make(chan error, 1)
		go func() { got <- a.take(t.Context(), 20) }()
		synctest.Wait()
		if len(got) > 0 {
			t.Fatal("more is in use than there is")
		}
		b.leave() // and its share goes to the others
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		a.leave()
		c.leave()
		all.empty(t)
	})
}

// Shares that shrink make more of what is common in use than there is. The place above it must not stay with a reader that holds nothing any more: one
// that waits for room may do so for ever, and everybody with large batches behind it.
func TestThePlaceAboveIsFreeOnceItsReaderHoldsNothing(t *testing.T) {
	all := newHolds(200)
	h := readers(t, all, 2)
	a, b := h[0], h[1]
	mustTake(t, a, 100)
	mustTake(t, b, 1000) // above
	c := readers(t, all, 1)[0]
	if within, above := all.held(); within <= 100 || above != 1050 {
		t.Fatalf("%d within and %d above", within, above)
	}
	b.release()
	if all.above != nil {
		t.Fatal("nobody can be above any more")
	}
	mustTake(t, c, 1000)
	c.release()
	a.release()
	all.empty(t)
}

// Whoever asked first is served first: a large answer is not passed by small ones for ever, and nobody is woken in vain.
func TestMemoryIsGivenInTheOrderInWhichItWasAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newHolds(200)
		h := readers(t, all, 7)
		mustTake(t, h[0], 80)
		mustTake(t, h[1], 100) // above
		served := make(chan int64, 4)
		for i, n := range []int64{90, 10, 50, 40} {
			go func() {
				mustTake(t, h[i+2], n)
				served <- n
			}()
			synctest.Wait()
		}
		is := func(want ...int64) {
			t.Helper()
			synctest.Wait()
			var got []int64
			for len(served) > 0 {
				got = append(got, <-served)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("served %v, want %v", got, want)
			}
		}
		is()
		mustTake(t, h[6], 0) // a share is nobody else's
		h[1].release()       // 90 is above now, and 10 fits; 50 does not
		is(10, 90)
		h[3].release()
		is() // 20 are free: not enough for 50, which comes first
		h[2].release()
		is(50)
		h[0].release()
		is(40)
		for _, h := range h {
			h.release()
		}
		all.empty(t)
	})
}

func TestReaderThatEndsWhileItWaitsLeavesItsPlaceToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newHolds(200)
		h := readers(t, all, 4)
		mustTake(t, h[0], 80)
		mustTake(t, h[1], 100)
		ctx, cancel := context.WithCancelCause(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- h[2].take(ctx, all.each+90) }()
		synctest.Wait()
		go func() { second <- h[3].take(t.Context(), all.each+20) }()
		synctest.Wait()
		if len(second) > 0 {
			t.Fatal("the second one passed the first")
		}
		gone := errors.New("partition is gone")
		cancel(gone)
		if err := <-first; !errors.Is(err, gone) {
			t.Fatal(err)
		}
		if err := <-second; err != nil {
			t.Fatal(err)
		}
		for _, h := range h {
			h.release()
		}
		all.empty(t)
	})
}

// Only those that hold what is asked for lose their patience, those first that have held it longest.
func TestOnlyAsManyAreHurriedAsHoldWhatIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newHolds(200)
		h := readers(t, all, 5)
		for _, h := range h[:3] {
			mustTake(t, h, 30)
		}
		mustTake(t, h[3], 500)
		hurried := func() (is []int) {
			for i, h := range h {
				if h.patience.Err() != nil {
					is = append(is, i)
				}
			}
			return is
		}
		if got := hurried(); got != nil {
			t.Fatalf("%v are hurried though nobody waits", got)
		}
		got := make(chan error, 1)
		go func() { got <- h[4].take(t.Context(), all.each+60) }()
		synctest.Wait()
		if got := hurried(); !slices.Equal(got, []int{0, 1, 3}) {
			t.Fatalf("%v are hurried", got)
		}
		h[0].release()
		h[1].release()
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		for _, h := range h {
			h.release()
			if h.begin(t.Context()); h.patience.Err() != nil {
				t.Fatal("the next answer is hurried too")
			}
		}
		all.empty(t)
	})
}

// A partition that keeps up is not delayed by others whose large batches wait for each other.
func TestAnswersOfTheSizeThatIsAskedForAreNeverWaitedFor(t *testing.T) {
	for _, n := range []int{1, 2, 16, 100, 400} {
		all := newHolds(16 << 20)
		hs := readers(t, all, n+1)
		mustTake(t, hs[n], 8<<20)
		mustTake(t, hs[n], 1) // nothing is left
		for _, h := range hs[:n] {
			if _, err := h.space(t.Context(), int(all.share())+200); err != nil { // its header
				t.Fatal(err)
			}
		}
		if within, above := all.held(); within > 0 || above == 0 {
			t.Errorf("%d readers that ask for %d bytes each take %d of what is common", n, all.share(), within)
		}
		for _, h := range hs {
			h.release()
		}
	}
}

func TestSmallAnswersAreNeverWaitedFor(t *testing.T) {
	all := newHolds(200)
	h := readers(t, all, 2)
	mustTake(t, h[0], 1000)
	mustTake(t, h[1], 100)
	if b, err := h[1].space(t.Context(), 200); err != nil || len(b) != 200 {
		t.Fatal(len(b), err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = h[1].space(t.Context(), smallAnswer) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Readers hold answers and batches of any size, some end while they wait, and never is more held than the allowance and one batch.
func TestNeverTwoReadersAboveTheAllowance(t *testing.T) {
	const allowance, count, rounds, largest = 1000, 8, 2000, 2400
	all := newHolds(allowance)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var group sync.WaitGroup
	for i, h := range readers(t, all, count) {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for range rounds {
				one, end := context.WithCancel(ctx)
				if rng.IntN(8) == 0 {
					end()
				}
				for range 1 + rng.IntN(4) {
					if h.take(one, rng.Int64N(600)) != nil {
						break
					}
					if within, above := all.held(); within > allowance/2 || above > largest {
						t.Errorf("%d bytes within the allowance, %d above", within, above)
					}
					if rng.IntN(3) == 0 {
						h.give(rng.Int64N(h.bytes + 1))
					}
				}
				end()
				h.release()
				if ctx.Err() != nil {
					t.Error("waited for ever")
					return
				}
			}
		})
	}
	group.Wait()
	all.empty(t)
}
