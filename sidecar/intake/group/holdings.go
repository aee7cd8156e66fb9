package group

import (
	"maps"
	"slices"
)

// phase is where one partition stands with us.
type phase int

const (
	running  phase = iota // given to us and told to the Owner
	draining              // Owner.Revoke has not returned: still ours, so nobody else may have it
	ghost                 // lost while draining: no longer ours, but the Owner is not done with it
)

// holding is one partition that is ours or that the Owner is not done with.
type holding struct {
	phase  phase
	tenure uint64 // another one for every Owner.Assigned, so that what was begun under an earlier one is told apart
	given  bool   // in the newest assignment; running implies it
}

// holdings is what we own, as a state machine without I/O. Guarded by Member.mu, written by the loop.
type holdings struct {
	parts   map[int32]*holding
	tenures uint64
}

func (h *holdings) begin(p int32) {
	h.tenures++
	h.parts[p] = &holding{phase: running, tenure: h.tenures, given: true}
}

// take brings in a new assignment: what is to be told to the Owner as added, and what is to be drained. A partition that is being drained
// and is given to us again is neither; it comes back from drained.
func (h *holdings) take(assigned []int32) (added, revoked []int32) {
	if h.parts == nil {
		h.parts = map[int32]*holding{}
	}
	given := make(map[int32]bool, len(assigned))
	for _, p := range assigned {
		given[p] = true
	}
	for p, part := range h.parts {
		part.given = given[p]
		if part.phase == running && !part.given {
			part.phase = draining
			revoked = append(revoked, p)
		}
	}
	for p := range given {
		if h.parts[p] == nil {
			h.begin(p)
			added = append(added, p)
		}
	}
	slices.Sort(added)
	slices.Sort(revoked)
	return added, revoked
}

// drained brings in that Owner.Revoke has returned for the partitions: those that were given to us again meanwhile are to be told to the
// Owner anew; freed ones were ours until now and are not any more.
func (h *holdings) drained(partitions []int32) (again, freed []int32) {
	for _, p := range partitions {
		part := h.parts[p]
		switch {
		case part.given:
			h.begin(p)
			again = append(again, p)
		case part.phase == draining:
			freed = append(freed, p)
			fallthrough
		default:
			delete(h.parts, p)
		}
	}
	return again, freed
}

// lose takes everything away. It returns what the Owner is to be told; what is being drained stays until its Revoke returns.
func (h *holdings) lose() (lost []int32) {
	for p, part := range h.parts {
		part.given = false
		if part.phase == running {
			lost = append(lost, p)
			delete(h.parts, p)
			continue
		}
		part.phase = ghost
	}
	slices.Sort(lost)
	return lost
}

// claims is what the leader must give to nobody else: what runs, then what drains. The order tells it what to leave with us if it has to choose.
func (h *holdings) claims() []int32 {
	var keep, drain []int32
	for _, p := range slices.Sorted(maps.Keys(h.parts)) {
		switch part := h.parts[p]; {
		case part.phase == running, part.phase == ghost && part.given:
			keep = append(keep, p)
		case part.phase == draining:
			drain = append(drain, p)
		}
	}
	return append(keep, drain...)
}

// owned says whether a commit for the partition is ours to make, and under which tenure.
func (h *holdings) owned(p int32) (tenure uint64, ok bool) {
	part := h.parts[p]
	if part == nil || part.phase == ghost {
		return 0, false
	}
	return part.tenure, true
}
