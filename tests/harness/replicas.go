package harness

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopicOn makes a topic of one partition whose replicas are on the given nodes, the first of them its leader, and returns its name.
// The configs are name=value.
func (b *Broker) CreateTopicOn(nodes []int32, configs ...string) string {
	b.t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic = Name(b.t, "topic")
	topic.NumPartitions, topic.ReplicationFactor = -1, -1
	topic.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 0, Replicas: nodes}}
	for _, c := range append([]string{"retention.ms=-1"}, configs...) {
		name, value, _ := strings.Cut(c, "=")
		topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: &value})
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = int32(Patience.Milliseconds())
	request.Topics = append(request.Topics, topic)
	ctx, cancel := b.request()
	defer cancel()
	answer, err := request.RequestWith(ctx, b.client)
	if err == nil {
		err = kerr.ErrorForCode(answer.Topics[0].ErrorCode)
	}
	if err != nil {
		b.t.Fatalf("create topic %s: %v", topic.Topic, err)
	}
	b.WaitReplicas(topic.Topic, nodes[0], len(nodes))
	return topic.Topic
}

// WaitReplicas waits until a node leads partition 0 of a topic with so many replicas in sync.
func (b *Broker) WaitReplicas(topic string, leader int32, inSync int) {
	b.t.Helper()
	Eventually(b.t, Patience, func() (bool, string) {
		request := kmsg.NewPtrMetadataRequest()
		request.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
		ctx, cancel := b.request()
		defer cancel()
		answer, err := request.RequestWith(ctx, b.client)
		if err != nil || len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
			return false, fmt.Sprintf("look up %s: %v", topic, err)
		}
		p := answer.Topics[0].Partitions[0]
		return p.Leader == leader && len(p.ISR) == inSync, fmt.Sprintf("node %d leads %s with %v in sync, want node %d with %d", p.Leader, topic, p.ISR, leader, inSync)
	})
}
