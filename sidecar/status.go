package sidecar

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/admin"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/ledger"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/metrics"
)

var _ admin.Source = (*Sidecar)(nil)

// stuckAfter is how long a loop may fail to turn before the process counts as hung. Loops turn every second or so whatever Kafka and
// the handler do.
const stuckAfter = time.Minute

// maxParkedShown bounds the parked lanes that a partition's status lists.
const maxParkedShown = 100

// Live says whether the process's own loops make progress.
func (s *Sidecar) Live() error {
	if s.intake.Started() {
		if err := turning("intake", s.intake.Progress(), intakeTurn(s.cfg.Run.CommitInterval)); err != nil {
			return err
		}
	}
	s.flow.mu.Lock()
	beat := s.flow.beat
	s.flow.mu.Unlock()
	return turning("scheduler", beat, stuckAfter)
}

// intakeTurn is how long the intake may need for one turn: the loop that commits rests for the interval that the user chose.
func intakeTurn(commitInterval time.Duration) time.Duration { return stuckAfter + commitInterval }

func turning(loop string, last time.Time, allowed time.Duration) error {
	if idle := time.Since(last); idle > allowed {
		return fmt.Errorf("the %s has not turned for %s", loop, idle.Round(time.Second))
	}
	return nil
}

// Started says whether the group was joined once.
func (s *Sidecar) Started() error {
	if !s.intake.EverJoined() {
		return errors.New(s.intake.WaitingFor())
	}
	return nil
}

// Ready says whether records can be delivered by this replica.
func (s *Sidecar) Ready() error {
	switch {
	case s.draining.Load():
		return errors.New("draining")
	case !s.intake.Joined():
		return errors.New("not a member of the group: " + s.intake.WaitingFor())
	case time.Since(s.intake.LastSeen()) > s.cfg.Kafka.SessionTimeout:
		return errors.New("no broker has answered within session.timeout.ms")
	}
	return nil
}

// Subscription is the answer of GET /subscription.
func (s *Sidecar) Subscription() admin.Subscription {
	c := s.cfg
	out := describe(c)
	f := s.flow
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.lanes.Stats()
	out.Status = admin.Status{
		Group: c.Kafka.GroupID, Joined: s.intake.Joined(), Paused: c.Run.Paused, Draining: s.draining.Load(),
		InFlight: st.InFlight, InFlightBytes: st.InFlightBytes, Running: st.Running,
		ParkedKeys: st.ParkedKeys, ParkedRecords: st.ParkedRecords, FailureLimit: f.breaker.isOpen,
		WaitingFor: s.intake.WaitingFor(), Assigned: []int32{}, Partitions: []admin.Partition{},
	}
	now := time.Now()
	for _, p := range f.sorted() {
		out.Status.Assigned = append(out.Status.Assigned, p.id)
		out.Status.Partitions = append(out.Status.Partitions, f.partitionStatus(p, now))
	}
	return out
}

// describe is the subscription itself, as Restate shows it.
func describe(c *envconfig.Config) admin.Subscription {
	return admin.Subscription{ID: c.Subscription.ID, Source: c.Subscription.Source, Sink: c.Subscription.Sink.Display, Options: c.RedactedOptions()}
}

// sorted lists the open partitions in order.
func (f *flow) sorted() []*partition {
	parts := make([]*partition, 0, len(f.parts))
	for _, p := range f.parts {
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b *partition) int { return cmp.Compare(a.id, b.id) })
	return parts
}

func (f *flow) partitionStatus(p *partition, now time.Time) admin.Partition {
	st := f.lanes.PartitionStats(p.id)
	g := f.gauges(p, now)
	out := admin.Partition{
		Partition: p.id, Committed: g.Committed, Settled: p.ledger.Committable(), Position: p.ledger.Position(), End: p.ends.High,
		LagRecords: g.LagRecords, LagSeconds: g.LagSeconds, OldestUnsettledSeconds: g.OldestUnsettledSecs, BlockedByTransaction: g.BlockedRecords,
		InFlight: st.InFlight, ParkedKeys: st.ParkedKeys, Lost: p.lost, Parked: []admin.Parked{}, LastError: p.lastErr,
	}
	if p.end.Set {
		end, left := p.end.Offset, p.remaining()
		out.EndAt, out.EndRemaining = &end, &left
	}
	out.Parked = append(out.Parked, f.parkedStatus(p, maxParkedShown)...)
	return out
}

// parkedStatus shows the partition's parked lanes, at most so many.
func (f *flow) parkedStatus(p *partition, limit int) []admin.Parked {
	var out []admin.Parked
	for _, l := range f.lanes.Parked(p.id, limit) {
		j := l.Item.Note.(*job)
		shown := admin.Parked{
			KeyHash: fmt.Sprintf("%012x", ledger.LaneHash(l.Item.Record.Key)), Offset: l.Item.Record.Offset, Records: l.Records,
			LastStatus: j.status, LastError: j.lastErr, Attempts: j.requests,
		}
		if !l.Running {
			due := l.Due.UTC()
			shown.NextAttempt = &due
		}
		out = append(out, shown)
	}
	return out
}

// gauges are the numbers of one partition. Lag counts to the high watermark, not to the last stable offset, so that what an open
// transaction holds back is not hidden.
func (f *flow) gauges(p *partition, now time.Time) metrics.Partition {
	g := metrics.Partition{ID: p.id, Committed: p.committed, Ends: p.end.Set, EndRemaining: p.remaining()}
	if p.ends.High >= 0 {
		g.LagRecords = max(0, p.ends.High-p.ledger.Committable())
		if p.ledger.Position() < p.ends.High {
			g.LagSeconds = p.lagSeconds(now)
		}
		if p.ends.Stable >= 0 {
			g.BlockedRecords = max(0, p.ends.High-p.ends.Stable)
		}
	}
	g.BacklogRecords = f.backlog(p)
	if e, ok := p.ledger.Oldest(); ok {
		g.OldestUnsettledSecs = age(now, e.Tag)
	} else {
		g.OldestUnsettledSecs = p.unreadFor(now)
	}
	return g
}

// lagSeconds is for a partition with records in its log that were not taken in. Before the first record was, as under PAUSED, it is how long they
// are known to wait.
func (p *partition) lagSeconds(now time.Time) float64 {
	if p.lastTaken > 0 {
		return age(now, p.lastTaken)
	}
	return p.unreadFor(now)
}

// unreadFor is for how many seconds records are known to wait in the log, none of which was taken in: their timestamps show only when they are read.
func (p *partition) unreadFor(now time.Time) float64 {
	if p.unreadSince.IsZero() {
		return 0
	}
	return now.Sub(p.unreadSince).Seconds()
}

// backlog is what waits in a partition for a slot and a handler and for nothing else: without the records of parked lanes, and without those in
// the log that cannot be read, because an open transaction holds them back or because parked lanes are all that the partition holds and leave no
// room to read on.
func (f *flow) backlog(p *partition) int64 {
	free := f.lanes.Free(p.id)
	readable := p.ends.High
	if f.cfg.readCommitted && p.ends.Stable >= 0 {
		readable = min(readable, p.ends.Stable)
	}
	unread := max(0, readable-p.ledger.Position())
	if free == 0 && f.lanes.PartitionStats(p.id).ParkedKeys > 0 && (p.waiting != waitNothing || !f.lanes.HasRoom(p.id)) {
		unread = 0
	}
	return int64(free) + unread
}

func age(now time.Time, timestamp int64) float64 {
	return max(0, now.Sub(time.UnixMilli(timestamp)).Seconds())
}

// state is what the gauges show.
func (s *Sidecar) state() metrics.State {
	f := s.flow
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.lanes.Stats()
	now := time.Now()
	f.measure(now)
	out := metrics.State{
		Concurrency: f.cfg.limits.Concurrency, BusySeconds: f.usage.busy.Seconds(), WantedSeconds: f.usage.wanted.Seconds(),
		InFlight: st.InFlight, InFlightBytes: st.InFlightBytes, Running: st.Running, Ready: st.Ready, Waiting: st.Waiting,
		ParkedKeys: st.ParkedKeys, ParkedRecords: st.ParkedRecords, ParkedBytes: st.ParkedBytes, Unacked: f.unacked, Joined: s.intake.Joined(), FailureLimit: f.breaker.isOpen,
	}
	for _, p := range f.sorted() {
		out.Partitions = append(out.Partitions, f.gauges(p, now))
	}
	return out
}
