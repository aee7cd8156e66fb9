package group

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Committed is what the group has committed for one partition.
type Committed struct {
	Offset      int64 // next to read; -1: the group has never committed this partition
	LeaderEpoch int32 // -1 unknown
	Metadata    string
}

// Committed reads the group's commits for partitions, with an entry for every one of them. Errors that may heal are tried again with backoff
// for as long as ctx allows; an error of the group or of one partition is an error of the whole, and never reads as "no commit". It works
// without a membership.
func (m *Member) Committed(ctx context.Context, partitions []int32) (map[int32]Committed, error) {
	if len(partitions) == 0 {
		return map[int32]Committed{}, nil
	}
	for failures := 1; ; failures++ {
		found, err := m.readCommitted(ctx, partitions)
		if err == nil {
			return found, nil
		}
		err = fmt.Errorf("read committed offsets of group %q: %w", m.cfg.GroupID, err)
		if ctx.Err() == nil && !heals(err) {
			return nil, err
		}
		if ctx.Err() == nil {
			m.complain(ctx, "committed offsets are not available, trying again", err)
			pause(ctx, m.cfg.backoff(failures))
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
	}
}

func (m *Member) readCommitted(ctx context.Context, partitions []int32) (map[int32]Committed, error) {
	if err := m.takeTurn(ctx); err != nil {
		return nil, err
	}
	defer m.releaseTurn()
	body, _, err := m.commits.call(ctx, m.cfg.patience(), protocol.OffsetFetch, offsetsVersion, encodeOffsets(m.cfg.GroupID, m.cfg.Topic, partitions))
	if err != nil {
		return nil, err
	}
	found, err := decodeOffsets(body, m.cfg.Topic)
	if errors.Is(err, kafka.GroupIdNotFound) {
		// The one refusal that says "no commit": there is no such group. Kafka itself answers with offsets of -1 then.
		found, err = make(map[int32]Committed, len(partitions)), nil
		for _, p := range partitions {
			found[p] = Committed{Offset: -1, LeaderEpoch: -1}
		}
	}
	if err != nil {
		m.commits.moved(codeOf(err))
		return nil, err
	}
	for _, p := range partitions {
		if _, ok := found[p]; !ok {
			return nil, fmt.Errorf("partition %d: %w", p, errNoAnswer)
		}
	}
	return found, nil
}
