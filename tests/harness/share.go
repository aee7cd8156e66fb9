package harness

import (
	"crypto/tls"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

// Share says how the Apache Kafka of the package is set up, which Real starts. Call it from TestMain, before Main.
func Share(o realkafka.Options) { shared.Options = o }

// FakeTLS is Fake over TLS; the second configuration is the test's own, as a client.
func FakeTLS(t testing.TB, server, client *tls.Config) *Broker {
	t.Helper()
	return startFake(t, []kgo.Opt{kgo.DialTLSConfig(client)}, kfake.TLS(server))
}
