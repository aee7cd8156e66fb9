package invoke

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

func lambdaConfig(endpoint string) Config {
	return Config{
		Kind: Lambda, BaseURL: endpoint, Function: "arn:aws:lambda:eu-central-1:123456789012:function:billing", Qualifier: "$LATEST", Format: FormatLambda,
		Brokers: []string{"b1:9092", "b2:9092"}, Auth: &lambdaProof{},
	}
}

// lambdaProof signs in one word.
type lambdaProof struct{ proof }

func (p *lambdaProof) Sign(_ context.Context, r *http.Request, _ []byte, _ string) error {
	r.Header["authorization"] = []string{"signed"}
	return nil
}

func TestFunctionIsInvokedThroughTheInvokeAPI(t *testing.T) {
	var got *http.Request
	var body []byte
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	})
	i := newInvoker(t, lambdaConfig(s.URL+"/prefix/"))
	r := rec()
	r.AppendTime = true
	r.Headers = []record.Header{{Name: "x", Value: []byte{0x68, 0xff}}, {Name: "x", Value: nil}, {Name: "traceparent", Value: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")}}
	if res := i.Attempt(t.Context(), r, 7); res.Class != Done {
		t.Fatalf("attempt: %+v", res)
	}
	if want := "/prefix/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Abilling/invocations?Qualifier=%24LATEST"; got.RequestURI != want || got.Method != http.MethodPost {
		t.Errorf("%s %s, want %s", got.Method, got.RequestURI, want)
	}
	if got.Header.Get("X-Amz-Invocation-Type") != "RequestResponse" || got.Header.Get("Authorization") != "signed" || got.Header.Get("Idempotency-Key") != "" {
		t.Errorf("headers %v", got.Header)
	}
	const event = `{"eventSource":"SelfManagedKafka","bootstrapServers":"b1:9092,b2:9092","records":{"orders-3":[{"topic":"orders","partition":3,"offset":42,` +
		`"timestamp":1750000000123,"timestampType":"LOG_APPEND_TIME","key":"Y3VzdG9tZXItMQ==","value":"eyJ0b3RhbCI6N30=",` +
		`"headers":[{"x":[104,-1]},{"x":null},{"traceparent":`
	if !strings.HasPrefix(string(body), event) {
		t.Errorf("got  %s\nwant %s...", body, event)
	}
	text, err := base64.StdEncoding.DecodeString(got.Header.Get("X-Amz-Client-Context"))
	var said struct{ Custom map[string]string }
	if err != nil || json.Unmarshal(text, &said) != nil {
		t.Fatalf("client context %q: %v", got.Header.Get("X-Amz-Client-Context"), err)
	}
	for name, want := range map[string]string{
		"idempotency-key": "my-cluster/billing/orders/3/42/1750000000123", "kafka-sidecar-attempt": "7", "kafka-sidecar-timeout-ms": "30000",
		"restate.subscription.id": "orders-to-billing",
	} {
		if said.Custom[name] != want {
			t.Errorf("client context: %s is %q, want %q", name, said.Custom[name], want)
		}
	}
	if parent := said.Custom["traceparent"]; !strings.HasPrefix(parent, "00-4bf92f3577b34da6a3ce929d0e0e4736-") {
		t.Errorf("the trace is not continued: %q", parent)
	}
}

func TestNullKeysAndTombstonesAreToldFromEmptyOnes(t *testing.T) {
	encode := newLambdaEvent(Config{Topic: "orders"})
	for want, r := range map[string]*record.Record{
		`"timestampType":"CREATE_TIME","key":null,"value":null,"headers":[]}]}}`: {},
		`"timestampType":"CREATE_TIME","key":"","value":"","headers":[]}]}}`:     {Key: []byte{}, Value: []byte{}},
	} {
		if got := string(encode(r)); !strings.HasSuffix(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestLongTraceStateIsLeftOutOfTheClientContext(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n := len(r.Header.Get("X-Amz-Client-Context")); n == 0 || n > maxClientContext {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	c := lambdaConfig(s.URL)
	i := newInvoker(t, c)
	r := rec()
	r.Headers = []record.Header{{Name: "traceparent", Value: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")}, {Name: "tracestate", Value: []byte("a=" + strings.Repeat("x", 3000))}}
	if res := i.Attempt(t.Context(), r, 1); res.Class != Done {
		t.Errorf("got %+v", res)
	}
}

func TestAnswersOfLambda(t *testing.T) {
	failed := "X-Amz-Function-Error: Unhandled\r\n"
	for name, c := range map[string]struct {
		status, header, body string
		class                Class
		code, words          string
	}{
		"a value":                     {"200 OK", "", `{"ok":true}`, Done, "200", ""},
		"nothing":                     {"200 OK", "", "", Done, "200", ""},
		"null":                        {"200 OK", "", "null", Done, "200", ""},
		"no JSON":                     {"200 OK", "", "hidden", Done, "200", ""},
		"function error":              {"200 OK", failed, `{"errorMessage":"hidden"}`, Retry, "function-error", "function failed"},
		"function error, said done":   {"200 OK", failed + "kafka-sidecar-outcome: done\r\n", "", Retry, "function-error", "function failed"},
		"failures":                    {"200 OK", "", `{"a":{"b":[1,{"c":[]}]},"batchItemFailures":[{"itemIdentifier":"hidden"}]}`, Retry, "function-error", "function reported batchItemFailures"},
		"no failures":                 {"200 OK", "", `{"batchItemFailures":[],"x":1}`, Done, "200", ""},
		"null failures":               {"200 OK", "", `{"batchItemFailures":null}`, Done, "200", ""},
		"failures of another shape":   {"200 OK", "", `{"batchItemFailures":{"a":1}}`, Retry, "function-error", "function reported batchItemFailures"},
		"failures inside":             {"200 OK", "", `{"x":{"batchItemFailures":[1]}}`, Done, "200", ""},
		"failures after 100 KiB":      {"200 OK", "", `{"x":"` + strings.Repeat("x", 100<<10) + `","batchItemFailures":[1]}`, Retry, "function-error", "function reported batchItemFailures"},
		"bad request":                 {"400 Bad Request", "X-Amzn-Errortype: InvalidRequestContentException:http://x\r\n", `{"message":"hidden"}`, Failed, "400", "Lambda answered 400 (InvalidRequestContentException)"},
		"not allowed":                 {"403 Forbidden", "X-Amzn-Errortype: AccessDeniedException\r\n", "", Retry, "403", "Lambda answered 403 (AccessDeniedException)"},
		"no such function":            {"404 Not Found", "", "", Failed, "404", "Lambda answered 404"},
		"being changed":               {"409 Conflict", "", "", Retry, "409", "Lambda answered 409"},
		"too large":                   {"413 Too Large", "", "", Failed, "413", "Lambda answered 413"},
		"throttled":                   {"429 Too Many", "X-Amzn-Errortype: TooManyRequestsException\r\n", `{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","message":"hidden"}`, Retry, "429", "Lambda answered 429 (ReservedFunctionConcurrentInvocationLimitExceeded)"},
		"throttled, with odd reasons": {"429 Too Many", "X-Amzn-Errortype: hidden/1\r\n", `{"Reason":"hidden 1"}`, Retry, "429", "Lambda answered 429"},
		"out of order":                {"500 Oops", "", "", Retry, "500", "Lambda answered 500"},
		"not implemented":             {"501 Oops", "", "", Retry, "501", "Lambda answered 501"},
	} {
		t.Run(name, func(t *testing.T) {
			res := answered(t, lambdaConfig("http://lambda.test"), fmt.Sprintf("HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s", c.status, c.header, len(c.body), c.body))
			words := ""
			if res.Err != nil {
				words = res.Err.Error()
			}
			if res.Class != c.class || res.Code != c.code || words != c.words {
				t.Errorf("got %v %s %q, want %v %s %q", res.Class, res.Code, words, c.class, c.code, c.words)
			}
			if c.code == "function-error" && res.Gateway {
				t.Error("a function's error counts as an attempt")
			}
		})
	}
}

func TestHalfAnAnswerOfAFunctionSettlesNothing(t *testing.T) {
	for _, body := range []string{`{"batchItemFailures":[],"x":"`, `{"batchItemFail`, `nu`} {
		res := answered(t, lambdaConfig("http://lambda.test"), "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"+body)
		if res.Class != Retry || res.Code != "body" {
			t.Errorf("%s: got %v %s", body, res.Class, res.Code)
		}
	}
}
