package attacks

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

// Of two replicas that look for the end at once, the positions of the one that commits first stand, and nothing after them is skipped.
func TestOneReplicaSetsTheStartPositionsOfAll(t *testing.T) {
	t.Parallel()
	b, p := harness.ProxiedReal(t, realkafka.Options{}, "PLAINTEXT")
	for _, at := range []string{"latest", "-1h"} { // no record is that young, so that the time leads to the end as well
		setup := func(t *testing.T) (h *harness.Handler, env, slow harness.Env, produce func(n int) []*kgo.Record) {
			topic := b.CreateTopic(1)
			h = harness.NewHandler(t, harness.OK)
			env = harness.TestEnv(b, topic, h).With("START_AT", at)
			produce = func(n int) []*kgo.Record {
				records := harness.Keyed(topic, n, 3)
				for _, r := range records {
					r.Timestamp = time.Now().Add(-24 * time.Hour)
				}
				return b.Produce(records...)
			}
			produce(10)
			return h, env, env.With("KAFKA_BOOTSTRAP_SERVERS", p.Addr), produce
		}
		check := func(t *testing.T, h *harness.Handler, want []*kgo.Record) {
			t.Helper()
			h.WaitSettled(want)
			if got := h.Calls(); len(got) != len(want) || h.Repeats() > 0 {
				t.Errorf("%d calls for %d records, %d repeats", len(got), len(want), h.Repeats())
			}
		}
		t.Run(at+", killed before its commit", func(t *testing.T) {
			h, env, slow, produce := setup(t)
			commits := p.HoldRequest("", kmsg.OffsetCommit, 0)
			defer commits.Release()
			first := harness.Start(t, slow)
			commits.Wait(t) // it has resolved 10
			produce(5)
			harness.Start(t, env).WaitReady() // so that its commit stands, at 15
			after := produce(5)
			first.Kill()
			check(t, h, append(after, produce(5)...))
		})
		t.Run(at+", killed after its commit", func(t *testing.T) {
			h, env, slow, produce := setup(t)
			commits := p.HoldAnswer("", kmsg.OffsetCommit, 0)
			defer commits.Release()
			first := harness.Start(t, slow)
			commits.Wait(t) // 10 stands, and the one that has set it does not know
			between := produce(5)
			if n := h.Count(); n > 0 {
				t.Errorf("%d records were delivered before the start positions were known to stand", n)
			}
			first.Kill()
			harness.Start(t, env)
			check(t, h, append(between, produce(5)...))
		})
		t.Run(at+", too late with its commit", func(t *testing.T) {
			h, env, slow, produce := setup(t)
			commits := p.HoldRequest("", kmsg.OffsetCommit, 0)
			defer commits.Release()
			harness.Start(t, slow)
			commits.Wait(t)
			produce(5)
			harness.Start(t, env).WaitReady()
			after := produce(5)
			h.WaitSettled(after)
			b.WaitCommitted(env.Group(), env["SUBSCRIPTION_SOURCE"][len("kafka://test/"):])
			commits.Release() // of offset 10
			b.WaitMembers(env.Group(), 2)
			check(t, h, append(after, produce(5)...))
		})
	}
}

func TestAPartitionAddedWhileRunningAtLatestIsReadFromItsStart(t *testing.T) {
	b := harness.Real(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h).With("START_AT", "latest", "KAFKA_OPTION_TOPIC_METADATA_REFRESH_INTERVAL_MS", "1000")
	b.Produce(harness.Keyed(topic, 5, 5)...)
	s := harness.Start(t, env).WaitReady()
	s.Signal(syscall.SIGSTOP) // it cannot discover the partition before there are records in it
	b.AddPartitions(topic, 2)
	var early []*kgo.Record
	for i := range 5 {
		early = append(early, &kgo.Record{Topic: topic, Partition: 1, Key: fmt.Append(nil, i), Value: []byte("early")})
	}
	b.ProduceAt(early...)
	s.Signal(syscall.SIGCONT)
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		missing := h.Missing(early)
		return len(missing) == 0, fmt.Sprintf("records that were in the new partition before it was discovered are skipped: %v", missing)
	})
	if n := h.Count(); n != len(early) {
		t.Errorf("%d calls, want %d: the old partition begins at its end", n, len(early))
	}
}

// The broker answers with an error where the commits should be, right after the partitions were assigned.
func TestAnErrorInTheOffsetAnswerOfABrokerIsNotAGroupWithoutCommits(t *testing.T) {
	t.Parallel()
	b, p := harness.ProxiedReal(t, realkafka.Options{Properties: map[string]string{
		"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "allow.everyone.if.no.acl.found": "true",
	}}, "PLAINTEXT")
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h).With("START_AT", "latest", "KAFKA_BOOTSTRAP_SERVERS", p.Addr)
	records := b.Produce(harness.Keyed(topic, 20, 3)...)
	commitAs(t, b, env.Group(), topic, 7, -1, "")
	join := p.HoldRequest("", kmsg.JoinGroup, 0)
	s := harness.Start(t, env)
	join.Wait(t)
	ask := p.HoldRequest("", kmsg.OffsetFetch, 0)
	join.Release()
	ask.Wait(t)
	// Members may go on as before; whoever asks for offsets is told that he may not.
	group := func() *kadm.ACLBuilder {
		return kadm.NewACLs().Groups(env.Group()).ResourcePatternType(kadm.ACLPatternLiteral)
	}
	create := func(acl *kadm.ACLBuilder) {
		t.Helper()
		if _, err := b.Admin().CreateACLs(t.Context(), acl); err != nil {
			t.Fatal(err)
		}
	}
	create(group().Allow("User:ANONYMOUS").AllowHosts("*").Operations(kadm.OpRead))
	create(group().Deny("User:ANONYMOUS").DenyHosts("*").Operations(kadm.OpDescribe))
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		answer, err := b.Admin().FetchOffsets(t.Context(), env.Group())
		return err != nil, fmt.Sprintf("the broker still tells the offsets: %v", answer)
	})
	ask.Release()
	s.WaitLog("positions of assigned partitions are not known yet")
	if n := h.Count(); n > 0 {
		t.Fatalf("%d records were delivered from a position that nobody has told", n)
	}
	deny := group().Deny("User:ANONYMOUS").DenyHosts("*").Operations(kadm.OpDescribe)
	if _, err := b.Admin().DeleteACLs(t.Context(), deny); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		missing := h.Missing(records[7:])
		return len(missing) == 0, fmt.Sprintf("skipped, though they are beyond the group's commit: %v", missing)
	})
	if n := h.Count(); n != 13 {
		t.Errorf("%d calls, want 13", n)
	}
}
