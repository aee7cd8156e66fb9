package sidecar

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/metrics"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// used lets time pass and says how many slots were busy and wanted in it, on average.
func (s *stage) used(d time.Duration) (busy, wanted float64) {
	read := func() usage {
		s.flow.mu.Lock()
		defer s.flow.mu.Unlock()
		s.flow.measure(time.Now())
		return s.flow.usage
	}
	before := read()
	pass(d)
	after := read()
	return (after.busy - before.busy).Seconds() / d.Seconds(), (after.wanted - before.wanted).Seconds() / d.Seconds()
}

// seen are the gauges of partition 0.
func (s *stage) seen() metrics.Partition {
	s.flow.mu.Lock()
	defer s.flow.mu.Unlock()
	return s.flow.gauges(s.flow.parts[0], time.Now())
}

// taking makes a handler that succeeds after a time.
func taking(d time.Duration) func(context.Context, *record.Record, int) invoke.Result {
	return func(context.Context, *record.Record, int) invoke.Result {
		<-time.After(d)
		return invoke.Result{Class: invoke.Done}
	}
}

func slots(n int) func(*flowConfig) {
	return func(c *flowConfig) { c.limits.Concurrency = n }
}

func TestLoadIsAboveOneWhileKeysWaitForASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, slots(4))
		defer s.end()
		s.handle = taking(10 * time.Second)
		s.admit(0, "a", "b", "c", "d", "e", "f")
		if busy, wanted := s.used(10 * time.Second); busy != 4 || wanted != 6 {
			t.Errorf("%v slots busy, %v wanted; want 4 and, with the two keys that wait, 6", busy, wanted)
		}
		if busy, wanted := s.used(20 * time.Second); busy != 1 || wanted != 1 {
			t.Errorf("%v slots busy, %v wanted; want the average of two busy for half of the time, 1", busy, wanted)
		}
		s.admit(6, keysNamed(100)...)
		if _, wanted := s.used(5 * time.Second); wanted != 8 {
			t.Errorf("%v slots wanted, want twice those there are at most, 8", wanted)
		}
		pass(20 * time.Minute)
	})
}

func keysNamed(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = string(rune('A'+i/26)) + string(rune('a'+i%26))
	}
	return keys
}

func TestHotKeyIsBacklogAndNoLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, slots(4))
		defer s.end()
		s.handle = taking(time.Second)
		s.admit(0, repeatKeys(101, "hot")...)
		s.flow.Fetched(0, intake.Ends{High: 101, Stable: 101})
		if busy, wanted := s.used(time.Second); busy != 1 || wanted != 1 {
			t.Errorf("%v slots busy, %v wanted; want 1: another replica could do nothing for the key", busy, wanted)
		}
		if got := s.seen().BacklogRecords; got != 100 {
			t.Errorf("backlog is %d, want 100", got)
		}
		pass(time.Minute * 5)
	})
}

func TestParkedKeyIsNeitherLoadNorBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, slots(1))
		defer s.end()
		s.handle = func(ctx context.Context, rec *record.Record, _ int) invoke.Result {
			if string(rec.Key) != "poison" {
				return invoke.Result{Class: invoke.Done}
			}
			select {
			case <-time.After(20 * time.Second):
				return invoke.Result{Class: invoke.Retry, TimedOut: true}
			case <-ctx.Done():
				return invoke.Result{Class: invoke.Cancelled}
			}
		}
		s.admit(0, repeatKeys(50, "poison")...)
		pass(20 * time.Second)
		s.flow.Fetched(0, intake.Ends{High: 50, Stable: 50})
		busy, wanted := s.used(10 * time.Minute)
		if busy == 0 || wanted != 0 {
			t.Errorf("%v slots busy, %v wanted; want some and none", busy, wanted)
		}
		if g := s.seen(); g.LagRecords != 50 || g.BacklogRecords != 0 {
			t.Errorf("lag is %d and backlog %d, want 50 and 0", g.LagRecords, g.BacklogRecords)
		}
		s.flow.Fetched(0, intake.Ends{High: 53, Stable: 53})
		if g := s.seen(); g.BacklogRecords != 3 {
			t.Errorf("backlog is %d, want the 3 records in the log that may have other keys", g.BacklogRecords)
		}
	})
}

func TestWhatWaitsBehindAFullParkedBoundIsNoBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.limits.ParkedMax, c.limits.MaxInFlight = 2, 3 })
		defer s.end()
		s.handle = func(context.Context, *record.Record, int) invoke.Result { return invoke.Result{Class: invoke.Retry} }
		s.admit(0, repeatKeys(5, "poison")...)
		pass(time.Second)
		s.flow.Fetched(0, intake.Ends{High: 1000, Stable: 1000})
		if s.hasRoom() {
			t.Fatal("the bounds are not full")
		}
		if g := s.seen(); g.LagRecords != 1000 || g.BacklogRecords != 0 {
			t.Errorf("lag is %d and backlog %d, want 1000 and 0", g.LagRecords, g.BacklogRecords)
		}
	})
}

func TestWhatATransactionHoldsBackIsNoBacklog(t *testing.T) {
	for committed, want := range map[bool]int64{true: 10, false: 40} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, func(c *flowConfig) { c.readCommitted = committed })
			defer s.end()
			s.flow.Fetched(0, intake.Ends{High: 40, Stable: 10})
			if g := s.seen(); g.LagRecords != 40 || g.BacklogRecords != want {
				t.Errorf("read committed %v: lag is %d and backlog %d, want 40 and %d", committed, g.LagRecords, g.BacklogRecords, want)
			}
		})
	}
}

func TestWaitingForMoreThanASlotIsNoLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *flowConfig) { c.limits.Concurrency, c.rate = 2, 1 })
		defer s.end()
		s.handle = taking(500 * time.Millisecond)
		s.admit(0, keysNamed(50)...)
		if busy, wanted := s.used(10 * time.Second); busy != 0.5 || wanted != 0.5 {
			t.Errorf("under RATE_LIMIT %v slots busy, %v wanted; want 0.5: a replica more would be another rate, not what the limit means", busy, wanted)
		}
		pass(time.Minute)
	})
}

func TestTheOldestAgeGrowsForRecordsThatNobodyTakesIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		defer s.end()
		oldest := func(want float64) {
			t.Helper()
			if got := s.seen().OldestUnsettledSecs; got != want {
				t.Errorf("oldest unsettled record is %v s old, want %v", got, want)
			}
		}
		s.flow.Ends(0, intake.Ends{High: 0, Stable: 0})
		pass(time.Hour)
		oldest(0) // nothing waits
		// What nobody takes in comes as near to the end of its retention as what is parked: under PAUSED, or behind an open transaction.
		s.flow.Ends(0, intake.Ends{High: 5, Stable: 0})
		pass(time.Hour)
		s.flow.Ends(0, intake.Ends{High: 9, Stable: 0})
		pass(time.Hour)
		oldest(7200)
		s.handle = takes(time.Minute)
		s.admit(0, "a")
		pass(30 * time.Second)
		oldest(30) // by its own time
		pass(time.Minute)
		oldest(0) // settled, and the others are known anew with the next answer of the broker
		s.flow.Ends(0, intake.Ends{High: 9, Stable: 1})
		pass(time.Minute)
		oldest(60)
		s.handle = done
		s.admit(1, repeatKeys(8, "a")...)
		s.flow.Ends(0, intake.Ends{High: 9, Stable: 9})
		pass(time.Minute)
		oldest(0)
	})
}

func TestLagSecondsGrowWhileNothingIsReadAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		defer s.end()
		lag := func(want float64) {
			t.Helper()
			if got := s.seen().LagSeconds; got != want {
				t.Errorf("lag is %v s, want %v", got, want)
			}
		}
		s.flow.Ends(0, intake.Ends{High: 0, Stable: 0})
		pass(time.Hour)
		lag(0) // nothing waits
		s.flow.Ends(0, intake.Ends{High: 5, Stable: 5})
		pass(time.Hour)
		s.flow.Ends(0, intake.Ends{High: 9, Stable: 9})
		pass(time.Hour)
		lag(7200) // known to wait since the first look that saw it
		s.admit(0, "a")
		pass(time.Minute)
		lag(60) // read: by its own time
		s.admit(1, repeatKeys(8, "a")...)
		pass(time.Minute)
		lag(0)
	})
}
