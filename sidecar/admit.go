package sidecar

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/ledger"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

var _ intake.Delivery = (*flow)(nil)

// Causes with which a partition's attempts are cancelled.
var (
	errLost        = errors.New("partition is no longer ours")
	errDrainBudget = errors.New("drain budget is used up")
	errClosed      = errors.New("partition is closed")
)

// endsView is the newest knowledge of a partition's ends.
type endsView struct {
	intake.Ends
	at          time.Time
	blockedFrom time.Time // since when an open transaction holds records back, zero when none does
	warned      bool
}

// minReserve is the smallest fetch worth a request: below it the reader waits for more room.
const minReserve = 16 << 10

// Open begins a partition, anew if it is open already.
func (f *flow) Open(p intake.Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.close(p.ID, errLost)
	ctx, cancel := context.WithCancelCause(f.cfg.parent)
	account := ledger.New(p.Log, p.Start, p.Restored)
	account.StartsUnder(p.Epoch)
	f.parts[p.ID] = &partition{
		id: p.ID, ledger: account, ctx: ctx, cancel: cancel,
		committed: p.Start, end: p.End, room: make(chan struct{}, 1), metadataLimit: ledger.MaxMetadata,
		ends: endsView{Ends: intake.Ends{Start: -1, Stable: -1, High: -1, Position: p.Start}},
	}
	f.lanes.Open(p.ID)
	f.nears(f.parts[p.ID])
	f.wakeReaders() // what it held before is room for the others
}

// Close forgets partitions.
func (f *flow) Close(ids []int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		f.close(id, errLost)
	}
	f.wakeReaders() // what they held is room for the others
	f.ready.Broadcast()
}

func (f *flow) close(id int32, cause error) {
	p := f.parts[id]
	if p == nil {
		return
	}
	f.measure(time.Now())
	p.cancel(cause)
	if p.dry != nil {
		close(p.dry)
		p.dry = nil
	}
	f.lanes.Close(id)
	delete(f.parts, id)
	f.recountUnacked()
	select {
	case p.room <- struct{}{}: // a waiting reader finds the partition closed
	default:
	}
}

// Drain lets running attempts end and starts none. When ctx ends first they are cancelled.
func (f *flow) Drain(ctx context.Context, ids []int32) {
	var drying []*partition
	var dry []chan struct{}
	f.mu.Lock()
	f.measure(time.Now())
	for _, id := range ids {
		p := f.parts[id]
		if p == nil {
			continue
		}
		p.draining = true
		if dropped := f.lanes.Stop(id); dropped > 0 {
			f.log.Debug("waiting records dropped, they are read again by the next owner", slog.Int("partition", int(id)), slog.Int("records", dropped))
		}
		if f.lanes.Running(id) > 0 {
			p.dry = make(chan struct{})
			drying, dry = append(drying, p), append(dry, p.dry)
		}
	}
	f.wakeReaders()
	f.mu.Unlock()
	for _, c := range dry {
		select {
		case <-c:
		case <-ctx.Done():
		}
	}
	if ctx.Err() == nil {
		return
	}
	cause := errDrainBudget
	if errors.Is(context.Cause(ctx), intake.ErrLost) {
		cause = errLost
	}
	for _, p := range drying {
		p.cancel(cause)
	}
	for _, c := range dry {
		<-c // a cancelled attempt ends at once
	}
}

// waitFor blocks the partition's reader until ok, which is called under the mutex, says that it may go on.
func (f *flow) waitFor(ctx context.Context, id int32, kind waitKind, ok func(*partition) bool) error {
	for {
		f.mu.Lock()
		p := f.parts[id]
		if p == nil || p.draining {
			f.mu.Unlock()
			return errClosed
		}
		if ok(p) {
			f.mu.Unlock()
			return nil
		}
		p.waiting = kind
		f.waiters++
		f.mu.Unlock()
		select {
		case <-p.room:
		case <-ctx.Done():
		}
		f.mu.Lock()
		p.waiting = waitNothing
		f.waiters--
		f.mu.Unlock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// Reserve waits until a fetch may be sent and says how much it may bring.
func (f *flow) Reserve(ctx context.Context, id int32, least, most int64) (granted int64, err error) {
	err = f.waitFor(ctx, id, waitRoom, func(p *partition) bool {
		if !f.hasRoom(p) || least > 0 && !f.lanes.Secure(id, least) {
			return false
		}
		granted = least + f.lanes.Reserve(id, most-least)
		return granted > 0
	})
	return max(granted, min(most, minReserve)), err
}

// Release gives back what is left of a reservation.
func (f *flow) Release(id int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.parts[id] != nil {
		f.lanes.Unreserve(id, math.MaxInt64)
		f.wakeReaders()
	}
}

// Room waits until the partition may take a record of this size in. Unlike hasRoom it has no hysteresis: the record has been fetched already.
func (f *flow) Room(ctx context.Context, id int32, size int64) error {
	return f.waitFor(ctx, id, waitAdmit, func(*partition) bool {
		if f.unacked <= f.cfg.maxUnacked && f.lanes.Secure(id, size) {
			return true
		}
		// What is too little for this partition is not kept from the others: with records larger than an equal share all would wait for each other.
		if f.lanes.Unreserve(id, math.MaxInt64) > 0 {
			f.wakeReaders()
		}
		return false
	})
}

// Admit takes one record in: into its ledger, and into its lane unless it is settled already.
func (f *flow) Admit(ctx context.Context, rec *record.Record) error {
	return f.waitFor(ctx, rec.Partition, waitAdmit, func(p *partition) bool {
		hash := f.cfg.laneHash(rec.Key)
		if p.ledger.Settled(rec.Offset, rec.LeaderEpoch, hash) {
			p.ledger.Advance(rec.Offset+1, rec.LeaderEpoch)
			f.metrics.Resumed()
			f.nears(p)
			return true
		}
		if _, skip := f.cfg.skip[rec.Partition][rec.Offset]; skip {
			p.ledger.Advance(rec.Offset+1, rec.LeaderEpoch)
			f.log.Warn("record skipped by SKIP_RECORDS", slog.Int("partition", int(rec.Partition)), slog.Int64("offset", rec.Offset))
			f.countSettled(outcomeSkipped)
			f.nears(p)
			return true
		}
		now := time.Now()
		f.measure(now)
		it, ok := f.lanes.Add(rec)
		if !ok {
			return false
		}
		entry := p.ledger.Take(rec.Offset, rec.LeaderEpoch, hash)
		entry.Tag = rec.Timestamp
		it.Note = &job{part: p, entry: entry}
		p.lastTaken, p.unreadSince = rec.Timestamp, time.Time{}
		if f.idle > 0 && f.lanes.Ready(now) {
			f.ready.Signal()
		}
		return true
	})
}

// Advance moves a partition's position past offsets that hold nothing for us.
func (f *flow) Advance(id int32, next int64, epoch int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.parts[id]; p != nil {
		p.ledger.Advance(next, epoch)
		f.nears(p)
	}
}

// Fetched takes note of the ends that a fetch has told.
func (f *flow) Fetched(id int32, ends intake.Ends) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.parts[id]; p != nil {
		f.see(p, ends)
	}
}

// Ends takes note of the ends of a partition that is not being fetched.
func (f *flow) Ends(id int32, ends intake.Ends) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.parts[id]; p != nil {
		ends.Start, ends.Position = p.ends.Start, p.ledger.Position()
		f.see(p, ends)
	}
}

// transactionWarning is how long an open transaction may hold records back before that is said.
const transactionWarning = time.Minute

func (f *flow) see(p *partition, ends intake.Ends) {
	now := time.Now()
	ends.Over = ends.Over || p.ends.Over
	moved := ends.Stable > p.ends.Stable // then it is one transaction after the other, and none that hangs
	p.ends.Ends, p.ends.at = ends, now
	switch unread := p.ledger.Position() < ends.High; {
	case !unread:
		p.unreadSince = time.Time{}
	case p.unreadSince.IsZero():
		p.unreadSince = now
	}
	if ends.Stable < 0 || ends.Stable >= ends.High || moved {
		p.ends.blockedFrom, p.ends.warned = time.Time{}, false
		return
	}
	if p.ends.blockedFrom.IsZero() {
		p.ends.blockedFrom = now
	}
	if !p.ends.warned && now.Sub(p.ends.blockedFrom) >= transactionWarning {
		p.ends.warned = true
		f.log.Warn("an open transaction holds records back", slog.Int("partition", int(p.id)),
			slog.Int64("last_stable_offset", ends.Stable), slog.Int64("records", ends.High-ends.Stable))
	}
}

// Stale lists the partitions whose ends are older than age.
func (f *flow) Stale(age time.Duration) []int32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []int32
	for id, p := range f.parts {
		if time.Since(p.ends.at) >= age {
			ids = append(ids, id)
		}
	}
	return ids
}

// Unsettled counts what was taken in and is not settled, from an offset on.
func (f *flow) Unsettled(id int32, from int64) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.parts[id]; p != nil {
		return p.ledger.UnsettledFrom(from)
	}
	return 0
}

// Lost counts what the log has no more.
func (f *flow) Lost(id int32, records int64) {
	f.metrics.Lost(records)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost += records
	if p := f.parts[id]; p != nil {
		p.lost += records
	}
}

// CommitDue is signalled when a commit should not wait for its time.
func (f *flow) CommitDue() <-chan struct{} { return f.commitDue }

// Commits returns what changed since the last acknowledged commits.
func (f *flow) Commits(ids []int32) []intake.Commit {
	f.mu.Lock()
	defer f.mu.Unlock()
	var commits []intake.Commit
	add := func(p *partition) {
		if c, changed := p.ledger.Commit(p.metadataLimit); changed {
			commits = append(commits, intake.Commit{Partition: p.id, Log: p.ledger, Commit: c})
		}
	}
	if ids == nil {
		for _, p := range f.parts {
			add(p)
		}
		return commits
	}
	for _, id := range ids {
		if p := f.parts[id]; p != nil {
			add(p)
		}
	}
	return commits
}

// Committed books the outcome of a commit, unless the partition has been opened anew since.
func (f *flow) Committed(c intake.Commit, err error) {
	f.metrics.Commit(err == nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.parts[c.Partition]
	if p == nil || p.ledger != c.Log {
		return
	}
	switch {
	case err == nil:
		p.ledger.Acked(c.Commit)
		p.committed = c.Offset
		f.recountUnacked()
		f.nears(p)
		f.wakeReaders()
		if f.withheld && f.unacked <= f.cfg.maxUnacked {
			f.withheld = false
			f.log.Info("commits are acknowledged again: the intake goes on")
		}
	case errors.Is(err, kafka.OffsetMetadataTooLarge):
		p.metadataLimit = min(p.metadataLimit, len(c.Metadata)) / 2
		if !f.trimmed {
			f.trimmed = true // the broker's limit is one for all partitions and all time: said once
			f.log.Warn("broker refuses commit metadata of this length: what it holds is halved until the broker takes it, so more is repeated after a restart (raise offset.metadata.max.bytes)",
				slog.Int("partition", int(c.Partition)), slog.Int("characters", len(c.Metadata)))
		}
	default:
		p.lastErr = "commit: " + err.Error()
		if !f.withheld && f.unacked > f.cfg.maxUnacked {
			f.withheld = true
			f.log.Error("intake is paused: without an acknowledged commit all that is settled would be repeated after a restart",
				slog.Int64("settled", f.unacked), slog.Any("err", err))
		}
	}
}

func (f *flow) recountUnacked() {
	f.unacked = 0
	for _, p := range f.parts {
		f.unacked += p.ledger.Unacked()
	}
	f.signaled = f.unacked
}
