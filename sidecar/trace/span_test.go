package trace

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
)

const (
	traceID  = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentID = "00f067aa0ba902b7"
)

func recordTrace(flags byte, state string) invoke.Trace {
	return invoke.Trace{TraceID: []byte(traceID), ParentID: []byte(parentID), Flags: flags, State: []byte(state)}
}

// one makes one attempt and returns its span and what the handler gets of it.
func one(t *testing.T, change func(*Config), attempt int, parent invoke.Trace, result invoke.Result) (span tracetest.SpanStub, traceparent, tracestate string) {
	t.Helper()
	r := inMemory(t, change)
	s := r.Begin(rec(), attempt, parent)
	traceparent, tracestate = string(s.AppendParent(nil)), string(s.AppendState(nil))
	s.End(result)
	r.Close(t.Context())
	if spans := r.memory.GetSpans(); len(spans) == 1 {
		span = spans[0]
	} else if len(spans) > 1 {
		t.Fatalf("%d spans of one attempt", len(spans))
	}
	return span, traceparent, tracestate
}

func attributes(s tracetest.SpanStub) map[string]string {
	m := map[string]string{}
	for _, a := range s.Attributes {
		m[string(a.Key)] = a.Value.String()
	}
	return m
}

func TestSpanHasTheConventionsNamesAndRestates(t *testing.T) {
	common := map[string]string{
		"messaging.system": "kafka", "messaging.operation.name": "process", "messaging.operation.type": "process", "messaging.destination.name": "orders",
		"messaging.destination.partition.id": "3", "messaging.kafka.offset": "42", "messaging.consumer.group.name": "billing", "messaging.client.id": "kafka-sidecar",
		"messaging.source.name": "orders", "messaging.source.partition.id": "3", "restate.subscription.id": "orders-to-billing", "kafka_sidecar.attempt": "2",
	}
	for _, tt := range []struct {
		name, spanName string
		change         func(*Config)
		result         invoke.Result
		want           map[string]string
		failed         bool
	}{
		{"done", "process orders", nil, done, map[string]string{"http.response.status_code": "200", "kafka_sidecar.outcome": "done"}, false},
		{"dropped", "process orders", nil, invoke.Result{Class: invoke.Drop, Status: 200, Code: "200"},
			map[string]string{"http.response.status_code": "200", "kafka_sidecar.outcome": "drop"}, false},
		{"to be tried again", "process orders", nil, invoke.Result{Class: invoke.Retry, Status: 503, Code: "503"},
			map[string]string{"http.response.status_code": "503", "kafka_sidecar.outcome": "retry", "error.type": "503"}, true},
		{"by a header", "process orders", nil, invoke.Result{Class: invoke.Failed, Status: 200, Code: "200"},
			map[string]string{"http.response.status_code": "200", "kafka_sidecar.outcome": "failed", "error.type": "outcome"}, true},
		{"half an answer", "process orders", nil, invoke.Result{Class: invoke.Retry, Status: 200, Code: "body"},
			map[string]string{"http.response.status_code": "200", "kafka_sidecar.outcome": "retry", "error.type": "body"}, true},
		{"no answer", "process orders", nil, invoke.Result{Class: invoke.Retry, Code: "timeout"},
			map[string]string{"kafka_sidecar.outcome": "retry", "error.type": "timeout"}, true},
		{"cut", "process orders", nil, invoke.Result{Class: invoke.Cancelled, Code: "cancelled"},
			map[string]string{"kafka_sidecar.outcome": "cancelled", "error.type": "cancelled"}, true},
		{"a service", "process orders", func(c *Config) { c.Service, c.Handler = "Cart", "add" }, done,
			map[string]string{"http.response.status_code": "200", "kafka_sidecar.outcome": "done", "restate.invocation.target": "Cart/add"}, false},
		{"Restate", "ingress_kafka Cart/{key}/add", func(c *Config) { c.Service, c.Handler, c.Keyed, c.Restate = "Cart", "add", true, true },
			invoke.Result{Class: invoke.Done, Status: 202, Code: "202", Invocation: "inv_1"},
			map[string]string{"http.response.status_code": "202", "kafka_sidecar.outcome": "done", "restate.invocation.target": "Cart/{key}/add", "restate.invocation.id": "inv_1",
				"rpc.service": "Cart", "rpc.method": "add"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			span, _, _ := one(t, tt.change, 2, invoke.Trace{}, tt.result)
			want := maps.Clone(common)
			maps.Copy(want, tt.want)
			if got := attributes(span); !maps.Equal(got, want) {
				t.Errorf("attributes\n%v\nwant\n%v", got, want)
			}
			if span.Name != tt.spanName || span.SpanKind != api.SpanKindConsumer {
				t.Errorf("%q of kind %v, want %q of kind consumer", span.Name, span.SpanKind, tt.spanName)
			}
			if failed := span.Status.Code == codes.Error; failed != tt.failed {
				t.Errorf("an error: %v, want %v", failed, tt.failed)
			}
		})
	}
}

func TestNothingOfARecordIsInItsSpan(t *testing.T) {
	result := invoke.Result{Class: invoke.Failed, Status: 400, Code: "400", Err: errors.New("secret-error")}
	span, _, _ := one(t, func(c *Config) { c.Service, c.Handler, c.Keyed, c.Restate = "Cart", "add", true, true }, 1, invoke.Trace{}, result)
	if text := fmt.Sprintf("%+v", span); strings.Contains(text, "secret") || !strings.Contains(text, "Cart/{key}/add") {
		t.Errorf("the span holds something of the record: %s", text)
	}
}

func TestHandlersSpansHangBelowTheAttempt(t *testing.T) {
	for _, tt := range []struct {
		name      string
		parent    invoke.Trace
		sampler   string
		ratio     float64
		continued bool // the record's trace, else one of its own
		exported  bool
		state     string
	}{
		{"sampled", recordTrace(1, "a=1,b=2"), "parentbased_always_on", 1, true, true, "a=1,b=2"},
		{"not sampled", recordTrace(0, "a=1"), "parentbased_always_on", 1, true, false, "a=1"},
		{"a state that cannot be read", recordTrace(1, "a"), "parentbased_always_on", 1, true, true, ""},
		{"no trace", invoke.Trace{}, "parentbased_always_on", 1, false, true, ""},
		{"no trace, roots off", invoke.Trace{}, "parentbased_always_off", 1, false, false, ""},
		{"sampled, roots off", recordTrace(1, ""), "parentbased_always_off", 1, true, true, ""},
		{"no trace, no share", invoke.Trace{}, "parentbased_traceidratio", 0, false, false, ""},
		{"sampled, no share of roots", recordTrace(1, ""), "parentbased_traceidratio", 0, true, true, ""},
		{"sampled, no share", recordTrace(1, ""), "traceidratio", 0, true, false, ""},
		{"all", recordTrace(0, ""), "always_on", 1, true, true, ""},
		{"none", recordTrace(1, ""), "always_off", 1, true, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			span, parent, state := one(t, func(c *Config) { c.Sampler, c.Ratio = tt.sampler, tt.ratio }, 1, tt.parent, done)
			parts := strings.Split(parent, "-")
			if len(parts) != 4 || parts[0] != "00" || len(parts[1]) != 32 || len(parts[2]) != 16 || parts[2] == parentID || parts[2] == strings.Repeat("0", 16) {
				t.Fatalf("traceparent %q", parent)
			}
			if (parts[1] == traceID) != tt.continued || parts[1] == strings.Repeat("0", 32) {
				t.Errorf("trace %s, continues the record's: want %v", parts[1], tt.continued)
			}
			if sampled := parts[3] == "01"; sampled != tt.exported || parts[3] != "00" && parts[3] != "01" {
				t.Errorf("flags %s, exported: want %v", parts[3], tt.exported)
			}
			if state != tt.state {
				t.Errorf("tracestate %q, want %q", state, tt.state)
			}
			if exported := span.Name != ""; exported != tt.exported {
				t.Fatalf("exported: %v, want %v", exported, tt.exported)
			}
			if !tt.exported {
				return
			}
			if span.SpanContext.SpanID().String() != parts[2] || span.SpanContext.TraceID().String() != parts[1] {
				t.Errorf("the handler was told %s, the span is %s of %s", parent, span.SpanContext.SpanID(), span.SpanContext.TraceID())
			}
			if tt.continued != (span.Parent.SpanID().String() == parentID) || tt.continued != span.Parent.IsRemote() {
				t.Errorf("the span's parent is %s", span.Parent.SpanID())
			}
		})
	}
}

func TestUnknownSamplerIsRefused(t *testing.T) {
	r := &room{}
	cfg := r.config()
	cfg.Sampler = "odd"
	if _, err := New(cfg); err == nil {
		t.Error("taken")
	}
}

// BenchmarkSpan is what one attempt costs while spans are exported.
func BenchmarkSpan(b *testing.B) {
	r := &room{}
	cfg := r.config()
	r.Tracing = build(cfg, mustSampler(b), &drops{count: cfg.OnDropped, log: cfg.Logger, now: time.Now}, newClient(cfg), tracetest.NewNoopExporter())
	defer r.Close(b.Context())
	record, parent := rec(), recordTrace(1, "")
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		s := r.Begin(record, 1, parent)
		buf = s.AppendParent(buf[:0])
		s.End(done)
	}
}
