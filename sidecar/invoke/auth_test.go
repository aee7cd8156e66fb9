package invoke

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/reload"
)

// proof is an Auth that remembers what it was asked.
type proof struct {
	err     error
	bodies  []string
	ids     []string
	refused []string
}

func (p *proof) Owns(header string) bool { return header == "authorization" || header == "x-proof" }

func (p *proof) Sign(_ context.Context, r *http.Request, body []byte, id string) error {
	p.bodies, p.ids = append(p.bodies, string(body)), append(p.ids, id)
	r.Header["authorization"] = []string{"proof " + r.Header["kafka.topic"][0]}
	return p.err
}

func (p *proof) Refused(r *http.Request) {
	p.refused = append(p.refused, map[string][]string(r.Header)["authorization"][0])
}

func TestRequestIsSignedWhenItIsComplete(t *testing.T) {
	p := &proof{}
	r := rec()
	r.Headers = []record.Header{{Name: "X-Proof", Value: []byte("forged")}, {Name: "x-other", Value: []byte("kept")}}
	head, _ := capture(t, Config{Auth: p, ForwardHeaders: []string{"x-*"}}, r)
	h := headerLines(head)
	if h["authorization"] == nil || h["authorization"][0] != "proof orders" {
		t.Errorf("authorization %q", h["authorization"])
	}
	if len(h["x-proof"]) > 0 || len(h["x-other"]) != 1 {
		t.Errorf("a record's headers: x-proof %q, x-other %q; it must not set what belongs to the proof", h["x-proof"], h["x-other"])
	}
	if p.bodies[0] != string(r.Value) || p.ids[0] != h["idempotency-key"][0] {
		t.Errorf("signed %q as %q", p.bodies[0], p.ids[0])
	}
	if len(p.refused) > 0 {
		t.Error("nobody refused")
	}
}

func TestHeaderOfTheProofIsNotTheUsers(t *testing.T) {
	_, err := New(Config{Kind: HTTP, URLTemplate: "http://h/", Timeout: time.Second, Auth: &proof{}, Headers: []Header{{"Authorization", "hidden"}}})
	if err == nil || !strings.Contains(err.Error(), "authorization is set by the sidecar") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
}

func TestAttemptThatCannotBeSignedIsMadeAgainAndDoesNotCount(t *testing.T) {
	i := newInvoker(t, Config{Auth: &proof{err: errors.New("no credentials")}})
	wire(t, i, func(net.Conn) { t.Error("a request was made") })
	res := i.Attempt(t.Context(), rec(), 1)
	if res.Class != Retry || !res.Gateway || res.Code != "auth" || res.Err == nil || res.Err.Error() != "authenticate: no credentials" {
		t.Errorf("got %+v", res)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if res := i.Attempt(ctx, rec(), 1); res.Class != Cancelled {
		t.Errorf("after the end: %+v", res)
	}
}

func TestOnly401TellsThatTheProofWasRefused(t *testing.T) {
	for status, want := range map[string]int{"200 OK": 0, "401 No": 1, "403 No": 0, "500 No": 0} {
		p := &proof{}
		answered(t, Config{Auth: p}, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n")
		if len(p.refused) != want || want == 1 && p.refused[0] != "proof orders" {
			t.Errorf("%s: refused %q", status, p.refused)
		}
	}
}

func TestPostProvesItselfToItsOwnTarget(t *testing.T) {
	var seen []string
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen = append(seen, r.Header.Get("Authorization")) })
	i := newInvoker(t, Config{Auth: &proof{err: errors.New("of the handler")}})
	theirs := &proof{}
	i.Post(t.Context(), s.URL, theirs, rec(), nil)
	i.Post(t.Context(), s.URL, nil, rec(), nil)
	if len(seen) != 2 || seen[0] != "proof orders" || seen[1] != "" {
		t.Errorf("seen %q", seen)
	}
}

func TestRotatedAuthoritiesAreUsedWithoutARestart(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	server.Config.ErrorLog = discardLog()
	idle, ended := sync.Map{}, make(chan struct{}, 10)
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		switch _, answered := idle.Load(c); {
		case state == http.StateIdle:
			idle.Store(c, true)
		case state == http.StateClosed && answered:
			ended <- struct{}{}
		}
	}
	server.StartTLS()
	defer server.Close()
	right := caOf(server).Value
	wrong, _ := clientPair(t, "stranger")

	file := filepath.Join(t.TempDir(), "ca.pem")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(wrong)
	now := time.Now()
	i := newInvoker(t, Config{URLTemplate: server.URL, TLSCA: PEM{File: file}, Now: func() time.Time { return now }})
	attempt := func(want Class, code string) {
		t.Helper()
		now = now.Add(2 * reload.Interval)
		if res := i.Attempt(t.Context(), rec(), 1); res.Class != want || res.Code != code {
			t.Errorf("got %v %s (%v), want %v %s", res.Class, res.Code, res.Err, want, code)
		}
	}
	attempt(Retry, "tls")
	write(right)
	attempt(Done, "200")
	write("half wr")
	attempt(Done, "200")
	write(wrong) // the connection that is open does not outlive its authority
	attempt(Retry, "tls")
	select {
	case <-ended:
	case <-time.After(longTimeout):
		t.Error("the old connection is still open")
	}
}
