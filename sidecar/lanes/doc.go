// Package lanes decides which record is attempted next. It is the pure core between intake and invoke: no I/O, no
// goroutines, no locks and no clock; the time is passed in.
//
// # Lanes
//
// A lane is the queue of one key of one partition. Its records are attempted strictly in order, one at a time: the next
// one begins when the one before is settled. Under [ByPartition] a partition is one lane, under [None] every record is a
// lane of its own, as is a record with a null key unless the sink makes it the empty key. Only lanes that hold a record
// exist.
//
// The head of a lane is ready (waits for a slot for its first attempt), runs, or waits (for the time of its next
// attempt). From the first attempt that ends without success until its head is settled the lane is parked. Waiting holds
// no slot.
//
// # Slots
//
// Lanes are served in the order in which they became ready, whatever their partition. While first attempts are ready,
// further attempts hold at most a quarter of the slots (at least one) and are preferred up to that, so neither kind can
// starve the other; with fewer than four slots the two alternate. Where attempts begin at a limited rate, slots are free
// and divide nothing: there one attempt in four is a further one as long as first ones are ready.
//
// A further attempt whose previous one was slow (a timeout) is held to the quarter always, else keys that hang would fill
// all slots in a quiet moment and keep them when others come. It leaves a quarter of the quarter to further attempts that
// are quick, else a recovering key would wait behind every hanging one.
//
// # Bounds
//
// Records are counted, in number and in bytes, against two budgets: in flight, and parked for the records of parked
// lanes. Both are strict, so what is held never exceeds their sum, plus one record (see below). When a lane is parked or
// its head settles, its records change the budget as far as the other has room; what does not fit stays charged where it
// was and moves later. So that this costs the same for one record and for a hundred thousand, charges are kept as sums
// per partition and not per record: they say how much of a budget a partition uses, not which record uses it.
//
// Every open partition has half of its equal share of each bound to itself, the other halves are common to all. A
// partition that comes later takes over its part as the others settle theirs.
//
// Bytes are reserved before a fetch is sent ([Lanes.Reserve]) and turned into charges as its records are added. A record
// for which there are never enough bytes, or for which none are left because all are reserved, is taken when its
// partition has nothing else in flight and no bound is exceeded yet. That is the one record above the bounds.
//
// # Use
//
// Not safe for concurrent use; the caller holds one mutex around every call and around every access to an [Item] that
// it does not run itself. Every call is O(1), or O(log n) in the number of waiting lanes; [Lanes.Open], [Lanes.Stop],
// [Lanes.Close] and [Lanes.Hurry] are linear and rare.
//
//	it := l.Next(now)  // takes a slot
//	...                // one attempt, outside the mutex
//	l.Settle(it)       // or Retry or Abandon: gives the slot back; then ask Next again
package lanes
