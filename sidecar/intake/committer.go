package intake

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake/group"
)

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
		if err := in.commit(ctx, nil); err != nil && ctx.Err() == nil {
			in.commitTrouble(ctx, err)
			// A coordinator that refuses is not asked again at the rate at which records are settled.
			wait(ctx, in.cfg.RetryBackoff)
		}
	}
}

// commit makes one attempt to commit what changed in the given partitions (nil: all). It returns the first error.
func (in *Intake) commit(ctx context.Context, partitions []int32) error {
	commits := in.delivery.Commits(partitions)
	if len(commits) == 0 {
		return nil
	}
	offsets := make([]group.Offset, len(commits))
	for i, c := range commits {
		offsets[i] = group.Offset{Partition: c.Partition, Offset: c.Offset, LeaderEpoch: c.LeaderEpoch, Metadata: c.Metadata}
	}
	results, err := in.member.Commit(ctx, offsets)
	var first error
	for _, c := range commits {
		cause, answered := results[c.Partition]
		if !answered {
			cause = err
			if cause == nil {
				cause = group.ErrNotOwned
			}
		}
		in.delivery.Committed(c, cause)
		if cause != nil && first == nil && !errors.Is(cause, group.ErrNotOwned) {
			first = cause
		}
	}
	if first == nil {
		in.brokerSeen()
	}
	return first
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
