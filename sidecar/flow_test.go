package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/deadletter"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/lanes"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/ledger"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/metrics"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testLog = ledger.Identity{TopicID: [16]byte{1}, Partition: 0, Lanes: 1}

// stage is a flow with its workers, a scripted handler and a scripted dead-letter target, in virtual time.
type stage struct {
	t      *testing.T
	flow   *flow
	handle func(ctx context.Context, rec *record.Record, attempt int) invoke.Result
	write  func(deadletter.Letter) error
	wait   sync.WaitGroup
	stop   context.CancelFunc

	mu        sync.Mutex
	delivered []int64 // offsets of successful attempts, in their order
	attempts  map[int64]int
	letters   []deadletter.Letter
}

func (s *stage) Attempt(ctx context.Context, rec *record.Record, attempt int) invoke.Result {
	s.mu.Lock()
	s.attempts[rec.Offset]++
	s.mu.Unlock()
	res := s.handle(ctx, rec, attempt)
	res.Code = "scripted" // as one that was requested
	if res.Class == invoke.Done {
		s.mu.Lock()
		s.delivered = append(s.delivered, rec.Offset)
		s.mu.Unlock()
	}
	return res
}

func (s *stage) Write(_ context.Context, l deadletter.Letter) error {
	err := s.write(l)
	if err == nil {
		s.mu.Lock()
		s.letters = append(s.letters, l)
		s.mu.Unlock()
	}
	return err
}
func (s *stage) Check(context.Context) error { return nil }
func (s *stage) Close()                      {}

func done(context.Context, *record.Record, int) invoke.Result {
	return invoke.Result{Class: invoke.Done}
}

// newStage starts the workers. It must run inside a synctest bubble.
func newStage(t *testing.T, change func(*flowConfig)) *stage {
	t.Helper()
	s := &stage{t: t, handle: done, attempts: map[int64]int{}, write: func(deadletter.Letter) error { return nil }}
	cfg := flowConfig{
		ordering: lanes.ByKey, nullKeyIsLane: true,
		limits:    lanes.Limits{Concurrency: 8, MaxInFlight: 1000, MaxInFlightBytes: 1 << 20, ParkedMax: 1000, ParkedMaxBytes: 1 << 20},
		policy:    plain,
		commitDue: 5000, maxUnacked: 10000,
		mayStart: func(time.Time) bool { return true },
	}
	if change != nil {
		change(&cfg)
	}
	s.flow = newFlow(cfg, metrics.New("test", nil), slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.wait.Go(func() { s.flow.clock(ctx) })
	w := &worker{flow: s.flow, invoke: s, target: s, letter: letterFacts{"orders", "test"}}
	for range cfg.limits.Concurrency {
		s.wait.Go(w.run)
	}
	s.flow.Open(intake.Partition{ID: 0, Log: testLog})
	return s
}

// pass lets virtual time go by, and everything that is due happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// end stops everything.
func (s *stage) end() {
	s.flow.Close([]int32{0})
	s.flow.halt()
	s.stop()
	s.wait.Wait()
}

// admit takes in one record for each key, offsets ascending from the given one.
func (s *stage) admit(from int64, keys ...string) {
	s.t.Helper()
	for i, k := range keys {
		rec := &record.Record{Offset: from + int64(i), Key: []byte(k), Value: []byte("v"), Timestamp: time.Now().UnixMilli()}
		if err := s.flow.Admit(s.t.Context(), rec); err != nil {
			s.t.Fatalf("admit offset %d: %v", rec.Offset, err)
		}
	}
}

func (s *stage) committable() int64 {
	s.flow.mu.Lock()
	defer s.flow.mu.Unlock()
	return s.flow.parts[0].ledger.Committable()
}

// hasRoom says whether a small record would be taken in now.
func (s *stage) hasRoom() bool {
	s.flow.mu.Lock()
	defer s.flow.mu.Unlock()
	return s.flow.unacked <= s.flow.cfg.maxUnacked && s.flow.lanes.Fits(0, 1)
}

func (s *stage) deliveredCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.delivered)
}

// tried says how often each record was attempted, deliveredOffsets and written what became of them.
func (s *stage) tried() map[int64]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.attempts)
}

func (s *stage) deliveredOffsets() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.delivered)
}

func (s *stage) written() []deadletter.Letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.letters)
}

func repeatKeys(n int, keys ...string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = keys[i%len(keys)]
	}
	return out
}

func TestPoisonRecordParksOnlyItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		defer s.end()
		s.handle = func(_ context.Context, rec *record.Record, _ int) invoke.Result {
			if string(rec.Key) == "poison" {
				return invoke.Result{Class: invoke.Failed, Reason: invoke.ReasonStatus, Status: 400}
			}
			return invoke.Result{Class: invoke.Done}
		}
		s.admit(0, repeatKeys(300, "a", "poison", "b")...)
		synctest.Wait()
		if got := s.deliveredCount(); got != 200 {
			t.Errorf("%d records of healthy keys are settled, want all 200", got)
		}
		if got := s.committable(); got != 1 {
			t.Errorf("committable offset is %d, want that of the poison record, 1", got)
		}
		if got := s.tried()[1]; got != 1 {
			t.Errorf("poison record was tried %d times at once", got)
		}
		pass(plain.maxInterval + time.Second)
		if got := s.tried()[1]; got != 2 {
			t.Errorf("poison record was tried %d times after RETRY_MAX_INTERVAL, want 2", got)
		}
		if got := s.tried()[4]; got != 0 {
			t.Errorf("the record behind the poison record was tried %d times", got)
		}
	})
}

func TestOrderPerKeyHoldsUnderRandomFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		defer s.end()
		var mu sync.Mutex
		last := map[string]int64{}
		running := map[string]bool{}
		rng := rand.New(rand.NewPCG(1, 2))
		s.handle = func(_ context.Context, rec *record.Record, _ int) invoke.Result {
			key := string(rec.Key)
			mu.Lock()
			if running[key] {
				t.Errorf("two attempts of key %s run at once", key)
			}
			running[key] = true
			if rec.Offset < last[key] {
				t.Errorf("offset %d of key %s came after %d", rec.Offset, key, last[key])
			}
			last[key] = rec.Offset
			delay, fails := time.Duration(rng.IntN(20))*time.Millisecond, rng.IntN(20) == 0
			mu.Unlock()
			<-time.After(delay)
			mu.Lock()
			running[key] = false
			mu.Unlock()
			if fails {
				return invoke.Result{Class: invoke.Retry, Status: 503, Gateway: true}
			}
			return invoke.Result{Class: invoke.Done}
		}
		const n = 5000
		keys := make([]string, n)
		for i := range keys {
			keys[i] = fmt.Sprint(i % 50)
		}
		s.admit(0, keys...)
		for s.deliveredCount() < n {
			pass(time.Second)
		}
		synctest.Wait()
		if got := s.committable(); got != n {
			t.Errorf("committable offset is %d, want %d", got, n)
		}
	})
}

func TestFailingDeadLetterTargetBlocksItsKeyAndCommitsNothingPast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.policy.onFailure = actDeadLetter })
		defer s.end()
		var mu sync.Mutex
		healthy := false
		s.write = func(deadletter.Letter) error {
			mu.Lock()
			defer mu.Unlock()
			if healthy {
				return nil
			}
			return errors.New("target is down")
		}
		s.handle = func(_ context.Context, rec *record.Record, _ int) invoke.Result {
			if rec.Offset == 0 {
				return invoke.Result{Class: invoke.Failed, Reason: invoke.ReasonStatus, Status: 422}
			}
			return invoke.Result{Class: invoke.Done}
		}
		s.admit(0, "bad", "good", "bad")
		pass(10 * time.Minute)
		if got := s.committable(); got != 0 {
			t.Fatalf("committable offset is %d although the dead letter was never written", got)
		}
		if s.tried()[0] != 1 || s.tried()[2] != 0 {
			t.Errorf("attempts: %v, want one of the failed record and none of its follower", s.tried())
		}
		mu.Lock()
		healthy = true
		mu.Unlock()
		pass(2 * time.Minute)
		if got := s.committable(); got != 3 {
			t.Errorf("committable offset is %d after the target healed, want 3", got)
		}
		if len(s.written()) != 1 || s.written()[0].Reason != "status" || s.written()[0].Status != 422 || s.written()[0].Attempts != 1 {
			t.Errorf("dead letters: %+v", s.written())
		}
	})
}

func TestFailureLimitKeepsTheTopicFromBeingEmptied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.policy.onFailure, c.policy.failureLimit = actDeadLetter, 5 })
		defer s.end()
		var mu sync.Mutex
		broken := true
		s.handle = func(context.Context, *record.Record, int) invoke.Result {
			mu.Lock()
			defer mu.Unlock()
			if broken {
				return invoke.Result{Class: invoke.Failed, Reason: invoke.ReasonStatus, Status: 404}
			}
			return invoke.Result{Class: invoke.Done}
		}
		keys := make([]string, 100)
		for i := range keys {
			keys[i] = fmt.Sprint(i)
		}
		s.admit(0, keys...)
		pass(10*plain.maxInterval + time.Second)
		if len(s.written()) != 5 {
			t.Errorf("%d dead letters, want FAILURE_LIMIT = 5", len(s.written()))
		}
		tried := 0
		for _, n := range s.tried() {
			tried += n
		}
		// What ran when the limit was reached, and one probe an interval.
		if tried > 5+8+11 {
			t.Errorf("%d attempts in ten intervals of a broken handler", tried)
		}
		mu.Lock()
		broken = false
		mu.Unlock()
		pass(2 * plain.maxInterval)
		if got := s.deliveredCount(); got != 95 {
			t.Errorf("%d delivered after the handler was right again, want 95", got)
		}
	})
}

func TestSkippedRecordsAreSettledByRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.skip = map[int32]map[int64]struct{}{0: {1: {}}} })
		defer s.end()
		s.admit(0, "a", "a", "a")
		synctest.Wait()
		if s.tried()[1] != 0 || s.deliveredCount() != 2 || s.committable() != 3 {
			t.Errorf("attempts %v, committable %d", s.tried(), s.committable())
		}
	})
}

func TestSettledRecordsAreNotDeliveredAgainAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		handle := func(ctx context.Context, rec *record.Record, _ int) invoke.Result {
			if rec.Offset == 0 {
				select {
				case <-stuck:
				case <-ctx.Done():
					return invoke.Result{Class: invoke.Cancelled}
				}
			}
			return invoke.Result{Class: invoke.Done}
		}
		s := newStage(t, nil)
		s.handle = handle
		s.admit(0, "stuck", "a", "b", "stuck", "c")
		synctest.Wait()
		commits := s.flow.Commits(nil)
		if len(commits) != 1 || commits[0].Offset != 0 {
			t.Fatalf("commits: %+v", commits)
		}
		s.end()

		m, err := ledger.ParseMetadata(commits[0].Metadata)
		if err != nil {
			t.Fatal(err)
		}
		s = newStage(t, nil)
		defer s.end()
		s.flow.Open(intake.Partition{ID: 0, Log: testLog, Start: 0, Restored: m})
		s.admit(0, "stuck", "a", "b", "stuck", "c", "d")
		synctest.Wait()
		if got := s.deliveredOffsets(); len(got) != 3 || s.tried()[0] != 1 || s.tried()[3] != 1 || s.tried()[5] != 1 {
			t.Errorf("delivered after the restart: %v, want the unsettled 0 and 3, and the new 5", got)
		}
	})
}
