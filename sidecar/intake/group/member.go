package group

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

// Member is one membership in one consumer group. Run may be called once; everything else is safe for concurrent use at any time.
type Member struct {
	cfg        Config
	owner      Owner
	log        *slog.Logger
	complaints complaints
	where      coordinator
	lease      *lease

	joins   *link         // of the round under way
	beats   *link         // of the heartbeats
	commits *link         // of whoever holds turn
	turn    chan struct{} // holds a token while a commit or an offset fetch is under way
	ended   atomic.Bool   // Run has returned: connections are not kept any more

	// Reports to the loop. Unbuffered, so that nothing is reported by a goroutine that has ended.
	beat    chan beat
	joined  chan joined
	outcome chan outcome
	drained chan *drain
	looked  chan cluster.Topic
	refused chan refusal // buffered by one and never waited for: a heartbeat will tell the same

	beatNow chan struct{} // asks for a heartbeat; buffered by one

	mu      sync.Mutex
	id      identity // for heartbeats: since the last answered join
	settled identity // for commits: since the last assignment; generation -1: none
	parts   holdings
	// membership ends when everything is lost, which begins another one.
	membership    context.Context
	endMembership context.CancelFunc
	topic         *cluster.Topic // as last seen

	lastHeard atomic.Int64 // ns since 1970
	turned    atomic.Int64 // ns since 1970, when the loop last went round

	// What follows belongs to the loop.
	round       *round
	want        string // why another round is due; empty: it is not
	notBefore   time.Time
	failures    int  // rounds in a row without an assignment
	asked       bool // a join has been sent since the last assignment
	everSettled bool
	leader      bool
	basis       basis
	doubted     bool      // one look already differed from basis
	recheck     time.Time // when partitions that wait for an owner are looked at again; zero: none wait
	preparing   bool      // heartbeats say that a rebalance waits for joins
	calm        time.Time // sending of the newest request that the coordinator answered without a rebalance waiting for us
	gathering   time.Time // sending of the newest heartbeat that was answered during one
	drains      map[*drain]struct{}
	freed       []int32 // partitions that were let go since the newest join, which still claimed them
	leaving     bool
	stopBy      time.Time // when the group must have been left; zero: no such time
}

// New makes a member; it does no I/O.
func New(cfg Config, owner Owner) *Member {
	cfg = cfg.withDefaults()
	m := &Member{
		cfg: cfg, owner: owner,
		lease: newLease(cfg.Now(), cfg.SessionTimeout),
		turn:  make(chan struct{}, 1),
		beat:  make(chan beat), joined: make(chan joined), outcome: make(chan outcome), drained: make(chan *drain), looked: make(chan cluster.Topic),
		refused: make(chan refusal, 1), beatNow: make(chan struct{}, 1),
		id: nobodyYet, settled: nobodyYet,
		drains: map[*drain]struct{}{},
		want:   "start",
	}
	m.membership, m.endMembership = context.WithCancel(context.Background())
	m.log = cfg.Logger.With(slog.String("group", cfg.GroupID))
	m.joins, m.beats, m.commits = &link{m: m}, &link{m: m}, &link{m: m}
	return m
}

// Run joins the group and stays in it until ctx is done: then everything is revoked under DrainContext, heartbeats go on until that has
// returned, and the group is left (not by a static member, whose place is kept until it is back or its session ends). It returns nil then,
// and an error only for what waiting does not mend; all partitions have been revoked or lost by the time it returns.
func (m *Member) Run(ctx context.Context) error {
	// The membership outlives ctx: draining happens inside of it.
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	m.log.InfoContext(ctx, "joining the group", slog.String("topic", m.cfg.Topic), slog.String("client_id", m.cfg.ClientID), slog.String("instance", m.cfg.InstanceID))
	var background sync.WaitGroup
	background.Go(func() { m.heartbeats(inner) })
	background.Go(func() { m.watch(inner) })
	err := m.loop(ctx, inner)
	m.abortRound()
	if err != nil {
		m.lose(inner, "the membership has ended")
	}
	stop()
	background.Wait()
	for len(m.drains) > 0 {
		m.onDrained(inner, <-m.drained)
	}
	m.lose(inner, "the membership has ended")
	if err == nil && m.cfg.InstanceID == "" {
		m.leave(context.WithoutCancel(ctx), m.identity(), m.leaveTime())
	}
	m.joins.close()
	m.ended.Store(true)
	select {
	case m.turn <- struct{}{}:
		m.releaseTurn()
	default: // whoever commits right now closes the connection
	}
	return err
}

// loop is where everything is decided; it never waits for the network.
func (m *Member) loop(ctx, inner context.Context) (err error) {
	stopping := ctx.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for err == nil {
		now := m.cfg.Now()
		m.turned.Store(now.UnixNano())
		m.checkLease(inner, now)
		if m.leaving && len(m.drains) == 0 {
			return nil
		}
		m.review(now)
		if m.want != "" && m.round == nil && !now.Before(m.notBefore) && (!m.leaving || m.owning()) {
			reason := m.want
			m.want = ""
			m.startRound(inner, reason)
		}
		timer.Reset(m.nextLook(now))
		select {
		case <-stopping:
			stopping = nil
			var release context.CancelFunc
			release = m.withdraw(ctx)
			defer release()
		case b := <-m.beat:
			err = m.onBeat(inner, b)
		case j := <-m.joined:
			m.onJoined(j)
		case o := <-m.outcome:
			err = m.onOutcome(inner, o)
		case d := <-m.drained:
			m.onDrained(inner, d)
		case t := <-m.looked:
			m.onLook(t)
		case r := <-m.refused:
			err = m.onRefused(inner, r)
		case <-timer.C:
		}
	}
	return err
}

// review asks for a round where one is due that no event has asked for.
func (m *Member) review(now time.Time) {
	switch {
	case m.leaving || m.want != "" || m.round != nil:
	case len(m.freed) > 0:
		m.want = "partitions were let go"
	case !m.recheck.IsZero() && !now.Before(m.recheck):
		m.recheck = time.Time{}
		m.want = "partitions still wait for an owner"
	}
}

// nextLook is when the loop turns again though nothing happens: every second, so that its progress shows and a suspended machine is noticed
// by the wall clock soon after it is back.
func (m *Member) nextLook(now time.Time) time.Duration {
	d := time.Second
	if m.settled.generation >= 0 {
		d = min(d, m.lease.left(now))
	}
	if m.want != "" && m.round == nil {
		d = min(d, m.notBefore.Sub(now))
	}
	return max(d, time.Millisecond)
}

// checkLease ends the membership when the coordinator may have given our partitions away.
func (m *Member) checkLease(ctx context.Context, now time.Time) {
	if m.settled.generation < 0 || m.lease.left(now) > 0 {
		return
	}
	// A join that is under way says what we owned; what comes of it would be taken for kept.
	m.abortRound()
	m.lose(ctx, "the coordinator has not acknowledged a heartbeat in time")
	m.again("the lease has run out", true)
}

// owning says whether there is anything that the leader must know as ours.
func (m *Member) owning() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.parts.claims()) > 0
}

// again asks for another round: soon, if that is likely to succeed and has not failed several times, else after a backoff.
func (m *Member) again(reason string, soon bool) {
	m.want = reason
	m.failures++
	m.notBefore = m.cfg.Now()
	if !soon || m.failures > 3 {
		m.notBefore = m.notBefore.Add(m.cfg.backoff(m.failures))
	}
}

// lose takes everything from the Owner at once. The member id stays.
func (m *Member) lose(ctx context.Context, reason string) {
	m.mu.Lock()
	lost := m.parts.lose()
	m.settled = nobodyYet
	m.endMembership()
	m.membership, m.endMembership = context.WithCancel(context.Background())
	m.mu.Unlock()
	m.lease.close()
	m.recheck, m.preparing, m.leader, m.freed = time.Time{}, false, false, nil
	for d := range m.drains {
		d.cancel(ErrLost)
	}
	if len(lost) > 0 {
		m.log.WarnContext(ctx, "partitions are lost", slog.String("reason", reason), slog.Any("partitions", lost))
		m.owner.Lost(lost)
	}
}

// expelled is the coordinator's word that it does not know us: nothing is ours any more, and the next join asks for a new id.
func (m *Member) expelled(ctx context.Context, reason string) {
	m.abortRound()
	m.lose(ctx, reason)
	m.setID(nobodyYet)
	m.again(reason, true)
}

// onJoined brings in that the coordinator counts us into a new generation whose assignment is being made.
func (m *Member) onJoined(j joined) {
	m.heard()
	m.setID(j.id)
	// It waits for our SyncGroup as long as it waited for joins, and began to when the join was answered: not before our last heartbeat.
	from := j.sent
	if m.gathering.After(from) {
		from = m.gathering
	}
	m.lease.blockAt(from.Add(shorten(m.cfg.RebalanceTimeout)))
}

// onOutcome ends a round.
func (m *Member) onOutcome(ctx context.Context, o outcome) error {
	r := m.round
	m.abortRound() // it has nothing more to say
	if o.id.member != "" {
		m.mu.Lock()
		m.id.member = o.id.member
		m.mu.Unlock()
	}
	if o.err == nil {
		m.settle(ctx, r, o)
		return nil
	}
	switch code := codeOf(o.err); code {
	case memberIDRequired:
		m.again(r.reason, true)
	case unknownMember:
		m.expelled(ctx, "the coordinator does not know this member")
	case rebalanceInProgress, illegalGeneration:
		// The group has moved on, and we with it: what we own was said in our join and is nobody else's.
		m.again(r.reason, true)
	default:
		if fatal := m.hopeless(o.err); fatal != nil {
			return fatal
		}
		m.complain(ctx, "joining the group failed, trying again", o.err)
		m.again(r.reason, false)
	}
	return nil
}

// settle brings in a new assignment.
func (m *Member) settle(ctx context.Context, r *round, o outcome) {
	now := m.cfg.Now()
	m.heard()
	if m.lease.running() {
		m.lease.unblock()
	} else {
		m.lease.open(o.sent)
		m.lease.block() // until the coordinator has acknowledged a heartbeat
	}
	if m.lease.left(now) <= 0 {
		// The process stood still while the answer lay in its socket: the coordinator has given up on us since.
		m.lose(ctx, "the assignment was received too late")
		m.again(r.reason, true)
		return
	}
	select {
	case m.beatNow <- struct{}{}:
	default:
	}
	var added, revoked []int32
	m.mu.Lock()
	m.id, m.settled = o.id, o.id
	if !m.leaving { // else: what we are given goes to others when we have left
		added, revoked = m.parts.take(o.assignment.partitions)
	}
	m.mu.Unlock()
	back := m.cfg.InstanceID != "" && !m.everSettled
	m.asked, m.everSettled, m.preparing, m.failures, m.calm = false, true, false, 0, o.sent
	m.leader, m.basis, m.doubted, m.recheck = o.leader, o.assignment.basis, false, time.Time{}
	if m.basis.withheld > 0 {
		// Their owners join again when they have let go. One that ends meanwhile and comes back under its static id is answered with its former
		// assignment and wakes nobody; so it looks at once, since it may be the one that all wait for, and the others do some time later.
		switch {
		case back:
			m.recheck = now
		case m.leader:
			m.recheck = now.Add(m.cfg.RebalanceTimeout)
		default:
			m.recheck = now.Add(m.cfg.RebalanceTimeout * 3 / 2)
		}
	}
	m.freed = slices.DeleteFunc(m.freed, func(p int32) bool { return slices.Contains(o.assignment.partitions, p) })
	m.log.InfoContext(ctx, "group generation begins", slog.String("reason", r.reason), slog.Int("generation", int(o.id.generation)), slog.String("member", o.id.member),
		slog.Bool("leader", o.leader), slog.Any("assigned", o.assignment.partitions), slog.Any("added", added), slog.Any("revoked", revoked), slog.Int("withheld", int(m.basis.withheld)))
	if m.basis.known && m.basis.topic != m.cfg.Topic {
		m.log.ErrorContext(ctx, "the group is led by a subscription to another topic, nothing is assigned here: give each subscription a group.id of its own", slog.String("topic", m.basis.topic))
	}
	if m.cfg.OnRebalance != nil {
		m.cfg.OnRebalance(o.id.generation, r.reason)
	}
	if len(revoked) > 0 {
		m.startDrain(revoked, context.WithoutCancel(ctx), m.cfg.drainBudget())
	}
	if len(added) > 0 {
		m.owner.Assigned(ctx, added)
	}
}

// onLook compares the topic with what partitions were given out from. The leader acts at once, others when a second look still differs: their
// broker may lag behind, but the leader may also not know that it leads.
func (m *Member) onLook(topic cluster.Topic) {
	if m.leaving || m.settled.generation < 0 || m.round != nil || !m.basis.differs(topic) {
		m.doubted = false
		return
	}
	if !m.leader && !m.doubted {
		m.doubted = true
		return
	}
	m.doubted = false
	m.want = "the topic has changed"
}

// leaveTimeout is what LeaveGroup may take.
const leaveTimeout = 2 * time.Second

// leaveTime is what it may take at the end of Run: a drain that needed its time, and a last commit that nobody answered, leave less.
func (m *Member) leaveTime() time.Duration {
	if m.stopBy.IsZero() {
		return leaveTimeout
	}
	return min(leaveTimeout, m.stopBy.Sub(m.cfg.Now()))
}

// leave tells the coordinator that a member is gone, so that the others need not wait for its session to end. It is best effort.
func (m *Member) leave(ctx context.Context, id identity, limit time.Duration) {
	if id.member == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, _, err := m.joins.call(ctx, limit, protocol.LeaveGroup, leaveVersion, encodeLeave(m.cfg.GroupID, id.member))
	if err == nil {
		var code int16
		if code, err = decodeLeave(answer); err == nil {
			err = codeError(code)
		}
	}
	if err != nil {
		m.log.InfoContext(ctx, "leaving the group was not acknowledged, the others wait for the session to end", slog.Any("err", err))
		return
	}
	m.log.InfoContext(ctx, "left the group")
}
