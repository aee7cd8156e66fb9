package sidecar

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/deadletter"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/lanes"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// numbered gives n keys, each of its own.
func numbered(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	return keys
}

func refused() invoke.Result {
	return invoke.Result{Class: invoke.Failed, Reason: invoke.ReasonStatus, Status: 422}
}

// retryAfter is an answer after which the next attempt comes in d, or up to a quarter later.
func retryAfter(d time.Duration) invoke.Result {
	return invoke.Result{Class: invoke.Retry, Status: 429, HasRetryAfter: true, RetryAfter: d}
}

func TestRetryIsMadeInTimeWhileAnotherOneHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		defer s.end()
		s.handle = func(ctx context.Context, rec *record.Record, attempt int) invoke.Result {
			switch {
			case attempt == 1:
				return retryAfter(time.Duration(1+2*rec.Offset) * time.Second)
			case rec.Offset == 0:
				return takes(time.Hour)(ctx, rec, attempt)
			}
			return invoke.Result{Class: invoke.Done}
		}
		s.admit(0, "hangs", "fine")
		pass(10 * time.Second)
		if got := s.tried()[1]; got != 2 {
			t.Errorf("record that was due after 3s was attempted %d times after 10s, although most workers rest", got)
		}
	})
}

func TestRoomOfAReplacedPartitionGoesToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.limits.MaxInFlight = 1 })
		defer s.end()
		defer s.flow.Close([]int32{1})
		answer := make(chan struct{})
		s.handle = func(_ context.Context, rec *record.Record, _ int) invoke.Result {
			if rec.Partition == 0 {
				<-answer // it does not heed that its partition is gone
			}
			return invoke.Result{Class: invoke.Done}
		}
		s.flow.Open(intake.Partition{ID: 1, Log: testLog})
		s.admit(0, "a")
		admitted := make(chan error, 1)
		go func() {
			admitted <- s.flow.Admit(t.Context(), &record.Record{Partition: 1, Key: []byte("b")})
		}()
		synctest.Wait()
		s.flow.Open(intake.Partition{ID: 0, Log: testLog})
		synctest.Wait()
		close(answer)
		synctest.Wait()
		select {
		case err := <-admitted:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("the reader of partition 1 waits for room that is there")
		}
	})
}

func TestFailureLimitIsLiftedByARecordThatWasNeverTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.policy.onFailure, c.policy.failureLimit = actDeadLetter, 5 })
		defer s.end()
		s.handle = func(_ context.Context, rec *record.Record, _ int) invoke.Result {
			if rec.Offset < 20 { // so many bad records in a row that the limit is reached
				return refused()
			}
			return invoke.Result{Class: invoke.Done}
		}
		s.admit(0, numbered(100)...)
		pass(20 * plain.maxInterval)
		if got := s.deliveredCount(); got != 80 {
			t.Errorf("%d of 80 good records are delivered: probes ask about the bad ones only", got)
		}
	})
}

func TestDeadLetterOutageLeavesSlotsToHealthyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.policy.onFailure = actDeadLetter })
		defer s.end()
		s.write = func(deadletter.Letter) error {
			<-time.After(time.Minute)
			return errors.New("target is down")
		}
		s.handle = func(_ context.Context, rec *record.Record, _ int) invoke.Result {
			<-time.After(10 * time.Millisecond)
			if rec.Offset%10 == 0 {
				return refused()
			}
			return invoke.Result{Class: invoke.Done}
		}
		s.admit(0, numbered(1000)...)
		pass(30 * time.Second)
		if got := s.deliveredCount(); got != 900 {
			t.Errorf("%d of 900 records of healthy keys are delivered while dead letters cannot be written", got)
		}
		if got := s.committable(); got != 0 {
			t.Errorf("committable offset is %d although its dead letter was never written", got)
		}
	})
}

func TestFailureInAPartitionThatIsGoneStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.policy.onFailure = actStop })
		defer s.end()
		answer := make(chan struct{})
		s.handle = func(context.Context, *record.Record, int) invoke.Result {
			<-answer
			return refused()
		}
		s.admit(0, "a")
		synctest.Wait()
		s.flow.Close([]int32{0})
		close(answer)
		synctest.Wait()
		select {
		case r := <-s.flow.stop:
			t.Errorf("offset %d stops the sidecar, although its partition has another owner", r.offset)
		default:
		}
	})
}

// The race detector is what this test is for.
func TestStatusMayBeAskedForWhileAttemptsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		defer s.end()
		s.handle = func(ctx context.Context, rec *record.Record, attempt int) invoke.Result {
			if attempt == 1 {
				return retryAfter(time.Second)
			}
			return takes(time.Hour)(ctx, rec, attempt)
		}
		s.admit(0, "a")
		<-time.After(10 * time.Second) // not synctest.Wait, which would order what the workers did before what follows
		s.flow.mu.Lock()
		defer s.flow.mu.Unlock()
		parked := s.flow.partitionStatus(s.flow.parts[0], time.Now()).Parked
		if len(parked) != 1 || parked[0].Attempts != 2 {
			t.Errorf("parked lanes: %+v, want one with its second attempt under way", parked)
		}
	})
}

func TestAttemptThatNeverBeganIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s := newStage(t, func(c *flowConfig) {
			c.limits.Concurrency = 1 // one worker, which asks
			c.mayStart = func(time.Time) bool {
				asked++
				return asked != 3 // it runs out between the choice of the record and its request
			}
		})
		defer s.end()
		first := 0
		s.handle = func(_ context.Context, _ *record.Record, attempt int) invoke.Result {
			first = attempt
			return invoke.Result{Class: invoke.Done}
		}
		synctest.Wait() // it has asked once, in vain
		s.admit(0, "a")
		pass(time.Second)
		if first != 1 || s.deliveredCount() != 1 {
			t.Errorf("the first request says that it is attempt %d, %d delivered", first, s.deliveredCount())
		}
	})
}

func TestParkedBoundsAreWarnedOfAtFourFifths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.ordering, c.limits.ParkedMax = lanes.ByPartition, 10 })
		defer s.end()
		s.handle = func(context.Context, *record.Record, int) invoke.Result { return refused() }
		warned := func() bool {
			s.flow.mu.Lock()
			defer s.flow.mu.Unlock()
			return s.flow.crowded
		}
		s.admit(0, numbered(7)...)
		if pass(3 * time.Second); warned() {
			t.Error("warned with 7 of 10 parked")
		}
		s.admit(7, "8")
		if pass(3 * time.Second); !warned() {
			t.Error("not warned with 8 of 10 parked")
		}
	})
}

func TestLongCommitIntervalIsNoStuckLoop(t *testing.T) {
	const interval = 5 * time.Minute
	turned := time.Now().Add(-interval)
	if err := turning("intake", turned, intakeTurn(interval)); err != nil {
		t.Errorf("a loop that rests for COMMIT_INTERVAL counts as stuck: %v", err)
	}
	if turning("intake", turned.Add(-2*stuckAfter), intakeTurn(interval)) == nil {
		t.Error("a loop that does not turn at all counts as alive")
	}
}

func TestKeysThatFailUseUpAQuarterOfTheRateLimitAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A hundred keys that fail ask for more than ten attempts a second, whatever their waits have grown to.
		s := newStage(t, func(c *flowConfig) { c.rate, c.limits.Concurrency, c.policy.maxInterval = 10, 64, time.Second })
		defer s.end()
		const bad, good = 100, 60
		s.handle = func(_ context.Context, rec *record.Record, _ int) invoke.Result {
			if rec.Offset < bad {
				return invoke.Result{Class: invoke.Retry, Status: 500}
			}
			return invoke.Result{Class: invoke.Done}
		}
		s.admit(0, numbered(bad)...)
		pass(15 * time.Second)
		s.admit(bad, numbered(bad + good)[bad:]...)
		pass(10 * time.Second)
		if got := s.deliveredCount(); got != good {
			t.Errorf("%d of %d records of healthy keys are delivered after 10s at 10 attempts a second: keys that fail use up the rate", got, good)
		}
		tried := 0
		for _, n := range s.tried() {
			tried += n
		}
		if tried > 260 || tried < 240 {
			t.Errorf("%d attempts in 25s at 10 a second", tried)
		}
	})
}
