package trace

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"
)

// Header is one header of an export. Values may be secrets.
type Header struct{ Name, Value string }

// Config says what spans tell and where they go. Every field but those with a default is required.
type Config struct {
	Endpoint string                   // URL of the collector's page for traces
	Headers  func() ([]Header, error) // of every export, as they are now
	TLS      *tls.Config              // for https
	Gzip     bool                     // compress exports
	Timeout  time.Duration            // one request

	Sampler string  // a name of OTEL_TRACES_SAMPLER
	Ratio   float64 // for those with a ratio

	QueueSize     int           // most spans that wait for their export
	BatchSize     int           // most spans of one export
	BatchDelay    time.Duration // the longest wait for a batch to fill
	ExportTimeout time.Duration // of one batch, with what is tried again

	Resource map[string]string // what the spans come from, service.name among it

	Topic, Group, ClientID, SubscriptionID string
	Service, Handler                       string // of a service:// sink, else empty
	Keyed                                  bool   // the key is part of its target
	Restate                                bool   // it is behind Restate's ingress

	OnDropped func(spans int) // they will not be exported
	Logger    *slog.Logger
}

// Tracing makes spans and exports them. It is safe for concurrent use.
type Tracing struct {
	provider *sdk.TracerProvider
	tracer   api.Tracer
	client   *client
	name     string
	fixed    []attribute.KeyValue // of every span
}

// New begins to export. Its goroutine ends with Close.
func New(cfg Config) (*Tracing, error) {
	sampler, err := sampler(cfg.Sampler, cfg.Ratio)
	if err != nil {
		return nil, err
	}
	drops := &drops{count: cfg.OnDropped, log: cfg.Logger, now: time.Now}
	client := newClient(cfg)
	return build(cfg, sampler, drops, client, otlptrace.NewUnstarted(client)), nil
}

func build(cfg Config, sampler sdk.Sampler, drops *drops, client *client, exporter sdk.SpanExporter) *Tracing {
	// Whatever the SDK has to say beside failed exports, which never reach it. Its words may quote the environment.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		cfg.Logger.Warn("the OpenTelemetry SDK reports an error", slog.String("type", fmt.Sprintf("%T", err)))
	}))
	q := &queue{drops: drops, limit: int64(cfg.QueueSize), exporter: exporter}
	q.batches = sdk.NewBatchSpanProcessor(q.out(), sdk.WithMaxQueueSize(cfg.QueueSize), sdk.WithMaxExportBatchSize(cfg.BatchSize),
		sdk.WithBatchTimeout(cfg.BatchDelay), sdk.WithExportTimeout(cfg.ExportTimeout))
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(q), sdk.WithSampler(sampler), sdk.WithResource(origin(cfg.Resource)))
	t := &Tracing{
		provider: provider, client: client,
		tracer: provider.Tracer("github.com/kafka-sidecar/kafka-sidecar"),
	}
	t.name, t.fixed = describe(cfg)
	return t
}

// sampler is OTEL_TRACES_SAMPLER as its specification has it.
func sampler(name string, ratio float64) (sdk.Sampler, error) {
	switch name {
	case "always_on":
		return sdk.AlwaysSample(), nil
	case "always_off":
		return sdk.NeverSample(), nil
	case "traceidratio":
		return sdk.TraceIDRatioBased(ratio), nil
	case "parentbased_always_on":
		return sdk.ParentBased(sdk.AlwaysSample()), nil
	case "parentbased_always_off":
		return sdk.ParentBased(sdk.NeverSample()), nil
	case "parentbased_traceidratio":
		return sdk.ParentBased(sdk.TraceIDRatioBased(ratio)), nil
	}
	return nil, fmt.Errorf("check sampler: %q is not known", name)
}

func origin(attributes map[string]string) *resource.Resource {
	list := []attribute.KeyValue{
		attribute.String("telemetry.sdk.language", "go"),
		attribute.String("telemetry.sdk.name", "opentelemetry"),
		attribute.String("telemetry.sdk.version", otel.Version()),
	}
	for name, value := range attributes {
		list = append(list, attribute.String(name, value))
	}
	return resource.NewSchemaless(list...)
}

// Flush exports what waits, until ctx ends; of what is left then, the batch under way is dropped.
func (t *Tracing) Flush(ctx context.Context) {
	_ = t.provider.ForceFlush(ctx) // failed exports are counted
}

// Close exports what waits, until ctx ends; what is left then is dropped. Spans that end later are dropped without a word.
func (t *Tracing) Close(ctx context.Context) {
	// The SDK would leave its goroutine behind when ctx ends, up to the timeout of the export. Cut short, the exports fail at once.
	t.client.last.Store(true)
	stop := context.AfterFunc(ctx, t.client.cut)
	defer stop()
	_ = t.provider.Shutdown(context.WithoutCancel(ctx)) // failed exports are counted
	t.client.close()
}
