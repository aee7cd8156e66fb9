package harness

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

// Broker is one Kafka cluster as a test sees it. Its methods fail the test instead of returning errors.
type Broker struct {
	Kind string             // kfake or kafka
	Addr string             // bootstrap servers, a comma list
	Fake *kfake.Cluster     // nil with Apache Kafka
	Real *realkafka.Cluster // nil with kfake

	t      testing.TB
	gate   *gate // in front of kfake's listeners
	auth   []kgo.Opt
	client *kgo.Client
	admin  *kadm.Client
}

// Fake starts a kfake cluster of its own for the test. One broker unless the options say otherwise.
func Fake(t testing.TB, opts ...kfake.Opt) *Broker {
	t.Helper()
	return startFake(t, nil, opts...)
}

// FakeSASL is Fake with SASL PLAIN for everybody.
func FakeSASL(t testing.TB, user, password string) *Broker {
	t.Helper()
	return startFake(t, []kgo.Opt{kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism())},
		kfake.EnableSASL(), kfake.Superuser("PLAIN", user, password))
}

func startFake(t testing.TB, auth []kgo.Opt, opts ...kfake.Opt) *Broker {
	t.Helper()
	g := newGate()
	all := append([]kfake.Opt{kfake.NumBrokers(1), kfake.ListenFn(g.listen), kfake.BrokerConfigs(map[string]string{
		"message.max.bytes": "16777216", "log.cleaner.backoff.ms": "200",
	})}, opts...)
	c, err := kfake.NewCluster(all...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.open()
		c.Close()
	})
	return connect(t, &Broker{Kind: "kfake", Addr: strings.Join(c.ListenAddrs(), ","), Fake: c, gate: g, auth: auth})
}

// Real returns the Apache Kafka that all tests of the package share. It skips with -short and where none can be had.
func Real(t testing.TB) *Broker {
	t.Helper()
	if testing.Short() {
		t.Skip("no JVM with -short")
	}
	c := shared.Get(t)
	return connect(t, &Broker{Kind: "kafka", Addr: c.Bootstrap(), Real: c})
}

// PrivateReal starts an Apache Kafka for this test alone, which may stop, freeze or reconfigure it.
func PrivateReal(t testing.TB, o realkafka.Options) *Broker {
	t.Helper()
	if testing.Short() {
		t.Skip("no JVM with -short")
	}
	c := realkafka.Start(t, o)
	return connect(t, &Broker{Kind: "kafka", Addr: c.Bootstrap(), Real: c})
}

func connect(t testing.TB, b *Broker) *Broker {
	t.Helper()
	b.t = t
	b.client = b.Client()
	b.admin = kadm.NewClient(b.client)
	return b
}

// Client returns a further client, closed with the test.
func (b *Broker) Client(opts ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	all := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(b.Addr, ",")...),
		kgo.ProducerBatchMaxBytes(15 << 20),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.MaxBufferedRecords(200_000),
	}
	cl, err := kgo.NewClient(slices.Concat(all, b.auth, opts)...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(cl.Close)
	return cl
}

// Admin is for what the methods of Broker do not cover.
func (b *Broker) Admin() *kadm.Client { return b.admin }

// request bounds one admin request or one batch of records.
func (b *Broker) request() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(b.t.Context()), Patience)
}

// CreateTopic makes a topic with a name of its own and returns the name. The configs are name=value.
func (b *Broker) CreateTopic(partitions int, configs ...string) string {
	b.t.Helper()
	name := Name(b.t, "topic")
	b.CreateTopicNamed(name, partitions, configs...)
	return name
}

// CreateTopicNamed makes a topic and waits until every partition has a leader.
func (b *Broker) CreateTopicNamed(name string, partitions int, configs ...string) {
	b.t.Helper()
	// A test's records may be as old as it likes: the broker looks for expired ones every few minutes, and took them in the middle of a run.
	forever := "-1"
	settings := map[string]*string{"retention.ms": &forever}
	for _, c := range configs {
		key, value, _ := strings.Cut(c, "=")
		settings[key] = &value
	}
	ctx, cancel := b.request()
	defer cancel()
	answer, err := b.admin.CreateTopic(ctx, int32(partitions), -1, settings, name)
	if err = errors.Join(err, answer.Err); err != nil {
		b.t.Fatalf("create topic %s: %v %s", name, err, answer.ErrMessage)
	}
	Eventually(b.t, Patience, func() (bool, string) {
		ends, err := b.admin.ListEndOffsets(ctx, name)
		if err == nil {
			err = ends.Error()
		}
		return err == nil && len(ends[name]) == partitions, fmt.Sprintf("leaders of %s: %v", name, err)
	})
}

// DeleteTopic deletes a topic and waits until the broker knows it no longer.
func (b *Broker) DeleteTopic(name string) {
	b.t.Helper()
	ctx, cancel := b.request()
	defer cancel()
	if _, err := b.admin.DeleteTopic(ctx, name); err != nil {
		b.t.Fatalf("delete topic %s: %v", name, err)
	}
	Eventually(b.t, Patience, func() (bool, string) {
		ends, err := b.admin.ListEndOffsets(ctx, name)
		if err == nil {
			err = ends.Error()
		}
		return errors.Is(err, kerr.UnknownTopicOrPartition), fmt.Sprintf("topic %s: %v", name, err)
	})
	// The client remembers the id of the topic, which one made again under the name does not have.
	connect(b.t, b)
}

// TopicExists asks the broker itself: the admin client answers from a cache. It never creates the topic.
func (b *Broker) TopicExists(name string) bool {
	b.t.Helper()
	ctx, cancel := b.request()
	defer cancel()
	answer, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, b.client) // no topics named: all of them
	if err != nil {
		b.t.Fatalf("list topics: %v", err)
	}
	return slices.ContainsFunc(answer.Topics, func(t kmsg.MetadataResponseTopic) bool { return t.Topic != nil && *t.Topic == name })
}

// AddPartitions raises the number of partitions of a topic.
func (b *Broker) AddPartitions(topic string, total int) {
	b.t.Helper()
	ctx, cancel := b.request()
	defer cancel()
	answers, err := b.admin.UpdatePartitions(ctx, total, topic)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		b.t.Fatalf("add partitions to %s: %v", topic, err)
	}
	// The broker takes the request before it hosts the partitions. Asked by the plain request: the admin client has a cache.
	Eventually(b.t, Patience, func() (bool, string) {
		request := kmsg.NewPtrMetadataRequest()
		request.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
		answer, err := request.RequestWith(ctx, b.client)
		if err != nil || len(answer.Topics) != 1 {
			return false, fmt.Sprintf("look up %s: %v", topic, err)
		}
		ready := 0
		for _, p := range answer.Topics[0].Partitions {
			if p.ErrorCode == 0 && p.Leader >= 0 {
				ready++
			}
		}
		return ready == total, fmt.Sprintf("%d of %d partitions of %s have a leader", ready, total, topic)
	})
}

// DeleteRecords moves the start of a partition to an offset.
func (b *Broker) DeleteRecords(topic string, partition int32, before int64) {
	b.t.Helper()
	ctx, cancel := b.request()
	defer cancel()
	var offsets kadm.Offsets
	offsets.AddOffset(topic, partition, before, -1)
	answers, err := b.admin.DeleteRecords(ctx, offsets)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		b.t.Fatalf("delete the records of %s/%d before %d: %v", topic, partition, before, err)
	}
}

// EndOffsets returns the offset after the last record of every partition.
func (b *Broker) EndOffsets(topic string) map[int32]int64 {
	b.t.Helper()
	ctx, cancel := b.request()
	defer cancel()
	var ends kadm.ListedOffsets
	// A leader that was just elected says that it cannot tell yet (KIP-207).
	Eventually(b.t, Patience, func() (bool, string) {
		var err error
		if ends, err = b.admin.ListEndOffsets(ctx, topic); err == nil {
			err = ends.Error()
		}
		if err != nil && !kerr.IsRetriable(err) {
			b.t.Fatalf("list the end offsets of %s: %v", topic, err)
		}
		return err == nil, fmt.Sprintf("list the end offsets of %s: %v", topic, err)
	})
	out := map[int32]int64{}
	for id, o := range ends[topic] {
		out[id] = o.Offset
	}
	return out
}

// Commit is what a group committed for one partition.
type Commit struct {
	Offset   int64
	Metadata string
}

// Commits returns what a group committed for a topic. Partitions without a commit are missing.
func (b *Broker) Commits(group, topic string) map[int32]Commit {
	b.t.Helper()
	out := map[int32]Commit{}
	if b.Fake != nil {
		if info := b.Fake.GroupInfo(group); info != nil {
			for id, c := range info.Commits[topic] {
				out[id] = Commit{c.Offset, c.Metadata}
			}
		}
		return out
	}
	Eventually(b.t, Patience, func() (bool, string) {
		ctx, cancel := b.request()
		defer cancel()
		offsets, err := b.admin.FetchOffsetsForTopics(ctx, group, topic)
		if errors.Is(err, kerr.GroupIDNotFound) {
			return true, ""
		}
		if err != nil { // the first group of a cluster waits for the coordinator to appear
			return false, fmt.Sprintf("fetch the offsets of group %s: %v", group, err)
		}
		for id, o := range offsets[topic] {
			if o.Err == nil && o.At >= 0 {
				out[id] = Commit{o.At, o.Metadata}
			}
		}
		return true, ""
	})
	return out
}

// WaitCommitted waits until the group has committed everything that is in the topic now.
func (b *Broker) WaitCommitted(group, topic string) {
	b.t.Helper()
	ends := b.EndOffsets(topic)
	Eventually(b.t, Patience, func() (bool, string) {
		commits := b.Commits(group, topic)
		for id, end := range ends {
			// A partition that never had a record may have no commit at all.
			if c, ok := commits[id]; end > 0 && (!ok || c.Offset < end) {
				return false, fmt.Sprintf("committed %v of %v", commits, ends)
			}
		}
		return true, ""
	})
}

// Members returns the member ids of a group, sorted, and its state; the state is an error while nobody coordinates it.
func (b *Broker) Members(group string) (ids []string, state string) {
	b.t.Helper()
	ctx, cancel := b.request()
	defer cancel()
	groups, err := b.admin.DescribeGroups(ctx, group)
	if err != nil {
		return nil, err.Error()
	}
	for _, m := range groups[group].Members {
		ids = append(ids, m.MemberID)
	}
	slices.Sort(ids)
	return ids, groups[group].State
}

// WaitMembers waits until the group is stable with that many members.
func (b *Broker) WaitMembers(group string, n int) {
	b.t.Helper()
	want := "Stable"
	if n == 0 {
		want = "Empty"
	}
	Eventually(b.t, Patience, func() (bool, string) {
		ids, state := b.Members(group)
		gone := n == 0 && (state == "Dead" || state == "")
		return len(ids) == n && (state == want || gone), fmt.Sprintf("group %s is %s with members %v", group, state, ids)
	})
}

// WaitMembersAtLeast waits until that many members are known, whatever state the group is in.
func (b *Broker) WaitMembersAtLeast(group string, n int) {
	b.t.Helper()
	Eventually(b.t, Patience, func() (bool, string) {
		ids, state := b.Members(group)
		return len(ids) >= n, fmt.Sprintf("group %s is %s with members %v", group, state, ids)
	})
}

// Outage makes the whole cluster unreachable until Recover: connections end, new ones are refused. Apache Kafka must be
// a private one.
func (b *Broker) Outage() {
	b.t.Helper()
	if b.gate != nil {
		b.gate.refuse()
		return
	}
	b.Real.Stop()
}

// Freeze keeps all connections and lets nothing through until Recover, as a lost route or a stopped process does.
func (b *Broker) Freeze() {
	b.t.Helper()
	if b.gate != nil {
		b.gate.stall()
		return
	}
	if err := b.Real.Node(1).Pause(); err != nil {
		b.t.Fatal(err)
	}
}

// StallConnections lets nothing more through the connections that there are, as a middlebox does that has forgotten
// them; new connections work. kfake only.
func (b *Broker) StallConnections() {
	b.t.Helper()
	b.gate.stallConns()
	connect(b.t, b) // the test's own client is not what is tested
}

// Recover ends an Outage or a Freeze.
func (b *Broker) Recover() {
	b.t.Helper()
	if b.gate != nil {
		b.gate.open()
		return
	}
	if err := b.Real.Node(1).Resume(); err != nil {
		b.t.Fatal(err)
	}
	if err := b.Real.Start(); err != nil {
		b.t.Fatal(err)
	}
}

// SortedOffsets returns the partitions of a map in order; it makes failures readable.
func SortedOffsets[V any](m map[int32]V) []int32 { return slices.Sorted(maps.Keys(m)) }
