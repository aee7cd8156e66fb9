package deadletter

import (
	"errors"
	"math"
	"net"
	"strconv"
	"strings"
	"testing"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

func TestCheckFindsATopicThatWouldRefuseLetters(t *testing.T) {
	for name, c := range map[string]struct {
		config map[string]string
		want   string // "": all is well
	}{
		"plain":              {nil, ""},
		"compact only":       {map[string]string{"cleanup.policy": "compact"}, "cleanup.policy=compact"},
		"compact and delete": {map[string]string{"cleanup.policy": "compact,delete"}, ""},
		"smaller records":    {map[string]string{"max.message.bytes": "1000000"}, "takes 1000000 bytes (max.message.bytes), the source topic \"source\" takes 1048588"},
		"larger records":     {map[string]string{"max.message.bytes": "2000000"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			b.create("letters", c.config)
			topic := b.target(func(cfg *TopicConfig, _ *cluster.Config) { cfg.Topic = "letters" })
			err := topic.Check(t.Context())
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if b.count() != 0 {
				t.Error("the check has written")
			}
		})
	}
}

func TestCheckLooksAtTheRights(t *testing.T) {
	allow := func(op kmsg.ACLOperation, topics ...string) (acls []kfake.ACL) {
		for _, topic := range topics {
			acls = append(acls, kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: topic, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true})
		}
		return acls
	}
	both := []string{"source", "dead"}
	for name, c := range map[string]struct {
		acls []kfake.ACL
		want string
		says string
	}{
		"none":             {nil, "may not be seen", ""},
		"no write":         {allow(kmsg.ACLOperationRead, both...), "may not be written", ""},
		"no configuration": {allow(kmsg.ACLOperationWrite, both...), "", "DESCRIBE_CONFIGS"},
		"all":              {allow(kmsg.ACLOperationAll, both...), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("PLAIN", "me", "password", c.acls...))
			topic := b.target(func(_ *TopicConfig, k *cluster.Config) {
				k.Security.Mechanism = "PLAIN"
				k.Security.Username.Value, k.Security.Password.Value = "me", "password"
			})
			err := topic.Check(t.Context())
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, kafka.TopicAuthorizationFailed) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if said := b.log.String(); c.says == "" && said != "" || !strings.Contains(said, c.says) {
				t.Errorf("said %q, want %q", said, c.says)
			}
		})
	}
}

func TestCheckOfAnOldBroker(t *testing.T) {
	b := start(t, kfake.MaxVersions(kversion.V2_3_0()))
	if err := b.target(nil).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestCheckSaysWhenTheLookupFails(t *testing.T) {
	b := start(t)
	topic := b.target(nil)
	h := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	if err := topic.Check(t.Context()); err != nil {
		t.Errorf("configuration that may not be read: %v", err)
	}
	h.Remove()
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.LeaderNotAvailable, Count: -1})
	if err := topic.Check(t.Context()); !cluster.Retriable(err) {
		t.Errorf("no leader: %v", err)
	}
}

func TestCheckLooksForLeaders(t *testing.T) {
	b := start(t)
	host, port, _ := net.SplitHostPort(b.ListenAddrs()[0])
	number, _ := strconv.Atoi(port)
	leaders := []int32{-1, -1}
	b.ControlKey(int16(kmsg.Metadata), func(q kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		answer := q.ResponseKind().(*kmsg.MetadataResponse)
		broker := kmsg.NewMetadataResponseBroker()
		broker.NodeID, broker.Host, broker.Port = 0, host, int32(number)
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic = kmsg.StringPtr("dead")
		topic.AuthorizedOperations = math.MinInt32 // not told
		for i, leader := range leaders {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Partition, p.Leader = int32(i), leader
			if leader < 0 {
				p.ErrorCode = kerr.LeaderNotAvailable.Code
			}
			topic.Partitions = append(topic.Partitions, p)
		}
		answer.Brokers, answer.Topics = append(answer.Brokers, broker), append(answer.Topics, topic)
		return answer, nil, true
	})
	topic := b.target(nil)
	if err := topic.Check(t.Context()); !errors.Is(err, kafka.LeaderNotAvailable) || !cluster.Retriable(err) {
		t.Errorf("error %v", err)
	}
	leaders = []int32{-1, 0}
	if err := topic.Check(t.Context()); err != nil || !strings.Contains(b.log.String(), "have no leader") {
		t.Errorf("one of two leaders: %v, said %q", err, b.log.String())
	}
	for range 5 { // without a key there is a choice
		if p, err := topic.partitionFor(t.Context(), nil); p != 1 || err != nil {
			t.Errorf("partition %d, %v", p, err)
		}
	}
	topic.known.Partitions[1].Leader = ""
	if _, err := topic.partitionFor(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
