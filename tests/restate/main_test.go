package restate

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/restateserver"
)

func TestMain(m *testing.M) { harness.Main(m) }

// cluster is the name of the Kafka cluster in every source but those of tests about several.
const cluster = "my-cluster"

// lab is a Kafka, a Restate server that knows it, and the services under test.
type lab struct {
	t        testing.TB
	broker   *harness.Broker
	server   *restateserver.Server
	services *endpoint
	clusters string // as Restate's configuration writes the list of clusters
}

// newLab starts what a test needs and has the services registered.
func newLab(t testing.TB, o restateserver.Options) *lab {
	t.Helper()
	l := &lab{t: t, broker: harness.Real(t), services: serve(t)}
	l.clusters = o.KafkaClusters
	if l.clusters == "" {
		l.clusters = clusterList(map[string]*harness.Broker{cluster: l.broker})
	}
	o.KafkaClusters = l.clusters
	l.server = restateserver.Start(t, o)
	l.server.Register(l.services.url)
	return l
}

// clusterList writes clusters as Restate's configuration does.
func clusterList(brokers map[string]*harness.Broker) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(brokers)) {
		list = append(list, fmt.Sprintf(`{name="%s",brokers=["PLAINTEXT://%s"]}`, name, brokers[name].Addr))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// earliest is what Restate's own tests give to every subscription, with a session short enough to wait for after a crash.
var earliest = map[string]string{"auto.offset.reset": "earliest", "session.timeout.ms": "6000"}

// column is one of the two things that can stand between Kafka and Restate.
type column struct {
	*lab
	t    testing.TB
	name string
}

// eachConsumer runs the same test with Restate's own consumer, which is the reference, and with the sidecar in its place.
func eachConsumer(t *testing.T, l *lab, run func(t *testing.T, c *column)) {
	t.Helper()
	for _, name := range []string{reference, ours} {
		t.Run(name, func(t *testing.T) { run(t, &column{lab: l, t: t, name: name}) })
	}
}

const reference, ours = "restate", "sidecar"

// subscribe has the topic's records invoke the handler, from the first one on, and returns the subscription's id, which is its
// group, too. The variables are for the sidecar alone.
func (c *column) subscribe(topic, sink string, variables ...string) (id string) {
	c.t.Helper()
	return c.subscribeAt(cluster, topic, sink, variables...)
}

// subscribeAt is subscribe with a cluster of a certain name.
func (c *column) subscribeAt(cluster, topic, sink string, variables ...string) (id string) {
	c.t.Helper()
	source := "kafka://" + cluster + "/" + topic
	if c.name == reference {
		id := c.server.Subscribe(source, sink, earliest)
		c.t.Cleanup(func() { c.server.Unsubscribe(id) })
		return id
	}
	env := c.env(c.t, topic, sink).With("SUBSCRIPTION_SOURCE", source).With(variables...)
	harness.Start(c.t, env)
	return env.Group()
}

// env is a sidecar's environment in place of a subscription of the server: the same cluster list, source, sink and options.
func (l *lab) env(t testing.TB, topic, sink string) harness.Env {
	t.Helper()
	return harness.Env{
		"RESTATE_INGRESS__KAFKA_CLUSTERS": l.clusters,
		"SUBSCRIPTION_ID":                 harness.Name(t, "sub"),
		"SUBSCRIPTION_SOURCE":             "kafka://" + cluster + "/" + topic,
		"SUBSCRIPTION_SINK":               sink,
		"SUBSCRIPTION_OPTIONS":            `{"auto.offset.reset":"earliest","session.timeout.ms":"6000"}`,
		"HANDLER_URL":                     l.server.Ingress,
		"HANDLER_PROTOCOL":                "restate",
		"RESTATE_ADMIN_URL":               l.server.Admin,
		"COMMIT_INTERVAL":                 "100ms",
		"RETRY_INITIAL_INTERVAL":          "20ms",
		"RETRY_MAX_INTERVAL":              "500ms",
	}
}

// call invokes a handler through the ingress and returns its answer. Path holds what follows /restate/call/.
func (l *lab) call(path string) (string, error) {
	status, answer, err := l.server.Do(l.t, http.MethodPost, l.server.Ingress+"/restate/call/"+path, nil)
	if err != nil {
		return "", err
	}
	if status != http.StatusOK {
		return "", fmt.Errorf("status %d: %s", status, answer)
	}
	return string(answer), nil
}

// eventually waits until a handler answers with a text.
func (l *lab) eventually(t testing.TB, want, service, key, handler string) {
	t.Helper()
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		got, err := l.call(service + "/" + url.PathEscape(key) + "/" + handler)
		return err == nil && got == want, fmt.Sprintf("%s/%s/%s answers %q (%v), want %q", service, key, handler, got, err, want)
	})
}

// eventuallyAt is eventually for any page of the ingress.
func (l *lab) eventuallyAt(t testing.TB, want, path string) {
	t.Helper()
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		status, answer, err := l.server.Do(t, http.MethodGet, l.server.Ingress+path, nil)
		return status == http.StatusOK && string(answer) == want, fmt.Sprintf("%s answers %d %q (%v), want %q", path, status, answer, err, want)
	})
}
