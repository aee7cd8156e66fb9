package restate

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/restateserver"
)

// sequences makes numbers from 0 to each-1 for every one of so many keys, the keys mixed.
func sequences(t testing.TB, topic string, keys, each int) (names []string, records []*kgo.Record) {
	t.Helper()
	prefix := harness.Name(t, "key")
	for k := range keys {
		names = append(names, prefix+"-"+strconv.Itoa(k))
	}
	for n := range each {
		for _, name := range names {
			records = append(records, harness.Record(topic, name, strconv.Itoa(n)))
		}
	}
	return names, records
}

// waitSequences waits until every key has taken all of its numbers. Sequence itself notes what came twice or out of order.
func (l *lab) waitSequences(t testing.TB, keys []string, each int) {
	t.Helper()
	for _, key := range keys {
		harness.Eventually(t, 3*harness.Patience, func() (bool, string) {
			got, err := l.call("Sequence/" + key + "/Get")
			if strings.Contains(got, "broken") {
				t.Fatalf("key %s: %s", key, got)
			}
			return err == nil && got == fmt.Sprintf(`{"next":%d}`, each), fmt.Sprintf("key %s: %s %v, want %d", key, got, err, each)
		})
	}
}

// waitBegun waits until some key has taken a number.
func (l *lab) waitBegun(t testing.TB, keys []string) {
	t.Helper()
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		got, err := l.call("Sequence/" + keys[0] + "/Get")
		return err == nil && !strings.HasPrefix(got, `{"next":0`), fmt.Sprintf("%s %v", got, err)
	})
}

func TestTenThousandEventsReachTheirObjectsOnceAndInOrder(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	eachConsumer(t, l, func(t *testing.T, c *column) {
		topic := c.broker.CreateTopic(4)
		keys, records := sequences(t, topic, 100, 100)
		c.subscribe(topic, "service://Sequence/Take")
		c.broker.Produce(records...)
		c.waitSequences(t, keys, 100)
	})
}

func TestEventsStayExactOverACrashOfTheRestateServer(t *testing.T) {
	staysExact(t, (*restateserver.Server).Kill)
}

func TestEventsStayExactOverARestartOfTheRestateServer(t *testing.T) {
	staysExact(t, (*restateserver.Server).Stop)
}

// staysExact ends the server while events are on their way, has more of them come while it is away, and starts it again.
func staysExact(t *testing.T, end func(*restateserver.Server)) {
	l := newLab(t, restateserver.Options{})
	eachConsumer(t, l, func(t *testing.T, c *column) {
		topic := c.broker.CreateTopic(4)
		keys, records := sequences(t, topic, 20, 50)
		c.broker.Produce(records[:600]...)
		c.subscribe(topic, "service://Sequence/Take", "RATE_LIMIT", "200/s")
		c.waitBegun(t, keys)
		end(c.server)
		c.broker.Produce(records[600:]...)
		c.server.Start()
		c.waitSequences(t, keys, 50)
	})
}

func TestEventsStayExactOverKillsOfTheSidecar(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	topic := l.broker.CreateTopic(4)
	keys, records := sequences(t, topic, 20, 50)
	l.broker.Produce(records...)
	// Commits come late, so that every end leaves much that is sent again.
	env := l.env(t, topic, "service://Sequence/Take").With("RATE_LIMIT", "100/s", "COMMIT_INTERVAL", "1s")
	taken := func() float64 {
		var sum float64
		for _, row := range l.server.Query("select count(*) as n from sys_invocation where target_service_name = 'Sequence' and target_handler_name = 'Take'") {
			n, _ := row["n"].(float64)
			sum += n
		}
		return sum
	}
	for range 3 {
		before := taken()
		sidecar := harness.Start(t, env)
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			now := taken()
			return now >= before+100, fmt.Sprintf("%v invocations, %v before", now, before)
		})
		sidecar.Kill()
		if now := taken(); now >= float64(len(records)) {
			t.Fatalf("the middle is over: %v of %d", now, len(records))
		}
	}
	harness.Start(t, env.With("RATE_LIMIT", ""))
	l.waitSequences(t, keys, 50)
}
