package intake

import (
	"context"
	"sync"
)

// holds bounds the decompressed batches that all readers hold together: an allowance shared by all, and one batch at a time above it,
// however large it turns out to be. Compression has no useful upper bound (a 10 MiB record passes through a 1 MiB limit), and a hundred
// readers that each inflated a batch while they wait for room would not be bounded memory.
type holds struct {
	mu        sync.Mutex
	allowance int64
	used      int64
	above     *hold // the one that is over the allowance
	freed     chan struct{}
}

func newHolds(allowance int64) *holds {
	return &holds{allowance: allowance, freed: make(chan struct{})}
}

// hold is one reader's part. Its methods are called by that reader alone.
type hold struct {
	all   *holds
	bytes int64
}

// grow asks for n more bytes; it is the decoder's Grow callback.
func (h *hold) grow(n int64) bool {
	a := h.all
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.above != h && a.used+n > a.allowance {
		if a.above != nil {
			return false
		}
		a.above = h
	}
	h.bytes += n
	a.used += n
	return true
}

// isAbove says that this is the one batch above the allowance: it must not be held while waiting for room.
func (h *hold) isAbove() bool {
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	return h.all.above == h
}

// release gives everything back.
func (h *hold) release() {
	a := h.all
	a.mu.Lock()
	defer a.mu.Unlock()
	if h.bytes == 0 && a.above != h {
		return
	}
	a.used -= h.bytes
	h.bytes = 0
	if a.above == h {
		a.above = nil
	}
	close(a.freed)
	a.freed = make(chan struct{})
}

// wait blocks until somebody has given something back.
func (a *holds) wait(ctx context.Context) error {
	a.mu.Lock()
	freed := a.freed
	free := a.above == nil
	a.mu.Unlock()
	if free {
		return ctx.Err()
	}
	select {
	case <-freed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
