package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/admin"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/metrics"
)

// Errors with which Run ends when it was not simply told to stop. The command maps them to exit codes.
var (
	// ErrStopped: a record failed and ON_FAILURE is stop. It was drained and committed up to that record.
	ErrStopped = errors.New("stopped by ON_FAILURE=stop")
	// ErrDrainBudget: running attempts were cancelled because SHUTDOWN_TIMEOUT was used up.
	ErrDrainBudget = errors.New("drain budget exceeded")
)

// Sidecar is one subscription at work.
type Sidecar struct {
	outlets
	cfg     *envconfig.Config
	log     *slog.Logger
	metrics *metrics.Metrics
	flow    *flow
	intake  *intake.Intake
	emf     *metrics.EMF // nil: METRICS_EMF is off

	draining atomic.Bool
	stopping atomic.Pointer[time.Time] // when the drain began
	ended    chan error                // capacity 1: END_AT is reached
}

// New prepares everything that needs no connection. The handler's type must be known: see ResolveHandler. Its errors are mistakes of configuration that only the files or the system could
// show, such as an unreadable certificate.
func New(cfg *envconfig.Config, log *slog.Logger, version string) (*Sidecar, error) {
	s := &Sidecar{cfg: cfg, log: log, metrics: newMetrics(version), ended: make(chan error, 1)}
	mayStart := func(now time.Time) bool { return s.intake.MayStart(now) }
	var err error
	if s.outlets, err = newOutlets(cfg, log, version, s.metrics, mayStart); err != nil {
		return nil, err
	}
	fc := flowSettings(cfg)
	fc.mayStart = mayStart
	s.flow = newFlow(fc, s.metrics, log)
	ic := intakeConfig(cfg, s.cluster, log)
	ic.LaneScheme = fc.laneScheme()
	ic.OnRebalance = s.metrics.Rebalance
	ic.Ready = s.ready
	if cfg.DeadLetter.Topic != "" {
		ic.Needs = []protocol.ApiKey{protocol.Produce, protocol.InitProducerId}
	}
	s.intake = intake.New(ic, s.flow)
	s.metrics.Watch(s.state)
	return s, nil
}

// WriteEMF makes Run write METRICS_EMF's documents to w, where they are asked for. It must be called before Run.
func (s *Sidecar) WriteEMF(w io.Writer) {
	s.emf = newEMF(w, s.cfg, s.metrics, s.log)
}

// newEMF writes METRICS_EMF's documents; nil where they are not asked for.
func newEMF(w io.Writer, cfg *envconfig.Config, m *metrics.Metrics, log *slog.Logger) *metrics.EMF {
	if cfg.Run.EMFNamespace == "" {
		return nil
	}
	return metrics.NewEMF(w, cfg.Run.EMFNamespace, cfg.Subscription.ID, m, log)
}

// Run consumes until ctx is done, or to END_AT, then drains, commits and leaves the group. It returns nil after a clean drain, ErrStopped or
// ErrDrainBudget where they apply, ErrParked or ErrUnfinished where END_AT was set and not all before it is settled, and otherwise what made it
// impossible to go on.
func (s *Sidecar) Run(ctx context.Context) error {
	defer func() { s.close(s.flushTime()) }()
	stopAdmin, err := serveAdmin(ctx, s.cfg.Run.AdminAddr, s, s.metrics, s.log)
	if err != nil {
		return err
	}
	defer stopAdmin()

	if s.cfg.Run.Paused {
		s.log.WarnContext(ctx, "PAUSED is true: the group is joined and nothing is read")
	}
	began := time.Now()
	run, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var helpers, workers sync.WaitGroup
	clock, stopClock := context.WithCancel(context.WithoutCancel(ctx))
	helpers.Go(func() { s.flow.clock(clock) })
	helpers.Go(func() { s.watchStop(run, clock, stop) })
	if s.cfg.Run.EndAt.Kind != "" {
		helpers.Go(func() {
			ctx, cancel := context.WithCancel(run)
			defer cancel()
			defer context.AfterFunc(clock, cancel)()
			s.watchEnd(ctx)
		})
	}
	if s.emf != nil {
		helpers.Go(func() { s.emf.Run(clock) }) // ends after the workers and the last commit, so that its last document has all of them
	}
	w := s.worker(s.flow, s.cfg)
	for range s.cfg.Delivery.Concurrency {
		workers.Go(w.run)
	}

	err = s.intake.Run(run)

	s.flow.halt()
	workers.Wait()
	stopClock()
	helpers.Wait()
	switch {
	case errors.Is(context.Cause(run), ErrStopped), errors.Is(context.Cause(run), ErrHandlerChanged):
		return context.Cause(run)
	case err != nil:
		return err
	case s.flow.cutAttempts() > 0:
		return fmt.Errorf("%w: %d attempts were cancelled, their records are delivered again (raise SHUTDOWN_TIMEOUT above HANDLER_TIMEOUT plus 3s)",
			ErrDrainBudget, s.flow.cutAttempts())
	case s.cfg.Run.EndAt.Kind == "":
		return nil
	case errors.Is(context.Cause(run), errFinished):
	case errors.Is(context.Cause(run), ErrParked):
		err = context.Cause(run)
	default:
		err = ErrUnfinished
	}
	s.summary(began, err)
	return err
}

// watchStop ends the run when a record asks for it, and notes when a drain begins.
func (s *Sidecar) watchStop(run, clock context.Context, stop context.CancelCauseFunc) {
	select {
	case r := <-s.flow.stop:
		s.log.Error("record failed and ON_FAILURE is stop: draining", slog.Int("partition", int(r.partition)), slog.Int64("offset", r.offset), slog.String("reason", r.reason))
		stop(fmt.Errorf("%w: partition %d offset %d failed: %s", ErrStopped, r.partition, r.offset, r.reason))
	case <-s.changed.Done():
		err := context.Cause(s.changed)
		s.log.Error("the handler is not what it was at start: draining, the next start follows it", slog.Any("err", err))
		stop(err)
	case err := <-s.ended:
		stop(err)
	case <-run.Done():
	case <-clock.Done():
		return
	}
	s.flow.windDown() // before /ready says so
	s.draining.Store(true)
	now := time.Now()
	s.stopping.Store(&now)
	s.log.Info("stopping: no more records are taken in, running attempts end", slog.Duration("budget", s.cfg.Run.DrainBudget()))
}

func newMetrics(version string) *metrics.Metrics {
	return metrics.New(version, []string{outcomeDone, outcomeDropped, outcomeDeadLetter, outcomeSkipped})
}

// serveAdmin starts the admin listener, unless addr is empty, and returns what stops it.
func serveAdmin(ctx context.Context, addr string, pages admin.Source, m *metrics.Metrics, log *slog.Logger) (stop func(), err error) {
	if addr == "" {
		return func() {}, nil
	}
	srv, err := admin.Listen(ctx, addr)
	if err != nil {
		return nil, err
	}
	log.InfoContext(ctx, "admin pages", slog.String("addr", srv.Addr()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(pages, promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{})); err != nil {
			log.Error("admin pages are gone", slog.Any("err", err))
		}
	}()
	return func() { srv.Close(); <-done }, nil
}

// cutAttempts is how many attempts drains have cancelled at the end of their budget.
func (f *flow) cutAttempts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cut
}
