package trace

import (
	"context"
	"encoding/hex"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	api "go.opentelemetry.io/otel/trace"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// describe makes the name of every span, and the attributes that are the same on all of them.
func describe(cfg Config) (name string, fixed []attribute.KeyValue) {
	name = "process " + cfg.Topic
	fixed = []attribute.KeyValue{
		// https://opentelemetry.io/docs/specs/semconv/messaging/kafka/
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", cfg.Topic),
		attribute.String("messaging.consumer.group.name", cfg.Group),
		attribute.String("messaging.client.id", cfg.ClientID),
		// Restate's names, as its consumer of release 1.7 writes them.
		attribute.String("messaging.source.name", cfg.Topic),
		attribute.String("restate.subscription.id", cfg.SubscriptionID),
	}
	if cfg.Service == "" {
		return name, fixed
	}
	target := cfg.Service + "/" + cfg.Handler
	if cfg.Keyed {
		target = cfg.Service + "/{key}/" + cfg.Handler
	}
	fixed = append(fixed, attribute.String("restate.invocation.target", target))
	if cfg.Restate {
		name = "ingress_kafka " + target
		fixed = append(fixed, attribute.String("rpc.service", cfg.Service), attribute.String("rpc.method", cfg.Handler))
	}
	return name, fixed
}

// span is one attempt.
type span struct {
	span    api.Span
	context api.SpanContext
}

var _ invoke.Tracer = (*Tracing)(nil)

// Begin implements invoke.Tracer.
func (t *Tracing) Begin(rec *record.Record, attempt int, parent invoke.Trace) invoke.Span {
	_, s := t.tracer.Start(remote(parent), t.name, api.WithSpanKind(api.SpanKindConsumer))
	if s.IsRecording() { // what is not sampled costs an id and no more
		partition := int64(rec.Partition)
		s.SetAttributes(t.fixed...)
		s.SetAttributes(
			attribute.String("messaging.destination.partition.id", strconv.FormatInt(partition, 10)),
			attribute.Int64("messaging.kafka.offset", rec.Offset),
			attribute.Int64("messaging.source.partition.id", partition),
			attribute.Int("kafka_sidecar.attempt", attempt),
		)
		if rec.Value == nil {
			s.SetAttributes(attribute.Bool("messaging.kafka.message.tombstone", true))
		}
	}
	return span{s, s.SpanContext()}
}

// remote is a context whose spans continue the record's trace, or begin one where the record has none.
func remote(parent invoke.Trace) context.Context {
	ctx := context.Background()
	if !parent.Valid() {
		return ctx
	}
	var cfg api.SpanContextConfig
	_, _ = hex.Decode(cfg.TraceID[:], parent.TraceID)
	_, _ = hex.Decode(cfg.SpanID[:], parent.ParentID)
	cfg.TraceFlags, cfg.Remote = api.TraceFlags(parent.Flags), true
	// A tracestate that cannot be read is left out (W3C Trace Context, section 4.3).
	cfg.TraceState, _ = api.ParseTraceState(string(parent.State))
	return api.ContextWithRemoteSpanContext(ctx, api.NewSpanContext(cfg))
}

// AppendParent implements invoke.Span.
func (s span) AppendParent(b []byte) []byte {
	trace, id := s.context.TraceID(), s.context.SpanID()
	b = hex.AppendEncode(append(b, "00-"...), trace[:])
	b = hex.AppendEncode(append(b, '-'), id[:])
	return hex.AppendEncode(append(b, '-'), []byte{byte(s.context.TraceFlags())})
}

// AppendState implements invoke.Span.
func (s span) AppendState(b []byte) []byte { return append(b, s.context.TraceState().String()...) }

// End implements invoke.Span. The error's text stays out: error.type says what there is to group by, and the log has the words.
func (s span) End(r invoke.Result) {
	if s.span.IsRecording() {
		s.span.SetAttributes(attribute.String("kafka_sidecar.outcome", r.Class.String()))
		if r.Status != 0 {
			s.span.SetAttributes(attribute.Int("http.response.status_code", r.Status))
		}
		if r.Invocation != "" {
			s.span.SetAttributes(attribute.String("restate.invocation.id", r.Invocation))
		}
		if r.Class == invoke.Retry || r.Class == invoke.Failed || r.Class == invoke.Cancelled {
			s.span.SetAttributes(attribute.String("error.type", errorType(r)))
			s.span.SetStatus(codes.Error, "")
		}
	}
	s.span.End()
}

// errorType is the metric's label, but for a 2xx that a header of the handler made an error.
func errorType(r invoke.Result) string {
	if r.Status/100 == 2 && r.Code == strconv.Itoa(r.Status) {
		return "outcome"
	}
	return r.Code
}
