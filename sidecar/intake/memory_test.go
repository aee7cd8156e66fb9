package intake

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// sendNoise appends batches of ten records of 2,000 bytes that no compression makes smaller.
func (w *world) sendNoise(id int32, batches int) {
	w.t.Helper()
	cl := w.client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer cl.Close()
	random := rand.NewChaCha8([32]byte{})
	for range batches {
		var batch []*kgo.Record
		for range 10 {
			value := make([]byte, 2_000)
			random.Read(value)
			batch = append(batch, &kgo.Record{Partition: id, Value: value})
		}
		w.send(cl, batch...)
	}
}

// Two partitions hold all that there is for answers and wait for room. The others are read all the same, and those two are when there is room.
func TestAnswersAreLetGoWhileTheirReadersWaitForRoom(t *testing.T) {
	const partitions = 6
	inWorld(t, partitions, func(t *testing.T, w *world) {
		for id := range int32(partitions) {
			w.sendNoise(id, 3)
		}
		s := w.prepare(func(c *Config) { c.BatchAllowance = 48 << 10 }) // of batches that take 33 KiB one is in what is common, and one above
		s.setRoom(0, 7)
		s.setRoom(1, 7)
		s.run(w)
		w.until(time.Minute, "the others are read", func() bool {
			for id := range int32(partitions) {
				if n := s.count(id); id > 1 && n != 30 || n < 7 {
					return false
				}
			}
			return true
		})
		s.setRoom(0, 100)
		s.setRoom(1, 100)
		w.until(time.Minute, "the rest", func() bool { return s.count(0) == 30 && s.count(1) == 30 })
		w.until(time.Minute, "committed", func() bool { return s.committed(0, 30)() && s.committed(1, 30)() })
		s.in.holds.empty(t)
	})
}

func TestReaderWhoseAnswerWaitsForMemoryEndsWithItsPartition(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.sendNoise(0, 1)
		w.sendNoise(1, 1)
		s := w.prepare(func(c *Config) { c.BatchAllowance = 48 << 10 })
		other := s.in.holds.join(t.Context())
		mustTake(t, other, 24<<10)
		mustTake(t, other, 1) // above
		s.run(w)
		waiting := func(n int) func() bool {
			return func() bool {
				s.in.holds.mu.Lock()
				defer s.in.holds.mu.Unlock()
				return len(s.in.holds.queue) == n
			}
		}
		holder := s.in.holds.join(t.Context()) // and what is common is gone, too
		mustTake(t, holder, 24<<10)
		w.until(time.Minute, "both wait", waiting(2))
		began := time.Now()
		s.stop()
		<-s.done
		if took := time.Since(began); took > 10*time.Second || s.count(0) > 0 {
			t.Errorf("ended after %s, %d records", took, s.count(0))
		}
		if !waiting(0)() {
			t.Error("a reader that has ended is still waited for")
		}
		other.leave()
		holder.leave()
		s.in.holds.empty(t)
	})
}
