// Package admin serves what operators and orchestrators ask for: health, metrics, and the state of the subscription.
//
//	/live          200 while the process's own loops make progress; neither Kafka nor the handler can fail it
//	/startup       200 once the group has been joined for the first time; until then 503 with what is waited for
//	/ready         200 while the process is a member of the group, a broker was heard of lately and no drain goes on
//	/metrics       Prometheus
//	/subscription  the subscription in Restate's shape, with a status (docs/reference/subscription.schema.json)
//
// The names avoid a trailing z, which Cloud Run reserves. Nothing here shows a key, a payload or a secret.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Source is what the pages are made from. Its methods return at once and may be called at any time.
type Source interface {
	Live() error    // nil while the loops turn
	Started() error // nil once the group was joined
	Ready() error   // nil while records can be delivered
	Subscription() Subscription
}

// Server is the admin listener.
type Server struct {
	listener net.Listener
	http     http.Server
}

// Listen binds the address. A port in use is an error that names it.
func Listen(ctx context.Context, addr string) (*Server, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on ADMIN_ADDR %q: %w (set ADMIN_ADDR to a free address, or to off)", addr, err)
	}
	return &Server{listener: l}, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve answers until Close. metrics is the handler of /metrics.
func (s *Server) Serve(src Source, metrics http.Handler) error {
	s.http.Handler, s.http.ReadHeaderTimeout = Handler(src, metrics), 5*time.Second // set, not replaced: Close may have come first
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the admin pages: %w", err)
	}
	return nil
}

// Close ends Serve; requests that are being answered get a second.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close()
	}
	_ = s.listener.Close()
}

// Handler routes the pages.
func Handler(src Source, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /live", health(src.Live))
	mux.HandleFunc("GET /startup", health(src.Started))
	mux.HandleFunc("GET /ready", health(src.Ready))
	mux.HandleFunc("GET /subscription", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		_ = enc.Encode(src.Subscription()) // a client that has gone away is no trouble of ours
	})
	return mux
}

// health answers 200 or, with the reason as body, 503.
func health(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if err := check(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
		fmt.Fprintln(w, "ok")
	}
}
