package group

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/segmentio/kafka-go"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

// watch looks at the topic every interval, tells whoever wants to know, and lets the loop compare it with what was given out.
func (m *Member) watch(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		topic, err := m.look(ctx)
		if err != nil {
			failures++
			if ctx.Err() == nil {
				m.complain(ctx, "topic metadata is not available, trying again", err)
			}
			pause(ctx, min(m.cfg.backoff(failures), m.cfg.MetadataInterval))
			continue
		}
		failures = 0
		if m.cfg.OnTopic != nil {
			m.cfg.OnTopic(topic)
		}
		select {
		case m.looked <- topic:
		case <-ctx.Done():
			return
		}
		pause(ctx, m.cfg.MetadataInterval)
	}
}

// look asks the cluster for the topic and remembers the answer.
func (m *Member) look(ctx context.Context) (cluster.Topic, error) {
	limit := m.cfg.patience()
	ask, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s: %w", limit, os.ErrDeadlineExceeded))
	defer cancel()
	topic, err := m.cfg.Cluster.Topic(ask, m.cfg.Topic)
	if err != nil {
		return cluster.Topic{}, fmt.Errorf("look up topic %q: %w", m.cfg.Topic, err)
	}
	return m.remember(topic), nil
}

// remember takes over a new look at the topic. Partitions are never taken away from a topic, so fewer of them are the view of a broker that
// lags behind, unless the topic is another one.
func (m *Member) remember(topic cluster.Topic) cluster.Topic {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.topic; old == nil || len(topic.Partitions) >= len(old.Partitions) || !cluster.SameTopic(old.ID, topic.ID) {
		m.topic = &topic
	}
	return *m.topic
}

// basisTopic is what a leader assigns from: the topic as it is now, else as it was last seen. It asks until it has either, because an
// assignment from nothing would take everything from everybody. Only a topic that does not exist is assigned as nothing, and watched for.
func (m *Member) basisTopic(ctx context.Context) (cluster.Topic, error) {
	for failures := 1; ; failures++ {
		topic, err := m.look(ctx)
		if err == nil {
			return topic, nil
		}
		m.mu.Lock()
		old := m.topic
		m.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return cluster.Topic{}, context.Cause(ctx)
		case old != nil:
			return *old, nil
		case errors.Is(err, kafka.UnknownTopicOrPartition):
			return cluster.Topic{Name: m.cfg.Topic}, nil
		}
		m.complain(ctx, "topic metadata is needed to assign partitions, trying again", err)
		pause(ctx, m.cfg.backoff(failures))
	}
}

// differs says that the topic is not the one that partitions were given out from.
func (b basis) differs(topic cluster.Topic) bool {
	return b.known && b.topic == topic.Name && (!cluster.SameTopic(b.topicID, topic.ID) || len(topic.Partitions) > int(b.partitions))
}
