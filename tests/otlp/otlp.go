// Package otlp is a collector of spans for tests: it takes what is exported over OTLP, by HTTP or by gRPC without TLS.
package otlp

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// Span is one span as it was exported.
type Span struct {
	Trace, ID, Parent string // 32, 16 and 16 hexadecimal digits; no Parent: a root
	Name              string
	Kind              int               // 5: consumer
	Failed            bool              // its status is an error
	Attributes        map[string]string // texts, whole numbers and booleans
	Resource          map[string]string // what it comes from
}

// Collector takes spans as a collector of OpenTelemetry does.
type Collector struct {
	URL string // for RESTATE_TRACING_ENDPOINT (gRPC) and OTEL_EXPORTER_OTLP_ENDPOINT (HTTP)

	mu      sync.Mutex
	spans   []Span
	raw     bytes.Buffer
	headers []http.Header
	refusal int
}

// Collect starts a collector that ends with the test.
func Collect(t testing.TB) *Collector {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Collector{URL: "http://" + listener.Addr().String()}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC without TLS
	srv := &http.Server{Handler: c, Protocols: &protocols}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve the collector: %v", err)
		}
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
	})
	return c
}

// Spans returns what has been exported so far. Spans come in batches, some time after their end.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Holds says whether a text is anywhere in what was exported.
func (c *Collector) Holds(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.raw.Bytes(), []byte(text))
}

// Requests returns the headers of every request, of refused ones too.
func (c *Collector) Requests() []http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.headers)
}

// Refuse has HTTP requests answered with a status from now on; 0 takes them again.
func (c *Collector) Refuse(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusal = status
}

// ServeHTTP answers the one call that exporters make. By gRPC a message is a flag, its length in four bytes, and itself.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const header = 5
	c.mu.Lock()
	c.headers = append(c.headers, r.Header.Clone())
	refusal := c.refusal
	c.mu.Unlock()
	body, err := read(r)
	grpc := r.Header.Get("content-type") == "application/grpc"
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	case grpc:
		if len(body) < header || body[0] != 0 || int(binary.BigEndian.Uint32(body[1:])) != len(body)-header {
			http.Error(w, "want one message that is not compressed", http.StatusBadRequest)
			return
		}
		body = body[header:]
	case r.Method != http.MethodPost, r.URL.Path != "/v1/traces", r.Header.Get("content-type") != "application/x-protobuf":
		http.Error(w, "want spans in protobuf, posted to /v1/traces", http.StatusNotFound)
		return
	case refusal != 0:
		http.Error(w, "refused", refusal)
		return
	}
	c.take(body)
	if !grpc {
		w.Header().Set("content-type", "application/x-protobuf")
		return
	}
	w.Header().Set("content-type", "application/grpc")
	w.Header().Set("trailer", "grpc-status")
	_, _ = w.Write(make([]byte, header))
	w.Header().Set("grpc-status", "0")
}

func read(r *http.Request) ([]byte, error) {
	if r.Header.Get("content-encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	unpacked, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(unpacked)
}

func (c *Collector) take(body []byte) {
	var spans []Span
	for _, group := range messages(body, 1) {
		origin := map[string]string{}
		for _, resource := range messages(group, 1) {
			readAttributes(origin, messages(resource, 1))
		}
		for _, scope := range messages(group, 2) {
			for _, span := range messages(scope, 2) {
				s := readSpan(span)
				s.Resource = origin
				spans = append(spans, s)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans = append(c.spans, spans...)
	c.raw.Write(body)
}

// readSpan reads what the tests look at, by the numbers of opentelemetry/proto/trace/v1.
func readSpan(b []byte) Span {
	s := Span{Attributes: map[string]string{}}
	text := func(number protowire.Number) (last []byte) {
		for _, last = range messages(b, number) {
		}
		return last
	}
	s.Trace, s.ID, s.Parent = hex.EncodeToString(text(1)), hex.EncodeToString(text(2)), hex.EncodeToString(text(4))
	s.Name = string(text(5))
	kind, _ := varint(b, 6)
	s.Kind = int(kind)
	readAttributes(s.Attributes, messages(b, 9))
	if code, _ := varint(text(15), 3); code == 2 {
		s.Failed = true
	}
	return s
}

func readAttributes(into map[string]string, attributes [][]byte) {
	for _, attribute := range attributes {
		var name, value string
		for _, text := range messages(attribute, 1) {
			name = string(text)
		}
		for _, any := range messages(attribute, 2) {
			for _, text := range messages(any, 1) {
				value = string(text)
			}
			if truth, ok := varint(any, 2); ok {
				value = strconv.FormatBool(truth == 1)
			}
			if number, ok := varint(any, 3); ok {
				value = strconv.FormatInt(number, 10)
			}
		}
		into[name] = value
	}
}

// messages returns the fields of a number that have a length: texts, bytes and messages.
func messages(b []byte, number protowire.Number) [][]byte {
	var out [][]byte
	fields(b, func(n protowire.Number, kind protowire.Type, rest []byte) {
		if n == number && kind == protowire.BytesType {
			if value, size := protowire.ConsumeBytes(rest); size >= 0 {
				out = append(out, value)
			}
		}
	})
	return out
}

// varint returns the last whole number of a field.
func varint(b []byte, number protowire.Number) (value int64, found bool) {
	fields(b, func(n protowire.Number, kind protowire.Type, rest []byte) {
		if n == number && kind == protowire.VarintType {
			if v, size := protowire.ConsumeVarint(rest); size >= 0 {
				value, found = int64(v), true
			}
		}
	})
	return value, found
}

// fields visits every field of a message, until something in it is broken.
func fields(b []byte, visit func(n protowire.Number, kind protowire.Type, rest []byte)) {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return
		}
		b = b[size:]
		visit(n, kind, b)
		if size = protowire.ConsumeFieldValue(n, kind, b); size < 0 {
			return
		}
		b = b[size:]
	}
}
