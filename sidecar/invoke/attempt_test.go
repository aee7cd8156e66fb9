package invoke

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// warm opens n connections and leaves them idle: n requests that are answered only when all have arrived.
func warm(t *testing.T, i *Invoker, n int, arrived <-chan struct{}, answer chan<- struct{}) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if r := i.Attempt(t.Context(), rec(), 1); r.Class != Done {
				t.Errorf("warming: %+v", r)
			}
		})
	}
	for range n {
		<-arrived
	}
	close(answer)
	wg.Wait()
}

// TestDyingHandlerGetsTheRecordOnce: with the header under its canonical key net/http sends these requests 65 times.
func TestDyingHandlerGetsTheRecordOnce(t *testing.T) {
	const idle = 64
	value := rec().Value
	for name, body := range map[string][]byte{"value": value, "tombstone": nil, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			var dying atomic.Bool
			var deaths, conns atomic.Int32
			arrived, answer := make(chan struct{}, idle), make(chan struct{})
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !dying.Load() {
					arrived <- struct{}{}
					<-answer
					return
				}
				deaths.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
				panic(http.ErrAbortHandler) // closes the connection without an answer
			}))
			s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
				if st == http.StateNew {
					conns.Add(1)
				}
			}
			s.Start()
			defer s.Close()
			i := newInvoker(t, Config{
				URLTemplate: s.URL, Concurrency: idle, ForwardHeaders: []string{"*"},
				Headers: []Header{{"X-Idempotency-Key", "also replays when canonical"}},
			})
			warm(t, i, idle, arrived, answer)
			if n := conns.Load(); n != idle {
				t.Fatalf("%d connections are warm, want %d", n, idle)
			}
			dying.Store(true)
			r := rec()
			r.Value = body
			res := i.Attempt(t.Context(), r, 1)
			if n := deaths.Load(); n != 1 {
				t.Errorf("one attempt was %d requests", n)
			}
			if res.Class != Retry || res.Code != codeReset || !res.Gateway || res.TimedOut {
				t.Errorf("got %+v", res)
			}
		})
	}
}

func TestRequestCannotBeMadeAgain(t *testing.T) {
	i := newInvoker(t, Config{URLTemplate: "http://handler.test/"})
	seen := false
	i.client.HTTPClient.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		seen = true
		if r.GetBody != nil {
			t.Error("GetBody is set")
		}
		for key := range r.Header {
			if key != strings.ToLower(key) && key != userAgent {
				t.Errorf("%s is a canonical key", key)
			}
		}
		return &http.Response{StatusCode: 204, Body: http.NoBody}, nil
	})
	if r := i.Attempt(t.Context(), rec(), 1); r.Class != Done || !seen {
		t.Fatalf("%+v", r)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestFailingAttemptsKeepConnectionsWarm(t *testing.T) {
	const concurrency = 8
	var conns, requests atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch requests.Add(1) % 4 {
		case 0:
			http.Error(w, "no", http.StatusServiceUnavailable)
		case 1:
			http.Error(w, strings.Repeat("never ", 1000), http.StatusBadRequest)
		case 2:
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		default:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	i := newInvoker(t, Config{URLTemplate: s.URL, Concurrency: concurrency})
	var left atomic.Int32
	left.Store(500)
	var wg sync.WaitGroup
	for range concurrency {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if r := i.Attempt(t.Context(), rec(), 1); r.Class == Done || r.Status == 0 {
					t.Errorf("got %+v", r)
				}
			}
		})
	}
	wg.Wait()
	if n := conns.Load(); n > concurrency {
		t.Errorf("500 attempts opened %d connections, want at most %d", n, concurrency)
	}
	if n := requests.Load(); n != 500 {
		t.Errorf("500 attempts were %d requests", n)
	}
}

func TestRedirectIsNeverFollowed(t *testing.T) {
	for _, status := range []string{"300", "301", "302", "303", "307", "308"} {
		for _, location := range []string{"", "Location: /login\r\n", "Location: http://other.test/\r\n", "Location: http://[s3cret\r\n"} {
			i := newInvoker(t, Config{})
			var requests atomic.Int32
			wire(t, i, func(c net.Conn) {
				for {
					if _, _, err := readRequest(c); err != nil {
						return
					}
					requests.Add(1)
					_, _ = io.WriteString(c, "HTTP/1.1 "+status+" x\r\nContent-Length: 2\r\n"+location+"\r\nhi")
				}
			})
			r := i.Attempt(t.Context(), rec(), 1)
			if r.Class != Failed || r.Code != status || r.Reason != ReasonStatus || requests.Load() != 1 {
				t.Errorf("%s %q: %d requests, %+v", status, location, requests.Load(), r)
			}
		}
	}
}

func TestSlowHandlerTimesOut(t *testing.T) {
	for name, answer := range map[string]string{
		"before the answer":     "",
		"in the headers":        "HTTP/1.1 200 OK\r\n",
		"in the body":           "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nslow",
		"in an endless chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nslow\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newInvoker(t, Config{Timeout: 20 * time.Second})
				wire(t, i, func(c net.Conn) {
					_, _, _ = readRequest(c)
					_, _ = io.WriteString(c, answer)
					_, _ = c.Read(make([]byte, 1)) // until the client gives up
				})
				start := time.Now()
				r := i.Attempt(t.Context(), rec(), 1)
				if r.Class != Retry || r.Code != codeTimeout || !r.TimedOut || r.Gateway || !errors.Is(r.Err, errTimeout) {
					t.Errorf("got %+v", r)
				}
				if took := time.Since(start); took != 20*time.Second || r.Duration != took {
					t.Errorf("took %v, said %v", took, r.Duration)
				}
				i.Close()
			})
		})
	}
}

func TestSlowBodyOfARefusalStaysARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newInvoker(t, Config{Timeout: time.Second})
		wire(t, i, func(c net.Conn) {
			_, _, _ = readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 422 x\r\nContent-Length: 10\r\n\r\nslow")
			_, _ = c.Read(make([]byte, 1))
		})
		if r := i.Attempt(t.Context(), rec(), 1); r.Class != Failed || r.Code != "422" || r.TimedOut {
			t.Errorf("got %+v", r)
		}
		i.Close()
	})
}

func TestTimeoutOnARealConnection(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	i := newInvoker(t, Config{URLTemplate: s.URL, Timeout: 30 * time.Millisecond})
	if r := i.Attempt(t.Context(), rec(), 1); r.Code != codeTimeout || !r.TimedOut {
		t.Errorf("got %+v", r)
	}
}

func TestCancelledAttemptSaysNothingOfTheRecord(t *testing.T) {
	errLost := errors.New("partition lost")
	for _, answer := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"} {
		synctest.Test(t, func(t *testing.T) {
			i := newInvoker(t, Config{})
			wire(t, i, func(c net.Conn) {
				_, _, _ = readRequest(c)
				_, _ = io.WriteString(c, answer)
				_, _ = c.Read(make([]byte, 1))
			})
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				synctest.Wait()
				cancel(errLost)
			}()
			r := i.Attempt(ctx, rec(), 1)
			if r.Class != Cancelled || r.Code != codeCancelled || !errors.Is(r.Err, errLost) || r.TimedOut || r.Gateway {
				t.Errorf("got %+v", r)
			}
			i.Close()
		})
	}
}

func TestEndedContextSendsNothing(t *testing.T) {
	i := newInvoker(t, Config{})
	wire(t, i, func(net.Conn) { t.Error("a connection was opened") })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := i.Attempt(ctx, rec(), 1); r.Class != Cancelled || !errors.Is(r.Err, context.Canceled) {
		t.Errorf("got %+v", r)
	}
}

func TestCallersDeadlineIsACancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newInvoker(t, Config{Timeout: time.Minute})
		wire(t, i, func(c net.Conn) {
			_, _, _ = readRequest(c)
			_, _ = c.Read(make([]byte, 1))
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r := i.Attempt(ctx, rec(), 1); r.Class != Cancelled || r.TimedOut {
			t.Errorf("got %+v", r)
		}
		i.Close()
	})
}

func TestRefusedConnectionTellsOfTheHandler(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	i := newInvoker(t, Config{URLTemplate: "http://" + address + "/p?q=s3cret"})
	r := i.Attempt(t.Context(), rec(), 1)
	if r.Class != Retry || r.Code != codeConnect || !r.Gateway || !strings.Contains(r.Err.Error(), address) || strings.Contains(r.Err.Error(), "s3cret") {
		t.Errorf("got %+v", r)
	}
}

func TestResetIsAConnectionError(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = c.(*net.TCPConn).SetLinger(0) // RST
		c.Close()
	})
	i := newInvoker(t, Config{URLTemplate: s.URL})
	if r := i.Attempt(t.Context(), rec(), 1); r.Class != Retry || r.Code != codeReset || !r.Gateway {
		t.Errorf("got %+v", r)
	}
}

func TestLargeAnswerIsNotReadToItsEnd(t *testing.T) {
	stopped := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(stopped)
		chunk := make([]byte, 32<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				return // the client has closed the connection
			}
		}
	})
	i := newInvoker(t, Config{URLTemplate: s.URL})
	if r := i.Attempt(t.Context(), rec(), 1); r.Class != Done {
		t.Errorf("got %+v", r)
	}
	<-stopped
}

func TestKeyGoesToAProxyAsItIs(t *testing.T) {
	lines := make(chan string, 1)
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) { lines <- r.RequestURI })
	i := newInvoker(t, Config{URLTemplate: "http://handler.test/orders/{key}?v=1"})
	u, _ := url.Parse(proxy.URL)
	i.transport.Proxy = http.ProxyURL(u)
	r := rec()
	r.Key = []byte("a/b ..")
	if res := i.Attempt(t.Context(), r, 1); res.Class != Done {
		t.Fatalf("%+v", res)
	}
	if got := <-lines; got != "http://handler.test/orders/a%2Fb%20..?v=1" {
		t.Error(got)
	}
}

func TestProxysRefusalIsTold(t *testing.T) {
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c, _, _ := http.NewResponseController(w).Hijack()
		_, _ = io.WriteString(c, "HTTP/1.1 407 s3cret\r\n\r\n")
		c.Close()
	})
	i := newInvoker(t, Config{URLTemplate: "https://handler.test/"})
	u, _ := url.Parse(proxy.URL)
	i.transport.Proxy = http.ProxyURL(u)
	r := i.Attempt(t.Context(), rec(), 1)
	if r.Class != Retry || r.Code != codeConnect || !r.Gateway || r.Err.Error() != "connect to handler: proxy answered 407" {
		t.Errorf("got %+v", r)
	}
}

// TestRefusalOfALargeRecordIsHeard: the answer comes while most of the body is still to be sent.
func TestRefusalOfALargeRecordIsHeard(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	})
	i := newInvoker(t, Config{URLTemplate: s.URL})
	r := rec()
	r.Value = make([]byte, 16<<20)
	if res := i.Attempt(t.Context(), r, 1); res.Class != Failed || res.Code != "413" {
		t.Errorf("got %+v", res)
	}
}

// TestAttemptsShareNothing runs attempts of many records at once; what they share must only be read (run with -race).
func TestAttemptsShareNothing(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if string(b) != r.Header.Get("kafka.offset") || !strings.HasSuffix(r.Header.Get("idempotency-key"), "/3/"+string(b)+"/0") || r.URL.Path != "/"+string(b) || r.Header.Get("x-o") != string(b) {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	i := newInvoker(t, Config{URLTemplate: s.URL + "/{key}", Concurrency: 16, ForwardHeaders: []string{"x-*"}, Headers: []Header{{"x-api-key", "k"}}})
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for n := next.Add(1); n <= 400; n = next.Add(1) {
				text := []byte(strconv.FormatInt(n, 10))
				r := &record.Record{Partition: 3, Offset: n, Key: text, Value: text, Headers: []record.Header{{Name: "X-O", Value: text}}}
				if res := i.Attempt(t.Context(), r, int(n)); res.Class != Done {
					t.Errorf("%d: %+v", n, res)
				}
			}
		})
	}
	wg.Wait()
}
