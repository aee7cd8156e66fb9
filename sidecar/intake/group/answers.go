package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// The codes that say something of our membership, as numbers for switch statements.
const (
	noError             = 0
	illegalGeneration   = int16(kafka.IllegalGeneration)
	unknownMember       = int16(kafka.UnknownMemberId)
	rebalanceInProgress = int16(kafka.RebalanceInProgress)
	memberIDRequired    = int16(kafka.MemberIDRequired)
	fencedInstance      = int16(kafka.FencedInstanceID)
)

// codeOf is the Kafka error code in an error, 0 when there is none.
func codeOf(err error) int16 {
	var code kafka.Error
	if errors.As(err, &code) {
		return int16(code)
	}
	return noError
}

// onBeat brings in what a heartbeat was answered. Answers to an identity that we no longer have say nothing.
func (m *Member) onBeat(ctx context.Context, b beat) error {
	if b.err != nil {
		m.complain(ctx, "heartbeat was not answered, trying again", b.err)
		return nil //nolint:nilerr // it revokes nothing: the lease says when silence has lasted too long
	}
	if b.id.member != m.id.member {
		return nil
	}
	switch b.code {
	case unknownMember:
		m.expelled(ctx, "the coordinator does not know this member")
		return nil
	case fencedInstance:
		return m.hopeless(kafka.FencedInstanceID)
	}
	if b.id.generation != m.id.generation {
		return nil
	}
	switch b.code {
	case noError:
		m.acknowledged(b)
		m.calm = b.sent
		if !m.syncing() {
			m.preparing = false // if it was, the rebalance was given up: another coordinator knows nothing of it
			m.lease.unblock()
		}
		m.findLostJoin(b)
	case rebalanceInProgress:
		m.acknowledged(b)
		m.gathering = b.sent
		if !m.preparing {
			m.preparing = true
			m.lease.blockAt(m.calm.Add(shorten(m.cfg.RebalanceTimeout)))
		}
		m.findLostJoin(b)
		if m.round == nil && m.want == "" {
			m.want = "the group rebalances"
		}
	case illegalGeneration:
		if m.asked {
			// A join of ours that was answered, or is being answered, or whose answer was lost with a connection: the group has moved on with
			// us, and nobody else was given what the join said is ours. It counts as no acknowledgement, so the lease bounds the doubt.
			if m.round == nil && m.want == "" {
				m.want = "the generation is not known"
			}
			return nil
		}
		m.abortRound()
		m.lose(ctx, "the group has moved on without this member")
		m.again("the group has moved on", true)
	default:
		m.complain(ctx, "heartbeat was refused, trying again", fmt.Errorf("heartbeat: %w", codeError(b.code)))
	}
	return nil
}

// acknowledged renews the lease.
func (m *Member) acknowledged(b beat) {
	m.heard()
	m.lease.extend(b.sent)
	if m.cfg.OnHeartbeat != nil {
		m.cfg.OnHeartbeat(m.cfg.Now())
	}
}

// syncing says that the round under way has joined already.
func (m *Member) syncing() bool { return m.id.generation != m.settled.generation }

// findLostJoin sends a join again that cannot have arrived. A JoinGroup waits for as long as a rebalance may take, on a connection that may be
// dead, while the group puts out whoever has not joined in time. Joining twice does no harm.
func (m *Member) findLostJoin(b beat) {
	if m.round == nil {
		return
	}
	join := m.joins.flying.Load()
	if join == nil || join.api != protocol.JoinGroup || b.sent.Before(join.sent) {
		return
	}
	moved := b.addr != join.addr
	// With our join the coordinator would be preparing a rebalance, and answer so.
	missing := b.code == noError && b.sent.Sub(join.sent) > m.cfg.patience()
	if !moved && !missing {
		return
	}
	reason := m.round.reason
	m.abortRound()
	m.again(reason, true)
}

// refusal is an answer to a commit that says something of our membership.
type refusal struct {
	member string
	code   int16
}

func (m *Member) onRefused(ctx context.Context, r refusal) error {
	if r.member != m.id.member {
		return nil
	}
	if r.code == fencedInstance {
		return m.hopeless(kafka.FencedInstanceID)
	}
	m.log.DebugContext(ctx, "a commit was refused", slog.Any("err", codeError(r.code)))
	m.expelled(ctx, "the coordinator does not know this member")
	return nil
}
