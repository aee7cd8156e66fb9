package sidecar

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/lanes"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/ledger"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/metrics"
)

// flow is the one place where records in progress are kept: the lanes that order them and the ledger of each partition, under one mutex.
// Readers put records in (intake.go), workers take attempts out and bring outcomes back (worker.go), the committer takes commits.
// Nothing under the mutex blocks or does I/O, so that 64 workers share it at a cost of well under a microsecond a record.
type flow struct {
	*common
	cfg     flowConfig
	metrics *metrics.Metrics
	log     *slog.Logger
	until   time.Time // when attempts end for good, zero for never

	ready    *sync.Cond // idle workers wait here
	idle     int        // how many do
	waiters  int        // readers that wait for room
	lanes    *lanes.Lanes
	parts    map[int32]*partition
	stopping bool      // the process drains for good: nothing begins any more
	stopped  bool      // workers end
	wakeAt   time.Time // when the clock is to wake a worker, zero for never
	unacked  int64     // settled since the last acknowledged commit, all partitions
	signaled int64     // unacked when the committer was last told
	cut      int       // attempts that the last drain cancelled
	writing  int       // dead-letter writes made in the slot of the attempt
	crowded  bool      // it was said that the parked bounds are nearly used up
	withheld bool      // it was said that the intake waits for commits
	trimmed  bool      // it was said that the broker refuses maps
	halted   bool      // a record has asked for the stop of ON_FAILURE
	heldAt   time.Time // since when no attempt begins because the run seems to be over, zero for not
	tally    map[string]int64
	lost     int64     // records that are gone from the log unsettled
	beat     time.Time // when the clock last turned
	looked   time.Time // when it last looked at the parked bounds
	usage    usage

	poke      chan struct{} // wakeAt became earlier
	commitDue chan struct{}
	stop      chan stopRequest // capacity 1: ON_FAILURE=stop
	nearEnd   chan struct{}    // capacity 1: a partition may have come to its end
}

// common is what the flows of one process share. A container has one flow; a Lambda function has one for each invocation, and what one of
// them learns of the handler holds for all. One mutex for all of them is enough, since nobody holds it for long.
type common struct {
	mu      sync.Mutex
	breaker breaker
	limiter *rate.Limiter
}

func newCommon(p *policy, attemptsPerSecond float64) *common {
	c := &common{breaker: breaker{limit: p.failureLimit, interval: p.maxInterval}}
	if attemptsPerSecond > 0 {
		c.limiter = rate.NewLimiter(rate.Limit(attemptsPerSecond), max(1, int(attemptsPerSecond/10)))
	}
	return c
}

// flowConfig is what the flow needs of the configuration.
type flowConfig struct {
	common        *common         // nil: shared with nobody
	parent        context.Context // of every attempt; with a deadline the flow ends at it, or before, once nothing can begin until then. nil: none
	ordering      lanes.Ordering
	nullKeyIsLane bool // a record with a null key is a lane of its own; else it is in the lane of the empty key
	limits        lanes.Limits
	policy        policy
	rate          float64
	readCommitted bool // what an open transaction holds back cannot be read
	skip          map[int32]map[int64]struct{}
	mayStart      func(time.Time) bool
	commitDue     int64 // settled records that ask for a commit before its time
	maxUnacked    int64 // settled records without an acknowledged commit at which the intake pauses
}

// stopRequest says which record stopped the sidecar.
type stopRequest struct {
	partition int32
	offset    int64
	reason    string
}

// partition is one open partition. Its fields belong to flow.mu.
type partition struct {
	id     int32
	ledger *ledger.Ledger
	ctx    context.Context // of its attempts; the cause of its end tells a drain from a loss
	cancel context.CancelCauseFunc

	draining bool
	dry      chan struct{} // closed when a drain has nothing running any more

	room    chan struct{} // capacity 1: wakes the partition's reader
	waiting waitKind

	metadataLimit int // characters of commit metadata that the broker takes
	ends          endsView
	end           intake.End
	lastTaken     int64     // timestamp of the newest record taken in, ms; 0 before the first
	unreadSince   time.Time // since when records are known to wait in the log without one being taken in, zero for not; see gauges
	committed     int64     // offset of the last acknowledged commit
	lost          int64
	lastErr       string
}

// waitKind is what a partition's reader waits for.
type waitKind uint8

const (
	waitNothing waitKind = iota
	waitRoom             // for the partition to take in again, with hysteresis
	waitAdmit            // for one record to fit
)

// job is a record in progress; it hangs on the record's lane item.
type job struct {
	part     *partition
	entry    *ledger.Entry
	requests int       // requests made, the header's attempt number
	counted  int       // those that count against RETRY_MAX_ATTEMPTS
	first    time.Time // when the first attempt began
	failure  *failure  // set once the record is to be dead-lettered; then only that is tried
	writes   int       // dead-letter writes tried
	atOnce   bool      // the write runs in the slot of the attempt that failed
	asked    bool      // it waits because the handler asked it to (Retry-After)
	longest  bool      // its waits have grown to RETRY_MAX_INTERVAL
	status   int       // of the last attempt
	lastErr  string
}

// failure is why a record counts as failed.
type failure struct {
	reason string
	at     time.Time
}

// begin counts what is about to be made: a request, or the write of a dead letter.
func (j *job) begin(now time.Time) {
	if j.failure != nil {
		j.writes++
		return
	}
	if j.requests == 0 {
		j.first = now
	}
	j.requests++
}

// undo takes back what begin counted: it was never made.
func (j *job) undo() {
	if j.failure != nil {
		j.writes--
		return
	}
	j.requests--
}

func newFlow(cfg flowConfig, m *metrics.Metrics, log *slog.Logger) *flow {
	if cfg.common == nil {
		cfg.common = newCommon(&cfg.policy, cfg.rate)
	}
	if cfg.parent == nil {
		cfg.parent = context.Background()
	}
	cfg.limits.Paced = cfg.rate > 0
	f := &flow{
		common: cfg.common, cfg: cfg, metrics: m, log: log,
		lanes: lanes.New(cfg.ordering, cfg.nullKeyIsLane, cfg.limits), parts: map[int32]*partition{},
		poke: make(chan struct{}, 1), commitDue: make(chan struct{}, 1), stop: make(chan stopRequest, 1),
		nearEnd: make(chan struct{}, 1), tally: map[string]int64{},
		beat: time.Now(),
	}
	f.usage.at = f.beat
	f.ready = sync.NewCond(&f.mu)
	f.until, _ = cfg.parent.Deadline()
	return f
}

// next blocks until an attempt may begin and returns its lane item, or nil when the workers are to end.
func (f *flow) next() *lanes.Item {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.stopped {
		now := time.Now()
		f.measure(now)
		it, soonest := f.pick(now)
		if it != nil {
			f.passOn(now)
			return it
		}
		if f.isOver(soonest) {
			f.stopped = true
			f.ready.Broadcast()
			return nil
		}
		f.idle++
		f.ready.Wait()
		f.idle--
	}
	return nil
}

// passOn is for a worker that leaves with an item: one signal wakes one worker, so it wakes the next one while more is ready. When nothing is,
// it leaves a wake behind for what is due next: the one that woke it is used up, and those who sleep will not ask again by themselves.
func (f *flow) passOn(now time.Time) {
	if f.idle == 0 {
		return // whoever ends an attempt asks
	}
	if f.lanes.Ready(now) {
		f.ready.Signal()
	} else if at, ok := f.lanes.Wake(); ok {
		f.schedule(at)
	}
}

// isOver says whether a flow with an end has nothing left to do before it: nothing runs, and what waits could begin at the end at the soonest.
func (f *flow) isOver(soonest time.Time) bool {
	return !f.until.IsZero() && f.lanes.RunningTotal() == 0 && (soonest.IsZero() || !soonest.Before(f.until))
}

// pick chooses the next attempt, or arranges for the clock to wake a worker when there may be one and says when that is, zero for not by itself.
func (f *flow) pick(now time.Time) (it *lanes.Item, soonest time.Time) {
	if f.stopping || !f.heldAt.IsZero() {
		return nil, time.Time{} // whoever holds wakes everybody when it lets go
	}
	if !f.cfg.mayStart(now) {
		return nil, f.scheduleNext(now.Add(leasePoll))
	}
	if at, wait := f.breaker.holds(now); wait {
		return nil, f.scheduleNext(at)
	}
	if f.limiter != nil {
		if tokens := f.limiter.TokensAt(now); tokens < 1 {
			return nil, f.scheduleNext(now.Add(time.Duration((1 - tokens) / f.cfg.rate * float64(time.Second))))
		}
	}
	if it = f.choose(now); it == nil {
		return nil, f.scheduleNext(now)
	}
	if f.limiter != nil {
		f.limiter.AllowN(now, 1)
	}
	f.breaker.begin()
	it.Note.(*job).begin(now)
	return it, time.Time{}
}

// choose takes what is served next. A probe asks about a record that was never tried as long as there is one: records that have failed
// come due again before each probe, and asking about them alone would hold everything back for as long as they are bad, although the
// handler is not.
func (f *flow) choose(now time.Time) *lanes.Item {
	if f.breaker.isOpen {
		if it := f.lanes.Next(time.Time{}); it != nil { // as of the beginning of time nothing is due again
			return it
		}
	}
	return f.lanes.Next(now)
}

// leasePoll is how soon a lease that has run out is looked at again; the coordinator's next answer renews it.
const leasePoll = 50 * time.Millisecond

// schedule makes sure that the clock wakes a worker at the given time at the latest.
func (f *flow) schedule(at time.Time) {
	if !f.wakeAt.IsZero() && !at.Before(f.wakeAt) {
		return
	}
	f.wakeAt = at
	select {
	case f.poke <- struct{}{}:
	default:
	}
}

// scheduleNext arranges a wake for when something can begin, but not before the given time. Without anything that will be due by itself there is
// nothing to arrange: what comes next is admitted or ends, and that wakes a worker.
func (f *flow) scheduleNext(notBefore time.Time) (at time.Time) {
	if f.lanes.Ready(notBefore) {
		at = notBefore
	} else if due, ok := f.lanes.Wake(); ok {
		at = due
	} else {
		return time.Time{}
	}
	f.schedule(at)
	return at
}

// clockTurn is how often the clock turns when there is nothing to wake for; liveness watches it.
const clockTurn = time.Second

// clock wakes workers for retries, probes and tokens that have come due. It ends with ctx.
func (f *flow) clock(ctx context.Context) {
	timer := time.NewTimer(clockTurn)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.poke:
		case <-timer.C:
		}
		f.mu.Lock()
		now := time.Now()
		if now.Sub(f.looked) >= clockTurn {
			f.looked = now
			f.warnParked()
		}
		f.beat = now
		sleep := clockTurn
		if !f.wakeAt.IsZero() {
			if d := f.wakeAt.Sub(now); d > 0 {
				sleep = min(sleep, d)
			} else {
				f.wakeAt = time.Time{}
				f.ready.Signal()
			}
		}
		f.mu.Unlock()
		timer.Reset(sleep)
	}
}

// warnParked says once when a partition's parked keys use four fifths of what the bounds leave to it: when they use all, it pauses.
func (f *flow) warnParked() {
	switch percent := f.lanes.ParkedUse(); {
	case percent < 60: // some way below, so that it is not said again and again
		f.crowded = false
	case !f.crowded && percent >= 80:
		f.crowded = true
		st, l := f.lanes.Stats(), &f.cfg.limits
		f.log.Warn("parked keys hold most of what PARKED_MAX and PARKED_MAX_BYTES leave to a partition: when they hold all, it pauses", slog.Int("percent", percent), slog.Int("parked_keys", st.ParkedKeys),
			slog.Int("records", st.ParkedRecords), slog.Int("max", l.ParkedMax), slog.Int64("bytes", st.ParkedBytes), slog.Int64("max_bytes", l.ParkedMaxBytes))
	}
}

// windDown lets what runs end and nothing begin, for good. The partitions are drained after it, once their readers have ended; records that were
// taken in must not be handed out meanwhile to a handler that stops as well.
func (f *flow) windDown() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopping = true
}

// halt ends the workers once they have finished what they are at.
func (f *flow) halt() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	f.ready.Broadcast()
}

// wakeReaders tells the readers that wait for room that there may be some.
func (f *flow) wakeReaders() {
	if f.waiters == 0 {
		return
	}
	for _, p := range f.parts {
		if p.waiting == waitNothing || p.waiting == waitRoom && !f.hasRoom(p) {
			continue
		}
		select {
		case p.room <- struct{}{}:
		default:
		}
	}
}

// hasRoom says whether a partition may go on taking in.
func (f *flow) hasRoom(p *partition) bool {
	return f.unacked <= f.cfg.maxUnacked && f.lanes.HasRoom(p.id)
}

// settled books a record as settled: in its ledger, in its lane, in the counters.
func (f *flow) settled(it *lanes.Item, outcome string) {
	j := it.Note.(*job)
	defer f.wakeReaders()
	if !f.lanes.Settle(it) {
		return // the partition is no longer ours: whoever has it now decides
	}
	j.part.ledger.Settle(j.entry)
	f.countSettled(outcome)
	f.nears(j.part)
}

// countSettled counts one settled record and asks for a commit when enough have come together.
func (f *flow) countSettled(outcome string) {
	f.metrics.Settled(outcome)
	f.tally[outcome]++
	f.unacked++
	if f.unacked-f.signaled >= f.cfg.commitDue {
		f.signaled = f.unacked
		select {
		case f.commitDue <- struct{}{}:
		default:
		}
	}
}

// laneHash is the ledger's name for a record's lane, 0 for a lane that it need not know: a partition's unsettled records are a suffix
// that the commit itself names, and without order, or with a null key, each record stands for itself.
func (c *flowConfig) laneHash(key []byte) uint64 {
	if c.ordering != lanes.ByKey || key == nil && c.nullKeyIsLane {
		return 0
	}
	return ledger.LaneHash(key)
}

// laneScheme numbers the ways in which laneHash can work, so that a map written under another one is not misread.
func (c *flowConfig) laneScheme() uint32 {
	scheme := uint32(c.ordering) << 1
	if c.nullKeyIsLane {
		scheme |= 1
	}
	return scheme + 1
}
