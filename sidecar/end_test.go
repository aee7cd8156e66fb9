package sidecar

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// newEnding is a stage whose only partition ends at an offset.
func newEnding(t *testing.T, end int64, change func(*flowConfig)) *stage {
	t.Helper()
	s := newStage(t, change)
	s.flow.Open(intake.Partition{ID: 0, Log: testLog, End: intake.End{Set: true, Offset: end}})
	return s
}

// acknowledge commits everything, as the committer does.
func (s *stage) acknowledge() {
	for _, c := range s.flow.Commits(nil) {
		s.flow.Committed(c, nil)
	}
}

// look asks once a second, with a commit before each time, until the run is over or the time is up.
func (s *stage) look(limit time.Duration) error {
	for until := time.Now().Add(limit); time.Now().Before(until); pass(endTurn) {
		s.acknowledge()
		if err := s.flow.atEnd([]int32{0}, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

func poison(ctx context.Context, rec *record.Record, _ int) invoke.Result {
	if string(rec.Key) == "poison" {
		return invoke.Result{Class: invoke.Retry, Status: 500}
	}
	return done(ctx, rec, 1)
}

func TestARunIsFinishedOnlyWhenAllBeforeItsEndIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEnding(t, 3, nil)
		defer s.end()
		look := func() error { return s.flow.atEnd([]int32{0}, time.Now()) }
		s.admit(0, "a", "b")
		synctest.Wait()
		s.acknowledge()
		if err := look(); err != nil {
			t.Fatalf("a record before the end has not been read: %v", err)
		}
		release := make(chan struct{})
		s.handle = func(ctx context.Context, rec *record.Record, n int) invoke.Result {
			<-release
			return done(ctx, rec, n)
		}
		s.admit(2, "c")
		synctest.Wait()
		s.acknowledge()
		if err := look(); err != nil {
			t.Fatalf("a record before the end is not settled: %v", err)
		}
		close(release)
		synctest.Wait()
		if err := look(); err != nil {
			t.Fatalf("the last commit is not acknowledged: %v", err)
		}
		select {
		case <-s.flow.CommitDue():
		default:
			t.Error("no commit was asked for at the end")
		}
		s.acknowledge()
		if err := s.flow.atEnd([]int32{0, 1}, time.Now()); err != nil {
			t.Fatalf("a partition that is ours is not open yet: %v", err)
		}
		if err := look(); !errors.Is(err, errFinished) {
			t.Fatalf("got %v, want the end", err)
		}
	})
}

func TestARunGivesUpWhenOnlyKeysAreLeftThatKeepFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEnding(t, 30, nil)
		defer s.end()
		s.handle = poison
		began := time.Now()
		s.admit(0, repeatKeys(30, "a", "poison", "b")...)
		err := s.look(time.Hour)
		if !errors.Is(err, ErrParked) || !strings.Contains(err.Error(), "10 records of 1 keys") {
			t.Fatalf("got %v", err)
		}
		// 200 ms doubled nine times is above the minute of RETRY_MAX_INTERVAL.
		if n := s.tried()[1]; n < 9 || n > 12 {
			t.Errorf("given up after %d attempts, %s", n, time.Since(began))
		}
		if n := s.deliveredCount(); n != 20 {
			t.Errorf("%d records of other keys delivered, want all 20", n)
		}
	})
}

func TestARunGoesOnWhenAKeyRecoversInTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEnding(t, 4, func(c *flowConfig) { c.policy.initial = c.policy.maxInterval }) // the first failure's wait is the longest
		defer s.end()
		release := make(chan struct{})
		s.handle = func(ctx context.Context, rec *record.Record, n int) invoke.Result {
			if rec.Offset == 0 && n == 1 {
				return invoke.Result{Class: invoke.Retry, Status: 500}
			}
			if rec.Offset == 0 {
				<-release
			}
			return done(ctx, rec, n)
		}
		s.admit(0, "a", "a", "a", "a")
		pass(plain.maxInterval + time.Second)
		if n := s.tried()[0]; n != 2 {
			t.Fatalf("%d attempts, want the second to run", n)
		}
		if err := s.look(time.Minute); err != nil {
			t.Fatalf("given up while an attempt runs: %v", err)
		}
		close(release)
		if err := s.look(time.Minute); !errors.Is(err, errFinished) {
			t.Fatalf("got %v, want the end: the key recovered", err)
		}
		if n := s.deliveredCount(); n != 4 {
			t.Errorf("%d records delivered, want 4", n)
		}
	})
}

func TestAFullParkedBoundDoesNotKeepARunFromGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEnding(t, 1000, func(c *flowConfig) { c.limits.MaxInFlight, c.limits.ParkedMax = 5, 5 })
		defer s.end()
		s.handle = poison
		ctx, stop := context.WithCancel(t.Context())
		read := make(chan struct{})
		go func() {
			defer close(read)
			for o := int64(0); ; o++ {
				if s.flow.Admit(ctx, &record.Record{Offset: o, Key: []byte("poison"), Value: []byte("v")}) != nil {
					return
				}
			}
		}()
		err := s.look(time.Hour)
		stop()
		<-read
		if !errors.Is(err, ErrParked) {
			t.Fatalf("got %v: a run that cannot read on must not wait for ever", err)
		}
	})
}

func TestARunGivesUpWhileFailureLimitHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEnding(t, 20, func(c *flowConfig) {
			c.policy.onFailure, c.policy.failureLimit = actDrop, 5
			c.limits.Concurrency = 1
		})
		defer s.end()
		s.handle = func(context.Context, *record.Record, int) invoke.Result {
			return invoke.Result{Class: invoke.Failed, Reason: invoke.ReasonStatus, Status: 422}
		}
		keys := make([]string, 20)
		for i := range keys {
			keys[i] = string(rune('a' + i))
		}
		began := time.Now()
		s.admit(0, keys...)
		err := s.look(5 * time.Minute) // a probe a minute would ask about every record in a quarter of an hour
		if !errors.Is(err, ErrParked) || !strings.Contains(err.Error(), "FAILURE_LIMIT") || !strings.Contains(err.Error(), "15 records") {
			t.Fatalf("got %v", err)
		}
		// Not before the handler was asked once more.
		if waited := time.Since(began); waited < plain.maxInterval {
			t.Errorf("given up after %s, before a probe", waited)
		}
	})
}

func TestManySlowKeysDoNotKeepARunFromGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEnding(t, 40, func(c *flowConfig) { c.policy.initial = c.policy.maxInterval })
		defer s.end()
		s.handle = func(context.Context, *record.Record, int) invoke.Result {
			<-time.After(20 * time.Second)
			return invoke.Result{Class: invoke.Retry, Status: 500}
		}
		keys := make([]string, 40)
		for i := range keys {
			keys[i] = string(rune('A' + i))
		}
		s.admit(0, keys...)
		// Forty keys come due each minute and an attempt takes 20 s in a quarter of eight slots: without a halt there is no moment without one.
		if err := s.look(10 * time.Minute); !errors.Is(err, ErrParked) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestWaitsThatNeverGrowDoNotKeepARunFromGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEnding(t, 1, func(c *flowConfig) { c.policy.factor = 1 })
		defer s.end()
		s.handle = poison
		began := time.Now()
		s.admit(0, "poison")
		if err := s.look(time.Hour); !errors.Is(err, ErrParked) {
			t.Fatalf("got %v", err)
		}
		if took := time.Since(began); took < plain.maxInterval {
			t.Errorf("given up after %s of waits that do not grow, want RETRY_MAX_INTERVAL at least", took)
		}
	})
}

func TestAStopByARecordIsNotTakenForTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEnding(t, 1, func(c *flowConfig) { c.policy.onFailure = actStop })
		defer s.end()
		s.handle = func(context.Context, *record.Record, int) invoke.Result {
			return invoke.Result{Class: invoke.Failed, Reason: invoke.ReasonStatus, Status: 422}
		}
		s.admit(0, "a")
		synctest.Wait()
		if err := s.look(time.Minute); err != nil {
			t.Fatalf("got %v, want the stop alone to end the run", err)
		}
	})
}
