package sidecar

import "time"

// usage adds up over time how many slots are in use, and how many would be if there were enough. Both are the base of the signals that say whether
// another replica is needed: sums over time lose nothing between two readings, whatever their distance.
type usage struct {
	at     time.Time     // up to when it is added up
	busy   time.Duration // slots in use
	wanted time.Duration // slots in use by lanes that are not parked, and lanes that wait for one
}

// measure adds what has held since the last call. It must come before every change of what runs or waits for a slot.
//
// A lane waits for a slot only while all are in use. Else it waits for something that another replica does not bring: FAILURE_LIMIT, RATE_LIMIT,
// the lease. No more waiting lanes are counted than there are slots, so that the load is at most 2: how many keys happen to be at hand says little
// of how many replicas are missing.
func (f *flow) measure(now time.Time) {
	passed := max(0, now.Sub(f.usage.at))
	if passed == 0 {
		return
	}
	f.usage.at = now
	used, wanted, ready := f.lanes.Slots()
	if slots := max(1, f.cfg.limits.Concurrency); used >= slots {
		wanted += min(ready, slots)
	}
	f.usage.busy += time.Duration(used) * passed
	f.usage.wanted += time.Duration(wanted) * passed
}
