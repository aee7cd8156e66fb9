package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
)

// Timestamps that ListOffsets takes beside milliseconds since 1970.
const (
	Latest   int64 = -1 // the next offset to be written; under read_committed the last stable offset
	Earliest int64 = -2 // the log start
)

// ListedOffset is the answer for one partition.
type ListedOffset struct {
	Offset      int64 // -1: nothing at or after the timestamp
	LeaderEpoch int32 // of the record at Offset; -1: none, or the broker is too old to say
	Timestamp   int64 // of that record, ms; -1: none, as for Latest and Earliest
	Err         error // Offset means nothing then
}

// ListOffsets finds, for each partition in timestamps, the first offset whose record has that timestamp or a later one. Each leader is asked
// once, all of them at the same time, over connections of their own. What goes wrong with a leader or a partition is in the results of the
// partitions that it concerns: each partition that was asked for has one. The error is for a ctx that ended.
func (c *Cluster) ListOffsets(ctx context.Context, t Topic, timestamps map[int32]int64, readCommitted bool) (map[int32]ListedOffset, error) {
	results := make(map[int32]ListedOffset, len(timestamps))
	fail := func(p int32, err error) {
		results[p] = ListedOffset{Offset: -1, LeaderEpoch: -1, Timestamp: -1, Err: err}
	}
	for p := range timestamps {
		fail(p, kafka.UnknownTopicOrPartition)
	}
	leaders := make(map[string][]listoffsets.RequestPartition)
	for _, p := range t.Partitions {
		timestamp, asked := timestamps[p.ID]
		switch {
		case !asked:
		case p.Leader == "":
			fail(p.ID, cmp.Or[error](p.Err, kafka.LeaderNotAvailable))
		default:
			fail(p.ID, fmt.Errorf("%w: the partition is missing in the answer", ErrMalformed))
			leaders[p.Leader] = append(leaders[p.Leader], listoffsets.RequestPartition{Partition: p.ID, CurrentLeaderEpoch: p.LeaderEpoch, Timestamp: timestamp})
		}
	}
	var mu sync.Mutex // guards results
	var all sync.WaitGroup
	for addr, partitions := range leaders {
		all.Go(func() {
			found, err := c.listFrom(ctx, addr, t.Name, partitions, readCommitted)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				for _, p := range partitions {
					fail(p.Partition, fmt.Errorf("list offsets of %s: %w", t.Name, err))
				}
			}
			for _, p := range found {
				if slices.ContainsFunc(partitions, func(q listoffsets.RequestPartition) bool { return q.Partition == p.Partition }) {
					results[p.Partition] = listed(p)
				}
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return results, nil
}

func listed(p listoffsets.ResponsePartition) ListedOffset {
	if p.ErrorCode != 0 {
		return ListedOffset{Offset: -1, LeaderEpoch: -1, Timestamp: -1, Err: kafka.Error(p.ErrorCode)}
	}
	return ListedOffset{Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Timestamp: p.Timestamp}
}

// listFrom asks one leader for its partitions in one request.
func (c *Cluster) listFrom(ctx context.Context, addr, topic string, partitions []listoffsets.RequestPartition, readCommitted bool) ([]listoffsets.ResponsePartition, error) {
	conn, err := c.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	version, err := conn.version(protocol.ListOffsets)
	if err != nil {
		return nil, err
	}
	request := &listoffsets.Request{ReplicaID: -1, Topics: []listoffsets.RequestTopic{{Topic: topic, Partitions: partitions}}}
	if readCommitted {
		if version < 2 {
			return nil, fmt.Errorf("%s offers ListOffsets up to v%d, v2 is needed for read_committed: %w", addr, version, kafka.UnsupportedVersion)
		}
		request.IsolationLevel = 1
	}
	msg, err := conn.Do(ctx, 0, request)
	if err != nil {
		return nil, err
	}
	var found []listoffsets.ResponsePartition
	for _, t := range msg.(*listoffsets.Response).Topics {
		if t.Topic == topic {
			found = append(found, t.Partitions...)
		}
	}
	if version < 4 { // before it the field is not on the wire
		for i := range found {
			found[i].LeaderEpoch = -1
		}
	}
	return found, nil
}
