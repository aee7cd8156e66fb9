package harness

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Lambda is the platform as a function sees it: the runtime API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html), which hands
// out invocations and takes their answers.
type Lambda struct {
	t   testing.TB
	srv *httptest.Server

	queue chan *Invocation
	mu    sync.Mutex
	known map[string]*Invocation
	asked int // calls of next that wait or have waited
	next  int
}

// Invocation is one call of the function.
type Invocation struct {
	t        testing.TB
	id       string
	payload  []byte
	deadline time.Time
	taken    chan struct{}
	answered chan struct{}

	// What the function answered, once answered is closed.
	Response string // empty after an error
	Err      struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	At time.Time
}

// NewLambda starts a platform that ends with the test.
func NewLambda(t testing.TB) *Lambda {
	t.Helper()
	l := &Lambda{t: t, queue: make(chan *Invocation, 100), known: map[string]*Invocation{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", l.serveNext)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/{kind}", l.serveAnswer)
	l.srv = httptest.NewServer(mux)
	t.Cleanup(func() {
		l.srv.CloseClientConnections()
		l.srv.Close()
	})
	return l
}

// Close ends the platform, as no real one does.
func (l *Lambda) Close() {
	l.srv.CloseClientConnections()
	l.srv.Close()
}

// Env is the smallest configuration of a function, with a subscription of its own.
func (l *Lambda) Env(topic string, h *Handler) Env {
	return Env{
		"AWS_LAMBDA_RUNTIME_API": strings.TrimPrefix(l.srv.URL, "http://"),
		"ADMIN_ADDR":             "", // nothing is set: a function has no admin pages
		"SUBSCRIPTION_ID":        Name(l.t, "group"),
		"SUBSCRIPTION_SOURCE":    "kafka://test/" + topic,
		"SUBSCRIPTION_SINK":      h.URL("/records"),
	}
}

func (l *Lambda) serveNext(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	l.asked++
	l.mu.Unlock()
	select {
	case i := <-l.queue:
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", i.id)
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:123456789012:function:test")
		w.Header().Set("Lambda-Runtime-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(i.payload)
		close(i.taken)
	case <-r.Context().Done():
	}
}

func (l *Lambda) serveAnswer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	l.mu.Lock()
	i := l.known[r.PathValue("id")]
	delete(l.known, r.PathValue("id"))
	l.mu.Unlock()
	if err != nil || i == nil {
		l.t.Errorf("an answer for %q, which waits for none: %v", r.PathValue("id"), err)
		http.Error(w, "{}", http.StatusForbidden)
		return
	}
	switch r.PathValue("kind") {
	case "response":
		i.Response = string(body)
	case "error":
		if err := json.Unmarshal(body, &i.Err); err != nil {
			l.t.Errorf("an error that is none: %v\n%s", err, body)
		}
	default:
		l.t.Errorf("an answer of the kind %q", r.PathValue("kind"))
	}
	i.At = time.Now()
	close(i.answered)
	w.WriteHeader(http.StatusAccepted)
}

// Invoke hands an event to the function, which gets so much time.
func (l *Lambda) Invoke(payload []byte, timeout time.Duration) *Invocation {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	i := &Invocation{
		t: l.t, id: fmt.Sprintf("8476a536-e9f4-11e8-9739-%012d", l.next), payload: payload, deadline: time.Now().Add(timeout),
		taken: make(chan struct{}), answered: make(chan struct{}),
	}
	l.known[i.id] = i
	l.queue <- i
	return i
}

// WaitIdle waits until the function has asked for so many invocations since its start.
func (l *Lambda) WaitIdle(asked int) {
	l.t.Helper()
	Eventually(l.t, Patience, func() (bool, string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.asked >= asked, fmt.Sprintf("asked for %d invocations, want %d", l.asked, asked)
	})
}

// Deadline is the end of the invocation's time.
func (i *Invocation) Deadline() time.Time { return i.deadline }

// Wait waits for the answer, whichever it is.
func (i *Invocation) Wait() *Invocation {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	select {
	case <-i.answered:
	case <-ctx.Done():
		i.t.Fatalf("invocation %s is not answered", i.id)
	}
	return i
}

// OK waits for the answer and wants it to be that nothing failed.
func (i *Invocation) OK() {
	i.t.Helper()
	if i.Wait(); i.Err.Type != "" || i.Response != `{"batchItemFailures":[]}` {
		i.t.Errorf("answer %s, error %s: %s", i.Response, i.Err.Type, i.Err.Message)
	}
}

// Failures waits for the answer and reads from where each partition comes again.
func (i *Invocation) Failures() map[string]int64 {
	i.t.Helper()
	var answer struct {
		Failures []struct {
			Item struct {
				Partition string
				Offset    int64
			} `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if i.Wait(); i.Err.Type != "" {
		i.t.Fatalf("%s: %s", i.Err.Type, i.Err.Message)
	}
	if err := json.Unmarshal([]byte(i.Response), &answer); err != nil {
		i.t.Fatalf("answer %s: %v", i.Response, err)
	}
	failures := map[string]int64{}
	for _, f := range answer.Failures {
		failures[f.Item.Partition] = f.Item.Offset
	}
	return failures
}

// Sources of an event.
const (
	MSK         = "aws:kafka"
	SelfManaged = "SelfManagedKafka"
)

// KafkaEvent is the event of a mapping for records as a broker gave them back, in the documented shape: key and value are base64, absent where
// they are null; the bytes of header values are numbers, signed as Java has them.
func KafkaEvent(t testing.TB, source string, records ...*kgo.Record) []byte {
	t.Helper()
	lists := map[string][]map[string]any{}
	sorted := slices.Clone(records)
	slices.SortFunc(sorted, func(a, b *kgo.Record) int { return cmp.Compare(a.Offset, b.Offset) })
	for _, r := range sorted {
		headers := []map[string][]int8{}
		for _, h := range r.Headers {
			value := make([]int8, len(h.Value))
			for i, b := range h.Value {
				value[i] = int8(b)
			}
			headers = append(headers, map[string][]int8{h.Key: value})
		}
		one := map[string]any{
			"topic": r.Topic, "partition": r.Partition, "offset": r.Offset, "timestamp": r.Timestamp.UnixMilli(), "timestampType": "CREATE_TIME", "headers": headers,
		}
		if r.Key != nil {
			one["key"] = r.Key
		}
		if r.Value != nil {
			one["value"] = r.Value
		}
		name := fmt.Sprintf("%s-%d", r.Topic, r.Partition)
		lists[name] = append(lists[name], one)
	}
	event := map[string]any{"eventSource": source, "bootstrapServers": "b-1.demo.kafka.eu-central-1.amazonaws.com:9092", "records": lists}
	if source == MSK {
		event["eventSourceArn"] = "arn:aws:kafka:eu-central-1:123456789012:cluster/demo/751d2973-a626-431c-9d4e-d7975eb44dd7-2"
	}
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}
