package intake

import (
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// flood is more requests than a reader may make that waits between its tries; whoever makes more is answered, so that time passes.
const flood = 1500

// near makes the leader of partition 0 name another broker to whoever says where he is, as KIP-392 has it. It counts who was asked.
type near struct {
	mu      sync.Mutex
	named   int32
	byNode  map[int32]int
	replica int32 // the follower that has the records
}

func (w *world) nearReplica() *near {
	n := &near{byNode: map[int32]int{}}
	leader := w.kafka.LeaderFor(testTopic, 0)
	n.replica = (leader + 1) % 3
	n.named = n.replica
	w.kafka.SetFollowers(testTopic, 0, []int32{n.replica})
	w.on(kmsg.Fetch, func(q kmsg.Request) (kmsg.Response, error, bool) {
		n.mu.Lock()
		defer n.mu.Unlock()
		node := w.kafka.CurrentNode()
		n.byNode[node]++
		req := q.(*kmsg.FetchRequest)
		if node != leader || req.Rack != "here" || n.byNode[node] > flood {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic, topic.TopicID = req.Topics[0].Topic, req.Topics[0].TopicID
		p := kmsg.NewFetchResponseTopicPartition()
		p.PreferredReadReplica = n.named
		topic.Partitions = append(topic.Partitions, p)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	return n
}

func (n *near) name(node int32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.named = node
}

func (n *near) asked(node int32) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.byNode[node]
}

func inRack(c *Config) { c.Rack = "here" }

func TestReplicaNearbyIsReadFrom(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		leader := w.kafka.LeaderFor(testTopic, 0)
		n := w.nearReplica()
		w.produce(0, 3)
		s := w.start(inRack)
		w.until(20*time.Second, "read", s.has(0, 3))
		pass(time.Minute)
		// The leader is asked once to begin with, and then again every metadata.max.age.ms, ten seconds here.
		if a, b := n.asked(leader), n.asked(n.replica); a < 5 || a > 7 || b < 100 {
			t.Fatalf("the leader was asked %d times, the replica %d times", a, b)
		}
		// One that has trouble is left for the leader, which names it again.
		before := n.asked(leader)
		h := w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Nodes: []int32{n.replica}, Topic: testTopic, Err: kerr.ReplicaNotAvailable})
		w.produce(0, 1)
		w.until(20*time.Second, "read", s.has(0, 4))
		if h.Hits() != 1 || n.asked(leader) != before+1 {
			t.Fatalf("%d faults, the leader was asked %d times more", h.Hits(), n.asked(leader)-before)
		}
	})
}

func TestReplicaThatIsNotThereIsNoFlood(t *testing.T) {
	for name, change := range map[string]func(w *world, n *near){
		"unknown": func(_ *world, n *near) { n.name(99) },
		"dead":    func(w *world, n *near) { w.refuse(w.kafka.ListenAddrs()[n.replica]) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				leader := w.kafka.LeaderFor(testTopic, 0)
				s := w.start(inRack)
				w.until(20*time.Second, "opened", s.opened(0))
				n := w.nearReplica()
				change(w, n)
				pass(time.Minute)
				if asked := n.asked(leader); asked < 10 || asked > flood {
					t.Fatalf("the leader was asked %d times in a minute", asked)
				}
			})
		})
	}
}
