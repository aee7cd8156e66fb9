package group

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

// consumerGroupDescribe is younger than kafka-go's list (KIP-848).
const consumerGroupDescribe protocol.ApiKey = 69

// refuseForeign keeps us out of a group whose members use the protocol of KIP-848. The name of our protocol does not: where none of the
// members is a classic one, the coordinator takes any classic member in and gives it some of the others' partitions (Kafka 4.4). The error is
// the one with which a classic group of another kind refuses us. It is asked before a join without a member id, by which alone one gets in.
//
// The other way round nothing comes in: a coordinator turns a classic group into one of KIP-848 only where no member has user data in its
// assignment, and ours have, from the end of a first round on. Before it, what comes of the next join is seen by takenIn.
func (m *Member) refuseForeign(ctx context.Context) error {
	if _, err := m.joins.ready(ctx, false); err != nil {
		return err
	}
	conn := m.joins.conn
	if _, known := conn.MaxVersion(consumerGroupDescribe); !known {
		return nil
	}
	body, err := conn.Exchange(ctx, m.cfg.patience(), consumerGroupDescribe, 0, true, encodeDescribe(m.cfg.GroupID), nil)
	if err != nil {
		m.where.forget(conn.Addr())
		return err
	}
	code, members, err := decodeDescribe(body)
	switch {
	case err != nil:
		return fmt.Errorf("describe the group: %w", err)
	case code == 0 && members > 0, kafka.Error(code) == kafka.TopicAuthorizationFailed: // the members are hidden from who may not see their topics
		return kafka.InconsistentGroupProtocol
	case m.joins.moved(code), codeUnready(code):
		return kafka.Error(code)
	}
	return nil // there is no such group, it has no members, or the answer to the join will say what is wrong
}

// takenIn says that a join was let into a group of KIP-848, whose leader is the coordinator.
func (m *Member) takenIn(a joinResponse) bool {
	_, known := m.joins.conn.MaxVersion(consumerGroupDescribe)
	return known && a.leader == "" && len(a.members) == 0
}

// encodeDescribe is ConsumerGroupDescribe v0 for one group.
func encodeDescribe(group string) []byte {
	var w cluster.Writer
	w.CompactArrayLen(1)
	w.CompactString(group)
	w.Bool(false) // authorized operations
	w.Tags()
	return w.B
}

// decodeDescribe reads how many members the group has; what they are does not matter.
func decodeDescribe(b []byte) (code int16, members int, err error) {
	r := cluster.NewReader(b)
	r.Int32()
	if r.CompactArrayLen() == 0 {
		return 0, 0, r.Err()
	}
	code = r.Int16()
	_ = r.CompactString() // the broker's text
	_ = r.CompactString() // the group
	_ = r.CompactString() // its state
	r.Int32()             // its epoch
	r.Int32()             // that of its assignment
	_ = r.CompactString() // the assignor
	members = r.CompactArrayLen()
	return code, members, r.Err()
}
