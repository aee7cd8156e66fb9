package trace

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// queue stands before and behind the SDK's batches, to know how many spans wait: the SDK drops what it has no room for and tells nobody.
// The spans of a batch under way count as waiting, so that the SDK always has room for what is let in.
type queue struct {
	batches  sdk.SpanProcessor
	exporter sdk.SpanExporter
	drops    *drops
	limit    int64
	held     atomic.Int64
}

var errQueueFull = errors.New("the queue is full: spans end faster than they are exported")

// OnStart does nothing.
func (*queue) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd lets a span in, or drops it.
func (q *queue) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if q.held.Add(1) > q.limit {
		q.held.Add(-1)
		q.drops.add(1, errQueueFull)
		return
	}
	q.batches.OnEnd(s)
}

// Shutdown exports what waits.
func (q *queue) Shutdown(ctx context.Context) error { return q.batches.Shutdown(ctx) }

// ForceFlush exports what waits.
func (q *queue) ForceFlush(ctx context.Context) error { return q.batches.ForceFlush(ctx) }

// out is where the batches go.
func (q *queue) out() sdk.SpanExporter { return (*queueEnd)(q) }

// queueEnd is the queue as the SDK's exporter.
type queueEnd queue

// ExportSpans exports one batch. A failure ends here: the SDK would print it to standard error.
func (q *queueEnd) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	defer q.held.Add(-int64(len(spans)))
	err := q.exporter.ExportSpans(ctx, spans)
	if partial := (rejectedError{}); errors.As(err, &partial) {
		q.drops.add(min(partial.spans, len(spans)), partial)
	} else if err != nil {
		q.drops.add(len(spans), innermost(err))
	}
	return nil
}

// Shutdown ends the exporter.
func (q *queueEnd) Shutdown(ctx context.Context) error { return q.exporter.Shutdown(ctx) }

// innermost takes the SDK's wrapping off: the client's own errors say all there is to say.
func innermost(err error) error {
	if own := (exportError{}); errors.As(err, &own) {
		return own
	}
	return err
}

// tellEvery is how often drops are told at most.
const tellEvery = time.Minute

// drops counts spans that will not be exported and tells of them once in a while.
type drops struct {
	count func(int)
	log   *slog.Logger
	now   func() time.Time

	mu     sync.Mutex
	told   time.Time
	untold int
}

func (d *drops) add(spans int, err error) {
	if spans <= 0 {
		return
	}
	d.count(spans)
	d.mu.Lock()
	d.untold += spans
	n, now := d.untold, d.now()
	tell := d.told.IsZero() || now.Sub(d.told) >= tellEvery
	if tell {
		d.told, d.untold = now, 0
	}
	d.mu.Unlock()
	if tell {
		d.log.Warn("spans are dropped, delivery goes on", slog.Int("spans", n), slog.Any("err", err))
	}
}
