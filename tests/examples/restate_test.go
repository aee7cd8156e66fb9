package examples

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/restateserver"
)

// TestRestateServicesOfEverySDKAreCalled runs one sidecar for each row of the README's table: the object, the service and the workflow.
func TestRestateServicesOfEverySDKAreCalled(t *testing.T) {
	for _, name := range []string{"restate-go", "restate-typescript", "restate-java"} {
		t.Run(name, func(t *testing.T) {
			e := read(t, name)
			services := e.run(t)
			server := restateserver.Start(t, restateserver.Options{})
			server.Register("http://" + services)
			b := harness.Fake(t)

			sinks := sinksOf(t, name)
			start := func(service string, records ...*kgo.Record) {
				t.Helper()
				topic := b.CreateTopic(2)
				for _, r := range records {
					r.Topic = topic
				}
				b.Produce(records...)
				env := e.sidecar(t, b, topic, services).With("SUBSCRIPTION_SINK", sinks[service], "HANDLER_URL", server.Ingress, "RESTATE_ADMIN_URL", server.Admin)
				harness.Start(t, env)
				b.WaitCommitted(env.Group(), topic)
			}
			record := func(key, value string) *kgo.Record { return harness.Record("", key, value) }
			unkeyed := func(value string) *kgo.Record { return &kgo.Record{Value: []byte(value)} }
			start("Counter", record("alice", "1"), record("bob", "10"), record("alice", "2"), record("alice", "3"))
			start("Router", unkeyed(`{"counter":"alice","amount":100}`), unkeyed(`{"counter":"bob","amount":200}`))
			start("Signup", record("carol", `"Carol"`), record("carol", `"somebody else"`))

			get := server.Ingress + "/restate/call/Counter/%s/" + regexp.MustCompile("[Aa]dd$").ReplaceAllStringFunc(last(sinks["Counter"]), func(add string) string {
				return map[string]string{"Add": "Get", "add": "get"}[add]
			})
			for key, want := range map[string]string{"alice": "106", "bob": "210"} {
				harness.Eventually(t, harness.Patience, func() (bool, string) {
					status, got, err := server.Do(t, http.MethodPost, fmt.Sprintf(get, key), nil)
					return err == nil && status == http.StatusOK && string(got) == want, fmt.Sprintf("the counter of %s is %d %s (%v), want %s", key, status, got, err, want)
				})
			}
			harness.Eventually(t, harness.Patience, func() (bool, string) {
				status, body, err := server.Do(t, http.MethodGet, server.Ingress+"/restate/workflow/Signup/carol/attach", nil)
				return err == nil && status == http.StatusOK && strings.TrimSpace(string(body)) == `"Welcome, Carol"`, fmt.Sprintf("the workflow answers %d %s (%v)", status, body, err)
			})
		})
	}
}

// sinksOf reads the table of an example's README: the sink of each service.
func sinksOf(t *testing.T, name string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", name, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	sinks := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(service://([A-Za-z]+)/[A-Za-z]+)`").FindAllStringSubmatch(string(text), -1) {
		sinks[m[2]] = m[1]
	}
	if len(sinks) != 3 {
		t.Fatalf("the README tells %d sinks", len(sinks))
	}
	return sinks
}

func last(sink string) string { return sink[strings.LastIndex(sink, "/")+1:] }
