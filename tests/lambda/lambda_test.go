package lambda

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

const topic = "orders"

// numbered are n records of some partitions and keys each, as a log has them.
func numbered(n, partitions, keys int) []*kgo.Record {
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{
			Topic: topic, Partition: int32(i % partitions), Offset: int64(1000 + i/partitions), Timestamp: time.UnixMilli(1767225600000 + int64(i)),
			Key: fmt.Appendf(nil, "key-%d", i/partitions%keys), Value: fmt.Appendf(nil, `{"number":%d}`, i),
		}
	}
	return records
}

func one(offset int64, key string) *kgo.Record {
	return &kgo.Record{Topic: topic, Offset: offset, Timestamp: time.UnixMilli(1767225600000), Key: []byte(key), Value: []byte("{}")}
}

// start runs the function.
func start(t *testing.T, script harness.Script, changes ...string) (*harness.Lambda, *harness.Handler, *harness.Sidecar) {
	t.Helper()
	l, h := harness.NewLambda(t), harness.NewHandler(t, script)
	return l, h, harness.Start(t, l.Env(topic, h).With(changes...))
}

func TestEventIsDeliveredInTheOrderOfItsKeys(t *testing.T) {
	for _, source := range []string{harness.MSK, harness.SelfManaged} {
		t.Run(source, func(t *testing.T) {
			l, h, _ := start(t, func(c harness.Call) harness.Answer {
				if c.Offset%7 == 0 && c.Attempt == 1 {
					return harness.Answer{Status: 500}
				}
				return harness.Answer{}
			}, "RETRY_INITIAL_INTERVAL", "5ms")
			records := numbered(600, 3, 10)
			for batch := range slices.Chunk(records, 200) {
				l.Invoke(harness.KafkaEvent(t, source, batch...), time.Minute).OK()
			}
			h.WaitSettled(records)
			h.CheckOrder(t, records, harness.Once, nil)
		})
	}
}

func TestIdempotencyKeyIsThatOfTheContainer(t *testing.T) {
	b := harness.Fake(t)
	name := b.CreateTopic(2)
	container, l := harness.NewHandler(t, harness.OK), harness.NewLambda(t)
	env := harness.TestEnv(b, name, container)
	b.Produce(harness.Keyed(name, 20, 4)...)
	records := b.ReadAll(name)
	s := harness.Start(t, env)
	container.WaitSettled(records)
	s.Signal(syscall.SIGTERM)
	s.Exit(0)
	h := harness.NewHandler(t, harness.OK)
	harness.Start(t, l.Env(name, h).With("SUBSCRIPTION_ID", env.Group()))
	l.Invoke(harness.KafkaEvent(t, harness.MSK, records...), time.Minute).OK()
	for _, r := range records {
		want, got := container.CallsOf(r), h.CallsOf(r)
		if len(got) != 1 || got[0].IdempotencyKey != want[0].IdempotencyKey || got[0].IdempotencyKey == "" {
			t.Fatalf("%s: %+v, want the key %q", harness.ID(r), got, want[0].IdempotencyKey)
		}
		for _, header := range []string{"kafka.topic", "kafka.partition", "kafka.offset", "kafka.timestamp", "kafka.key", "restate.subscription.id"} {
			if got, want := got[0].Header[http.CanonicalHeaderKey(header)], want[0].Header[http.CanonicalHeaderKey(header)]; !slices.Equal(got, want) {
				t.Errorf("%s: %s is %v, the container's %v", harness.ID(r), header, got, want)
			}
		}
	}
}

func TestNullIsToldFromEmptyAndHeadersKeepTheirBytes(t *testing.T) {
	l, h, _ := start(t, harness.OK, "HANDLER_FORWARD_HEADERS", "*")
	null := &kgo.Record{Topic: topic, Offset: 1, Timestamp: time.UnixMilli(1), Headers: []kgo.RecordHeader{{Key: "x-name", Value: []byte("J\xc3\xbcrgen")}}}
	empty := &kgo.Record{Topic: topic, Offset: 2, Timestamp: time.UnixMilli(1), Key: []byte{}, Value: []byte{}}
	l.Invoke(harness.KafkaEvent(t, harness.MSK, null, empty), time.Minute).OK()
	n, e := h.CallsOf(null)[0], h.CallsOf(empty)[0]
	if n.HasKey || n.Header.Get("kafka.tombstone") != "true" || n.Header.Get("x-name") != "J%C3%BCrgen" {
		t.Errorf("null key and value: %v", n.Header)
	}
	if !e.HasKey || e.Header.Get("kafka.tombstone") != "" {
		t.Errorf("empty key and value: %v", e.Header)
	}
}

func TestRulesOfTheUserHoldInAFunction(t *testing.T) {
	records := []*kgo.Record{one(1, "a"), one(2, "b"), one(3, "c"), one(4, "d")}
	records[1].Value, records[2].Key = nil, nil
	for _, tt := range []struct {
		name     string
		settings []string
		called   []int64
		from     int64 // where the partition comes again from, 0 for nowhere
	}{
		{"a tombstone is skipped", []string{"TOMBSTONES", "skip"}, []int64{1, 3, 4}, 0},
		{"a tombstone fails", []string{"TOMBSTONES", "fail"}, []int64{1, 3, 4}, 2},
		{"a null key fails", []string{"SUBSCRIPTION_SINK", "/{key}"}, []int64{1, 2, 4}, 3},
		{"a null key is an empty one", []string{"SUBSCRIPTION_SINK", "/keys/{key}", "NULL_KEY", "empty"}, []int64{1, 2, 3, 4}, 0},
		{"a record is skipped", []string{"TOMBSTONES", "fail", "SKIP_RECORDS", "0@2,7@4"}, []int64{1, 3, 4}, 0},
		{"what fails is dropped", []string{"TOMBSTONES", "fail", "ON_FAILURE", "drop"}, []int64{1, 3, 4}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, h := harness.NewLambda(t), harness.NewHandler(t, harness.OK)
			env := l.Env(topic, h).With("LAMBDA_PARTIAL_BATCH", "true").With(tt.settings...)
			if path, relative := strings.CutPrefix(env["SUBSCRIPTION_SINK"], "/"); relative {
				env["SUBSCRIPTION_SINK"] = h.URL("/" + path)
			}
			harness.Start(t, env)
			failures := l.Invoke(harness.KafkaEvent(t, harness.MSK, records...), time.Minute).Failures()
			if at, failed := failures["orders-0"]; at != tt.from || failed != (tt.from > 0) {
				t.Errorf("comes again from %v, want %d", failures, tt.from)
			}
			var called []int64
			for _, c := range h.Calls() {
				called = append(called, c.Offset)
			}
			slices.Sort(called)
			if !slices.Equal(called, tt.called) {
				t.Errorf("the handler was called for %v, want %v", called, tt.called)
			}
		})
	}
}

// TestMappingLosesNothing plays the mapping: whatever an answer names comes again from there, in batches of another cut, until all is done.
func TestMappingLosesNothing(t *testing.T) {
	l, h, _ := start(t, func(harness.Call) harness.Answer {
		switch rand.IntN(10) {
		case 0:
			return harness.Answer{Status: 500}
		case 1:
			return harness.Answer{Status: 422}
		case 2:
			return harness.Answer{Reset: true}
		}
		return harness.Answer{}
	}, "LAMBDA_PARTIAL_BATCH", "true", "RETRY_INITIAL_INTERVAL", "5ms", "RETRY_MAX_INTERVAL", "20ms", "RETRY_MAX_ATTEMPTS", "2")
	records := numbered(400, 4, 5)
	position := map[int32]int64{0: 1000, 1: 1000, 2: 1000, 3: 1000}
	for left := records; len(left) > 0; {
		batch := left[:min(len(left), 1+rand.IntN(100))]
		failures := l.Invoke(harness.KafkaEvent(t, harness.MSK, batch...), time.Minute).Failures()
		for _, r := range batch {
			position[r.Partition] = r.Offset + 1
		}
		for id := range position {
			if at, failed := failures[fmt.Sprintf("%s-%d", topic, id)]; failed {
				position[id] = at
			}
		}
		left = nil
		for _, r := range records {
			if r.Offset >= position[r.Partition] {
				left = append(left, r)
			}
		}
	}
	if missing := h.Missing(records); len(missing) > 0 {
		t.Errorf("%d records were never settled: %v", len(missing), missing)
	}
	h.CheckOrder(t, records, harness.Again, nil)
}

func TestUnsettledRecordFailsTheInvocation(t *testing.T) {
	l, h, s := start(t, func(c harness.Call) harness.Answer {
		if c.Offset == 3 {
			return harness.Answer{Status: 422, Body: []byte("s3cret")}
		}
		return harness.Answer{}
	}, "HANDLER_HEADERS", "x-token: s3cret")
	secret := one(3, "s3cret")
	secret.Value = []byte("s3cret")
	records := []*kgo.Record{one(2, "a"), secret, one(4, "s3cret"), one(5, "b")}
	i := l.Invoke(harness.KafkaEvent(t, harness.MSK, records...), time.Minute).Wait()
	if i.Err.Type != "UnsettledError" || i.Err.Message != "2 of 4 records are unsettled: 2 in orders-0 from offset 3 on, handler answered 422" {
		t.Errorf("error %+v, response %q", i.Err, i.Response)
	}
	if len(h.CallsOf(records[2])) != 0 || len(h.CallsOf(records[3])) != 1 {
		t.Error("the record behind the failed one of its key was attempted, or that of another key was not")
	}
	h.Script(harness.OK)
	l.Invoke(harness.KafkaEvent(t, harness.MSK, records...), time.Minute).OK()
	h.CheckOrder(t, records, harness.Again, nil)
	s.WaitLog("unsettled", `"request_id":"8476a536`)
	for _, line := range s.Lines() {
		if strings.Contains(line, "s3cret") {
			t.Errorf("a secret in %s", line)
		}
		if !strings.HasPrefix(line, "{") {
			t.Errorf("a line that is not JSON: %s", line)
		}
	}
}

func TestHangingHandlerIsCutBeforeTheDeadline(t *testing.T) {
	l, h, _ := start(t, func(c harness.Call) harness.Answer { return harness.Answer{Hang: c.Key == "slow"} }, "LAMBDA_PARTIAL_BATCH", "true", "HANDLER_TIMEOUT", "5m")
	slow := one(7, "slow")
	i := l.Invoke(harness.KafkaEvent(t, harness.MSK, one(6, "a"), slow, one(8, "slow"), one(9, "b")), 6*time.Second)
	if failures := i.Failures(); len(failures) != 1 || failures["orders-0"] != 7 {
		t.Errorf("comes again from %v", failures)
	}
	if !i.At.Before(i.Deadline()) {
		t.Errorf("answered %s behind the deadline: the platform had killed the function", i.At.Sub(i.Deadline()))
	}
	if c := h.CallsOf(slow); len(c) != 1 || c[0].TimeoutMS > 5000 {
		t.Errorf("calls %+v, want one that is told the time left", c)
	}
	if n := h.Answered(); n != 2 {
		t.Errorf("%d calls were answered, want those of the other keys", n)
	}
}

func TestTwoInvocationsRunInOneProcess(t *testing.T) {
	release := make(chan struct{})
	l, h, _ := start(t, func(c harness.Call) harness.Answer {
		if c.Key == "bad" {
			return harness.Answer{Status: 422}
		}
		return harness.Answer{Until: release}
	}, "AWS_LAMBDA_MAX_CONCURRENCY", "2", "CONCURRENCY", "3", "LAMBDA_PARTIAL_BATCH", "true")
	first := l.Invoke(harness.KafkaEvent(t, harness.MSK, one(1, "a"), one(2, "b"), one(3, "c")), time.Minute)
	second := l.Invoke(harness.KafkaEvent(t, harness.MSK, one(11, "a"), one(12, "bad"), one(13, "b"), one(14, "c"), one(15, "d")), time.Minute)
	h.WaitCalls(7)
	close(release)
	first.OK()
	if failures := second.Failures(); len(failures) != 1 || failures["orders-0"] != 12 {
		t.Errorf("the second comes again from %v", failures)
	}
	if n := h.MaxRunning(); n != 6 {
		t.Errorf("%d attempts ran at once, want 3 of each invocation", n)
	}
}

func TestFunctionGoesOnAfterAnEventThatIsNoneOfOurs(t *testing.T) {
	l, h, _ := start(t, harness.OK)
	other := one(1, "a")
	other.Topic = "payments"
	for event, want := range map[string]string{
		string(harness.KafkaEvent(t, harness.MSK, one(1, "a"), other)): "of another topic",
		`{"key1":"value1"}`: "no records",
		`not JSON`:          "not JSON",
	} {
		i := l.Invoke([]byte(event), time.Minute).Wait()
		if i.Err.Type != "Error" || !strings.Contains(i.Err.Message, want) {
			t.Errorf("error %+v, response %q, want %q", i.Err, i.Response, want)
		}
	}
	if h.Count() != 0 {
		t.Errorf("%d calls for events that cannot be taken", h.Count())
	}
	l.Invoke(harness.KafkaEvent(t, harness.MSK, one(2, "a")), time.Minute).OK()
}

func TestLargestEventIsTaken(t *testing.T) {
	l, h, _ := start(t, harness.OK, "CONCURRENCY", "8")
	var records []*kgo.Record
	for i := range int64(8000) { // 6 MB of base64 and its wrapping: the most that an invocation may hold
		r := one(i, fmt.Sprint("key-", i%100))
		r.Value = make([]byte, 400)
		records = append(records, r)
	}
	event := harness.KafkaEvent(t, harness.MSK, records...)
	if len(event) < 5<<20 || len(event) > 6<<20 {
		t.Fatalf("the event has %d bytes", len(event))
	}
	l.Invoke(event, 5*time.Minute).OK()
	if missing := h.Missing(records); len(missing) > 0 {
		t.Errorf("%d records are missing", len(missing))
	}
}
