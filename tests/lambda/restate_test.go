package lambda

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// restate plays a Restate server with the one service Cart: its Admin API, and its ingress as a script of a handler.
type restate struct {
	URL    string
	object atomic.Bool // else a plain service
}

func newRestate(t *testing.T) *restate {
	r := &restate{}
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		kind, handler := "Service", ""
		if r.object.Load() {
			kind, handler = "VirtualObject", "Exclusive"
		}
		if q.URL.Path != "/services/Cart" {
			t.Errorf("the Admin API was asked for %s", q.URL.Path)
		}
		fmt.Fprintf(w, `{"name":"Cart","ty":%q,"public":true,"handlers":[{"name":"add","ty":%q,"public":true}]}`, kind, handler)
	}))
	t.Cleanup(admin.Close)
	r.URL = admin.URL
	return r
}

func (r *restate) ingress(c harness.Call) harness.Answer {
	if keyed := strings.Count(c.Path, "/") == 5; keyed != r.object.Load() {
		return harness.Answer{Status: 400, Header: map[string]string{"x-restate-error-source": "ingress"}, Body: []byte(`{"code":400,"message":"bad path"}`)}
	}
	return harness.Answer{Status: 202, Body: []byte(`{"invocationId":"inv_1","status":"Accepted"}`)}
}

func TestChangedHandlerTypeFailsTheInvocationAndTheNextEnvironmentFollowsIt(t *testing.T) {
	r, dead := newRestate(t), harness.NewHandler(t, harness.OK)
	r.object.Store(true)
	l, h := harness.NewLambda(t), harness.NewHandler(t, r.ingress)
	env := l.Env(topic, h).With("SUBSCRIPTION_SINK", "service://Cart/add", "HANDLER_URL", h.URL(""), "HANDLER_PROTOCOL", "restate", "RESTATE_ADMIN_URL", r.URL,
		"DEAD_LETTER_URL", dead.URL("/dead"), "LAMBDA_PARTIAL_BATCH", "true")
	s := harness.Start(t, env)
	records := numbered(40, 2, 5)
	l.Invoke(harness.KafkaEvent(t, harness.MSK, records[:20]...), time.Minute).OK()

	r.object.Store(false)
	second := harness.KafkaEvent(t, harness.MSK, records[20:]...)
	i := l.Invoke(second, 15*time.Minute).Wait()
	if i.Err.Type != "HandlerChanged" || !strings.Contains(i.Err.Message, "Restate says service, it was object") {
		t.Errorf("error %+v, response %q", i.Err, i.Response)
	}
	s.Exit(1) // which asks the platform for another environment

	before := h.Count()
	harness.Start(t, env)
	l.Invoke(second, time.Minute).OK() // a failed invocation comes again as it was
	if missing := h.Missing(records); len(missing) > 0 {
		t.Errorf("not delivered: %v", missing)
	}
	if n := h.Count() - before; n != 20 {
		t.Errorf("%d calls by the new environment, want the 20 of the event", n)
	}
	if n := dead.Count(); n != 0 {
		t.Errorf("%d records went to the dead letters for the change", n)
	}
}
