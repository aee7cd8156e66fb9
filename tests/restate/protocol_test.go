package restate

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/restateserver"
)

// What the sidecar believes of Restate's ingress and Admin API, held to a real server.

// TestTheServerAnswersAsTheSidecarBelieves: each row is one that the sidecar acts on.
func TestTheServerAnswersAsTheSidecarBelieves(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	key := harness.Name(t, "key")
	for _, tt := range []struct {
		name, path, contentType, identity, body string
		status                                  int
		source, says                            string
	}{
		{"accepted", "Counter/" + key + "/Add", "application/json", "id-1", "1", 202, "", `"status":"Accepted"`},
		{"accepted before", "Counter/" + key + "/Add", "application/json", "id-1", "1", 202, "", `"status":"PreviouslyAccepted"`},
		{"a workflow", "MyWorkflow/" + key + "/Run", "application/json", "", `"1"`, 202, "", `"status":"Accepted"`},
		{"a workflow that is there", "MyWorkflow/" + key + "/Run", "application/json", "", `"1"`, 202, "", `"status":"PreviouslyAccepted"`},
		{"a workflow with an idempotency key", "MyWorkflow/" + key + "/Run", "application/json", "id-2", `"1"`, 400, "ingress", "idempotency key"},
		{"its shared handler with one", "MyWorkflow/" + key + "/SetPromise", "application/json", "id-3", `"1"`, 202, "", `"status":"Accepted"`},
		{"no such service", "Nothing/add", "application/json", "id-4", "1", 404, "ingress", "not found"},
		{"no such handler", "Counter/" + key + "/Nothing", "application/json", "id-5", "1", 404, "ingress", "not found"},
		{"an object without a key", "Counter/Add", "application/json", "id-6", "1", 400, "ingress", "bad path"},
		{"a service with a key", "EventHandler/" + key + "/OneWayCall", "application/json", "id-7", "{}", 400, "ingress", "bad path"},
		{"the empty key", "KeyedWitness//See", "application/json", "id-8", "x", 202, "", `"status":"Accepted"`},
		{"a key that is not UTF-8", "KeyedWitness/%FF/See", "application/json", "id-9", "x", 400, "ingress", "cannot decode key"},
		{"nothing for a JSON handler", "Counter/" + key + "/Add", "application/json", "id-10", "", 400, "ingress", "Empty body"},
		{"another content type", "Counter/" + key + "/Add", "text/plain", "id-11", "1", 400, "ingress", "Content-type"},
		{"nothing for a handler of bytes", "Witness/See", "application/octet-stream", "id-12", "", 202, "", `"status":"Accepted"`},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.server.Ingress+"/restate/send/"+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		req.Header.Set("content-type", tt.contentType)
		if tt.identity != "" {
			req.Header.Set("idempotency-key", key+"/"+tt.identity)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if source := resp.Header.Get("x-restate-error-source"); err != nil || resp.StatusCode != tt.status || source != tt.source || !strings.Contains(string(body), tt.says) {
			t.Errorf("%s: want %d by %q with %q, got %d by %q with %s (%v)", tt.name, tt.status, tt.source, tt.says, resp.StatusCode, source, body, err)
		}
	}
}

func TestTheServerTellsTheTypeOfEveryHandler(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	topic := l.broker.CreateTopic(1)
	for handler, want := range map[string]string{
		"EventHandler/OneWayCall": "service", "Counter/Add": "object", "Counter/Get": "object-shared", "MyWorkflow/Run": "workflow", "MyWorkflow/SetPromise": "workflow-shared",
	} {
		out, errs, code := harness.Run(t, l.env(t, topic, "service://"+handler), "check")
		if code != 0 || !strings.Contains(out, "handler's type is "+want+"\n") {
			t.Errorf("%s: exit code %d, want %s\n%s%s", handler, code, want, out, errs)
		}
	}
	for handler, want := range map[string]string{
		"Count/Add": `service "Count" is not registered; registered are Counter/Add, Counter/Get, EventHandler/OneWayCall`, "Counter/add": `handler "add" of service "Counter" is not registered; the service has Counter/Add, Counter/Get`,
	} {
		out, errs, code := harness.Run(t, l.env(t, topic, "service://"+handler), "check")
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d, want %s\n%s%s", handler, code, want, out, errs)
		}
	}
}

func TestAPrivateServiceIsRefusedAtStartAndWaitedForLater(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	topic := l.broker.CreateTopic(1)
	public := func(yes bool) {
		t.Helper()
		if status, answer, err := l.server.Do(t, http.MethodPatch, l.server.Admin+"/services/Witness", restateserver.JSON{"public": yes}); err != nil || status != http.StatusOK {
			t.Fatalf("make the service public %t: %d %s %v", yes, status, answer, err)
		}
	}
	env := l.env(t, topic, "service://Witness/See")
	s := harness.Start(t, env)
	l.broker.Produce(harness.Record(topic, "a", "1"))
	l.services.waitSeen(t, topic, 1)
	public(false)
	l.broker.Produce(harness.Record(topic, "b", "2"))
	s.WaitLog("the handler cannot be invoked now", "is private")
	if _, errs, code := harness.Run(t, env.With("SUBSCRIPTION_ID", harness.Name(t, "other"))); code != 1 || !strings.Contains(errs, "is private") {
		t.Errorf("a start: exit code %d\n%s", code, errs)
	}
	public(true)
	l.services.waitSeen(t, topic, 2)
	l.broker.WaitCommitted(env.Group(), topic)
}

func TestADeploymentThatIsAwayIsWaitedFor(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	topic := l.broker.CreateTopic(1)
	env := l.env(t, topic, "service://KeyedWitness/See").With("RETRY_MAX_ATTEMPTS", "1", "ON_FAILURE", "drop")
	s := harness.Start(t, env).WaitReady()
	_, answer, err := l.server.Do(t, http.MethodGet, l.server.Admin+"/deployments", nil)
	var known struct{ Deployments []struct{ ID string } }
	if err != nil || json.Unmarshal(answer, &known) != nil || len(known.Deployments) != 1 {
		t.Fatalf("deployments: %s %v", answer, err)
	}
	if status, answer, err := l.server.Do(t, http.MethodDelete, l.server.Admin+"/deployments/"+known.Deployments[0].ID+"?force=true", nil); err != nil || status/100 != 2 {
		t.Fatalf("take the deployment away: %d %s %v", status, answer, err)
	}
	l.broker.Produce(harness.Record(topic, "a", "1"))
	s.WaitLog("the handler cannot be invoked now", "not registered")
	l.server.Register(l.services.url)
	if seen := l.services.waitSeen(t, topic, 1); seen[0].Body != "1" {
		t.Errorf("seen %v", seen)
	}
	l.broker.WaitCommitted(env.Group(), topic)
}

// TestSubscriptionPageHasTheShapeOfTheServers: the same fields, the same redaction.
func TestSubscriptionPageHasTheShapeOfTheServers(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	topic := l.broker.CreateTopic(1)
	options := map[string]string{"auto.offset.reset": "earliest", "session.timeout.ms": "6000", "client.rack": "r1"}
	id := l.server.Subscribe("kafka://"+cluster+"/"+topic, "service://Counter/Add", options)
	t.Cleanup(func() { l.server.Unsubscribe(id) })
	_, answer, err := l.server.Do(t, http.MethodGet, l.server.Admin+"/subscriptions/"+id, nil)
	var want map[string]any
	if err != nil || json.Unmarshal(answer, &want) != nil {
		t.Fatalf("%s %v", answer, err)
	}
	text, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	got := harness.Start(t, l.env(t, topic, "service://Counter/Add").With("SUBSCRIPTION_OPTIONS", string(text))).WaitReady().Subscription()
	for _, name := range []string{"source", "sink"} {
		if got[name] != want[name] {
			t.Errorf("%s is %v, the server has %v", name, got[name], want[name])
		}
	}
	theirs, ours := want["options"].(map[string]any), got["options"].(map[string]any)
	for name, value := range theirs {
		switch name {
		case "group.id", "client.id": // each its own
			if ours[name] == nil {
				t.Errorf("option %s is not shown", name)
			}
		default:
			if ours[name] != value {
				t.Errorf("option %s is %v, the server has %v", name, ours[name], value)
			}
		}
	}
	if len(ours) != len(theirs) {
		t.Errorf("options are %v, the server has %v", ours, theirs)
	}
}
