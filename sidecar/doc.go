// Package sidecar is the engine: one Kafka topic to one handler, in key order, losing nothing.
//
// Data moves one way through rooms of their own:
//
//	intake ──> lanes ──> invoke ──> settle ──> ledger ──> commit
//
// Package intake reads records of the partitions that the group has assigned to this process and hands them to the flow (admit.go), which
// puts each into its lane and its partition's ledger. Workers (worker.go) take attempts out of the lanes and make them
// through package invoke. What an outcome means for the record is decided in settle.go: it is settled, waits for another attempt, or
// has failed and goes where ON_FAILURE says. A settled record leaves its lane and is marked in the ledger; the committer, in
// package intake again, commits the ledger's first unsettled offset together with a map of what is settled beyond it.
//
// An offset is committed only when everything below it is settled. Nothing else moves a commit.
//
// The engine stops when its context ends: no more records are taken in, running attempts end, what they settled is committed, the
// group is left. It ends by itself when ON_FAILURE=stop meets a failed record, or when start-up cannot succeed. An outage of Kafka or
// of the handler never ends it.
package sidecar
