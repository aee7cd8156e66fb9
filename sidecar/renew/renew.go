// Package renew keeps one value that ends (a token, temporary credentials) and replaces it before it does, so that nobody who needs it
// waits for its source and an outage of the source is not felt before the value ends.
package renew

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

const (
	minBackoff = 250 * time.Millisecond
	maxBackoff = 10 * time.Second

	// settled is how old a value must be before its refusal makes it worth replacing: what refuses a new one refuses the next one too.
	settled = 10 * time.Second
)

// Source makes a value and says when it ends; the zero time is never. ctx ends with Close.
type Source[T any] func(ctx context.Context) (T, time.Time, error)

// Value is a value that is always the newest. It is safe for concurrent use.
type Value[T any] struct {
	source Source[T]
	failed func(err error, left time.Duration)

	ctx    context.Context
	cancel context.CancelFunc
	loop   sync.WaitGroup

	mu       sync.Mutex
	value    T
	has      bool
	since    time.Time
	until    time.Time // zero: never ends
	err      error     // of the last fetch
	running  bool
	failures int           // in a row
	retryAt  time.Time     // after a failure: when the next fetch begins, or may begin
	fetched  chan struct{} // closed when the fetch under way, or the next one, is over
	wake     chan struct{} // cuts the loop's rest short
}

// New makes a value that asks its source when it is first needed. failed, which may be nil, is told of every renewal that failed while the
// value still holds for a while; a failure that leaves nothing goes to those who ask.
func New[T any](source Source[T], failed func(err error, left time.Duration)) *Value[T] {
	if failed == nil {
		failed = func(error, time.Duration) {}
	}
	v := &Value[T]{source: source, failed: failed, fetched: make(chan struct{}), wake: make(chan struct{}, 1)}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	return v
}

// Close ends the renewal and waits for it. Whoever asks afterwards gets net.ErrClosed.
func (v *Value[T]) Close() {
	v.mu.Lock()
	v.cancel()
	v.mu.Unlock()
	v.loop.Wait()
}

// Get gives the value. It asks the source only when there is none that holds, once for all who wait, and after a failure not before a
// backoff is over: until then the failure is the answer.
func (v *Value[T]) Get(ctx context.Context) (T, error) {
	v.mu.Lock()
	if value, err, known := v.known(); known {
		v.mu.Unlock()
		return value, err
	}
	if v.running {
		v.stir() // its timer may have slept with the machine
	} else {
		v.running = true
		v.loop.Go(v.run)
	}
	fetched := v.fetched
	v.mu.Unlock()
	var none T
	select {
	case <-fetched:
	case <-v.ctx.Done():
		return none, errClosed
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.holds() {
		return v.value, nil
	}
	return none, v.err
}

var (
	errClosed = fmt.Errorf("renewal has ended: %w", net.ErrClosed)
	errEnded  = errors.New("what the source gave had ended already; is this machine's clock right?")
)

// known says whether there is an answer without asking the source.
func (v *Value[T]) known() (value T, err error, known bool) {
	switch {
	case v.ctx.Err() != nil:
		return value, errClosed, true
	case v.holds():
		return v.value, nil, true
	case v.err != nil && time.Now().Before(v.retryAt):
		return value, v.err, true
	}
	return value, nil, false
}

// holds compares by the wall clock: a machine that slept must not take an old token for a fresh one.
func (v *Value[T]) holds() bool {
	return v.has && (v.until.IsZero() || time.Now().Round(0).Before(v.until))
}

// Refused says that somebody did not take the value although it still holds: unless it is new, it is fetched again. is tells whether the
// value is still the one that was refused.
func (v *Value[T]) Refused(is func(T) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.has || !is(v.value) || time.Since(v.since) < settled {
		return
	}
	v.has = false
	v.stir()
}

// stir makes the loop fetch at once.
func (v *Value[T]) stir() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// run fetches until there is nothing left to renew: after a first failure, and after a value that never ends.
func (v *Value[T]) run() {
	for {
		value, until, err := v.source(v.ctx)
		if err == nil && !until.IsZero() && !time.Now().Before(until) {
			err = errEnded
		}
		v.mu.Lock()
		now := time.Now()
		var rest time.Duration
		if v.err = err; err == nil {
			v.failures = 0
			v.value, v.has, v.since, v.until = value, true, now, until.Round(0)
			rest = max(until.Sub(now)*4/5, minBackoff)
		} else {
			v.failures++
			rest = backoff(v.failures)
		}
		v.retryAt = now.Add(rest)
		holds, left := v.holds(), v.until.Sub(now)
		last := v.ctx.Err() != nil || !holds || until.IsZero() && err == nil
		v.running = !last
		close(v.fetched)
		v.fetched = make(chan struct{})
		select {
		case <-v.wake: // whoever stirred has been served
		default:
		}
		v.mu.Unlock()
		if err != nil && holds && v.ctx.Err() == nil {
			v.failed(err, left)
		}
		if last || !v.rest(rest) {
			return
		}
	}
}

// rest waits; false when the renewal is to end.
func (v *Value[T]) rest(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-v.wake:
		return true
	case <-v.ctx.Done():
		return false
	}
}

// backoff is the wait after the n-th failure in a row, its upper half random.
func backoff(n int) time.Duration {
	d := minBackoff
	for ; n > 1 && d < maxBackoff; n-- {
		d *= 2
	}
	d = min(d, maxBackoff)
	return d/2 + rand.N(d/2+1)
}
