package tests

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func TestRequestCarriesWhatTheContractSays(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
			if c.Attempt == 1 {
				return harness.Answer{Status: 503}
			}
			return harness.Answer{}
		})
		env := harness.TestEnv(b, topic, h).With("HANDLER_TIMEOUT", "7s")
		stamp := time.UnixMilli(1700000000123)
		records := b.ProduceAt(
			&kgo.Record{Topic: topic, Key: []byte("k\xff>?"), Value: []byte(`{"a":1}`), Timestamp: stamp},
			&kgo.Record{Topic: topic, Value: []byte("no key"), Timestamp: stamp},
		)
		harness.Start(t, env)
		h.WaitSettled(records)
		for i, r := range records {
			calls := h.CallsOf(r)
			if len(calls) != 2 || calls[0].IdempotencyKey != calls[1].IdempotencyKey {
				t.Fatalf("%d calls for record %d, want two with one idempotency key", len(calls), i)
			}
			c := calls[1]
			key := fmt.Sprintf("test/%s/%s/0/%d/1700000000123", url.PathEscape(env.Group()), url.PathEscape(topic), r.Offset)
			for name, want := range map[string]string{
				"content-type": "application/json", "idempotency-key": key, "kafka.topic": topic, "kafka.partition": "0",
				"kafka.offset": strconv.FormatInt(r.Offset, 10), "kafka.timestamp": "1700000000123",
				"restate.subscription.id": env.Group(), "kafka-sidecar-attempt": "2",
				"kafka.key": base64.URLEncoding.EncodeToString(r.Key),
			} {
				if got := c.Header.Get(name); got != want {
					t.Errorf("record %d: %s is %q, want %q", i, name, got, want)
				}
			}
			if _, there := c.Header[http.CanonicalHeaderKey("kafka.key")]; there != (r.Key != nil) {
				t.Errorf("record %d: kafka.key present: %v", i, there)
			}
			if c.TimeoutMS <= 0 || c.TimeoutMS > 7000 {
				t.Errorf("record %d: kafka-sidecar-timeout-ms is %d", i, c.TimeoutMS)
			}
			if !bytes.Equal(c.Body, r.Value) || c.Path != "/records" {
				t.Errorf("record %d: %q to %s", i, c.Body, c.Path)
			}
		}
	})
}

func TestSinkTemplateIsFilledPercentEncoded(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h).With("SUBSCRIPTION_SINK", h.URL("/v1/{topic}/{partition}/{key}/{offset}?token=x"))
	for key, want := range map[string]string{
		"plain": "plain", "a/b": "a%2Fb", "a b": "a%20b", "../x": "..%2Fx", "?#%": "%3F%23%25", "ä": "%C3%A4",
	} {
		b.Produce(harness.Record(topic, key, want))
	}
	harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	for _, c := range h.Calls() {
		if want := fmt.Sprintf("/v1/%s/0/%s/%d", topic, c.Body, c.Offset); c.Path != want {
			t.Errorf("path %s, want %s", c.Path, want)
		}
	}
}

func TestRetryAfterIsHonouredWithinItsBounds(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	const floor, ceiling = 300 * time.Millisecond, 2500 * time.Millisecond
	cases := map[string]struct {
		value    func() string
		min, max time.Duration
	}{
		"seconds": {func() string { return "1" }, time.Second, 1250 * time.Millisecond},
		"date":    {func() string { return time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat) }, 1900 * time.Millisecond, ceiling * 5 / 4},
		"zero":    {func() string { return "0" }, floor, floor * 5 / 4},
		"past":    {func() string { return time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat) }, floor, floor * 5 / 4},
		"huge":    {func() string { return "9223372036854775807" }, ceiling, ceiling * 5 / 4},
		"larger":  {func() string { return "99999999999999999999999999" }, 0, ceiling * 5 / 4},
		"garbage": {func() string { return "soon" }, 0, ceiling * 5 / 4},
	}
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		if c.Attempt == 1 {
			return harness.Answer{Status: 503, Header: map[string]string{"retry-after": cases[c.Key].value()}}
		}
		return harness.Answer{}
	})
	env := harness.TestEnv(b, topic, h).With("RETRY_INITIAL_INTERVAL", floor.String(), "RETRY_MAX_INTERVAL", ceiling.String())
	var records []*kgo.Record
	for name := range cases {
		records = append(records, harness.Record(topic, name, "x"))
	}
	b.Produce(records...)
	harness.Start(t, env)
	h.WaitSettled(records)
	for _, r := range records {
		calls, want := h.CallsOf(r), cases[string(r.Key)]
		if len(calls) != 2 {
			t.Fatalf("%s: %d calls, want 2", r.Key, len(calls))
		}
		wait := calls[1].At.Sub(calls[0].At)
		// A loaded machine may be late by a second, but never early.
		if wait < want.min || wait > want.max+time.Second {
			t.Errorf("%s: waited %s, want between %s and %s", r.Key, wait, want.min, want.max)
		}
	}
}

func TestRedirectsAreNeverFollowed(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	elsewhere := harness.NewHandler(t, harness.OK)
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		status, _ := strconv.Atoi(c.Key)
		return harness.Answer{Status: status, Header: map[string]string{"location": elsewhere.URL("/login")}}
	})
	env := harness.TestEnv(b, topic, h).With("ON_FAILURE", "drop", "FAILURE_LIMIT", "off")
	for _, status := range []string{"301", "302", "303", "307", "308", "304", "501", "404", "409"} {
		b.Produce(harness.Record(topic, status, "x"))
	}
	s := harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	s.WaitMetric(9, "kafka_sidecar_settled_total", "outcome", "dropped")
	if n := elsewhere.Count(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
	if n := h.Count(); n != 9 {
		t.Errorf("%d calls, want one for each record", n)
	}
}

func TestStatusesThatConcernUsAreRetried(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		if status, _ := strconv.Atoi(c.Key); c.Attempt <= 2 {
			return harness.Answer{Status: status}
		}
		return harness.Answer{Status: 204}
	})
	env := harness.TestEnv(b, topic, h).With("ON_FAILURE", "drop")
	var records []*kgo.Record
	for _, status := range []string{"401", "403", "407", "408", "425", "429", "500", "502", "503", "504", "599"} {
		records = append(records, harness.Record(topic, status, "x"))
	}
	b.Produce(records...)
	harness.Start(t, env)
	h.WaitSettled(records)
	for _, r := range records {
		if n := len(h.CallsOf(r)); n != 3 {
			t.Errorf("%d calls after %s, want 3", n, r.Key)
		}
	}
}

func TestStatusListsMoveStatuses(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		status, _ := strconv.Atoi(c.Key)
		if status == 404 && c.Attempt > 2 {
			return harness.Answer{}
		}
		return harness.Answer{Status: status}
	})
	env := harness.TestEnv(b, topic, h).With("ON_FAILURE", "drop",
		"HANDLER_DONE_STATUSES", "409", "HANDLER_RETRY_STATUSES", "404", "HANDLER_FAIL_STATUSES", "5xx")
	b.Produce(harness.Record(topic, "409", "x"), harness.Record(topic, "404", "x"), harness.Record(topic, "503", "x"))
	s := harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	s.WaitMetric(2, "kafka_sidecar_settled_total", "outcome", "done")
	s.WaitMetric(1, "kafka_sidecar_settled_total", "outcome", "dropped")
}

// raw answers by hand; the call counts as answered with 200 only once the script wants it to.
func raw(f func(http.ResponseWriter, *http.Request)) harness.Answer { return harness.Answer{Raw: f} }

func TestAnAnswerThatBreaksOffIsRetried(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-length", "100")
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte("only this"))
		panic(http.ErrAbortHandler)
	}
	slow := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte("the rest never comes"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		switch {
		case c.Attempt > 2:
			return harness.Answer{}
		case c.Key == "cut":
			return raw(cut)
		case c.Key == "slow":
			return raw(slow)
		default:
			return harness.Answer{Reset: true}
		}
	})
	env := harness.TestEnv(b, topic, h).With("HANDLER_TIMEOUT", "500ms", "ON_FAILURE", "drop")
	records := b.Produce(harness.Record(topic, "cut", "x"), harness.Record(topic, "slow", "x"), harness.Record(topic, "reset", "x"))
	s := harness.Start(t, env)
	h.WaitSettled(records)
	b.WaitCommitted(env.Group(), topic)
	for _, r := range records {
		if n := len(h.CallsOf(r)); n != 3 {
			t.Errorf("%s: %d calls, want 3", r.Key, n)
		}
	}
	s.WaitMetric(3, "kafka_sidecar_settled_total", "outcome", "done")
}

func TestAnAnswerOfAnySizeIsDone(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	body := bytes.Repeat([]byte("x"), 4<<20)
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		if c.Key == "endless" {
			return harness.Answer{Status: 200, Raw: func(w http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					if _, err := w.Write(body[:1<<16]); err != nil {
						return
					}
				}
			}}
		}
		return harness.Answer{Body: body}
	})
	env := harness.TestEnv(b, topic, h)
	records := b.Produce(harness.Record(topic, "large", "x"), harness.Record(topic, "endless", "x"))
	harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	if n := h.Count(); n != len(records) {
		t.Errorf("%d calls, want %d", n, len(records))
	}
}

func TestOneAttemptIsOneRequestOverWarmConnections(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	release := make(chan struct{})
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		switch {
		case c.Key == "dies" && c.Attempt <= 5:
			return harness.Answer{Reset: true}
		case strings.HasPrefix(c.Key, "key-"):
			return harness.Answer{Until: release}
		}
		return harness.Answer{}
	})
	env := harness.TestEnv(b, topic, h)
	warm := b.Produce(harness.Keyed(topic, 64, 64)...)
	harness.Start(t, env)
	h.WaitCalls(64)
	close(release)
	h.WaitSettled(warm)
	before := h.Connections()
	if before < 64 {
		t.Fatalf("%d connections for 64 calls at once", before)
	}
	dies := b.Produce(harness.Record(topic, "dies", "x"))
	h.WaitSettled(dies)
	calls := h.CallsOf(dies[0])
	if len(calls) != 6 {
		t.Errorf("%d requests for six attempts", len(calls))
	}
	for i, c := range calls {
		if c.Attempt != i+1 {
			t.Errorf("request %d says attempt %d", i+1, c.Attempt)
		}
	}
	if n := h.Connections(); n > before+8 {
		t.Errorf("%d new connections after five resets: the pool was thrown away", n-before)
	}
}

func TestConnectionsAreKeptUnderFailures(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(4)
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		if chance(c) < 20 {
			return harness.Answer{Status: 500, Body: []byte("no")}
		}
		return harness.Answer{Body: []byte("yes")}
	})
	records := b.Produce(harness.Keyed(topic, 5_000, 500)...)
	harness.Start(t, harness.TestEnv(b, topic, h))
	h.WaitSettled(records)
	if n := h.Connections(); n > 80 {
		t.Errorf("%d connections for CONCURRENCY=64", n)
	}
}
