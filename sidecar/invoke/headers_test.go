package invoke

import (
	"context"
	"fmt"
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

func TestRequestHeaders(t *testing.T) {
	head, body := capture(t, Config{
		URLTemplate: "http://handler.test/orders?token=s3cret",
		Headers:     []Header{{"Authorization", "Bearer t"}, {"X-Twice", "1"}, {"x-twice", "2"}, {"User-Agent", "me/1"}, {"Host", "inner.test"}},
	}, rec())
	want := `POST /orders?token=s3cret HTTP/1.1
Host: inner.test
User-Agent: me/1
Content-Length: 11
authorization: Bearer t
content-type: application/json
idempotency-key: my-cluster/billing/orders/3/42/1750000000123
kafka-sidecar-attempt: 1
kafka-sidecar-timeout-ms: 30000
kafka.key: Y3VzdG9tZXItMQ==
kafka.offset: 42
kafka.partition: 3
kafka.timestamp: 1750000000123
kafka.topic: orders
restate.subscription.id: orders-to-billing
x-twice: 1
x-twice: 2

`
	if got := strings.ReplaceAll(head, "\r\n", "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if body != `{"total":7}` {
		t.Errorf("body %q", body)
	}
}

func TestSubscriptionIsNamedAsItIs(t *testing.T) {
	const id = "Orders (5% sample) to billing"
	head, _ := capture(t, Config{Cluster: "my-cluster", Topic: "orders", Group: id, SubscriptionID: id}, rec())
	h := headerLines(head)
	if got := h["restate.subscription.id"]; !slices.Equal(got, []string{id}) {
		t.Errorf("restate.subscription.id is %q, want %q", got, id)
	}
	if got, want := h["idempotency-key"], "my-cluster/Orders%20%285%25%20sample%29%20to%20billing/orders/3/42/1750000000123"; !slices.Equal(got, []string{want}) {
		t.Errorf("idempotency-key is %q, want %q", got, want)
	}
}

func TestDashesStyle(t *testing.T) {
	r := rec()
	r.Value = nil
	head, _ := capture(t, Config{HeaderStyle: "dashes"}, r)
	h := headerLines(head)
	for _, name := range []string{"kafka-topic", "kafka-partition", "kafka-offset", "kafka-timestamp", "kafka-key", "kafka-tombstone", "restate-subscription-id", "kafka-sidecar-attempt", "kafka-sidecar-timeout-ms"} {
		if len(h[name]) != 1 {
			t.Errorf("%s: %q", name, h[name])
		}
	}
	for name := range h {
		if strings.Contains(name, ".") {
			t.Errorf("a dot in %s", name)
		}
	}
}

func TestTombstoneHasAnEmptyBodyOfKnownLength(t *testing.T) {
	r := rec()
	r.Value, r.Key = nil, nil
	head, body := capture(t, Config{}, r)
	h := headerLines(head)
	if body != "" || !slices.Equal(h["content-length"], []string{"0"}) || h["transfer-encoding"] != nil {
		t.Errorf("body %q, headers %v", body, h)
	}
	if !slices.Equal(h["kafka.tombstone"], []string{"true"}) || h["kafka.key"] != nil {
		t.Errorf("headers %v", h)
	}

	r.Value, r.Key = []byte{}, []byte{}
	head, _ = capture(t, Config{}, r)
	h = headerLines(head)
	if h["kafka.tombstone"] != nil || !slices.Equal(h["content-length"], []string{"0"}) || !slices.Equal(h["kafka.key"], []string{""}) {
		t.Errorf("empty is not null: %v", h)
	}
}

func TestTimeoutHeaderSaysTheNearerEnd(t *testing.T) {
	got := make(chan string, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { got <- r.Header.Get("kafka-sidecar-timeout-ms") })
	i := newInvoker(t, Config{URLTemplate: s.URL, Timeout: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if r := i.Attempt(ctx, rec(), 1); r.Class != Done {
		t.Fatalf("%+v", r)
	}
	var ms int
	if _, err := fmt.Sscan(<-got, &ms); err != nil || ms > 20000 || ms < 1000 {
		t.Errorf("left %d ms of 20 s: %v", ms, err)
	}
}

func TestForwardedHeaders(t *testing.T) {
	r := rec()
	for _, h := range [][2]string{
		{"X-Tenant", "acme"}, {"x-tenant", "second"}, {"x-Empty", ""}, {"x-space", "a b\r\nkafka.topic: evil"}, {"x-utf8", "grün 5%"}, {"baggage", "user=Am%C3%A9lie"},
		{"not a token", "1"}, {"", "2"}, {"ünicode", "3"}, {"nl\r\nevil", "4"},
		{"Host", "evil"}, {"authorization", "evil"}, {"Content-Type", "evil"}, {"content-length", "5"}, {"content-anything", "evil"},
		{"Idempotency-Key", "evil"}, {"Transfer-Encoding", "chunked"}, {"te", "trailers"}, {"Trailer", "x"}, {"upgrade", "h2c"}, {"connection", "close"},
		{"keep-alive", "1"}, {"proxy-authorization", "evil"}, {"Proxy-Connection", "close"}, {"expect", "100-continue"},
		{"kafka.topic", "evil"}, {"kafka-topic", "evil"}, {"Kafka.Anything", "evil"}, {"restate.subscription.id", "evil"}, {"restate-subscription-id", "evil"},
		{"kafka-sidecar-attempt", "99"}, {"kafka-sidecar.source.topic", "evil"}, {"traceparent", "evil"}, {"tracestate", "evil"},
		{"X-Api-Key", "evil"}, {"X-Idempotency-Key", "mine"}, {"User-Agent", "producer"},
	} {
		r.Headers = append(r.Headers, record.Header{Name: h[0], Value: []byte(h[1])})
	}
	r.Headers = append(r.Headers, record.Header{Name: "x-null"})
	skipped := 0
	head, _ := capture(t, Config{
		ForwardHeaders: []string{"*"}, Headers: []Header{{"x-api-key", "good"}, {"Authorization", "Bearer good"}},
		OnSkippedHeader: func() { skipped++ },
	}, r)
	if strings.Contains(strings.ReplaceAll(head, "kafka.topic:%20evil", ""), "evil") {
		t.Errorf("a record set what it may not:\n%s", head)
	}
	h := headerLines(head)
	for name, want := range map[string][]string{
		"x-tenant": {"acme", "second"}, "x-empty": {""}, "x-null": {""}, "x-space": {"a%20b%0D%0Akafka.topic:%20evil"}, "x-utf8": {"gr%C3%BCn%205%"}, "baggage": {"user=Am%C3%A9lie"},
		"x-api-key": {"good"}, "authorization": {"Bearer good"}, "host": {"handler.test"}, "content-length": {"11"}, "content-type": {"application/json"},
		"kafka.topic": {"orders"}, "kafka-sidecar-attempt": {"1"}, "x-idempotency-key": {"mine"}, "user-agent": {"producer"},
		"transfer-encoding": nil, "te": nil, "connection": nil, "expect": nil, "traceparent": nil, "kafka-topic": nil,
	} {
		if !slices.Equal(h[name], want) {
			t.Errorf("%s: got %q, want %q", name, h[name], want)
		}
	}
	if skipped != 4 {
		t.Errorf("%d names counted as skipped, want 4", skipped)
	}
}

func TestOnlyMatchingHeadersAreForwarded(t *testing.T) {
	r := rec()
	r.Headers = []record.Header{{Name: "x-a", Value: []byte("1")}, {Name: "X-B-c", Value: []byte("2")}, {Name: "other", Value: []byte("3")}, {Name: "not a token"}}
	head, _ := capture(t, Config{ForwardHeaders: []string{"x-a", " X-*-C "}, OnSkippedHeader: func() { t.Error("counted a name that nobody asked for") }}, r)
	h := headerLines(head)
	if h["x-a"] == nil || h["x-b-c"] == nil || h["other"] != nil {
		t.Errorf("headers %v", h)
	}
	head, _ = capture(t, Config{}, r)
	if headerLines(head)["x-a"] != nil {
		t.Error("forwarded without being asked")
	}
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"*", "x", true}, {"", "", true}, {"", "x", false}, {"x", "x", true}, {"x", "xx", false},
		{"x-*", "x-", true}, {"x-*", "y-x-", false}, {"*-id", "a-id-id", true}, {"a*b*c", "axxbxbc", true}, {"a*b*c", "axxbxb", false}, {"**", "abc", true},
		{strings.Repeat("*a", 50), strings.Repeat("a", 49), false},
	} {
		if got := matchGlob(tt.pattern, tt.s); got != tt.want {
			t.Errorf("%q ~ %q: %v", tt.pattern, tt.s, got)
		}
	}
}

// FuzzForwardedHeader: whatever a record's headers are, the request is one request with our headers, and of a value only what is not visible is changed.
func FuzzForwardedHeader(f *testing.F) {
	f.Add("x-a", []byte("plain"))
	f.Add("X-Über", []byte("\r\nkafka.topic: x"))
	f.Add("transfer-encoding", []byte("chunked"))
	f.Add("x", []byte{0, 255, '%', ' '})
	i := newInvoker(f, Config{ForwardHeaders: []string{"*"}})
	baseline := i.headers(request{rec: rec(), attempt: 1, handler: true}, i.timeoutMS)
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		r := rec()
		r.Headers = []record.Header{{Name: name, Value: value}}
		h := i.headers(request{rec: r, attempt: 1, handler: true}, i.timeoutMS)
		for key, values := range h {
			if !isToken(key) || !validValue(strings.Join(values, "")) {
				t.Fatalf("%q: %q cannot be sent", key, values)
			}
			if key == userAgent || key == "traceparent" {
				continue
			}
			if ours, ok := baseline[key]; ok {
				if !slices.Equal(ours, values) {
					t.Fatalf("%s was replaced: %q", key, values)
				}
				continue
			}
			if ck := textproto.CanonicalMIMEHeaderKey(key); ck == key && strings.ToLower(key) != key {
				t.Fatalf("%s is canonical: net/http acts on those", key)
			}
			var want strings.Builder
			for _, c := range value {
				if c > ' ' && c < 0x7f {
					want.WriteByte(c)
				} else {
					fmt.Fprintf(&want, "%%%02X", c)
				}
			}
			if values[0] != want.String() {
				t.Fatalf("%s: %q, want %q", key, values[0], want.String())
			}
		}
	})
}

func TestTraceIsContinued(t *testing.T) {
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	good := "00-" + id + "-" + span + "-01"
	type hs []record.Header
	h := func(kv ...string) (out hs) {
		for k := 0; k < len(kv); k += 2 {
			out = append(out, record.Header{Name: kv[k], Value: []byte(kv[k+1])})
		}
		return out
	}
	for _, tt := range []struct {
		name          string
		headers       hs
		parent, state string // parent: flags, empty when none
	}{
		{"sampled", h("traceparent", good, "tracestate", "a=1"), "01", "a=1"},
		{"any case", h("TraceParent", good, "TRACESTATE", "a=1"), "01", "a=1"},
		{"not sampled", h("traceparent", good[:53]+"00"), "00", ""},
		{"unknown flags", h("traceparent", good[:53]+"ff"), "03", ""},
		{"later version", h("traceparent", "cc"+good[2:]+"-what"), "01", ""},
		{"states are joined", h("traceparent", good, "tracestate", "a=1", "tracestate", "b=2"), "01", "a=1,b=2"},
		{"state with a line break", h("traceparent", good, "tracestate", "a=1\r\nx: y"), "01", ""},
		{"state alone", h("tracestate", "a=1"), "", ""},
		{"two parents", h("traceparent", good, "traceparent", good), "", ""},
		{"version ff", h("traceparent", "ff"+good[2:]), "", ""},
		{"too long for version 00", h("traceparent", good+"-x"), "", ""},
		{"upper case", h("traceparent", strings.ToUpper(good)), "", ""},
		{"zero trace", h("traceparent", "00-"+strings.Repeat("0", 32)+"-"+span+"-01"), "", ""},
		{"zero parent", h("traceparent", "00-"+id+"-"+strings.Repeat("0", 16)+"-01"), "", ""},
		{"empty", h("traceparent", ""), "", ""},
		{"none", nil, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rec()
			r.Headers = tt.headers
			head, _ := capture(t, Config{}, r)
			got := headerLines(head)
			if tt.parent == "" {
				if got["traceparent"] != nil || got["tracestate"] != nil {
					t.Fatalf("a trace out of nowhere: %v", got)
				}
				return
			}
			m := regexp.MustCompile(`^00-` + id + `-([0-9a-f]{16})-` + tt.parent + `$`).FindStringSubmatch(got["traceparent"][0])
			if m == nil || m[1] == span {
				t.Errorf("traceparent %q", got["traceparent"])
			}
			if state := strings.Join(got["tracestate"], "|"); state != tt.state {
				t.Errorf("tracestate %q, want %q", state, tt.state)
			}
		})
	}
}

func TestIdempotencyKeyIsOnePerRecord(t *testing.T) {
	r := rec()
	if got := IdempotencyKey("my-cluster", "billing", "orders", r); got != "my-cluster/billing/orders/3/42/1750000000123" {
		t.Error(got)
	}
	if got := IdempotencyKey("a/b", "g\n%ü", "t._-~", r); got != "a%2Fb/g%0A%25%C3%BC/t._-~/3/42/1750000000123" {
		t.Error(got)
	}
	if IdempotencyKey("a/b", "c", "t", r) == IdempotencyKey("a", "b/c", "t", r) {
		t.Error("two subscriptions share a key")
	}
	again := *r
	again.Timestamp++
	if IdempotencyKey("a", "b", "t", r) == IdempotencyKey("a", "b", "t", &again) {
		t.Error("a recreated topic repeats a key")
	}
}
