package invoke

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// A Lambda function as a handler, by the Invoke API: POST /2015-03-31/functions/{function}/invocations, which waits for the function's
// answer. See docs.aws.amazon.com/lambda/latest/api/API_Invoke.html.
//
// Lambda passes no headers on to a function. What a function needs to know of the attempt goes as its client context, which the runtimes show as
// context.clientContext.custom; the record itself is the event.

const (
	clientContext = "x-amz-client-context"

	// maxClientContext is what Lambda takes of it, in base64.
	maxClientContext = 3583
)

func (c *Config) lambdaTarget() (*target, error) {
	t, err := parseTarget(c.BaseURL)
	if err != nil {
		return nil, err
	}
	if c.Function == "" || t.fixed == nil {
		return nil, errors.New("parse sink: a function and an endpoint are both needed")
	}
	path := strings.TrimSuffix(t.fixed.EscapedPath(), "/") + "/2015-03-31/functions/" + string(appendSegment(nil, c.Function)) + "/invocations"
	t.path, t.query, t.fixed = []part{{text: path}}, nil, nil
	if c.Qualifier != "" {
		t.query = []part{{text: "Qualifier=" + string(appendEscaped(nil, c.Qualifier, unreserved))}}
	}
	t.fix()
	return t, nil
}

// lambdaHeaders are those of one call of the Invoke API.
func (i *Invoker) lambdaHeaders(q request, left []string) http.Header {
	custom := map[string]string{
		"idempotency-key":          i.idPrefix + string(appendIdempotencyKey(nil, q.rec)),
		"restate.subscription.id":  i.cfg.SubscriptionID,
		"kafka-sidecar-attempt":    strconv.Itoa(q.attempt),
		"kafka-sidecar-timeout-ms": left[0],
	}
	var scratch [512]byte
	trace := variable{buf: scratch[:0]}
	if q.appendTrace(&trace); trace.n > 0 {
		h := http.Header{}
		trace.addTo(h)
		for name, values := range h {
			custom[name] = values[0]
		}
	}
	h := http.Header{
		userAgent:               {defaultAgent},
		"content-type":          {"application/json"},
		"x-amz-invocation-type": {"RequestResponse"},
	}
	for {
		encoded := base64.StdEncoding.EncodeToString(marshal(map[string]any{"custom": custom}))
		if len(encoded) <= maxClientContext {
			h[clientContext] = []string{encoded}
			return h
		}
		if _, long := custom["tracestate"]; !long {
			return h // names of thousands of bytes: the function is told the record only
		}
		delete(custom, "tracestate")
	}
}

// lambdaEvent is a Kafka event of one record, as Lambda's own event source mappings make it: key and value in base64, header values as
// arrays of signed bytes. Null keys and tombstones are null, which tells them from empty ones.
type lambdaEvent struct {
	EventSource      string                    `json:"eventSource"`
	BootstrapServers string                    `json:"bootstrapServers"`
	Records          map[string][]lambdaRecord `json:"records"`
}

type lambdaRecord struct {
	Topic         string               `json:"topic"`
	Partition     int32                `json:"partition"`
	Offset        int64                `json:"offset"`
	Timestamp     int64                `json:"timestamp"`
	TimestampType string               `json:"timestampType"`
	Key           *string              `json:"key"`
	Value         *string              `json:"value"`
	Headers       []map[string][]int16 `json:"headers"`
}

func newLambdaEvent(cfg Config) func(*record.Record) []byte {
	topic, servers := cfg.Topic, strings.Join(cfg.Brokers, ",")
	return func(rec *record.Record) []byte {
		r := lambdaRecord{
			Topic: topic, Partition: rec.Partition, Offset: rec.Offset, Timestamp: rec.Timestamp, TimestampType: "CREATE_TIME",
			Key: base64OrNull(rec.Key), Value: base64OrNull(rec.Value), Headers: make([]map[string][]int16, len(rec.Headers)),
		}
		if rec.AppendTime {
			r.TimestampType = "LOG_APPEND_TIME"
		}
		for k, h := range rec.Headers {
			r.Headers[k] = map[string][]int16{h.Name: signed(h.Value)}
		}
		return marshal(lambdaEvent{"SelfManagedKafka", servers, map[string][]lambdaRecord{topic + "-" + strconv.Itoa(int(rec.Partition)): {r}}})
	}
}

func base64OrNull(b []byte) *string {
	if b == nil {
		return nil
	}
	s := base64.StdEncoding.EncodeToString(b)
	return &s
}

// signed gives bytes as Java counts them, from -128 to 127; null stays null.
func signed(b []byte) []int16 {
	if b == nil {
		return nil
	}
	out := make([]int16, len(b))
	for i, c := range b {
		out[i] = int16(int8(c))
	}
	return out
}

// lambdaClass is the class of an answer of the Invoke API.
func lambdaClass(status int) Class {
	if status == http.StatusConflict || status >= 500 {
		return Retry // the function is being changed, or Lambda has a bad moment
	}
	return defaultClass(status)
}

// lambdaSays is what an answer of Lambda says beside its status.
type lambdaSays struct {
	failed string // why the function has not done its work, though the status is 200
	reason string // of an error of Lambda itself, such as a throttle's
}

func (l *lambdaSays) error(status int) string {
	switch {
	case l.failed != "":
		return l.failed
	case l.reason != "":
		return "Lambda answered " + strconv.Itoa(status) + " (" + l.reason + ")"
	}
	return "Lambda answered " + strconv.Itoa(status)
}

const (
	codeFunction = "function-error"

	// maxFunctionAnswer is above what a function can answer. All of it is read, since what it says may stand at its end.
	maxFunctionAnswer = 8 << 20
)

var plainReason = regexp.MustCompile(`^[A-Za-z]{1,100}$`)

// readLambda reads and closes an answer of Lambda. The error is that of the connection.
func readLambda(resp *http.Response) (says lambdaSays, err error) {
	defer resp.Body.Close()
	if len(resp.Header["X-Amz-Function-Error"]) > 0 {
		says.failed = "function failed"
		return says, exhaust(resp.Body, maxAnswer)
	}
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		var said struct{ Reason string }
		_ = json.Unmarshal(text, &said)
		kind, _, _ := strings.Cut(resp.Header.Get("X-Amzn-Errortype"), ":")
		for _, one := range []string{said.Reason, kind} {
			if plainReason.MatchString(one) && says.reason == "" {
				says.reason = one
			}
		}
		return says, err
	}
	body := io.LimitReader(resp.Body, maxFunctionAnswer)
	if reportsFailures(json.NewDecoder(body)) {
		says.failed = "function reported batchItemFailures"
	}
	return says, exhaust(body, maxFunctionAnswer) // a connection that broke off while decoding says so again
}

func exhaust(r io.Reader, most int64) error {
	_, err := io.Copy(io.Discard, io.LimitReader(r, most))
	return err
}

// reportsFailures says whether an answer is an object whose batchItemFailures is neither null nor an empty list. There is one record in an event,
// so it does not matter which it names. What is no JSON object reports nothing. Nothing but single values is held in memory.
func reportsFailures(d *json.Decoder) bool {
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return false
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return false
		}
		value, err := d.Token()
		if err != nil {
			return false
		}
		if name == "batchItemFailures" {
			return value != nil && (value != json.Delim('[') || d.More())
		}
		if value == json.Delim('{') || value == json.Delim('[') {
			for depth := 1; depth > 0; {
				inner, err := d.Token()
				if err != nil {
					return false
				}
				switch inner {
				case json.Delim('{'), json.Delim('['):
					depth++
				case json.Delim('}'), json.Delim(']'):
					depth--
				}
			}
		}
	}
	return false
}
