package restateserver

import (
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

// Span is one span as the server exported it.
type Span struct {
	Trace      string // 32 hexadecimal digits
	Name       string
	Attributes map[string]string // texts and whole numbers
}

// Collector takes spans over OTLP, as a collector of OpenTelemetry does. Its URL is a value for RESTATE_TRACING_ENDPOINT.
type Collector struct {
	URL string

	mu    sync.Mutex
	spans []Span
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

// ServeHTTP answers the one call that exporters make, by gRPC: a message is a flag, its length in four bytes, and itself.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const header = 5
	body, err := io.ReadAll(r.Body)
	if err != nil || len(body) < header || body[0] != 0 || int(binary.BigEndian.Uint32(body[1:])) != len(body)-header {
		http.Error(w, "want one message that is not compressed", http.StatusBadRequest)
		return
	}
	var spans []Span
	for _, resource := range messages(body[header:], 1) {
		for _, scope := range messages(resource, 2) {
			for _, span := range messages(scope, 2) {
				spans = append(spans, readSpan(span))
			}
		}
	}
	c.mu.Lock()
	c.spans = append(c.spans, spans...)
	c.mu.Unlock()
	w.Header().Set("content-type", "application/grpc")
	w.Header().Set("trailer", "grpc-status")
	_, _ = w.Write(make([]byte, header))
	w.Header().Set("grpc-status", "0")
}

// readSpan reads what the tests look at, by the numbers of opentelemetry/proto/trace/v1.
func readSpan(b []byte) Span {
	s := Span{Attributes: map[string]string{}}
	for _, id := range messages(b, 1) {
		s.Trace = hex.EncodeToString(id)
	}
	for _, name := range messages(b, 5) {
		s.Name = string(name)
	}
	for _, attribute := range messages(b, 9) {
		var name, value string
		for _, text := range messages(attribute, 1) {
			name = string(text)
		}
		for _, any := range messages(attribute, 2) {
			for _, text := range messages(any, 1) {
				value = string(text)
			}
			if number, ok := varint(any, 3); ok {
				value = strconv.FormatInt(number, 10)
			}
		}
		s.Attributes[name] = value
	}
	return s
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
