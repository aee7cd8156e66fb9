package sidecar

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// large is a record of which the bound of 1 MiB takes ten, and one is above it. It is more than an equal share of sixteen partitions.
const large, fit, ids = 100 << 10, 11, 16

// largeStage has sixteen partitions, whose records hang until answer is closed.
func largeStage(t *testing.T) (s *stage, answer chan struct{}) {
	s, answer = newStage(t, nil), make(chan struct{})
	s.handle = func(context.Context, *record.Record, int) invoke.Result {
		<-answer
		return invoke.Result{Class: invoke.Done}
	}
	for id := range int32(ids) {
		s.flow.Open(intake.Partition{ID: id, Log: testLog})
	}
	return s, answer
}

func (s *stage) endLarge() {
	for id := range int32(ids) {
		s.flow.Close([]int32{id})
	}
	s.end()
}

// The fetches of all partitions together reserve every byte, each too few for the record that it brings. Without an end of that such records would
// be taken one at a time.
func TestReaderThatWaitsForRoomLeavesItsReservationToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, answer := largeStage(t)
		defer s.endLarge()
		for id := range int32(ids) {
			if n, err := s.flow.Reserve(t.Context(), id, 0, 1<<20); err != nil || n != 1<<20/ids {
				t.Fatal(n, err)
			}
		}
		var taken atomic.Int64
		for id := range int32(ids) {
			go func() {
				defer s.flow.Release(id)
				rec := &record.Record{Partition: id, Key: []byte("k"), Value: make([]byte, large)}
				if err := s.flow.Room(t.Context(), id, rec.Size()); err != nil {
					t.Error(err)
				}
				if err := s.flow.Admit(t.Context(), rec); err != nil {
					t.Error(err)
				}
				taken.Add(1)
			}()
		}
		synctest.Wait()
		if n := taken.Load(); n != fit {
			t.Errorf("%d records are taken in, %d fit", n, fit)
		}
		close(answer)
		synctest.Wait()
		if n := taken.Load(); n != ids {
			t.Errorf("%d of %d records were taken in", n, ids)
		}
	})
}

// Readers that have let their answers go all wait for the same room: a fetch is sent only where the record will be taken in.
func TestNoMoreRecordsAreFetchedAgainThanThereIsRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, answer := largeStage(t)
		defer s.endLarge()
		close(answer)
		fetching := make(chan int32, ids)
		for id := range int32(ids) {
			go func() {
				if n, err := s.flow.Reserve(t.Context(), id, large, 1<<20); err != nil || n < large {
					t.Errorf("a fetch may bring %d bytes: %v", n, err)
				}
				fetching <- id
			}()
		}
		for left := ids; left > 0; {
			synctest.Wait()
			n := len(fetching)
			if n == 0 || n > fit {
				t.Fatalf("%d fetches are sent at once, there is room for the records of %d", n, fit)
			}
			left -= n
			for range n {
				id := <-fetching
				if err := s.flow.Admit(t.Context(), &record.Record{Partition: id, Key: []byte("k"), Value: make([]byte, large-1000)}); err != nil {
					t.Fatal(err)
				}
				s.flow.Release(id)
			}
		}
	})
}
