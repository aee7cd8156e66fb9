package lanes

import (
	"fmt"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

var start = time.Unix(1_700_000_000, 0)

// limits are wide enough not to matter, but for the slots.
func limits(slots int) Limits {
	return Limits{Concurrency: slots, MaxInFlight: 10000, MaxInFlightBytes: 64 << 20, ParkedMax: 100000, ParkedMaxBytes: 64 << 20}
}

// bench is one set of lanes with its open partitions 0..n-1 and a log per partition.
type bench struct {
	*Lanes
	t       *testing.T
	offsets map[int32]int64
}

func newBench(t *testing.T, o Ordering, partitions int, limits Limits) *bench {
	b := &bench{New(o, true, limits), t, map[int32]int64{}}
	for p := range int32(partitions) {
		b.Open(p)
	}
	return b
}

// record makes the next record of a partition; its size is 256 + 1 + value.
func (b *bench) record(p int32, key string, value int) *record.Record {
	b.offsets[p]++
	return &record.Record{Partition: p, Offset: b.offsets[p], Key: []byte(key), Value: make([]byte, value)}
}

func (b *bench) offer(p int32, key string, value int) bool {
	b.t.Helper()
	_, ok := b.Add(b.record(p, key, value))
	return ok
}

func (b *bench) add(p int32, keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		if !b.offer(p, key, 0) {
			b.t.Fatalf("no room for key %q of partition %d: %+v", key, p, b.Stats())
		}
	}
}

// begin takes the next item and checks its key.
func (b *bench) begin(now time.Time, key string) *Item {
	b.t.Helper()
	it := b.Next(now)
	if it == nil || string(it.Record.Key) != key {
		b.t.Fatalf("next is %v, want key %q", it, key)
	}
	return it
}

func (b *bench) idle(now time.Time) {
	b.t.Helper()
	if it := b.Next(now); it != nil {
		b.t.Fatalf("key %q begins, want nothing", it.Record.Key)
	}
}

// fail begins n first attempts that end without success; their next ones are due a second later.
func (b *bench) fail(n int, slow bool) (due time.Time) {
	b.t.Helper()
	due = start.Add(time.Second)
	for range n {
		if !b.Retry(b.Next(start), due, slow) {
			b.t.Fatal("retry of a running item is refused")
		}
	}
	return due
}

// all begins whatever may begin.
func (b *bench) all(now time.Time) (begun []*Item) {
	for it := b.Next(now); it != nil; it = b.Next(now) {
		begun = append(begun, it)
	}
	return begun
}

func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func keys(prefix string, n int) []string {
	k := make([]string, n)
	for i := range k {
		k[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return k
}

func TestRecordsOfAKeyRunOneAtATimeInOrder(t *testing.T) {
	b := newBench(t, ByKey, 1, limits(8))
	b.add(0, "a", "a", "a")
	for offset := int64(1); offset <= 3; offset++ {
		it := b.begin(start, "a")
		want(t, "offset", it.Record.Offset, offset)
		b.idle(start)
		want(t, "retry", b.Retry(it, start.Add(time.Second), false), true)
		b.idle(start)
		want(t, "same item", b.begin(start.Add(time.Second), "a"), it)
		want(t, "settle", b.Settle(it), true)
	}
	want(t, "stats", b.Stats(), Stats{})
}

func TestLaneIsTheKeyThePartitionOrTheRecord(t *testing.T) {
	for _, tc := range []struct {
		name      string
		ordering  Ordering
		nullAlone bool
		keys      [][]byte
		parallel  int
	}{
		{"keys", ByKey, true, [][]byte{[]byte("a"), []byte("b"), []byte("a")}, 2},
		{"an empty key is a key", ByKey, true, [][]byte{{}, {}, []byte("a")}, 2},
		{"null keys apart from the empty one", ByKey, true, [][]byte{nil, {}, nil}, 3},
		{"null key given as the empty one", ByKey, false, [][]byte{nil, {}, nil}, 1},
		{"partition", ByPartition, true, [][]byte{nil, []byte("a"), []byte("b")}, 1},
		{"none", None, true, [][]byte{[]byte("a"), []byte("a"), nil}, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := New(tc.ordering, tc.nullAlone, limits(64))
			for p := range int32(2) {
				l.Open(p)
				for i, key := range tc.keys {
					if _, ok := l.Add(&record.Record{Partition: p, Offset: int64(i), Key: key}); !ok {
						t.Fatal("no room")
					}
				}
			}
			for l.Next(start) != nil {
			}
			want(t, "parallel in both partitions", l.RunningTotal(), 2*tc.parallel)
		})
	}
}

func TestNullKeysAreLanesOfTheirOwn(t *testing.T) {
	l := New(ByKey, true, limits(8))
	l.Open(0)
	for i := range int64(3) {
		l.Add(&record.Record{Offset: i})
	}
	first := l.Next(start)
	l.Retry(first, start.Add(time.Hour), false)
	for _, offset := range []int64{1, 2} {
		it := l.Next(start)
		want(t, "offset beside a failing null key", it.Record.Offset, offset)
		want(t, "settled", l.Settle(it), true)
	}
	want(t, "parked", l.Stats().ParkedRecords, 1)
}

func TestSlowKeyDelaysNoOtherKey(t *testing.T) {
	b := newBench(t, ByKey, 1, limits(2))
	b.add(0, "slow", "slow", "slow")
	for i := range 100 {
		b.add(0, fmt.Sprint(i))
	}
	slow := b.begin(start, "slow")
	for i := range 100 {
		b.Settle(b.begin(start, fmt.Sprint(i)))
	}
	b.idle(start)
	b.Settle(slow)
	b.begin(start, "slow")
}

func TestFailingKeyDelaysNoOtherKey(t *testing.T) {
	b := newBench(t, ByKey, 1, limits(2))
	b.add(0, "bad", "bad")
	now := start
	bad := 0
	for i := range 200 {
		b.add(0, fmt.Sprint(i))
		now = now.Add(time.Millisecond)
		for _, it := range b.all(now) {
			if string(it.Record.Key) == "bad" {
				b.Retry(it, now.Add(time.Millisecond), false)
				bad++
			} else {
				b.Settle(it)
			}
		}
		if ready := b.Stats().Ready; ready > 1 {
			t.Fatalf("%d healthy keys wait behind the failing one", ready)
		}
	}
	want(t, "the failing key is tried again all the while", bad > 50, true)
}

func TestWaitingRetryHoldsNoSlot(t *testing.T) {
	b := newBench(t, ByKey, 1, limits(1))
	b.add(0, keys("bad", 50)...)
	due := start.Add(time.Minute)
	for range 50 {
		b.Retry(b.Next(start), due, false)
	}
	want(t, "running", b.RunningTotal(), 0)
	want(t, "waiting", b.Stats().Waiting, 50)
	b.add(0, "good")
	b.Settle(b.begin(start, "good"))
	b.idle(start)
	at, ok := b.Wake()
	want(t, "wake", at, due)
	want(t, "wake", ok, true)
	b.Settle(b.begin(due, "bad0"))
}

func TestRetriesHoldAtMostAQuarterOfTheSlots(t *testing.T) {
	for _, tc := range []struct{ slots, quarter int }{{2, 1}, {3, 1}, {4, 1}, {7, 1}, {8, 2}, {64, 16}, {100, 25}} {
		t.Run(fmt.Sprint(tc.slots), func(t *testing.T) {
			b := newBench(t, ByKey, 1, limits(tc.slots))
			b.add(0, keys("bad", 200)...)
			due := b.fail(200, false)
			b.add(0, keys("new", 200)...)
			b.all(due)
			s := b.Stats()
			want(t, "running", s.Running, tc.slots)
			want(t, "running retries", s.RunningRetries, tc.quarter)
		})
	}
}

func TestRetriesUseAllSlotsWhileNothingElseIsReady(t *testing.T) {
	b := newBench(t, ByKey, 1, limits(64))
	b.add(0, keys("bad", 200)...)
	due := b.fail(200, false)
	running := b.all(due)
	want(t, "running retries", b.Stats().RunningRetries, 64)

	b.add(0, keys("new", 200)...)
	for _, it := range running[:48] {
		b.Settle(it)
		if next := b.Next(due); next.Begun != 1 {
			t.Fatalf("a retry begins, though %d run and first attempts are ready", b.Stats().RunningRetries)
		}
	}
	want(t, "running retries once first attempts came", b.Stats().RunningRetries, 16)
}

func TestHangingKeysCannotTakeAllSlots(t *testing.T) {
	b := newBench(t, ByKey, 1, limits(64))
	b.add(0, keys("hanging", 70)...)
	now := b.fail(70, true)
	hanging := b.all(now) // nothing else is ready
	if n := len(hanging); n == 0 || n > 16 {
		t.Fatalf("%d hanging keys run, want at most a quarter of 64", n)
	}
	if _, ok := b.Wake(); ok {
		t.Fatal("wake though only hanging keys wait and their slots are taken: a timer would spin")
	}

	b.add(0, keys("new", 100)...)
	want(t, "first attempts beside them", len(b.all(now)) >= 48, true)

	// One after the other they hang again, and never hold more than that.
	for i := range 200 {
		b.Retry(hanging[0], now, true)
		hanging = append(hanging[1:], b.all(now)...)
		if n := b.Stats().RunningRetries; n > 16 {
			t.Fatalf("round %d: %d retries run", i, n)
		}
	}
}

func TestRecoveringKeyPassesHangingOnes(t *testing.T) {
	b := newBench(t, ByKey, 1, limits(64))
	b.add(0, keys("hanging", 70)...)
	b.fail(70, true)
	b.add(0, "recovering")
	now := b.fail(1, false)
	b.add(0, keys("new", 200)...)
	found := false
	for _, it := range b.all(now) {
		found = found || string(it.Record.Key) == "recovering"
	}
	want(t, "a key that is quick to answer gets a slot beside keys that hang", found, true)
}

func TestFewSlotsAlternateFirstAndFurtherAttempts(t *testing.T) {
	b := newBench(t, ByKey, 1, limits(1))
	b.add(0, "bad")
	bad := b.begin(start, "bad")
	b.Retry(bad, start, false)
	b.add(0, keys("new", 5)...)
	var order []string
	for range 10 {
		it := b.Next(start)
		order = append(order, string(it.Record.Key))
		if it == bad {
			b.Retry(it, start, false)
		} else {
			b.Settle(it)
		}
	}
	want(t, "order", fmt.Sprint(order), "[bad new0 bad new1 bad new2 bad new3 bad new4]")
}

func TestLanesAreServedInTheOrderTheyBecameReady(t *testing.T) {
	b := newBench(t, ByKey, 2, limits(1))
	b.add(0, "a", "a", "a", "a")
	b.add(1, "b")
	b.add(0, "c")
	for _, key := range []string{"a", "b", "c", "a", "a", "a"} {
		b.Settle(b.begin(start, key))
	}
}

func TestDueRetriesAreServedInTheOrderTheyBecameDue(t *testing.T) {
	b := newBench(t, ByKey, 1, limits(64))
	b.add(0, "a", "b", "c", "d")
	for i, seconds := range []int{3, 1, 2, 1} {
		b.Retry(b.Next(start), start.Add(time.Duration(seconds)*time.Second), i%2 == 0)
	}
	now := start.Add(time.Minute)
	for _, key := range []string{"b", "d", "c", "a"} {
		b.begin(now, key)
	}
}

func TestHurryWakesEveryWaitingLane(t *testing.T) {
	b := newBench(t, ByKey, 1, limits(64))
	b.add(0, keys("k", 10)...)
	for i := range 10 {
		b.Retry(b.Next(start), start.Add(time.Duration(10-i)*time.Minute), i%3 == 0)
	}
	soon := start.Add(90 * time.Second)
	b.Hurry(func(*Item, time.Time) time.Time { return soon })
	at, _ := b.Wake()
	want(t, "what was due sooner stays", at, start.Add(time.Minute))
	b.idle(start)
	want(t, "begun", len(b.all(soon)), 10)
}

func TestHurryAsksForEachHead(t *testing.T) {
	b := newBench(t, ByKey, 1, limits(64))
	b.add(0, keys("k", 10)...)
	for range 10 {
		b.Retry(b.Next(start), start.Add(time.Minute), false)
	}
	b.Hurry(func(it *Item, due time.Time) time.Time {
		if it.Record.Offset%2 == 0 {
			return due
		}
		return start.Add(time.Duration(10-it.Record.Offset) * time.Second) // the last one first
	})
	for _, offset := range []int64{9, 7, 5, 3, 1} {
		now := start.Add(time.Duration(10-offset) * time.Second)
		want(t, "hurried head", b.Next(now).Record.Offset, offset)
		b.idle(now)
	}
	want(t, "begun when the others are due", len(b.all(start.Add(time.Minute))), 5)
}

func TestAbandonedAttemptGoesBackWhereItWas(t *testing.T) {
	b := newBench(t, ByKey, 1, limits(1))
	b.add(0, "a", "b")
	a := b.begin(start, "a")
	want(t, "abandon", b.Abandon(a), true)
	want(t, "parked", b.Stats().ParkedKeys, 0)
	want(t, "first in line again", b.begin(start, "a"), a)
	now := start.Add(time.Second)
	b.Retry(a, now, true)
	b.Settle(b.begin(start, "b"))

	b.begin(now, "a")
	b.Abandon(a)
	at, ok := b.Wake()
	want(t, "due as before", at, now)
	want(t, "due as before", ok, true)
	want(t, "attempts begun", b.begin(now, "a").Begun, 4)
	want(t, "age runs from the first attempt", a.FirstAttempt, start)
}
