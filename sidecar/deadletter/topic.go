package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

// TopicConfig is a dead-letter topic on the source's cluster.
type TopicConfig struct {
	Cluster        *cluster.Cluster
	Topic          string
	SourceTopic    string        // what its records may measure, Topic must take
	RequestTimeout time.Duration // of one write, and how long a write is repeated before Write gives it back; default 30 s
	Logger         *slog.Logger  // may be nil
}

// metadataAge is after how long the number of partitions is asked for again, as the Java client does.
const metadataAge = 5 * time.Minute

// Topic is a dead-letter target in Kafka. Letters go to the partition of their key. Each partition has a queue, and while that is not empty
// a goroutine that sends what has come together as one batch, one at a time.
type Topic struct {
	cfg    TopicConfig
	log    *slog.Logger
	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc

	mu      sync.Mutex // guards closed, writers and their queues
	closed  bool
	writers map[int32]*writer
	running sync.WaitGroup

	turn     chan struct{} // holds a token during a lookup; guards known and knownAt
	known    cluster.Topic
	knownAt  time.Time // when the lookup began
	nullKeys atomic.Uint32

	plain     atomic.Bool // the broker does not take our compression
	anonymous atomic.Bool // the broker does not let us write with a producer id
}

var _ Target = (*Topic)(nil)

var errClosed = errors.New("the dead-letter topic is closed")

// NewTopic makes the target; it connects to nothing yet.
func NewTopic(cfg TopicConfig) *Topic {
	cfg.RequestTimeout = cmp.Or(cfg.RequestTimeout, 30*time.Second)
	t := &Topic{cfg: cfg, log: cfg.Logger, writers: map[int32]*writer{}, turn: make(chan struct{}, 1)}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.log = t.log.With(slog.String("dead_letter_topic", cfg.Topic))
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	return t
}

// Close ends the writes under way: whether those letters are in the topic is not known then.
func (t *Topic) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel(errClosed)
	t.running.Wait()
	for _, w := range t.writers { // nobody else is left
		w.hangUp()
	}
}

// Write returns nil once the letter is acknowledged by all in-sync replicas. It waits for its turn in the partition's queue; an outage is
// sat out for RequestTimeout. A ctx that ends is returned at once; the letter may be written nevertheless.
func (t *Topic) Write(ctx context.Context, l Letter) error {
	partition, err := t.partitionFor(ctx, l.Record.Key)
	if err != nil {
		return fmt.Errorf("write dead letter to topic %q: %w", t.cfg.Topic, explain(err))
	}
	p := &pending{ctx: ctx, letter: l, done: make(chan error, 1)}
	if err := t.enqueue(partition, p); err != nil {
		return err
	}
	select {
	case err = <-p.done:
	case <-ctx.Done():
		select {
		case err = <-p.done: // both at once: the better known of the two
		default:
			return context.Cause(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("write dead letter to topic %q partition %d: %w", t.cfg.Topic, partition, err)
	}
	return nil
}

// partitionFor is the Java client's choice for a key; a null key takes the next partition that has a leader.
func (t *Topic) partitionFor(ctx context.Context, key []byte) (int32, error) {
	topic, err := t.lookup(ctx, time.Now().Add(-metadataAge))
	if err != nil {
		return 0, err
	}
	if len(topic.Partitions) == 0 {
		return 0, kafka.UnknownTopicOrPartition
	}
	if key != nil {
		return topic.Partitions[partitionOf(key, len(topic.Partitions))].ID, nil
	}
	alive := slices.DeleteFunc(slices.Clone(topic.Partitions), func(p cluster.Partition) bool { return p.Leader == "" })
	if len(alive) == 0 {
		alive = topic.Partitions
	}
	return alive[int(t.nullKeys.Add(1)%uint32(len(alive)))].ID, nil
}

// lookup is the topic's metadata as of a moment that is not before the given one. Those who find the same leader gone ask once.
func (t *Topic) lookup(ctx context.Context, notBefore time.Time) (cluster.Topic, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return cluster.Topic{}, context.Cause(ctx)
	}
	if !t.knownAt.IsZero() && !t.knownAt.Before(notBefore) {
		return t.known, nil
	}
	now := time.Now()
	topic, err := t.cfg.Cluster.Topic(ctx, t.cfg.Topic)
	if err != nil {
		return cluster.Topic{}, err
	}
	t.known, t.knownAt = topic, now
	return topic, nil
}

// pending is a letter on its way.
type pending struct {
	ctx    context.Context
	letter Letter
	done   chan error // takes one answer without waiting
}

// enqueue puts a letter into its partition's queue and starts the writer when it rests.
func (t *Topic) enqueue(partition int32, p *pending) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return errClosed
	}
	w := t.writers[partition]
	if w == nil {
		w = &writer{topic: t, partition: partition, producer: anonymous}
		t.writers[partition] = w
	}
	w.queue = append(w.queue, p)
	if !w.busy {
		w.busy = true
		t.running.Go(w.run)
	}
	return nil
}

// Bounds of one batch. A batch that is refused for its size is written letter by letter.
const (
	maxBatchLetters = 100
	maxBatchBytes   = 256 << 10
)

// take removes the next batch from the queue, leaving out those whose callers have gone. With nothing left the writer rests.
func (w *writer) take() []*pending {
	w.topic.mu.Lock()
	defer w.topic.mu.Unlock()
	var batch []*pending
	size := int64(0)
	for len(w.queue) > 0 && len(batch) < maxBatchLetters {
		p := w.queue[0]
		if p.ctx.Err() == nil {
			if size += p.letter.Record.Size(); len(batch) > 0 && size > maxBatchBytes {
				break
			}
			batch = append(batch, p)
		}
		w.queue = w.queue[1:]
	}
	if len(batch) == 0 {
		w.queue, w.busy = nil, false
	}
	return batch
}
