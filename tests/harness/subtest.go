package harness

import "testing"

// For is the same cluster for a subtest: what fails there fails the subtest, and its clients end with it.
func (b *Broker) For(t testing.TB) *Broker {
	t.Helper()
	c := *b
	return connect(t, &c)
}
