package harness

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lane is one key of one partition; a null key has no lane.
type lane struct {
	partition int32
	key       string
}

// laneState follows the calls of one key.
type laneState struct {
	offsets []int64       // as produced
	index   map[int64]int // offset to its place in offsets
	last    int           // place of the latest call, -1 before the first
	done    map[int]int64 // place to the event at which it was settled first
	running *Call         // the latest call
}

// orderViolations replays the calls of every key against the order of production.
//
// The rule: a call is for the same record as the call of that key before it (a retry), or for the next record, and then
// the record before must have been settled by an answer given before this call began. Where repeats are allowed a call
// may also go back, from where the same rule goes on. So no record is ever jumped over, and two records of a key are
// never in the handler at once, except that after a crash the cut attempt may still be there.
func orderViolations(calls []Call, records []*kgo.Record, repeats Repeating, settles func(Call) bool) []string {
	if settles == nil {
		settles = func(c Call) bool { return c.Status >= 200 && c.Status < 300 }
	}
	lanes := map[lane]*laneState{}
	unkeyed := map[place]bool{}
	for _, r := range records {
		if r.Key == nil {
			unkeyed[place{r.Partition, r.Offset}] = true
			continue
		}
		id := lane{r.Partition, string(r.Key)}
		s := lanes[id]
		if s == nil {
			s = &laneState{index: map[int64]int{}, last: -1, done: map[int]int64{}}
			lanes[id] = s
		}
		s.index[r.Offset] = len(s.offsets)
		s.offsets = append(s.offsets, r.Offset)
	}
	var violations []string
	for i := range calls {
		c := &calls[i]
		if !c.HasKey {
			if !unkeyed[place{c.Partition, c.Offset}] {
				violations = append(violations, fmt.Sprintf("%s without a key was never produced", c.id()))
			}
			continue
		}
		s := lanes[lane{c.Partition, c.Key}]
		if s == nil {
			violations = append(violations, fmt.Sprintf("%s of key %q was never produced", c.id(), c.Key))
			continue
		}
		at, known := s.index[c.Offset]
		if !known {
			violations = append(violations, fmt.Sprintf("%s of key %q was never produced", c.id(), c.Key))
			continue
		}
		if v := s.check(c, at, repeats); v != "" {
			violations = append(violations, fmt.Sprintf("key %q: %s", c.Key, v))
		}
		s.last, s.running = at, c
		if _, settledBefore := s.done[at]; !settledBefore && c.End > 0 && settles(*c) {
			s.done[at] = c.End
		}
	}
	return violations
}

// check returns what is wrong with a call, if anything.
func (s *laneState) check(c *Call, at int, repeats Repeating) string {
	if before := s.running; before != nil && repeats == Once && (before.End == 0 || before.End > c.Start) {
		return fmt.Sprintf("%s began while %s was in the handler", c.id(), before.id())
	}
	settledAt, settled := s.done[at]
	switch {
	case at > s.last+1:
		return fmt.Sprintf("%s jumped over %d records", c.id(), at-s.last-1)
	case at == s.last+1 && s.last >= 0:
		if end, ok := s.done[s.last]; !ok || end > c.Start {
			return fmt.Sprintf("%s began before offset %d was settled", c.id(), s.offsets[s.last])
		}
	case repeats == Again:
		return ""
	case at < s.last:
		return fmt.Sprintf("%s came after offset %d", c.id(), s.offsets[s.last])
	}
	if repeats == Once && settled && settledAt < c.Start {
		return fmt.Sprintf("%s came again after it was settled", c.id())
	}
	return ""
}

func (c *Call) id() string { return fmt.Sprintf("%d@%d attempt %d", c.Partition, c.Offset, c.Attempt) }
