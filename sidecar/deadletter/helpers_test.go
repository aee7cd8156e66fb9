package deadletter

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker is a Kafka inside the test with a topic "source" and a dead-letter topic "dead".
type broker struct {
	*kfake.Cluster
	t   *testing.T
	log syncBuffer
}

func start(t *testing.T, opts ...kfake.Opt) *broker {
	t.Helper()
	opts = append([]kfake.Opt{kfake.NumBrokers(3), kfake.SeedTopics(4, "source", "dead")}, opts...)
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &broker{Cluster: c, t: t}
}

// target is the topic under test.
func (b *broker) target(change func(*TopicConfig, *cluster.Config)) *Topic {
	b.t.Helper()
	kafka := cluster.Config{Brokers: b.ListenAddrs(), SetupTimeout: 10 * time.Second, RetryBackoff: time.Millisecond, RetryBackoffMax: 20 * time.Millisecond}
	cfg := TopicConfig{Topic: "dead", SourceTopic: "source", RequestTimeout: 10 * time.Second, Logger: slog.New(slog.NewTextHandler(&b.log, nil))}
	if change != nil {
		change(&cfg, &kafka)
	}
	c, err := cluster.New(kafka)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(c.Close)
	cfg.Cluster = c
	topic := NewTopic(cfg)
	b.t.Cleanup(topic.Close)
	return topic
}

// read gives the n records of the dead-letter topic, read by another client, and fails if there are more.
func (b *broker) read(n int) []*kgo.Record {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...), kgo.ConsumeTopics("dead"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	var records []*kgo.Record
	for len(records) < n {
		f := client.PollFetches(ctx)
		if err := f.Err(); err != nil {
			b.t.Fatalf("%d of %d records: %v", len(records), n, err)
		}
		records = append(records, f.Records()...)
	}
	if there := b.count(); there != n {
		b.t.Fatalf("%d records in the topic, want %d", there, n)
	}
	return records
}

// count is how many records the dead-letter topic holds.
func (b *broker) count() (n int) {
	for _, p := range b.PartitionInfos("dead") {
		n += int(p.HighWatermark)
	}
	return n
}

// create makes a topic of one partition with a configuration of its own.
func (b *broker) create(name string, config map[string]string) {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	values := map[string]*string{}
	for k, v := range config {
		values[k] = &v
	}
	if _, err := kadm.NewClient(client).CreateTopic(b.t.Context(), 1, 1, values, name); err != nil {
		b.t.Fatal(err)
	}
}

// refuse makes the next count writes fail with a code.
func (b *broker) refuse(err *kerr.Error, count int) *kfake.FaultHandle {
	return b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "dead", Err: err, Count: count})
}

// hold keeps the first write back in the broker: held is closed when it is there, release lets it through. requests counts all writes.
func (b *broker) hold() (held chan struct{}, release func(), requests *atomic.Int32) {
	held, requests = make(chan struct{}), new(atomic.Int32)
	free := make(chan struct{})
	release = sync.OnceFunc(func() { close(free) })
	b.t.Cleanup(release)
	b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		if requests.Add(1) == 1 {
			b.SleepControl(func() { close(held); <-free })
		}
		return nil, nil, false
	})
	return held, release, requests
}

// letter is a letter about a record with this key.
func letter(key string) Letter {
	return Letter{
		Record:      &record.Record{Partition: 3, Offset: 4711, Timestamp: 1_700_000_000_123, Key: []byte(key), Value: []byte("value")},
		SourceTopic: "source", Subscription: "orders-to-billing", Reason: "status", Status: 422, Attempts: 3,
		FailedAt: time.Date(2026, 11, 22, 10, 0, 0, 5e6, time.FixedZone("CET", 3600)),
	}
}

func write(t *testing.T, to Target, l Letter) {
	t.Helper()
	if err := to.Write(t.Context(), l); err != nil {
		t.Fatal(err)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
