package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/admin"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/auth"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/restate"
)

// HANDLER_TYPE=auto. The type decides lanes, paths and the identity of requests, so it is asked for before anything is built, and
// what is built is never changed: when Restate says another type later, the sidecar drains and ends, and its next start follows.

// ErrHandlerChanged ends Run when Restate says that the handler is of another type than at start.
var ErrHandlerChanged = errors.New("handler's type has changed")

const (
	askTimeout  = 5 * time.Second        // one question
	firstPause  = 200 * time.Millisecond // between questions at start, then doubling
	longestAsk  = 5 * time.Second        // the longest such pause
	askInterval = time.Second            // the least time between questions while running
)

// asker asks Restate for the handler's type; (*restate.Client).Type outside tests.
type asker func(context.Context) (string, error)

func newAsker(cfg *envconfig.Config) (asker, error) {
	h, sink := &cfg.Handler, &cfg.Subscription.Sink
	c := restate.Config{AdminURL: h.AdminURL, Service: sink.Service, Handler: sink.Handler}
	if h.Protocol == "restate" {
		// Ingress and Admin API are one Restate and take the same credentials. Those of a handler of another kind are not for Restate.
		conf, err := HandlerTLS(cfg)
		if err != nil {
			return nil, err
		}
		conf.ServerName = "" // the ingress's
		c.TLS = conf
		proof := auth.Nobody
		if h.Auth.Kind == envconfig.AuthBearer || h.Auth.Kind == envconfig.AuthBasic {
			if proof, err = newAuth(&h.Auth, slog.New(slog.DiscardHandler)); err != nil {
				return nil, fmt.Errorf("HANDLER_AUTH: %w", err)
			}
		}
		c.Headers = func() (http.Header, error) {
			headers, err := h.LoadHeaders()
			if err != nil {
				return nil, err
			}
			out := http.Header{}
			for _, one := range headers {
				out.Set(one.Name, one.Value.Reveal())
			}
			return out, proof.Sign(context.Background(), &http.Request{Header: out}, nil, "")
		}
	}
	client := restate.New(c)
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		kind, err := client.Type(ctx)
		if err != nil {
			return "", fmt.Errorf("ask RESTATE_ADMIN_URL what %s is: %w", sink.Display, err)
		}
		return kind, nil
	}, nil
}

// AskHandler asks Restate once for the handler's type, for commands that only look.
func AskHandler(ctx context.Context, cfg *envconfig.Config) (string, error) {
	ask, err := newAsker(cfg)
	if err != nil {
		return "", err
	}
	return ask(ctx)
}

// ResolveHandler completes a configuration whose HANDLER_TYPE is auto and leaves others alone. While Restate cannot be reached or does not know the
// handler it asks again, for STARTUP_TIMEOUT, with the admin pages up. A mistake that only the type shows is an *envconfig.Errors.
func ResolveHandler(ctx context.Context, cfg *envconfig.Config, log *slog.Logger, version string) error {
	if cfg.Handler.Type != envconfig.TypeAuto {
		return nil
	}
	ask, err := newAsker(cfg)
	if err != nil {
		return err
	}
	pages := &waitingPages{cfg: cfg, reason: "asking Restate for the handler's type"}
	stop, err := serveAdmin(ctx, cfg.Run.AdminAddr, pages, newMetrics(version), log)
	if err != nil {
		return err
	}
	defer stop()
	kind, err := awaitType(ctx, ask, cfg.Run.StartupTimeout, func(err error) {
		if pages.waitFor(err.Error()) {
			log.WarnContext(ctx, "waiting for Restate", slog.Any("err", err))
		}
	})
	if err != nil {
		return err
	}
	if err := cfg.ResolveType(kind); err != nil {
		return err
	}
	log.InfoContext(ctx, "handler's type is as Restate says", slog.String("type", kind), slog.String("ordering", cfg.Delivery.Ordering))
	return nil
}

// awaitType asks until there is an answer, one that waiting will not change, or no time left. tell hears of every failure.
func awaitType(ctx context.Context, ask asker, timeout time.Duration, tell func(error)) (string, error) {
	deadline := time.Now().Add(timeout)
	for pause := firstPause; ; pause = min(2*pause, longestAsk) {
		kind, err := ask(ctx)
		switch {
		case err == nil, errors.Is(err, restate.ErrRefused):
			return kind, err
		case ctx.Err() != nil:
			return "", ctx.Err()
		}
		tell(err)
		left := time.Until(deadline)
		if left <= 0 {
			return "", fmt.Errorf("%w (waited for %s, STARTUP_TIMEOUT)", err, timeout)
		}
		timer := time.NewTimer(min(pause, left))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return "", ctx.Err()
		}
	}
}

// waitingPages are the admin pages of a sidecar that does not know its handler yet.
type waitingPages struct {
	cfg    *envconfig.Config
	mu     sync.Mutex
	reason string
}

var _ admin.Source = (*waitingPages)(nil)

// waitFor sets what is waited for and says whether it is something new.
func (w *waitingPages) waitFor(reason string) (changed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	changed, w.reason = w.reason != reason, reason
	return changed
}

func (w *waitingPages) waiting() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reason
}

// Live is always true: waiting is all there is to do, and it has an end.
func (w *waitingPages) Live() error { return nil }

// Started says what is waited for.
func (w *waitingPages) Started() error { return errors.New(w.waiting()) }

// Ready says the same.
func (w *waitingPages) Ready() error { return errors.New("not a member of the group: " + w.waiting()) }

// Subscription is that of a replica without partitions.
func (w *waitingPages) Subscription() admin.Subscription {
	out := describe(w.cfg)
	out.Status = admin.Status{Group: w.cfg.Kafka.GroupID, Paused: w.cfg.Run.Paused, WaitingFor: w.waiting(), Assigned: []int32{}, Partitions: []admin.Partition{}}
	return out
}

// watched is what workers call: the invoker itself, or, where Restate told the handler's type, one that asks again.
func watched(cfg *envconfig.Config, next *invoke.Invoker, log *slog.Logger, changed func(error)) (invoker, error) {
	if cfg.Handler.AdminURL == "" {
		return next, nil
	}
	ask, err := newAsker(cfg)
	if err != nil {
		return nil, err
	}
	return &registration{next: next, ask: ask, kind: cfg.Handler.Type, log: log, changed: changed}, nil
}

// registration asks Restate again when its ingress refuses a path: is it the record that does not fit, or is the handler gone, private, or
// of another type by now? The latter tell nothing of the record, and it must not be failed for them.
type registration struct {
	next    invoker
	ask     asker
	kind    string // as of start
	log     *slog.Logger
	changed func(error)

	mu     sync.Mutex // held while asking: who comes meanwhile waits for the answer
	asked  time.Time
	reason error // what the last answer says against the handler; nil: nothing, or there was none
}

// Attempt makes one attempt.
func (r *registration) Attempt(ctx context.Context, rec *record.Record, attempt int) invoke.Result {
	res := r.next.Attempt(ctx, rec, attempt)
	if !res.Ingress || res.Status != http.StatusBadRequest && res.Status != http.StatusNotFound {
		return res
	}
	if reason := r.again(ctx); reason != nil {
		res.Class, res.Gateway, res.Reason, res.Err = invoke.Retry, true, "", reason
	}
	return res
}

// again says what Restate has against the handler now, nil for nothing and for no answer: then the ingress's status stands.
func (r *registration) again(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.asked) < askInterval {
		return r.reason
	}
	kind, err := r.ask(ctx)
	if ctx.Err() != nil {
		return nil // cut short: the next one asks for itself
	}
	before := r.reason
	r.asked, r.reason = time.Now(), nil
	switch {
	case errors.Is(err, restate.ErrMissing), errors.Is(err, restate.ErrRefused):
		r.reason = err
		if before == nil || before.Error() != err.Error() {
			r.log.WarnContext(ctx, "the handler cannot be invoked now: its records wait", slog.Any("err", err))
		}
	case err != nil:
		r.log.WarnContext(ctx, "Restate could not be asked about a request that its ingress refused", slog.Any("err", err))
	case kind != r.kind:
		r.reason = fmt.Errorf("%w: Restate says %s, it was %s", ErrHandlerChanged, kind, r.kind)
		r.changed(r.reason)
	}
	return r.reason
}
