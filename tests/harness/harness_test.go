package harness

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

func TestMain(m *testing.M) { Main(m) }

func TestBrokersDoWhatTheTestsNeed(t *testing.T) {
	EachBroker(t, func(t *testing.T, b *Broker) {
		topic := b.CreateTopic(3)
		records := b.Produce(Keyed(topic, 30, 5)...)
		partitionOf := map[string]int32{}
		for _, r := range records {
			if p, ok := partitionOf[string(r.Key)]; ok && p != r.Partition {
				t.Fatalf("key %s is on partitions %d and %d", r.Key, p, r.Partition)
			}
			partitionOf[string(r.Key)] = r.Partition
		}
		if got := len(b.Read(topic, 30)); got != 30 {
			t.Errorf("read %d records, want 30", got)
		}

		one := b.CreateTopic(1)
		b.Transaction(false, Record(one, "a", "aborted"))
		b.Transaction(true, Record(one, "a", "committed"))
		if all := b.ReadAll(one); len(all) != 1 || string(all[0].Value) != "committed" {
			t.Errorf("read %d records of an aborted and a committed transaction", len(all))
		}
		end := b.OpenTransaction(Record(one, "a", "open"))
		end(true)
		if all := b.ReadAll(one); len(all) != 2 {
			t.Errorf("read %d records, want 2", len(all))
		}

		b.DeleteRecords(topic, records[0].Partition, records[0].Offset+1)
		b.AddPartitions(topic, 4)
		if ends := b.EndOffsets(topic); len(ends) != 4 {
			t.Errorf("end offsets %v, want 4 partitions", ends)
		}
		if !b.TopicExists(one) || b.TopicExists("no-such-topic") {
			t.Error("wrong list of topics")
		}
		b.DeleteTopic(one)
		if b.TopicExists(one) {
			t.Error("the topic is still there")
		}
	})
}

func TestBrokersShowCommitsAndMembers(t *testing.T) {
	EachBroker(t, func(t *testing.T, b *Broker) {
		topic, group := b.CreateTopic(2), Name(t, "group")
		b.Produce(Keyed(topic, 10, 10)...)
		if c := b.Commits(group, topic); len(c) != 0 {
			t.Fatalf("commits %v of a group that never was", c)
		}
		consumer := b.Client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		ctx, cancel := context.WithTimeout(t.Context(), Patience)
		defer cancel()
		for read := 0; read < 10; {
			fetches := consumer.PollFetches(ctx)
			if err := fetches.Err0(); err != nil {
				t.Fatal(err)
			}
			read += fetches.NumRecords()
		}
		b.WaitMembers(group, 1)
		if err := consumer.CommitUncommittedOffsets(ctx); err != nil {
			t.Fatal(err)
		}
		b.WaitCommitted(group, topic)
		consumer.Close()
		b.WaitMembers(group, 0)

		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: topic, Partition: 1, At: 3, LeaderEpoch: -1, Metadata: "note"})
		answers, err := b.Admin().CommitOffsets(ctx, group, offsets)
		if err = errors.Join(err, answers.Error()); err != nil {
			t.Fatal(err)
		}
		if c := b.Commits(group, topic)[1]; c != (Commit{3, "note"}) {
			t.Errorf("commit %v, want 3 and the note", c)
		}
	})
}

func TestBrokersCanBeCutOffAndFrozen(t *testing.T) {
	check := func(t *testing.T, b *Broker) {
		alive := func() bool {
			cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			return cl.Ping(ctx) == nil
		}
		eventually := func(want bool, when string) {
			Eventually(t, Patience, func() (bool, string) { return alive() == want, when })
		}
		eventually(true, "before")
		b.Outage()
		eventually(false, "in an outage")
		b.Recover()
		eventually(true, "after an outage")
		b.Freeze()
		eventually(false, "frozen")
		b.Recover()
		eventually(true, "after the freeze")
	}
	t.Run("kfake", func(t *testing.T) { check(t, Fake(t)) })
	t.Run("kafka", func(t *testing.T) { check(t, PrivateReal(t, realkafka.Options{})) })
}

// post sends what a sidecar would send for a record. It returns status 0 when there was no answer.
func post(ctx context.Context, h *Handler, offset int, client *http.Client) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL("/x"), strings.NewReader("body"))
	if err != nil {
		return -1
	}
	req.Header.Set("kafka.topic", "t")
	req.Header.Set("kafka.partition", "0")
	req.Header.Set("kafka.offset", strconv.Itoa(offset))
	req.Header.Set("kafka.key", "a2V5")
	req.Header.Set("kafka-sidecar-attempt", "1")
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestHandlerFollowsItsScriptAndRemembers(t *testing.T) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	release := make(chan struct{})
	h := NewHandler(t, func(c Call) Answer {
		switch c.Offset {
		case 1:
			return Answer{Status: 503, Header: map[string]string{"retry-after": "1"}}
		case 2:
			return Answer{Reset: true}
		case 3:
			return Answer{Hang: true}
		case 4:
			return Answer{Until: release, Status: 202}
		}
		return Answer{}
	})
	for offset, want := range []int{200, 503, 0} {
		if got := post(t.Context(), h, offset, client); got != want {
			t.Errorf("status %d for offset %d, want %d", got, offset, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	hung, waiting := make(chan int), make(chan int)
	go func() { hung <- post(ctx, h, 3, client) }()
	go func() { waiting <- post(t.Context(), h, 4, client) }()
	Eventually(t, Patience, func() (bool, string) { return h.Running() == 2, "two calls in the handler" })
	cancel()
	if got := <-hung; got != 0 {
		t.Errorf("status %d of a call that hangs", got)
	}
	close(release)
	if got := <-waiting; got != 202 {
		t.Errorf("status %d, want 202", got)
	}
	Eventually(t, Patience, func() (bool, string) { return h.Running() == 0, "no call in the handler" })
	if h.Count() != 5 || h.Answered() != 2 || h.MaxRunning() != 2 || h.MaxRunningInPartition() != 2 || h.Connections() < 2 {
		t.Errorf("%d calls, %d answered, %d at once", h.Count(), h.Answered(), h.MaxRunning())
	}
	if c := h.Calls()[0]; c.Key != "key" || !c.HasKey || c.Offset != 0 || c.Attempt != 1 || string(c.Body) != "body" || c.Path != "/x" {
		t.Errorf("first call %+v", c)
	}

	h.Down()
	if got := post(t.Context(), h, 5, client); got != 0 {
		t.Errorf("status %d from a handler that is down", got)
	}
	h.Up()
	if got := post(t.Context(), h, 5, client); got != 200 {
		t.Errorf("status %d after it came back", got)
	}
}

func TestOrderCheckFindsEveryViolation(t *testing.T) {
	var records []*kgo.Record
	for i := range 4 {
		records = append(records, &kgo.Record{Key: []byte("k"), Offset: int64(10 * i)})
	}
	// A call in short: offset, start, end, status.
	type call [4]int
	for name, test := range map[string]struct {
		calls       []call
		once, again int // violations
	}{
		"in order":         {[]call{{0, 1, 2, 200}, {10, 3, 4, 200}, {20, 5, 6, 200}}, 0, 0},
		"with a retry":     {[]call{{0, 1, 2, 503}, {0, 3, 4, 200}, {10, 5, 6, 200}}, 0, 0},
		"too early":        {[]call{{0, 1, 4, 200}, {10, 3, 5, 200}}, 1, 1},
		"not settled":      {[]call{{0, 1, 2, 503}, {10, 3, 4, 200}}, 1, 1},
		"jumped":           {[]call{{0, 1, 2, 200}, {20, 3, 4, 200}}, 1, 1},
		"not from start":   {[]call{{10, 1, 2, 200}}, 1, 1},
		"again":            {[]call{{0, 1, 2, 200}, {0, 3, 4, 200}}, 1, 0},
		"back and on":      {[]call{{0, 1, 2, 200}, {10, 3, 4, 200}, {0, 5, 6, 200}, {10, 7, 8, 200}, {20, 9, 10, 200}}, 2, 0},
		"back, then jump":  {[]call{{0, 1, 2, 200}, {10, 3, 4, 200}, {20, 5, 6, 200}, {0, 7, 8, 200}, {20, 9, 10, 200}}, 2, 1},
		"cut and repeated": {[]call{{0, 1, 0, 0}, {0, 3, 4, 200}, {10, 5, 6, 200}}, 1, 0},
		"unknown":          {[]call{{5, 1, 2, 200}}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var calls []Call
			for _, c := range test.calls {
				calls = append(calls, Call{Key: "k", HasKey: true, Offset: int64(c[0]), Start: int64(c[1]), End: int64(c[2]), Status: c[3]})
			}
			if v := orderViolations(calls, records, Once, nil); len(v) != test.once {
				t.Errorf("once: %d violations, want %d: %v", len(v), test.once, v)
			}
			if v := orderViolations(calls, records, Again, nil); len(v) != test.again {
				t.Errorf("again: %d violations, want %d: %v", len(v), test.again, v)
			}
		})
	}
}

func TestMetricsAreReadWithLabelsAndEscapes(t *testing.T) {
	m, err := ParseMetrics("# HELP a b\n# TYPE a counter\na{x=\"1\",y=\"q\\\"},\"} 2\na{x=\"2\"} 3.5 1700000000\nb 1e3\nc_bucket{le=\"+Inf\"} +Inf\n")
	if err != nil {
		t.Fatal(err)
	}
	if m.Value("a") != 5.5 || m.Value("a", "x", "2") != 3.5 || m.Value("a", "y", `q"},`) != 2 || m.Value("b") != 1000 || !m.Has("c_bucket") || m.Has("d") {
		t.Errorf("read %v", m)
	}
	for _, bad := range []string{"a", "a{x=1} 2", "a{x=\"1\"}", "a x"} {
		if _, err := ParseMetrics(bad); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

func TestSidecarIsRunWithExactlyItsEnvironment(t *testing.T) {
	t.Setenv("KAFKA_NO_SUCH_VARIABLE", "x") // would be a mistake if it were inherited
	out, _, code := Run(t, nil, "version")
	if code != 0 || !strings.HasPrefix(out, "kafka-sidecar") {
		t.Fatalf("version: code %d, %q", code, out)
	}
	b := Fake(t)
	topic := b.CreateTopic(2)
	h := NewHandler(t, OK)
	s := Start(t, TestEnv(b, topic, h)).WaitReady()
	records := b.Produce(Keyed(topic, 100, 10)...)
	h.WaitSettled(records)
	h.CheckOrder(t, records, Once, nil)
	b.WaitCommitted(s.Env().Group(), topic)
	s.WaitMetric(100, "kafka_sidecar_settled_total")
	if len(s.Logs()) == 0 || s.Memory() <= 0 || s.Subscription()["id"] != s.Env().Group() {
		t.Errorf("logs %v, memory %d, subscription %v", s.Logs(), s.Memory(), s.Subscription())
	}
	s.Signal(syscall.SIGTERM)
	s.Exit(0)
	if s.Running() {
		t.Error("running after exit")
	}
}
