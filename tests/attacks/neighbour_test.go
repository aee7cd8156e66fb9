package attacks

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

// waitSaid waits until a Java consumer has said a number of lines that begin with a text.
func waitSaid(t *testing.T, j *realkafka.JavaConsumer, n int, prefix string) {
	t.Helper()
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		got := j.Said(prefix)
		return got >= n, fmt.Sprintf("the Java consumer said %d times %q, want %d: %q", got, prefix, n, j.Lines())
	})
}

// eachProtocol runs a test against the consumer of the classic group protocol and against that of KIP-848.
func eachProtocol(t *testing.T, run func(t *testing.T, b *harness.Broker, protocol string)) {
	b := harness.Real(t)
	for _, protocol := range []string{"classic", "consumer"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			run(t, b.For(t), "group.protocol="+protocol)
		})
	}
}

func TestAJavaConsumerIsLeftUntouchedByASidecarThatWantsItsGroup(t *testing.T) {
	eachProtocol(t, func(t *testing.T, b *harness.Broker, protocol string) {
		topic := b.CreateTopic(4)
		h := harness.NewHandler(t, harness.OK)
		env := harness.TestEnv(b, topic, h)
		first := b.Produce(harness.Keyed(topic, 100, 20)...)
		j := b.Real.JavaConsumer(t, env.Group(), topic, protocol)
		waitSaid(t, j, len(first), "record ")
		waitSaid(t, j, 1, "generation ")
		before := javaEvents(j)

		s := harness.Start(t, env)
		s.Exit(1)
		s.WaitLog("group", env.Group(), "Java consumer", "group.id of its own")

		second := b.Produce(harness.Keyed(topic, 100, 20)...)
		waitSaid(t, j, len(first)+len(second), "record ")
		if now := javaEvents(j); !slices.Equal(now, before) {
			t.Errorf("the sidecar that tried to join a Java consumer's group disturbed it: it said %q, before %q", now, before)
		}
		if n := h.Count(); n != 0 {
			t.Errorf("%d records of another consumer's group were delivered", n)
		}
	})
}

// javaEvents is what a Java consumer has said beside its records.
func javaEvents(j *realkafka.JavaConsumer) []string {
	return slices.DeleteFunc(j.Lines(), func(line string) bool { return len(line) > 7 && line[:7] == "record " })
}

func TestAJavaConsumerThatWantsOurGroupIsRefusedAndTakesNothing(t *testing.T) {
	eachProtocol(t, func(t *testing.T, b *harness.Broker, protocol string) {
		topic := b.CreateTopic(4)
		h := harness.NewHandler(t, harness.OK)
		env := harness.TestEnv(b, topic, h)
		var all []*kgo.Record
		all = append(all, b.Produce(harness.Keyed(topic, 100, 20)...)...)
		sidecars := startTwo(t, b, env, 2)
		h.WaitSettled(all)
		w := watchMembership(b, env.Group(), sidecars...)

		j := b.Real.JavaConsumer(t, env.Group(), topic, protocol)
		waitSaid(t, j, 1, "failed ")
		all = append(all, b.Produce(harness.Keyed(topic, 100, 20)...)...)
		h.WaitSettled(all)
		h.CheckOrder(t, all, harness.Once, nil)
		b.WaitCommitted(env.Group(), topic)
		w.unchanged(t)
		if n := j.Said("record "); n != 0 {
			t.Errorf("a Java consumer was given %d records of our group", n)
		}
	})
}

func TestAJavaConsumerThatComesWhileWeJoinGetsItsPartitionsBack(t *testing.T) {
	t.Parallel()
	b, proxy := harness.ProxiedReal(t, realkafka.Options{}, "PLAINTEXT")
	topic := b.CreateTopic(4)
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h).With("KAFKA_BOOTSTRAP_SERVERS", proxy.Addr, "KAFKA_OPTION_CLIENT_ID", "late")
	// The group is empty when we look, and has a member of KIP-848 when our join arrives: the broker takes it.
	hold := proxy.HoldRequest("late", kmsg.JoinGroup, 1)
	s := harness.Start(t, env)
	hold.Wait(t)
	j := b.Real.JavaConsumer(t, env.Group(), topic, "group.protocol=consumer")
	waitSaid(t, j, 1, "assigned 4")
	hold.Release()
	s.Exit(1)
	s.WaitLog("group", env.Group(), "Java consumer", "group.id of its own")
	records := b.Produce(harness.Keyed(topic, 100, 20)...)
	waitSaid(t, j, len(records), "record ")
	if n := h.Count(); n != 0 {
		t.Errorf("%d records of another consumer's group were delivered", n)
	}
}

func TestTheConsumerGroupsToolShowsUsAndResetsOffsetsOnlyWhileWeAreAway(t *testing.T) {
	t.Parallel()
	b := harness.Real(t)
	topic := b.CreateTopic(4)
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h)
	group := env.Group()
	settled := b.Produce(harness.Keyed(topic, 100, 20)...)
	sidecars := startTwo(t, b, env, 2)
	h.WaitSettled(settled)
	b.WaitCommitted(group, topic)
	h.Down()
	waiting := b.Produce(harness.Keyed(topic, 50, 20)...)

	tool := func(args ...string) string {
		t.Helper()
		text, code := b.Real.ConsumerGroups(t, append([]string{"--group", group}, args...)...)
		if code != 0 {
			t.Fatalf("kafka-consumer-groups %q ended with %d:\n%s", args, code, text)
		}
		return text
	}
	ids, _ := b.Members(group)
	ends, commits := b.EndOffsets(topic), b.Commits(group, topic)
	rows := toolTable(tool("--describe"))
	if len(rows) != 4 {
		t.Fatalf("--describe shows %d partitions, want 4: %v", len(rows), rows)
	}
	for _, row := range rows {
		id, err := strconv.Atoi(row["PARTITION"])
		p := int32(id)
		committed, end := commits[p].Offset, ends[p]
		if err != nil || row["TOPIC"] != topic || row["CURRENT-OFFSET"] != fmt.Sprint(committed) || row["LOG-END-OFFSET"] != fmt.Sprint(end) || row["LAG"] != fmt.Sprint(end-committed) {
			t.Errorf("--describe shows %v, where %d of %d are committed", row, committed, end)
		}
		if !slices.Contains(ids, row["CONSUMER-ID"]) || row["CLIENT-ID"] != "kafka-sidecar" {
			t.Errorf("--describe shows %v as the owner of partition %d, the members are %v", row, p, ids)
		}
	}
	members := tool("--describe", "--members", "--verbose")
	rows = toolTable(members)
	if len(rows) != 2 {
		t.Fatalf("--members shows %d members, want 2: %v", len(rows), rows)
	}
	for _, row := range rows {
		if !slices.Contains(ids, row["CONSUMER-ID"]) || row["#PARTITIONS"] != "2" || !strings.Contains(fmt.Sprint(row), topic) {
			t.Errorf("--members shows %v, want two partitions of %s for one of %v", row, topic, ids)
		}
	}
	if state := tool("--describe", "--state"); !strings.Contains(state, "Stable") || !strings.Contains(state, "kafka-sidecar") {
		t.Errorf("--state shows:\n%s", state)
	}

	reset := []string{"--reset-offsets", "--to-earliest", "--topic", topic, "--execute"}
	text, _ := b.Real.ConsumerGroups(t, append([]string{"--group", group}, reset...)...)
	if !strings.Contains(text, "inactive") {
		t.Errorf("a reset under running members was not refused:\n%s", text)
	}
	if now := b.Commits(group, topic); !maps.Equal(now, commits) {
		t.Errorf("commits %v after the refused reset, before %v", now, commits)
	}
	for _, s := range sidecars {
		s.Signal(syscall.SIGTERM)
	}
	for _, s := range sidecars {
		s.Exit(0)
	}
	b.WaitMembers(group, 0)
	tool(reset...)
	for p, c := range b.Commits(group, topic) {
		if c.Offset != 0 {
			t.Errorf("partition %d is committed at %d after the reset of an empty group", p, c.Offset)
		}
	}
	h.Up()
	before := h.Answered()
	harness.Start(t, env)
	all := append(settled, waiting...)
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		n := h.Answered() - before
		return n >= len(all), fmt.Sprintf("%d of %d records delivered after the reset to the earliest", n, len(all))
	})
	h.WaitSettled(all)
	h.CheckOrder(t, all, harness.Again, nil)
	b.WaitCommitted(group, topic)
}

// toolTable reads what the tool prints: a line of column names, and a line for each row, with blanks between.
func toolTable(text string) (rows []map[string]string) {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case fields[0] == "GROUP":
			names = fields
		case names != nil:
			row := map[string]string{}
			for i, field := range fields {
				if i < len(names) {
					row[names[i]] = field
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func TestDeathWhileJoiningLeavesNoGhostForLongerThanASession(t *testing.T) {
	t.Parallel()
	b, proxy := harness.ProxiedReal(t, realkafka.Options{}, "PLAINTEXT")
	const session = 6 * time.Second
	for _, at := range []struct {
		api     kmsg.Key
		nth     int
		answer  bool
		counted bool // as a member by the coordinator
	}{
		{api: kmsg.JoinGroup, nth: 1},
		{api: kmsg.JoinGroup, nth: 1, answer: true}, // it has an id and is no member (KIP-394)
		{api: kmsg.JoinGroup, nth: 2},
		{api: kmsg.JoinGroup, nth: 2, answer: true, counted: true},
		{api: kmsg.SyncGroup, nth: 1, counted: true},
		{api: kmsg.SyncGroup, nth: 1, answer: true, counted: true},
		{api: kmsg.Heartbeat, nth: 1, counted: true},
	} {
		name := fmt.Sprintf("%s %d", at.api.Name(), at.nth)
		if at.answer {
			name += " answered"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := b.For(t)
			topic := b.CreateTopic(4)
			h := harness.NewHandler(t, harness.OK)
			env := harness.TestEnv(b, topic, h).With("KAFKA_OPTION_SESSION_TIMEOUT_MS", fmt.Sprint(session.Milliseconds()), "KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "500")
			survivor := harness.Start(t, env).WaitReady()
			survivor.WaitMetric(4, "kafka_sidecar_assigned_partitions")
			before := watchMembership(b, env.Group(), survivor)

			client := harness.Name(t, "victim")
			place := proxy.HoldRequest
			if at.answer {
				place = proxy.HoldAnswer
			}
			hold := place(client, at.api, at.nth)
			victim := harness.Start(t, env.With("KAFKA_BOOTSTRAP_SERVERS", proxy.Addr, "KAFKA_OPTION_CLIENT_ID", client))
			hold.Wait(t)
			if at.counted {
				b.WaitMembersAtLeast(env.Group(), 2)
			}
			victim.Kill()
			died := time.Now()
			// The group may take a heartbeat or two to notice, and this machine a while: far less than the rebalance timeout of a minute, which is
			// what a ghost would cost.
			harness.Eventually(t, session+20*time.Second, func() (bool, string) {
				ids, state := b.Members(env.Group())
				n := survivor.Metrics().Value("kafka_sidecar_assigned_partitions")
				return n == 4 && len(ids) == 1 && state == "Stable", fmt.Sprintf("%s after a death while joining the other member has %v of 4 partitions, the group is %s with %v", time.Since(died), n, state, ids)
			})
			if !at.counted {
				before.unchanged(t)
			}
			records := b.Produce(harness.Keyed(topic, 100, 20)...)
			h.WaitSettled(records)
			h.CheckOrder(t, records, harness.Once, nil)
			b.WaitCommitted(env.Group(), topic)
		})
	}
	t.Run("the leader before it assigns", func(t *testing.T) {
		t.Parallel()
		b := b.For(t)
		topic := b.CreateTopic(4)
		h := harness.NewHandler(t, harness.OK)
		env := harness.TestEnv(b, topic, h).With("KAFKA_OPTION_SESSION_TIMEOUT_MS", fmt.Sprint(session.Milliseconds()), "KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "500")
		client := harness.Name(t, "victim")
		hold := proxy.HoldRequest(client, kmsg.SyncGroup, 1)
		victim := harness.Start(t, env.With("KAFKA_BOOTSTRAP_SERVERS", proxy.Addr, "KAFKA_OPTION_CLIENT_ID", client))
		hold.Wait(t)
		victim.Kill()
		harness.Start(t, env)
		records := b.Produce(harness.Keyed(topic, 100, 20)...)
		h.WaitSettledWithin(records, session+20*time.Second)
		h.CheckOrder(t, records, harness.Once, nil)
		b.WaitMembers(env.Group(), 1)
	})
}
