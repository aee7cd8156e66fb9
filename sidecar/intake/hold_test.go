package intake

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestBatchesShareTheAllowance(t *testing.T) {
	all := newHolds(100)
	a, b, c := &hold{all: all}, &hold{all: all}, &hold{all: all}
	if !a.grow(60) || !b.grow(40) || a.isAbove() || b.isAbove() {
		t.Fatal("what fits is above")
	}
	if !c.grow(1) || !c.isAbove() {
		t.Fatal("the first above the allowance was refused")
	}
	if a.grow(1) || b.grow(1) {
		t.Fatal("a second one is above")
	}
	if !c.grow(1000) {
		t.Fatal("the one above may not grow")
	}
	c.release()
	if c.isAbove() || all.used != 100 || !b.grow(1) || !b.isAbove() {
		t.Fatalf("after the release: used %d", all.used)
	}
	b.release()
	a.release()
	a.release()
	if all.used != 0 || all.above != nil || a.bytes != 0 {
		t.Fatalf("%d bytes are left", all.used)
	}
	if !a.grow(1000) || !a.isAbove() {
		t.Fatal("one batch that is larger than the allowance is not taken")
	}
}

func TestReleaseWakesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newHolds(10)
		large := &hold{all: all}
		if err := all.wait(t.Context()); err != nil {
			t.Fatalf("nobody is above: %v", err)
		}
		large.grow(11)
		woken := make(chan error, 3)
		for range 3 {
			go func() { woken <- all.wait(t.Context()) }()
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("partition is gone")
		left := make(chan error, 1)
		go func() { left <- all.wait(ctx) }()
		synctest.Wait()
		if len(woken) > 0 {
			t.Fatal("woken early")
		}
		cancel(gone)
		if err := <-left; !errors.Is(err, gone) {
			t.Fatal(err)
		}
		large.release()
		for range 3 {
			if err := <-woken; err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Readers inflate batches of any size, wait when refused, and never hold more than the allowance and one batch.
func TestNeverTwoBatchesAboveTheAllowance(t *testing.T) {
	const allowance, readers, rounds = 1000, 8, 2000
	all := newHolds(allowance)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var mu sync.Mutex
	holding := map[*hold]int64{}
	check := func() { // under mu
		var within int64
		above := 0
		for h, n := range holding {
			if h.isAbove() {
				above++
			} else {
				within += n
			}
		}
		if above > 1 || within > allowance {
			t.Errorf("%d batches are above, the others hold %d", above, within)
		}
	}
	var group sync.WaitGroup
	for i := range readers {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			h := &hold{all: all}
			for range rounds {
				for step := rng.IntN(4); step >= 0; step-- {
					n := rng.Int64N(600)
					mu.Lock() // so that the book is as new as what it is compared with
					ok := h.grow(n)
					if ok {
						holding[h] += n
					}
					check()
					mu.Unlock()
					if !ok {
						break
					}
				}
				refused := !h.isAbove() && rng.IntN(2) == 0
				mu.Lock()
				h.release()
				delete(holding, h)
				mu.Unlock()
				if refused {
					if err := all.wait(ctx); err != nil {
						t.Errorf("a release woke nobody: %v", err)
						return
					}
				}
			}
		})
	}
	group.Wait()
	if all.used != 0 || all.above != nil {
		t.Fatalf("%d bytes are left", all.used)
	}
}
