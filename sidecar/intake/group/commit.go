package group

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Offset is one partition's commit: the next offset to read, the epoch of the record before it (-1 unknown) and our own text.
type Offset struct {
	Partition   int32
	Offset      int64
	LeaderEpoch int32
	Metadata    string
}

// maxCommitMetadata bounds the metadata of one request. The broker writes a request as one record batch: 256 partitions with 4,096 bytes each
// were refused as a whole with code -1, 250 were not.
const maxCommitMetadata = 256 << 10

// Commit commits offsets of partitions that are ours now, those that are being revoked included, under our present generation. It makes one
// attempt, except that a coordinator that has moved is looked up and asked once more.
//
// The map has an entry for every offset: nil when it was acknowledged, [ErrNotOwned] when the partition is not ours or was lost before the
// answer came, else the broker's code as a kafka.Error or why there was no answer. The error is that of the request that had no answer, if
// any. REBALANCE_IN_PROGRESS (27) and ILLEGAL_GENERATION (22) are passing states of a rebalance; the caller commits again.
//
// Brokers do not know who owns a partition: a member's commit for another member's partition is accepted. So ownership is looked up together
// with the generation, under one lock, at the time of the request, and once more when it is answered; and there is one commit at a time.
// An offset belongs to the tenure in which Commit was called: a partition that was lost and given to us anew while a request waited for the
// one before it may have been another's in between, whose later commit must stand.
func (m *Member) Commit(ctx context.Context, offsets []Offset) (map[int32]error, error) {
	results := make(map[int32]error, len(offsets))
	held := m.tenures(offsets)
	if err := m.takeTurn(ctx); err != nil {
		fail(results, offsets, err)
		return results, err
	}
	defer m.releaseTurn()
	var failed error
	for rest := offsets; len(rest) > 0; {
		var part []Offset
		part, rest = split(rest)
		if err := m.commitOwned(ctx, part, held, results); err != nil {
			failed = err
			if ctx.Err() != nil {
				fail(results, rest, err)
				break
			}
		}
	}
	return results, failed
}

func fail(results map[int32]error, offsets []Offset, err error) {
	for _, o := range offsets {
		results[o.Partition] = err
	}
}

func (m *Member) takeTurn(ctx context.Context) error {
	select {
	case m.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the commit before: %w", context.Cause(ctx))
	}
}

func (m *Member) releaseTurn() {
	if m.ended.Load() {
		m.commits.close()
	}
	<-m.turn
}

// split cuts off as many offsets as one request may carry, at least one.
func split(offsets []Offset) (part, rest []Offset) {
	size := 0
	for i, o := range offsets {
		if size += len(o.Metadata); size > maxCommitMetadata && i > 0 {
			return offsets[:i], offsets[i:]
		}
	}
	return offsets, nil
}

// commitOwned makes one request, twice when the first met the wrong broker.
func (m *Member) commitOwned(ctx context.Context, offsets []Offset, held map[int32]uint64, results map[int32]error) (err error) {
	for range 2 {
		id, mine, while := m.ours(offsets, held, results)
		if len(mine) == 0 {
			return nil
		}
		var codes map[int32]int16
		var moved bool
		codes, moved, err = m.sendWhile(ctx, while, id, mine)
		m.settleCommit(mine, held, codes, err, results)
		if !moved {
			m.reportRefusal(id, codes)
			return err
		}
	}
	return err
}

// tenures notes under which tenure each partition is ours; one that is not has none.
func (m *Member) tenures(offsets []Offset) map[int32]uint64 {
	held := make(map[int32]uint64, len(offsets))
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range offsets {
		if tenure, owned := m.parts.owned(o.Partition); owned {
			held[o.Partition] = tenure
		}
	}
	return held
}

// still says whether a partition is ours under a tenure of before. It is called with mu held.
func (m *Member) still(p int32, held map[int32]uint64) bool {
	before, had := held[p]
	tenure, owned := m.parts.owned(p)
	return had && owned && tenure == before
}

// ours picks what we own as we did when the commit was asked for, with the identity to commit it under and the context of the membership.
func (m *Member) ours(offsets []Offset, held map[int32]uint64, results map[int32]error) (id identity, mine []Offset, while context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range offsets {
		switch {
		case !m.still(o.Partition, held) || m.settled.generation < 0:
			results[o.Partition] = ErrNotOwned
		case len(o.Metadata) > math.MaxInt16: // the protocol has no way to say it
			results[o.Partition] = kafka.OffsetMetadataTooLarge
		default:
			mine = append(mine, o)
		}
	}
	return m.settled, mine, m.membership
}

// sendWhile is sendCommit that ends with the membership: a request without an answer is sent twice, and the second time must not come after
// the loss. Nor must what follows wait for an answer that is of no use any more.
func (m *Member) sendWhile(ctx, while context.Context, id identity, offsets []Offset) (codes map[int32]int16, moved bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(while, func() { cancel(ErrLost) })()
	return m.sendCommit(ctx, id, m.cfg.InstanceID, offsets)
}

// sendCommit sends one OffsetCommit. moved says that the broker, or all that is left of it, is not the coordinator.
func (m *Member) sendCommit(ctx context.Context, id identity, instanceID string, offsets []Offset) (codes map[int32]int16, moved bool, err error) {
	body, _, err := m.commits.call(ctx, m.cfg.patience(), protocol.OffsetCommit, commitVersion, encodeCommit(m.cfg.GroupID, instanceID, m.cfg.Topic, id, offsets))
	if err == nil {
		codes, err = decodeCommit(body, m.cfg.Topic)
	}
	if err != nil {
		return nil, false, fmt.Errorf("commit offsets: %w", err)
	}
	for _, code := range codes {
		moved = m.commits.moved(code) || moved
	}
	return codes, moved, nil
}

// settleCommit writes down what became of each offset. What was lost while the request was under way was not committed as far as the caller
// is concerned: the next owner may or may not see it.
func (m *Member) settleCommit(mine []Offset, held map[int32]uint64, codes map[int32]int16, err error, results map[int32]error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range mine {
		code, answered := codes[o.Partition]
		switch {
		case !m.still(o.Partition, held):
			results[o.Partition] = ErrNotOwned
		case err != nil:
			results[o.Partition] = err
		case !answered:
			results[o.Partition] = errNoAnswer
		default:
			results[o.Partition] = codeError(code)
		}
	}
}

var errNoAnswer = errors.New("the broker's answer lacks the partition")

// reportRefusal wakes the loop when the coordinator does not know us: no need to wait for a heartbeat to say the same.
func (m *Member) reportRefusal(id identity, codes map[int32]int16) {
	for _, code := range codes {
		if code == unknownMember || code == fencedInstance {
			select {
			case m.refused <- refusal{member: id.member, code: code}:
			default:
			}
			return
		}
	}
}

// CommitInitial commits offsets without being a member, which the broker accepts only while the group has no members: a compare-and-set for
// start positions, to be used before Run. kafka.UnknownMemberId (25) says that the group has members, so that one of them has set them. Any
// error means that not all offsets are known to stand.
func (m *Member) CommitInitial(ctx context.Context, offsets []Offset) error {
	if err := m.takeTurn(ctx); err != nil {
		return err
	}
	defer m.releaseTurn()
	for rest := offsets; len(rest) > 0; {
		var part []Offset
		part, rest = split(rest)
		codes, moved, err := m.sendCommit(ctx, nobodyYet, "", part)
		if moved {
			codes, _, err = m.sendCommit(ctx, nobodyYet, "", part)
		}
		if err != nil {
			return err
		}
		for _, o := range part {
			code, answered := codes[o.Partition]
			if !answered {
				return fmt.Errorf("commit offset of partition %d: %w", o.Partition, errNoAnswer)
			}
			if err := codeError(code); err != nil {
				return fmt.Errorf("commit offset of partition %d: %w", o.Partition, err)
			}
		}
	}
	return nil
}
