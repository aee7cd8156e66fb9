package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/lanes"
)

// Errors with which a run with END_AT ends when it has not settled everything before the end.
var (
	// ErrParked: only records are left that keep failing. All else is settled and committed, with the map, so that the next run goes on there.
	ErrParked = errors.New("END_AT reached but for parked keys")
	// ErrUnfinished: the run was told to stop before the end.
	ErrUnfinished = errors.New("stopped before END_AT was reached")
)

// errFinished is the cause with which a run ends that has settled everything before the end.
var errFinished = errors.New("everything before END_AT is settled")

// endTurn is how often the end is looked for when nothing says that it is near, and how long no attempt begins before a run is given up.
const endTurn = time.Second

// idleTurn is how often a replica without a partition asks whether the others are done.
const idleTurn = 3 * time.Second

// watchEnd looks for the end of a run with END_AT until there is one or ctx is done.
func (s *Sidecar) watchEnd(ctx context.Context) {
	tick := time.NewTicker(endTurn)
	defer tick.Stop()
	var asked time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.flow.nearEnd:
		}
		assigned, joined := s.intake.Assigned()
		var end error
		switch {
		case !joined:
		case len(assigned) > 0:
			end = s.flow.atEnd(assigned, time.Now())
		case time.Since(asked) >= idleTurn:
			asked = time.Now()
			if reached, err := s.intake.EndReached(ctx); err != nil {
				s.log.DebugContext(ctx, "whether the others have reached the end is not known", slog.Any("err", err))
			} else if reached {
				end = errFinished
			}
		}
		if end != nil {
			s.ended <- end
			return
		}
	}
}

// nears tells the watcher when a partition has nothing more to do before its end.
func (f *flow) nears(p *partition) {
	if p.end.Set && p.complete() {
		signal(f.nearEnd)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// read says that nothing before the end is left to take in.
func (p *partition) read() bool { return p.end.Reached(p.ledger.Position()) || p.ends.Over }

// complete says that everything before the end is settled.
func (p *partition) complete() bool { return p.read() && p.ledger.Unsettled() == 0 }

// acknowledged says that the broker has all that there is to commit.
func (p *partition) acknowledged() bool {
	return p.ledger.Unacked() == 0 && p.ledger.Committable() == p.committed
}

// remaining counts the offsets from the first unsettled one to the end.
func (p *partition) remaining() int64 { return max(0, p.end.Offset-p.ledger.Committable()) }

// atEnd says whether the run is over for the partitions that this replica owns: errFinished, or an ErrParked, or nil while there is something to do.
//
// Before a run is given up, nothing begins for a while: what runs may still succeed, and the record behind it then has its turn.
func (f *flow) atEnd(assigned []int32, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	complete, stuck, acknowledged := f.survey(assigned)
	if f.halted { // a record has stopped the run: it is not over
		complete, stuck = false, false
	}
	if (complete || stuck) && !acknowledged {
		signal(f.commitDue)
	}
	switch {
	case complete && acknowledged:
		return errFinished
	case !stuck && !f.heldAt.IsZero():
		f.heldAt = time.Time{}
		f.ready.Broadcast()
	case stuck && f.heldAt.IsZero():
		f.heldAt = now
	case stuck && acknowledged && now.Sub(f.heldAt) >= endTurn && f.lanes.RunningTotal() == 0:
		return f.giveUp(assigned)
	}
	return nil
}

// survey looks at the partitions: whether all are complete, or whether only records are left that keep failing.
func (f *flow) survey(assigned []int32) (complete, stuck, acknowledged bool) {
	complete, stuck, acknowledged = true, true, true
	failing := func(it *lanes.Item) bool { return it.Note.(*job).longest }
	for _, id := range assigned {
		p := f.parts[id]
		if p == nil || p.draining {
			return false, false, false
		}
		acknowledged = acknowledged && p.acknowledged()
		if p.complete() {
			continue
		}
		complete = false
		// A partition that cannot be read on for want of room waits for those that fail, its own or others.
		waits := p.waiting == waitAdmit || p.waiting == waitRoom && !f.hasRoom(p)
		stuck = stuck && (p.read() || waits) && (f.breaker.gaveUp() || f.lanes.Only(id, failing))
	}
	held := f.lanes.Stats()
	return complete, stuck && !complete && held.InFlight+held.ParkedRecords > 0, acknowledged
}

// maxListed bounds how many of the records that are left are listed one by one.
const maxListed = 100

// giveUp says which records are left, one a line.
func (f *flow) giveUp(assigned []int32) error {
	listed, left := 0, int64(0)
	for _, id := range assigned {
		p := f.parts[id]
		left += int64(p.ledger.Unsettled())
		for _, l := range f.parkedStatus(p, maxListed-listed) {
			listed++
			f.log.Error("record is not settled: its key is parked", slog.String("record", fmt.Sprintf("%d@%d", id, l.Offset)), slog.String("key_hash", l.KeyHash),
				slog.Int("status", l.LastStatus), slog.Int("attempts", l.Attempts), slog.Int("records", l.Records), slog.String("last_error", l.LastError))
		}
	}
	parked := f.lanes.Stats().ParkedKeys
	if more := parked - listed; more > 0 {
		f.log.Error("further keys are parked", slog.Int("keys", more))
	}
	why := ""
	if f.breaker.isOpen {
		why = ", and FAILURE_LIMIT holds the others back"
	}
	return fmt.Errorf("%w: %d records of %d keys keep failing%s (the next run goes on with them)", ErrParked, left, parked, why)
}

// summary logs what a run with END_AT has done.
func (s *Sidecar) summary(began time.Time, end error) {
	f := s.flow
	f.mu.Lock()
	defer f.mu.Unlock()
	var settled int64
	for _, n := range f.tally {
		settled += n
	}
	facts := []any{
		slog.Int64("records", settled), slog.Int64("done", f.tally[outcomeDone]), slog.Int64("dead_letters", f.tally[outcomeDeadLetter]),
		slog.Int64("dropped", f.tally[outcomeDropped]), slog.Int64("skipped", f.tally[outcomeSkipped]),
		slog.Int64("lost", f.lost), slog.Duration("duration", time.Since(began)),
	}
	if end != nil {
		s.log.Error("ended before everything before END_AT was settled", facts...)
		return
	}
	s.log.Info("finished: everything before END_AT is settled", facts...)
}
