package bench

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// run is what the handler saw of one run.
type run struct {
	Answered int       // requests answered, the hot key's included
	Others   int       // requests of other keys answered
	First    time.Time // arrival of the first request
	Last     time.Time // answer of the last one that was waited for
}

// counter is the state of the handler process.
type counter struct {
	delay  time.Duration
	hotKey string // as it stands in the header

	mu     sync.Mutex
	run    run
	expect int           // others that end the run
	done   chan struct{} // closed when they were answered
}

// serve is the handler process. It tells its address on standard output and runs until it is killed.
func serve(t task) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Println(listener.Addr())
	c := &counter{delay: t.Delay, done: make(chan struct{})}
	if t.HotKey != "" {
		c.hotKey = base64.URLEncoding.EncodeToString([]byte(t.HotKey))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /records", c.record)
	mux.HandleFunc("POST /begin", c.begin)
	mux.HandleFunc("GET /end", c.end)
	return http.Serve(listener, mux)
}

func (c *counter) record(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	if c.run.First.IsZero() {
		c.run.First = time.Now()
	}
	c.mu.Unlock()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	if c.delay > 0 {
		timer := time.NewTimer(c.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run.Answered++
	if c.hotKey != "" && r.Header.Get("kafka.key") == c.hotKey {
		return
	}
	if c.run.Others++; c.run.Others == c.expect {
		c.run.Last = time.Now()
		close(c.done)
	}
}

// begin starts a run that ends when so many requests of other keys than the hot one were answered.
func (c *counter) begin(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("expect"))
	if err != nil || n < 1 {
		http.Error(w, "expect is not a number of requests", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run, c.expect, c.done = run{}, n, make(chan struct{})
}

// end answers with the run once it is over.
func (c *counter) end(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	done := c.done
	c.mu.Unlock()
	select {
	case <-done:
	case <-r.Context().Done():
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = json.NewEncoder(w).Encode(c.run) // the other side misses it
}

// handler is the handler process as the benchmark sees it.
type handler struct {
	b       *testing.B
	address string
	client  *http.Client
}

func startHandler(b *testing.B, delay time.Duration, hotKey string) *handler {
	b.Helper()
	cmd := command(b, task{Role: "handler", Delay: delay, HotKey: hotKey})
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	p, output := start(b, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.Kill()
		b.Fatalf("the handler did not start: %v\n%s", err, tail(output.Bytes()))
	}
	// A connection for each question, so that none is left open while requests are measured.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return &handler{b: b, address: strings.TrimSpace(line), client: client}
}

// url is where records go.
func (h *handler) url() string { return "http://" + h.address + "/records" }

func (h *handler) begin(expect int) {
	h.b.Helper()
	if err := h.ask(h.b.Context(), http.MethodPost, "/begin?expect="+strconv.Itoa(expect), nil); err != nil {
		h.b.Fatal(err)
	}
}

// end waits until the run is over, ctx ends or harness.Patience is used up.
func (h *handler) end(ctx context.Context) (run, error) {
	ctx, cancel := context.WithTimeout(ctx, harness.Patience)
	defer cancel()
	var r run
	err := h.ask(ctx, http.MethodGet, "/end", &r)
	return r, err
}

func (h *handler) ask(ctx context.Context, method, path string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+h.address+path, nil)
	if err != nil {
		return err
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the handler: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the handler for %s: %s", path, resp.Status)
	}
	if answer == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fmt.Errorf("read the handler's answer: %w", err)
	}
	return nil
}
