package renew

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// script is a source that counts its calls: the n-th gives n, for as long as the script says.
type script struct {
	calls atomic.Int64
	play  func(n int64) (life time.Duration, err error)
}

func (s *script) fetch(context.Context) (int64, time.Time, error) {
	n := s.calls.Add(1)
	life, err := s.play(n)
	if life == 0 {
		return n, time.Time{}, err
	}
	return n, time.Now().Add(life), err
}

// inBubble runs a test on a fake clock and closes the value before the bubble ends.
func inBubble(t *testing.T, s *script, failed func(error, time.Duration), test func(t *testing.T, v *Value[int64])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		v := New(s.fetch, failed)
		defer v.Close()
		test(t, v)
	})
}

func want(t *testing.T, v *Value[int64], value int64, wrong error) {
	t.Helper()
	got, err := v.Get(t.Context())
	if !errors.Is(err, wrong) || wrong == nil && (err != nil || got != value) {
		t.Fatalf("got %d, %v, want %d, %v", got, err, value, wrong)
	}
}

// pass lets the bubble's clock run.
func pass(d time.Duration) { <-time.After(d) }

var errSource = errors.New("no")

func TestValueIsRenewedBeforeItEndsAndNobodyWaits(t *testing.T) {
	s := &script{play: func(int64) (time.Duration, error) { return 100 * time.Second, nil }}
	inBubble(t, s, nil, func(t *testing.T, v *Value[int64]) {
		want(t, v, 1, nil)
		pass(79 * time.Second)
		want(t, v, 1, nil)
		pass(2 * time.Second)
		synctest.Wait()
		if n := s.calls.Load(); n != 2 {
			t.Fatalf("%d fetches after four fifths of the life, want 2: the renewal must not wait for somebody to ask", n)
		}
		want(t, v, 2, nil)
	})
}

func TestOutageOfTheSourceIsNotFeltWhileTheValueHolds(t *testing.T) {
	s := &script{play: func(n int64) (time.Duration, error) {
		if n == 1 || n > 4 {
			return 100 * time.Second, nil
		}
		return 0, errSource
	}}
	var left []time.Duration
	inBubble(t, s, func(err error, d time.Duration) { left = append(left, d) }, func(t *testing.T, v *Value[int64]) {
		want(t, v, 1, nil)
		for range 95 {
			pass(time.Second)
			if _, err := v.Get(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want(t, v, 5, nil)
	})
	if len(left) != 3 || left[0] > 20*time.Second {
		t.Errorf("told of failures with %v left, want three", left)
	}
}

func TestFailureIsTheAnswerUntilItsBackoffIsOver(t *testing.T) {
	s := &script{play: func(n int64) (time.Duration, error) {
		if n < 8 {
			return 0, errSource
		}
		return time.Hour, nil
	}}
	inBubble(t, s, nil, func(t *testing.T, v *Value[int64]) {
		began := time.Now()
		asked := 0
		for {
			if _, err := v.Get(t.Context()); err == nil {
				break
			}
			asked++
			pass(10 * time.Millisecond)
		}
		if took := time.Since(began); s.calls.Load() != 8 || took < 8*time.Second || took > 40*time.Second || asked < 100 {
			t.Errorf("%d fetches within %s for %d questions, want 8, further and further apart", s.calls.Load(), took, asked)
		}
	})
}

func TestOneFetchServesAllWhoWait(t *testing.T) {
	s := &script{}
	s.play = func(int64) (time.Duration, error) {
		pass(time.Second)
		return time.Hour, nil
	}
	inBubble(t, s, nil, func(t *testing.T, v *Value[int64]) {
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := v.Get(impatient); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if got, err := v.Get(t.Context()); err != nil || got != 1 {
					t.Errorf("got %d, %v: the one who gave up must not have ended it for the others", got, err)
				}
			})
		}
		all.Wait()
	})
	if s.calls.Load() != 1 {
		t.Errorf("%d fetches, want 1", s.calls.Load())
	}
}

func TestRefusedValueIsFetchedAgainUnlessItIsNew(t *testing.T) {
	s := &script{play: func(int64) (time.Duration, error) { return time.Hour, nil }}
	inBubble(t, s, nil, func(t *testing.T, v *Value[int64]) {
		want(t, v, 1, nil)
		is := func(n int64) func(int64) bool { return func(m int64) bool { return m == n } }
		v.Refused(is(1))
		want(t, v, 1, nil) // new: the next one would be refused as well
		pass(settled)
		v.Refused(is(7))
		want(t, v, 1, nil) // another one was refused
		v.Refused(is(1))
		want(t, v, 2, nil)
		v.Refused(is(1))
		want(t, v, 2, nil)
	})
}

func TestValueThatNeverEndsIsFetchedOnce(t *testing.T) {
	s := &script{play: func(int64) (time.Duration, error) { return 0, nil }}
	inBubble(t, s, nil, func(t *testing.T, v *Value[int64]) {
		want(t, v, 1, nil)
		pass(1000 * time.Hour)
		want(t, v, 1, nil)
	})
}

func TestValueThatHasEndedAlreadyIsAnError(t *testing.T) {
	s := &script{play: func(int64) (time.Duration, error) { return -time.Second, nil }}
	inBubble(t, s, nil, func(t *testing.T, v *Value[int64]) { want(t, v, 0, errEnded) })
}

func TestNothingIsAskedAfterClose(t *testing.T) {
	s := &script{play: func(int64) (time.Duration, error) { return time.Minute, nil }}
	inBubble(t, s, nil, func(t *testing.T, v *Value[int64]) {
		want(t, v, 1, nil)
		v.Close()
		want(t, v, 0, net.ErrClosed)
		pass(time.Hour)
		if s.calls.Load() != 1 {
			t.Errorf("%d fetches, want none after Close", s.calls.Load())
		}
	})
}
