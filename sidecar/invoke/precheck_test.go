package invoke

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

func TestPostSendsTheRawValueAndNoCredentials(t *testing.T) {
	type seen struct {
		uri, body string
		header    http.Header
	}
	got := make(chan seen, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- seen{r.RequestURI, string(b), r.Header}
	})
	i := newInvoker(t, Config{Format: FormatEnvelope, ContentType: "text/plain", Headers: []Header{{"authorization", "Bearer s3cret"}}, ForwardHeaders: []string{"x-*"}})
	r := rec()
	r.Headers = []record.Header{{Name: "x-a", Value: []byte("1")}}
	res := i.Post(t.Context(), s.URL+"/dead%2Fletters?q=1", nil, r, []Header{
		{"kafka-sidecar-reason", "status"}, {"Authorization", "Bearer own"}, {"kafka-sidecar-source-topic", "a\r\nb"}, {"no token", "x"},
	})
	if res.Class != Done {
		t.Fatalf("%+v", res)
	}
	g := <-got
	if g.uri != "/dead%2Fletters?q=1" || g.body != `{"total":7}` {
		t.Errorf("%q %q", g.uri, g.body)
	}
	for name, want := range map[string]string{
		"content-type": "text/plain", "idempotency-key": "my-cluster/billing/orders/3/42/1750000000123", "kafka.offset": "42", "x-a": "1",
		"authorization": "Bearer own", "kafka-sidecar-reason": "status", "kafka-sidecar-source-topic": "a%0D%0Ab", "kafka-sidecar-attempt": "",
		"kafka-sidecar-timeout-ms": "30000",
	} {
		if v := g.header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	if res := i.Post(t.Context(), "http://[s3cret", nil, r, nil); res.Class != Failed || strings.Contains(res.Err.Error(), "s3cret") {
		t.Errorf("%+v", res)
	}
}

func TestOnlyTheHandlerSaysAnOutcomeInWords(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("kafka-sidecar-outcome", r.URL.Query().Get("says"))
		if r.URL.Path == "/fails" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	i := newInvoker(t, Config{OnUnknownOutcome: func() { t.Error("an outcome of somebody else is counted as unknown") }})
	for _, says := range []string{"done", "retry", "fail", "drop", "nothing"} {
		if res := i.Post(t.Context(), s.URL+"/?says="+says, nil, rec(), nil); res.Class != Done || res.Err != nil {
			t.Errorf("200 that says %s: %+v, want it done", says, res)
		}
		if res := i.Post(t.Context(), s.URL+"/fails?says="+says, nil, rec(), nil); res.Class != Retry || res.Err == nil {
			t.Errorf("500 that says %s: %+v, want it tried again", says, res)
		}
	}
}

func TestPrecheck(t *testing.T) {
	object := Config{Kind: Service, BaseURL: "http://h", Service: "S", Handler: "m", Type: "object"}
	with := func(c Config, f func(*Config)) Config { f(&c); return c }
	keyed := Config{URLTemplate: "http://h/{key}"}
	for _, tt := range []struct {
		name       string
		cfg        Config
		key, value []byte
		class      Class // 0: goes on
		reason     string
	}{
		{"plain sink takes a null key", Config{}, nil, []byte("v"), 0, ""},
		{"plain sink takes any key", Config{}, []byte{0xff}, []byte("v"), 0, ""},
		{"template", keyed, nil, []byte("v"), Failed, ReasonNullKey},
		{"template takes bytes", keyed, []byte{0xff}, []byte("v"), 0, ""},
		{"query template", Config{URLTemplate: "http://h/?k={key}"}, nil, []byte("v"), Failed, ReasonNullKey},
		{"template, empty", with(keyed, func(c *Config) { c.NullKey = "empty" }), nil, []byte("v"), 0, ""},
		{"object", object, nil, []byte("v"), Failed, ReasonNullKey},
		{"object, empty key is a key", object, []byte{}, []byte("v"), 0, ""},
		{"object, invalid", object, []byte("a\xff"), []byte("v"), Failed, ReasonInvalidKey},
		{"object, base64url", with(object, func(c *Config) { c.InvalidKey = "base64url" }), []byte("a\xff"), []byte("v"), 0, ""},
		{"service", with(object, func(c *Config) { c.Type = "" }), nil, []byte("v"), 0, ""},
		{"tombstone", Config{}, []byte("k"), nil, 0, ""},
		{"empty value is no tombstone", Config{Tombstones: "fail"}, []byte("k"), []byte{}, 0, ""},
		{"tombstone, fail", Config{Tombstones: "fail"}, []byte("k"), nil, Failed, ReasonTombstone},
		{"tombstone, skip", Config{Tombstones: "skip"}, []byte("k"), nil, Drop, ReasonTombstone},
		{"tombstone without key, skip", with(object, func(c *Config) { c.Tombstones = "skip" }), nil, nil, Drop, ReasonTombstone},
		{"tombstone without key", object, nil, nil, Failed, ReasonNullKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := newInvoker(t, tt.cfg)
			r := rec()
			r.Key, r.Value = tt.key, tt.value
			res, decided := i.Precheck(r)
			if res.Class != tt.class || res.Reason != tt.reason || decided != (tt.class != 0) {
				t.Fatalf("got %+v %v", res, decided)
			}
			if decided {
				wire(t, i, func(net.Conn) { t.Error("a connection was opened") })
				if again := i.Attempt(t.Context(), r, 1); again.Class != tt.class || again.Code != "" {
					t.Errorf("attempt: %+v", again)
				}
			}
		})
	}
}
