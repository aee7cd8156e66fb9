package intake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/ledger"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// fake is a Delivery that settles every record when it is admitted, or never while held. It keeps a journal, and fails the test when the intake
// breaks the rules of the interface: offsets that do not ascend, a partition used before Open, a commit asked for beside another.
type fake struct {
	t   *testing.T
	due chan struct{}

	mu      sync.Mutex
	wake    chan struct{} // closed when room was made
	calls   []string
	parts   map[int32]*fakePartition
	room    map[int32]int // how many more records a partition takes; absent: any number
	held    bool          // records are not settled
	drain   func(ctx context.Context)
	pending map[int32]bool    // commits without an outcome
	acked   map[int32]int64   // newest acknowledged commit
	failed  map[int32][]error // outcomes of the others
	most    int64             // what a fetch may bring; 0: what it wants
	snatch  bool              // the room that a reader of partition 0 is told of next goes to somebody else
}

type fakePartition struct {
	Partition
	ledger  *ledger.Ledger
	records []*record.Record
	values  []string
	next    int64
	ends    Ends
	lost    int64
}

func newFake(t *testing.T) *fake {
	return &fake{t: t, due: make(chan struct{}, 1), wake: make(chan struct{}), parts: map[int32]*fakePartition{}, room: map[int32]int{},
		pending: map[int32]bool{}, acked: map[int32]int64{}, failed: map[int32][]error{}}
}

func (f *fake) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	f.calls = append(f.calls, line)
	f.t.Logf("%s %s", time.Now().Format("04:05.000"), line)
}

func (f *fake) Open(p Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("open %d@%d read %d", p.ID, p.Start, p.Read)
	f.parts[p.ID] = &fakePartition{Partition: p, ledger: ledger.New(p.Log, p.Start, p.Restored), next: p.Read}
	f.parts[p.ID].ledger.StartsUnder(p.Epoch)
}

var errClosed = errors.New("partition is closed")

// waitFor blocks until there is room.
func (f *fake) waitFor(ctx context.Context, id int32, take int) error {
	for {
		f.mu.Lock()
		left, bounded := f.room[id]
		if f.parts[id] == nil {
			f.mu.Unlock()
			return errClosed
		}
		if !bounded || left > 0 {
			if bounded {
				f.room[id] -= take
			}
			f.mu.Unlock()
			return nil
		}
		wake := f.wake
		f.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// setRoom scripts how many more records a partition takes.
func (f *fake) setRoom(id int32, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room[id] = n
	close(f.wake)
	f.wake = make(chan struct{})
}

func (f *fake) Reserve(ctx context.Context, id int32, _, want int64) (int64, error) {
	if f.most > 0 {
		want = min(want, f.most)
	}
	return want, f.waitFor(ctx, id, 0)
}

func (f *fake) Release(int32) {}

func (f *fake) Room(ctx context.Context, id int32, _ int64) error {
	err := f.waitFor(ctx, id, 0)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && id == 0 && f.snatch {
		f.snatch, f.room[id] = false, 0
	}
	return err
}

func (f *fake) Admit(ctx context.Context, rec *record.Record) error {
	if err := f.waitFor(ctx, rec.Partition, 1); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.parts[rec.Partition]
	if p == nil {
		return errClosed
	}
	if rec.Offset < p.next {
		f.t.Errorf("partition %d: offset %d admitted after %d was passed", rec.Partition, rec.Offset, p.next)
	}
	p.records, p.values, p.next = append(p.records, rec), append(p.values, string(rec.Value)), rec.Offset+1
	if e := p.ledger.Take(rec.Offset, rec.LeaderEpoch, ledger.LaneHash(rec.Key)); !f.held {
		p.ledger.Settle(e)
	}
	return nil
}

func (f *fake) Advance(id int32, next int64, epoch int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.parts[id]; p != nil {
		p.next = max(p.next, next)
		p.ledger.Advance(next, epoch)
	}
}

func (f *fake) Fetched(id int32, ends Ends) { f.Ends(id, ends) }

func (f *fake) Ends(id int32, ends Ends) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.parts[id]; p != nil {
		p.ends = ends
	}
}

// Stale lists all: a known end is asked for again.
func (f *fake) Stale(time.Duration) (ids []int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.parts {
		ids = append(ids, id)
	}
	return ids
}

func (f *fake) Unsettled(id int32, from int64) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.parts[id].ledger.UnsettledFrom(from)
}

func (f *fake) Lost(id int32, records int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("lost %d: %d", id, records)
	f.parts[id].lost += records
}

func (f *fake) Drain(ctx context.Context, ids []int32) {
	f.mu.Lock()
	f.note("drain %v", sorted(ids))
	drain := f.drain
	f.mu.Unlock()
	if drain != nil {
		drain(ctx)
	}
}

func (f *fake) Close(ids []int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("close %v", sorted(ids))
	for _, id := range ids {
		delete(f.parts, id)
	}
}

func (f *fake) Commits(ids []int32) (commits []Commit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ids != nil {
		f.note("final commit of %v", sorted(ids))
	}
	for id, p := range f.parts {
		if ids != nil && !slices.Contains(ids, id) {
			continue
		}
		if f.pending[id] {
			f.t.Errorf("partition %d: a commit is asked for while another is under way", id)
		}
		if c, changed := p.ledger.Commit(ledger.MaxMetadata); changed {
			f.pending[id] = true
			commits = append(commits, Commit{Partition: id, Log: p.ledger, Commit: c})
		}
	}
	return commits
}

func (f *fake) Committed(c Commit, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("committed %d@%d: %v", c.Partition, c.Offset, err)
	delete(f.pending, c.Partition)
	if err != nil {
		f.failed[c.Partition] = append(f.failed[c.Partition], err)
		return
	}
	f.acked[c.Partition] = c.Offset
	if p := f.parts[c.Partition]; p != nil && p.ledger == c.Log {
		p.ledger.Acked(c.Commit)
	}
}

func (f *fake) CommitDue() <-chan struct{} { return f.due }

// What tests ask for.

func (f *fake) count(id int32) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.parts[id]; p != nil {
		return len(p.records)
	}
	return -1
}

// has says that a partition is open and has admitted so many records since.
func (f *fake) has(id int32, n int) func() bool { return func() bool { return f.count(id) == n } }

func (f *fake) opened(ids ...int32) func() bool {
	return func() bool {
		return !slices.ContainsFunc(ids, func(id int32) bool { return f.count(id) < 0 })
	}
}

// part is a copy of what is known of a partition.
func (f *fake) part(id int32) fakePartition {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.parts[id]
	if p == nil {
		f.t.Fatalf("partition %d is not open; calls: %q", id, f.calls)
	}
	return *p
}

// said counts the calls that begin with a text.
func (f *fake) said(text string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if strings.HasPrefix(c, text) {
			n++
		}
	}
	return n
}

// with runs something under the lock.
func (f *fake) with(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) committed(id int32, offset int64) func() bool {
	return func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		got, ok := f.acked[id]
		return ok && got == offset
	}
}

func sorted(ids []int32) []int32 {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return ids
}
