package intake

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake/fetch"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/ledger"
)

// EndAt says where a run ends that is to end by itself. The zero value is never.
type EndAt struct {
	Latest bool
	Time   time.Time // not zero: before the first record at or after it
}

// IsSet says whether the run ends by itself.
func (e EndAt) IsSet() bool { return e.Latest || !e.Time.IsZero() }

// String names the end for logs.
func (e EndAt) String() string {
	switch {
	case !e.Time.IsZero():
		return e.Time.UTC().Format(time.RFC3339)
	case e.Latest:
		return "latest"
	}
	return "never"
}

// End is where the reading of one partition ends: nothing at or past Offset is delivered. The zero value has no end.
type End struct {
	Set    bool
	Offset int64
}

// Reached says that nothing before the end is left to read from a position on.
func (e End) Reached(position int64) bool { return e.Set && position >= e.Offset }

// limit takes a log start back to the end, where it lies past it, but not below the position.
func (e End) limit(start, position int64) int64 {
	if e.Set {
		return min(start, max(e.Offset, position))
	}
	return start
}

// cut takes the end back to where a log ends now that an unclean election has made it shorter. unread is how many offsets before the end are gone without
// having been read.
func (e End) cut(logEnd, position int64) (cut End, unread int64) {
	if !e.Set || e.Reached(logEnd) {
		return e, 0
	}
	return End{Set: true, Offset: logEnd}, max(0, e.Offset-max(logEnd, position))
}

// fixedEnds is where the reading of each partition ends, as found at the start.
type fixedEnds struct {
	topicID [16]byte
	offsets map[int32]int64
}

// ResolveEnds turns an EndAt into offsets, one for every partition of the topic.
//
// Latest under read_committed is the last stable offset: what an open transaction holds back, and may hold back for ever, is not waited for. Before
// a time every record counts, those of open transactions too, and where none is at or after it the log ends at its high watermark; so the time is
// looked up among all records, and the end does not move with the transactions.
func ResolveEnds(ctx context.Context, c *cluster.Cluster, topic cluster.Topic, at EndAt, readCommitted bool) (map[int32]int64, error) {
	found, err := listAll(ctx, c, topic, latest, readCommitted && at.Latest)
	if err != nil {
		return nil, err
	}
	ends := make(map[int32]int64, len(found))
	for id, o := range found {
		ends[id] = o.Offset
	}
	if at.Latest {
		return ends, nil
	}
	first, err := listAll(ctx, c, topic, at.Time.UnixMilli(), false)
	if err != nil {
		return nil, err
	}
	for id, o := range first {
		if o.Offset >= 0 {
			ends[id] = min(ends[id], o.Offset)
		}
	}
	return ends, nil
}

// fixEnds finds the ends of all partitions, once: those that others own now may be ours later, and end at the same place.
func (in *Intake) fixEnds(ctx context.Context) error {
	if !in.cfg.EndAt.IsSet() || in.fixed != nil {
		return nil
	}
	topic := in.topic.current()
	ends, err := ResolveEnds(ctx, in.cfg.Cluster, topic, in.cfg.EndAt, in.cfg.ReadCommitted)
	if err != nil {
		return fmt.Errorf("find the offsets of END_AT: %w", err)
	}
	in.fixed = &fixedEnds{topicID: topic.ID, offsets: ends}
	in.log.InfoContext(ctx, "this run ends by itself: nothing at or past these offsets is delivered", slog.String("end_at", in.cfg.EndAt.String()), slog.Any("ends", ends))
	return nil
}

// end is where a partition ends. One that came later, or belongs to a topic that was made anew, holds nothing from before the end.
func (in *Intake) end(topic cluster.Topic, partition int32) End {
	f := in.fixed
	switch {
	case f == nil:
		return End{}
	case !cluster.SameTopic(f.topicID, topic.ID):
		return End{Set: true}
	}
	return End{Set: true, Offset: f.offsets[partition]}
}

// Assigned lists the partitions that this replica owns; false while it is no member of the group.
func (in *Intake) Assigned() ([]int32, bool) {
	if !in.member.Joined() {
		return nil, false
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	ids := make([]int32, 0, len(in.owned))
	for id := range in.owned {
		ids = append(ids, id)
	}
	return ids, true
}

// EndReached says whether the group's commits show every partition at its end: how a replica that owns none learns that there is nothing to wait for.
func (in *Intake) EndReached(ctx context.Context) (bool, error) {
	topic := in.topic.current()
	committed, err := in.member.Committed(ctx, partitionIDs(topic))
	if err != nil {
		return false, fmt.Errorf("read the committed offsets of group %q: %w", in.cfg.GroupID, err)
	}
	for id, c := range committed {
		end := in.end(topic, id)
		if end.Offset == 0 {
			continue
		}
		m, err := ledger.ParseMetadata(c.Metadata)
		foreign := err == nil && !cluster.SameTopic(m.TopicID(), topic.ID)
		if foreign || !end.Reached(c.Offset) {
			return false, nil
		}
	}
	return true, nil
}

// bareAnswers is how many answers in a row without a record show that there is none before the end. One is enough by Kafka's own rules; several in a row
// are no quirk of a moment.
const bareAnswers = 3

// weigh counts the answers that bring nothing although nothing more can come before the end. Either the log goes on past it: compaction can leave such a
// tail, when all that was there is gone and nothing came after it by which the position could move on. Or the log stops short of it: it was truncated
// since the end was fixed.
func (r *reader) weigh(ctx context.Context, res fetch.Response) error {
	end, readable := r.part.End, res.HighWatermark
	if r.in.cfg.ReadCommitted {
		readable = res.LastStable
	}
	short := end.Set && !end.Reached(res.HighWatermark) && r.next >= res.HighWatermark
	switch {
	case len(res.Records) > 0 || !end.Reached(readable) && !short:
		r.bare = 0
	case res.Throttle > 0: // an answer that was throttled brings nothing either
	case short && r.bare+1 == bareAnswers:
		return r.stopsShort(ctx)
	default:
		r.bare++
	}
	return nil
}

// stopsShort asks the leader whether the log stops short of the end, as it seems to. The high watermark of a fetch does not tell: that of a new leader,
// and that of a follower, may lag behind. Who asks for the end of the log gets no answer until the leader is sure of it (KIP-207).
func (r *reader) stopsShort(ctx context.Context) error {
	r.bare = 0
	_, high, err := r.in.ends(ctx, r.part.ID)
	if err != nil || high != r.next {
		return err
	}
	_, unread := r.part.End.cut(high, r.next)
	r.log.ErrorContext(ctx, "log was truncated below the end of this run, which ends where the log ends: records before the end are gone",
		slog.Int64("records_lost", unread), slog.Int64("log_end", high), slog.Int64("end", r.part.End.Offset))
	r.in.delivery.Lost(r.part.ID, unread)
	r.bare = bareAnswers
	return nil
}

// over says that the log holds nothing between the position and the end. The position stays where it is: should it be wrong, no record is passed.
func (r *reader) over() bool { return r.part.End.Set && r.bare >= bareAnswers }

// ended says that there is nothing left to read.
func (r *reader) ended() bool { return r.part.End.Reached(r.next) || r.over() }
