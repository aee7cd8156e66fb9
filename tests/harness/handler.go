package harness

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/process"
)

// Call is one request as the handler saw it. Start and End count events of the handler, so that calls can be ordered
// without clocks; End is 0 while the call runs.
type Call struct {
	Start, End     int64
	At             time.Time
	Topic          string
	Partition      int32
	Offset         int64
	Key            string
	HasKey         bool
	Attempt        int
	TimeoutMS      int
	IdempotencyKey string
	Path           string // as sent, still escaped
	Remote         string // address of the client, one per connection
	Status         int    // as answered; 0 while the call runs, or when it was hung up or cut by the client
	Header         http.Header
	Body           []byte
}

// Answer is what the handler does with a call. The zero value answers 200 at once.
type Answer struct {
	Status int
	Header map[string]string
	Body   []byte
	Delay  time.Duration
	Until  <-chan struct{} // answer only when it is closed
	Hang   bool            // never answer; ends when the client gives up or the test ends
	Reset  bool            // cut the connection without an answer
	Raw    func(http.ResponseWriter, *http.Request)
}

// Script decides about a call. It runs concurrently and must not keep the call's Header.
type Script func(Call) Answer

// OK answers every call with 200.
func OK(Call) Answer { return Answer{} }

// Handler is an HTTP server that answers by a script and remembers every call.
type Handler struct {
	t     testing.TB
	addr  string
	brief bool

	mu        sync.Mutex
	script    Script
	events    int64
	calls     []*Call
	settled   int // calls answered 2xx
	conns     int
	running   int
	most      int
	inPart    map[int32]int
	mostPart  int
	server    *http.Server
	served    chan struct{}
	base      context.Context
	cancel    context.CancelFunc
	untracked int // requests without the headers of a record
}

// NewHandler starts a handler on a port of the loopback that stays the same over Down and Up.
func NewHandler(t testing.TB, script Script) *Handler {
	t.Helper()
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{t: t, script: script, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), inPart: map[int32]int{}}
	h.Up()
	t.Cleanup(h.Down)
	return h
}

// Brief makes the handler forget headers and bodies after the script has seen them, for tests with many records.
func (h *Handler) Brief() *Handler {
	h.brief = true
	return h
}

// URL is the handler's address with a path.
func (h *Handler) URL(path string) string { return "http://" + h.addr + path }

// Script replaces the script for the calls that come from now on.
func (h *Handler) Script(s Script) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.script = s
}

// Down ends the listener and every connection: from now on the handler refuses connections.
func (h *Handler) Down() {
	h.mu.Lock()
	server, served, cancel := h.server, h.served, h.cancel
	h.server = nil
	h.mu.Unlock()
	if server == nil {
		return
	}
	cancel()
	// A process that is just being started would have the listener, too, and Up would find the port in use.
	syscall.ForkLock.RLock()
	_ = server.Close()
	syscall.ForkLock.RUnlock()
	<-served
}

// Up starts the handler again on the same port.
func (h *Handler) Up() {
	h.t.Helper()
	l, err := net.Listen("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	base, cancel := context.WithCancel(context.Background())
	h.base, h.cancel = base, cancel
	h.served = make(chan struct{})
	h.server = &http.Server{
		Handler:     h,
		BaseContext: func(net.Listener) context.Context { return base },
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				h.mu.Lock()
				h.conns++
				h.mu.Unlock()
			}
		},
	}
	go func(s *http.Server, done chan struct{}) {
		defer close(done)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			h.t.Errorf("handler: %v", err)
		}
	}(h.server, h.served)
}

// ServeHTTP records the call and does what the script says.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // cut while it was sent: the handler never saw a whole call
	}
	c, script := h.begin(r, body)
	answer := script(*c)
	status := 0
	// Not deferred behind the answer: the next call of the key may come as soon as the answer is on its way, so the end
	// of this one is recorded before.
	done := func() { h.end(c, status) }
	switch {
	case answer.Delay > 0:
		timer := time.NewTimer(answer.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			cut(done)
		}
	case answer.Until != nil:
		select {
		case <-answer.Until:
		case <-r.Context().Done():
			cut(done)
		}
	case answer.Hang:
		<-r.Context().Done()
		cut(done)
	}
	if answer.Reset {
		done()
		reset(w)
		return
	}
	if answer.Raw != nil {
		status = answer.Status
		done()
		answer.Raw(w, r)
		return
	}
	for name, value := range answer.Header {
		w.Header().Set(name, value)
	}
	if status = answer.Status; status == 0 {
		status = http.StatusOK
	}
	done()
	w.WriteHeader(status)
	_, _ = w.Write(answer.Body)
}

// cut ends a call whose client has gone or whose server goes down. Were it just to return, net/http would answer 200.
func cut(done func()) {
	done()
	panic(http.ErrAbortHandler)
}

// reset ends the connection with a TCP reset instead of an answer.
func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func (h *Handler) begin(r *http.Request, body []byte) (*Call, Script) {
	offset, err := strconv.ParseInt(r.Header.Get("kafka.offset"), 10, 64)
	partition, err2 := strconv.ParseInt(r.Header.Get("kafka.partition"), 10, 32)
	attempt, _ := strconv.Atoi(r.Header.Get("kafka-sidecar-attempt"))
	timeout, _ := strconv.Atoi(r.Header.Get("kafka-sidecar-timeout-ms"))
	c := &Call{
		At: time.Now(), Topic: r.Header.Get("kafka.topic"), Partition: int32(partition), Offset: offset, Attempt: attempt,
		TimeoutMS: timeout, IdempotencyKey: r.Header.Get("idempotency-key"), Path: r.URL.EscapedPath(),
		Remote: r.RemoteAddr, Header: r.Header, Body: body,
	}
	if values, ok := r.Header[http.CanonicalHeaderKey("kafka.key")]; ok {
		if key, err := base64.URLEncoding.DecodeString(values[0]); err == nil {
			c.Key, c.HasKey = string(key), true
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || err2 != nil {
		h.untracked++
	}
	h.events++
	c.Start = h.events
	h.calls = append(h.calls, c)
	h.running++
	h.most = max(h.most, h.running)
	h.inPart[c.Partition]++
	h.mostPart = max(h.mostPart, h.inPart[c.Partition])
	return c, h.script
}

func (h *Handler) end(c *Call, status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events++
	c.End, c.Status = h.events, status
	h.running--
	h.inPart[c.Partition]--
	if status >= 200 && status < 300 {
		h.settled++
	}
	if h.brief {
		c.Header, c.Body = nil, nil
	}
}
