// Package intake brings records in and commits out.
//
// It owns everything that talks to Kafka on the consuming side: group membership (package group), start positions, one reader per
// assigned partition (package fetch underneath) and the committer. What it reads goes to a Delivery, the stage that orders, invokes
// and settles; what that stage has settled comes back as commits.
//
// One reader, and so one connection, per partition: a partition that waits for room, for its leader or for a stuck broker
// delays no other, and a record is seen as soon as the broker has it, without waiting for another partition's long poll.
package intake

import (
	"context"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake/group"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/ledger"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// ErrLost is the cause with which the context of a Drain ends when the partitions are gone already.
var ErrLost = group.ErrLost

// Delivery is the stage that the intake feeds. All methods may be called at once from several goroutines, but for one
// partition the calls from Open to Close follow one another, and Admit, Advance and Fetched come from that partition's reader alone.
type Delivery interface {
	// Open says that a partition is ours and is read from start on. A partition that is open already begins anew:
	// what it held is dropped, its attempts are cancelled (its log was truncated or replaced).
	Open(p Partition)
	// Reserve blocks until the partition may take in more, and a record of the least size, and returns how many bytes a fetch may bring: of the most
	// wanted at least 1. It returns an error only when ctx is done or the partition closed.
	Reserve(ctx context.Context, partition int32, least, most int64) (int64, error)
	// Release gives back what is left of the partition's reservation.
	Release(partition int32)
	// Room blocks until a record of the given size can be admitted, and reserves the room for it. While it blocks the partition has nothing reserved.
	Room(ctx context.Context, partition int32, size int64) error
	// Admit takes a record in. Offsets ascend. It blocks while there is no room for it.
	Admit(ctx context.Context, rec *record.Record) error
	// Advance says that every offset below next has been admitted or holds no record for us. epoch is the leader epoch of the batch
	// that ends there, -1 when it is unknown.
	Advance(partition int32, next int64, epoch int32)
	// Fetched reports the ends of the log as of now.
	Fetched(partition int32, ends Ends)
	// Ends reports the ends of a log that is not being fetched; Start and Position are not set.
	Ends(partition int32, ends Ends)
	// Stale lists open partitions whose ends have not been reported for the given time.
	Stale(age time.Duration) []int32
	// Unsettled counts the records that were admitted and are not settled, from an offset on.
	Unsettled(partition int32, from int64) int64
	// Lost counts records that retention, or an election that rewrote the log, took before they were settled.
	Lost(partition int32, records int64)
	// Drain starts nothing new for the partitions, drops what only waits, and returns when their running attempts have ended;
	// when ctx is done first they are cancelled.
	Drain(ctx context.Context, partitions []int32)
	// Close forgets the partitions and cancels what still runs.
	Close(partitions []int32)
	// Commits returns what there is to commit for the given partitions (nil: for all), only what changed.
	Commits(partitions []int32) []Commit
	// Committed tells the outcome of a commit.
	Committed(c Commit, err error)
	// CommitDue is signalled when enough has been settled for a commit before its time.
	CommitDue() <-chan struct{}
}

// Partition is where the reading of a partition begins.
type Partition struct {
	ID       int32
	Log      ledger.Identity
	Start    int64       // the committed offset
	Epoch    int32       // the leader epoch that was committed with it, -1 when it is unknown
	Read     int64       // the first offset to read, above Start where retention took what lies between
	Restored *ledger.Map // what the last commit says is settled beyond Start; nil when nothing
	Lost     int64       // records that retention took, at most
	End      End         // where reading ends
}

// Commit is one partition's commit on its way to the coordinator. Log tells to which opening of the partition it belongs.
type Commit struct {
	Partition int32
	Log       any
	ledger.Commit
}

// Ends are the ends of a partition's log.
type Ends struct {
	Start    int64 // log start offset
	Stable   int64 // last stable offset
	High     int64 // high watermark
	Position int64 // next offset to read
	Over     bool  // reading has ended: from Position to the partition's End the log holds nothing
}
