package group

import (
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

// The versions that we send. JoinGroup v5 has static members (KIP-345) and, since v4, member ids that are given before a member counts
// (KIP-394): who dies while joining leaves nothing behind that holds partitions. All are older than the flexible encodings.
const (
	joinVersion      = 5
	syncVersion      = 3
	heartbeatVersion = 3
	leaveVersion     = 3
	commitVersion    = 7
	offsetsVersion   = 5
)

// codeError turns an error code of an answer into an error, nil for none.
func codeError(code int16) error {
	if code == 0 {
		return nil
	}
	return kafka.Error(code)
}

// instance is the group.instance.id as a nullable string.
func instance(id string) *string {
	if id == "" {
		return nil
	}
	return &id
}

// encodeMembership is the whole of a Heartbeat v3 and the head of a SyncGroup v3.
func encodeMembership(group, instanceID string, id identity) []byte {
	var w cluster.Writer
	w.String(group)
	w.Int32(id.generation)
	w.String(id.member)
	w.NullableString(instance(instanceID))
	return w.B
}

// joinRequest is JoinGroup v5.
type joinRequest struct {
	group, member, instance string
	sessionMs, rebalanceMs  int32
	metadata                []byte
}

func (q joinRequest) encode() []byte {
	var w cluster.Writer
	w.String(q.group)
	w.Int32(q.sessionMs)
	w.Int32(q.rebalanceMs)
	w.String(q.member)
	w.NullableString(instance(q.instance))
	w.String(protocolType)
	w.ArrayLen(1)
	w.String(protocolName)
	writeBytes(&w, q.metadata)
	return w.B
}

type joinResponse struct {
	code       int16
	generation int32
	leader     string
	member     string
	members    []joinMember // only the leader gets them
}

type joinMember struct {
	id, instance string
	metadata     []byte
}

func decodeJoin(b []byte) (a joinResponse, err error) {
	r := cluster.NewReader(b)
	r.Int32() // throttle time: the broker mutes the connection itself
	a.code = r.Int16()
	a.generation = r.Int32()
	_ = r.String() // the protocol: there is one
	a.leader = r.String()
	a.member = r.String()
	for n := r.ArrayLen(); n > 0 && r.Err() == nil; n-- {
		a.members = append(a.members, joinMember{id: r.String(), instance: r.String(), metadata: readBytes(r)})
	}
	return a, r.Err()
}

// encodeSync is SyncGroup v3; assignments are the leader's, by member id.
func encodeSync(group, instanceID string, id identity, assignments map[string][]byte) []byte {
	w := cluster.Writer{B: encodeMembership(group, instanceID, id)}
	w.ArrayLen(len(assignments))
	for member, bytes := range assignments {
		w.String(member)
		writeBytes(&w, bytes)
	}
	return w.B
}

func decodeSync(b []byte) (code int16, assignment []byte, err error) {
	r := cluster.NewReader(b)
	r.Int32()
	code = r.Int16()
	assignment = readBytes(r)
	return code, assignment, r.Err()
}

func decodeHeartbeat(b []byte) (code int16, err error) {
	r := cluster.NewReader(b)
	r.Int32()
	code = r.Int16()
	return code, r.Err()
}

// encodeLeave is LeaveGroup v3 for one member.
func encodeLeave(group, member string) []byte {
	var w cluster.Writer
	w.String(group)
	w.ArrayLen(1)
	w.String(member)
	w.NullableString(nil)
	return w.B
}

func decodeLeave(b []byte) (code int16, err error) {
	r := cluster.NewReader(b)
	r.Int32()
	code = r.Int16()
	for n := r.ArrayLen(); n > 0 && r.Err() == nil; n-- {
		_, _ = r.String(), r.String()
		if c := r.Int16(); code == 0 {
			code = c
		}
	}
	return code, r.Err()
}

// encodeCommit is OffsetCommit v7 for partitions of one topic.
func encodeCommit(group, instanceID, topic string, id identity, offsets []Offset) []byte {
	w := cluster.Writer{B: encodeMembership(group, instanceID, id)}
	w.ArrayLen(1)
	w.String(topic)
	w.ArrayLen(len(offsets))
	for _, o := range offsets {
		w.Int32(o.Partition)
		w.Int64(o.Offset)
		w.Int32(o.LeaderEpoch)
		w.String(o.Metadata)
	}
	return w.B
}

func decodeCommit(b []byte, topic string) (map[int32]int16, error) {
	codes := map[int32]int16{}
	r := cluster.NewReader(b)
	r.Int32()
	for n := r.ArrayLen(); n > 0 && r.Err() == nil; n-- {
		ours := r.String() == topic
		for k := r.ArrayLen(); k > 0 && r.Err() == nil; k-- {
			if p, code := r.Int32(), r.Int16(); ours {
				codes[p] = code
			}
		}
	}
	return codes, r.Err()
}

// encodeOffsets is OffsetFetch v5 for partitions of one topic.
func encodeOffsets(group, topic string, partitions []int32) []byte {
	var w cluster.Writer
	w.String(group)
	w.ArrayLen(1)
	w.String(topic)
	w.ArrayLen(len(partitions))
	for _, p := range partitions {
		w.Int32(p)
	}
	return w.B
}

// decodeOffsets fails as a whole when the group's or any partition's error code is set: an answer that lacks a partition must never pass for
// one that says that the partition has no commit.
func decodeOffsets(b []byte, topic string) (map[int32]Committed, error) {
	found := map[int32]Committed{}
	var failed error
	r := cluster.NewReader(b)
	r.Int32()
	for n := r.ArrayLen(); n > 0 && r.Err() == nil; n-- {
		ours := r.String() == topic
		for k := r.ArrayLen(); k > 0 && r.Err() == nil; k-- {
			p := r.Int32()
			c := Committed{Offset: r.Int64(), LeaderEpoch: r.Int32(), Metadata: r.String()}
			if code := r.Int16(); code != 0 && failed == nil && r.Err() == nil {
				failed = fmt.Errorf("partition %d: %w", p, kafka.Error(code))
			}
			if ours {
				found[p] = c
			}
		}
	}
	code := r.Int16()
	if err := r.Err(); err != nil {
		return nil, err
	}
	if code != 0 {
		return nil, kafka.Error(code)
	}
	return found, failed
}
