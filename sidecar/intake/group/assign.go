package group

import (
	"cmp"
	"slices"
)

// claimant is a member as the leader sees it in an assignment.
type claimant struct {
	id         string
	instance   string  // group.instance.id, empty for a dynamic member
	owned      []int32 // what it owns, first what it had rather keep
	generation int32   // in which it was last given an assignment, -1 never
	leaving    bool    // it lets go of all it has and wants nothing
}

// assign is the leader's decision: which member gets which partitions in this generation. It is a pure function; members may come in any order.
//
// Counts differ by at most one when all partitions can be given out. A member keeps what it owns unless that is more than its share. A
// partition that someone claims goes to no one else, however unbalanced that leaves this generation (KIP-429): it is withheld until its owner
// has let go and the group joins again. Two claims for one partition are settled for the one of the higher generation (KIP-792), the other
// claim is from a member that has missed its loss; at equal generations nobody gets it, so that both let go.
func assign(members []claimant, partitions []int32) (given map[string][]int32, withheld int) {
	given = make(map[string][]int32, len(members))
	if len(members) == 0 {
		return given, len(partitions)
	}
	// A restarted static member has a new id; sorting it by instance gives it its old place, so that ties fall the same way.
	members = slices.SortedFunc(slices.Values(members), func(a, b claimant) int {
		return cmp.Or(cmp.Compare(cmp.Or(a.instance, a.id), cmp.Or(b.instance, b.id)), cmp.Compare(a.id, b.id))
	})
	owners := settleClaims(members, partitions)
	quotas := shares(members, owners, len(partitions))

	for i, m := range members {
		for _, p := range m.owned {
			if owner, claimed := owners[p]; claimed && owner == i && len(given[m.id]) < quotas[i] && !slices.Contains(given[m.id], p) {
				given[m.id] = append(given[m.id], p)
			}
		}
	}
	for _, p := range partitions {
		if _, claimed := owners[p]; claimed {
			continue
		}
		// Where much is withheld there is not enough for all: whoever is furthest below its share comes first.
		poorest := -1
		for i, m := range members {
			if want := quotas[i] - len(given[m.id]); want > 0 && (poorest < 0 || want > quotas[poorest]-len(given[members[poorest].id])) {
				poorest = i
			}
		}
		if poorest >= 0 {
			given[members[poorest].id] = append(given[members[poorest].id], p)
		}
	}
	withheld = len(partitions)
	for _, parts := range given {
		slices.Sort(parts)
		withheld -= len(parts)
	}
	return given, withheld
}

// nobody marks a partition that is claimed by several with equal right.
const nobody = -1

// settleClaims finds for every claimed partition the member that rightly owns it, by index.
func settleClaims(members []claimant, partitions []int32) map[int32]int {
	exists := make(map[int32]bool, len(partitions))
	for _, p := range partitions {
		exists[p] = true
	}
	owners := make(map[int32]int)
	newest := make(map[int32]int32)
	for i, m := range members {
		for _, p := range m.owned {
			owner, claimed := owners[p]
			switch {
			case !exists[p] || owner == i && claimed: // unknown, or the same claim twice
			case !claimed || m.generation > newest[p]:
				owners[p], newest[p] = i, m.generation
			case m.generation == newest[p]:
				owners[p] = nobody
			}
		}
	}
	return owners
}

// shares is how many partitions each member shall have in the end. What does not divide evenly goes to those who own most already, since
// anybody else would have to be given it by moving one.
func shares(members []claimant, owners map[int32]int, partitions int) []int {
	owned := make([]int, len(members))
	for _, i := range owners {
		if i != nobody {
			owned[i]++
		}
	}
	var staying []int
	for i, m := range members {
		if !m.leaving {
			staying = append(staying, i)
		}
	}
	quotas := make([]int, len(members))
	if len(staying) == 0 {
		return quotas
	}
	slices.SortStableFunc(staying, func(a, b int) int { return cmp.Compare(owned[b], owned[a]) })
	for rank, i := range staying {
		quotas[i] = partitions / len(staying)
		if rank < partitions%len(staying) {
			quotas[i]++
		}
	}
	return quotas
}
