package invoke

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// longTimeout is for attempts that must not time out in a test.
const longTimeout = 30 * time.Second

func newInvoker(tb testing.TB, cfg Config) *Invoker {
	tb.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = longTimeout
	}
	if cfg.Kind == HTTP && cfg.URLTemplate == "" {
		cfg.URLTemplate = "http://handler.test/orders"
	}
	if cfg.Topic == "" {
		cfg.Cluster, cfg.Topic, cfg.Group, cfg.SubscriptionID = "my-cluster", "orders", "billing", "orders-to-billing"
	}
	i, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(i.Close)
	return i
}

func rec() *record.Record {
	return &record.Record{Partition: 3, Offset: 42, Timestamp: 1750000000123, Key: []byte("customer-1"), Value: []byte(`{"total":7}`)}
}

func serve(tb testing.TB, h http.HandlerFunc) *httptest.Server {
	tb.Helper()
	s := httptest.NewServer(h)
	tb.Cleanup(s.Close)
	return s
}

// wire makes the Invoker talk to handle over in-memory connections, one goroutine each. handle gets the raw connection.
func wire(tb testing.TB, i *Invoker, handle func(net.Conn)) {
	tb.Helper()
	var wg sync.WaitGroup
	i.transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		wg.Go(func() {
			defer theirs.Close()
			handle(theirs)
		})
		return ours, nil
	}
	tb.Cleanup(func() {
		i.Close()
		wg.Wait()
	})
}

// readRequest reads one request as the bytes that were sent, up to the end of its headers, and its body by Content-Length.
func readRequest(c net.Conn) (head, body string, err error) {
	r := bufio.NewReader(c)
	var b strings.Builder
	var length int
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		b.WriteString(line)
		if n, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			for _, d := range strings.TrimSpace(n) {
				length = length*10 + int(d-'0')
			}
		}
		if line == "\r\n" {
			break
		}
	}
	text := make([]byte, length)
	_, err = io.ReadFull(r, text)
	return b.String(), string(text), err
}

// capture makes one attempt and returns the bytes it sent.
func capture(tb testing.TB, cfg Config, r *record.Record) (head, body string) {
	tb.Helper()
	i := newInvoker(tb, cfg)
	done := make(chan struct{})
	wire(tb, i, func(c net.Conn) {
		defer close(done)
		var err error
		if head, body, err = readRequest(c); err != nil {
			tb.Error(err)
		}
		_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	})
	if res := i.Attempt(tb.Context(), r, 1); res.Class != Done {
		tb.Fatalf("attempt: %+v", res)
	}
	<-done
	return head, body
}

// answered makes one attempt that gets these bytes as the answer, after which the connection ends.
func answered(tb testing.TB, cfg Config, answer string) Result {
	tb.Helper()
	i := newInvoker(tb, cfg)
	wire(tb, i, func(c net.Conn) {
		if _, _, err := readRequest(c); err != nil {
			tb.Error(err)
		}
		_, _ = io.WriteString(c, answer)
	})
	return i.Attempt(tb.Context(), rec(), 1)
}

// headerLines are the headers of a request as sent, keyed by their name in lower case.
func headerLines(head string) map[string][]string {
	lines := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")
	m := map[string][]string{}
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ": ")
		name = strings.ToLower(name)
		m[name] = append(m[name], value)
	}
	return m
}

func requestLine(head string) string {
	line, _, _ := strings.Cut(head, "\r\n")
	return line
}
