package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/restate"
)

var (
	errAway    = errors.New("connection refused")
	errMissing = fmt.Errorf("service %q is %w", "Cart", restate.ErrMissing)
	errPrivate = fmt.Errorf("service %q %w: it is private", "Cart", restate.ErrRefused)
)

func TestStartWaitsForTheHandlerAsLongAsItMay(t *testing.T) {
	for _, tt := range []struct {
		name    string
		ask     func(since time.Duration) (string, error)
		kind    string
		is      error
		took    time.Duration
		waiting string // what was told while waiting
	}{
		{"known at once", func(time.Duration) (string, error) { return "object", nil }, "object", nil, 0, ""},
		{"registered later", func(since time.Duration) (string, error) {
			switch {
			case since < 10*time.Second:
				return "", errAway
			case since < 20*time.Second:
				return "", errMissing
			}
			return "workflow", nil
		}, "workflow", nil, 21200 * time.Millisecond, errMissing.Error()}, // asked after 0.2, 0.6, 1.4, 3, 6.2 s and then every 5 s
		{"never registered", func(time.Duration) (string, error) { return "", errMissing }, "", restate.ErrMissing, time.Minute, errMissing.Error()},
		{"nobody there", func(time.Duration) (string, error) { return "", errAway }, "", errAway, time.Minute, errAway.Error()},
		{"private does not heal by waiting", func(time.Duration) (string, error) { return "", errPrivate }, "", restate.ErrRefused, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				told := ""
				kind, err := awaitType(t.Context(), func(context.Context) (string, error) { return tt.ask(time.Since(start)) }, time.Minute, func(err error) { told = err.Error() })
				if kind != tt.kind || !errors.Is(err, tt.is) || time.Since(start) != tt.took || told != tt.waiting {
					t.Errorf("got %q, %v after %s, told %q", kind, err, time.Since(start), told)
				}
				if tt.took == time.Minute && !strings.Contains(fmt.Sprint(err), "waited for 1m0s, STARTUP_TIMEOUT") {
					t.Errorf("the variable is not named: %v", err)
				}
			})
		})
	}
	t.Run("told to stop", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			start := time.Now()
			if _, err := awaitType(ctx, func(context.Context) (string, error) { return "", errAway }, time.Minute, func(error) {}); err == nil || time.Since(start) != 3*time.Second {
				t.Errorf("got %v after %s", err, time.Since(start))
			}
		})
	})
}

// answering is an invoker that always has the same result.
type answering invoke.Result

func (a answering) Attempt(context.Context, *record.Record, int) invoke.Result {
	return invoke.Result(a)
}

// refusal is a record that the ingress refuses as the status table has it.
func refusal(status int) answering {
	return answering{Class: invoke.Failed, Status: status, Reason: invoke.ReasonStatus, Ingress: true, Err: errors.New("refused")}
}

func TestRefusalByTheIngressIsNotTheRecordsFaultWhereTheHandlerIsNotAsAtStart(t *testing.T) {
	for _, tt := range []struct {
		name    string
		res     answering
		kind    string
		err     error
		asked   int
		class   invoke.Class
		says    string
		changed bool
	}{
		{"the record does not fit", refusal(400), "object", nil, 1, invoke.Failed, "refused", false},
		{"another type", refusal(400), "service", nil, 1, invoke.Retry, "handler's type has changed: Restate says service, it was object", true},
		{"gone", refusal(404), "", errMissing, 1, invoke.Retry, errMissing.Error(), false},
		{"private", refusal(400), "", errPrivate, 1, invoke.Retry, errPrivate.Error(), false},
		{"nobody to ask", refusal(400), "", errAway, 1, invoke.Failed, "refused", false},
		{"not about the path", refusal(413), "service", nil, 0, invoke.Failed, "refused", false},
		{"not the ingress's word", answering{Class: invoke.Failed, Status: 404, Err: errors.New("refused")}, "service", nil, 0, invoke.Failed, "refused", false},
		{"done", answering{Class: invoke.Done, Status: 202}, "service", nil, 0, invoke.Done, "<nil>", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked, changed := 0, error(nil)
			r := &registration{
				next: tt.res, kind: "object", log: slog.New(slog.DiscardHandler), changed: func(err error) { changed = err },
				ask: func(context.Context) (string, error) { asked++; return tt.kind, tt.err },
			}
			res := r.Attempt(t.Context(), &record.Record{}, 1)
			if asked != tt.asked || res.Class != tt.class || fmt.Sprint(res.Err) != tt.says || res.Gateway != (tt.class == invoke.Retry) || res.Status != tt.res.Status {
				t.Errorf("asked %d times, got %+v", asked, res)
			}
			if errors.Is(changed, ErrHandlerChanged) != tt.changed {
				t.Errorf("told of a change: %v", changed)
			}
			if res.Class == invoke.Retry && res.Reason != "" {
				t.Errorf("a retry has the reason %q", res.Reason)
			}
		})
	}
}

func TestRestateIsNotAskedForEveryRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		r := &registration{
			next: refusal(http.StatusBadRequest), kind: "object", log: slog.New(slog.DiscardHandler), changed: func(error) {},
			ask: func(context.Context) (string, error) {
				asked++ // under the registration's own lock
				return "", errMissing
			},
		}
		attempt := func(ctx context.Context) invoke.Result { return r.Attempt(ctx, &record.Record{}, 1) }
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				if res := attempt(t.Context()); res.Class != invoke.Retry {
					t.Errorf("one of many is %s", res.Class)
				}
			})
		}
		all.Wait()
		if asked != 1 {
			t.Errorf("64 refusals at once asked %d times", asked)
		}
		pass(askInterval)
		attempt(t.Context())
		if asked != 2 {
			t.Errorf("asked %d times after the interval, want 2", asked)
		}
		// An attempt that is cut short while it asks has learnt nothing, and keeps nobody from asking.
		pass(askInterval)
		cut, cancel := context.WithCancel(t.Context())
		cancel()
		attempt(cut)
		if attempt(t.Context()); asked != 4 {
			t.Errorf("asked %d times, want 4", asked)
		}
	})
}
