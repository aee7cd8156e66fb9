package intake

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

// topicView is the newest known state of the topic: its id, its partitions and their leaders. Readers share it, so that a leader move
// seen by many of them costs one request.
type topicView struct {
	name  string
	fetch func(ctx context.Context, name string) (cluster.Topic, error)

	mu    sync.Mutex
	topic cluster.Topic
	at    time.Time

	refreshing chan struct{} // holds a token during a request, so that there is one at a time
}

func newTopicView(name string, fetch func(ctx context.Context, name string) (cluster.Topic, error)) *topicView {
	return &topicView{name: name, fetch: fetch, refreshing: make(chan struct{}, 1)}
}

// current returns the newest view.
func (v *topicView) current() cluster.Topic {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.topic
}

// looked is when the newest view was obtained.
func (v *topicView) looked() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.at
}

// set takes over a view that somebody else obtained.
func (v *topicView) set(t cluster.Topic) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.topic, v.at = t, time.Now()
}

// refresh asks the cluster, unless somebody else has since the caller looked at the view (seen). A caller whose ctx ends does not wait for
// somebody else's request, which may be stuck on a broker that answers nothing.
func (v *topicView) refresh(ctx context.Context, seen time.Time) error {
	select {
	case v.refreshing <- struct{}{}:
		defer func() { <-v.refreshing }()
	case <-ctx.Done():
		return fmt.Errorf("look up topic %q: %w", v.name, context.Cause(ctx))
	}
	v.mu.Lock()
	newer := v.at.After(seen)
	v.mu.Unlock()
	if newer {
		return nil
	}
	t, err := v.fetch(ctx, v.name)
	if err != nil {
		return fmt.Errorf("look up topic %q: %w", v.name, err)
	}
	v.set(t)
	return nil
}

// leader returns the address and epoch of a partition's leader.
func (v *topicView) leader(partition int32) (addr string, epoch int32, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.topic.Partitions {
		p := &v.topic.Partitions[i]
		if p.ID != partition {
			continue
		}
		if p.Leader == "" {
			return "", -1, kafka.LeaderNotAvailable
		}
		return p.Leader, p.LeaderEpoch, nil
	}
	return "", -1, kafka.UnknownTopicOrPartition
}

// partitionIDs lists the topic's partitions.
func partitionIDs(t cluster.Topic) []int32 {
	ids := make([]int32, len(t.Partitions))
	for i := range t.Partitions {
		ids[i] = t.Partitions[i].ID
	}
	return ids
}
