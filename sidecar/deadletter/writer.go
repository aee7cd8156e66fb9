package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/initproducerid"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

// writer writes the letters of one partition, one batch at a time, over a connection and under a producer id of its own: so that no
// partition waits for another, and giving up one id touches nobody else. Its queue and busy are guarded by the topic's mutex; the
// rest belongs to the goroutine that runs while busy.
type writer struct {
	topic     *Topic
	partition int32
	queue     []*pending
	busy      bool

	conn     *cluster.Conn
	usedAt   time.Time
	producer producer  // anonymous before the first write
	stale    time.Time // metadata from before then names a wrong leader
}

// run writes until the queue is empty.
func (w *writer) run() {
	for {
		batch := w.take()
		if len(batch) == 0 {
			return
		}
		w.deliver(batch)
	}
}

// deliver writes a batch and answers everyone in it. What a broker refuses for good in a batch it may take alone: one letter that is too
// large, or without a key for a compacted topic, must not fail the others.
func (w *writer) deliver(batch []*pending) {
	entries := make([]entry, len(batch))
	now := time.Now()
	for i, p := range batch {
		l := &p.letter
		entries[i] = entry{l.timestamp(now), l.Record.Key, l.Record.Value, l.headers()}
	}
	err := w.send(batch, entries)
	var code kafka.Error
	refused := errors.As(err, &code) && !cluster.Retriable(err)
	switch {
	case refused && len(batch) > 1:
		for i := range batch {
			w.deliver(batch[i : i+1])
		}
		return
	case refused && tooLarge(code):
		entries[0].headers = batch[0].letter.shortHeaders()
		if err = w.send(batch, entries); err == nil {
			w.topic.log.Warn("dead letter was too large with all its headers: written with the most needed ones only",
				slog.Int("partition", int(w.partition)), slog.Int64("size", batch[0].letter.Record.Size()))
		}
	}
	for _, p := range batch {
		p.done <- explain(err)
	}
}

func tooLarge(code kafka.Error) bool {
	return code == kafka.MessageSizeTooLarge || code == kafka.RecordListTooLarge
}

// explain adds what a broker's refusal means here.
func explain(err error) error {
	var code kafka.Error
	if !errors.As(err, &code) {
		return err
	}
	switch {
	case tooLarge(code):
		return fmt.Errorf("the record is too large even without its own headers, raise max.message.bytes of the topic: %w", err)
	case code == kafka.UnknownTopicOrPartition:
		return fmt.Errorf("the topic does not exist any more, and is never created: %w", err)
	case code == kafka.InvalidRecord:
		return fmt.Errorf("the topic refuses the record, which a compacted topic does when there is no key: %w", err)
	case code == kafka.TopicAuthorizationFailed:
		return fmt.Errorf("the right WRITE on the topic is missing: %w", err)
	case code == kafka.NotEnoughReplicas || code == kafka.NotEnoughReplicasAfterAppend:
		return fmt.Errorf("fewer replicas are in sync than min.insync.replicas asks for: %w", err)
	}
	return err
}

// maxTries is how often one batch is sent before Write gives it back to its caller, who waits longer.
const maxTries = 5

// send writes one batch, again and again with the same sequence while the failure may heal, so that a batch of which only the answer was
// lost is there once. When it gives up without knowing, the producer id is given up too: the broker would take the next batch under that
// sequence for the lost one and acknowledge what it has not got.
func (w *writer) send(batch []*pending, entries []entry) error {
	unsure := false
	begin := time.Now()
	for try := 1; ; try++ {
		sent, err := w.try(entries)
		var code kafka.Error
		errors.As(err, &code)
		again := try < maxTries && time.Since(begin) < w.topic.cfg.RequestTimeout && wanted(batch)
		switch {
		case err == nil || code == kafka.DuplicateSequenceNumber: // a repeat of what is there already
			w.producer = w.producer.after(len(entries))
			return nil
		case code == kafka.UnsupportedCompressionType && !w.topic.plain.Swap(true):
			w.topic.log.Warn("broker does not take zstd: dead letters are written uncompressed")
			continue
		case isForbidden(code) && !w.topic.anonymous.Swap(true):
			w.noteAnonymous(err)
			w.producer = anonymous
			continue
		case isFenced(code):
			// The broker has forgotten the producer or the order of its batches. A new id starts afresh.
			w.producer = anonymous
		case cluster.Retriable(err):
			// Only before the append does a leader count its replicas: this code alone says that nothing was written.
			unsure = unsure || sent && code != kafka.NotEnoughReplicas
			w.stale = time.Now()
		default:
			again = false
			unsure = unsure || sent && code == 0
		}
		if !again {
			if unsure {
				w.producer = anonymous
			}
			return err
		}
		select {
		case <-time.After(w.topic.cfg.Cluster.Backoff(try)):
		case <-w.topic.ctx.Done():
			w.producer = anonymous
			return context.Cause(w.topic.ctx)
		}
	}
}

// wanted says whether anybody still waits for the batch.
func wanted(batch []*pending) bool {
	for _, p := range batch {
		if p.ctx.Err() == nil {
			return true
		}
	}
	return false
}

// isForbidden says that writing with a producer id is not allowed or not known, while plain writing may well be.
func isForbidden(code kafka.Error) bool {
	return code == kafka.ClusterAuthorizationFailed || code == kafka.TransactionalIDAuthorizationFailed || code == kafka.UnsupportedVersion
}

// isFenced says that the broker wants another producer id or epoch.
func isFenced(code kafka.Error) bool {
	switch code {
	case kafka.OutOfOrderSequenceNumber, kafka.UnknownProducerId, kafka.InvalidProducerEpoch, kafka.InvalidProducerIDMapping, kafka.ProducerFenced:
		return true
	}
	return false
}

func (w *writer) noteAnonymous(err error) {
	w.topic.log.Info("broker allows no idempotent writes (right IDEMPOTENT_WRITE on the cluster): a dead letter may be written twice when an answer is lost",
		slog.Any("error", err))
}

// try sends the batch once, to the leader as it is known, over a connection and under a producer id that are made when missing. sent says
// whether the batch left: if not, it is not in the log.
func (w *writer) try(entries []entry) (sent bool, err error) {
	ctx := w.topic.ctx
	if err := w.connect(ctx); err != nil {
		return false, err
	}
	if w.producer.id < 0 && !w.topic.anonymous.Load() {
		p, err := w.newProducer(ctx)
		if err != nil {
			return false, err
		}
		w.producer = p
	}
	version, ok := w.conn.MaxVersion(protocol.Produce)
	if version = min(version, newestProduce); !ok || version < oldestProduce {
		return false, errTooOld
	}
	return true, w.produce(ctx, version, encodeBatch(entries, w.producer, version >= zstdProduce && !w.topic.plain.Load()))
}

// connect makes sure of a connection to the partition's leader.
func (w *writer) connect(ctx context.Context) error {
	topic, err := w.topic.lookup(ctx, w.stale)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(topic.Partitions, func(p cluster.Partition) bool { return p.ID == w.partition })
	if i < 0 {
		return kafka.UnknownTopicOrPartition
	}
	leader := topic.Partitions[i].Leader
	if leader == "" {
		return cmp.Or[error](topic.Partitions[i].Err, kafka.LeaderNotAvailable)
	}
	if w.conn != nil {
		if w.conn.Addr() == leader && time.Since(w.usedAt) < maxIdle && !w.conn.Expiring() {
			return nil
		}
		w.hangUp()
	}
	w.conn, err = w.topic.cfg.Cluster.Dial(ctx, leader)
	w.usedAt = time.Now()
	return err
}

// maxIdle is how long a connection may rest. Brokers close theirs after ten minutes, some load balancers before: the next write would
// fail first and leave it open whether it was received.
const maxIdle = 3 * time.Minute

func (w *writer) hangUp() {
	if w.conn != nil {
		_ = w.conn.Close() // nothing is under way on it
		w.conn = nil
	}
}

// newProducer asks for a producer id (KIP-98) without a transaction.
func (w *writer) newProducer(ctx context.Context) (producer, error) {
	msg, err := w.conn.Do(ctx, w.topic.cfg.RequestTimeout, &initproducerid.Request{ProducerID: -1, ProducerEpoch: -1, TransactionTimeoutMs: 60_000})
	if err != nil {
		w.hangUp()
		return producer{}, fmt.Errorf("ask for a producer id: %w", err)
	}
	answer := msg.(*initproducerid.Response)
	if answer.ErrorCode != 0 {
		return producer{}, fmt.Errorf("ask for a producer id: %w", kafka.Error(answer.ErrorCode))
	}
	return producer{id: answer.ProducerID, epoch: answer.ProducerEpoch}, nil
}
