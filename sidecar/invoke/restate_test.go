package invoke

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// ingress is a sink behind Restate's ingress.
func ingress(kind string) Config {
	return Config{Kind: Service, Protocol: "restate", BaseURL: "http://h.test:8080", Service: "Cart", Handler: "add", Type: kind, NullKey: "empty", InvalidKey: "base64url"}
}

// TestIngressPaths: each of these was taken by a real server, which gave the handler the key as written here.
func TestIngressPaths(t *testing.T) {
	based := ingress("object")
	based.BaseURL = "http://h.test/env%2F1/"
	for _, tt := range []struct {
		cfg  Config
		key  string
		want string
	}{
		{ingress("service"), "k", "/restate/send/Cart/add"},
		{ingress("object"), "k", "/restate/send/Cart/k/add"},
		{ingress("object-shared"), "k", "/restate/send/Cart/k/add"},
		{ingress("workflow"), "k", "/restate/send/Cart/k/add"},
		{ingress("workflow-shared"), "k", "/restate/send/Cart/k/add"},
		{ingress("object"), "a/b c", "/restate/send/Cart/a%2Fb%20c/add"},
		{ingress("object"), "a+b%/", "/restate/send/Cart/a%2Bb%25%2F/add"},
		{ingress("object"), "grün", "/restate/send/Cart/gr%C3%BCn/add"},
		{ingress("object"), "..", "/restate/send/Cart/%2E%2E/add"},
		{ingress("object"), "\x00", "/restate/send/Cart/%00/add"},
		{ingress("object"), "", "/restate/send/Cart//add"},
		{ingress("object"), "\xff\xfe", "/restate/send/Cart/__4%3D/add"}, // the ingress refuses bytes that are not UTF-8 with 400
		{based, "k", "/env%2F1/restate/send/Cart/k/add"},
	} {
		r := rec()
		r.Key = []byte(tt.key)
		head, _ := capture(t, tt.cfg, r)
		if got := requestLine(head); got != "POST "+tt.want+" HTTP/1.1" {
			t.Errorf("%s %q:\ngot  %q\nwant %q", tt.cfg.Type, tt.key, got, tt.want)
		}
	}
}

func TestIngressGetsRestatesMetadata(t *testing.T) {
	cfg := ingress("object")
	cfg.Headers = []Header{{"Authorization", "Bearer key"}, {"x-restate-limit-key", "mine"}}
	cfg.ForwardHeaders = []string{"*"}
	r := rec()
	r.Key = []byte{'?', '>', 0xc3, 0xbc} // + and / in the standard alphabet
	r.Headers = []record.Header{{Name: "x-restate-scope", Value: []byte("theirs")}, {Name: "X-Restate-Limit-Key", Value: []byte("theirs")}, {Name: "x-tenant", Value: []byte("grün")}}
	head, body := capture(t, cfg, r)
	got := headerLines(head)
	for name, want := range map[string]string{
		"kafka.topic": "orders", "kafka.partition": "3", "kafka.offset": "42", "kafka.timestamp": "1750000000123", "kafka.key": "Pz7DvA==",
		"restate.subscription.id": "orders-to-billing", "idempotency-key": "my-cluster/billing/orders/3/42/1750000000123",
		"content-type": "application/json", "authorization": "Bearer key", "x-restate-limit-key": "mine", "x-tenant": "gr%C3%BCn",
	} {
		if !slices.Equal(got[name], []string{want}) {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if got["x-restate-scope"] != nil {
		t.Error("a record steers the ingress")
	}
	if body != `{"total":7}` {
		t.Errorf("body %q", body)
	}
}

// TestOnlyTheRunOfAWorkflowHasNoIdempotencyKey: the ingress answers 400 to one there, and takes it everywhere else.
func TestOnlyTheRunOfAWorkflowHasNoIdempotencyKey(t *testing.T) {
	for _, kind := range []string{"service", "object", "object-shared", "workflow", "workflow-shared"} {
		head, _ := capture(t, ingress(kind), rec())
		if has := headerLines(head)["idempotency-key"] != nil; has != (kind != "workflow") {
			t.Errorf("%s: idempotency-key is sent: %t", kind, has)
		}
	}
	plain := ingress("workflow")
	plain.Protocol = "http"
	if head, _ := capture(t, plain, rec()); headerLines(head)["idempotency-key"] == nil {
		t.Error("a workflow over plain HTTP lost its idempotency-key")
	}
}

// recorded is an answer of restate-server 1.7.12, but for headers that are of no account.
func recorded(status int, source, body string) string {
	answer := fmt.Sprintf("HTTP/1.1 %d What\r\ncontent-type: application/json\r\nvary: origin, access-control-request-method, access-control-request-headers\r\naccess-control-allow-credentials: true\r\ncontent-length: %d\r\n", status, len(body))
	if source != "" {
		answer += "x-restate-error-source: " + source + "\r\n"
	}
	return answer + "\r\n" + body
}

func TestIngressAnswerDecidesOutcome(t *testing.T) {
	const (
		accepted   = `{"invocationId":"inv_1ghON9CBtkmf7aVQ7XnCVjT5XDXigrZx3h","status":"Accepted"}`
		known      = `{"invocationId":"inv_1ghON9CBtkmf7aVQ7XnCVjT5XDXigrZx3h","status":"PreviouslyAccepted"}`
		noService  = `{"code":404,"message":"service 'Nope' not found, make sure to register the service before calling it.","source":"ingress"}`
		noHandler  = `{"code":404,"message":"the service 'Svc' exists, but the handler 'Nope' was not found, check that the handler exists in the latest registered service version.","source":"ingress"}`
		badPath    = `{"code":400,"message":"bad path, expected /restate/call/:service/:handler, /restate/send/:service/:handler, /restate/scope/:scope/call/:service/:handler, /restate/attach/:invocation_id, /restate/output/:invocation_id, or /restate/lookup","source":"ingress"}`
		private    = `{"code":400,"message":"the invoked service is not public","source":"ingress"}`
		noKeyHere  = `{"code":400,"message":"cannot use the idempotency key with workflow handlers. The handler invocation will already be idempotent by the workflow key itself.","source":"ingress"}`
		empty      = `{"code":400,"message":"input validation error: Empty body not allowed","source":"ingress"}`
		notUTF8    = `{"code":400,"message":"bad path, cannot decode key: FromUtf8Error { bytes: [255], error: Utf8Error { valid_up_to: 0, error_len: Some(1) } }","source":"ingress"}`
		ranAlready = `{"code":409,"message":"the workflow method was already invoked","source":"invocation"}`
		failed     = `{"code":500,"message":"no","source":"invocation"}`
	)
	for _, tt := range []struct {
		name, kind   string
		answer       string
		class        Class
		gateway, our bool // our: Restate's ingress refused it
		says         string
	}{
		{"accepted", "object", recorded(202, "", accepted), Done, false, false, ""},
		{"accepted before", "object", recorded(202, "", known), Done, false, false, ""},
		{"a workflow that has run", "workflow", recorded(202, "", known), Done, false, false, ""},
		{"a workflow that has run, told as a conflict", "workflow", recorded(409, "invocation", ranAlready), Done, false, false, ""},
		{"a conflict of something else", "workflow-shared", recorded(409, "invocation", ranAlready), Failed, false, false, "handler answered 409"},
		{"no such service", "service", recorded(404, "ingress", noService), Retry, true, true, "Restate's ingress answered 404: the service or the handler is not registered"},
		{"no such handler", "service", recorded(404, "ingress", noHandler), Retry, true, true, "Restate's ingress answered 404: the service or the handler is not registered"},
		{"another type", "service", recorded(400, "ingress", badPath), Failed, false, true, "Restate's ingress answered 400: HANDLER_TYPE, HANDLER_CONTENT_TYPE or the record does not fit the handler, or the service is private"},
		{"a private service", "service", recorded(400, "ingress", private), Failed, false, true, "service is private"},
		{"the run of a workflow taken for an object", "object", recorded(400, "ingress", noKeyHere), Failed, false, true, "HANDLER_TYPE"},
		{"a tombstone where JSON is needed", "object", recorded(400, "ingress", empty), Failed, false, true, "the record does not fit"},
		{"a key's bytes", "object", recorded(400, "ingress", notUTF8), Failed, false, true, "Restate's ingress answered 400"},
		{"too large", "object", "HTTP/1.1 413 Payload Too Large\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 21\r\n\r\nlength limit exceeded", Failed, false, false, "handler answered 413"},
		{"too many", "object", recorded(429, "ingress", "{}"), Retry, false, true, "Restate's ingress answered 429"},
		{"no leader", "object", recorded(503, "ingress", "{}"), Retry, true, true, "Restate's ingress answered 503"},
		{"an invocation that failed", "object", recorded(500, "invocation", failed), Failed, false, false, "handler answered 500"},
		{"an invocation that failed as if it were worth a retry", "object", recorded(429, "invocation", "{}"), Failed, false, false, "handler answered 429"},
		{"a proxy in between", "object", recorded(404, "", "{}"), Failed, false, false, "handler answered 404"},
		{"a proxy in between that fails", "object", recorded(500, "", "{}"), Retry, false, false, "handler answered 500"},
		{"credentials", "object", recorded(401, "", "{}"), Retry, false, false, "handler answered 401"},
		{"a source that is not known", "object", recorded(404, "somebody", "{}"), Failed, false, false, "handler answered 404"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := answered(t, ingress(tt.kind), tt.answer)
			if r.Class != tt.class || r.Gateway != tt.gateway || r.Ingress != tt.our {
				t.Fatalf("got %+v", r)
			}
			if text := fmt.Sprint(r.Err); r.Err != nil && !strings.Contains(text, tt.says) || (r.Err == nil) != (tt.class == Done) {
				t.Errorf("says %q, want %q", text, tt.says)
			} else if strings.Contains(text, "255") || strings.Contains(text, "Nope") {
				t.Errorf("the answer's own words are shown: %s", text)
			}
		})
	}
}

func TestStatusListsGoOverTheIngressToo(t *testing.T) {
	cfg := ingress("object")
	cfg.FailStatuses, cfg.DoneStatuses = []StatusRange{{404, 404}}, []StatusRange{{409, 409}}
	if r := answered(t, cfg, recorded(404, "ingress", "{}")); r.Class != Failed || r.Gateway {
		t.Errorf("404 under HANDLER_FAIL_STATUSES: %+v", r)
	}
	if r := answered(t, cfg, recorded(409, "invocation", "{}")); r.Class != Done {
		t.Errorf("409 under HANDLER_DONE_STATUSES: %+v", r)
	}
}

// TestErrorSourceIsOfTheRestateProtocol: over plain HTTP the status alone decides.
func TestErrorSourceIsOfTheRestateProtocol(t *testing.T) {
	cfg := ingress("object")
	cfg.Protocol = "http"
	for status, want := range map[int]Class{404: Failed, 409: Failed, 500: Retry} {
		for _, source := range []string{"ingress", "invocation"} {
			if r := answered(t, cfg, recorded(status, source, "{}")); r.Class != want || r.Gateway || r.Ingress != (source == "ingress") {
				t.Errorf("%d from %s: %+v", status, source, r)
			}
		}
	}
}
