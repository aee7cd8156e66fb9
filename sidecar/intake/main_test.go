package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testGroup = "g"
	testTopic = "orders"
)

// world is a Kafka cluster in virtual time: waiting costs nothing, and synctest.Wait says when nobody has anything left to do.
type world struct {
	t     *testing.T
	net   kfake.VirtualNetwork
	kafka *kfake.Cluster

	mu       sync.Mutex
	down     bool
	holes    map[string]bool // addresses that answer nothing
	refused  map[string]bool // addresses that refuse
	conns    []net.Conn      // of the sidecars
	sidecars []*sidecar
	fetches  map[int32]int // requests by partition
}

// inWorld runs a test in a bubble of virtual time, with three brokers and one topic.
func inWorld(t *testing.T, partitions int32, f func(t *testing.T, w *world), opts ...kfake.Opt) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, holes: map[string]bool{}, refused: map[string]bool{}, fetches: map[int32]int{}}
		opts = append(opts, kfake.Ports(9092, 9093, 9094), kfake.ListenFn(w.net.Listen))
		if partitions > 0 {
			opts = append(opts, kfake.SeedTopics(partitions, testTopic))
		}
		k, err := kfake.NewCluster(opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		w.kafka = k
		w.on(kmsg.Fetch, func(q kmsg.Request) (kmsg.Response, error, bool) {
			for _, topic := range q.(*kmsg.FetchRequest).Topics {
				for _, p := range topic.Partitions {
					w.mu.Lock()
					w.fetches[p.Partition]++
					w.mu.Unlock()
				}
			}
			return nil, nil, false
		})
		defer func() {
			for _, s := range w.sidecars {
				s.stop()
				<-s.done
			}
		}()
		f(t, w)
	})
}

// on puts itself between the sidecars and the broker for one kind of request, until the end.
func (w *world) on(key kmsg.Key, f func(kmsg.Request) (kmsg.Response, error, bool)) {
	w.kafka.ControlKey(int16(key), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.kafka.KeepControl()
		return f(q)
	})
}

func (w *world) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	down, hole := w.down || w.refused[addr], w.holes[addr]
	w.mu.Unlock()
	switch {
	case down:
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	case hole:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c, err := w.net.DialContext(ctx, network, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Err: err}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, c)
	return c, nil
}

// refuse makes brokers, which the others still name, refuse connections.
func (w *world) refuse(addrs ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, addr := range addrs {
		w.refused[addr] = true
	}
}

// cut closes every connection of the sidecars, once.
func (w *world) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

func (w *world) setDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// dig turns brokers into black holes for new connections.
func (w *world) dig(addrs ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, addr := range addrs {
		w.holes[addr] = true
	}
}

func (w *world) fetched(partition int32) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fetches[partition]
}

func (w *world) cluster() *cluster.Cluster {
	c, err := cluster.New(cluster.Config{Brokers: []string{"localhost:9092", "localhost:9093", "localhost:9094"}, ClientID: "test",
		SetupTimeout: 30 * time.Second, RequestTimeout: 30 * time.Second, Dial: w.dial, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// client is a foreign one, which nothing of the above disturbs.
func (w *world) client(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers("localhost:9092", "localhost:9093", "localhost:9094"), kgo.Dialer(w.net.DialContext),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(testTopic)}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	return cl
}

// produce appends n records to a partition, one batch each, with the timestamp of now.
func (w *world) produce(partition int32, n int) {
	w.t.Helper()
	cl := w.client()
	defer cl.Close()
	for i := range n {
		w.send(cl, &kgo.Record{Partition: partition, Key: fmt.Append(nil, "k", i%3), Value: fmt.Append(nil, "v", i)})
	}
}

func (w *world) send(cl *kgo.Client, recs ...*kgo.Record) {
	w.t.Helper()
	if err := cl.ProduceSync(w.t.Context(), recs...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// commits are the group's, by partition; nil when there are none.
func (w *world) commits() map[int32]kfake.GroupCommit {
	if g := w.kafka.GroupInfo(testGroup); g != nil {
		return g.Commits[testTopic]
	}
	return nil
}

// until waits in virtual time for a condition.
func (w *world) until(limit time.Duration, what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(limit); !ok(); {
		if !time.Now().Before(end) {
			w.t.Fatalf("after %s: not %s; commits %v", limit, what, w.commits())
		}
		pass(10 * time.Millisecond)
	}
}

// pass lets virtual time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// sidecar is one process: an intake with a fake behind it.
type sidecar struct {
	*fake
	in   *Intake
	stop context.CancelFunc
	done chan struct{}
	err  error // of Run, after done
}

func (w *world) config() Config {
	return Config{
		Cluster: w.cluster(), Topic: testTopic, GroupID: testGroup, ClientID: "test",
		SessionTimeout: 45 * time.Second, HeartbeatInterval: 3 * time.Second, RebalanceTimeout: time.Minute, DrainTimeout: 20 * time.Second, StopTimeout: 20 * time.Second,
		ReadCommitted: true, CheckCRCs: true,
		FetchMinBytes: 1, FetchMaxBytes: 8 << 20, PartitionMaxBytes: 1 << 20, FetchMaxWait: 500 * time.Millisecond, SocketTimeout: 30 * time.Second,
		ReconnectBackoff: 100 * time.Millisecond, ReconnectBackoffMax: time.Second, FetchErrorBackoff: 500 * time.Millisecond,
		RetryBackoff: 100 * time.Millisecond, RetryBackoffMax: time.Second,
		MetadataMaxAge: 10 * time.Second, BatchAllowance: 1 << 20, CommitInterval: time.Second, StartupTimeout: time.Minute,
		OnRebalance: func() {},
		Logger:      slog.New(slog.NewTextHandler(testLog{w.t}, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
}

// prepare makes a sidecar that does not run yet.
func (w *world) prepare(change ...func(*Config)) *sidecar {
	cfg := w.config()
	for _, f := range change {
		f(&cfg)
	}
	s := &sidecar{fake: newFake(w.t), done: make(chan struct{})}
	s.in = New(cfg, s.fake)
	return s
}

// start makes a sidecar and runs it.
func (w *world) start(change ...func(*Config)) *sidecar {
	s := w.prepare(change...)
	s.run(w)
	return s
}

func (s *sidecar) run(w *world) {
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	w.sidecars = append(w.sidecars, s)
	go func() {
		defer close(s.done)
		s.err = s.in.Run(ctx)
		s.in.cfg.Cluster.Close()
	}()
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// recreate deletes the topic and makes it again, with a new id.
func (w *world) recreate(partitions int32) {
	w.t.Helper()
	if err := errors.Join(w.kafka.DeleteTopic(testTopic), w.kafka.CreateTopic(testTopic, partitions, nil)); err != nil {
		w.t.Fatal(err)
	}
}
