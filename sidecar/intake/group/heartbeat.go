package group

import (
	"context"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// identity is who we are to the coordinator. Generation -1: no heartbeats yet.
type identity struct {
	member     string
	generation int32
}

var nobodyYet = identity{generation: -1}

// beat is what became of one heartbeat.
type beat struct {
	id   identity
	sent time.Time
	addr string // who answered
	code int16
	err  error // there was no answer
}

// heartbeats runs for as long as the member does: through rebalances, drains and outages. It reports to the loop, which decides.
func (m *Member) heartbeats(ctx context.Context) {
	defer m.beats.close()
	timer := time.NewTimer(m.cfg.HeartbeatInterval)
	defer timer.Stop()
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-m.beatNow:
		}
		id := m.identity()
		if id.generation < 0 {
			timer.Reset(m.cfg.HeartbeatInterval)
			continue
		}
		b := m.heartbeat(ctx, id)
		if b.err != nil || m.beats.moved(b.code) || codeUnready(b.code) {
			failures++
			timer.Reset(min(m.cfg.backoff(failures), m.cfg.HeartbeatInterval))
		} else {
			failures = 0
			timer.Reset(max(0, m.cfg.HeartbeatInterval-m.cfg.Now().Sub(b.sent)))
		}
		select {
		case m.beat <- b:
		case <-ctx.Done():
			return
		}
	}
}

func (m *Member) heartbeat(ctx context.Context, id identity) beat {
	b := beat{id: id}
	var answer []byte
	answer, b.sent, b.err = m.beats.call(ctx, m.cfg.patience(), protocol.Heartbeat, heartbeatVersion, encodeMembership(m.cfg.GroupID, m.cfg.InstanceID, id))
	if b.err == nil {
		b.addr = m.beats.addr()
		b.code, b.err = decodeHeartbeat(answer)
	}
	return b
}
