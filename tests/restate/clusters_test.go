package restate

import (
	"maps"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
	"github.com/kafka-sidecar/kafka-sidecar/tests/restateserver"
)

// Two clusters in one list, in Restate's own grammar, with a topic of the same name in both: the source picks.
func TestTheSourcePicksOneOfSeveralClusters(t *testing.T) {
	first, second := harness.Real(t), harness.PrivateReal(t, realkafka.Options{})
	clusters := clusterList(map[string]*harness.Broker{"first": first, "second": second})
	l := newLab(t, restateserver.Options{KafkaClusters: clusters})
	eachConsumer(t, l, func(t *testing.T, c *column) {
		topic := first.CreateTopic(1)
		second.CreateTopicNamed(topic, 1)
		keys := map[string]string{"first": harness.Name(t, "first"), "second": harness.Name(t, "second")}
		ids := map[string]string{}
		for name := range keys {
			ids[name] = c.subscribeAt(name, topic, "service://KeyedWitness/See")
		}
		first.Produce(harness.Record(topic, keys["first"], "1"))
		second.Produce(harness.Record(topic, keys["second"], "2"))
		got := map[string]string{}
		for _, seen := range c.services.waitSeen(t, topic, 2) {
			got[seen.Key] = seen.Headers["restate.subscription.id"]
		}
		if want := map[string]string{keys["first"]: ids["first"], keys["second"]: ids["second"]}; !maps.Equal(got, want) {
			t.Errorf("subscriptions by key are %v, want %v", got, want)
		}
	})
}
