package deadletter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

// Check looks at the topic as far as we may: it exists, has leaders, may be written, keeps what is written (not compact-only, and no more
// in-sync replicas asked for than there are), and takes the source's record size. What we may not see is noted and not held against it.
// Errors wrap kafka.Error where a broker gave one, and nothing is created or written.
func (t *Topic) Check(ctx context.Context) error {
	name := t.cfg.Topic
	topic, err := t.cfg.Cluster.Topic(ctx, name)
	switch {
	case errors.Is(err, kafka.UnknownTopicOrPartition):
		return fmt.Errorf("dead-letter topic %q does not exist on the source's cluster; it is never created: %w", name, err)
	case errors.Is(err, kafka.TopicAuthorizationFailed):
		return fmt.Errorf("dead-letter topic %q may not be seen, the rights DESCRIBE and WRITE on it are needed: %w", name, err)
	case err != nil:
		return fmt.Errorf("check dead-letter topic: %w", err)
	}
	replicas := 0
	leaderless := 0
	for _, p := range topic.Partitions {
		if p.Leader == "" {
			leaderless++
		}
		replicas = max(replicas, p.Replicas)
	}
	switch {
	case leaderless == len(topic.Partitions):
		return fmt.Errorf("no partition of dead-letter topic %q has a leader: %w", name, kafka.LeaderNotAvailable)
	case leaderless > 0:
		t.log.Warn("some partitions of the dead-letter topic have no leader: letters for them wait", slog.Int("partitions", leaderless))
	}
	conn, err := t.cfg.Cluster.DialAny(ctx)
	if err != nil {
		return fmt.Errorf("check dead-letter topic: %w", err)
	}
	defer conn.Close()
	if err := t.checkRights(ctx, conn); err != nil {
		return err
	}
	return t.checkConfig(ctx, conn, replicas)
}

// Bits of the authorized operations that Metadata gives since v8 (KIP-430), by the numbers of the ACL operations.
const (
	operationWrite    = 1 << 4
	operationsUnknown = -1 << 31
)

func (t *Topic) checkRights(ctx context.Context, conn *cluster.Conn) error {
	if v, _ := conn.MaxVersion(protocol.Metadata); v < 8 {
		return nil
	}
	msg, err := conn.Do(ctx, t.cfg.RequestTimeout, &metadata.Request{TopicNames: []string{t.cfg.Topic}, IncludeTopicAuthorizedOperations: true})
	if err != nil {
		return fmt.Errorf("check rights on dead-letter topic: %w", err)
	}
	for _, answer := range msg.(*metadata.Response).Topics {
		rights := answer.TopicAuthorizedOperations
		if answer.Name == t.cfg.Topic && answer.ErrorCode == 0 && rights != operationsUnknown && rights&operationWrite == 0 {
			return fmt.Errorf("dead-letter topic %q may not be written, the right WRITE on it is needed: %w", t.cfg.Topic, kafka.TopicAuthorizationFailed)
		}
	}
	return nil
}

func (t *Topic) checkConfig(ctx context.Context, conn *cluster.Conn, replicas int) error {
	const keys = "cleanup.policy max.message.bytes min.insync.replicas"
	request := &describeconfigs.Request{}
	for _, name := range []string{t.cfg.Topic, t.cfg.SourceTopic} {
		if name != "" {
			request.Resources = append(request.Resources, describeconfigs.RequestResource{
				ResourceType: resourceTopic, ResourceName: name, ConfigNames: strings.Fields(keys),
			})
		}
	}
	if _, ok := conn.MaxVersion(protocol.DescribeConfigs); !ok {
		t.log.Info("broker does not tell topic configurations: size and cleanup policy of the dead-letter topic are not checked")
		return nil
	}
	msg, err := conn.Do(ctx, t.cfg.RequestTimeout, request)
	if err != nil {
		return fmt.Errorf("check configuration of dead-letter topic: %w", err)
	}
	target, source := t.config(msg, t.cfg.Topic), t.config(msg, t.cfg.SourceTopic)
	name := t.cfg.Topic
	if policy, ok := target["cleanup.policy"]; ok && !slices.Contains(strings.FieldsFunc(policy, isListSeparator), "delete") && policy != "" {
		return fmt.Errorf("dead-letter topic %q has cleanup.policy=%s: it keeps one letter of a key only and takes none without a key; add delete", name, policy)
	}
	takes, ok := number(target["max.message.bytes"])
	needs, ok2 := number(source["max.message.bytes"])
	if ok && ok2 && takes < needs {
		return fmt.Errorf("dead-letter topic %q takes %d bytes (max.message.bytes), the source topic %q takes %d: a failed record might not fit", name, takes, t.cfg.SourceTopic, needs)
	}
	if asked, ok := number(target["min.insync.replicas"]); ok && replicas > 0 && asked > int64(replicas) {
		// Kafka 4.4 acknowledges with the smaller of the two, older brokers may refuse every write: worth a word, not worth an end.
		t.log.WarnContext(ctx, "dead-letter topic asks for more in-sync replicas (min.insync.replicas) than it has: older brokers acknowledge no write to it",
			slog.Int64("min_insync_replicas", asked), slog.Int("replicas", replicas))
	}
	return nil
}

// resourceTopic is the resource type TOPIC of DescribeConfigs.
const resourceTopic = 2

// config is what the answer tells of one topic; empty, with a note, when we may not know.
func (t *Topic) config(msg protocol.Message, name string) map[string]string {
	entries := map[string]string{}
	for _, r := range msg.(*describeconfigs.Response).Resources {
		if r.ResourceName != name {
			continue
		}
		if r.ErrorCode != 0 {
			t.log.Info("topic configuration may not be read (right DESCRIBE_CONFIGS): whether the dead-letter topic takes every record is not checked",
				slog.String("topic", name), slog.Any("error", kafka.Error(r.ErrorCode)))
			continue
		}
		for _, e := range r.ConfigEntries {
			entries[e.ConfigName] = e.ConfigValue
		}
	}
	return entries
}

func isListSeparator(r rune) bool { return r == ',' || r == ' ' }

func number(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
