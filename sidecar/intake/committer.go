package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake/group"
)

// commitTurn bounds one turn of the commit loop, whatever the coordinator does: liveness watches that it turns.
const commitTurn = 30 * time.Second

// commitLoop commits what has been settled: every interval, and before that when enough has come together.
func (in *Intake) commitLoop(ctx context.Context) {
	tick := time.NewTicker(in.cfg.CommitInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-in.delivery.CommitDue():
		}
		in.beat.Store(time.Now().UnixNano())
		turn, cancel := context.WithTimeout(ctx, commitTurn)
		err := in.commit(turn, nil)
		cancel()
		if err != nil && ctx.Err() == nil {
			in.commitTrouble(ctx, err)
			// A coordinator that refuses is not asked again at the rate at which records are settled.
			wait(ctx, in.cfg.RetryBackoff)
		}
	}
}

// commitStart commits start positions before the first join. They matter more than the name of the log, for which there may be no room
// (offset.metadata.max.bytes): without it a recreated topic is not noticed by the next start, without a position there is no start at all.
func (in *Intake) commitStart(ctx context.Context, starts []group.Offset) error {
	err := in.member.CommitInitial(ctx, starts)
	if !errors.Is(err, kafka.OffsetMetadataTooLarge) {
		return err
	}
	for i := range starts {
		starts[i].Metadata = ""
	}
	return in.member.CommitInitial(ctx, starts)
}

// commit makes one attempt to commit what changed in the given partitions (nil: all), and further ones at once where only the metadata was too much: the
// delivery gives less of it each time. It returns the first error.
//
// There is one at a time, from the asking on: a commit that was made before another and sent after it would take the group's position back.
func (in *Intake) commit(ctx context.Context, partitions []int32) error {
	select {
	case in.committing <- struct{}{}:
		defer func() { <-in.committing }()
	case <-ctx.Done():
		return fmt.Errorf("wait for the commit before: %w", context.Cause(ctx))
	}
	var err error
	for tooMuch, tries := true, 0; tooMuch && tries < halvings && ctx.Err() == nil; tries++ {
		tooMuch, err = in.commitOnce(ctx, partitions)
	}
	return err
}

// halvings is after how many refusals at the latest nothing is left of the longest metadata.
const halvings = 13

// commitOnce sends what there is to commit. tooMuch says that metadata was refused for its length and less of it may be taken.
func (in *Intake) commitOnce(ctx context.Context, partitions []int32) (tooMuch bool, first error) {
	commits := in.delivery.Commits(partitions)
	if len(commits) == 0 {
		return false, nil
	}
	offsets := make([]group.Offset, len(commits))
	for i, c := range commits {
		offsets[i] = group.Offset{Partition: c.Partition, Offset: c.Offset, LeaderEpoch: c.LeaderEpoch, Metadata: c.Metadata}
	}
	results, err := in.member.Commit(ctx, offsets)
	for _, c := range commits {
		cause, answered := results[c.Partition]
		if !answered {
			cause = err
			if cause == nil {
				cause = group.ErrNotOwned
			}
		}
		in.delivery.Committed(c, cause)
		tooMuch = tooMuch || errors.Is(cause, kafka.OffsetMetadataTooLarge) && c.Metadata != ""
		switch {
		case cause == nil:
			in.brokerSeen()
		case first == nil && !errors.Is(cause, group.ErrNotOwned):
			first = cause
		}
	}
	return tooMuch, first
}

// commitFinal commits the last state of partitions that are being let go, until it is acknowledged or ctx is done.
func (in *Intake) commitFinal(ctx context.Context, partitions []int32) {
	for {
		err := in.commit(ctx, partitions)
		if err == nil {
			return
		}
		in.commitTrouble(ctx, err)
		if wait(ctx, in.cfg.RetryBackoff); ctx.Err() != nil {
			in.log.WarnContext(ctx, "final commit was not acknowledged: what was settled since the last one is delivered again", slog.Any("err", err))
			return
		}
	}
}

// commitTrouble logs a failing commit: at once for what only a human can mend, sparsely otherwise.
func (in *Intake) commitTrouble(ctx context.Context, err error) {
	level := slog.LevelDebug
	if now := time.Now().UnixNano(); now-in.commitWarned.Load() > int64(10*time.Second) {
		in.commitWarned.Store(now)
		level = slog.LevelWarn
		if errors.Is(err, kafka.GroupAuthorizationFailed) || errors.Is(err, kafka.TopicAuthorizationFailed) {
			level = slog.LevelError
		}
	}
	in.log.Log(ctx, level, "commit failed, trying again", slog.Any("err", err))
}
