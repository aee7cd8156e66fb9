package restate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The answers of restate-server 1.7.12, without schemas and timeouts.
const (
	objectAnswer   = `{"name":"Obj","ty":"VirtualObject","handlers":[{"name":"Handle","ty":"Exclusive","documentation":"","public":true,"retry_policy":{"max_attempts":null}},{"name":"Peek","ty":"Shared","documentation":"","public":true,"retry_policy":{"max_attempts":null}}],"documentation":"","deployment_id":"dp_113OZx84xQylcm52AEeqGCl","revision":1,"public":true,"idempotency_retention":"1d","enable_lazy_state":false}`
	workflowAnswer = `{"name":"Wf","ty":"Workflow","handlers":[{"name":"Run","ty":"Workflow","documentation":"","public":true},{"name":"Signal","ty":"Shared","documentation":"","public":true}],"public":true}`
	serviceAnswer  = `{"name":"Svc","ty":"Service","handlers":[{"name":"Handle","documentation":"","public":true}],"public":true}`
	privateAnswer  = `{"name":"Private","ty":"Service","handlers":[{"name":"Handle","documentation":"","public":false}],"public":false}`
	missingAnswer  = `{"message":"The requested service 'Nope' does not exist","restate_code":null}`
)

// adminAPI plays these answers.
func adminAPI(t *testing.T) *httptest.Server {
	t.Helper()
	answers := map[string]string{
		"Obj": objectAnswer, "Wf": workflowAnswer, "Svc": serviceAnswer, "Private": privateAnswer,
		"Half": `{"name":"Half","ty":"Service","handlers":[{"name":"Handle","public":false},{"name":"Open"}]}`,
		"Old":  `{"name":"Old","ty":"VirtualObject","handlers":[{"name":"Handle"}]}`, "OldWf": `{"name":"OldWf","ty":"Workflow","handlers":[{"name":"Run"}]}`,
		"New": `{"name":"New","ty":"Agent","handlers":[{"name":"Handle","ty":"Quantum","public":true}]}`, "Broken": `{"name":`,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /base/services/{name}", func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.PathValue("name")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = missingAnswer
		}
		fmt.Fprint(w, answer)
	})
	mux.HandleFunc("GET /base/services", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"services":[%s,%s,%s]}`, objectAnswer, workflowAnswer, serviceAnswer)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestTypeIsWhatRestateSays(t *testing.T) {
	s := adminAPI(t)
	for _, tt := range []struct {
		service, handler, want string
		is                     error
		says                   string
	}{
		{"Svc", "Handle", "service", nil, ""},
		{"Obj", "Handle", "object", nil, ""},
		{"Obj", "Peek", "object-shared", nil, ""},
		{"Wf", "Run", "workflow", nil, ""},
		{"Wf", "Signal", "workflow-shared", nil, ""},
		{"Old", "Handle", "object", nil, ""},
		{"OldWf", "Run", "workflow", nil, ""},
		{"Half", "Open", "service", nil, ""},
		{"Nope", "Handle", "", ErrMissing, `service "Nope" is not registered; registered are Obj/Handle, Obj/Peek, Svc/Handle, Wf/Run, Wf/Signal`},
		{"Obj", "handle", "", ErrMissing, `handler "handle" of service "Obj" is not registered; the service has Obj/Handle, Obj/Peek`},
		{"Private", "Handle", "", ErrRefused, `service "Private" cannot be invoked: it is private (public is false)`},
		{"Half", "Handle", "", ErrRefused, `handler "Handle" of service "Half" cannot be invoked: it is private (public is false)`},
		{"New", "Handle", "", ErrRefused, `handler "Handle" of service "New" cannot be invoked: its type "Quantum" in a "Agent" is none that this version knows (set HANDLER_TYPE)`},
		{"Broken", "Handle", "", nil, "the answer is not the JSON of an Admin API"},
	} {
		got, err := New(Config{AdminURL: s.URL + "/base/", Service: tt.service, Handler: tt.handler}).Type(t.Context())
		if got != tt.want || (err == nil) != (tt.says == "") || err != nil && err.Error() != tt.says {
			t.Errorf("%s/%s: got %q, %v; want %q, %s", tt.service, tt.handler, got, err, tt.want, tt.says)
		}
		for _, kind := range []error{ErrMissing, ErrRefused} {
			if errors.Is(err, kind) != (kind == tt.is) {
				t.Errorf("%s/%s: %v is %v: %t", tt.service, tt.handler, err, kind, errors.Is(err, kind))
			}
		}
	}
}

func TestLongListOfHandlersIsCut(t *testing.T) {
	var many []service
	for n := range 40 {
		many = append(many, service{Name: fmt.Sprintf("S%02d", n), Handlers: []handler{{Name: "h"}}})
	}
	if got := list(many); !strings.HasPrefix(got, "S00/h, S01/h") || !strings.HasSuffix(got, "S29/h and 10 more") {
		t.Errorf("got %s", got)
	}
	if got := list(nil); got != "none" {
		t.Errorf("of nothing: %s", got)
	}
}

// TestWhatIsNoAdminAPIIsSaidInPlainWords: the ingress's answer to GET /services/Svc is the first one here.
func TestWhatIsNoAdminAPIIsSaidInPlainWords(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		says   string
	}{
		{"the ingress", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-restate-error-source", "ingress")
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"code":404,"message":"service 'services' not found, make sure to register the service before calling it.","source":"ingress"}`)
		}, "answered 404 to GET /services: this is no Admin API (its port is 9070 by default)"},
		{"a wall", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "answered 401: the credentials are not taken"},
		{"somebody who knows better", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/s3cret")
			w.WriteHeader(http.StatusFound)
		}, "answered 302"},
		{"a page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>s3cret") }, "the answer is not the JSON of an Admin API"},
		{"nobody", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "the exchange failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(tt.answer)
			defer s.Close()
			_, err := New(Config{AdminURL: s.URL, Service: "Svc", Handler: "Handle"}).Type(t.Context())
			if err == nil || err.Error() != tt.says {
				t.Errorf("got %v, want %s", err, tt.says)
			}
		})
	}
	t.Run("no one there", func(t *testing.T) {
		_, err := New(Config{AdminURL: "http://127.0.0.1:1/s3cret", Service: "Svc", Handler: "Handle"}).Type(t.Context())
		if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("silence", func(t *testing.T) {
		release := make(chan struct{})
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		defer s.Close()
		defer close(release)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := New(Config{AdminURL: s.URL, Service: "Svc", Handler: "Handle"}).Type(ctx); err == nil || err.Error() != "no answer in time" {
			t.Errorf("got %v", err)
		}
	})
}

func TestAdminAPIGetsTheHeadersItIsMeantToGet(t *testing.T) {
	headers := make(chan http.Header, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header
		fmt.Fprint(w, serviceAnswer)
	}))
	s.StartTLS()
	defer s.Close()
	conf := s.Client().Transport.(*http.Transport).TLSClientConfig
	cfg := Config{AdminURL: s.URL, Service: "Svc", Handler: "Handle", TLS: &tls.Config{RootCAs: conf.RootCAs}}
	cfg.Headers = func() (http.Header, error) { return http.Header{"Authorization": {"Bearer s3cret"}}, nil }
	if kind, err := New(cfg).Type(t.Context()); err != nil || kind != "service" {
		t.Fatalf("got %q, %v", kind, err)
	}
	if got := (<-headers).Get("Authorization"); got != "Bearer s3cret" {
		t.Errorf("authorization is %q", got)
	}
	cfg.Headers = func() (http.Header, error) { return nil, errors.New("load headers: gone") }
	if _, err := New(cfg).Type(t.Context()); err == nil || err.Error() != "load headers: gone" {
		t.Errorf("got %v", err)
	}
	cfg.TLS, cfg.Headers = nil, nil
	if _, err := New(cfg).Type(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "verify the certificate: ") {
		t.Errorf("an unknown authority: %v", err)
	}
}
