package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testGroup = "g"
	testTopic = "orders"
)

// world is a Kafka cluster in virtual time with one topic, and the book of who owns what in it: two owners of one partition at one time
// fail the test, whoever they are.
type world struct {
	t     *testing.T
	net   kfake.VirtualNetwork
	kafka *kfake.Cluster

	brokers []string
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)

	mu      sync.Mutex
	owners  map[int32]string
	starts  map[int32]int // how often a partition was assigned
	members []*replica
	// tolerated allows a second owner while the first may start nothing.
	tolerated bool
}

// inWorld runs a test in a bubble of virtual time.
func inWorld(t *testing.T, partitions int32, f func(t *testing.T, w *world), opts ...kfake.Opt) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, owners: map[int32]string{}, starts: map[int32]int{}, brokers: []string{"localhost:9092", "localhost:9093", "localhost:9094"}}
		w.dial = w.net.DialContext
		opts = append([]kfake.Opt{kfake.Ports(9092, 9093, 9094), kfake.SeedTopics(partitions, testTopic), kfake.ListenFn(w.net.Listen)}, opts...)
		k, err := kfake.NewCluster(opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		w.kafka = k
		defer func() {
			for _, r := range w.members {
				r.stop()
			}
		}()
		f(t, w)
	})
}

// replica is one process of the subscription: its own cluster connections, its member, and an Owner that keeps the book.
type replica struct {
	w      *world
	name   string
	member *Member
	wire   *wire
	stops  context.CancelFunc
	done   chan struct{}
	err    error // of Run, after done

	mu     sync.Mutex
	state  map[int32]string // per partition: assigned, revoking; absent: not ours
	calls  []string
	drain  func(ctx context.Context) // what Revoke waits for
	topics []cluster.Topic
}

func config() Config {
	return Config{
		GroupID: testGroup, Topic: testTopic, SessionTimeout: 45 * time.Second, RebalanceTimeout: time.Minute, HeartbeatInterval: 3 * time.Second,
		DrainTimeout: 25 * time.Second, RetryBackoff: 100 * time.Millisecond, RetryBackoffMax: time.Second,
	}
}

// prepare makes a replica that does not run yet.
func (w *world) prepare(name string, change ...func(*Config)) *replica {
	r := &replica{w: w, name: name, wire: &wire{world: w}, state: map[int32]string{}, done: make(chan struct{})}
	c, err := cluster.New(cluster.Config{Brokers: w.brokers, ClientID: name, SetupTimeout: 5 * time.Second,
		RequestTimeout: 5 * time.Second, Dial: r.wire.dial, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := config()
	cfg.Cluster = c
	cfg.Logger = slog.New(slog.NewTextHandler(testLog{w.t}, &slog.HandlerOptions{Level: slog.LevelInfo})).With(slog.String("replica", name))
	cfg.OnTopic = func(t cluster.Topic) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.topics = append(r.topics, t)
	}
	for _, f := range change {
		f(&cfg)
	}
	r.member = New(cfg, r)
	return r
}

// start makes a replica and runs it.
func (w *world) start(name string, change ...func(*Config)) *replica {
	r := w.prepare(name, change...)
	r.run()
	return r
}

func (r *replica) run() {
	ctx, stop := context.WithCancel(context.Background())
	r.stops = stop
	r.w.mu.Lock()
	r.w.members = append(r.w.members, r)
	r.w.mu.Unlock()
	go func() {
		defer close(r.done)
		r.err = r.member.Run(ctx)
		r.member.cfg.Cluster.Close()
	}()
}

// stop is SIGTERM, and waits for the end.
func (r *replica) stop() {
	r.stops()
	<-r.done
}

// kill is the end of the process without a word: its connections are cut, and nothing it does counts any more.
func (r *replica) kill() {
	r.wire.set(dead)
	r.w.mu.Lock()
	for p, owner := range r.w.owners {
		if owner == r.name {
			delete(r.w.owners, p)
		}
	}
	r.w.mu.Unlock()
	r.mu.Lock()
	r.drain = func(context.Context) {}
	r.mu.Unlock()
	r.stop()
}

func (r *replica) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	r.calls = append(r.calls, line)
	r.w.t.Logf("%s %s: %s", time.Now().Format("04:05.000"), r.name, line)
}

// Assigned enters the partitions into the world's book.
func (r *replica) Assigned(_ context.Context, partitions []int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note("assigned %v", partitions)
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	for _, p := range partitions {
		if s := r.state[p]; s != "" {
			r.w.t.Errorf("%s: partition %d assigned while it is %s", r.name, p, s)
		}
		if owner := r.w.owners[p]; owner != "" && !r.w.tolerates(owner) {
			r.w.t.Errorf("%s: partition %d assigned while %s owns it", r.name, p, owner)
		}
		r.state[p] = "assigned"
		r.w.owners[p] = r.name
		r.w.starts[p]++
	}
}

// Revoke waits for the drain, unless the membership is lost.
func (r *replica) Revoke(ctx context.Context, partitions []int32) {
	r.mu.Lock()
	r.note("revoke %v", partitions)
	drain := r.drain
	r.turn(partitions, "assigned", "revoking")
	r.mu.Unlock()
	lost := context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), ErrLost) {
			r.w.free(r, partitions)
		}
	})
	if drain != nil {
		drain(ctx)
	}
	lost()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note("revoked %v (%v)", partitions, context.Cause(ctx))
	r.w.free(r, partitions)
	r.turn(partitions, "revoking", "")
}

// Lost takes the partitions out of the book.
func (r *replica) Lost(partitions []int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note("lost %v", partitions)
	r.turn(partitions, "assigned", "")
	r.w.free(r, partitions)
}

func (w *world) tolerates(owner string) bool {
	return w.tolerated && slices.ContainsFunc(w.members, func(r *replica) bool { return r.name == owner && !r.member.MayStart(time.Now()) })
}

func (r *replica) turn(partitions []int32, from, to string) {
	for _, p := range partitions {
		if r.state[p] != from {
			r.w.t.Errorf("%s: partition %d is %q, not %q", r.name, p, r.state[p], from)
		}
		r.state[p] = to
		if to == "" {
			delete(r.state, p)
		}
	}
}

func (w *world) free(r *replica, partitions []int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range partitions {
		if w.owners[p] == r.name {
			delete(w.owners, p)
		}
	}
}

// owned is what the book says of the replica.
func (r *replica) owned() (ps []int32) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	for p, owner := range r.w.owners {
		if owner == r.name {
			ps = append(ps, p)
		}
	}
	slices.Sort(ps)
	return ps
}

// said counts calls that begin with a word.
func (r *replica) said(word string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.calls {
		if strings.HasPrefix(c, word) {
			n++
		}
	}
	return n
}

// until waits in virtual time for a condition.
func (w *world) until(limit time.Duration, what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(limit); !ok(); {
		if !time.Now().Before(end) {
			w.t.Fatalf("after %s: not %s; owners %v, group %+v", limit, what, w.book(), w.kafka.GroupInfo(testGroup))
		}
		pass(10 * time.Millisecond)
		synctest.Wait()
	}
}

func (w *world) book() map[int32]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	book := map[int32]string{}
	for p, o := range w.owners {
		book[p] = o
	}
	return book
}

// balanced says that all partitions are owned, and evenly so by these.
func (w *world) balanced(partitions int, replicas ...*replica) func() bool {
	return func() bool {
		total := 0
		for _, r := range replicas {
			n := len(r.owned())
			if n < partitions/len(replicas) || n > (partitions+len(replicas)-1)/len(replicas) {
				return false
			}
			total += n
		}
		return total == partitions
	}
}

// wire is a replica's network: what it carries can be cut off.
type wire struct {
	world *world
	mu    sync.Mutex
	mode  wireMode
	only  func(addr string) bool // nil: all
	conns []*wireConn
}

type wireMode int

const (
	up wireMode = iota
	hole
	dead
)

func (w *wire) set(mode wireMode) { w.setOnly(mode, nil) }

func (w *wire) setOnly(mode wireMode, only func(addr string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mode, w.only = mode, only
	if mode == dead {
		for _, c := range w.conns {
			c.Close()
		}
	}
}

func (w *wire) state(addr string) wireMode {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.only != nil && !w.only(addr) {
		return up
	}
	return w.mode
}

// cut closes every connection once.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

func (w *wire) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	switch w.state(addr) {
	case hole:
		<-ctx.Done()
		return nil, ctx.Err()
	case dead:
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	c, err := w.world.dial(ctx, network, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Err: err}
	}
	wrapped := &wireConn{Conn: c, wire: w, addr: addr}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, wrapped)
	return wrapped, nil
}

// wireConn swallows what goes through a hole.
type wireConn struct {
	net.Conn
	wire *wire
	addr string
}

func (c *wireConn) Write(b []byte) (int, error) {
	if c.wire.state(c.addr) == hole {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *wireConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || c.wire.state(c.addr) != hole {
			return n, err
		}
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// pass lets virtual time go by; its callers run in synctest bubbles.
func pass(d time.Duration) { <-time.After(d) }
