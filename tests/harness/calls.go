package harness

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Calls returns a copy of all calls so far, in the order of their beginning.
func (h *Handler) Calls() []Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Call, len(h.calls))
	for i, c := range h.calls {
		out[i] = *c
	}
	return out
}

// CallsOf returns the calls for one record.
func (h *Handler) CallsOf(r *kgo.Record) []Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []Call
	for _, c := range h.calls {
		if c.Topic == r.Topic && c.Partition == r.Partition && c.Offset == r.Offset {
			out = append(out, *c)
		}
	}
	return out
}

// Count is the number of calls that have begun.
func (h *Handler) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.calls)
}

// Answered is the number of calls that were answered with 2xx.
func (h *Handler) Answered() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.settled
}

// Running is the number of calls in the handler now, MaxRunning the most there ever were, and MaxRunningInPartition the
// most of one partition.
func (h *Handler) Running() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.running
}

// MaxRunning is the most calls that were in the handler at once.
func (h *Handler) MaxRunning() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.most
}

// MaxRunningInPartition is the most calls of one partition that were in the handler at once.
func (h *Handler) MaxRunningInPartition() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mostPart
}

// Connections is the number of TCP connections that were ever made to the handler.
func (h *Handler) Connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conns
}

// WaitCalls waits until at least n calls have begun.
func (h *Handler) WaitCalls(n int) {
	h.t.Helper()
	Eventually(h.t, Patience, func() (bool, string) {
		got := h.Count()
		return got >= n, fmt.Sprintf("%d of %d calls", got, n)
	})
}

// WaitSettled waits until every record was answered with 2xx at least once.
func (h *Handler) WaitSettled(records []*kgo.Record) {
	h.t.Helper()
	h.WaitSettledWithin(records, Patience)
}

// WaitSettledWithin is WaitSettled for long lists.
func (h *Handler) WaitSettledWithin(records []*kgo.Record, timeout time.Duration) {
	h.t.Helper()
	Eventually(h.t, timeout, func() (bool, string) {
		// Counting is cheap; looking at every call is done only once it can succeed.
		if got := h.Answered(); got < len(records) {
			return false, fmt.Sprintf("%d of %d records answered", got, len(records))
		}
		missing := h.Missing(records)
		return len(missing) == 0, fmt.Sprintf("%d records not settled, among them %v", len(missing), head(missing))
	})
}

type place struct {
	partition int32
	offset    int64
}

// Missing lists the records that were never answered with 2xx.
func (h *Handler) Missing(records []*kgo.Record) []string {
	settled := map[place]bool{}
	h.mu.Lock()
	for _, c := range h.calls {
		if c.Status >= 200 && c.Status < 300 {
			settled[place{c.Partition, c.Offset}] = true
		}
	}
	h.mu.Unlock()
	var missing []string
	for _, r := range records {
		if !settled[place{r.Partition, r.Offset}] {
			missing = append(missing, ID(r))
		}
	}
	return missing
}

// Repeats is the number of calls that were answered with 2xx for records that already had been.
func (h *Handler) Repeats() int {
	seen := map[place]bool{}
	repeats := 0
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.calls {
		if c.Status < 200 || c.Status > 299 {
			continue
		}
		p := place{c.Partition, c.Offset}
		if seen[p] {
			repeats++
		}
		seen[p] = true
	}
	return repeats
}

// CheckOrder verifies the order of each key over all calls so far, for records in the order of production. Unknown
// records are errors. Settles tells which answers settle a record; nil means 2xx.
func (h *Handler) CheckOrder(t testing.TB, records []*kgo.Record, repeats Repeating, settles func(Call) bool) {
	t.Helper()
	violations := orderViolations(h.Calls(), records, repeats, settles)
	for _, v := range violations[:min(len(violations), 10)] {
		t.Error(v)
	}
	if n := len(violations); n > 10 {
		t.Errorf("and %d more", n-10)
	}
}

// Repeating says whether a key may go back to an earlier record.
type Repeating bool

const (
	// Once is for a sidecar that neither crashes nor gives partitions away: nothing that is settled comes again.
	Once Repeating = false
	// Again is for crashes and rebalances: a key may resume at an earlier record, in order from there.
	Again Repeating = true
)

func head(s []string) []string { return s[:min(len(s), 10)] }
