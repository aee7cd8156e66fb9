package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// registry plays Restate: its Admin API, and its ingress as a script of a handler, with the answers of restate-server 1.7.12.
type registry struct {
	URL string

	mu       sync.Mutex
	types    map[string][2]string // service/handler to the types of both
	private  bool
	accepted map[string]bool // idempotency keys, and workflows
	admin    []http.Header   // what the Admin API was asked with
}

func newRegistry(t *testing.T) *registry {
	r := &registry{types: map[string][2]string{}, accepted: map[string]bool{}}
	s := httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(s.Close)
	r.URL = s.URL
	return r
}

// register puts a handler there in place of everything else; no service takes it away.
func (r *registry) register(sink, service, handler string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.types)
	if service != "" {
		r.types[sink] = [2]string{service, handler}
	}
}

func (r *registry) serve(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admin = append(r.admin, q.Header)
	type one struct {
		Name   string `json:"name"`
		Type   string `json:"ty,omitempty"`
		Public bool   `json:"public"`
	}
	type service struct {
		one
		Handlers []one `json:"handlers"`
	}
	all := []service{}
	for sink, types := range r.types {
		name, handler, _ := strings.Cut(sink, "/")
		all = append(all, service{one{name, types[0], !r.private}, []one{{handler, types[1], !r.private}}})
	}
	if q.URL.Path == "/services" {
		_ = json.NewEncoder(w).Encode(map[string]any{"services": all})
		return
	}
	for _, s := range all {
		if q.URL.Path == "/services/"+s.Name {
			_ = json.NewEncoder(w).Encode(s)
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprint(w, `{"message":"The requested service does not exist","restate_code":null}`)
}

// ingress answers a call as Restate would.
func (r *registry) ingress(c harness.Call) harness.Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	refuse := func(status int, message string) harness.Answer {
		return harness.Answer{Status: status, Header: map[string]string{"x-restate-error-source": "ingress"}, Body: fmt.Appendf(nil, `{"code":%d,"message":%q,"source":"ingress"}`, status, message)}
	}
	parts := strings.Split(strings.TrimPrefix(c.Path, "/restate/send/"), "/")
	types, ok := r.types[parts[0]+"/"+parts[len(parts)-1]]
	identity := c.IdempotencyKey
	switch keyed := types[0] != "Service"; {
	case !strings.HasPrefix(c.Path, "/restate/send/"):
		return refuse(404, "not found")
	case !ok:
		return refuse(404, "service '"+parts[0]+"' not found, make sure to register the service before calling it.")
	case keyed != (len(parts) == 3):
		return refuse(400, "bad path, expected /restate/call/:service/:handler, /restate/send/:service/:handler")
	case r.private:
		return refuse(400, "the invoked service is not public")
	case types[1] == "Workflow" && identity != "":
		return refuse(400, "cannot use the idempotency key with workflow handlers. The handler invocation will already be idempotent by the workflow key itself.")
	case types[1] == "Workflow":
		identity = parts[1]
	}
	status := "Accepted"
	if r.accepted[identity] {
		status = "PreviouslyAccepted"
	}
	r.accepted[identity] = true
	return harness.Answer{Status: 202, Header: map[string]string{"content-type": "application/json"}, Body: fmt.Appendf(nil, `{"invocationId":"inv_1","status":%q}`, status)}
}

// restateEnv is a subscription that sends to the registry's Cart/add and asks it for the type.
func restateEnv(b *harness.Broker, topic string, h *harness.Handler, r *registry) harness.Env {
	return harness.TestEnv(b, topic, h).With("SUBSCRIPTION_SINK", "service://Cart/add", "HANDLER_URL", h.URL(""), "HANDLER_PROTOCOL", "restate", "RESTATE_ADMIN_URL", r.URL)
}

func TestEveryHandlerTypeReachesRestate(t *testing.T) {
	b := harness.Fake(t)
	for _, tt := range []struct {
		kind, service, handler string
		keyed, identity        bool
	}{
		{"service", "Service", "", false, true},
		{"object", "VirtualObject", "Exclusive", true, true},
		{"object-shared", "VirtualObject", "Shared", true, true},
		{"workflow", "Workflow", "Workflow", true, false},
		{"workflow-shared", "Workflow", "Shared", true, true},
	} {
		for _, asked := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, asked %t", tt.kind, asked), func(t *testing.T) {
				r := newRegistry(t)
				r.register("Cart/add", tt.service, tt.handler)
				topic, h := b.CreateTopic(2), harness.NewHandler(t, r.ingress)
				env := restateEnv(b, topic, h, r).With("CONCURRENCY", "16")
				if !asked {
					env = env.With("RESTATE_ADMIN_URL", "", "HANDLER_TYPE", tt.kind)
				}
				records := b.Produce(harness.Keyed(topic, 200, 20)...)
				s := harness.Start(t, env)
				h.WaitSettled(records)
				if tt.kind == "object" || tt.kind == "workflow" {
					h.CheckOrder(t, records, harness.Once, nil)
				}
				for _, c := range h.Calls() {
					want := "/restate/send/Cart/add"
					if tt.keyed {
						want = "/restate/send/Cart/" + c.Key + "/add"
					}
					if c.Path != want || (c.IdempotencyKey != "") != tt.identity || c.Status != 202 {
						t.Fatalf("%s with idempotency-key %q was answered %d; want %s", c.Path, c.IdempotencyKey, c.Status, want)
					}
				}
				b.WaitCommitted(env.Group(), topic)
				if sub := s.Subscription(); sub["sink"] != "service://Cart/add" || sub["id"] != env.Group() {
					t.Errorf("/subscription shows %v", sub)
				}
			})
		}
	}
}

func TestStartWaitsForTheServiceToBeRegistered(t *testing.T) {
	b := harness.Fake(t)
	r := newRegistry(t)
	topic, h := b.CreateTopic(1), harness.NewHandler(t, r.ingress)
	records := b.Produce(harness.Keyed(topic, 10, 2)...)
	env := restateEnv(b, topic, h, r).With("HANDLER_HEADERS", "authorization: Bearer s3cret")
	s := harness.Start(t, env)
	s.WaitStatus("/live", http.StatusOK)
	if s.WaitLog("waiting for Restate", "Cart"); h.Count() != 0 {
		t.Error("records were sent before the type was known")
	}
	if status, body := s.Get("/startup"); status != http.StatusServiceUnavailable || !strings.Contains(body, `service "Cart" is not registered`) {
		t.Errorf("/startup: %d %s", status, body)
	}
	r.register("Cart/add", "VirtualObject", "Exclusive")
	h.WaitSettled(records)
	h.CheckOrder(t, records, harness.Once, nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := r.admin[0].Get("Authorization"); got != "Bearer s3cret" {
		t.Errorf("the Admin API was asked with authorization %q", got)
	}
}

func TestStartEndsWithTheListOfWhatIsRegistered(t *testing.T) {
	b := harness.Fake(t)
	r := newRegistry(t)
	r.register("Basket/put", "VirtualObject", "Exclusive")
	topic, h := b.CreateTopic(1), harness.NewHandler(t, r.ingress)
	env := restateEnv(b, topic, h, r).With("STARTUP_TIMEOUT", "1s")
	for _, args := range [][]string{nil, {"check"}} {
		out, errs, code := harness.Run(t, env, args...)
		if code != 1 || !strings.Contains(out+errs, "not registered; registered are Basket/put") {
			t.Errorf("%v: exit code %d\n%s%s", args, code, out, errs)
		}
	}
	r.register("Cart/add", "Service", "")
	if out, errs, code := harness.Run(t, env, "check"); code != 0 || !strings.Contains(out, "handler's type is service") {
		t.Errorf("check: exit code %d\n%s%s", code, out, errs)
	}
	r.register("Cart/add", "VirtualObject", "Exclusive")
	for _, args := range [][]string{nil, {"check"}} {
		out, errs, code := harness.Run(t, env.With("ORDERING", "none"), args...)
		if code != 2 || !strings.Contains(out+errs, "ORDERING: is none, but Restate says that the handler's type is object") {
			t.Errorf("%v of an object without order: exit code %d\n%s%s", args, code, out, errs)
		}
	}
	r.mu.Lock()
	r.private = true
	asked := len(r.admin)
	r.mu.Unlock()
	if _, errs, code := harness.Run(t, env.With("STARTUP_TIMEOUT", "10m")); code != 1 || !strings.Contains(errs, "is private") {
		t.Errorf("a private service: exit code %d\n%s", code, errs)
	}
	if out, errs, code := harness.Run(t, env, "check", "--offline"); code != 0 {
		t.Errorf("offline: exit code %d\n%s%s", code, out, errs)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.admin) != asked+1 {
		t.Errorf("asked %d times, want once at the start and never offline", len(r.admin)-asked)
	}
	if h.Count() != 0 {
		t.Error("a record was sent")
	}
}

func TestSignalEndsTheWaitForRestate(t *testing.T) {
	b := harness.Fake(t)
	r := newRegistry(t)
	s := harness.Start(t, restateEnv(b, b.CreateTopic(1), harness.NewHandler(t, r.ingress), r))
	s.WaitLog("waiting for Restate")
	s.Signal(syscall.SIGTERM)
	s.Exit(0)
}

// TestDeregisteredHandlerFailsNoRecord: with dead letters on, nothing may go there because a service is away.
func TestDeregisteredHandlerFailsNoRecord(t *testing.T) {
	for name, asked := range map[string]bool{"asked": true, "told": false} {
		t.Run(name, func(t *testing.T) {
			b := harness.Fake(t)
			r := newRegistry(t)
			r.register("Cart/add", "VirtualObject", "Exclusive")
			topic, h := b.CreateTopic(1), harness.NewHandler(t, r.ingress)
			dead := harness.NewHandler(t, harness.OK)
			env := restateEnv(b, topic, h, r).With("DEAD_LETTER_URL", dead.URL("/dead"), "RETRY_MAX_ATTEMPTS", "2")
			if !asked {
				env = env.With("RESTATE_ADMIN_URL", "", "HANDLER_TYPE", "object")
			}
			s := harness.Start(t, env).WaitReady()
			r.register("", "", "")
			records := b.Produce(harness.Keyed(topic, 20, 5)...)
			h.WaitCalls(30)
			r.register("Cart/add", "VirtualObject", "Exclusive")
			h.WaitSettled(records)
			b.WaitCommitted(env.Group(), topic)
			if n := dead.Count(); n != 0 {
				t.Errorf("%d records went to the dead letters", n)
			}
			if !s.Running() {
				t.Error("the sidecar ended")
			}
		})
	}
}

func TestChangedHandlerTypeDrainsAndTheNextStartFollowsIt(t *testing.T) {
	b := harness.Fake(t)
	r := newRegistry(t)
	r.register("Cart/add", "VirtualObject", "Exclusive")
	topic, h := b.CreateTopic(1), harness.NewHandler(t, r.ingress)
	dead := harness.NewHandler(t, harness.OK)
	env := restateEnv(b, topic, h, r).With("DEAD_LETTER_URL", dead.URL("/dead"))
	first := b.Produce(harness.Keyed(topic, 20, 5)...)
	s := harness.Start(t, env)
	h.WaitSettled(first)
	r.register("Cart/add", "Service", "")
	second := b.Produce(harness.Keyed(topic, 20, 5)...)
	s.ExitWithin(30*time.Second, 1)
	s.WaitLog("handler's type has changed: Restate says service, it was object")
	harness.Start(t, env)
	h.WaitSettled(second)
	b.WaitCommitted(env.Group(), topic)
	if n := dead.Count(); n != 0 {
		t.Errorf("%d records went to the dead letters", n)
	}
}
