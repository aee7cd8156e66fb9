package intake

import (
	"context"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake/fetch"
)

// holds bounds what all readers hold together beside the records that were taken in: the answers of the brokers and the batches unpacked from them.
// Neither has a useful bound of its own: Kafka answers with one whole batch however little was asked for (KIP-74), and a 10 MiB record passes
// compressed through a 1 MiB limit. There is an allowance. Half of it every reader has an equal share of, which is what its fetches ask for, so that
// only larger batches make anybody wait. The other half is common to those; and one reader at a time may be above it, however large its batch turns
// out to be.
//
// Common memory is given in the order in which it is asked for. Whoever holds some and waits for room (for a handler, that is, which may take for
// ever) lets go when others ask, and fetches again once there is room: so nobody waits for longer than brokers take to send.
type holds struct {
	mu        sync.Mutex
	allowance int64
	each      int64      // a reader's share
	used      int64      // of the common half: what the one above holds is not in it
	readers   int64      // that share it
	holding   []*hold    // those that hold something, longest first
	above     *hold      // the one that is over the common half
	queue     []*request // those that are refused so far, in their order
}

func newHolds(allowance int64) *holds { return &holds{allowance: allowance} }

// hold is one reader's part. Its methods are called by that reader alone.
type hold struct {
	all   *holds
	bytes int64

	// patience is the reader's context while it waits for room. It ends early when others ask for what is held.
	patience context.Context
	hurry    context.CancelFunc

	small  []byte        // for answers without records or with a few: too little to count
	answer *fetch.Buffer // for others; nil: none
	since  time.Time     // when the answer began to be read
}

// request is a reader that waits for memory.
type request struct {
	hold    *hold
	bytes   int64
	granted chan struct{} // closed
}

// smallAnswer is the size of answer that a reader has memory for always. It bounds what idle partitions cost.
const smallAnswer = 4 << 10

// leastShare is the least that a fetch asks for on account of the allowance: below, requests would cost more than they bring.
const leastShare = 16 << 10

// hugeBatch is the size from which on memory that is given back is collected before somebody else has its place: at the next collection in its time
// both would be there.
const hugeBatch = 16 << 20

// join makes a reader's hold. It ends with leave.
func (a *holds) join(ctx context.Context) *hold {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.divide(1)
	h := &hold{all: a}
	h.patience, h.hurry = context.WithCancel(ctx)
	return h
}

func (h *hold) leave() {
	h.release()
	h.hurry()
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	h.all.divide(-1)
}

// divide makes the shares anew for more readers or fewer.
func (a *holds) divide(more int64) {
	a.readers += more
	a.each = a.allowance / 2 / max(1, a.readers)
	a.used = 0
	for _, h := range a.holding {
		if h != a.above {
			a.used += a.beyond(h.bytes)
		}
	}
	a.serve()
}

// beyond is what of n bytes is more than a reader's share.
func (a *holds) beyond(n int64) int64 { return max(0, n-a.each) }

// share is what a fetch may ask for so that its answer is within the reader's share, unless it is one batch that is larger.
func (a *holds) share() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return 1 << (bits.Len64(uint64(max(leastShare, a.each-fetch.BufferSlack))) - 1)
}

// begin prepares for the next answer.
func (h *hold) begin(ctx context.Context) {
	if h.patience.Err() == nil {
		return
	}
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	h.patience, h.hurry = context.WithCancel(ctx)
}

// space gives memory for an answer of n bytes; it is a cluster.Space.
func (h *hold) space(ctx context.Context, n int) ([]byte, error) {
	if n <= smallAnswer {
		if h.small == nil {
			h.small = make([]byte, smallAnswer)
		}
		return h.small[:n], nil
	}
	size := fetch.BufferSize(n)
	if err := h.take(ctx, int64(size)); err != nil {
		return nil, err
	}
	h.answer, h.since = fetch.NewBuffer(size), time.Now()
	return h.answer.B[:n], nil
}

// take waits until n more bytes may be held. An error is that of ctx; release then, too.
func (h *hold) take(ctx context.Context, n int64) error {
	a := h.all
	a.mu.Lock()
	if (len(a.queue) == 0 || a.above == h || a.beyond(h.bytes+n) == 0) && a.grant(h, n) {
		a.mu.Unlock()
		return nil
	}
	q := &request{hold: h, bytes: n, granted: make(chan struct{})}
	a.queue = append(a.queue, q)
	a.serve()
	a.mu.Unlock()
	select {
	case <-q.granted:
		return nil
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queue = slices.DeleteFunc(a.queue, func(o *request) bool { return o == q })
	a.serve()
	return context.Cause(ctx)
}

// give gives n bytes back, which nothing refers to any more.
func (h *hold) give(n int64) {
	if n == 0 {
		return
	}
	if n >= hugeBatch {
		runtime.GC()
	}
	a := h.all
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.beyond(h.bytes)
	h.bytes -= n
	after := a.beyond(h.bytes)
	switch {
	case a.above != h:
		a.used += after - before
	case after == 0 || a.used+after <= a.allowance/2: // shares that have shrunk since may have put more in use than there is
		a.used += after
		a.above = nil
	}
	if h.bytes == 0 {
		a.holding = slices.DeleteFunc(a.holding, func(o *hold) bool { return o == h })
	}
	a.serve()
}

// release gives everything back; the answer is not to be looked at any more.
func (h *hold) release() {
	if h.answer != nil {
		h.answer.Free()
		h.answer = nil
	}
	h.give(h.bytes)
}

// grant books n bytes for h, if there are as many.
func (a *holds) grant(h *hold, n int64) bool {
	before, after := a.beyond(h.bytes), a.beyond(h.bytes+n)
	switch {
	case a.above == h:
	case after == 0, a.used+after-before <= a.allowance/2:
		a.used += after - before
	case a.above == nil:
		a.above = h
		a.used -= before
	default:
		return false
	}
	if h.bytes == 0 && n > 0 {
		a.holding = append(a.holding, h)
	}
	h.bytes += n
	return true
}

// serve grants what is asked for, in order, as far as it goes. For the first that has to wait on, as many others are hurried as hold what it
// asks for, and the one above, whose place it may have as well.
func (a *holds) serve() {
	for len(a.queue) > 0 && a.grant(a.queue[0].hold, a.queue[0].bytes) {
		close(a.queue[0].granted)
		a.queue[0] = nil
		a.queue = a.queue[1:]
	}
	if len(a.queue) == 0 {
		return
	}
	a.above.hurry()
	first := a.queue[0]
	missing := a.used + a.beyond(first.hold.bytes+first.bytes) - a.beyond(first.hold.bytes) - a.allowance/2
	for _, h := range a.holding {
		if missing <= 0 {
			return
		}
		if n := a.beyond(h.bytes); n > 0 && h != a.above && h != first.hold {
			h.hurry()
			missing -= n
		}
	}
}
