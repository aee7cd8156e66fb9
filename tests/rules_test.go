package tests

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// oddRecords have no key, no valid key, and no value.
func oddRecords(topic string) []*kgo.Record {
	return []*kgo.Record{
		{Topic: topic, Value: []byte("null key")},
		{Topic: topic, Key: []byte{0xff, 0xfe}, Value: []byte("invalid key")},
		{Topic: topic, Key: []byte("tombstone")},
		{Topic: topic, Key: []byte("a/b c"), Value: []byte("plain")},
	}
}

func TestOddRecordsFailByNameWhereTheKeyIsInThePath(t *testing.T) {
	b := harness.Fake(t)
	topic, dead := b.CreateTopic(1), b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h).With("SUBSCRIPTION_SINK", "service://Cart/add", "HANDLER_URL", h.URL("/base/"), "HANDLER_TYPE", "object",
		"TOMBSTONES", "fail", "DEAD_LETTER_TOPIC", dead)
	b.ProduceAt(oddRecords(topic)...)
	harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	var reasons []string
	for _, r := range b.ReadAll(dead) {
		for _, header := range r.Headers {
			if header.Key == "kafka-sidecar.reason" {
				reasons = append(reasons, string(header.Value))
			}
		}
	}
	slices.Sort(reasons)
	if want := []string{"invalid-key", "null-key", "tombstone"}; !slices.Equal(reasons, want) {
		t.Errorf("dead letters for %q, want %q", reasons, want)
	}
	if calls := h.Calls(); len(calls) != 1 || calls[0].Path != "/base/Cart/a%2Fb%20c/add" {
		t.Errorf("calls %+v, want one to /base/Cart/a%%2Fb%%20c/add", calls)
	}
}

func TestOddRecordsAreDeliveredWhereTheUserSaysSo(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h).With("SUBSCRIPTION_SINK", "service://Cart/add", "HANDLER_URL", h.URL(""), "HANDLER_TYPE", "object",
		"NULL_KEY", "empty", "INVALID_KEY", "base64url", "TOMBSTONES", "skip")
	b.ProduceAt(oddRecords(topic)...)
	s := harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	var paths []string
	for _, c := range h.Calls() {
		paths = append(paths, c.Path)
	}
	slices.Sort(paths)
	if want := []string{"/Cart//add", "/Cart/__4%3D/add", "/Cart/a%2Fb%20c/add"}; !slices.Equal(paths, want) {
		t.Errorf("paths %q, want %q", paths, want)
	}
	s.WaitMetric(1, "kafka_sidecar_settled_total", "outcome", "dropped")
}

func TestHeadersAreNamedAndForwardedAsTheUserSays(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	const id = "Orders (5% sample) to billing"
	env := harness.TestEnv(b, topic, h).With("SUBSCRIPTION_ID", id, "HANDLER_HEADER_STYLE", "dashes", "HANDLER_CONTENT_TYPE", "text/plain",
		"HANDLER_FORWARD_HEADERS", "x*,BAGGAGE", "HANDLER_HEADERS", `{"X-Mine":"hidden"}`)
	record := &kgo.Record{Topic: topic, Value: []byte("v")}
	for _, header := range [][2]string{
		{"X-Tenant", "grün"}, {"x bad", "1"}, {"baggage", "user=Am%C3%A9lie"}, {"y", "2"}, {"x-mine", "theirs"}, {"kafka-topic", "theirs"},
	} {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: header[0], Value: []byte(header[1])})
	}
	b.ProduceAt(record)
	s := harness.Start(t, env)
	b.WaitCommitted(id, topic)
	calls := h.Calls()
	if len(calls) != 1 {
		t.Fatalf("%d calls, want 1", len(calls))
	}
	for name, want := range map[string][]string{
		"kafka-topic": {topic}, "kafka-partition": {"0"}, "kafka-offset": {"0"}, "restate-subscription-id": {id}, "content-type": {"text/plain"},
		"kafka.topic": nil, "restate.subscription.id": nil, "kafka-key": nil, "y": nil,
		"x-tenant": {"gr%C3%BCn"}, "baggage": {"user=Am%C3%A9lie"}, "x-mine": {"hidden"},
	} {
		if got := calls[0].Header.Values(name); !slices.Equal(got, want) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	s.WaitMetric(1, "kafka_sidecar_skipped_headers_total")
}

func TestHandlerOffTheLoopbackIsReachedThroughTheProxy(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	through := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { through <- r.RequestURI }))
	defer proxy.Close()
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h).With("HTTP_PROXY", proxy.URL)
	b.ProduceAt(harness.Record(topic, "k/1", "v"))
	harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	if len(h.Calls()) != 1 || len(through) != 0 {
		t.Errorf("%d calls to a handler on the loopback, %d through the proxy, want 1 and none", len(h.Calls()), len(through))
	}
	far := env.With("SUBSCRIPTION_ID", harness.Name(t, "far"), "SUBSCRIPTION_SINK", "http://handler.invalid/at/{key}?n={offset}")
	harness.Start(t, far)
	b.WaitCommitted(far.Group(), topic)
	if got, want := <-through, "http://handler.invalid/at/k%2F1?n=0"; got != want {
		t.Errorf("asked the proxy for %q, want %q", got, want)
	}
}

func TestHandlersAuthorityIsTakenFromItsFile(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	env := harness.TestEnv(b, topic, harness.NewHandler(t, harness.OK)).With("SUBSCRIPTION_SINK", srv.URL+"/x")
	b.ProduceAt(harness.Record(topic, "k", "v"))
	trusting := env.With("HANDLER_TLS_CA_FILE", file, "HANDLER_TLS_SERVER_NAME", "example.com")
	harness.Start(t, trusting)
	b.WaitCommitted(env.Group(), topic)
	for name, c := range map[string]struct {
		env  harness.Env
		code int
	}{
		"trusted": {trusting, 0}, "of nobody": {env, 1}, "of another name": {trusting.With("HANDLER_TLS_SERVER_NAME", "other.example"), 1},
	} {
		if out, errs, code := harness.Run(t, c.env, "check"); code != c.code || code == 1 && !strings.Contains(out, "FAILED: handler") {
			t.Errorf("%s: check ends with %d, want %d\n%s%s", name, code, c.code, out, errs)
		}
	}
}
