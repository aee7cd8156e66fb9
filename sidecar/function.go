package sidecar

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/auth"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/kafkaevent"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/ledger"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/metrics"
)

// Function is one subscription as a Lambda function. A Kafka event source mapping is its intake: it brings records as events and keeps the
// group's position, so that all there is to tell it is what an event leaves unsettled.
//
// Each invocation has a flow of its own, with lanes and ledgers for the event's records alone, and takes nothing along into the next one
// but what common holds. Several may run at once.
type Function struct {
	outlets
	cfg      *envconfig.Config
	log      *slog.Logger
	metrics  *metrics.Metrics
	settings flowConfig
	emf      *metrics.EMF // nil: METRICS_EMF is off

	checking chan struct{} // holds a token while check looks
	checked  atomic.Bool
}

// answerMargin is what is kept of an invocation's time for its answer: a function that runs into its deadline is killed, with all that it
// has settled untold.
const answerMargin = time.Second

// NewFunction prepares everything that needs no connection, for so many invocations at once. The handler's type must be known: see
// ResolveHandler.
func NewFunction(cfg *envconfig.Config, log *slog.Logger, version string, invocations int) (*Function, error) {
	wide := *cfg
	wide.Delivery.Concurrency *= max(1, invocations) // the connections are shared, CONCURRENCY is that of one invocation
	f := &Function{cfg: cfg, log: log, metrics: newMetrics(version), settings: flowSettings(cfg), checking: make(chan struct{}, 1)}
	s := &f.settings
	s.limits.MaxInFlight, s.limits.MaxInFlightBytes = math.MaxInt32, math.MaxInt32 // an event is in memory already, and of 6 MB at most
	s.limits.ParkedMax, s.limits.ParkedMaxBytes = 0, 0
	s.commitDue, s.maxUnacked = math.MaxInt64, math.MaxInt64
	if s.policy.onFailure == actPark || s.policy.onFailure == actStop {
		s.policy.onFailure = actHold
	}
	s.common = newCommon(&s.policy, s.rate)
	var err error
	f.outlets, err = newOutlets(&wide, log, version, f.metrics, nil)
	return f, err
}

// Metrics are the counters of all invocations so far.
func (f *Function) Metrics() prometheus.Gatherer { return f.metrics.Registry }

// Close ends what invocations have left open. None may run any more.
func (f *Function) Close() { f.close(flushTimeout) }

// WriteEMF makes every invocation write a document of METRICS_EMF to w at its end, where they are asked for. It must be called before Handle.
func (f *Function) WriteEMF(w io.Writer) {
	f.emf = newEMF(w, f.cfg, f.metrics, f.log)
}

// Handle delivers the records of one event and returns when each is settled or cannot be before the invocation's deadline, less answerMargin.
// What is unsettled comes back as an *UnsettledError or, with LAMBDA_PARTIAL_BATCH, in the answer; an event that is none of ours as a
// *kafkaevent.Error. An error that wraps ErrHandlerChanged asks for a new process. The id is that of the invocation, for logs.
func (f *Function) Handle(ctx context.Context, id string, payload []byte) (kafkaevent.Answer, error) {
	log := f.log.With(slog.String("request_id", id))
	partitions, err := kafkaevent.Decode(payload, f.cfg.Subscription.Topic)
	if err != nil {
		log.ErrorContext(ctx, "event cannot be taken: the invocation fails, and its records come again", slog.Any("err", err))
		return kafkaevent.Answer{}, err
	}
	defer f.flush(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-answerMargin))
		defer cancel()
	}
	if err := f.check(ctx); err != nil {
		log.ErrorContext(ctx, "what the first attempt needs is not there: nothing is attempted, and the records come again", slog.Any("err", err))
		return kafkaevent.Answer{}, err
	}
	left, err := f.deliver(ctx, partitions, log)
	if err != nil {
		return kafkaevent.Answer{}, err
	}
	if err := context.Cause(f.changed); err != nil {
		log.ErrorContext(ctx, "the handler is not what it was at start: a new process follows it", slog.Any("err", err))
		return kafkaevent.Answer{}, err
	}
	answer := kafkaevent.NewAnswer()
	if left == nil {
		return answer, nil
	}
	log.WarnContext(ctx, "records are unsettled and come again", slog.Int("unsettled", left.Unsettled), slog.Int("records", left.Records), slog.Any("err", left))
	if !f.cfg.Function.PartialBatch {
		return answer, left
	}
	for _, p := range left.Partitions {
		answer.Fail(p.Partition, p.Offset)
	}
	return answer, nil
}

// check looks at what the first attempt needs until it was found right once: not when the process starts, since the records wait for
// nothing then, and a broker that is away for a moment would be a crash.
func (f *Function) check(ctx context.Context) error {
	if f.target == nil && f.auth == auth.Nobody || f.checked.Load() {
		return nil
	}
	select {
	case f.checking <- struct{}{}:
		defer func() { <-f.checking }()
	case <-ctx.Done():
		return fmt.Errorf("before the first attempt: %w", context.Cause(ctx))
	}
	if f.checked.Load() {
		return nil
	}
	if err := f.ready(ctx); err != nil {
		return fmt.Errorf("before the first attempt: %w", err)
	}
	f.checked.Store(true)
	return nil
}

// flush hands out what was counted and what was traced: the process may be frozen once the invocation is answered, and ended without a word.
func (f *Function) flush(ctx context.Context) {
	if f.emf != nil {
		f.emf.Flush()
	}
	if f.tracing == nil {
		return
	}
	within := flushTimeout
	if deadline, ok := ctx.Deadline(); ok {
		within = min(within, time.Until(deadline)-flushReserve)
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	f.tracing.Flush(ctx)
}

// deliver makes attempts for the records until none can be made any more, and says what is unsettled then.
func (f *Function) deliver(ctx context.Context, partitions []kafkaevent.Partition, log *slog.Logger) (*UnsettledError, error) {
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	cfg := f.settings
	cfg.parent = run
	cfg.mayStart = func(time.Time) bool { return run.Err() == nil }
	flow := newFlow(cfg, f.metrics, log)
	records := 0
	for _, p := range partitions {
		flow.Open(intake.Partition{ID: p.ID, Log: ledger.Identity{Partition: p.ID}, Start: p.Records[0].Offset, Epoch: -1})
		for _, rec := range p.Records {
			if err := flow.Admit(run, rec); err != nil {
				return nil, fmt.Errorf("take in record %d@%d: %w", rec.Partition, rec.Offset, err)
			}
		}
		records += len(p.Records)
	}

	var clock, workers sync.WaitGroup
	ticking, stopClock := context.WithCancel(context.WithoutCancel(ctx))
	clock.Go(func() { flow.clock(ticking) })
	crash := make(chan any, 1)
	w := f.worker(flow, f.cfg)
	for range min(cfg.limits.Concurrency, records) {
		workers.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					select {
					case crash <- fmt.Errorf("%v\n%s", p, debug.Stack()):
					default:
					}
					cancel()
				}
			}()
			w.run()
		})
	}
	stopHalting := context.AfterFunc(run, flow.halt)
	stopFollowing := context.AfterFunc(f.changed, flow.halt) // waiting out the invocation's time would not bring the old handler back
	workers.Wait()
	stopHalting()
	stopFollowing()
	stopClock()
	clock.Wait()
	select {
	case p := <-crash:
		panic(p) // where the runtime's client sees it, and reports it
	default:
	}
	return flow.unsettled(partitions, records), nil
}

// unsettled says what of an event's partitions is unsettled, nil for nothing.
func (f *flow) unsettled(partitions []kafkaevent.Partition, records int) *UnsettledError {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := &UnsettledError{Records: records}
	for _, p := range partitions {
		part := f.parts[p.ID]
		oldest, ok := part.ledger.Oldest()
		if !ok {
			continue
		}
		left.Unsettled += part.ledger.Unsettled()
		left.Partitions = append(left.Partitions, UnsettledPartition{
			Item: kafkaevent.Item{Partition: p.Name, Offset: oldest.Offset()}, Unsettled: part.ledger.Unsettled(),
			Reason: cmp.Or(part.lastErr, "not reached in the time that the invocation had"),
		})
	}
	if left.Unsettled == 0 {
		return nil
	}
	return left
}

// UnsettledError says what an invocation leaves unsettled. Its text shows nothing of the records.
type UnsettledError struct {
	Unsettled, Records int // of so many
	Partitions         []UnsettledPartition
}

// UnsettledPartition is a partition with unsettled records.
type UnsettledPartition struct {
	kafkaevent.Item
	Unsettled int
	Reason    string // the last error there
}

// maxNamed bounds the partitions that an error names.
const maxNamed = 5

// Error gives the summary that the runtime is told.
func (e *UnsettledError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d records are unsettled: ", e.Unsettled, e.Records)
	for i, p := range e.Partitions[:min(maxNamed, len(e.Partitions))] {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%d in %s from offset %d on, %s", p.Unsettled, p.Partition, p.Offset, p.Reason)
	}
	if more := len(e.Partitions) - maxNamed; more > 0 {
		fmt.Fprintf(&b, "; and %d more partitions", more)
	}
	return b.String()
}
