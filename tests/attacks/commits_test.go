package attacks

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake/group"
	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

// refuse answers 500 to some keys and 200 to the others.
func refuse(bad func(key string) bool) harness.Script {
	return func(c harness.Call) harness.Answer {
		if bad(c.Key) {
			return harness.Answer{Status: 500}
		}
		return harness.Answer{}
	}
}

// of returns the records whose keys satisfy ok.

func keyed(records []*kgo.Record, ok func(key string) bool) (out []*kgo.Record) {
	for _, r := range records {
		if ok(string(r.Key)) {
			out = append(out, r)
		}
	}
	return out
}

// waitAcknowledged waits until a commit that covers everything that is settled was acknowledged.
func waitAcknowledged(t *testing.T, s *harness.Sidecar, settled int) {
	t.Helper()
	harness.Eventually(t, 2*harness.Patience, func() (bool, string) {
		m := s.Metrics()
		done, open := m.Value("kafka_sidecar_settled_total"), m.Value("kafka_sidecar_unacknowledged_settled_records")
		return int(done) == settled && open == 0, fmt.Sprintf("%v of %d settled, %v of them without an acknowledged commit", done, settled, open)
	})
}

// owner keeps what a member of a group was given.
type owner struct{ given chan []int32 }

func (o owner) Assigned(_ context.Context, partitions []int32) { o.given <- partitions }
func (o owner) Revoke(context.Context, []int32)                {}
func (o owner) Lost([]int32)                                   {}

// A broker writes one commit request as one batch of its offsets topic, and refuses all of it when that is larger than the topic takes.
func TestFullMapsOfThreeHundredPartitionsAreCommitted(t *testing.T) {
	t.Parallel()
	const partitions, full = 300, 4096
	b := harness.PrivateReal(t, realkafka.Options{Properties: map[string]string{"message.max.bytes": "1048588"}}) // as by default
	topic := b.CreateTopic(partitions)
	c, err := cluster.New(cluster.Config{Brokers: strings.Split(b.Addr, ","), ClientID: "test", SetupTimeout: 30 * time.Second, RequestTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	o := owner{make(chan []int32, 1)}
	name := harness.Name(t, "group")
	m := group.New(group.Config{Cluster: c, GroupID: name, Topic: topic, ClientID: "test"}, o)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	defer func() { stop(); <-ended }()
	var offsets []group.Offset
	for _, id := range <-o.given {
		offsets = append(offsets, group.Offset{Partition: id, Offset: int64(id), LeaderEpoch: -1, Metadata: strings.Repeat("m", full)})
	}
	results, err := m.Commit(ctx, offsets)
	if err != nil || len(results) != partitions {
		t.Fatalf("%d of %d partitions have an answer: %v", len(results), partitions, err)
	}
	for id, err := range results {
		if err != nil {
			t.Fatalf("the commit of partition %d was refused: %v", id, err)
		}
	}
	for id, commit := range b.Commits(name, topic) {
		if commit.Offset != int64(id) || len(commit.Metadata) != full {
			t.Fatalf("partition %d has the commit %d with %d characters of metadata", id, commit.Offset, len(commit.Metadata))
		}
	}
}

func TestRestartWithThreeHundredPartitionsRepeatsNothing(t *testing.T) {
	const partitions, each = 300, 40
	b := harness.Real(t)
	topic := b.CreateTopic(partitions)
	bad := func(key string) bool { n, _ := strconv.Atoi(key); return n%5 == 0 }
	good := func(key string) bool { return !bad(key) }
	h := harness.NewHandler(t, refuse(bad)).Brief()
	env := harness.TestEnv(b, topic, h).With("KAFKA_OPTION_GROUP_INSTANCE_ID", "one", "RETRY_INITIAL_INTERVAL", "1m", "RETRY_MAX_INTERVAL", "1m")
	var records []*kgo.Record
	for i := range each * partitions {
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(i % partitions), Key: []byte(strconv.Itoa(i / partitions)), Value: []byte("x")})
	}
	b.ProduceAt(records...)
	s := harness.Start(t, env)
	settled := keyed(records, good)
	h.WaitSettledWithin(settled, 2*harness.Patience)
	waitAcknowledged(t, s, len(settled))
	s.Kill()
	before := h.Count()
	h.Script(harness.OK)
	s = harness.Start(t, env)
	h.WaitSettledWithin(records, 2*harness.Patience)
	b.WaitCommitted(env.Group(), topic)
	for _, c := range h.Calls()[before:] {
		if good(c.Key) {
			t.Fatalf("partition %d offset %d was settled, its commit was acknowledged, and it was delivered again", c.Partition, c.Offset)
		}
	}
	if n := s.Metrics().Value("kafka_sidecar_resumed_total"); int(n) > len(settled) {
		t.Errorf("%v records count as settled before, %d were", n, len(settled))
	}
}

// With 512 the map becomes shorter, with 0 there is none: the offset is committed all the same, and the first record of a new group, too.
func TestMapThatTheBrokerRefusesIsHalvedAndTheOffsetGoesThrough(t *testing.T) {
	for _, limit := range []int{512, 20, 0} {
		t.Run(strconv.Itoa(limit), func(t *testing.T) {
			t.Parallel()
			b := harness.PrivateReal(t, realkafka.Options{Properties: map[string]string{"offset.metadata.max.bytes": strconv.Itoa(limit)}})
			topic := b.CreateTopic(2)
			bad := func(key string) bool { return strings.HasPrefix(key, "bad") }
			h := harness.NewHandler(t, refuse(bad)).Brief()
			env := harness.TestEnv(b, topic, h).With("RETRY_INITIAL_INTERVAL", "1m", "RETRY_MAX_INTERVAL", "1m")
			var records []*kgo.Record
			random := rand.New(rand.NewPCG(1, 1))
			for i := range 6_000 {
				key := strconv.Itoa(i)
				if i == 12 || i > 12 && random.IntN(3) == 0 { // nearly a thousand characters of map
					key = "bad" + key
				}
				records = append(records, &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte("x")})
			}
			other := &kgo.Record{Topic: topic, Partition: 1, Key: []byte("bad"), Value: []byte("x")}
			after := &kgo.Record{Topic: topic, Partition: 1, Key: []byte("good"), Value: []byte("x")}
			b.ProduceAt(append(records, other, after)...)
			s := harness.Start(t, env)
			harness.Eventually(t, harness.Patience, func() (bool, string) {
				c := b.Commits(env.Group(), topic)
				return c[0].Offset == 12, fmt.Sprintf("committed %v, want partition 0 at 12", c)
			})
			good := keyed(records, func(key string) bool { return !bad(key) })
			waitAcknowledged(t, s, len(good)+1)
			c := b.Commits(env.Group(), topic)
			if n := len(c[0].Metadata); n > limit || limit == 512 && n <= limit/2 {
				t.Errorf("%d characters of map where the broker takes %d", n, limit)
			}
			if n := len(c[1].Metadata); limit == 512 && n == 0 {
				t.Error("the other partition, whose map fits, has none")
			}
			said := 0
			for _, l := range s.Lines() {
				if strings.Contains(l, "offset.metadata.max.bytes") {
					said++
				}
			}
			if said != 1 {
				t.Errorf("it is said %d times that the broker refuses the map, want once", said)
			}
		})
	}
}

// Commits are refused while everything else goes on, until the member's lease runs out.
func TestIntakePausesWhileCommitsAreForbiddenAndGoesOnByItself(t *testing.T) {
	t.Parallel()
	const inFlight = 10
	b := harness.PrivateReal(t, realkafka.Options{
		Listeners: []realkafka.Listener{{Name: "APPS", Protocol: "SASL_PLAINTEXT"}},
		Properties: map[string]string{
			"authorizer.class.name":                     "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
			"super.users":                               "User:ANONYMOUS", // this test, and the broker itself
			"allow.everyone.if.no.acl.found":            "true",
			"sasl.enabled.mechanisms":                   "PLAIN",
			"listener.name.apps.plain.sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required user_app="secret";`,
		},
	})
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h).With("KAFKA_BOOTSTRAP_SERVERS", b.Real.Addr("APPS"), "MAX_IN_FLIGHT", strconv.Itoa(inFlight),
		"KAFKA_OPTION_SECURITY_PROTOCOL", "sasl_plaintext", "KAFKA_OPTION_SASL_MECHANISM", "PLAIN", "KAFKA_OPTION_SASL_USERNAME", "app", "KAFKA_OPTION_SASL_PASSWORD", "secret")
	s := harness.Start(t, env).WaitReady()
	first := b.Produce(harness.Keyed(topic, 20, 20)...)
	h.WaitSettled(first)
	b.WaitCommitted(env.Group(), topic)

	acl := kadm.NewACLs().Groups(env.Group()).ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead).Deny("User:app").DenyHosts()
	if _, err := b.Admin().CreateACLs(t.Context(), acl); err != nil {
		t.Fatal(err)
	}
	s.WaitLog("heartbeat was refused", "authoriz") // the broker knows by now; its refusals cost the membership much later
	more := b.Produce(harness.Keyed(topic, 2_000, 50)...)
	s.WaitLog(`"level":"ERROR"`, "commit failed", "authoriz")
	s.WaitLog(`"level":"ERROR"`, "intake is paused", "authoriz")
	s.WaitMetric(0, "kafka_sidecar_in_flight")
	most := len(first) + 10*inFlight + 1 + inFlight
	harness.Throughout(t, 2*time.Second, func() (bool, string) {
		n := h.Count()
		return n <= most, fmt.Sprintf("%d records delivered while commits are refused: more than 10 × MAX_IN_FLIGHT would be repeated", n)
	})
	m := s.Metrics()
	if m.Value("kafka_sidecar_commits_total", "result", "error") == 0 || m.Value("kafka_sidecar_unacknowledged_settled_records") <= 10*inFlight {
		t.Errorf("the metrics do not tell: %v commits failed, %v records are settled without one", m.Value("kafka_sidecar_commits_total", "result", "error"),
			m.Value("kafka_sidecar_unacknowledged_settled_records"))
	}
	if _, page := s.Get("/subscription"); !strings.Contains(page, "commit: ") {
		t.Errorf("/subscription does not say why nothing is read: %s", page)
	}

	if _, err := b.Admin().DeleteACLs(t.Context(), acl); err != nil {
		t.Fatal(err)
	}
	h.WaitSettledWithin(more, 2*harness.Patience)
	b.WaitCommitted(env.Group(), topic)
	s.WaitLog("intake goes on")
	h.CheckOrder(t, append(first, more...), harness.Again, nil)
}

// COMMIT_INTERVAL is an hour, so that what is committed is committed because so much was settled.
func TestParkedKeyAndACrashRepeatOnlyWhatNoCommitHad(t *testing.T) {
	b := harness.Real(t)
	topic := b.CreateTopic(1)
	bad := func(key string) bool { return key == "parked" }
	h := harness.NewHandler(t, refuse(bad)).Brief()
	env := harness.TestEnv(b, topic, h).With("KAFKA_OPTION_GROUP_INSTANCE_ID", "one", "COMMIT_INTERVAL", "1h")
	records := func(n int) []*kgo.Record {
		out := harness.Keyed(topic, n, 500)
		for i := 0; i < n; i += 50 {
			out[i].Key = []byte("parked")
		}
		return b.Produce(out...)
	}
	good := func(key string) bool { return !bad(key) }
	// As many as make one commit, and then fewer.
	first := records(5_103)
	known := keyed(first, good)[:5_000]
	if len(keyed(first, good)) != 5_000 {
		t.Fatalf("%d records of healthy keys, want 5,000", len(keyed(first, good)))
	}
	s := harness.Start(t, env)
	h.WaitSettled(known)
	waitAcknowledged(t, s, len(known))
	second := records(2_000)
	h.WaitSettled(keyed(second, good))
	s.WaitMetric(float64(len(known)+len(keyed(second, good))), "kafka_sidecar_settled_total")
	if n := s.Metrics().Value("kafka_sidecar_unacknowledged_settled_records"); int(n) != len(keyed(second, good)) {
		t.Errorf("%v records are settled without an acknowledged commit, want %d: a commit came before its time", n, len(keyed(second, good)))
	}
	s.Kill()

	before := h.Count()
	h.Script(harness.OK)
	s = harness.Start(t, env.With("COMMIT_INTERVAL", "100ms"))
	all := append(first, second...)
	h.WaitSettled(all)
	b.WaitCommitted(env.Group(), topic)
	acknowledged := map[int64]bool{}
	for _, r := range known {
		acknowledged[r.Offset] = true
	}
	repeats := 0
	for _, c := range h.Calls()[before:] {
		switch {
		case acknowledged[c.Offset]:
			t.Fatalf("offset %d was settled, its commit was acknowledged, and it was delivered again", c.Offset)
		case good(c.Key):
			repeats++
		}
	}
	if repeats > len(keyed(second, good)) {
		t.Errorf("%d repeats, only %d records were settled since the last acknowledged commit", repeats, len(keyed(second, good)))
	}
	if n := s.Metrics().Value("kafka_sidecar_resumed_total"); int(n) != len(known) {
		t.Errorf("%v records were passed by as settled before, want %d", n, len(known))
	}
	h.CheckOrder(t, all, harness.Again, nil)
}
