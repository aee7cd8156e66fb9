package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// round is one JoinGroup and the SyncGroup after it, on a goroutine of its own: the first blocks until every member has joined, the second
// until the leader has assigned.
type round struct {
	reason string
	ask    subscription
	member string // our id, empty: a new one is wanted
	cancel context.CancelFunc
	done   chan struct{}
}

// joined is the report in the middle of a round: we are in the generation, and heartbeats are due.
type joined struct {
	id   identity
	sent time.Time
}

// outcome is the report at the end of a round.
type outcome struct {
	id         identity // the member id is set as soon as the coordinator has given one, also with an error
	sent       time.Time
	leader     bool
	assignment assignment
	err        error // as the coordinator gave it, a kafka.Error, or why it could not be asked
}

// startRound begins a round with what we own now. The loop calls it, and only when no other round is under way.
func (m *Member) startRound(ctx context.Context, reason string) {
	m.mu.Lock()
	r := &round{
		reason: reason, member: m.id.member, done: make(chan struct{}),
		// A static member stops without leaving: its partitions wait for it, and what a rebalance gives it now is what it finds when it is back.
		ask: subscription{topic: m.cfg.Topic, owned: m.parts.claims(), generation: m.settled.generation, leaving: m.leaving && m.cfg.InstanceID == ""},
	}
	m.mu.Unlock()
	ctx, r.cancel = context.WithCancel(ctx)
	m.round, m.asked, m.freed = r, true, nil
	go func() {
		defer close(r.done)
		o := m.play(ctx, r)
		// A connection that is idle until the next rebalance may be dead by then without anybody knowing, and a join has no short timeout.
		m.joins.close()
		select {
		case m.outcome <- o:
		case <-ctx.Done():
		}
	}()
}

// abortRound ends the round under way, if any, and waits until it has ended: after that nothing of it is reported any more. The coordinator
// may or may not have got its join.
func (m *Member) abortRound() (aborted bool) {
	if m.round == nil {
		return false
	}
	m.round.cancel()
	<-m.round.done
	m.round = nil
	return true
}

// play is a round.
func (m *Member) play(ctx context.Context, r *round) (o outcome) {
	o.id = identity{member: r.member, generation: -1}
	if r.member == "" {
		if o.err = m.refuseForeign(ctx); o.err != nil {
			return o
		}
	}
	answer, sent, err := m.joinGroup(ctx, r)
	if err != nil {
		o.err = err
		return o
	}
	if answer.member != "" {
		o.id.member = answer.member
	}
	if answer.code != 0 {
		m.joins.moved(answer.code)
		o.err = kafka.Error(answer.code)
		return o
	}
	if m.takenIn(answer) {
		m.leave(ctx, o.id, leaveTimeout)
		o.err = kafka.InconsistentGroupProtocol
		return o
	}
	o.id.generation = answer.generation
	// A leader that was not told of itself has not been told of the group; its assignment would take everything from everybody.
	o.leader = answer.leader == answer.member && slices.ContainsFunc(answer.members, func(j joinMember) bool { return j.id == answer.member })
	select {
	case m.joined <- joined{id: o.id, sent: sent}:
	case <-ctx.Done():
		return o
	}
	var assignments map[string][]byte
	if o.leader {
		if assignments, err = m.lead(ctx, answer.members); err != nil {
			o.err = err
			return o
		}
	}
	var bytes []byte
	if bytes, o.sent, o.err = m.syncGroup(ctx, o.id, assignments); o.err == nil {
		o.assignment, o.err = decodeAssignment(bytes, m.cfg.Topic)
	}
	return o
}

func (m *Member) joinGroup(ctx context.Context, r *round) (joinResponse, time.Time, error) {
	request := joinRequest{
		group: m.cfg.GroupID, member: r.member, instance: m.cfg.InstanceID,
		sessionMs: milliseconds(m.cfg.SessionTimeout), rebalanceMs: milliseconds(m.cfg.RebalanceTimeout), metadata: r.ask.encode(),
	}
	body, sent, err := m.joins.call(ctx, m.cfg.RebalanceTimeout+5*time.Second, protocol.JoinGroup, joinVersion, request.encode())
	if err != nil {
		return joinResponse{}, sent, err
	}
	answer, err := decodeJoin(body)
	return answer, sent, err
}

func milliseconds(d time.Duration) int32 { return int32(d.Milliseconds()) }

// syncGroup asks for the assignment until the coordinator has an answer. It asks anew every few seconds: the wait is for the leader, a
// connection that died meanwhile would not show, and asking twice does no harm.
func (m *Member) syncGroup(ctx context.Context, id identity, assignments map[string][]byte) ([]byte, time.Time, error) {
	request := encodeSync(m.cfg.GroupID, m.cfg.InstanceID, id, assignments)
	for failures := 0; ; {
		body, sent, err := m.joins.call(ctx, m.cfg.patience(), protocol.SyncGroup, syncVersion, request)
		var code int16
		var bytes []byte
		if err == nil {
			code, bytes, err = decodeSync(body)
		}
		switch {
		case ctx.Err() != nil:
			return nil, sent, context.Cause(ctx)
		case err == nil && !m.joins.moved(code) && !codeUnready(code):
			return bytes, sent, codeError(code)
		case err != nil && !heals(err):
			return nil, sent, err
		case timedOut(err): // that was pause enough, and may be no more than the leader's time
			failures = 0
			continue
		case err != nil:
			m.complain(ctx, "the assignment is not available, trying again", err)
		}
		failures++
		pause(ctx, m.cfg.backoff(failures))
	}
}

// codeUnready is a coordinator that is still loading the group: it is the right one, and knows nothing yet.
func codeUnready(code int16) bool { return kafka.Error(code) == kafka.GroupLoadInProgress }

// lead is the leader's part: everybody's assignment.
func (m *Member) lead(ctx context.Context, members []joinMember) (map[string][]byte, error) {
	topic, err := m.basisTopic(ctx)
	if err != nil {
		return nil, err
	}
	var claimants []claimant
	for _, member := range members {
		s, subscribed, err := decodeSubscription(member.metadata, m.cfg.Topic)
		switch {
		case err != nil:
			// Whatever it is, it speaks our protocol's name and would take part; it owns nothing that we know of.
			m.log.WarnContext(ctx, "metadata of a group member is not readable, it counts as owning nothing", slog.String("member", member.id), slog.Any("err", err))
		case !subscribed:
			m.log.WarnContext(ctx, "a member of the group reads another topic and gets nothing: give each subscription a group.id of its own", slog.String("member", member.id))
			continue
		}
		claimants = append(claimants, claimant{id: member.id, instance: member.instance, owned: s.owned, generation: s.generation, leaving: s.leaving})
	}
	ids := make([]int32, len(topic.Partitions))
	for i := range topic.Partitions {
		ids[i] = topic.Partitions[i].ID
	}
	given, withheld := assign(claimants, ids)
	from := basis{known: true, topic: m.cfg.Topic, topicID: topic.ID, partitions: int32(len(ids)), withheld: int32(withheld)}
	assignments := make(map[string][]byte, len(members))
	for _, member := range members {
		assignments[member.id] = assignment{partitions: given[member.id], basis: from}.encode(m.cfg.Topic)
	}
	return assignments, nil
}

// hopeless turns the codes that no waiting mends into an error that says what to do; nil for all others.
func (m *Member) hopeless(err error) error {
	id := m.cfg.GroupID
	var hint string
	switch {
	case errors.Is(err, kafka.InconsistentGroupProtocol):
		hint = fmt.Sprintf("the group %q is used by members of another kind (e.g. a Java consumer); give this subscription a group.id of its own, or stop the others first", id)
	case errors.Is(err, kafka.InvalidGroupId):
		hint = fmt.Sprintf("the broker does not take %q as a group.id", id)
	case errors.Is(err, kafka.InvalidSessionTimeout):
		hint = fmt.Sprintf("session.timeout.ms is %d, outside of the broker's group.min.session.timeout.ms and group.max.session.timeout.ms", m.cfg.SessionTimeout.Milliseconds())
	case errors.Is(err, kafka.FencedInstanceID):
		hint = fmt.Sprintf("another process with group.instance.id %q has taken over; give every replica an id of its own", m.cfg.InstanceID)
	case errors.Is(err, kafka.GroupAuthorizationFailed) && !m.everSettled:
		hint = fmt.Sprintf("the user may not read group %q; allow the operation Read on it (ACL)", id)
	case errors.Is(err, kafka.GroupMaxSizeReached) || heals(err) || m.everSettled || !errors.As(err, new(kafka.Error)):
		return nil
	default:
		return fmt.Errorf("join group %q: %w", id, err)
	}
	return fmt.Errorf("join group %q: %s: %w", id, hint, err)
}
