// Package reload keeps a value in step with the file that it comes from, so that a rotated secret needs no restart.
package reload

import (
	"sync"
	"sync/atomic"
	"time"
)

// Interval is how soon a change is noticed. Reading a file for every attempt would cost as much as the attempt.
const Interval = time.Second

// Value is a value that follows its source. It is safe for concurrent use.
type Value[T any] struct {
	load    func() (T, error) // nil: it does not change
	current atomic.Pointer[T]

	mu     sync.Mutex // held while loading
	looked time.Time
}

// New loads the value for the first time; its error is that of load.
func New[T any](load func() (T, error)) (*Value[T], error) {
	v := &Value[T]{load: load}
	first, err := load()
	if err != nil {
		return nil, err
	}
	v.current.Store(&first)
	return v, nil
}

// Fixed is a value that comes from no file and does not change.
func Fixed[T any](value T) *Value[T] {
	v := &Value[T]{}
	v.current.Store(&value)
	return v
}

// Get gives the value as of now, loaded again when it was last at least an Interval ago. While it cannot be loaded, for instance in the middle
// of its file being replaced, the last good one is given.
func (v *Value[T]) Get(now time.Time) T {
	if v.load != nil && v.mu.TryLock() { // who does not get the lock uses what is there
		if now.Sub(v.looked) >= Interval {
			v.looked = now
			if value, err := v.load(); err == nil {
				v.current.Store(&value)
			}
		}
		v.mu.Unlock()
	}
	return *v.current.Load()
}
