package harness

import "fmt"

// WaitMembersAtMost waits until no more than that many members are known, whatever state the group is in.
func (b *Broker) WaitMembersAtMost(group string, n int) {
	b.t.Helper()
	Eventually(b.t, Patience, func() (bool, string) {
		ids, state := b.Members(group)
		return len(ids) <= n, fmt.Sprintf("group %s is %s with members %v", group, state, ids)
	})
}
