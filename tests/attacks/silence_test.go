package attacks

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

func TestConnectionsThatGoSilentAreReplacedBeforeTheLeaseRunsOut(t *testing.T) {
	t.Parallel()
	b, proxy := harness.ProxiedReal(t, realkafka.Options{}, "PLAINTEXT")
	topic := b.CreateTopic(2)
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h).With("KAFKA_BOOTSTRAP_SERVERS", proxy.Addr, "KAFKA_OPTION_SESSION_TIMEOUT_MS", "15000",
		"KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "500", "KAFKA_OPTION_SOCKET_TIMEOUT_MS", "2000", "KAFKA_OPTION_TOPIC_METADATA_REFRESH_INTERVAL_MS", "1000")
	all := b.Produce(harness.Keyed(topic, 100, 50)...)
	s := harness.Start(t, env)
	h.WaitSettled(all)
	b.WaitCommitted(env.Group(), topic)
	before := watchMembership(b, env.Group(), s)
	for _, silent := range []struct {
		what string
		apis []kmsg.Key
	}{
		{"data", []kmsg.Key{kmsg.Fetch}},
		{"heartbeats", []kmsg.Key{kmsg.Heartbeat}},
		{"commits", []kmsg.Key{kmsg.OffsetCommit}},
		{"metadata", []kmsg.Key{kmsg.Metadata}},
		{"all", nil},
	} {
		if n := proxy.Silence(silent.apis...); n == 0 {
			t.Fatalf("no connection for %s", silent.what)
		}
		made := proxy.Made()
		all = append(all, b.Produce(harness.Keyed(topic, 100, 50)...)...)
		h.WaitSettled(all)
		b.WaitCommitted(env.Group(), topic)
		harness.Eventually(t, harness.Patience, func() (bool, string) {
			return proxy.Made() > made, "no connection for " + silent.what + " was replaced"
		})
		before.unchanged(t)
		if t.Failed() {
			t.Fatalf("after the connections for %s went silent", silent.what)
		}
	}
	h.CheckOrder(t, all, harness.Once, nil)
}

func TestHandlerConnectionsThatGoSilentAreReplaced(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(2)
	var mu sync.Mutex
	silent := map[string]bool{} // by the client's end of a connection
	var hush bool
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		mu.Lock()
		defer mu.Unlock()
		if hush {
			return harness.Answer{Hang: silent[c.Remote]}
		}
		silent[c.Remote] = true
		return harness.Answer{}
	})
	env := harness.TestEnv(b, topic, h).With("HANDLER_TIMEOUT", "1s", "CONCURRENCY", "16")
	all := b.Produce(harness.Keyed(topic, 500, 100)...)
	harness.Start(t, env)
	h.WaitSettled(all)
	mu.Lock()
	hush = true
	connections := len(silent)
	mu.Unlock()
	all = append(all, b.Produce(harness.Keyed(topic, 500, 100)...)...)
	h.WaitSettled(all)
	h.CheckOrder(t, all, harness.Again, nil)
	b.WaitCommitted(env.Group(), topic)
	hung := map[string]int{}
	for _, c := range h.Calls() {
		if c.Status == 0 {
			hung[c.Remote]++
		}
	}
	if len(hung) == 0 {
		t.Fatalf("none of %d connections was used again: nothing was tried", connections)
	}
	for remote, n := range hung {
		if n > 1 {
			t.Errorf("%d attempts went into the silent connection from %s: it was used again after it had not answered", n, remote)
		}
	}
}

func TestSASLSessionsAreRenewedBeforeTheBrokerEndsThem(t *testing.T) {
	t.Parallel()
	const secret = "secret-of-alice"
	b, proxy := harness.ProxiedReal(t, realkafka.Options{
		Properties: map[string]string{
			"connections.max.reauth.ms":                            "3000",
			"listener.name.proxied.sasl.enabled.mechanisms":        "PLAIN,SCRAM-SHA-256",
			"listener.name.proxied.plain.sasl.jaas.config":         `org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="` + secret + `";`,
			"listener.name.proxied.scram-sha-256.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
		},
		Format: []string{"--add-scram", "SCRAM-SHA-256=[name=alice,password=" + secret + "]"},
	}, "SASL_PLAINTEXT")
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256"} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			b := b.For(t)
			topic, dead := b.CreateTopic(4), b.CreateTopic(1)
			h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
				if c.Key == "key-0" {
					return harness.Answer{Status: 404}
				}
				return harness.Answer{}
			})
			settles := func(c harness.Call) bool { return c.Status == 404 || c.Status == 200 }
			env := harness.TestEnv(b, topic, h).With("KAFKA_BOOTSTRAP_SERVERS", proxy.Addr, "DEAD_LETTER_TOPIC", dead, "FAILURE_LIMIT", "off",
				"KAFKA_OPTION_SECURITY_PROTOCOL", "sasl_plaintext", "KAFKA_OPTION_SASL_MECHANISM", mechanism,
				"KAFKA_OPTION_SASL_USERNAME", "alice", "KAFKA_OPTION_SASL_PASSWORD", secret,
				"KAFKA_OPTION_HEARTBEAT_INTERVAL_MS", "500", "KAFKA_OPTION_TOPIC_METADATA_REFRESH_INTERVAL_MS", "700")
			s := harness.Start(t, env).WaitReady()
			s.WaitMetric(4, "kafka_sidecar_assigned_partitions")
			before := watchMembership(b, env.Group(), s)
			made := proxy.Made()
			var all []*kgo.Record
			for range 4 {
				// Two keys: two partitions at least stay idle, and commits and dead letters come now and then.
				all = append(all, b.Produce(harness.Keyed(topic, 20, 2)...)...)
				b.WaitCommitted(env.Group(), topic)
				// The sessions end while nothing is to be done but heartbeats and fetches that find nothing.
				harness.Throughout(t, 3500*time.Millisecond, func() (bool, string) {
					cuts := proxy.Cuts()
					return len(cuts) == 0, fmt.Sprintf("the broker ended connections whose session was over, in the middle of %v", cuts)
				})
			}
			if n := proxy.Made() - made; n < 20 {
				t.Errorf("%d connections were made in four periods: the sessions of these tests do not end", n)
			}
			before.unchanged(t)
			h.CheckOrder(t, all, harness.Once, settles)
			if n := len(b.ReadAll(dead)); n != 40 {
				t.Errorf("%d dead letters, want 40, each once", n)
			}
		})
	}
}
