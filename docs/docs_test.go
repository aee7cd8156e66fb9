// Package docs_test holds the documentation to what the code does.
package docs_test

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// example is the record of the documentation.
func example() *record.Record {
	return &record.Record{
		Partition: 0, Offset: 42, Timestamp: 1767225600000, Key: []byte("customer-07"), Value: []byte(`{"customer":"customer-07","number":1}`),
		Headers: []record.Header{{Name: "x-tenant", Value: []byte("acme")}},
	}
}

// message is a request with its headers in any order.
type message struct {
	line    string // request line
	headers []string
	body    string
}

func (m message) String() string {
	return m.line + "\n" + strings.Join(m.headers, "\n") + "\n\n" + m.body
}

// parse reads a request as the documentation shows it.
func parse(text string) message {
	head, body, _ := strings.Cut(strings.TrimSuffix(text, "\n"), "\n\n")
	lines := strings.Split(head, "\n")
	m := message{line: lines[0], body: body}
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ": ")
		m.headers = append(m.headers, strings.ToLower(name)+": "+value)
	}
	slices.Sort(m.headers)
	return m
}

// send makes one attempt with the configuration and gives the request as it arrived. The handler's address is that of the documentation.
func send(t *testing.T, cfg invoke.Config, rec *record.Record) message {
	t.Helper()
	got := make(chan message, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		m := message{line: r.Method + " " + r.RequestURI + " " + r.Proto, body: string(body)}
		m.headers = append(m.headers, "host: "+r.Host)
		for name, values := range r.Header {
			for _, v := range values {
				m.headers = append(m.headers, strings.ToLower(name)+": "+v)
			}
		}
		got <- m
	}))
	defer s.Close()

	cfg.URLTemplate = strings.Replace(cfg.URLTemplate, "http://localhost:8080", s.URL, 1)
	cfg.BaseURL = s.URL
	cfg.Cluster, cfg.Topic, cfg.Group, cfg.SubscriptionID = "my-cluster", "orders", "orders-to-billing", "orders-to-billing"
	cfg.Timeout, cfg.Brokers = 20*time.Second, []string{"localhost:9092"}
	i, err := invoke.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if res := i.Attempt(t.Context(), rec, 1); res.Class != invoke.Done {
		t.Fatalf("attempt: %+v", res)
	}
	m := <-got
	for i := range m.headers {
		m.headers[i] = strings.Replace(m.headers[i], "host: "+s.Listener.Addr().String(), "host: localhost:8080", 1)
	}
	slices.Sort(m.headers)
	return m
}

func TestRequestExamplesAreWhatIsSent(t *testing.T) {
	handler := read(t, "reference/handler.md")
	orders := invoke.Config{URLTemplate: "http://localhost:8080/orders"}
	forwarding := orders
	forwarding.ForwardHeaders = []string{"x-*"}
	as := func(format string) invoke.Config {
		return invoke.Config{URLTemplate: orders.URLTemplate, Format: format}
	}
	for _, tt := range []struct {
		name, file, text, mark string
		cfg                    invoke.Config
	}{
		{"readme", "README.md", read(t, "../README.md"), "", orders},
		{"value", "handler.md", handler, "<!-- request: value -->\n", forwarding},
		{"envelope", "handler.md", handler, "<!-- request: envelope -->\n", as(invoke.FormatEnvelope)},
		{"cloudevents", "handler.md", handler, "<!-- request: cloudevents -->\n", as(invoke.FormatCloudEvents)},
		{"cloudevents-structured", "handler.md", handler, "<!-- request: cloudevents-structured -->\n", as(invoke.FormatCloudEventsStructured)},
		{"lambda", "handler.md", handler, "<!-- request: lambda -->\n", as(invoke.FormatLambda)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, rest, found := strings.Cut(tt.text, tt.mark+"```http\n")
			shown, _, closed := strings.Cut(rest, "```\n")
			if !found || !closed {
				t.Fatalf("%s has no such example", tt.file)
			}
			if want, got := parse(shown), send(t, tt.cfg, example()); want.String() != got.String() {
				t.Errorf("%s shows\n%s\n\nbut what is sent is\n%s", tt.file, want, got)
			}
		})
	}
}

func TestPathExamplesAreWhatIsSent(t *testing.T) {
	text := read(t, "reference/handler.md")
	template := func(path string) invoke.Config { return invoke.Config{URLTemplate: "http://localhost:8080" + path} }
	cart := func(kind string) invoke.Config {
		return invoke.Config{Kind: invoke.Service, Service: "Cart", Handler: "add", Type: kind, NullKey: "empty", InvalidKey: "base64url"}
	}
	restate := func(kind string) invoke.Config {
		cfg := cart(kind)
		cfg.Protocol = "restate"
		return cfg
	}
	for _, tt := range []struct {
		shown string // the row up to the request
		cfg   invoke.Config
		key   []byte
	}{
		{"| `http://localhost:8080/orders/{key}?at={partition}-{offset}` | | `customer-07` |", template("/orders/{key}?at={partition}-{offset}"), []byte("customer-07")},
		{"| `http://localhost:8080/orders/{key}` | | bytes `FF FE` |", template("/orders/{key}"), []byte{0xff, 0xfe}},
		{"| `service://Cart/add` | `service` | `customer-07` |", cart("service"), []byte("customer-07")},
		{"| `service://Cart/add` | `object` | `customer-07` |", cart("object"), []byte("customer-07")},
		{"| `service://Cart/add` | `workflow` | `a/b c` |", cart("workflow"), []byte("a/b c")},
		{"| `service://Cart/add` | `object` | `..` |", cart("object"), []byte("..")},
		{"| `service://Cart/add` | `object` | null, with `NULL_KEY=empty` |", cart("object"), nil},
		{"| `service://Cart/add` | `object` | bytes `FF FE`, with `INVALID_KEY=base64url` |", cart("object"), []byte{0xff, 0xfe}},
		{"| `service://Cart/add` to Restate | `service` | `customer-07` |", restate("service"), []byte("customer-07")},
		{"| `service://Cart/add` to Restate | `object` | `a/b c` |", restate("object"), []byte("a/b c")},
	} {
		rec := example()
		rec.Key = tt.key
		row := tt.shown + " `" + strings.TrimSuffix(send(t, tt.cfg, rec).line, " HTTP/1.1") + "` |\n"
		if !strings.Contains(text, row) {
			t.Errorf("handler.md lacks the row\n%s", row)
		}
	}
}

func TestIdempotencyKeyExampleIsWhatIsSent(t *testing.T) {
	if want := "`" + invoke.IdempotencyKey("eu/prod", "billing", "orders", example()) + "`"; !strings.Contains(read(t, "reference/handler.md"), want) {
		t.Errorf("handler.md lacks %s", want)
	}
}

// TestDesignNamesTestsThatExist: DESIGN.md says which test holds which protection, and a renamed test would leave it pointing nowhere.
func TestDesignNamesTestsThatExist(t *testing.T) {
	known := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(read(t, path), -1) {
				known[m[1]] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(read(t, "../DESIGN.md"), -1)
	if len(named) < 50 {
		t.Errorf("DESIGN.md names %d tests", len(named))
	}
	for _, m := range named {
		if !known[m[1]] {
			t.Errorf("DESIGN.md names %s, which is not there", m[1])
		}
	}
}
