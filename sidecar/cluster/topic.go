package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// Topic is one topic as the newest metadata shows it.
type Topic struct {
	Name       string
	ID         [16]byte    // changes when the topic is deleted and created again (KIP-516); zero: the broker is too old to say
	Partitions []Partition // ascending by ID
}

// SameTopic compares topic ids; one that a broker does not say differs from none.
func SameTopic(a, b [16]byte) bool {
	return a == b || a == [16]byte{} || b == [16]byte{}
}

// Partition is one partition of a Topic.
type Partition struct {
	ID            int32
	Leader        string // host:port; "" when there is none at the moment
	LeaderID      int32  // -1: none
	LeaderEpoch   int32  // -1: the broker is too old to say
	Replicas, ISR int    // how many there are, and how many are in sync
	Err           error  // a kafka.Error as LeaderNotAvailable; nil when all is well
}

// Topic asks any broker for one topic. It never creates the topic. A missing one is kafka.UnknownTopicOrPartition, one that we may not see
// kafka.TopicAuthorizationFailed; what concerns single partitions is in Partition.Err. The brokers in the answer become known to the cluster.
func (c *Cluster) Topic(ctx context.Context, name string) (topic Topic, err error) {
	err = c.ask(ctx, func(ctx context.Context, conn *Conn) error {
		lookup := conn.oldTopic
		if v, _ := conn.MaxVersion(protocol.Metadata); v >= 10 {
			lookup = conn.topic
		}
		var brokers map[int32]string
		var err error
		if topic, brokers, err = lookup(ctx, name); err != nil {
			return fmt.Errorf("look up topic %q: %w", name, err)
		}
		c.learn(brokers)
		return nil
	})
	if err != nil {
		return Topic{}, err
	}
	return topic, nil
}

// topic is Metadata v10 to v12, by hand: topic ids came with v10 (Kafka 2.8), kafka-go ends at v8.
func (c *Conn) topic(ctx context.Context, name string) (Topic, map[int32]string, error) {
	highest, _ := c.MaxVersion(protocol.Metadata)
	version := min(highest, 12)
	if lowest := c.versions[protocol.Metadata].min; lowest > version {
		return Topic{}, nil, fmt.Errorf("the broker accepts Metadata from v%d on, this program speaks v12: %w", lowest, kafka.UnsupportedVersion)
	}
	var w Writer
	w.CompactArrayLen(1)
	w.UUID([16]byte{}) // by name
	w.CompactNullableString(&name)
	w.Tags()
	w.Bool(false) // allow auto topic creation
	if version == 10 {
		w.Bool(false) // include cluster authorized operations
	}
	w.Bool(false) // include topic authorized operations
	w.Tags()
	body, err := c.Exchange(ctx, 0, protocol.Metadata, version, true, w.B, nil)
	if err != nil {
		return Topic{}, nil, err
	}
	r := NewReader(body)
	r.Int32() // throttle time
	brokers := make(map[int32]string)
	for n := r.CompactArrayLen(); n > 0; n-- {
		id, host, port := r.Int32(), r.CompactString(), r.Int32()
		r.CompactString() // rack
		r.Tags()
		brokers[id] = joinAddr(host, port)
	}
	r.CompactString() // cluster id
	r.Int32()         // controller
	topic, code, found := Topic{}, kafka.Error(0), false
	for n := r.CompactArrayLen(); n > 0; n-- {
		var t Topic
		problem := kafka.Error(r.Int16())
		t.Name, t.ID = r.CompactString(), r.UUID()
		r.Bool() // internal
		for n := r.CompactArrayLen(); n > 0; n-- {
			t.Partitions = append(t.Partitions, readPartition(r, brokers))
		}
		r.Int32() // authorized operations
		r.Tags()
		if t.Name == name {
			topic, code, found = t, problem, true
		}
	}
	if err := r.Err(); err != nil {
		c.kill()
		return Topic{}, nil, fmt.Errorf("decode Metadata v%d of %s: %w", version, c.addr, err)
	}
	return finish(topic, code, found, brokers)
}

func readPartition(r *Reader, brokers map[int32]string) Partition {
	code := kafka.Error(r.Int16())
	p := Partition{ID: r.Int32(), LeaderID: r.Int32(), LeaderEpoch: r.Int32()}
	ints := func() int {
		n := r.CompactArrayLen()
		r.Bytes(4 * n)
		return n
	}
	p.Replicas, p.ISR = ints(), ints()
	ints() // offline replicas
	r.Tags()
	p.lead(code, brokers)
	return p
}

// lead fills in the leader's address. A leader that the answer's own list of brokers does not hold has just died.
func (p *Partition) lead(code kafka.Error, brokers map[int32]string) {
	p.Leader = brokers[p.LeaderID]
	switch {
	case code != 0:
		p.Err = code
	case p.Leader == "":
		p.Err = kafka.LeaderNotAvailable
	}
}

// oldTopic is Metadata up to v8 through kafka-go, for brokers before 2.8.
func (c *Conn) oldTopic(ctx context.Context, name string) (Topic, map[int32]string, error) {
	version, err := c.version(protocol.Metadata)
	if err != nil {
		return Topic{}, nil, err
	}
	if version < 4 { // before it there is no way to ask without creating
		return Topic{}, nil, fmt.Errorf("%s offers Metadata up to v%d, v4 is needed: %w", c.addr, version, kafka.UnsupportedVersion)
	}
	msg, err := c.Do(ctx, 0, &metadata.Request{TopicNames: []string{name}})
	if err != nil {
		return Topic{}, nil, err
	}
	answer := msg.(*metadata.Response)
	brokers := make(map[int32]string, len(answer.Brokers))
	for _, b := range answer.Brokers {
		brokers[b.NodeID] = joinAddr(b.Host, b.Port)
	}
	topic, code, found := Topic{}, kafka.Error(0), false
	for _, t := range answer.Topics {
		if t.Name != name {
			continue
		}
		topic, code, found = Topic{Name: t.Name}, kafka.Error(t.ErrorCode), true
		for _, q := range t.Partitions {
			p := Partition{ID: q.PartitionIndex, LeaderID: q.LeaderID, LeaderEpoch: q.LeaderEpoch, Replicas: len(q.ReplicaNodes), ISR: len(q.IsrNodes)}
			if version < 7 {
				p.LeaderEpoch = -1
			}
			p.lead(kafka.Error(q.ErrorCode), brokers)
			topic.Partitions = append(topic.Partitions, p)
		}
	}
	return finish(topic, code, found, brokers)
}

func finish(topic Topic, code kafka.Error, found bool, brokers map[int32]string) (Topic, map[int32]string, error) {
	switch {
	case !found:
		return Topic{}, nil, fmt.Errorf("%w: the topic is missing in the answer", ErrMalformed)
	case code != 0:
		return Topic{}, nil, code
	}
	slices.SortFunc(topic.Partitions, func(a, b Partition) int { return cmp.Compare(a.ID, b.ID) })
	return topic, brokers, nil
}

// Coordinator asks any broker for the address of a group's coordinator. GroupCoordinatorNotAvailable and GroupLoadInProgress are ordinary after
// a broker went away, and while the offsets topic is made: trying again is the caller's.
func (c *Cluster) Coordinator(ctx context.Context, group string) (addr string, err error) {
	err = c.ask(ctx, func(ctx context.Context, conn *Conn) error {
		msg, err := conn.Do(ctx, 0, &findcoordinator.Request{Key: group})
		if err != nil {
			return fmt.Errorf("find coordinator of group %q: %w", group, err)
		}
		answer := msg.(*findcoordinator.Response)
		switch {
		case answer.ErrorCode != 0 && answer.ErrorMessage != "":
			return fmt.Errorf("find coordinator of group %q: %w: %s", group, kafka.Error(answer.ErrorCode), answer.ErrorMessage)
		case answer.ErrorCode != 0:
			return fmt.Errorf("find coordinator of group %q: %w", group, kafka.Error(answer.ErrorCode))
		case answer.Host == "":
			return fmt.Errorf("find coordinator of group %q: %w", group, kafka.GroupCoordinatorNotAvailable)
		}
		addr = joinAddr(answer.Host, answer.Port)
		return nil
	})
	return addr, err
}
