package sidecar

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/trace"
)

// newTracing begins to export spans; nil where there are none.
func newTracing(cfg *envconfig.Config, version string, dropped func(int), log *slog.Logger) (*trace.Tracing, error) {
	t, sub := &cfg.Tracing, &cfg.Subscription
	if t.Endpoint == "" {
		return nil, nil
	}
	pem := func(p envconfig.PEM) invoke.PEM { return invoke.PEM{File: p.File} }
	conf, err := invoke.NewTLS(invoke.Config{TLSCA: pem(t.CA), TLSCert: pem(t.Certificate), TLSKey: pem(t.Key)})
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: %w", err)
	}
	c := trace.Config{
		Endpoint: t.Endpoint, TLS: conf, Gzip: t.Gzip, Timeout: t.Timeout, Sampler: t.Sampler, Ratio: t.Ratio,
		QueueSize: t.QueueSize, BatchSize: t.BatchSize, BatchDelay: t.BatchDelay, ExportTimeout: t.ExportTimeout,
		Topic: sub.Topic, Group: cfg.Kafka.GroupID, ClientID: cfg.Kafka.ClientID, SubscriptionID: sub.ID,
		Service: sub.Sink.Service, Handler: sub.Sink.Handler, Keyed: sub.Sink.Keyed, Restate: cfg.Handler.Protocol == "restate",
		Resource: map[string]string{"service.version": version}, OnDropped: dropped, Logger: log,
	}
	maps.Copy(c.Resource, t.Resource)
	c.Headers = func() ([]trace.Header, error) {
		headers, err := t.LoadHeaders()
		out := make([]trace.Header, len(headers))
		for i, h := range headers {
			out[i] = trace.Header{Name: h.Name, Value: h.Value.Reveal()}
		}
		return out, err
	}
	return trace.New(c)
}

const (
	flushReserve = 500 * time.Millisecond // of SHUTDOWN_TIMEOUT, or of an invocation, for what comes after the spans
	flushTimeout = 2 * time.Second        // a collector that is down shall not hold up a deploy, nor an invocation
)

// flushTime is what the drain and the last commit have left of SHUTDOWN_TIMEOUT to the spans.
func (s *Sidecar) flushTime() time.Duration {
	if since := s.stopping.Load(); since != nil {
		return min(flushTimeout, s.cfg.Run.ShutdownTimeout-time.Since(*since)-flushReserve)
	}
	return flushTimeout
}

// closeTracing exports what waits, in the time given.
func (o *outlets) closeTracing(within time.Duration) {
	if o.tracing == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	o.tracing.Close(ctx)
}
