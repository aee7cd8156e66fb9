package restate

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/otlp"
	"github.com/kafka-sidecar/kafka-sidecar/tests/restateserver"
)

// The fifth case: from the traces one learns which record led to which invocation. Both write the record's place on a span of the
// same name with the same attributes, but that the sidecar shows no key; its span also continues the trace of the record, where Restate's begins one.
func TestTracesLeadFromARecordToItsInvocation(t *testing.T) {
	collector := otlp.Collect(t)
	l := newLab(t, restateserver.Options{Traces: collector})
	eachConsumer(t, l, func(t *testing.T, c *column) {
		topic, key := c.broker.CreateTopic(1), harness.Name(t, "key")
		group := c.subscribe(topic, "service://TracingCounter/Set", "OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL, "OTEL_BSP_SCHEDULE_DELAY", "100")
		const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
		c.broker.Produce(&kgo.Record{
			Topic: topic, Key: []byte(key), Value: []byte(`"a"`),
			Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-" + trace + "-" + parent + "-01")}},
		})
		c.eventually(t, `"a"`, "TracingCounter", key, "Get")

		begun := waitSpan(t, collector, "invocation-start TracingCounter/{key}/Set", map[string]string{"restate.invocation.target": "TracingCounter/" + key + "/Set"})
		if begun.Attributes["restate.invocation.id"] == "" {
			t.Errorf("no invocation id on the span %v", begun)
		}
		target := "TracingCounter/" + key + "/Set"
		if c.name == ours {
			target = "TracingCounter/{key}/Set"
		}
		ingress := waitSpan(t, collector, "ingress_kafka TracingCounter/{key}/Set", map[string]string{
			"messaging.system":              "kafka",
			"messaging.operation.type":      "process",
			"messaging.source.name":         topic,
			"messaging.source.partition.id": "0",
			"messaging.kafka.offset":        "0",
			"messaging.consumer.group.name": group,
			"rpc.service":                   "TracingCounter",
			"rpc.method":                    "Set",
			"restate.invocation.target":     target,
			"restate.invocation.id":         begun.Attributes["restate.invocation.id"],
		})
		if ingress.Trace != begun.Trace {
			t.Errorf("the record's span belongs to the trace %s, the invocation to %s", ingress.Trace, begun.Trace)
		}
		if c.name == ours && (ingress.Trace != trace || ingress.Parent != parent) {
			t.Errorf("the span is below %s of the trace %s, not below the record's, %s of %s", ingress.Parent, ingress.Trace, parent, trace)
		}
	})
}

// waitSpan waits for the span of a name that has the attributes, and fails where there are two: each event is handled once.
func waitSpan(t *testing.T, collector *otlp.Collector, name string, attributes map[string]string) otlp.Span {
	t.Helper()
	var found []otlp.Span
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
