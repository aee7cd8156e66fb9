package group

import (
	"fmt"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

// What members say to each other through the coordinator, which does not look inside. The layout is that of Kafka's consumer protocol
// (ConsumerProtocolSubscription.json and ConsumerProtocolAssignment.json, version 1 of each), for the sake of tools that describe groups. Our
// own facts travel in its user data, which tools skip; that there is some keeps consumers of KIP-848 out of the group (foreign.go).
const (
	protocolType = "consumer"
	protocolName = "kafka-sidecar"

	consumerVersion = 1
	blobVersion     = 1 // of our user data; later versions only append
)

// subscription is what a member says when it joins.
type subscription struct {
	topic      string
	owned      []int32 // first what it had rather keep
	generation int32   // in which it was last given an assignment, -1 never
	leaving    bool
}

const flagLeaving = 1

func (s subscription) encode() []byte {
	var blob cluster.Writer
	blob.Int8(blobVersion)
	blob.Int32(s.generation)
	var flags int8
	if s.leaving {
		flags |= flagLeaving
	}
	blob.Int8(flags)

	var w cluster.Writer
	w.Int16(consumerVersion)
	w.ArrayLen(1)
	w.String(s.topic)
	writeBytes(&w, blob.B)
	writePartitions(&w, s.topic, s.owned)
	return w.B
}

// decodeSubscription reads the metadata of a member that may be newer than we are, or not be ours at all: owned counts only for the topic
// that was asked for, and subscribed says whether the member wants that topic at all.
func decodeSubscription(b []byte, topic string) (s subscription, subscribed bool, err error) {
	s = subscription{topic: topic, generation: -1}
	r := cluster.NewReader(b)
	version := r.Int16()
	for n := r.ArrayLen(); n > 0 && r.Err() == nil; n-- {
		subscribed = r.String() == topic || subscribed
	}
	blob := readBytes(r)
	if version >= 1 {
		s.owned = readPartitions(r, topic)
	}
	if err := r.Err(); err != nil {
		return subscription{topic: topic, generation: -1}, false, fmt.Errorf("decode a member's subscription: %w", err)
	}
	if user := cluster.NewReader(blob); user.Int8() >= blobVersion {
		generation, flags := user.Int32(), user.Int8()
		if user.Err() == nil {
			s.generation, s.leaving = generation, flags&flagLeaving != 0
		}
	}
	return s, subscribed, nil
}

// assignment is what the leader says to one member.
type assignment struct {
	partitions []int32
	basis      basis
}

// basis is what the leader's decision was made from. Every member gets it, because the leader may be gone when the topic changes: a static
// member that restarts while it leads does not learn that it leads (KIP-814).
type basis struct {
	known      bool // false: the assignment carries none
	topic      string
	topicID    [16]byte // zero: the broker does not say
	partitions int32    // of the topic
	withheld   int32    // partitions that were given to nobody because their owners have not let go
}

func (a assignment) encode(topic string) []byte {
	var blob cluster.Writer
	blob.Int8(blobVersion)
	blob.String(a.basis.topic)
	blob.UUID(a.basis.topicID)
	blob.Int32(a.basis.partitions)
	blob.Int32(a.basis.withheld)

	var w cluster.Writer
	w.Int16(consumerVersion)
	writePartitions(&w, topic, a.partitions)
	writeBytes(&w, blob.B)
	return w.B
}

// decodeAssignment reads our assignment. No bytes at all is how a coordinator answers a member that the leader has not named: no partitions.
func decodeAssignment(b []byte, topic string) (assignment, error) {
	var a assignment
	if len(b) == 0 {
		return a, nil
	}
	r := cluster.NewReader(b)
	if version := r.Int16(); version < 0 {
		return a, fmt.Errorf("decode the assignment: version %d", version)
	}
	a.partitions = readPartitions(r, topic)
	blob := readBytes(r)
	if err := r.Err(); err != nil {
		return assignment{}, fmt.Errorf("decode the assignment: %w", err)
	}
	if user := cluster.NewReader(blob); user.Int8() >= blobVersion {
		got := basis{known: true, topic: user.String(), topicID: user.UUID(), partitions: user.Int32(), withheld: user.Int32()}
		if user.Err() == nil {
			a.basis = got
		}
	}
	return a, nil
}

// writePartitions writes an array of topics with their partitions, of one topic at most.
func writePartitions(w *cluster.Writer, topic string, partitions []int32) {
	if len(partitions) == 0 {
		w.ArrayLen(0)
		return
	}
	w.ArrayLen(1)
	w.String(topic)
	w.ArrayLen(len(partitions))
	for _, p := range partitions {
		w.Int32(p)
	}
}

// readPartitions reads an array of topics with their partitions and keeps those of one topic.
func readPartitions(r *cluster.Reader, topic string) (partitions []int32) {
	for n := r.ArrayLen(); n > 0 && r.Err() == nil; n-- {
		ours := r.String() == topic
		for k := r.ArrayLen(); k > 0 && r.Err() == nil; k-- {
			if p := r.Int32(); ours && r.Err() == nil {
				partitions = append(partitions, p)
			}
		}
	}
	return partitions
}

func writeBytes(w *cluster.Writer, b []byte) {
	w.Int32(int32(len(b)))
	w.B = append(w.B, b...)
}

// readBytes reads nullable bytes; null reads as none.
func readBytes(r *cluster.Reader) []byte {
	n := r.Int32()
	if n == -1 || r.Err() != nil {
		return nil
	}
	return r.Bytes(int(n))
}
