// Package ledger knows, for one partition, which offsets are settled, and writes that knowledge into the metadata of a commit.
//
// Kafka keeps one number per partition: the committed offset. Everything below it is settled. Keys settle out of order, so
// beyond that number lies a mixture, and one parked key can hold the number back while millions of other records settle behind
// it. The ledger holds the *unsettled* offsets only, as a linked list in log order: that set is bounded by the in-flight and
// parked limits, while the settled ones are not. Every offset below the position that is not in the list is settled, be it
// because its record was, or because no record is there (transaction markers, aborted data, compacted gaps).
//
// A commit is the first unsettled offset and a string. The string names the log (topic id, partition, base offset, leader
// epoch, checksum), also when there is nothing else to say: this is how a restart notices that the topic was deleted and
// created again. Then it says "all offsets from the base to the horizon are settled, except these":
//
//   - single offsets, as gaps in an adaptive Golomb code (about 8 bits each when 1 % is unsettled), and
//   - lanes, as the 48-bit hash of the key and the first unsettled offset: every record of that hash from there to the horizon is
//     unsettled. Lanes settle in order, so this is exact, and a parked key costs some 9 bytes however many records follow it.
//
// What the map cannot say it leaves out at the far end: the horizon is lowered until the string fits. Every error is on the side
// of a repeat. Two keys with one hash make the map call records of the second key unsettled that are settled: they are delivered
// again, in order. An offset is called settled only when no clause covers it, and a clause is never dropped without lowering the
// horizon below it.
//
// After a restart the map is looked up record by record, see [Ledger.Settled]. It counts only for the very commit that it came
// with (same topic id, partition and base offset), and only for batches whose leader epoch is not above the map's: an unclean
// election rewrites offsets, and what it writes carries a higher epoch. Epochs never fall along a log, so the first record above
// the map's epoch voids the rest of the map. Until all offsets below the old horizon are read again, new commits carry
// the rest of the old map on, so that a crash soon after a restart repeats as little as the first one did.
//
// How far 4,096 characters reach, as measured by TestMapReach with offsets unsettled at random, each of a key of its own:
//
//	 1 % unsettled                     298,000 offsets
//	 5 % unsettled                      82,000
//	20 % unsettled                      32,800
//	one key parked behind 10,000,000   all of them, in 64 characters
//	parked keys with many followers    358 keys over 250,000,000 offsets
//
// The package is pure: no I/O, no clock, no locks. A Ledger belongs to whoever serialises the partition's events.
package ledger
