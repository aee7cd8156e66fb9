package group

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A partition is told as added only when nothing of it runs, is claimed for as long as something of ours may run, and is owned exactly while
// a commit for it is right.
func TestHoldingsTellEveryPartitionInOrder(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 3))
		var h holdings
		assigned := map[int32]uint64{} // told as added, not yet revoked or lost, by tenure
		draining := map[int32]bool{}   // told as revoked, Revoke not returned
		lost := map[int32]bool{}       // of draining: lost meanwhile
		var drains [][]int32
		add := func(ps []int32) {
			for _, p := range ps {
				if _, twice := assigned[p]; twice || draining[p] {
					t.Fatalf("seed %d: %d added while assigned or draining", seed, p)
				}
				assigned[p] = h.parts[p].tenure
			}
		}
		given := map[int32]bool{}
		for range 60 {
			switch r.IntN(8) {
			case 0:
				for _, p := range h.lose() {
					if _, ok := assigned[p]; !ok {
						t.Fatalf("seed %d: %d lost and not assigned", seed, p)
					}
					delete(assigned, p)
				}
				if len(assigned) != 0 {
					t.Fatalf("seed %d: %v not told as lost", seed, assigned)
				}
				for p := range draining {
					lost[p] = true
				}
				clear(given)
			case 1, 2, 3:
				if len(drains) == 0 {
					continue
				}
				i := r.IntN(len(drains))
				ps := drains[i]
				drains = slices.Delete(drains, i, i+1)
				var wantFreed []int32
				for _, p := range ps {
					if !lost[p] && !given[p] {
						wantFreed = append(wantFreed, p)
					}
					delete(draining, p)
					delete(lost, p)
				}
				again, freed := h.drained(ps)
				if !slices.Equal(freed, wantFreed) {
					t.Fatalf("seed %d: freed %v", seed, freed)
				}
				add(again)
			default:
				var next []int32
				clear(given)
				for p := range int32(6) {
					if r.IntN(2) == 0 {
						next = append(next, p)
						given[p] = true
					}
				}
				added, revoked := h.take(next)
				add(added)
				for _, p := range revoked {
					if _, ok := assigned[p]; !ok || given[p] {
						t.Fatalf("seed %d: %d revoked", seed, p)
					}
					delete(assigned, p)
					draining[p] = true
				}
				if len(revoked) > 0 {
					drains = append(drains, revoked)
				}
			}
			claims := h.claims()
			for p := range int32(6) {
				tenure, owned := h.owned(p)
				was, isAssigned := assigned[p]
				if want := isAssigned || draining[p] && !lost[p]; owned != want {
					t.Fatalf("seed %d: %d owned %v", seed, p, owned)
				}
				if isAssigned && tenure != was {
					t.Fatalf("seed %d: tenure of %d changed", seed, p)
				}
				if slices.Contains(claims, p) != (owned || given[p]) {
					t.Fatalf("seed %d: %d claimed wrongly: %v", seed, p, claims)
				}
				if given[p] && !isAssigned && !draining[p] {
					t.Fatalf("seed %d: %d given and forgotten", seed, p)
				}
			}
		}
	}
}

func TestDrainingPartitionsAreClaimedLast(t *testing.T) {
	var h holdings
	h.take([]int32{0, 1, 2, 3})
	h.take([]int32{2, 3})
	if got := h.claims(); !slices.Equal(got, []int32{2, 3, 0, 1}) {
		t.Fatalf("claims %v", got)
	}
}
