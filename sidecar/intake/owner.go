package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake/group"
)

// owner is the Intake as the group sees it: what follows from gaining and losing partitions.
type owner Intake

var _ group.Owner = (*owner)(nil)

// finalCommit is what the last commit of partitions that are let go may take, after their attempts have ended.
const finalCommit = 2 * time.Second

// lastCommit is the same within what the end of the process has for it: the other half is for leaving the group.
func (in *Intake) lastCommit() time.Duration {
	if in.cfg.StopRest > 0 {
		return min(finalCommit, in.cfg.StopRest/2)
	}
	return finalCommit
}

// Assigned looks up where the partitions stand and begins to read them. It returns at once.
func (o *owner) Assigned(ctx context.Context, partitions []int32) {
	in := (*Intake)(o)
	in.log.InfoContext(ctx, "partitions assigned", slog.Any("partitions", partitions))
	fresh := make(map[int32]*assignment, len(partitions))
	in.mu.Lock()
	for _, id := range partitions {
		a := &assignment{done: make(chan struct{})}
		// The assignment ends by Revoke or Lost alone: the group's context ends before the drain does.
		a.ctx, a.cancel = context.WithCancel(context.WithoutCancel(ctx))
		in.owned[id], fresh[id] = a, a
	}
	in.mu.Unlock()
	in.readers.Go(func() { in.open(fresh) })
}

// Revoke lets partitions go in order: no more reading, running attempts end, what they settled is committed.
func (o *owner) Revoke(ctx context.Context, partitions []int32) {
	in := (*Intake)(o)
	in.log.InfoContext(ctx, "letting partitions go", slog.Any("partitions", partitions))
	in.stopReading(partitions)
	in.delivery.Drain(ctx, partitions)
	if errors.Is(context.Cause(ctx), ErrLost) {
		in.delivery.Close(partitions)
		return
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), in.lastCommit())
	in.commitFinal(last, partitions)
	cancel()
	in.delivery.Close(partitions)
	in.log.InfoContext(ctx, "partitions let go", slog.Any("partitions", partitions))
}

// Lost drops partitions that may have another owner already: everything is cancelled and nothing committed.
func (o *owner) Lost(partitions []int32) {
	in := (*Intake)(o)
	in.log.Warn("partitions lost: running attempts are cancelled, nothing is committed", slog.Any("partitions", partitions))
	in.delivery.Close(partitions)
	in.stopReading(partitions)
	// A reader that was just opening a partition anew may have done so after the first Close.
	in.delivery.Close(partitions)
}

// stopReading ends the readers of the partitions and waits for them.
func (in *Intake) stopReading(partitions []int32) {
	for _, a := range in.take(partitions) {
		a.cancel()
		<-a.done
	}
}

// take removes the partitions from those that are ours.
func (in *Intake) take(partitions []int32) []*assignment {
	in.mu.Lock()
	defer in.mu.Unlock()
	var taken []*assignment
	for _, id := range partitions {
		if a := in.owned[id]; a != nil {
			a.cancel()
			taken = append(taken, a)
			delete(in.owned, id)
		}
	}
	return taken
}

// open resolves the positions of newly assigned partitions and starts their readers. It tries until it succeeds or the partitions are
// no longer ours: without its commit a partition has no position, and any guess would skip or repeat.
func (in *Intake) open(fresh map[int32]*assignment) {
	backoff := in.cfg.RetryBackoff
	for {
		for id, a := range fresh {
			if a.ctx.Err() != nil {
				close(a.done)
				delete(fresh, id)
			}
		}
		if len(fresh) == 0 {
			return
		}
		ctx, release := untilFirst(fresh)
		parts, high, err := in.positions(ctx, fresh)
		if err != nil && ctx.Err() == nil {
			in.log.WarnContext(ctx, "positions of assigned partitions are not known yet, trying again", slog.Any("err", err))
			wait(ctx, backoff)
			backoff = min(2*backoff, max(in.cfg.RetryBackoffMax, time.Second))
		}
		release()
		if err == nil {
			for _, p := range parts {
				in.read(p, high[p.ID], fresh[p.ID])
			}
			return
		}
	}
}

// untilFirst gives a context that ends with the first of the assignments: one that is taken away does not wait for the positions of those
// that were given together with it.
func untilFirst(fresh map[int32]*assignment) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	stops := make([]func() bool, 0, len(fresh))
	for _, a := range fresh {
		stops = append(stops, context.AfterFunc(a.ctx, cancel))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

// positions asks for commits and log ends and decides where each partition begins. high are their high watermarks.
func (in *Intake) positions(ctx context.Context, fresh map[int32]*assignment) (parts []Partition, high map[int32]int64, err error) {
	ids := make([]int32, 0, len(fresh))
	ask := make(map[int32]int64, len(fresh))
	ask2 := make(map[int32]int64, len(fresh))
	for id := range fresh {
		ids = append(ids, id)
		ask[id], ask2[id] = earliest, latest
	}
	// The topic first: a commit is judged by the id of the topic that is there now.
	if err := in.topic.refresh(ctx, time.Now()); err != nil {
		return nil, nil, err
	}
	topic := in.topic.current()
	committed, err := in.member.Committed(ctx, ids)
	if err != nil {
		return nil, nil, fmt.Errorf("read committed offsets: %w", err)
	}
	starts, err := in.cfg.Cluster.ListOffsets(ctx, topic, ask, false)
	if err != nil {
		return nil, nil, err
	}
	ends, err := in.cfg.Cluster.ListOffsets(ctx, topic, ask2, false)
	if err != nil {
		return nil, nil, err
	}
	high = make(map[int32]int64, len(ids))
	for _, id := range ids {
		c, ok := committed[id]
		if !ok {
			return nil, nil, fmt.Errorf("read committed offsets: no answer for partition %d", id)
		}
		start, end := starts[id], ends[id]
		if start.Err != nil || end.Err != nil {
			return nil, nil, fmt.Errorf("list offsets of partition %d: %w", id, firstError(start.Err, end.Err))
		}
		parts = append(parts, in.position(ctx, id, topic, c, start.Offset, end.Offset))
		high[id] = end.Offset
	}
	return parts, high, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// read opens a partition and starts its reader, unless it was taken away meanwhile.
func (in *Intake) read(p Partition, high int64, a *assignment) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if a.ctx.Err() != nil {
		close(a.done)
		return
	}
	in.delivery.Open(p)
	in.delivery.Ends(p.ID, Ends{Stable: -1, High: high}) // the first fetch may be long in coming, and its lag is there already
	if p.Lost > 0 {
		in.delivery.Lost(p.ID, p.Lost)
		in.delivery.Advance(p.ID, p.Read, -1)
	}
	in.log.Info("partition opened", slog.Int("partition", int(p.ID)), slog.Int64("offset", p.Read), slog.Bool("map", p.Restored != nil))
	if in.cfg.Paused {
		close(a.done)
		return
	}
	r := &reader{in: in, part: p, log: in.log.With(slog.Int("partition", int(p.ID)))}
	in.readers.Go(func() {
		defer close(a.done)
		r.run(a.ctx)
	})
}
