package trace

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func mustSampler(tb testing.TB) sdk.Sampler {
	tb.Helper()
	s, err := sampler("parentbased_always_on", 1)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// gate is an exporter that waits.
type gate struct {
	open  chan struct{}
	spans atomic.Int64
}

func (g *gate) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	<-g.open
	g.spans.Add(int64(len(spans)))
	return nil
}

func (*gate) Shutdown(context.Context) error { return nil }

func TestSpansThatFindTheQueueFullAreDroppedAndCounted(t *testing.T) {
	for _, sizes := range []struct{ queue, batch int }{{20, 5}, {20, 20}, {1, 1}} {
		r, g := &room{}, &gate{open: make(chan struct{})}
		cfg := r.config()
		cfg.QueueSize, cfg.BatchSize = sizes.queue, sizes.batch
		r.Tracing = build(cfg, mustSampler(t), &drops{count: cfg.OnDropped, log: cfg.Logger, now: time.Now}, newClient(cfg), g)
		r.attempts(sizes.queue + 7) // returns although nothing is exported
		if n := r.dropped.Load(); n != 7 {
			t.Errorf("%v: %d dropped, want 7", sizes, n)
		}
		close(g.open)
		r.Close(t.Context())
		if n := g.spans.Load(); n != int64(sizes.queue) {
			t.Errorf("%v: %d exported, want what was not dropped", sizes, n)
		}
		if !strings.Contains(r.log(), "the queue is full") {
			t.Errorf("%v: log %q", sizes, r.log())
		}
	}
}

func TestQueueHasRoomAgainAfterAnExport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, g := &room{}, &gate{open: make(chan struct{})}
		close(g.open)
		cfg := r.config()
		cfg.QueueSize, cfg.BatchSize = 5, 5
		r.Tracing = build(cfg, mustSampler(t), &drops{count: cfg.OnDropped, log: cfg.Logger, now: time.Now}, newClient(cfg), g)
		for range 3 {
			r.attempts(5)
			synctest.Wait()
		}
		r.Close(t.Context())
		if d, n := r.dropped.Load(), g.spans.Load(); d != 0 || n != 15 {
			t.Errorf("%d dropped and %d exported, want 0 and 15", d, n)
		}
	})
}

func TestDropsAreToldOnceAMinuteAndCountedAlways(t *testing.T) {
	r := &room{}
	cfg := r.config()
	now := time.Unix(0, 0)
	d := &drops{count: cfg.OnDropped, log: cfg.Logger, now: func() time.Time { return now }}
	for range 3 {
		d.add(2, errQueueFull)
	}
	now = now.Add(tellEvery)
	d.add(2, errQueueFull)
	if n := r.dropped.Load(); n != 8 {
		t.Errorf("%d counted, want 8", n)
	}
	if lines := strings.Split(strings.TrimSpace(r.log()), "\n"); len(lines) != 2 || !strings.Contains(lines[0], "spans=2 ") || !strings.Contains(lines[1], "spans=6 ") {
		t.Errorf("told %q; want two lines, of 2 and of the 6 since", lines)
	}
}

// decode reads what was exported.
func decode(t *testing.T, r *http.Request) *tracepb.TracesData {
	t.Helper()
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return nil
		}
		body = unpacked
	}
	text, err := io.ReadAll(body)
	data := &tracepb.TracesData{}
	if err := errors.Join(err, proto.Unmarshal(text, data)); err != nil {
		t.Error(err)
	}
	return data
}

func TestExportIsOTLPOverHTTP(t *testing.T) {
	for _, packed := range []bool{false, true} {
		var got *tracepb.TracesData
		var head http.Header
		var path string
		r := collected(t, func(_ http.ResponseWriter, req *http.Request) {
			got, head, path = decode(t, req), req.Header, req.URL.Path
		}, func(c *Config) {
			c.Gzip = packed
			c.Headers = func() ([]Header, error) { return []Header{{"Api-Key", "mine"}, {"User-Agent", "also mine"}}, nil }
		})
		r.attempts(3)
		r.Close(t.Context())
		if got == nil || len(got.ResourceSpans) != 1 || len(got.ResourceSpans[0].ScopeSpans) != 1 || len(got.ResourceSpans[0].ScopeSpans[0].Spans) != 3 {
			t.Fatalf("exported %v", got)
		}
		if path != "/v1/traces" || head.Get("Content-Type") != "application/x-protobuf" || head.Get("Api-Key") != "mine" || head.Get("User-Agent") != "also mine" {
			t.Errorf("posted to %s with %v", path, head)
		}
		if origin := got.ResourceSpans[0].Resource.String(); !strings.Contains(origin, "orders-to-billing") || !strings.Contains(origin, "telemetry.sdk.name") {
			t.Errorf("resource %s", origin)
		}
		if r.dropped.Load() != 0 {
			t.Errorf("%d dropped: %s", r.dropped.Load(), r.log())
		}
	}
}

func TestExportIsTriedAgainWhereTheProtocolSaysSo(t *testing.T) {
	for status, want := range map[int]int64{429: 2, 502: 2, 503: 2, 504: 2, 400: 1, 401: 1, 500: 1, 307: 1} {
		var calls atomic.Int64
		r := collected(t, func(w http.ResponseWriter, _ *http.Request) {
			if calls.Add(1) == 1 {
				w.Header().Set("Retry-After", "0")
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
			}
		}, func(c *Config) { c.BatchSize = 1 })
		r.attempts(1)
		wait(t, func() bool { return calls.Load() == want && (want == 2 || r.dropped.Load() == 1) })
		r.Close(t.Context())
		if n := calls.Load(); n != want || r.dropped.Load() != 2-want {
			t.Errorf("%d: %d requests and %d dropped, want %d and %d", status, n, r.dropped.Load(), want, 2-want)
		}
	}
}

func TestFailedExportIsToldWithoutSecrets(t *testing.T) {
	for name, tt := range map[string]struct {
		collector http.HandlerFunc
		change    func(*Config)
		want      string
	}{
		"refused": {func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "secret "+r.Header.Get("Api-Key"), http.StatusForbidden)
		}, nil, "the collector answered 403"},
		"not HTTP": {func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			_, _ = io.WriteString(c, "secret\r\n\r\n")
			_ = c.Close()
		}, nil, "exchange with the collector failed"},
		"nobody there": {nil, func(c *Config) { c.Endpoint = "http://127.0.0.1:1/secret" }, "connect to the collector: dial tcp 127.0.0.1:1"},
		"slow":         {func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }, func(c *Config) { c.Timeout = 50 * time.Millisecond }, "the collector did not answer in time"},
		"headers":      {nil, func(c *Config) { c.Headers = func() ([]Header, error) { return nil, errors.New("entry 1") } }, "OTEL_EXPORTER_OTLP_HEADERS cannot be read: entry 1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := collected(t, tt.collector, func(c *Config) {
				c.Endpoint += "/secret"
				c.Headers = func() ([]Header, error) { return []Header{{"Api-Key", "secret-key"}}, nil }
				if tt.change != nil {
					tt.change(c)
				}
			})
			r.attempts(3)
			r.Close(t.Context()) // nothing is tried again then
			if n := r.dropped.Load(); n != 3 {
				t.Errorf("%d dropped, want 3", n)
			}
			if log := r.log(); !strings.Contains(log, tt.want) || strings.Contains(log, "secret") || strings.Count(log, "\n") != 1 {
				t.Errorf("told %q, want one line with %q", log, tt.want)
			}
		})
	}
}

func TestNothingIsTriedAgainAtTheEnd(t *testing.T) {
	var calls atomic.Int64
	r := collected(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
	}, nil)
	r.attempts(1)
	r.Close(t.Context())
	if n := calls.Load(); n != 1 || r.dropped.Load() != 1 {
		t.Errorf("%d requests and %d dropped, want 1 and 1", n, r.dropped.Load())
	}
}

func TestSpansThatTheCollectorRejectsAreCounted(t *testing.T) {
	partial := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 2)
	partial = protowire.AppendString(protowire.AppendTag(partial, 2, protowire.BytesType), "secret")
	r := collected(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), partial))
	}, nil)
	r.attempts(3)
	r.Close(t.Context())
	if n := r.dropped.Load(); n != 2 || !strings.Contains(r.log(), "rejected 2 spans") || strings.Contains(r.log(), "secret") {
		t.Errorf("%d dropped, told %q", n, r.log())
	}
}

func TestAnswerOfACollectorMayBeAnything(t *testing.T) {
	for _, answer := range []string{"", "{}", "\x0a\x00", "\x0a\xff", "\x08\x07", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x0a\x02\x08\x00"} {
		if err := rejected([]byte(answer)); err != nil {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

func TestCloseEndsWithItsContext(t *testing.T) {
	asked := make(chan struct{}, 1)
	r := collected(t, func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		asked <- struct{}{}
		<-req.Context().Done()
	}, nil)
	r.attempts(3)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	r.Close(ctx) // the export itself may take long
	if n := r.dropped.Load(); n != 3 || !strings.Contains(r.log(), "the time to export the last spans is over") {
		t.Errorf("%d dropped, told %q", n, r.log())
	}
}

// wait waits for a condition.
func wait(t *testing.T, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(long)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("waited too long")
		}
	}
}
