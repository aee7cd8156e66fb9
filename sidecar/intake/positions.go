package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake/group"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/ledger"
)

// StartAt says where a group that has never committed begins.
type StartAt struct {
	Latest bool
	Time   time.Time // not zero: the first record at or after it
	Refuse bool      // auto.offset.reset=error: a group without commits ends the start
}

// Timestamps of a ListOffsets request that are not times.
const (
	latest   = -1
	earliest = -2
)

// establish gives a group that has no commit its start positions, before the first join.
//
// All partitions are resolved and committed together, without a generation, and nothing is delivered before that commit stands:
// were each replica to resolve "latest" when it first reads a partition, records produced between two resolutions would be skipped
// for good. The broker refuses such a commit with UNKNOWN_MEMBER_ID once the group has members: then another replica was first.
func (in *Intake) establish(ctx context.Context) error {
	topic := in.topic.current()
	if has, err := in.HasCommits(ctx, topic); err != nil || has {
		return err
	}
	if in.cfg.StartAt.Refuse {
		return in.RefuseStart()
	}
	starts, existing, err := resolveStart(ctx, in.cfg.Cluster, topic, in.cfg.StartAt, in.cfg.ReadCommitted)
	if err != nil {
		return err
	}
	commits := make([]group.Offset, 0, len(starts))
	for id, start := range starts {
		l := ledger.New(in.identity(topic, id), start.Offset, nil)
		c, _ := l.Commit(ledger.MaxMetadata)
		commits = append(commits, group.Offset{Partition: id, Offset: c.Offset, LeaderEpoch: -1, Metadata: c.Metadata})
	}
	switch err := in.commitStart(ctx, commits); {
	case errors.Is(err, kafka.UnknownMemberId):
		return in.leaveStart(ctx, topic)
	case err != nil:
		return fmt.Errorf("commit the start positions of group %q: %w", in.cfg.GroupID, err)
	default:
		level := slog.LevelInfo
		if existing > 0 {
			level = slog.LevelWarn // wanted for a new group, a loss for one whose offsets have expired: they look alike
		}
		in.log.Log(ctx, level, "new group: start positions committed",
			slog.String("start_at", in.cfg.StartAt.String()), slog.Int64("existing_records_not_read", existing), slog.Int("partitions", len(commits)))
	}
	return nil
}

// RefuseStart is the error of a group without commits that is told to begin nowhere.
func (in *Intake) RefuseStart() error {
	return fmt.Errorf("start group %q: it has no committed offset and auto.offset.reset is \"error\" (commit offsets for it, or set START_AT in its place): %w", in.cfg.GroupID, errFinal)
}

// leaveStart is for a group that has members already: one of them has set the start positions, unless they read something else.
func (in *Intake) leaveStart(ctx context.Context, topic cluster.Topic) error {
	has, err := in.HasCommits(ctx, topic)
	switch {
	case err != nil:
		return err
	case has:
		in.log.InfoContext(ctx, "another replica has set the start positions of the group")
	default:
		in.log.WarnContext(ctx, "the group has members that read something else, so no start positions can be set: this topic will be read from its log start (give each subscription a group.id of its own, or stop the others first)",
			slog.String("start_at", in.cfg.StartAt.String()))
	}
	return nil
}

// HasCommits says whether the group has a position in any partition of the topic.
func (in *Intake) HasCommits(ctx context.Context, topic cluster.Topic) (bool, error) {
	committed, err := in.member.Committed(ctx, partitionIDs(topic))
	if err != nil {
		return false, fmt.Errorf("read the committed offsets of group %q: %w", in.cfg.GroupID, err)
	}
	for _, c := range committed {
		if c.Offset >= 0 {
			return true, nil
		}
	}
	return false, nil
}

// String names the position for logs.
func (s StartAt) String() string {
	switch {
	case s.Refuse:
		return "error"
	case !s.Time.IsZero():
		return s.Time.UTC().Format(time.RFC3339)
	case s.Latest:
		return "latest"
	}
	return "earliest"
}

// resolveStart turns a StartAt into offsets, and says how many existing records lie before them.
// The end is read before the time is looked up: a record appended in between is then after both.
func resolveStart(ctx context.Context, c *cluster.Cluster, topic cluster.Topic, at StartAt, readCommitted bool) (map[int32]cluster.ListedOffset, int64, error) {
	begin, err := listAll(ctx, c, topic, earliest, readCommitted)
	if err != nil {
		return nil, 0, err
	}
	if !at.Latest && at.Time.IsZero() {
		return begin, 0, nil
	}
	start, err := listAll(ctx, c, topic, latest, readCommitted)
	if err != nil {
		return nil, 0, err
	}
	if !at.Time.IsZero() {
		found, err := listAll(ctx, c, topic, at.Time.UnixMilli(), readCommitted)
		if err != nil {
			return nil, 0, err
		}
		for id, f := range found {
			if f.Offset >= 0 && f.Offset < start[id].Offset {
				start[id] = f
			}
		}
	}
	var existing int64
	for id, s := range start {
		existing += max(0, s.Offset-begin[id].Offset)
	}
	return start, existing, nil
}

// Unread says how many existing records a group without commits would not read, for the check command.
func Unread(ctx context.Context, c *cluster.Cluster, topic cluster.Topic, at StartAt, readCommitted bool) (int64, error) {
	_, existing, err := resolveStart(ctx, c, topic, at, readCommitted)
	return existing, err
}

// listAll resolves one timestamp for every partition; an error of one partition is an error of all.
func listAll(ctx context.Context, c *cluster.Cluster, topic cluster.Topic, timestamp int64, readCommitted bool) (map[int32]cluster.ListedOffset, error) {
	ask := make(map[int32]int64, len(topic.Partitions))
	for i := range topic.Partitions {
		ask[topic.Partitions[i].ID] = timestamp
	}
	got, err := c.ListOffsets(ctx, topic, ask, readCommitted)
	if err != nil {
		return nil, fmt.Errorf("list offsets of topic %q: %w", topic.Name, err)
	}
	for id := range ask {
		o, ok := got[id]
		if !ok {
			return nil, fmt.Errorf("list offsets of topic %q: no answer for partition %d", topic.Name, id)
		}
		if o.Err != nil {
			return nil, fmt.Errorf("list offsets of topic %q partition %d: %w", topic.Name, id, o.Err)
		}
	}
	return got, nil
}

// position decides where the reading of one assigned partition begins, from its commit and the ends of its log.
//
// It never answers with the end: a missing commit means that the partition came after the group's start, and a commit outside the
// log means that retention or a truncation passed it; in both cases what exists and is not settled begins at the log start.
func (in *Intake) position(ctx context.Context, id int32, topic cluster.Topic, c group.Committed, start, end int64) Partition {
	until := in.end(topic, id)
	fromStart := Partition{ID: id, Log: in.identity(topic, id), Start: start, Epoch: -1, Read: start, End: until}
	log := in.log.With(slog.Int("partition", int(id)), slog.Int64("committed", c.Offset), slog.Int64("log_start", start), slog.Int64("log_end", end))
	if c.Offset < 0 {
		log.InfoContext(ctx, "partition has no commit: it is read from the log start")
		return fromStart
	}
	m, err := ledger.ParseMetadata(c.Metadata)
	switch {
	case err == nil && !cluster.SameTopic(m.TopicID(), topic.ID):
		log.ErrorContext(ctx, "topic was deleted and created again since the last commit: it is read from its start")
		return fromStart
	case c.Offset > end && c.LeaderEpoch < 0: // with the epoch the leader can tell from where on it differs
		log.ErrorContext(ctx, "commit lies beyond the end of the log, which was truncated: the partition is read from the log start")
		return fromStart
	case errors.Is(err, ledger.ErrDamaged):
		log.WarnContext(ctx, "commit metadata is damaged and ignored: records settled beyond the commit are delivered again")
	}
	// What lies past the end is not ours to count as lost, nor to pass: the next run does.
	start = until.limit(start, c.Offset)
	p := Partition{ID: id, Log: fromStart.Log, Start: c.Offset, Epoch: c.LeaderEpoch, Read: max(c.Offset, start), End: until}
	if err == nil && m.Matches(p.Log, c.Offset) {
		p.Restored = m
	}
	if c.Offset < start {
		log.ErrorContext(ctx, "records were deleted by retention before they were settled: reading goes on at the log start",
			slog.Int64("records_lost", start-c.Offset))
		p.Lost = start - c.Offset
	}
	return p
}
