package lanes

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Lanes leave the heap in the order of their time also when others are taken out of its middle.
func TestWaitingLanesLeaveInOrder(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 7))
		var heap waiting
		var left []*lane
		for i := range 200 {
			ln := &lane{due: start.Add(time.Duration(r.IntN(50)) * time.Second), turn: uint64(i)}
			heap.push(ln)
			left = append(left, ln)
			if i%3 == 2 {
				out := r.IntN(len(left))
				heap.remove(left[out])
				left = slices.Delete(left, out, out+1)
			}
		}
		slices.SortFunc(left, func(a, b *lane) int {
			if a.before(b) {
				return -1
			}
			return 1
		})
		for i, ln := range left {
			if heap.top() != ln {
				t.Fatalf("seed %d: lane %d of %d is not the next one", seed, i, len(left))
			}
			heap.remove(ln)
		}
		want(t, "left", len(heap), 0)
	}
}
