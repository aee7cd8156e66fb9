package examples

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func TestCloudEventsSDKReadsBothModes(t *testing.T) {
	e := read(t, "cloudevents")
	handler := e.run(t)
	b := harness.Fake(t)
	for _, format := range []string{"cloudevents", "cloudevents-structured"} {
		topic := b.CreateTopic(1)
		key := "customer-of-" + format
		b.Produce(
			harness.Record(topic, key, `{"customer":"grün","number":1}`),
			harness.Record(topic, key, `{"customer":"grün","number":2}`),
		)
		env := e.sidecar(t, b, topic, handler).With("HANDLER_FORMAT", format)
		harness.Start(t, env)
		b.WaitCommitted(env.Group(), topic)
		res, err := http.Get("http://" + handler)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		var newest map[string]struct {
			Event string
			Order struct {
				Customer string
				Number   int
			}
		}
		if err := json.Unmarshal(body, &newest); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		got := newest[key]
		if got.Order.Number != 2 || got.Order.Customer != "grün" || !strings.HasPrefix(got.Event, fmt.Sprintf("kafka://my-cluster/%s 0:1 ", topic)) {
			t.Errorf("%s: the handler knows %s", format, body)
		}
	}
}
