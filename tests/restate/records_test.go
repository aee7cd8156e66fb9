package restate

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/restateserver"
)

// waitSeen waits until the witnesses have seen n records of a topic and returns them in the order of their offsets.
func (e *endpoint) waitSeen(t *testing.T, topic string, n int) []Seen {
	t.Helper()
	var seen []Seen
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		seen = slices.DeleteFunc(e.Seen(), func(s Seen) bool { return s.Headers["kafka.topic"] != topic })
		return len(seen) >= n, fmt.Sprintf("%d of %d records of %s seen", len(seen), n, topic)
	})
	slices.SortFunc(seen, func(a, b Seen) int { return strings.Compare(a.Headers["kafka.offset"], b.Headers["kafka.offset"]) })
	return seen
}

func TestHandlersLearnWhereAnEventComesFrom(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	eachConsumer(t, l, func(t *testing.T, c *column) {
		topic, key := c.broker.CreateTopic(1), "käy/"+harness.Name(t, "key")+"?#%20.."
		group := c.subscribe(topic, "service://KeyedWitness/See")
		record := c.broker.Produce(harness.Record(topic, key, `{"a":1}`))[0]
		seen := c.services.waitSeen(t, topic, 1)[0]
		if seen.Key != key || seen.Body != `{"a":1}` {
			t.Errorf("key %q and body %q, want %q and %q", seen.Key, seen.Body, key, record.Value)
		}
		for name, want := range map[string]string{
			"kafka.topic":             topic,
			"kafka.partition":         "0",
			"kafka.offset":            "0",
			"kafka.timestamp":         strconv.FormatInt(record.Timestamp.UnixMilli(), 10),
			"kafka.key":               base64.URLEncoding.EncodeToString([]byte(key)),
			"restate.subscription.id": group,
		} {
			if got := seen.Headers[name]; got != want {
				t.Errorf("header %s is %q, want %q", name, got, want)
			}
		}
	})
}

func TestAnyKeyReachesAService(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	eachConsumer(t, l, func(t *testing.T, c *column) {
		topic := c.broker.CreateTopic(1)
		c.subscribe(topic, "service://Witness/See")
		keys := [][]byte{nil, {}, {0xff, 0xfe, 0x00}, []byte("text")}
		for i, key := range keys {
			c.broker.Produce(&kgo.Record{Topic: topic, Key: key, Value: []byte(strconv.Itoa(i))})
		}
		for i, seen := range c.services.waitSeen(t, topic, len(keys)) {
			got, present := seen.Headers["kafka.key"]
			if want := base64.URLEncoding.EncodeToString(keys[i]); present != (keys[i] != nil) || got != want || seen.Body != strconv.Itoa(i) {
				t.Errorf("record %d: body %q, kafka.key %q (present: %v), want %q", i, seen.Body, got, present, want)
			}
		}
	})
}

func TestANullKeyIsTheEmptyKeyOfAnObject(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	eachConsumer(t, l, func(t *testing.T, c *column) {
		topic := c.broker.CreateTopic(1)
		c.subscribe(topic, "service://KeyedWitness/See", "NULL_KEY", "empty")
		c.broker.Produce(&kgo.Record{Topic: topic, Value: []byte("null")}, &kgo.Record{Topic: topic, Key: []byte{}, Value: []byte("empty")})
		for i, seen := range c.services.waitSeen(t, topic, 2) {
			if want := []string{"null", "empty"}[i]; seen.Key != "" || seen.Body != want {
				t.Errorf("record %d: key %q and body %q, want the empty key and %q", i, seen.Key, seen.Body, want)
			}
		}
	})
}

func TestATombstoneIsAnEmptyBody(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	eachConsumer(t, l, func(t *testing.T, c *column) {
		topic := c.broker.CreateTopic(1)
		c.subscribe(topic, "service://KeyedWitness/See")
		key := harness.Name(t, "key")
		c.broker.Produce(harness.Record(topic, key, "before"), &kgo.Record{Topic: topic, Key: []byte(key)}, harness.Record(topic, key, "after"))
		for i, seen := range c.services.waitSeen(t, topic, 3) {
			if want := []string{"before", "", "after"}[i]; seen.Key != key || seen.Body != want {
				t.Errorf("record %d: key %q and body %q, want %q and %q", i, seen.Key, seen.Body, key, want)
			}
			if tombstone := seen.Headers["kafka.tombstone"]; c.name == ours && (tombstone == "true") != (i == 1) {
				t.Errorf("record %d: kafka.tombstone is %q", i, tombstone)
			}
		}
	})
}

func TestASecondEventOfAWorkflowChangesNothing(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	eachConsumer(t, l, func(t *testing.T, c *column) {
		topic := c.broker.CreateTopic(1)
		group := c.subscribe(topic, "service://MyWorkflow/Run")
		key := harness.Name(t, "key")
		c.broker.Produce(harness.Record(topic, key, `"1"`), harness.Record(topic, key, `"2"`), harness.Record(topic, key+"-next", `"3"`))
		c.eventuallyAt(t, `"Run 3"`, "/restate/workflow/MyWorkflow/"+key+"-next/output")
		c.eventuallyAt(t, `"Run 1"`, "/restate/workflow/MyWorkflow/"+key+"/output")
		c.broker.WaitCommitted(group, topic)
	})
}

// Restate's own consumer is stuck for ever at a key that is not UTF-8, with everything behind it. The sidecar holds the one
// record, and delivers the others.
func TestAKeyThatIsNotUTF8BlocksOnlyItself(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	topic := l.broker.CreateTopic(1)
	sidecar := harness.Start(t, l.env(t, topic, "service://KeyedWitness/See"))
	l.broker.Produce(&kgo.Record{Topic: topic, Key: []byte{0xff}, Value: []byte("held")}, harness.Record(topic, harness.Name(t, "key"), "delivered"))
	if seen := l.services.waitSeen(t, topic, 1); seen[0].Body != "delivered" {
		t.Errorf("seen: %v", seen)
	}
	sidecar.WaitMetric(1, "kafka_sidecar_parked_keys")
}

func TestAKeyThatIsNotUTF8CanBeWrittenAsBase64(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	topic := l.broker.CreateTopic(1)
	harness.Start(t, l.env(t, topic, "service://KeyedWitness/See").With("INVALID_KEY", "base64url"))
	key := []byte{0xff, 0xfe}
	l.broker.Produce(&kgo.Record{Topic: topic, Key: key, Value: []byte("x")})
	if seen, want := l.services.waitSeen(t, topic, 1)[0], base64.URLEncoding.EncodeToString(key); seen.Key != want {
		t.Errorf("key %q, want %q", seen.Key, want)
	}
}
