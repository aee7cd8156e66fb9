package lanes

import (
	"fmt"
	"testing"
	"time"
)

func TestDrainingPartitionDropsOnlyWhatWaits(t *testing.T) {
	b := newBench(t, ByKey, 2, limits(64))
	b.add(0, "runs", "runs", "fails", "fails", "fails", "parked")
	b.add(1, "other")
	runs, fails, parked := b.begin(start, "runs"), b.begin(start, "fails"), b.begin(start, "parked")
	b.Retry(fails, start, false)
	b.Retry(parked, start.Add(time.Hour), true)
	b.begin(start, "fails")
	b.add(0, "ready")
	want(t, "reserved", b.Reserve(0, 1000), 1000)

	want(t, "dropped", b.Stop(0), 1+2+1+1)
	want(t, "dropped again", b.Stop(0), 0)
	want(t, "running", b.Running(0), 2)
	s := b.PartitionStats(0)
	want(t, "left", s, Stats{InFlight: 1, InFlightBytes: s.InFlightBytes, ParkedKeys: 1, ParkedRecords: 1, ParkedBytes: s.ParkedBytes, Running: 2, RunningRetries: 1})
	want(t, "add", b.offer(0, "late", 0), false)
	want(t, "reserve", b.Reserve(0, 1), 0)
	want(t, "room", b.HasRoom(0), false)
	b.Settle(b.begin(start, "other"))
	b.idle(start.Add(2 * time.Hour))

	want(t, "what ran is settled", b.Settle(runs), true)
	want(t, "what failed is not tried again", b.Retry(fails, start, false), false)
	want(t, "running", b.Running(0), 0)
	want(t, "nothing is left", b.Stats(), Stats{})
}

func TestOrphanedItemOnlyFreesItsSlot(t *testing.T) {
	for name, end := range map[string]func(*Lanes, *Item) bool{
		"settle":  (*Lanes).Settle,
		"abandon": (*Lanes).Abandon,
		"retry":   func(l *Lanes, it *Item) bool { return l.Retry(it, start, false) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, ByKey, 1, limits(2))
			b.add(0, "a", "a")
			orphan := b.begin(start, "a")
			want(t, "dropped", b.Close(0), 1)
			want(t, "running of the partition", b.Running(0), 0)
			want(t, "slots in use", b.RunningTotal(), 1)
			want(t, "held until it ends", b.Stats().InFlight, 1)

			b.Open(0)
			b.add(0, "a", "a")
			again := b.begin(start, "a")
			want(t, "end of the orphan", end(b.Lanes, orphan), false)
			want(t, "slots in use", b.RunningTotal(), 1)
			want(t, "running of the new owner", b.Running(0), 1)
			want(t, "a second end", end(b.Lanes, orphan), false)
			b.idle(start)
			want(t, "settle of the new one", b.Settle(again), true)
			b.Settle(b.begin(start, "a"))
			want(t, "nothing is left", b.Stats(), Stats{})
		})
	}
}

func TestParkedLanesAreListedOldestFirst(t *testing.T) {
	b := newBench(t, ByKey, 1, limits(64))
	b.add(0, "a", "b", "c", "a", "b", "a")
	for i := range 3 {
		b.Retry(b.Next(start), start.Add(time.Duration(3-i)*time.Second), false)
	}
	b.Retry(b.begin(start.Add(time.Minute), "c"), start.Add(time.Hour), false)
	b.begin(start.Add(time.Minute), "b")
	var got []string
	for _, p := range b.Parked(0, 10) {
		got = append(got, fmt.Sprintf("%s %d %t %v", p.Item.Record.Key, p.Records, p.Running, p.Due.Sub(start)))
	}
	want(t, "parked", fmt.Sprint(got), "[a 3 false 3s b 2 true 2s c 1 false 1h0m0s]")
	want(t, "limit", len(b.Parked(0, 2)), 2)
	want(t, "none", len(b.Parked(0, 0))+len(b.Parked(7, 10)), 0)
}

// A partition that once had very many keys gives their map back once it is empty, and works on.
func TestEmptiedPartitionHoldsNoMemoryForItsKeys(t *testing.T) {
	b := newBench(t, ByKey, 1, limits(64))
	b.add(0, keys("k", 5000)...)
	for range 5000 {
		b.Settle(b.Next(start))
	}
	want(t, "entries remembered", b.parts[0].peak, 0)
	want(t, "empty lanes kept", b.spares, maxSpares)
	b.add(0, "a", "a")
	b.Settle(b.begin(start, "a"))
	b.Settle(b.begin(start, "a"))
}
