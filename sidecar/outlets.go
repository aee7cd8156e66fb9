package sidecar

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/auth"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/deadletter"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/metrics"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/trace"
)

// outlets are the ways out of the process, which a container and a Lambda function have alike.
type outlets struct {
	cluster  *cluster.Cluster // nil where the configuration names no brokers
	auth     auth.Auth
	invoker  *invoke.Invoker
	attempts invoker           // the invoker, or what asks Restate again about its answers
	target   deadletter.Target // nil: no dead letters
	tracing  *trace.Tracing    // nil: no spans

	changed context.Context         // done once the handler is not what it was at start, with the reason as its cause
	tell    context.CancelCauseFunc // ends changed
}

// newOutlets prepares them; it connects to nothing. mayStart nil: attempts may begin at any time.
func newOutlets(cfg *envconfig.Config, log *slog.Logger, version string, m *metrics.Metrics, mayStart func(time.Time) bool) (o outlets, err error) {
	defer func() {
		if err != nil {
			o.closeTracing(flushTimeout) // the one part that runs already
		}
	}()
	o.changed, o.tell = context.WithCancelCause(context.Background())
	if len(cfg.Kafka.Brokers) > 0 {
		if o.cluster, err = cluster.New(clusterConfig(cfg, log)); err != nil {
			return o, err
		}
	}
	attempts := invokeConfig(cfg, m.SkippedHeader)
	attempts.MaySend = mayStart
	if o.tracing, err = newTracing(cfg, version, m.DroppedSpans, log); err != nil {
		return o, err
	}
	if o.tracing != nil {
		attempts.Tracer = o.tracing
	}
	if o.auth, err = newHandlerAuth(cfg, log); err != nil {
		return o, err
	}
	attempts.Auth = signer(o.auth)
	if o.invoker, err = invoke.New(attempts); err != nil {
		return o, err
	}
	if o.attempts, err = watched(cfg, o.invoker, log, o.tell); err != nil {
		return o, err
	}
	o.target, err = deadLetterTarget(cfg, o.cluster, log)
	return o, err
}

// worker makes the attempts of a flow through these outlets.
func (o *outlets) worker(f *flow, cfg *envconfig.Config) *worker {
	return &worker{flow: f, invoke: o.attempts, target: o.target, letter: letterFacts{cfg.Subscription.Topic, cfg.Subscription.ID}}
}

// ready says what must be there before the first attempt.
func (o *outlets) ready(ctx context.Context) error {
	if err := o.auth.Check(ctx); err != nil {
		return fmt.Errorf("authenticate to the handler: %w", err)
	}
	if o.target != nil {
		return o.target.Check(ctx)
	}
	return nil
}

// close ends them; spans that wait have so much time.
func (o *outlets) close(flush time.Duration) {
	o.auth.Close()
	o.closeTracing(flush)
	if o.target != nil {
		o.target.Close()
	}
	o.invoker.Close()
	if o.cluster != nil {
		o.cluster.Close()
	}
}
