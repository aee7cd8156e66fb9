package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake/fetch"
)

// reader reads one partition for as long as it is assigned. It is one goroutine with one connection; everything it waits for
// (room, the leader, the broker's answer) waits for this partition alone.
type reader struct {
	in   *Intake
	part Partition
	log  *slog.Logger

	lineage   lineage   // of what lies below next
	verified  int32     // the leader epoch whose leader has what was read, -1 before the first
	named     time.Time // when the leader named the preferred replica
	hold      *hold
	next      int64 // next offset to fetch
	least     int64 // size of the record there, as far as it is known: there must be room for it
	conn      *cluster.Conn
	space     cluster.Space // of hold
	preferred int32         // follower that the leader names for our rack (KIP-392), -1: the leader
	backoff   time.Duration
	bare      int       // answers in a row without a record, although nothing more can come before the end
	served    bool      // the connection has answered since the last trouble
	warned    time.Time // when the last trouble was logged, so that an outage is not a flood
}

// run reads until ctx is done, or up to the partition's end. Trouble is waited out: nothing that a broker answers ends a reader.
func (r *reader) run(ctx context.Context) {
	defer r.disconnect()
	r.hold = r.in.holds.join(ctx)
	defer r.hold.leave()
	r.space = r.hold.space
	r.begin(r.part)
	for ctx.Err() == nil && !r.ended() {
		err := r.fetch(ctx)
		if err == nil {
			r.backoff = 0
			continue
		}
		if ctx.Err() != nil {
			return
		}
		served := r.served
		r.served = false
		if err = r.recover(ctx, err); err == nil || ctx.Err() != nil {
			continue
		}
		r.trouble(ctx, err)
		if code := kafka.Error(0); served && !errors.As(err, &code) {
			continue // a connection that has worked was cut: the broker may be back already
		}
		r.pause(ctx, err)
	}
}

// trouble logs what keeps the partition from being read, at most every ten seconds.
func (r *reader) trouble(ctx context.Context, err error) {
	level := slog.LevelDebug
	if time.Since(r.warned) > 10*time.Second {
		r.warned, level = time.Now(), slog.LevelWarn
	}
	r.log.Log(ctx, level, "reading is held up, trying again", slog.Any("err", err))
}

// leaderCeiling bounds the wait after a broker's answer: who answers is there, and the leader that is missing comes any moment.
const leaderCeiling = time.Second

// pause waits with exponential backoff and jitter.
func (r *reader) pause(ctx context.Context, err error) {
	least, most := r.in.cfg.ReconnectBackoff, r.in.cfg.ReconnectBackoffMax
	if code := kafka.Error(0); errors.As(err, &code) {
		least, most = min(r.in.cfg.FetchErrorBackoff, leaderCeiling), leaderCeiling
	}
	r.backoff = min(max(2*r.backoff, least), max(most, least))
	wait(ctx, r.backoff/2+rand.N(r.backoff/2+1))
}

// fetch makes one request and admits what it brings.
func (r *reader) fetch(ctx context.Context) error {
	cfg := &r.in.cfg
	room, err := r.in.delivery.Reserve(ctx, r.part.ID, r.least, int64(cfg.PartitionMaxBytes))
	if err != nil {
		return err
	}
	defer r.in.delivery.Release(r.part.ID)
	epoch, err := r.connect(ctx)
	if err != nil {
		return err
	}
	if same, err := r.verify(ctx, epoch); err != nil || !same {
		return err
	}
	r.hold.begin(ctx)
	defer r.hold.release()
	res, err := fetch.Do(ctx, r.conn, cfg.FetchMaxWait+cfg.SocketTimeout, fetch.Request{
		Topic: cfg.Topic, TopicID: r.part.Log.TopicID, Partition: r.part.ID,
		Offset: r.next, LeaderEpoch: epoch,
		MaxWait: cfg.FetchMaxWait, MinBytes: cfg.FetchMinBytes,
		MaxBytes: cfg.FetchMaxBytes, PartitionMaxBytes: int32(min(room, int64(cfg.PartitionMaxBytes), r.in.holds.share())),
		ReadCommitted: cfg.ReadCommitted, Rack: cfg.Rack,
	}, r.space)
	if err != nil {
		r.disconnect()
		return fmt.Errorf("fetch: %w", err)
	}
	if res.Err != nil {
		return res.Err
	}
	r.in.brokerSeen()
	if near := res.PreferredReplica; near >= 0 && cfg.Rack != "" {
		// Such an answer brings no records. Without a way to the replica it would come again at once, for ever.
		if _, known := cfg.Cluster.BrokerAddr(near); !known || near == r.preferred {
			return fmt.Errorf("fetch from replica %d, which the leader names: %w", near, kafka.ReplicaNotAvailable)
		}
		r.preferred, r.named = near, time.Now()
		r.disconnect()
		return nil
	}
	r.served = true // after the naming of a replica, which may be one that nobody reaches
	if err := r.weigh(ctx, res); err != nil {
		return err
	}
	r.report(res)
	from := r.next
	switch err := r.admit(ctx, res); {
	case errors.Is(err, errLetGo):
		return nil
	case err != nil:
		return err
	}
	r.report(res)
	if len(res.Records) > 0 && r.next == from {
		return fmt.Errorf("fetch at offset %d: the answer holds nothing from there on", from)
	}
	r.hold.release()
	wait(ctx, res.Throttle) // a quota that the broker asks us to keep (KIP-219)
	return nil
}

func (r *reader) report(res fetch.Response) {
	r.in.delivery.Fetched(r.part.ID, Ends{Start: res.LogStart, Stable: res.LastStable, High: res.HighWatermark, Position: r.next, Over: r.over()})
}

// maxBatch is the most that one batch may decompress to. No producer's batch comes near it; what does is not data.
const maxBatch = 1 << 30

// errLetGo says that the answer was let go for others that asked for its memory. The rest of it is fetched again.
var errLetGo = errors.New("answer was let go")

// admit hands on the records of one response.
func (r *reader) admit(ctx context.Context, res fetch.Response) error {
	var cost time.Duration // what it took to get what is held
	if r.hold.answer != nil {
		cost = time.Since(r.hold.since)
	}
	var began time.Time
	d := fetch.NewDecoder(res.Records, fetch.Options{
		Partition: r.part.ID, From: r.next, Until: r.part.End.Offset, ReadCommitted: r.in.cfg.ReadCommitted, CheckCRC: r.in.cfg.CheckCRCs, Aborted: res.Aborted,
		MaxBatchBytes: maxBatch, Grow: func(n int64) bool {
			err := r.hold.take(ctx, n)
			began = time.Now()
			return err == nil
		},
	})
	defer d.Release()
	for {
		began = time.Now()
		info, ok, err := d.NextBatch()
		switch {
		case errors.Is(err, fetch.ErrNoRoom):
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("decode at offset %d: %w", r.next, err)
		case !ok:
			r.advance(d.Position(), d.Epoch())
			return nil
		}
		unpacking := time.Since(began)
		r.lineage = r.lineage.add(info.LeaderEpoch, r.next)
		for more := true; more; {
			if more, err = r.admitNext(ctx, d, cost+unpacking); err != nil {
				return err
			}
		}
		r.hold.give(d.Release())
		r.advance(d.Position(), d.Epoch())
	}
}

// admitNext hands on the next record of the open batch as soon as there is room for it; more is false at the batch's end.
func (r *reader) admitNext(ctx context.Context, d *fetch.Decoder, cost time.Duration) (more bool, err error) {
	size, ok := d.PeekSize()
	if !ok {
		return false, nil
	}
	r.least = size
	err = r.patiently(ctx, cost, func(ctx context.Context) error { return r.in.delivery.Room(ctx, r.part.ID, size) })
	if err != nil {
		return false, err
	}
	rec, ok, err := d.Next()
	if err != nil {
		return false, fmt.Errorf("decode at offset %d: %w", r.next, err)
	}
	if !ok {
		return false, nil
	}
	// There may be no room any more, or none for this record's key.
	err = r.patiently(ctx, cost, func(ctx context.Context) error { return r.in.delivery.Admit(ctx, rec) })
	if err != nil {
		return false, err
	}
	r.next, r.least = rec.Offset+1, 0
	return true, nil
}

// leastPatience lets a reader keep its answer while room comes bit by bit, as it does with a handler that has more to do than it can: a batch would
// be fetched dozens of times. What comes more slowly is not worth much traffic.
const leastPatience = 50 * time.Millisecond

// patiently waits with what is held until others ask for it, and then for as long again as it took to get: to let go at once would get it anew for
// every record where records are large and room comes one by one, and to wait longer costs the others more than it saves.
func (r *reader) patiently(ctx context.Context, cost time.Duration, wait func(context.Context) error) error {
	err := wait(r.hold.patience)
	if err == nil || r.hold.patience.Err() == nil || ctx.Err() != nil {
		return err
	}
	last, stop := context.WithTimeoutCause(ctx, max(cost, leastPatience), errLetGo)
	defer stop()
	return wait(last)
}

// advance passes what holds nothing for us. epoch is that of the batch which ends before next, -1 when it is unknown.
func (r *reader) advance(next int64, epoch int32) {
	if next > r.next {
		r.lineage = r.lineage.add(epoch, r.next)
		r.next = next
		r.in.delivery.Advance(r.part.ID, next, epoch)
	}
}

// connect makes sure of a connection to the partition's leader, or to the follower it has named, and returns the leader's epoch.
func (r *reader) connect(ctx context.Context) (epoch int32, err error) {
	addr, epoch, err := r.in.topic.leader(r.part.ID)
	if err != nil {
		return -1, err
	}
	// Brokers from 3.1 on refuse a fetch for the id of a topic that is gone; before, a fetch goes by name and reads whatever has the name now.
	if !cluster.SameTopic(r.in.topic.current().ID, r.part.Log.TopicID) {
		return -1, kafka.InconsistentTopicID
	}
	if r.preferred >= 0 && (epoch != r.verified || time.Since(r.named) > r.in.cfg.MetadataMaxAge) {
		// The leader is asked again now and then: a follower that has stopped following says nothing of it. A new leader names only
		// followers that have dropped what it does not have.
		r.preferred = -1
	}
	if r.preferred >= 0 {
		if follower, ok := r.in.cfg.Cluster.BrokerAddr(r.preferred); ok {
			addr = follower
		}
	}
	if r.conn != nil && r.conn.Addr() == addr && !r.conn.Expiring() {
		return epoch, nil
	}
	r.disconnect()
	r.conn, err = r.in.cfg.Cluster.Dial(ctx, addr)
	return epoch, err
}

func (r *reader) disconnect() {
	if r.conn != nil {
		r.conn.Close()
		r.conn = nil
	}
}

// recover does what an error asks for before the next try. It returns nil when the reader may go on at once.
func (r *reader) recover(ctx context.Context, cause error) error {
	r.preferred = -1
	switch {
	case errors.Is(cause, kafka.OffsetOutOfRange):
		return r.outOfRange(ctx)
	case errors.Is(cause, kafka.UnknownTopicID), errors.Is(cause, kafka.InconsistentTopicID), errors.Is(cause, kafka.UnknownTopicOrPartition):
		if err := r.in.refreshTopic(ctx); err != nil {
			return fmt.Errorf("%w (%w)", cause, err)
		}
		// Brokers in the middle of an upgrade may not say the id: that is no other topic.
		if topic := r.in.topic.current(); !cluster.SameTopic(topic.ID, r.part.Log.TopicID) {
			return r.recreated(ctx, topic)
		}
		return cause
	default:
		// Leader moves, fenced epochs and cut connections heal with a fresh view of the topic.
		_ = r.in.refreshTopic(ctx)
		return cause
	}
}

// outOfRange goes on at the log start when the position was deleted, or when the log was truncated below it.
func (r *reader) outOfRange(ctx context.Context) error {
	start, end, err := r.in.ends(ctx, r.part.ID)
	start = r.part.End.limit(start, r.next)
	switch {
	case err != nil:
		return err
	case r.next < start:
		r.log.ErrorContext(ctx, "records were deleted by retention before they were read: reading goes on at the log start",
			slog.Int64("records_lost", start-r.next), slog.Int64("offset", r.next), slog.Int64("log_start", start))
		r.in.delivery.Lost(r.part.ID, start-r.next)
		r.advance(start, -1)
		r.lineage = nil // of what lies before it nothing remains
		return nil
	case r.next > end:
		until, lost := r.part.End.cut(end, r.next)
		lost += r.in.delivery.Unsettled(r.part.ID, end)
		r.log.ErrorContext(ctx, "log was truncated below the position: the partition is read from the log start",
			slog.Int64("records_lost", lost), slog.Int64("offset", r.next), slog.Int64("log_end", end))
		r.reopen(Partition{ID: r.part.ID, Log: r.part.Log, Start: start, Epoch: -1, Read: start, End: until})
		if lost > 0 {
			r.in.delivery.Lost(r.part.ID, lost)
		}
		return nil
	}
	// The leader that answered was behind, or has caught up since.
	return kafka.OffsetOutOfRange
}

// recreated starts the partition of a new topic of the same name at its log start.
func (r *reader) recreated(ctx context.Context, topic cluster.Topic) error {
	found := false
	for i := range topic.Partitions {
		found = found || topic.Partitions[i].ID == r.part.ID
	}
	if !found {
		return kafka.UnknownTopicOrPartition
	}
	r.log.ErrorContext(ctx, "topic was deleted and created again: it is read from its start")
	start, _, err := r.in.ends(ctx, r.part.ID)
	if err != nil {
		return err
	}
	p := Partition{ID: r.part.ID, Log: r.part.Log, Start: start, Epoch: -1, Read: start, End: r.in.end(topic, r.part.ID)}
	p.Log.TopicID = topic.ID
	r.reopen(p)
	return nil
}

func (r *reader) reopen(p Partition) {
	r.disconnect()
	r.begin(p)
	r.in.delivery.Open(p)
}

// begin sets the reader to where the reading of a partition begins.
func (r *reader) begin(p Partition) {
	r.part, r.next, r.least, r.preferred, r.verified, r.lineage, r.bare = p, p.Read, 0, -1, -1, nil, 0
	if p.Read == p.Start {
		r.lineage = r.lineage.add(p.Epoch, 0)
	}
}

// wait returns after d, or when ctx is done.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
