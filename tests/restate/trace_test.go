package restate

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/restateserver"
)

// The fifth case: from the traces one learns which record led to which invocation. Restate's consumer begins a trace of its
// own and writes the record's place on a span; the sidecar has the invocation continue the trace of the record.
func TestTracesLeadFromARecordToItsInvocation(t *testing.T) {
	collector := restateserver.Collect(t)
	l := newLab(t, restateserver.Options{Traces: collector})
	eachConsumer(t, l, func(t *testing.T, c *column) {
		topic, key := c.broker.CreateTopic(1), harness.Name(t, "key")
		group := c.subscribe(topic, "service://TracingCounter/Set")
		const trace = "0af7651916cd43dd8448eb211c80319c"
		c.broker.Produce(&kgo.Record{
			Topic: topic, Key: []byte(key), Value: []byte(`"a"`),
			Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-" + trace + "-b7ad6b7169203331-01")}},
		})
		c.eventually(t, `"a"`, "TracingCounter", key, "Get")

		begun := map[string]string{"restate.invocation.target": "TracingCounter/" + key + "/Set"}
		span := waitSpan(t, collector, "invocation-start TracingCounter/{key}/Set", begun)
		if span.Attributes["restate.invocation.id"] == "" {
			t.Errorf("no invocation id on the span %v", span)
		}
		if c.name == ours {
			if span.Trace != trace {
				t.Errorf("the invocation belongs to the trace %s, not to the record's, %s", span.Trace, trace)
			}
			return
		}
		begun["messaging.system"] = "kafka"
		begun["messaging.operation.type"] = "process"
		begun["messaging.source.name"] = topic
		begun["messaging.source.partition.id"] = "0"
		begun["messaging.kafka.offset"] = "0"
		begun["messaging.consumer.group.name"] = group
		begun["restate.invocation.id"] = span.Attributes["restate.invocation.id"]
		if ingress := waitSpan(t, collector, "ingress_kafka TracingCounter/{key}/Set", begun); ingress.Trace != span.Trace {
			t.Errorf("the record's span belongs to the trace %s, the invocation to %s", ingress.Trace, span.Trace)
		}
	})
}

// waitSpan waits for the span of a name that has the attributes, and fails where there are two: each event is handled once.
func waitSpan(t *testing.T, collector *restateserver.Collector, name string, attributes map[string]string) restateserver.Span {
	t.Helper()
	var found []restateserver.Span
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		found = nil
	spans:
		for _, span := range collector.Spans() {
			for attribute, value := range attributes {
				if span.Attributes[attribute] != value {
					continue spans
				}
			}
			if span.Name == name {
				found = append(found, span)
			}
		}
		return len(found) > 0, fmt.Sprintf("no span %q with %v", name, attributes)
	})
	if len(found) > 1 {
		t.Errorf("%d spans %q, want one: %v", len(found), name, found)
	}
	return found[0]
}
