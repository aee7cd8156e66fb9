package lanes

import (
	"fmt"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// size is what a record of this file's tests weighs with an empty value: fixed overhead and a key of one byte.
const size = 257

func TestInFlightIsBoundedByCountAndBytes(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits Limits
		taken  int
	}{
		{"count", Limits{Concurrency: 4, MaxInFlight: 10, MaxInFlightBytes: 1 << 20}, 10},
		{"bytes", Limits{Concurrency: 4, MaxInFlight: 1000, MaxInFlightBytes: 10*size + 100}, 10},
		{"at least one", Limits{}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, ByKey, 1, tc.limits)
			taken := 0
			for b.offer(0, "k", 0) {
				taken++
			}
			want(t, "taken", taken, tc.taken)
			want(t, "room", b.HasRoom(0), false)
			b.Settle(b.Next(start))
			want(t, "taken after one settled", b.offer(0, "k", 0), true)
			want(t, "taken after that", b.offer(0, "k", 0), false)
		})
	}
}

func TestOneHugeRecordIsTakenAlone(t *testing.T) {
	b := newBench(t, ByKey, 1, Limits{Concurrency: 4, MaxInFlight: 100, MaxInFlightBytes: 1000})
	b.add(0, "a")
	want(t, "huge beside another", b.offer(0, "h", 5000), false)
	b.Settle(b.begin(start, "a"))
	want(t, "room once it is empty", b.HasRoom(0), true)
	want(t, "reserved", b.Reserve(0, 1<<20), 1000)
	want(t, "huge alone", b.offer(0, "h", 5000), true)
	want(t, "in flight", b.Stats().InFlightBytes, 5000+size)
	want(t, "reservation used up", b.Stats().Reserved, 0)
	want(t, "another beside huge", b.offer(0, "a", 0), false)
	want(t, "second huge", b.offer(0, "h", 5000), false)
	want(t, "reserve beside huge", b.Reserve(0, 1), 0)
	b.Settle(b.begin(start, "h"))
	want(t, "next huge", b.offer(0, "h", 5000), true)
}

func TestOnlyOneRecordIsAboveTheBounds(t *testing.T) {
	b := newBench(t, ByKey, 3, Limits{Concurrency: 4, MaxInFlight: 100, MaxInFlightBytes: 1000, ParkedMax: 100, ParkedMaxBytes: 1000})
	want(t, "first huge", b.offer(0, "h", 5000), true)
	want(t, "huge of another partition", b.offer(1, "h", 5000), false)
	b.Retry(b.begin(start, "h"), start.Add(time.Hour), false)
	want(t, "huge of another partition while the first is parked", b.offer(1, "h", 5000), false)
	want(t, "charged in flight", b.Stats().InFlightBytes <= 1000, true)
	b.Settle(b.begin(start.Add(time.Hour), "h"))
	want(t, "huge of another partition after it", b.offer(1, "h", 5000), true)
}

func TestHugeRecordThatFailsStopsNoOtherPartition(t *testing.T) {
	b := newBench(t, ByKey, 2, Limits{Concurrency: 4, MaxInFlight: 100, MaxInFlightBytes: 4000, ParkedMax: 100, ParkedMaxBytes: 8000})
	want(t, "huge", b.offer(0, "h", 5000), true)
	want(t, "other partition meanwhile", b.offer(1, "a", 0), false)
	b.Retry(b.begin(start, "h"), start.Add(time.Hour), false)
	want(t, "other partition after it failed", b.offer(1, "a", 0), true)
	want(t, "own partition after it failed", b.offer(0, "b", 0), true)
	want(t, "behind the failing one", b.offer(0, "h", 9000), false)
}

func TestParkedLaneLeavesTheInFlightBudget(t *testing.T) {
	b := newBench(t, ByKey, 1, Limits{Concurrency: 4, MaxInFlight: 10, MaxInFlightBytes: 1 << 20, ParkedMax: 100, ParkedMaxBytes: 1 << 20})
	b.add(0, keys("a", 2)...)
	for range 8 {
		b.add(0, "b")
	}
	want(t, "full", b.offer(0, "c", 0), false)
	b.begin(start, "a0")
	b.begin(start, "a1")
	bad := b.begin(start, "b")
	b.Retry(bad, start, false)
	s := b.Stats()
	want(t, "in flight", s.InFlight, 2)
	want(t, "parked", s.ParkedRecords, 8)
	want(t, "parked bytes", s.ParkedBytes, 8*size)
	want(t, "parked keys", s.ParkedKeys, 1)
	for range 8 {
		b.add(0, "c", "b")
	}
	s = b.Stats()
	want(t, "in flight", s.InFlight, 10)
	want(t, "parked: its later records go there too", s.ParkedRecords, 16)
	want(t, "full again", b.offer(0, "d", 0), false)

	// Its head settles: its records belong in flight again, but only as far as there is room.
	b.Settle(b.begin(start, "b"))
	s = b.Stats()
	want(t, "in flight", s.InFlight, 10)
	want(t, "the rest stays where it was", s.ParkedRecords, 15)
	want(t, "parked keys", s.ParkedKeys, 0)
	for it := b.Next(start); it != nil; it = b.Next(start) {
		b.Settle(it)
		if s := b.Stats(); s.InFlight > 10 || s.InFlight < min(10, s.InFlight+s.ParkedRecords-2) {
			t.Fatalf("charges do not move on: %+v", s)
		}
	}
	want(t, "left", b.Stats().InFlight, 2)
}

func TestFullParkedBudgetSpillsIntoInFlightThenPauses(t *testing.T) {
	b := newBench(t, ByKey, 1, Limits{Concurrency: 4, MaxInFlight: 4, MaxInFlightBytes: 1 << 20, ParkedMax: 3, ParkedMaxBytes: 1 << 20})
	b.add(0, "b")
	bad := b.begin(start, "b")
	b.Retry(bad, start, false)
	b.add(0, "b", "b", "b", "b")
	s := b.Stats()
	want(t, "parked", s.ParkedRecords, 3)
	want(t, "in flight", s.InFlight, 2)
	b.add(0, "a", "c")
	want(t, "parked lane", b.offer(0, "b", 0), false)
	want(t, "other lane", b.offer(0, "d", 0), false)
	want(t, "held", b.Stats().InFlight+b.Stats().ParkedRecords, 4+3)
	// Seven are held. One record too many leaves the parked budget with every head that settles, then there is room.
	for range 3 {
		want(t, "more than may be in flight", b.offer(0, "d", 0), false)
		b.Settle(b.Next(start))
	}
	want(t, "in flight", b.Stats().InFlight, 4)
	b.Settle(b.Next(start))
	want(t, "room", b.offer(0, "d", 0), true)
}

// A lane of 100,000 records that fails and recovers at every record must not cost a walk over all of them each time.
func TestParkingALongLaneIsCheap(t *testing.T) {
	const n = 100_000
	b := newBench(t, ByKey, 1, Limits{Concurrency: 4, MaxInFlight: n, MaxInFlightBytes: 1 << 30, ParkedMax: n, ParkedMaxBytes: 1 << 30})
	for range n {
		b.add(0, "k")
	}
	for range n { // quadratic would be 10^10 steps
		it := b.begin(start, "k")
		b.Retry(it, start, false)
		b.begin(start, "k")
		b.Settle(it)
	}
	want(t, "stats", b.Stats(), Stats{})
}

func TestPartitionsShareFairly(t *testing.T) {
	b := newBench(t, ByKey, 4, Limits{Concurrency: 4, MaxInFlight: 80, MaxInFlightBytes: 1 << 20, ParkedMax: 80, ParkedMaxBytes: 1 << 20})
	fill := func(p int32) (n int) {
		for b.offer(p, "k", 0) {
			n++
		}
		return n
	}
	want(t, "a greedy partition gets its guarantee and what is common", fill(0), 10+40)
	for p := int32(1); p < 4; p++ {
		want(t, "every other one has half of its equal share", fill(p), 10)
	}
	want(t, "in flight", b.Stats().InFlight, 80)

	// The same for parked records: park every lane and fill up again.
	for range 4 {
		b.Retry(b.Next(start), start.Add(time.Hour), false)
	}
	want(t, "parked", b.Stats().ParkedRecords, 80)
	want(t, "in flight", b.Stats().InFlight, 0)
}

func TestLaterPartitionTakesOverItsShare(t *testing.T) {
	b := newBench(t, None, 1, Limits{Concurrency: 100, MaxInFlight: 80, MaxInFlightBytes: 1 << 20})
	for range 80 {
		b.add(0, "k")
	}
	b.Open(1)
	want(t, "at first", b.offer(1, "k", 0), false)
	running := b.all(start)
	for i := range 20 {
		b.Settle(running[i])
		want(t, "the first partition waits", b.offer(0, "k", 0), false)
		want(t, "the second takes over", b.offer(1, "k", 0), true)
	}
	b.Settle(running[20])
	want(t, "what is common is for both", b.offer(0, "k", 0), true)

	b.Close(1)
	for _, it := range running[21:] {
		b.Settle(it)
	}
	for range 79 {
		b.add(0, "k")
	}
	want(t, "alone again it has everything", b.Stats().InFlight, 80)
}

func TestReservationIsTurnedIntoCharges(t *testing.T) {
	b := newBench(t, ByKey, 2, Limits{Concurrency: 4, MaxInFlight: 1000, MaxInFlightBytes: 40 * size, ParkedMax: 1000, ParkedMaxBytes: 1 << 20})
	want(t, "at most an equal share", b.Reserve(0, 1<<30), 20*size)
	want(t, "not twice", b.Reserve(0, 1), 0)
	want(t, "the other one too", b.Reserve(1, 15*size), 15*size)
	for range 20 {
		b.add(0, "a")
	}
	want(t, "used up", b.PartitionStats(0).Reserved, 0)
	want(t, "the rest is free for both", b.offer(0, "a", 4*size), true)
	want(t, "but not what the other one has reserved", b.offer(0, "a", 0), false)
	b.add(1, keys("k", 10)...)
	b.Unreserve(1, 1<<30) // more than there is counts as all
	want(t, "given back", b.Stats().Reserved, 0)
	want(t, "free for the first", b.offer(0, "a", 0), true)
	want(t, "of no partition", b.Reserve(9, 100), 0)

	bad := b.begin(start, "a")
	b.Retry(bad, start.Add(time.Hour), false)
	want(t, "reserved", b.Reserve(0, 2*size), 2*size)
	b.add(0, "a")
	want(t, "a record of a parked lane uses it up too", b.PartitionStats(0).Reserved, size)
	want(t, "a stopped partition gives it back", b.Stop(0) > 0 && b.Stats().Reserved == 0, true)
	b.Unreserve(0, 100)
	want(t, "and not again", b.Stats().Reserved, 0)
}

func TestReservationsCannotBlockEachOther(t *testing.T) {
	const n = 4
	b := newBench(t, ByKey, n, Limits{Concurrency: 4, MaxInFlight: 1000, MaxInFlightBytes: 4000})
	for p := range int32(n) {
		want(t, "reserved", b.Reserve(p, 1<<20), 1000)
	}
	// All is reserved, and every partition comes with a record larger than what it has.
	taken := 0
	for p := range int32(n) {
		if b.offer(p, "k", 2000) {
			taken++
		}
	}
	want(t, "one of them is taken", taken, 1)
	for round := 1; round < n; round++ {
		b.Settle(b.begin(start, "k"))
		for p := range int32(n) {
			if b.offer(p, "k", 2000) {
				taken++
				break
			}
		}
	}
	want(t, "and then the others", taken, n)
}

func TestLateReservationIsNeverTooSmallToStart(t *testing.T) {
	b := newBench(t, ByKey, 1, Limits{Concurrency: 4, MaxInFlight: 1000, MaxInFlightBytes: 4 * size})
	b.add(0, "a", "a", "a", "a")
	b.Open(1)
	want(t, "room for a partition that has nothing", b.HasRoom(1), true)
	want(t, "one byte asks for one batch", b.Reserve(1, 1<<20), 1)
	want(t, "its first record", b.offer(1, "k", 0), true)
	want(t, "its second", b.offer(1, "k", 0), false)
	want(t, "room", b.HasRoom(1), false)
	want(t, "reserve", b.Reserve(1, 1<<20), 0)
}

func TestRoomIsReportedAgainOnlyWhenAQuarterIsFree(t *testing.T) {
	for _, tc := range []struct{ partitions, max, settle int }{{1, 100, 25}, {1, 8, 2}, {1, 3, 1}, {2, 80, 10}, {10, 20, 1}} {
		t.Run(fmt.Sprintf("%d of %d", tc.partitions, tc.max), func(t *testing.T) {
			b := newBench(t, None, tc.partitions, Limits{Concurrency: 1000, MaxInFlight: tc.max, MaxInFlightBytes: 1 << 20})
			want(t, "at first", b.HasRoom(0), true)
			for b.offer(0, "k", 0) {
			}
			want(t, "full", b.HasRoom(0), false)
			running := b.all(start)
			for i := range tc.settle {
				want(t, fmt.Sprintf("room after %d settled", i), b.HasRoom(0), false)
				b.Settle(running[i])
			}
			want(t, "room", b.HasRoom(0), true)
			b.add(0, "k")
			for range tc.settle - 1 {
				want(t, "room until it is full again", b.HasRoom(0), true)
				b.add(0, "k")
			}
			want(t, "full again", b.HasRoom(0), false)
		})
	}
}

func TestPartitionWithOnlyParkedLanesUsesWhatRoomThereIs(t *testing.T) {
	b := newBench(t, ByKey, 1, Limits{Concurrency: 100, MaxInFlight: 100, MaxInFlightBytes: 1 << 20, ParkedMax: 10, ParkedMaxBytes: 1 << 20})
	b.add(0, "g")
	for range 99 {
		b.add(0, "b")
	}
	want(t, "full", b.offer(0, "c", 0), false)
	good := b.begin(start, "g")
	b.Retry(b.begin(start, "b"), start.Add(time.Hour), false)
	want(t, "in flight", b.Stats().InFlight, 90)
	want(t, "less than a quarter is free, and more may come", b.HasRoom(0), false)
	b.Settle(good)
	want(t, "nothing more can come, so what there is will do", b.HasRoom(0), true)
}

// Room that another partition leaves in the parked budget is found by the next Add.
func TestSpilledRecordsMoveOnWhenAnotherPartitionLeavesRoom(t *testing.T) {
	b := newBench(t, ByKey, 2, Limits{Concurrency: 4, MaxInFlight: 8, MaxInFlightBytes: 1 << 20, ParkedMax: 8, ParkedMaxBytes: 1 << 20})
	b.add(0, "b")
	b.add(1, "b")
	now := b.fail(2, false)
	for range 5 {
		b.add(1, "b") // all that is common of the parked budget
	}
	for b.offer(0, "b", 0) {
	}
	want(t, "charged in flight", b.PartitionStats(0).InFlight, 6)
	want(t, "room", b.offer(0, "c", 0), false)
	b.begin(now, "b")
	for it := b.Next(now); it != nil; it = b.Next(now) {
		b.Settle(it)
	}
	want(t, "held by the other partition", b.PartitionStats(1), Stats{})
	want(t, "room", b.offer(0, "c", 0), true)
	want(t, "charged to the parked budget", b.PartitionStats(0).ParkedRecords, 6)
}

func TestWhatIsReservedIsRoomForItsOwner(t *testing.T) {
	l := New(ByKey, true, Limits{Concurrency: 8, MaxInFlight: 1000, MaxInFlightBytes: 100_000, ParkedMax: 10, ParkedMaxBytes: 10_000})
	for p := range int32(4) {
		l.Open(p)
	}
	for p := range int32(4) {
		if l.Reserve(p, 25_000) == 0 {
			t.Fatalf("partition %d got no reservation", p)
		}
	}
	for p := range int32(4) {
		if !l.Fits(p, 5_000) {
			t.Errorf("partition %d has no room although it reserved some: every byte is promised to the fetches that wait", p)
		}
	}
}

func TestParkedUseIsThatOfTheFullestPartition(t *testing.T) {
	l := New(ByKey, true, Limits{Concurrency: 1, MaxInFlight: 1000, MaxInFlightBytes: 1 << 20, ParkedMax: 100, ParkedMaxBytes: 1 << 20})
	for p := range int32(10) {
		l.Open(p)
	}
	add := func(n int) {
		for i := range n {
			if _, ok := l.Add(&record.Record{Partition: 3, Offset: int64(i), Key: []byte("bad")}); !ok {
				t.Fatal("no room in flight")
			}
		}
	}
	add(1)
	l.Retry(l.Next(start), start.Add(time.Hour), false)
	// Half of the bound is common, and a tenth of the other half is the partition's own: 55 of 100.
	for _, c := range []struct{ more, percent int }{{0, 1}, {43, 80}, {11, 100}, {100, 100}} {
		add(c.more)
		if got := l.ParkedUse(); got != c.percent {
			t.Errorf("%d more: %d %%, want %d %%", c.more, got, c.percent)
		}
	}
	l.Close(3)
	if got := l.ParkedUse(); got != 0 {
		t.Errorf("%d %% of nothing", got)
	}
}

func TestQuietPartitionsLeaveABusyOneAReservationHoweverSmallTheBound(t *testing.T) {
	const n = 5
	b := newBench(t, ByKey, n, Limits{Concurrency: 4, MaxInFlight: 1000, MaxInFlightBytes: 1, ParkedMax: 10, ParkedMaxBytes: 1})
	for p := range int32(n) {
		want(t, "a byte for each", b.Reserve(p, 1<<20), 1)
	}
	for p := range int32(n) {
		want(t, "its record, while the others ask for more", b.Secure(p, size), true)
		want(t, "a second one above the bound", b.Secure((p+1)%n, size), false)
		b.add(p, "k")
		b.Settle(b.begin(start, "k"))
		want(t, "a byte again", b.Reserve(p, 1<<20), 1)
	}
}
