package group

import "time"

// State is a snapshot of the membership.
type State struct {
	Joined     bool  // there is an assignment, be it empty
	Generation int32 // -1 before it
	MemberID   string
	LastHeard  time.Time // when the coordinator last acknowledged a heartbeat, a join or a sync; zero: never
}

// State gives a snapshot.
func (m *Member) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return State{Joined: m.settled.generation >= 0, Generation: m.settled.generation, MemberID: m.id.member, LastHeard: m.LastHeard()}
}

// Joined says whether there is an assignment, be it empty, that has not been lost since. It stays true while the group rebalances.
func (m *Member) Joined() bool { return m.State().Joined }

// LastHeard is when the coordinator last acknowledged us; zero: never.
func (m *Member) LastHeard() time.Time { return stamp(m.lastHeard.Load()) }

// Progress is when the loop last went round. It does at least every second while Run runs, whatever the brokers do; zero before.
func (m *Member) Progress() time.Time { return stamp(m.turned.Load()) }

// MayStart is the lease: whether an attempt may begin at now, which should be the time of asking. It is false from two seconds before the end
// of the session, counted from when the last acknowledged heartbeat was sent, by the monotonic and by the wall clock; until the first heartbeat
// of a membership is acknowledged, a round trip after Owner.Assigned; while the place in the group is in doubt during a rebalance; and while
// there is no membership. It costs a few atomic loads.
func (m *Member) MayStart(now time.Time) bool { return m.lease.mayStart(now) }

func stamp(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

func (m *Member) heard() { m.lastHeard.Store(m.cfg.Now().UnixNano()) }

func (m *Member) identity() identity {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id
}

func (m *Member) setID(id identity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id = id
}
