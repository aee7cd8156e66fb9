package group

import (
	"context"
	"time"
)

// drain is one Owner.Revoke under way.
type drain struct {
	partitions []int32
	ctx        context.Context
	cancel     context.CancelCauseFunc
}

// startDrain asks the Owner to let partitions go. The loop is told when it has.
func (m *Member) startDrain(partitions []int32, parent context.Context, budget time.Duration) {
	ctx, release := parent, context.CancelFunc(func() {})
	if budget > 0 {
		ctx, release = context.WithTimeoutCause(parent, budget, errDrainOver)
	}
	d := &drain{partitions: partitions}
	d.ctx, d.cancel = context.WithCancelCause(ctx)
	m.drains[d] = struct{}{}
	go func() {
		m.owner.Revoke(d.ctx, d.partitions)
		d.cancel(nil)
		release()
		m.drained <- d // received in any case: Run returns only when no drain is left
	}()
}

// onDrained brings in that the Owner has let partitions go.
func (m *Member) onDrained(ctx context.Context, d *drain) {
	delete(m.drains, d)
	m.mu.Lock()
	again, freed := m.parts.drained(d.partitions)
	m.mu.Unlock()
	if len(again) > 0 {
		m.owner.Assigned(ctx, again)
	}
	// The round under way, if any, has claimed them; unless it gives them back to us, another one must say that they are free.
	m.freed = append(m.freed, freed...)
}

// withdraw begins the end: no join any more but to say that we are leaving, and everything is let go. The returned func ends the drain's
// context; it is called when nothing drains any more.
func (m *Member) withdraw(ctx context.Context) context.CancelFunc {
	m.leaving = true
	m.want = ""
	m.learnID()
	aborted := m.abortRound()
	m.mu.Lock()
	_, revoked := m.parts.take(nil)
	m.mu.Unlock()

	until, release := m.finalDrain(ctx)
	if deadline, ok := until.Deadline(); ok && m.cfg.StopRest > 0 {
		m.stopBy = deadline.Add(m.cfg.StopRest * 7 / 8) // and a little for ending the process
	}
	for d := range m.drains { // whatever drains already has no longer than the rest
		context.AfterFunc(until, func() { d.cancel(errDrainOver) })
	}
	if len(revoked) > 0 {
		m.startDrain(revoked, until, 0)
	}
	if aborted && len(m.drains) > 0 {
		// The aborted join may have brought a generation that we know nothing of, in which our last commits would be refused.
		m.again("leaving", true)
	}
	return release
}

func (m *Member) finalDrain(ctx context.Context) (context.Context, context.CancelFunc) {
	if m.cfg.DrainContext != nil {
		return m.cfg.DrainContext()
	}
	return context.WithTimeoutCause(context.WithoutCancel(ctx), m.cfg.DrainTimeout, errDrainOver)
}

// learnID gives the first join of a dynamic member the moment that the coordinator needs to answer with an id: cut off before, it would leave
// an id behind that the group waits for until the session ends, and that we could not take back.
func (m *Member) learnID() {
	if m.round == nil || m.round.member != "" || m.cfg.InstanceID != "" {
		return
	}
	limit := time.NewTimer(time.Second)
	defer limit.Stop()
	select {
	case o := <-m.outcome:
		m.setID(identity{member: o.id.member, generation: -1})
	case j := <-m.joined:
		m.setID(j.id)
	case <-limit.C:
	}
}
