package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Source that says what it is told to say.
type fake struct {
	live, started, ready error
	block                chan struct{} // Live returns when it is closed; nil: at once
	asked                chan struct{} // Live sends here when it is asked; nil: not
	subscription         Subscription
}

func (f *fake) Live() error {
	if f.asked != nil {
		f.asked <- struct{}{}
	}
	if f.block != nil {
		<-f.block
	}
	return f.live
}
func (f *fake) Started() error             { return f.started }
func (f *fake) Ready() error               { return f.ready }
func (f *fake) Subscription() Subscription { return f.subscription }

var noMetrics = http.NotFoundHandler()

func ask(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
	return w
}

func TestHealthPageFailsAloneAndSaysWhy(t *testing.T) {
	reason := errors.New("topic \"orders\" is not there <yet>")
	for sick, src := range map[string]*fake{
		"none": {}, "/live": {live: reason}, "/startup": {started: reason}, "/ready": {ready: reason},
	} {
		for _, path := range []string{"/live", "/startup", "/ready"} {
			status, body := http.StatusOK, "ok\n"
			if path == sick {
				status, body = http.StatusServiceUnavailable, reason.Error()+"\n"
			}
			w := ask(Handler(src, noMetrics), http.MethodGet, path)
			if w.Code != status || w.Body.String() != body {
				t.Errorf("%s while %s is sick: %d %q, want %d %q", path, sick, w.Code, w.Body, status, body)
			}
			if ct := w.Header().Get("Content-Type"); ct != "text/plain; charset=utf-8" {
				t.Errorf("%s: content type %q", path, ct)
			}
		}
	}
}

func TestMetricsPageIsTheHandlerGiven(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, "kafka_sidecar_joined 1\n")
	})
	w := ask(Handler(&fake{}, metrics), http.MethodGet, "/metrics")
	if w.Code != http.StatusOK || w.Body.String() != "kafka_sidecar_joined 1\n" || w.Header().Get("Content-Type") != "text/plain; version=0.0.4" {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
}

func TestSubscriptionPageIsTheSubscriptionAsJSON(t *testing.T) {
	want := sample()
	w := ask(Handler(&fake{subscription: want}, noMetrics), http.MethodGet, "/subscription")
	if ct := w.Header().Get("Content-Type"); w.Code != http.StatusOK || ct != "application/json" {
		t.Errorf("status %d, content type %q", w.Code, ct)
	}
	if !strings.Contains(w.Body.String(), `"look up <broker> & wait"`) {
		t.Error("text is escaped as if for HTML")
	}
	var got Subscription
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v (%v), want %+v", got, err, want)
	}
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	h := Handler(&fake{}, noMetrics)
	for _, path := range []string{"/", "/healthz", "/live/", "/subscription/parked", "/debug/pprof/"} {
		if w := ask(h, http.MethodGet, path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestPagesAreReadOnly(t *testing.T) {
	h := Handler(&fake{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, path := range []string{"/live", "/startup", "/ready", "/metrics", "/subscription"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
			w := ask(h, method, path)
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, allow %q", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
		if w := ask(h, http.MethodHead, path); w.Code != http.StatusOK { // GET without its body (RFC 9110 §9.3.2)
			t.Errorf("HEAD %s: %d", path, w.Code)
		}
	}
}

func TestPortInUseNamesVariableAndAddress(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	defer s.Close()
	_, err := Listen(t.Context(), s.Addr())
	if err == nil {
		t.Fatal("two listeners on one address")
	}
	var op *net.OpError
	if !strings.Contains(err.Error(), "ADMIN_ADDR") || !strings.Contains(err.Error(), `"`+s.Addr()+`"`) || !errors.As(err, &op) {
		t.Errorf("error %v", err)
	}
}

func TestCloseLetsAnswersEndAndFreesThePort(t *testing.T) {
	src := &fake{block: make(chan struct{}), asked: make(chan struct{}, 1)}
	s := listen(t, "127.0.0.1:0")
	addr := s.Addr()
	served := make(chan error, 1)
	go func() { served <- s.Serve(src, noMetrics) }()

	answered := make(chan int, 1)
	go func() { answered <- get(t, "http://"+addr+"/live") }()
	<-src.asked // the request is being answered

	closed := make(chan struct{})
	go func() { defer close(closed); s.Close() }()
	if err := <-served; err != nil { // ends as soon as no more connections are taken
		t.Errorf("serve: %v", err)
	}
	close(src.block)
	if status := <-answered; status != http.StatusOK {
		t.Errorf("request under way got %d", status)
	}
	<-closed

	again := listen(t, addr)
	again.Close()
	again.Close() // harmless
}

func listen(t *testing.T, addr string) *Server {
	t.Helper()
	s, err := Listen(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// get returns the status of the answer, 0 without one.
func get(t *testing.T, url string) int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestCloseBeforeServeEndsItQuietly(t *testing.T) {
	s, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := s.Serve(&fake{}, noMetrics); err != nil {
		t.Errorf("Serve after Close: %v", err)
	}
}
