package tests

import (
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/otlp"
)

const (
	recordTrace = "0af7651916cd43dd8448eb211c80319c"
	recordSpan  = "b7ad6b7169203331"
)

// withSpans is a sidecar's environment with a collector.
func withSpans(env harness.Env, url string) harness.Env {
	return env.With("OTEL_EXPORTER_OTLP_ENDPOINT", url, "OTEL_BSP_SCHEDULE_DELAY", "50", "OTEL_EXPORTER_OTLP_HEADERS", "api-key=hidden-header")
}

func TestSpansLeadFromTheRecordThroughItsAttemptsToTheHandler(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		collector := otlp.Collect(t)
		topic := b.CreateTopic(1)
		h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
			if c.Attempt == 1 {
				return harness.Answer{Status: 503}
			}
			return harness.Answer{}
		})
		env := withSpans(harness.TestEnv(b, topic, h), collector.URL).
			With("SUBSCRIPTION_SINK", h.URL("/records/{key}?token=hidden-query"), "OTEL_RESOURCE_ATTRIBUTES", "team=pay%20ments", "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
		records := b.Produce(
			&kgo.Record{Topic: topic, Key: []byte("hidden-key"), Value: []byte("hidden-value"), Headers: []kgo.RecordHeader{
				{Key: "traceparent", Value: []byte("00-" + recordTrace + "-" + recordSpan + "-01")}, {Key: "tracestate", Value: []byte("vendor=x")},
				{Key: "x-tenant", Value: []byte("hidden-tenant")},
			}},
			&kgo.Record{Topic: topic, Key: []byte("hidden-other"), Value: []byte("hidden-value")},
		)
		s := harness.Start(t, env)
		h.WaitSettled(records)
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			n := len(collector.Spans())
			return n >= 4, strconv.Itoa(n) + " spans, want 4: two attempts of two records"
		})
		spans := map[string]otlp.Span{}
		for _, span := range collector.Spans() {
			spans[span.Attributes["messaging.kafka.offset"]+"#"+span.Attributes["kafka_sidecar.attempt"]] = span
		}
		roots := map[string]bool{}
		for i, r := range records {
			for _, c := range h.CallsOf(r) {
				span, found := spans[strconv.FormatInt(r.Offset, 10)+"#"+strconv.Itoa(c.Attempt)]
				if !found {
					t.Fatalf("no span for attempt %d of record %d among %v", c.Attempt, i, spans)
				}
				if want := "00-" + span.Trace + "-" + span.ID + "-01"; c.Header.Get("traceparent") != want {
					t.Errorf("the handler got the parent %s, the attempt's span is %s", c.Header.Get("traceparent"), want)
				}
				if i == 0 {
					if span.Trace != recordTrace || span.Parent != recordSpan || c.Header.Get("tracestate") != "vendor=x" {
						t.Errorf("attempt %d is below %s of %s, with state %q; want the record's", c.Attempt, span.Parent, span.Trace, c.Header.Get("tracestate"))
					}
				} else if span.Parent != "" || roots[span.Trace] {
					t.Errorf("attempt %d of a record without a trace is below %q in trace %s", c.Attempt, span.Parent, span.Trace)
				} else {
					roots[span.Trace] = true
				}
				want := map[string]string{
					"messaging.system": "kafka", "messaging.operation.type": "process", "messaging.destination.name": topic, "messaging.source.name": topic,
					"messaging.destination.partition.id": "0", "messaging.source.partition.id": "0", "messaging.kafka.offset": strconv.FormatInt(r.Offset, 10),
					"messaging.consumer.group.name": env.Group(), "restate.subscription.id": env.Group(), "messaging.client.id": "kafka-sidecar",
					"http.response.status_code": strconv.Itoa(c.Status), "error.type": map[int]string{503: "503"}[c.Status],
				}
				for name, value := range want {
					if span.Attributes[name] != value {
						t.Errorf("attempt %d of record %d: %s is %q, want %q", c.Attempt, i, name, span.Attributes[name], value)
					}
				}
				const consumer = 5
				if span.Name != "process "+topic || span.Kind != consumer || span.Failed != (c.Status == 503) {
					t.Errorf("attempt %d of record %d: %+v", c.Attempt, i, span)
				}
				if span.Resource["service.name"] != env.Group() || span.Resource["team"] != "pay ments" {
					t.Errorf("the span comes from %v", span.Resource)
				}
			}
		}
		if collector.Holds("hidden") {
			t.Error("a key, a value, a header or a query is in a span")
		}
		if got := collector.Requests()[0].Get("api-key"); got != "hidden-header" {
			t.Errorf("the collector got the header %q", got)
		}
		checkHidden(t, s)
	})
}

// checkHidden fails where a secret, a key or a payload of these tests is shown.
func checkHidden(t *testing.T, s *harness.Sidecar) {
	t.Helper()
	_, page := s.Get("/subscription")
	_, metrics := s.Get("/metrics")
	out, errs, code := harness.Run(t, s.Env(), "check", "--offline")
	if code != 0 || !strings.Contains(out, "api-key: ***") {
		t.Errorf("check ended with %d: %s%s", code, out, errs)
	}
	for _, text := range append(s.Lines(), page, metrics, out, errs) {
		if strings.Contains(text, "hidden") {
			t.Errorf("shown: %s", text)
		}
	}
}

func TestCollectorThatIsDownDelaysNoRecord(t *testing.T) {
	for name, url := range map[string]func(t *testing.T) string{
		"refuses connections": func(t *testing.T) string { return "http://" + harness.FreeAddr(t) },
		"answers 500": func(t *testing.T) string {
			c := otlp.Collect(t)
			c.Refuse(http.StatusInternalServerError)
			return c.URL
		},
		"never answers": func(t *testing.T) string {
			return harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Hang: true} }).URL("")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := harness.Fake(t)
			topic := b.CreateTopic(1)
			h := harness.NewHandler(t, harness.OK)
			env := withSpans(harness.TestEnv(b, topic, h), url(t)).With(
				"OTEL_BSP_MAX_QUEUE_SIZE", "20", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10", "OTEL_EXPORTER_OTLP_TIMEOUT", "600000", "SHUTDOWN_TIMEOUT", "10s")
			records := b.Produce(harness.Keyed(topic, 500, 10)...)
			s := harness.Start(t, env)
			h.WaitSettled(records)
			b.WaitCommitted(env.Group(), topic)
			s.WaitLog("spans are dropped")
			if n := s.Metrics().Value("kafka_sidecar_spans_dropped_total"); n <= 0 || n > 500 {
				t.Errorf("%v spans are counted as dropped", n)
			}
			checkHidden(t, s)
			s.Signal(syscall.SIGTERM)
			s.Exit(0) // 4 were the spans to take longer than SHUTDOWN_TIMEOUT
			told := 0
			for _, l := range s.Lines() {
				if strings.Contains(l, "spans are dropped") {
					told++
				}
				if !strings.HasPrefix(l, "{") {
					t.Errorf("not a log line: %s", l)
				}
			}
			if told > 2 {
				t.Errorf("told %d times, want once a minute", told)
			}
		})
	}
}

func TestSigtermExportsTheLastSpans(t *testing.T) {
	b := harness.Fake(t)
	collector := otlp.Collect(t)
	topic := b.CreateTopic(1)
	release := make(chan struct{})
	h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Until: release} })
	env := withSpans(harness.TestEnv(b, topic, h), collector.URL).With("OTEL_BSP_SCHEDULE_DELAY", "3600000")
	b.Produce(harness.Keyed(topic, 8, 8)...)
	s := harness.Start(t, env)
	h.WaitCalls(8)
	s.Signal(syscall.SIGTERM)
	s.WaitStatus("/ready", http.StatusServiceUnavailable)
	close(release)
	s.Exit(0)
	if n := len(collector.Spans()); n != 8 {
		t.Errorf("%d spans, want those of the 8 attempts that ran at the signal", n)
	}
}

func TestWithoutACollectorTheTraceIsContinuedAndNoneBegun(t *testing.T) {
	b := harness.Fake(t)
	collector := otlp.Collect(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	env := withSpans(harness.TestEnv(b, topic, h), collector.URL).With("OTEL_SDK_DISABLED", "true", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	records := b.Produce(
		&kgo.Record{Topic: topic, Key: []byte("a"), Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-" + recordTrace + "-" + recordSpan + "-01")}}},
		&kgo.Record{Topic: topic, Key: []byte("b")},
	)
	s := harness.Start(t, env)
	h.WaitSettled(records)
	if got := h.CallsOf(records[0])[0].Header.Get("traceparent"); !strings.HasPrefix(got, "00-"+recordTrace+"-") || strings.Contains(got, recordSpan) {
		t.Errorf("the handler got %q", got)
	}
	if got := h.CallsOf(records[1])[0].Header.Get("traceparent"); got != "" {
		t.Errorf("a trace out of nowhere: %q", got)
	}
	s.Signal(syscall.SIGTERM)
	s.Exit(0)
	if n := len(collector.Requests()); n != 0 {
		t.Errorf("%d requests to the collector", n)
	}
}
