package attacks

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

// What node 1 alone has taken is lost when node 2 leads again.
const (
	kept      = 10 // records that both nodes have
	rewritten = 20 // records that only node 1 has
	inPlace   = 50 // records that node 2 takes in their place, at the same offsets and beyond
)

// rewrittenLog is one topic of the test, with one sidecar.
type rewrittenLog struct {
	topic   string
	h       *harness.Handler
	env     harness.Env
	s       *harness.Sidecar
	hold    chan struct{} // closed when the record that keeps the sidecar from fetching may be settled
	healed  chan struct{} // closed when parked keys heal
	parked  string        // value of a record of the common part that fails until then
	running bool
}

func (l *rewrittenLog) values(t *testing.T, from, n int, prefix string) (records []*kgo.Record) {
	t.Helper()
	for i := range n {
		value := fmt.Sprint(prefix, from+i)
		records = append(records, harness.Record(l.topic, "key-"+value, value))
	}
	return records
}

func TestRecordsThatTookThePlaceOfOthersInAnUncleanElectionAreDelivered(t *testing.T) {
	t.Parallel()
	// Three nodes, so that the controllers agree while one is down. Leader and follower of the topics are nodes 1 and 2, in turns.
	b := harness.PrivateReal(t, realkafka.Options{Nodes: 3, Properties: map[string]string{
		"min.insync.replicas": "1", "unclean.leader.election.interval.ms": "500",
	}})
	logs := map[string]*rewrittenLog{
		"running":                               {running: true},
		"running, with a parked key before":     {running: true, parked: "kept-5"},
		"not running":                           {},
		"not running, with a parked key before": {parked: "kept-5"},
	}
	for _, l := range logs {
		l.topic = b.CreateTopicOn([]int32{1, 2}, "unclean.leader.election.enable=true")
		l.hold, l.healed = make(chan struct{}), make(chan struct{})
		l.h = harness.NewHandler(t, func(c harness.Call) harness.Answer {
			switch value := string(c.Body); {
			case value == "gone-25": // parked, and then nowhere any more
				return harness.Answer{Status: 500}
			case l.running && value == "gone-29":
				return harness.Answer{Until: l.hold}
			case value == l.parked:
				select {
				case <-l.healed:
				default:
					return harness.Answer{Status: 500}
				}
			}
			return harness.Answer{}
		})
		l.env = harness.TestEnv(b, l.topic, l.h).With("HANDLER_TIMEOUT", "5m", "MAX_IN_FLIGHT", "1", "COMMIT_INTERVAL", "50ms")
		l.s = harness.Start(t, l.env)
		b.Produce(l.values(t, 0, kept, "kept-")...)
	}
	settled := func(l *rewrittenLog, n int, what string) {
		t.Helper()
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			return l.h.Answered() == n, fmt.Sprintf("%d of %d records of the %s settled", l.h.Answered(), n, what)
		})
	}
	for _, l := range logs {
		b.WaitReplicas(l.topic, 1, 2)
		want := kept
		if l.parked != "" {
			want--
		}
		settled(l, want, "common log")
	}
	b.Real.Node(2).Kill()
	for name, l := range logs {
		b.WaitReplicas(l.topic, 1, 1)
		b.Produce(l.values(t, kept, rewritten, "gone-")...)
		want := kept + rewritten - 1 // all but gone-25
		commit := int64(25)
		if l.parked != "" {
			want, commit = want-1, 5
		}
		if l.running {
			want-- // gone-29 is held
		}
		settled(l, want, "log of node 1")
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			c := b.Commits(l.env.Group(), l.topic)[0]
			return c.Offset == commit, fmt.Sprintf("%s: committed %d, want %d", name, c.Offset, commit)
		})
		if !l.running {
			l.s.Signal(syscall.SIGTERM)
			l.s.Exit(0)
		}
	}
	b.Real.Node(1).Kill()
	if err := b.Real.Node(2).Start(); err != nil {
		t.Fatal(err)
	}
	for name, l := range logs {
		b.WaitReplicas(l.topic, 2, 1)
		fresh := b.Produce(l.values(t, kept, inPlace, "new-")...)
		if first := fresh[0].Offset; first != kept {
			t.Fatalf("the new leader's records begin at offset %d: nothing was rewritten", first)
		}
		before := l.h.Count()
		if l.running {
			close(l.hold)
		} else {
			l.s = harness.Start(t, l.env)
		}
		t.Run(name, func(t *testing.T) {
			got := func() (values []string) {
				for _, c := range l.h.Calls()[before:] {
					if c.Status == 200 {
						values = append(values, string(c.Body))
					}
				}
				return values
			}
			harness.Eventually(t, harness.Patience, func() (bool, string) {
				values, missing := got(), []string{}
				for _, r := range fresh {
					if !slices.Contains(values, string(r.Value)) {
						missing = append(missing, string(r.Value))
					}
				}
				return len(missing) == 0, fmt.Sprintf("%d records were skipped, which the new leader took in place of others that had been read: %v", len(missing), missing)
			})
			close(l.healed)
			b.WaitCommitted(l.env.Group(), l.topic)
			for _, value := range got() {
				if strings.HasPrefix(value, "kept-") && value != l.parked {
					t.Errorf("%s was settled before, both logs have it, and it was delivered again", value)
				}
			}
			if l.running || l.parked == "" { // else the commit lies before the place, and the map is void from there on, record by record
				l.s.WaitLog(`"level":"error"`, "unclean leader election", `"rewritten_from":10`)
			}
			if l.running {
				l.s.WaitMetric(1, "kafka_sidecar_records_lost_total") // gone-25
			}
		})
	}
}
