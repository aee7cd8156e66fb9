package sidecar

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/deadletter"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

func TestTheEndOfTheFailureLimitLeavesTheWaitsThatTheHandlerAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) {
			c.policy.onFailure, c.policy.failureLimit, c.limits.Concurrency = actDeadLetter, 5, 64
		})
		defer s.end()
		const good, asked, all = 0, 10, 41 // offset 0 is taken after ten seconds, the next ten are asked to wait, and the others fail at first
		var mu sync.Mutex
		again := map[int64]time.Duration{} // when second attempts were made
		began := time.Now()
		s.handle = func(_ context.Context, rec *record.Record, attempt int) invoke.Result {
			if attempt > 1 {
				mu.Lock()
				defer mu.Unlock()
				again[rec.Offset] = time.Since(began)
				return invoke.Result{Class: invoke.Done}
			}
			if rec.Offset == good {
				<-time.After(10 * time.Second)
				return invoke.Result{Class: invoke.Done}
			}
			<-time.After(time.Second) // all of them are under way when the first one fails
			if rec.Offset <= asked {
				return retryAfter(40 * time.Second)
			}
			return refused()
		}
		s.admit(0, numbered(all)...)
		pass(9 * time.Second)
		mu.Lock()
		if len(again) > 0 {
			t.Errorf("%d further attempts while FAILURE_LIMIT holds everything", len(again))
		}
		mu.Unlock()
		pass(2 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		var held []time.Duration
		for offset, when := range again {
			if offset > asked {
				held = append(held, when-10*time.Second)
			} else if when < 41*time.Second {
				t.Errorf("offset %d came after %s although the handler asked for 40s: the end of FAILURE_LIMIT cut the wait short", offset, when-time.Second)
			}
		}
		slices.Sort(held)
		if len(held) != all-1-asked-5 || held[0] < plain.initial || held[len(held)-1] > 2*plain.initial {
			t.Fatalf("records that FAILURE_LIMIT held back came %v after its end, want %d of them once to twice RETRY_INITIAL_INTERVAL after it", held, all-1-asked-5)
		}
		if spread := held[len(held)-1] - held[0]; spread < plain.initial/4 {
			t.Errorf("%d records were sent to a handler that has just come back within %s", len(held), spread)
		}
	})
}

func TestRecordsThatWereAskedToWaitAlikeComeBackApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.limits.Concurrency = 64 })
		defer s.end()
		var mu sync.Mutex
		var again []time.Duration
		began := time.Now()
		s.handle = func(_ context.Context, _ *record.Record, attempt int) invoke.Result {
			if attempt == 1 {
				return retryAfter(20 * time.Second)
			}
			mu.Lock()
			defer mu.Unlock()
			again = append(again, time.Since(began))
			return invoke.Result{Class: invoke.Done}
		}
		s.admit(0, numbered(64)...)
		pass(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(again)
		if len(again) != 64 || again[0] < 20*time.Second || again[63] > 25*time.Second {
			t.Fatalf("came back after %v, want all 64 between 20s and a quarter more", again)
		}
		if spread := again[63] - again[0]; spread < 2*time.Second {
			t.Errorf("64 records that were asked to wait for 20s came back within %s of each other", spread)
		}
	})
}

func TestAgeCountsFromTheFirstAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.policy.onFailure, c.policy.maxAge = actDeadLetter, time.Hour })
		defer s.end()
		s.handle = func(context.Context, *record.Record, int) invoke.Result {
			return invoke.Result{Class: invoke.Retry, Status: 500}
		}
		old := &record.Record{Key: []byte("k"), Timestamp: time.Now().Add(-30 * 24 * time.Hour).UnixMilli()}
		if err := s.flow.Admit(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		if pass(59 * time.Minute); len(s.written()) != 0 {
			t.Fatal("a record of last month is a dead letter before its first attempt is an hour old: RETRY_MAX_AGE counts from the record's own time")
		}
		if pass(3 * time.Minute); len(s.written()) != 1 || s.written()[0].Reason != "age" {
			t.Errorf("letters %v, want one for its age", s.written())
		}
	})
}

func TestOnlyAnswersOfTheHandlerUseUpAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.policy.onFailure, c.policy.maxAttempts = actDeadLetter, 3 })
		defer s.end()
		s.handle = func(_ context.Context, rec *record.Record, _ int) invoke.Result {
			return invoke.Result{Class: invoke.Retry, Status: 503, Gateway: rec.Offset == 1}
		}
		s.admit(0, "answered by the handler", "answered by a gateway")
		pass(time.Hour)
		if letters := s.written(); len(letters) != 1 || letters[0].Record.Offset != 0 || letters[0].Attempts != 3 {
			t.Errorf("letters %v, want the one of the handler after 3 attempts", letters)
		}
	})
}

func TestNearlyFullParkedBoundsAreSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.limits.ParkedMax = 100 })
		defer s.end()
		var out bytes.Buffer
		s.flow.log = slog.New(slog.NewTextHandler(&out, nil))
		warned := func() int { return strings.Count(out.String(), "level=WARN") }
		s.handle = func(context.Context, *record.Record, int) invoke.Result {
			return invoke.Result{Class: invoke.Retry, Status: 500}
		}
		s.admit(0, repeatKeys(79, "a")...)
		if pass(5 * time.Second); warned() != 0 {
			t.Errorf("warned below four fifths:\n%s", out.String())
		}
		s.admit(79, "a")
		if pass(time.Minute); warned() != 1 || !strings.Contains(out.String(), "PARKED_MAX") || !strings.Contains(out.String(), "percent=80") {
			t.Errorf("want one warning at four fifths:\n%s", out.String())
		}
	})
}

func TestATransactionThatStaysOpenIsSaidOnceAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		defer s.end()
		var out bytes.Buffer
		s.flow.log = slog.New(slog.NewTextHandler(&out, nil))
		warned := func() int { return strings.Count(out.String(), "an open transaction holds records back") }
		fetched := func(stable, high int64) { s.flow.Fetched(0, intake.Ends{Stable: stable, High: high}) }
		// One transaction after the other is not one that hangs.
		for offset := range int64(120) {
			fetched(offset, 10+offset)
			pass(time.Second)
		}
		if warned() != 0 {
			t.Error("warned of transactions that come and go")
		}
		for range 59 {
			fetched(123, 130)
			pass(time.Second)
		}
		if warned() != 0 {
			t.Error("warned before the transaction was open for a minute")
		}
		for range 120 {
			fetched(123, 130)
			pass(time.Second)
		}
		if warned() != 1 || !strings.Contains(out.String(), "records=7") || !strings.Contains(out.String(), "last_stable_offset=123") {
			t.Errorf("want one warning with the 7 records that are held back:\n%s", out.String())
		}
	})
}

func TestTheConnectionsToADeadLetterURLAreClosedAtTheEnd(t *testing.T) {
	var mu sync.Mutex
	states := map[net.Conn]http.ConnState{}
	closed := make(chan struct{}, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		states[c] = state
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	cfg, err := envconfig.Parse([]string{
		"KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9", "SUBSCRIPTION_ID=test", "SUBSCRIPTION_SOURCE=kafka://test/orders",
		"SUBSCRIPTION_SINK=http://127.0.0.1:9/", "DEAD_LETTER_URL=" + server.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	target, err := deadLetterTarget(cfg, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Write(t.Context(), deadletter.Letter{Record: &record.Record{Value: []byte("v")}, Reason: "status"}); err != nil {
		t.Fatal(err)
	}
	target.Close()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		mu.Lock()
		defer mu.Unlock()
		t.Errorf("connections left behind: %v", states)
	}
}
