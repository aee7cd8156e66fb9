package realkafka_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

func client(t *testing.T, c *realkafka.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(c.Bootstrap(), ",")...)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// produce writes one record and returns its offset.
func produce(t *testing.T, cl *kgo.Client, topic string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("x")}).First()
	if err != nil {
		t.Fatal(err)
	}
	return r.Offset
}

func TestBrokerKeepsItsDataOverStopKillAndPause(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a JVM several times")
	}
	c := realkafka.Start(t, realkafka.Options{})
	cl := client(t, c)
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	if got := produce(t, cl, "orders"); got != 0 {
		t.Fatalf("offset %d, want 0", got)
	}
	before := c.Node(1).PID()
	if err := c.Restart(); err != nil {
		t.Fatal(err)
	}
	if c.Node(1).PID() == before {
		t.Fatal("the same process after a restart")
	}
	if got := produce(t, cl, "orders"); got != 1 {
		t.Fatalf("offset %d after a restart, want 1", got)
	}
	c.Kill()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if got := produce(t, cl, "orders"); got != 2 {
		t.Fatalf("offset %d after a kill, want 2", got)
	}

	if err := c.Node(1).Pause(); err != nil {
		t.Fatal(err)
	}
	// Metadata, not a record: the client must not give up a record whose fate it does not know.
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := cl.Ping(ctx); err == nil {
		t.Fatal("a paused broker answered")
	}
	if err := c.Node(1).Resume(); err != nil {
		t.Fatal(err)
	}
	produce(t, cl, "orders")
}

func TestThreeNodesSurviveTheLossOfOne(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three JVMs")
	}
	c := realkafka.Start(t, realkafka.Options{Nodes: 3})
	cl := client(t, c)
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 3, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	produce(t, cl, "orders")
	c.Node(3).Kill()
	if got := produce(t, cl, "orders"); got != 1 {
		t.Fatalf("offset %d with one node gone, want 1", got)
	}
	if err := c.Node(3).Start(); err != nil {
		t.Fatal(err)
	}
}
