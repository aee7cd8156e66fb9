package invoke

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

const benchConcurrency = 64

func benchServer(b *testing.B) *httptest.Server {
	b.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	b.Cleanup(s.Close)
	return s
}

func benchRecord() *record.Record {
	return &record.Record{Partition: 3, Offset: 123456, Timestamp: 1750000000123, Key: []byte("customer-4711"), Value: bytes.Repeat([]byte("x"), 256)}
}

func parallel(b *testing.B, one func() bool) {
	b.Helper()
	b.SetParallelism(benchConcurrency / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if !one() {
				b.Error("request failed")
				return
			}
		}
	})
}

// BenchmarkAttempt and BenchmarkBareClient send the same bytes to the same server; the second is the ceiling.
func BenchmarkAttempt(b *testing.B) {
	s := benchServer(b)
	i, err := New(Config{URLTemplate: s.URL + "/orders", Cluster: "my-cluster", Topic: "orders", Group: "billing", SubscriptionID: "orders-to-billing",
		Timeout: 20 * time.Second, Concurrency: benchConcurrency})
	if err != nil {
		b.Fatal(err)
	}
	defer i.Close()
	rec := benchRecord()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	parallel(b, func() bool { return i.Attempt(ctx, rec, 1).Class == Done })
}

// BenchmarkBareClient has no timeout per request.
func BenchmarkBareClient(b *testing.B) { benchBare(b, 0) }

// BenchmarkBareClientTimeout ends a request by a context, as an Attempt does.
func BenchmarkBareClientTimeout(b *testing.B) { benchBare(b, 20*time.Second) }

func benchBare(b *testing.B, timeout time.Duration) {
	b.Helper()
	s := benchServer(b)
	tr := &http.Transport{MaxIdleConnsPerHost: benchConcurrency, MaxConnsPerHost: benchConcurrency, DisableCompression: true}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	rec := benchRecord()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	parallel(b, func() bool {
		ctx := ctx
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/orders", bytes.NewReader(rec.Value))
		if err != nil {
			return false
		}
		h := req.Header
		set := func(k, v string) { h[k] = []string{v} }
		set("content-type", "application/json")
		set("User-Agent", "kafka-sidecar")
		set("idempotency-key", "my-cluster/billing/orders/3/"+strconv.FormatInt(rec.Offset, 10)+"/"+strconv.FormatInt(rec.Timestamp, 10))
		set("kafka.topic", "orders")
		set("kafka.partition", "3")
		set("kafka.offset", strconv.FormatInt(rec.Offset, 10))
		set("kafka.timestamp", strconv.FormatInt(rec.Timestamp, 10))
		set("kafka.key", "Y3VzdG9tZXItNDcxMQ==")
		set("restate.subscription.id", "orders-to-billing")
		set("kafka-sidecar-attempt", "1")
		set("kafka-sidecar-timeout-ms", "20000")
		resp, err := c.Do(req)
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return resp.StatusCode == http.StatusNoContent
	})
}
