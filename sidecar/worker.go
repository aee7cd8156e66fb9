package sidecar

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/deadletter"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/lanes"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// slowAttempt is how long an unsuccessful attempt may take before its lane's further attempts are held to a quarter of the slots even
// while nothing else wants them: keys that hang must not have taken every slot by the time that others come.
const slowAttempt = time.Second

// invoker makes one attempt; *invoke.Invoker outside tests.
type invoker interface {
	Attempt(ctx context.Context, rec *record.Record, attempt int) invoke.Result
}

// worker makes attempts until the flow is halted. There are CONCURRENCY of them; what waits holds none.
type worker struct {
	flow   *flow
	invoke invoker
	target deadletter.Target // nil: no dead letters
	letter letterFacts
}

// letterFacts is what every dead letter of a subscription says.
type letterFacts struct{ topic, subscription string }

func (w *worker) run() {
	for {
		it := w.flow.next()
		if it == nil {
			return
		}
		w.turn(it)
	}
}

// turn makes one attempt and does at once what its outcome asks for.
func (w *worker) turn(it *lanes.Item) {
	j := it.Note.(*job)
	// The lease is looked at once more as close to the request as can be: this goroutine may have been frozen since it took the item.
	if !w.flow.cfg.mayStart(time.Now()) {
		w.flow.abandon(it)
		return
	}
	if j.failure == nil {
		res := w.invoke.Attempt(j.part.ctx, it.Record, j.requests)
		if !w.flow.conclude(it, res) {
			return
		}
	}
	began := time.Now()
	err := w.target.Write(j.part.ctx, deadletter.Letter{
		Record: it.Record, SourceTopic: w.letter.topic, Subscription: w.letter.subscription,
		Reason: j.failure.reason, Status: j.status, Attempts: j.requests, Write: j.writes, FailedAt: j.failure.at,
	})
	w.flow.written(it, err, time.Since(began))
}

// conclude books the end of an attempt. It returns true when the record is to be written to the dead-letter target now, in the same slot.
func (f *flow) conclude(it *lanes.Item, res invoke.Result) (deadLetter bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.runDry(it.Record.Partition)
	now := time.Now()
	f.measure(now)
	j := it.Note.(*job)
	if res.Code != "" {
		f.metrics.Attempt(res.Code, res.Duration)
		if res.Class == invoke.Retry || res.Class == invoke.Failed {
			f.metrics.FailedAttempt()
		}
	} else {
		j.requests-- // decided without a request
	}
	j.status, j.lastErr, j.asked = res.Status, "", false
	if res.Err != nil {
		j.lastErr = res.Err.Error()
		j.part.lastErr = j.lastErr
	}
	if res.Class == invoke.Retry && !res.Gateway {
		j.counted++
	}
	d := f.cfg.policy.decide(res, j, now.Sub(j.first), uniform)
	j.longest = d.longest
	if res.Class == invoke.Done {
		if f.breaker.succeeded() {
			f.log.Warn("handler succeeded again: failures are acted on again", f.where(it)...)
			f.hurry(now)
		}
	} else {
		f.breaker.probed(now)
	}
	switch d.action {
	case actSettle:
		f.settled(it, d.outcome)
		return false
	case actAbandon:
		f.cutShort(it)
		return false
	case actRetry:
		j.asked = res.HasRetryAfter
		f.retry(it, now, d.wait, res)
		return false
	}
	return f.failed(it, res, d, now)
}

// hurry lets the records that have waited for a broken handler come sooner now that it is right again: not before the shortest wait that the
// user allows, and spread over as much again, so that they do not all come at once. A wait that the handler has asked for is kept, and so
// is that of a dead letter: its target has said nothing.
func (f *flow) hurry(now time.Time) {
	f.lanes.Hurry(func(it *lanes.Item, due time.Time) time.Time {
		if j := it.Note.(*job); j.asked || j.failure != nil {
			return due
		}
		it.Note.(*job).longest = false
		return now.Add(f.cfg.policy.initial + uniform(f.cfg.policy.initial))
	})
}

// failed does what ON_FAILURE says, unless too many records in a row have failed for it to be about the record.
func (f *flow) failed(it *lanes.Item, res invoke.Result, d decision, now time.Time) (deadLetter bool) {
	j := it.Note.(*job)
	if f.parts[j.part.id] != j.part {
		f.cutShort(it) // the partition is no longer ours: whoever has it now decides
		return false
	}
	if d.action == actHold {
		f.log.Warn("record failed: it stays unsettled, and so do those behind it", append(f.where(it), slog.String("reason", d.reason), slog.Int("status", res.Status), slog.Int("attempts", j.requests))...)
		f.retry(it, now, f.until.Sub(now), res)
		return false
	}
	if d.action == actPark {
		f.log.Warn("record failed: its key is parked and tried again", append(f.where(it), slog.String("reason", d.reason), slog.Int("status", res.Status), slog.Int("attempts", j.requests))...)
		f.retry(it, now, d.wait, res)
		return false
	}
	act, opened := f.breaker.failed(now)
	if !act {
		if opened {
			f.log.Error("FAILURE_LIMIT reached: records fail one after the other without a success, so failures are retried until the handler succeeds again",
				append(f.where(it), slog.Int("limit", f.breaker.limit), slog.String("reason", d.reason), slog.Int("status", res.Status))...)
		}
		f.retry(it, now, f.cfg.policy.maxInterval, res)
		return false
	}
	switch d.action {
	case actDrop:
		f.log.Warn("record failed and is dropped", append(f.where(it), slog.String("reason", d.reason), slog.Int("status", res.Status), slog.Int("attempts", j.requests))...)
		f.settled(it, outcomeDropped)
		return false
	case actStop:
		f.halted = true
		select {
		case f.stop <- stopRequest{it.Record.Partition, it.Record.Offset, d.reason}:
		default:
		}
		// It stays unsettled and waits where the stop cannot find it running.
		f.retry(it, now, f.cfg.policy.maxInterval, res)
		return false
	default:
		j.failure, j.longest = &failure{reason: d.reason, at: now}, false
		if f.writing >= max(1, f.cfg.limits.Concurrency/4) {
			// A write into an outage takes as long as it may. Made in the slots of the attempts such writes would come to have every slot; the
			// next ones are further attempts, which are held to their share.
			f.lanes.Retry(it, now, true)
			f.wakeReaders()
			return false
		}
		f.writing++
		j.atOnce = true
		j.writes++
		return true
	}
}

// written books the end of a dead-letter write: acknowledged, the record is settled; else it is tried again for as long as it takes.
func (f *flow) written(it *lanes.Item, err error, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.runDry(it.Record.Partition)
	now := time.Now()
	f.measure(now)
	j := it.Note.(*job)
	f.breaker.release()
	if j.atOnce {
		j.atOnce = false
		f.writing--
	}
	if err == nil {
		f.log.Warn("record failed and went to the dead letters", append(f.where(it), slog.String("reason", j.failure.reason), slog.Int("status", j.status), slog.Int("attempts", j.requests))...)
		f.settled(it, outcomeDeadLetter)
		return
	}
	if j.part.ctx.Err() != nil {
		f.cutShort(it)
		return
	}
	f.metrics.DeadLetterError()
	j.lastErr = "dead letter: " + err.Error()
	j.part.lastErr = j.lastErr
	level := slog.LevelDebug
	if j.writes&(j.writes-1) == 0 { // the 1st, 2nd, 4th, 8th … time
		level = slog.LevelError
	}
	f.log.Log(context.Background(), level, "dead letter could not be written: its key waits and the write is tried again",
		append(f.where(it), slog.Int("writes", j.writes), slog.Any("err", err))...)
	j.longest = f.cfg.policy.longest(j.writes+1, now.Sub(j.failure.at))
	f.retry(it, now, max(uniform(f.cfg.policy.ceiling(j.writes+1)), time.Millisecond), invoke.Result{Duration: took})
}

// retry lets the record wait. It holds no slot and no goroutine meanwhile; its lane is parked.
func (f *flow) retry(it *lanes.Item, now time.Time, wait time.Duration, res invoke.Result) {
	f.lanes.Retry(it, now.Add(wait), res.TimedOut || res.Duration >= slowAttempt)
	f.wakeReaders() // what is parked has left the in-flight bounds
}

// cutShort books an attempt that was cancelled.
func (f *flow) cutShort(it *lanes.Item) {
	if f.stopping && errors.Is(context.Cause(it.Note.(*job).part.ctx), errDrainBudget) {
		f.cut++
	}
	f.lanes.Abandon(it)
	f.wakeReaders() // of a partition that is let go it was the last, and what it held is room for the others
}

// abandon gives an item back whose attempt never began.
func (f *flow) abandon(it *lanes.Item) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.runDry(it.Record.Partition)
	f.measure(time.Now())
	f.breaker.release()
	it.Note.(*job).undo()
	f.lanes.Abandon(it)
	f.wakeReaders()
}

// runDry tells a drain when the last attempt of its partition has ended.
func (f *flow) runDry(id int32) {
	p := f.parts[id]
	if p != nil && p.draining && p.dry != nil && f.lanes.Running(id) == 0 {
		close(p.dry)
		p.dry = nil
	}
}

// where names a record in logs without showing anything of it.
func (f *flow) where(it *lanes.Item) []any {
	return []any{slog.Int("partition", int(it.Record.Partition)), slog.Int64("offset", it.Record.Offset)}
}
