package sidecar

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// takes makes a handler that needs d for each record, and heeds cancellation.
func takes(d time.Duration) func(context.Context, *record.Record, int) invoke.Result {
	return func(ctx context.Context, _ *record.Record, _ int) invoke.Result {
		select {
		case <-time.After(d):
			return invoke.Result{Class: invoke.Done}
		case <-ctx.Done():
			return invoke.Result{Class: invoke.Cancelled, Err: context.Cause(ctx)}
		}
	}
}

func TestDrainEndsRunningAttemptsAndStartsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		defer s.end()
		s.handle = takes(10 * time.Second)
		s.admit(0, repeatKeys(20, "a", "b")...)
		synctest.Wait()
		s.flow.Drain(t.Context(), []int32{0})
		if got := s.deliveredCount(); got != 2 {
			t.Errorf("%d attempts ended in the drain, want the 2 that ran", got)
		}
		if got := s.committable(); got != 2 {
			t.Errorf("committable offset after the drain is %d, want 2", got)
		}
		if err := s.flow.Admit(t.Context(), &record.Record{Offset: 20}); err == nil {
			t.Error("a draining partition took a record in")
		}
	})
}

func TestNothingBeginsOnceTheProcessStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		defer s.end()
		s.handle = takes(10 * time.Second)
		s.admit(0, repeatKeys(20, "a", "b")...)
		synctest.Wait()
		s.flow.windDown()
		s.admit(20, "c") // what a reader had in its hands
		pass(time.Minute)
		if got := s.deliveredOffsets(); len(got) != 2 || len(s.tried()) != 2 {
			t.Errorf("delivered %v, tried %v: want the 2 that ran", got, s.tried())
		}
	})
}

func TestDrainBudgetCancelsWhatStillRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		defer s.end()
		s.handle = takes(time.Hour)
		s.admit(0, "a", "b")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		s.flow.windDown()
		s.flow.Drain(ctx, []int32{0})
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("drain took %s, want its budget of 5s", took)
		}
		if got := s.flow.cutAttempts(); got != 2 {
			t.Errorf("%d attempts counted as cut, want 2", got)
		}
		if got := s.committable(); got != 0 {
			t.Errorf("committable offset is %d, but nothing was settled", got)
		}
	})
}

func TestLostPartitionCommitsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		defer s.end()
		s.handle = takes(time.Second)
		s.admit(0, "a", "b")
		synctest.Wait()
		before := s.flow.parts[0]
		s.flow.Close([]int32{0})
		synctest.Wait()
		if commits := s.flow.Commits(nil); len(commits) != 0 {
			t.Errorf("commits of a lost partition: %+v", commits)
		}
		if before.ctx.Err() == nil {
			t.Error("attempts of a lost partition were not cancelled")
		}
		if got := s.deliveredCount(); got != 0 {
			t.Errorf("%d records of a lost partition settled", got)
		}
	})
}

func TestLateAcknowledgementOfAnEarlierAssignmentIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		defer s.end()
		s.admit(0, "a", "b")
		synctest.Wait()
		old := s.flow.Commits(nil)
		s.flow.Open(intake.Partition{ID: 0, Log: testLog, Start: 0})
		s.admit(0, "a", "b")
		synctest.Wait()
		for _, c := range old {
			s.flow.Committed(c, nil)
		}
		if len(s.flow.Commits(nil)) != 1 {
			t.Error("an acknowledgement of the former assignment counted for the new one")
		}
	})
}

func TestNothingStartsWithoutALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := time.Now().Add(time.Minute)
		s := newStage(t, func(c *flowConfig) { c.mayStart = func(now time.Time) bool { return now.After(held) } })
		defer s.end()
		s.admit(0, "a", "b")
		pass(59 * time.Second)
		if got := s.deliveredCount(); got != 0 {
			t.Errorf("%d attempts began without a lease", got)
		}
		pass(2 * time.Second)
		if got := s.deliveredCount(); got != 2 {
			t.Errorf("%d delivered once the lease was renewed, want 2", got)
		}
	})
}

func TestNothingIsMadeWhoseLeaseEndsJustBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		held := time.Now().Add(time.Minute)
		s := newStage(t, func(c *flowConfig) {
			c.limits.Concurrency = 1 // one worker, which asks
			c.mayStart = func(now time.Time) bool {
				return asked.Add(1) < 3 || now.After(held) // it runs out between the choice of the record and its request
			}
		})
		defer s.end()
		synctest.Wait() // it has asked once, in vain
		s.admit(0, "a")
		pass(30 * time.Second)
		if got := s.deliveredCount(); got != 0 || asked.Load() < 3 {
			t.Errorf("%d attempts were made after the lease had ended, it was looked at %d times", got, asked.Load())
		}
		pass(time.Minute)
		if got := s.deliveredCount(); got != 1 {
			t.Errorf("%d delivered once the lease was renewed, want 1", got)
		}
	})
}

func TestIntakePausesWhenCommitsAreNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.maxUnacked = 10 })
		defer s.end()
		s.admit(0, repeatKeys(11, "a")...)
		synctest.Wait()
		if s.hasRoom() {
			t.Error("intake goes on although 11 settled records were never acknowledged")
		}
		for _, c := range s.flow.Commits(nil) {
			s.flow.Committed(c, nil)
		}
		if !s.hasRoom() {
			t.Error("intake stays paused after the commit was acknowledged")
		}
	})
}

func TestRateLimitSpacesAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.rate = 10 })
		defer s.end()
		began := time.Now()
		s.admit(0, repeatKeys(51, "a", "b", "c")...)
		for s.deliveredCount() < 51 {
			pass(10 * time.Millisecond)
		}
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("51 attempts at 10/s took %s, want about 5s", took)
		}
	})
}

func TestStuckHandlerHoldsNoMoreThanTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.limits.MaxInFlight = 100 })
		defer s.end()
		s.handle = takes(time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		admitted := make(chan int, 1)
		go func() {
			n := 0
			for s.flow.Admit(ctx, &record.Record{Offset: int64(n), Key: []byte{byte(n)}}) == nil {
				n++
			}
			admitted <- n
		}()
		synctest.Wait()
		cancel()
		if n := <-admitted; n != 100 {
			t.Errorf("%d records taken in, want MAX_IN_FLIGHT = 100", n)
		}
	})
}
