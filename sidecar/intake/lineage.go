package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake/fetch"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake/group"
)

// lineage is under which leader epochs the log was that a reader has read, ascending. Two logs of a partition that hold a record of the
// same epoch at the same offset are the same up to there, so this is all it takes to find out where a new leader's log differs (KIP-101).
type lineage []reign

// reign is one leader epoch, and where its records begin at the earliest: 0 where that is not known.
type reign struct {
	epoch int32
	start int64
}

// maxReigns is how many leader epochs are remembered. Of those before it is only known that they were.
const maxReigns = 64

// last is the epoch of the newest record read, -1 when none is known.
func (l lineage) last() int32 {
	if len(l) == 0 {
		return -1
	}
	return l[len(l)-1].epoch
}

// add notes that the log is under an epoch from an offset on.
func (l lineage) add(epoch int32, start int64) lineage {
	if epoch <= l.last() {
		return l
	}
	if len(l) == maxReigns {
		l = l[1:]
		l[0].start = 0
	}
	return append(l, reign{epoch, start})
}

// until is the lineage of what lies below an offset.
func (l lineage) until(offset int64) lineage {
	for len(l) > 0 && l[len(l)-1].start >= offset {
		l = l[:len(l)-1]
	}
	return l
}

// differs is the first offset below position at which what was read may not be what the leader has, who has told where the newest epoch
// that was read ends in its log. Where the start of an epoch is not known, all of the log may differ.
func (l lineage) differs(position int64, leader fetch.EpochEnd) (at int64, differs bool) {
	at = min(position, leader.Offset)
	for _, r := range l {
		if r.epoch > leader.Epoch {
			at = min(at, r.start)
			break
		}
	}
	return at, at < position
}

// verify makes sure that a new leader has what was read under the ones before. An unclean election (unclean.leader.election.enable) puts a
// replica in charge that lacks some of it; what it writes in its place has offsets that were passed already, and by offset alone would
// never be seen. The leader is asked once an epoch, before the first fetch: fetches name the epoch, and no other leader answers them.
// False says that the log differs and the partition was begun anew.
func (r *reader) verify(ctx context.Context, leaderEpoch int32) (same bool, err error) {
	if leaderEpoch < 0 || leaderEpoch == r.verified {
		return true, nil
	}
	at, differs := r.next, false
	if last := r.lineage.last(); last >= 0 && last != leaderEpoch {
		end, err := r.epochEnd(ctx, leaderEpoch, last)
		if err != nil {
			return false, err
		}
		at, differs = r.lineage.differs(r.next, end)
	}
	// The map of a commit goes beyond the position. A leader who lacks its epoch has, where its records are older, others than those it calls settled.
	if m := r.part.Restored; m != nil && !differs {
		if horizon, epoch := m.Reach(); horizon > r.next && epoch >= 0 && epoch != leaderEpoch {
			end, err := r.epochEnd(ctx, leaderEpoch, epoch)
			if err != nil {
				return false, err
			}
			differs = end.Epoch < epoch
		}
	}
	if differs {
		return false, r.rewritten(ctx, at)
	}
	r.verified = leaderEpoch
	return true, nil
}

// epochEnd asks the leader where an epoch ends in its log. A broker that cannot tell is taken to have all that was read.
func (r *reader) epochEnd(ctx context.Context, leaderEpoch, epoch int32) (fetch.EpochEnd, error) {
	end, err := fetch.AskEpochEnd(ctx, r.conn, r.in.cfg.SocketTimeout, r.in.cfg.Topic, r.part.ID, leaderEpoch, epoch)
	all := fetch.EpochEnd{Epoch: epoch, Offset: r.next}
	switch {
	case errors.Is(err, fetch.ErrNoEpochs):
		return all, nil
	case err != nil && (cluster.Retriable(err) || ctx.Err() != nil):
		r.disconnect()
		return all, err
	case err != nil:
		r.log.WarnContext(ctx, "leader does not tell whether it has all that was read: an unclean election is not noticed", slog.Any("err", err))
		return all, nil
	case end.Offset < 0 && epoch <= leaderEpoch: // a log that was written before Kafka kept epochs
		return all, nil
	}
	return end, nil // -1 where the epoch is younger than the leader's own: it is of another log
}

// rewritten begins the partition anew from what stands at the broker, as after an assignment, except that nothing from at on counts as settled.
// The group's position may go back by that.
func (r *reader) rewritten(ctx context.Context, at int64) error {
	id := r.part.ID
	lost := r.in.delivery.Unsettled(id, at)
	if err := r.in.commit(ctx, []int32{id}); err != nil { // what is settled below it is not repeated
		return fmt.Errorf("commit before reading the rewritten log: %w", err)
	}
	start, end, err := r.in.ends(ctx, id)
	if err != nil {
		return err
	}
	committed, err := r.in.member.Committed(ctx, []int32{id})
	if err != nil {
		return err
	}
	c, before := committed[id], r.lineage.until(at)
	at = max(at, start)
	if c.Offset >= at {
		c = group.Committed{Offset: at, LeaderEpoch: before.last()}
	}
	position := r.next
	p := r.in.position(ctx, id, r.in.topic.current(), c, start, end)
	var unread int64
	p.End, unread = p.End.cut(end, position) // the log may be shorter than it was
	lost += unread
	if p.Restored != nil {
		p.Restored = p.Restored.Until(at)
	}
	r.log.ErrorContext(ctx, "log was rewritten by an unclean leader election: what took the place of records that were read is delivered",
		slog.Int64("rewritten_from", at), slog.Int64("position", position), slog.Int64("read_from", p.Read), slog.Int64("records_lost", lost))
	r.reopen(p)
	if before = before.until(p.Read); len(before) > 0 && p.Read == p.Start {
		r.lineage = before // knows more than the commit says
	}
	if lost += p.Lost; lost > 0 {
		r.in.delivery.Lost(id, lost)
	}
	if p.Read > p.Start {
		r.in.delivery.Advance(id, p.Read, -1)
	}
	return nil
}
