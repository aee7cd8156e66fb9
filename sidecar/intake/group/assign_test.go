package group

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

func numbers(n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(i)
	}
	return ids
}

func TestAssignmentIsBalancedAndKeepsWhatItCan(t *testing.T) {
	for _, c := range []struct {
		name       string
		partitions int
		owned      map[string][]int32
		want       map[string][]int32
		withheld   int
	}{
		{"nobody owned anything", 5, map[string][]int32{"a": nil, "b": nil}, map[string][]int32{"a": {0, 1, 3}, "b": {2, 4}}, 0},
		{"a newcomer waits for what moves", 4, map[string][]int32{"a": {0, 1, 2, 3}, "b": nil}, map[string][]int32{"a": {0, 1}}, 2},
		{"and gets it when it was let go", 4, map[string][]int32{"a": {0, 1}, "b": nil}, map[string][]int32{"a": {0, 1}, "b": {2, 3}}, 0},
		{"uneven counts stay", 5, map[string][]int32{"a": {0, 1}, "b": {2, 3}, "c": {4}}, map[string][]int32{"a": {0, 1}, "b": {2, 3}, "c": {4}}, 0},
		{"a leaver's go to the others", 4, map[string][]int32{"a": {0, 1}}, map[string][]int32{"a": {0, 1, 2, 3}}, 0},
		{"the last claims are given up first", 4, map[string][]int32{"a": {3, 2, 0, 1}, "b": nil}, map[string][]int32{"a": {2, 3}}, 2},
		{"partitions that are no more are not kept", 2, map[string][]int32{"a": {7, 0}, "b": nil}, map[string][]int32{"a": {0}, "b": {1}}, 0},
		{"more members than partitions", 1, map[string][]int32{"a": nil, "b": {0}, "c": nil}, map[string][]int32{"b": {0}}, 0},
		{"a claim made twice counts once", 2, map[string][]int32{"a": {0, 0}, "b": nil}, map[string][]int32{"a": {0}, "b": {1}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var members []claimant
			for id, owned := range c.owned {
				members = append(members, claimant{id: id, owned: owned, generation: 3})
			}
			got, withheld := assign(members, numbers(c.partitions))
			if !maps.EqualFunc(got, c.want, slices.Equal) || withheld != c.withheld {
				t.Fatalf("got %v withheld %d, want %v withheld %d", got, withheld, c.want, c.withheld)
			}
		})
	}
}

func TestDoubleClaimIsSettledByTheHigherGenerationThenForNobody(t *testing.T) {
	got, _ := assign([]claimant{{id: "a", owned: []int32{0}, generation: 4}, {id: "b", owned: []int32{0}, generation: 5}}, numbers(1))
	if len(got["a"]) != 0 || !slices.Equal(got["b"], []int32{0}) {
		t.Fatalf("got %v", got)
	}
	got, withheld := assign([]claimant{{id: "a", owned: []int32{0}, generation: 5}, {id: "b", owned: []int32{0}, generation: 5}, {id: "c", generation: 5}}, numbers(1))
	if len(got["a"])+len(got["b"])+len(got["c"]) != 0 || withheld != 1 {
		t.Fatalf("got %v", got)
	}
	// A third claim of a higher generation outdoes two equal ones.
	got, _ = assign([]claimant{{id: "a", owned: []int32{0}, generation: 5}, {id: "b", owned: []int32{0}, generation: 5}, {id: "c", owned: []int32{0}, generation: 6}}, numbers(1))
	if !slices.Equal(got["c"], []int32{0}) {
		t.Fatalf("got %v", got)
	}
}

func TestLeavingMemberGetsNothingAndIsWaitedFor(t *testing.T) {
	got, withheld := assign([]claimant{{id: "a", owned: []int32{0, 1}, generation: 1, leaving: true}, {id: "b", owned: []int32{2}, generation: 1}}, numbers(4))
	if len(got["a"]) != 0 || !slices.Equal(got["b"], []int32{2, 3}) || withheld != 2 {
		t.Fatalf("got %v withheld %d", got, withheld)
	}
	if got, withheld := assign([]claimant{{id: "a", owned: []int32{0}, leaving: true}}, numbers(1)); len(got["a"]) != 0 || withheld != 1 {
		t.Fatalf("got %v", got)
	}
	if got, withheld := assign(nil, numbers(3)); len(got) != 0 || withheld != 3 {
		t.Fatalf("got %v", got)
	}
}

// Any claims at all, also contradictory ones of members that are out of date.
func TestAssignmentInvariants(t *testing.T) {
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 1))
		partitions := numbers(r.IntN(20))
		members := make([]claimant, 1+r.IntN(6))
		for i := range members {
			members[i] = claimant{id: fmt.Sprint("m", i), generation: int32(r.IntN(3)) - 1, leaving: r.IntN(8) == 0}
			for range r.IntN(8) {
				members[i].owned = append(members[i].owned, int32(r.IntN(24)))
			}
		}
		got, withheld := assign(members, partitions)
		shuffled := slices.Clone(members)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again, _ := assign(shuffled, partitions); !maps.EqualFunc(got, again, slices.Equal) {
			t.Fatalf("seed %d: the order of members matters: %v, %v", seed, got, again)
		}
		claims := map[int32][]claimant{}
		for _, m := range members {
			for _, p := range m.owned {
				claims[p] = append(claims[p], m)
			}
		}
		seen := map[int32]string{}
		staying := 0
		for _, m := range members {
			if !m.leaving {
				staying++
			}
		}
		for _, m := range members {
			if len(got[m.id]) > 0 && m.leaving {
				t.Fatalf("seed %d: %s leaves and gets %v", seed, m.id, got[m.id])
			}
			if staying > 0 && len(got[m.id]) > (len(partitions)+staying-1)/staying {
				t.Fatalf("seed %d: %s gets %v of %d among %d", seed, m.id, got[m.id], len(partitions), staying)
			}
			for _, p := range got[m.id] {
				if other := seen[p]; other != "" {
					t.Fatalf("seed %d: %d given to %s and %s", seed, p, other, m.id)
				}
				seen[p] = m.id
				for _, c := range claims[p] {
					if c.id != m.id && (!slices.Contains(m.owned, p) || c.generation >= m.generation) {
						t.Fatalf("seed %d: %s gets %d that %s claims", seed, m.id, p, c.id)
					}
				}
			}
		}
		if len(partitions)-len(seen) != withheld {
			t.Fatalf("seed %d: withheld %d, given %d of %d", seed, withheld, len(seen), len(partitions))
		}
		for _, p := range partitions {
			if staying > 0 && seen[p] == "" && len(claims[p]) == 0 {
				t.Fatalf("seed %d: %d is nobody's and was given to nobody", seed, p)
			}
		}
	}
}

// Members come and go; after each change the group needs the round of the change and at most two more, moves no more than it must, and never
// gives a partition to anybody while another one has it.
func TestAssignmentConvergesInTwoMoreRounds(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		n := 1 + r.IntN(30)
		owned := map[string][]int32{"m0": nil}
		next := 1
		for step := range 12 {
			if r.IntN(2) == 0 || len(owned) == 1 {
				owned[fmt.Sprint("m", next)] = nil
				next++
			} else {
				ids := slices.Sorted(maps.Keys(owned))
				delete(owned, ids[r.IntN(len(ids))])
			}
			if r.IntN(4) == 0 {
				n += r.IntN(3)
			}
			before := maps.Clone(owned)
			rounds := 0
			for {
				rounds++
				members := []claimant{}
				for id, ps := range owned {
					members = append(members, claimant{id: id, owned: ps, generation: int32(step)})
				}
				given, withheld := assign(members, numbers(n))
				changed := false
				for id := range owned {
					changed = changed || !slices.Equal(owned[id], given[id])
					owned[id] = given[id] // what was taken away has been let go by the next round
				}
				if withheld == 0 {
					break
				}
				if !changed || rounds > 3 {
					t.Fatalf("seed %d step %d: not settled after %d rounds: %v", seed, step, rounds, owned)
				}
			}
			if rounds > 3 {
				t.Fatalf("seed %d step %d: %d rounds", seed, step, rounds)
			}
			kept := 0
			low, high := n, 0
			for id, ps := range owned {
				low, high = min(low, len(ps)), max(high, len(ps))
				for _, p := range ps {
					if slices.Contains(before[id], p) {
						kept++
					}
				}
			}
			if high-low > 1 {
				t.Fatalf("seed %d step %d: unbalanced: %v", seed, step, owned)
			}
			if most := mostKept(before, n, len(owned)); kept != most {
				t.Fatalf("seed %d step %d: kept %d, could keep %d: %v from %v", seed, step, kept, most, owned, before)
			}
		}
	}
}

// mostKept is how many partitions can stay where they are in any balanced assignment: the larger shares go to those who own most.
func mostKept(before map[string][]int32, partitions, members int) (kept int) {
	var counts []int
	for _, ps := range before {
		counts = append(counts, len(ps))
	}
	slices.Sort(counts)
	slices.Reverse(counts)
	for i, c := range counts {
		share := partitions / members
		if i < partitions%members {
			share++
		}
		kept += min(c, share)
	}
	return kept
}
