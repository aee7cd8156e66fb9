package restate

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/restateserver"
)

// The five cases of Restate's own tests of its Kafka support, after their description.

func TestEventsStartAWorkflowOncePerKey(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	eachConsumer(t, l, func(t *testing.T, c *column) {
		topic := c.broker.CreateTopic(1)
		c.subscribe(topic, "service://MyWorkflow/Run")
		c.broker.Produce(harness.Record(topic, c.name+"-a", `"1"`), harness.Record(topic, c.name+"-b", `"2"`), harness.Record(topic, c.name+"-c", `"3"`))
		for key, n := range map[string]string{"a": "1", "b": "2", "c": "3"} {
			path := "/restate/workflow/MyWorkflow/" + c.name + "-" + key
			want := `"Run ` + n + `"`
			c.eventuallyAt(t, want, path+"/attach")
			c.eventuallyAt(t, want, path+"/output")
		}
	})
}

func TestEventsReachTheSharedHandlerOfAWorkflow(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	eachConsumer(t, l, func(t *testing.T, c *column) {
		topic := c.broker.CreateTopic(1)
		c.subscribe(topic, "service://MyWorkflow/SetPromise")
		keys := []string{"a", "b", "c"}
		for _, key := range keys {
			c.broker.Produce(harness.Record(topic, c.name+"-"+key, `"`+key+`"`))
		}
		for _, key := range keys {
			c.eventually(t, `"`+key+`"`, "MyWorkflow", c.name+"-"+key, "GetPromise")
		}
	})
}

func TestEventsAddUpInAnObject(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	eachConsumer(t, l, func(t *testing.T, c *column) {
		topic, key := c.broker.CreateTopic(1), harness.Name(t, "key")
		c.subscribe(topic, "service://Counter/Add")
		c.broker.Produce(harness.Record(topic, key, "1"), harness.Record(topic, key, "2"), harness.Record(topic, key, "3"))
		c.eventually(t, "6", "Counter", key, "Get")
	})
}

func TestEventsWithoutAKeyReachAService(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	eachConsumer(t, l, func(t *testing.T, c *column) {
		topic, key := c.broker.CreateTopic(1), harness.Name(t, "key")
		c.subscribe(topic, "service://EventHandler/OneWayCall")
		for n := 1; n <= 3; n++ {
			c.broker.Produce(&kgo.Record{Topic: topic, Value: fmt.Appendf(nil, `{"key":%q,"value":%d}`, key, n)})
		}
		c.eventually(t, "6", "Counter", key, "Get")
	})
}
