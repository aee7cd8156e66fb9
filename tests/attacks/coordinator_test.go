package attacks

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

// membership is what must not change while nobody joins and nobody leaves.
type membership struct {
	b          *harness.Broker
	group      string
	sidecars   []*harness.Sidecar
	ids        []string
	rebalances []float64
}

// watchMembership notes who is in the group. The group is stable.
func watchMembership(b *harness.Broker, group string, sidecars ...*harness.Sidecar) membership {
	b.WaitMembers(group, len(sidecars))
	ids, _ := b.Members(group)
	m := membership{b: b, group: group, sidecars: sidecars, ids: ids}
	for _, s := range sidecars {
		m.rebalances = append(m.rebalances, s.Metrics().Value("kafka_sidecar_rebalances_total"))
	}
	return m
}

// unchanged fails the test if the members are others than they were, or have rebalanced.
func (m membership) unchanged(t *testing.T) {
	t.Helper()
	m.b.WaitMembers(m.group, len(m.sidecars))
	if ids, state := m.b.Members(m.group); !slices.Equal(ids, m.ids) {
		t.Errorf("the group is %s with the members %v, before %v: a member id was given up", state, ids, m.ids)
	}
	for i, s := range m.sidecars {
		if now := s.Metrics().Value("kafka_sidecar_rebalances_total"); now != m.rebalances[i] {
			t.Errorf("replica %d has taken part in %v rebalances, before %v", i, now, m.rebalances[i])
		}
	}
}

// worksSlowly is a handler that takes a while, so that a backlog lasts while something happens to the cluster.
func worksSlowly(harness.Call) harness.Answer { return harness.Answer{Delay: 10 * time.Millisecond} }

// longSession is so long that whoever waits for its end fails by the patience of the test.
func longSession(env harness.Env) harness.Env {
	return env.With("CONCURRENCY", "4", "KAFKA_OPTION_SESSION_TIMEOUT_MS", "150000", "KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "1000")
}

// startTwo starts two replicas and waits until each has its share of the partitions.
func startTwo(t *testing.T, b *harness.Broker, env harness.Env, each float64) []*harness.Sidecar {
	t.Helper()
	sidecars := []*harness.Sidecar{harness.Start(t, env).WaitReady(), harness.Start(t, env).WaitReady()}
	b.WaitMembers(env.Group(), 2)
	for _, s := range sidecars {
		s.WaitMetric(each, "kafka_sidecar_assigned_partitions")
	}
	return sidecars
}

func TestACoordinatorThatRestartsCostsNoSessionAndNoMember(t *testing.T) {
	t.Parallel()
	b := harness.PrivateReal(t, realkafka.Options{})
	topic := b.CreateTopic(4)
	h := harness.NewHandler(t, worksSlowly)
	env := longSession(harness.TestEnv(b, topic, h))
	sidecars := startTwo(t, b, env, 2)
	before := watchMembership(b, env.Group(), sidecars...)
	var all []*kgo.Record
	for _, end := range []func(){b.Real.Stop, b.Real.Kill} {
		all = append(all, b.Produce(harness.Keyed(topic, 1_000, 100)...)...)
		h.WaitCalls(len(all) - 900)
		end()
		if err := b.Real.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, b.Produce(harness.Keyed(topic, 100, 50)...)...)
		h.WaitSettled(all)
		b.WaitCommitted(env.Group(), topic)
		before.unchanged(t)
	}
	h.CheckOrder(t, all, harness.Once, nil)
}

func TestCoordinatorAndLeadersMoveUnderLoadAndNothingIsRevoked(t *testing.T) {
	t.Parallel()
	b := harness.PrivateReal(t, realkafka.Options{Nodes: 3})
	topic := b.CreateTopic(6)
	h := harness.NewHandler(t, worksSlowly)
	env := longSession(harness.TestEnv(b, topic, h))
	sidecars := startTwo(t, b, env, 3)
	before := watchMembership(b, env.Group(), sidecars...)
	var all []*kgo.Record
	moves := map[string]func() (restore func()){
		"the coordinator is killed":   func() func() { return loseCoordinator(t, b, env.Group(), (*realkafka.Node).Kill) },
		"the coordinator is shut off": func() func() { return loseCoordinator(t, b, env.Group(), (*realkafka.Node).Stop) },
		"a leader is killed":          func() func() { return loseLeader(t, b, topic) },
		"every leader is moved":       func() func() { moveLeadersOf(t, b, topic); return func() {} },
		// The node that was the coordinator lives on, and says of each request that it is not.
		"the coordinator is moved": func() func() { moveLeadersOf(t, b, "__consumer_offsets"); return func() {} },
	}
	for _, name := range slices.Sorted(maps.Keys(moves)) {
		all = append(all, b.Produce(harness.Keyed(topic, 1_000, 100)...)...)
		h.WaitCalls(len(all) - 900)
		restore := moves[name]()
		all = append(all, b.Produce(harness.Keyed(topic, 100, 50)...)...)
		h.WaitSettled(all)
		b.WaitCommitted(env.Group(), topic)
		before.unchanged(t)
		restore()
		if t.Failed() {
			t.Fatalf("when %s", name)
		}
	}
	h.CheckOrder(t, all, harness.Once, nil)
}

// coordinatorOf is the id of the node that coordinates a group.
func coordinatorOf(t *testing.T, b *harness.Broker, group string) int {
	t.Helper()
	id := 0
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		found := b.Admin().FindGroupCoordinators(t.Context(), group)[group]
		id = int(found.NodeID)
		return found.Err == nil && id > 0, fmt.Sprintf("the coordinator of %s: %d, %v", group, id, found.Err)
	})
	return id
}

// loseCoordinator ends the node that coordinates the group and waits until another one does.
func loseCoordinator(t *testing.T, b *harness.Broker, group string, end func(*realkafka.Node)) (restore func()) {
	t.Helper()
	id := coordinatorOf(t, b, group)
	end(b.Real.Node(id))
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		now := coordinatorOf(t, b, group)
		return now != id, fmt.Sprintf("node %d still coordinates", now)
	})
	return revive(t, b, id)
}

// loseLeader kills the node that leads the first partition and waits until every partition has a leader elsewhere.
func loseLeader(t *testing.T, b *harness.Broker, topic string) (restore func()) {
	t.Helper()
	id := leadersOf(t, b, topic)[0]
	b.Real.Node(int(id)).Kill()
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		now := leadersOf(t, b, topic)
		for _, leader := range now {
			if leader == id || leader < 0 {
				return false, fmt.Sprintf("leaders %v, node %d is gone", now, id)
			}
		}
		return len(now) > 0, "no answer"
	})
	return revive(t, b, int(id))
}

func revive(t *testing.T, b *harness.Broker, id int) func() {
	return func() {
		if err := b.Real.Node(id).Start(); err != nil {
			t.Fatal(err)
		}
	}
}

// moveLeadersOf makes another replica of each partition the preferred one and has it elected.
func moveLeadersOf(t *testing.T, b *harness.Broker, topic string) {
	t.Helper()
	before := leadersOf(t, b, topic)
	var request kadm.AlterPartitionAssignmentsReq
	for p, leader := range before {
		next := leader%3 + 1
		request.Assign(topic, p, []int32{next, next%3 + 1, leader})
	}
	answers, err := b.Admin().AlterPartitionAssignments(t.Context(), request)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		t.Fatalf("reassign the partitions of %s: %v", topic, err)
	}
	set := kadm.TopicsSet{}
	for p := range before {
		set.Add(topic, p)
	}
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		// A node that has just come back may not be in sync yet: it is elected when it is.
		_, err := b.Admin().ElectLeaders(t.Context(), kadm.ElectPreferredReplica, set)
		now := leadersOf(t, b, topic)
		for p, leader := range now {
			if leader == before[p] {
				return false, fmt.Sprintf("leaders %v, before the election %v (%v)", now, before, err)
			}
		}
		return len(now) == len(before), "no answer"
	})
}

// leadersOf gives the leaders of a topic's partitions, -1 for none; empty when nobody answers. Asked by the plain request: the admin client has a
// cache.
func leadersOf(t *testing.T, b *harness.Broker, topic string) map[int32]int32 {
	t.Helper()
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
	answer, err := request.RequestWith(t.Context(), b.Client())
	found := map[int32]int32{}
	if err != nil || len(answer.Topics) != 1 {
		return found
	}
	for _, p := range answer.Topics[0].Partitions {
		found[p.Partition] = p.Leader
	}
	return found
}

func TestACoordinatorGoneForAMinuteLosesNothing(t *testing.T) {
	harness.Long(t)
	const outage = 65 * time.Second
	for name, session := range map[string]time.Duration{"within the session": 150 * time.Second, "beyond the session": 20 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := harness.PrivateReal(t, realkafka.Options{})
			topic := b.CreateTopic(4)
			// Slow enough that there is work for longer than the shorter lease.
			h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Delay: 100 * time.Millisecond} })
			env := longSession(harness.TestEnv(b, topic, h)).With("KAFKA_OPTION_SESSION_TIMEOUT_MS", strconv.FormatInt(session.Milliseconds(), 10))
			sidecars := startTwo(t, b, env, 2)
			all := b.Produce(harness.Keyed(topic, 2_500, 200)...)
			h.WaitCalls(100)
			before := watchMembership(b, env.Group(), sidecars...)
			b.Real.Stop()
			gone := time.Now()
			lease := session - 2*time.Second
			harness.Throughout(t, outage, func() (bool, string) {
				calls := h.Calls()
				last := calls[len(calls)-1].At.Sub(gone)
				return last <= lease+time.Second, fmt.Sprintf("an attempt began %s after the coordinator went, with a lease of %s", last, lease)
			})
			for i, s := range sidecars {
				if status, body := s.Get("/live"); status != 200 {
					t.Errorf("replica %d, which waits for its broker, is to be killed: /live %d %s", i, status, body)
				}
			}
			if err := b.Real.Start(); err != nil {
				t.Fatal(err)
			}
			all = append(all, b.Produce(harness.Keyed(topic, 100, 50)...)...)
			h.WaitSettledWithin(all, 5*harness.Patience)
			b.WaitCommitted(env.Group(), topic)
			if session > outage {
				h.CheckOrder(t, all, harness.Once, nil)
				before.unchanged(t)
				return
			}
			// The coordinator counts the session from its own return, so it knows the members although their leases ran out.
			h.CheckOrder(t, all, harness.Again, nil)
			b.WaitMembers(env.Group(), 2)
			if ids, _ := b.Members(env.Group()); !slices.Equal(ids, before.ids) {
				t.Errorf("members %v, before the outage %v", ids, before.ids)
			}
		})
	}
}
