package sidecar

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
)

// policy is the user's word on retries and failure.
type policy struct {
	initial, maxInterval time.Duration
	factor               float64
	maxAttempts          int           // 0: unlimited
	maxAge               time.Duration // 0: unlimited
	onFailure            action
	failureLimit         int // 0: off
}

// action is what becomes of an attempt's record.
type action uint8

const (
	actSettle     action = iota // it is settled, under the decision's outcome
	actRetry                    // it is tried again after the decision's wait
	actAbandon                  // the attempt was cut short and says nothing
	actPark                     // it failed: tried again every RETRY_MAX_INTERVAL
	actDeadLetter               // it failed: written to the dead-letter target, then settled
	actDrop                     // it failed: settled by the user's rule
	actStop                     // it failed: the sidecar stops
	actHold                     // it failed: left unsettled for as long as the flow lasts
)

// decision is what an outcome leads to.
type decision struct {
	action  action
	outcome string        // of a settled record, the metric's label
	reason  string        // why it failed
	wait    time.Duration // before the next attempt
	longest bool          // the waits do not grow any more
}

// Outcomes of settled records, the values of the metric's label.
const (
	outcomeDone       = "done"
	outcomeDropped    = "dropped"
	outcomeDeadLetter = "dead_letter"
	outcomeSkipped    = "skipped"
)

// decide turns the result of an attempt into what becomes of its record. It is pure: random spreads the waits, age is the time since the
// first attempt began.
func (p *policy) decide(res invoke.Result, j *job, age time.Duration, random func(time.Duration) time.Duration) decision {
	switch res.Class {
	case invoke.Done:
		return decision{action: actSettle, outcome: outcomeDone}
	case invoke.Drop:
		return decision{action: actSettle, outcome: outcomeDropped, reason: res.Reason}
	case invoke.Cancelled:
		return decision{action: actAbandon}
	case invoke.Failed:
		return decision{action: p.onFailure, reason: res.Reason, wait: p.maxInterval, longest: true}
	}
	switch {
	case p.maxAttempts > 0 && j.counted >= p.maxAttempts:
		return decision{action: p.onFailure, reason: "attempts", wait: p.maxInterval, longest: true}
	case p.maxAge > 0 && age >= p.maxAge:
		return decision{action: p.onFailure, reason: "age", wait: p.maxInterval, longest: true}
	}
	return decision{action: actRetry, wait: p.wait(res, j.requests+1, random), longest: p.longest(j.requests+1, age)}
}

// longest says that the wait before attempt n may be as long as waits get. With a factor of 1 they never grow: then it is told by how long the record has
// been tried. A Retry-After does not make it so: the handler has said when to come again.
func (p *policy) longest(n int, age time.Duration) bool {
	return p.ceiling(n) >= p.maxInterval || p.factor <= 1 && age >= p.maxInterval
}

// wait is how long the record waits before attempt n (from 2). A handler's Retry-After is heeded within our own bounds, with up to a
// quarter added so that all who were told the same do not come back together; after a timeout the wait is never close to
// zero, since the handler may still be at it.
func (p *policy) wait(res invoke.Result, n int, random func(time.Duration) time.Duration) time.Duration {
	if res.HasRetryAfter {
		d := min(max(res.RetryAfter, p.initial), p.maxInterval)
		return d + random(d/4)
	}
	d := max(random(p.ceiling(n)), time.Millisecond)
	if res.TimedOut {
		d = max(d, min(p.initial, p.maxInterval))
	}
	return d
}

// ceiling is min(max, initial · factor^(n−2)), computed in floating point, where a large n overflows to infinity and not below zero.
func (p *policy) ceiling(n int) time.Duration {
	c := float64(p.initial) * math.Pow(p.factor, float64(n-2))
	if !(c < float64(p.maxInterval)) {
		return p.maxInterval
	}
	return time.Duration(c)
}

// uniform is a uniform random duration in [0, d].
func uniform(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d + 1)
}

// breaker is FAILURE_LIMIT: after so many failed records in a row without one success it is the handler that is wrong, not the records.
// While it is open failures are not acted on, and one attempt at a time probes the handler, once every interval.
type breaker struct {
	limit    int // 0: off
	interval time.Duration

	row     int // failed records since the last success
	isOpen  bool
	asked   int // probes without a success since it opened
	probing bool
	probeAt time.Time
}

// failed books a failed record and says whether the failure may be acted on. opened is true when this one opened the breaker.
func (b *breaker) failed(now time.Time) (act, opened bool) {
	if b.limit == 0 {
		return true, false
	}
	if b.row < b.limit {
		b.row++
		return true, false
	}
	opened = !b.isOpen
	b.isOpen = true
	b.probed(now)
	return false, opened
}

// succeeded books a success and says whether it closed the breaker.
func (b *breaker) succeeded() (closed bool) {
	closed = b.isOpen
	b.row, b.isOpen, b.probing, b.asked = 0, false, false, 0
	return closed
}

// begin books the beginning of an attempt.
func (b *breaker) begin() { b.probing = b.isOpen }

// probed books the end of an attempt that was no success.
func (b *breaker) probed(now time.Time) {
	if b.isOpen {
		if b.probing {
			b.asked++
		}
		b.probing = false
		b.probeAt = now.Add(b.interval)
	}
}

// gaveUp says that the handler was asked again since it opened, and was no better.
func (b *breaker) gaveUp() bool { return b.isOpen && b.asked > 0 }

// release ends a probe that told nothing of the handler, so that another may begin at once.
func (b *breaker) release() { b.probing = false }

// probePoll is how soon a probe that runs is looked at again. Its end wakes the workers of its own flow; those of others find out so.
const probePoll = time.Second

// holds says that no attempt may begin before at.
func (b *breaker) holds(now time.Time) (at time.Time, hold bool) {
	switch {
	case !b.isOpen:
		return time.Time{}, false
	case b.probing:
		return now.Add(probePoll), true
	}
	// By the wall clock too: the monotonic one stands still while a Lambda function is frozen, which may be most of the time.
	return b.probeAt, now.Before(b.probeAt) && now.Round(0).Before(b.probeAt.Round(0))
}
