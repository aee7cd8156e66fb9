package trace

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// long is for what must not run out in a test.
const long = 30 * time.Second

// room is a Tracing with what it says.
type room struct {
	*Tracing
	memory  kept
	dropped atomic.Int64

	mu   sync.Mutex
	logs bytes.Buffer
}

func (r *room) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.logs.Write(p)
}

func (r *room) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.logs.String()
}

func (r *room) config() Config {
	return Config{
		Headers: func() ([]Header, error) { return nil, nil },
		Timeout: long, Sampler: "parentbased_always_on", Ratio: 1,
		QueueSize: 100, BatchSize: 10, BatchDelay: long, ExportTimeout: long,
		Resource: map[string]string{"service.name": "orders-to-billing"},
		Topic:    "orders", Group: "billing", ClientID: "kafka-sidecar", SubscriptionID: "orders-to-billing",
		OnDropped: func(n int) { r.dropped.Add(int64(n)) }, Logger: slog.New(slog.NewTextHandler(r, nil)),
	}
}

// kept is the SDK's exporter for tests, but that it remembers its spans over a shutdown.
type kept struct{ *tracetest.InMemoryExporter }

func (kept) Shutdown(context.Context) error { return nil }

// inMemory keeps the spans instead of exporting them. They are there after Close.
func inMemory(t *testing.T, change func(*Config)) *room {
	t.Helper()
	r := &room{memory: kept{tracetest.NewInMemoryExporter()}}
	cfg := r.config()
	if change != nil {
		change(&cfg)
	}
	s, err := sampler(cfg.Sampler, cfg.Ratio)
	if err != nil {
		t.Fatal(err)
	}
	r.Tracing = build(cfg, s, &drops{count: cfg.OnDropped, log: cfg.Logger, now: time.Now}, newClient(cfg), r.memory)
	return r
}

// collected exports to a collector.
func collected(t *testing.T, collector http.HandlerFunc, change func(*Config)) *room {
	t.Helper()
	srv := httptest.NewServer(collector)
	t.Cleanup(srv.Close)
	r := &room{}
	cfg := r.config()
	cfg.Endpoint = srv.URL + "/v1/traces"
	if change != nil {
		change(&cfg)
	}
	var err error
	if r.Tracing, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(t.Context()) })
	return r
}

func rec() *record.Record {
	return &record.Record{Partition: 3, Offset: 42, Timestamp: 1750000000123, Key: []byte("secret-key"), Value: []byte("secret-value"),
		Headers: []record.Header{{Name: "secret-name", Value: []byte("secret-header")}}}
}

var done = invoke.Result{Class: invoke.Done, Status: 200, Code: "200"}

// attempts makes so many spans.
func (r *room) attempts(n int) {
	for range n {
		r.Begin(rec(), 1, invoke.Trace{}).End(done)
	}
}
