package tests

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// documented is an environment of docs/replay.md with the addresses of a test.
func documented(t *testing.T, b *harness.Broker, h *harness.Handler, name string) harness.Env {
	t.Helper()
	text, err := os.ReadFile("../docs/replay.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "<!-- env: "+name+" -->\n```\n")
	shown, _, closed := strings.Cut(rest, "\n```\n")
	if !found || !closed {
		t.Fatalf("replay.md has no environment %s", name)
	}
	env := harness.Env{}
	for line := range strings.SplitSeq(shown, "\n") {
		key, value, _ := strings.Cut(line, "=")
		env[key] = value
	}
	return env.With("KAFKA_BOOTSTRAP_SERVERS", b.Addr, "SUBSCRIPTION_SINK", h.URL("/orders"))
}

func TestDocumentedReplaysDoWhatTheyAreSaidToDo(t *testing.T) {
	b := harness.Fake(t)
	for _, topic := range []string{"orders", "orders.dead", "orders.dead.2"} {
		b.CreateTopicNamed(topic, 1)
	}
	at := func(clock, key string) *kgo.Record {
		when, err := time.Parse(time.RFC3339, "2025-01-31T"+clock+"Z")
		if err != nil {
			t.Fatal(err)
		}
		return &kgo.Record{Topic: "orders", Key: []byte(key), Value: []byte("1"), Timestamp: when}
	}
	records := b.Produce(at("07:59:59", "bad"), at("08:00:00", "a"), at("09:59:59", "b"), at("10:00:00", "bad"), at("11:00:00", "c"))

	refusing := harness.NewHandler(t, answerTo("bad", harness.Answer{Status: 422}))
	harness.Start(t, documented(t, b, refusing, "scheduled")).Exit(0)
	if missing := refusing.Missing(without("bad", records)); len(missing) > 0 {
		t.Errorf("the scheduled run did not deliver %v", missing)
	}
	if n := len(b.ReadAll("orders.dead")); n != 2 {
		t.Fatalf("%d dead letters, want 2", n)
	}

	replay := harness.NewHandler(t, harness.OK)
	harness.Start(t, documented(t, b, replay, "replay")).Exit(0)
	if missing := replay.Missing(records[1:3]); len(missing) > 0 || replay.Count() != 2 {
		t.Errorf("the replay made %d calls and did not deliver %v", replay.Count(), missing)
	}

	mended := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		if c.Offset == 0 {
			return harness.Answer{Status: 422}
		}
		return harness.Answer{}
	})
	redrive := documented(t, b, mended, "redrive").With("HANDLER_FORMAT", "envelope")
	harness.Start(t, redrive).Exit(0)
	again := b.ReadAll("orders.dead.2")
	if mended.Count() != 2 || len(again) != 1 {
		t.Fatalf("the redrive made %d calls and %d dead letters, want 2 and 1", mended.Count(), len(again))
	}
	if topic, offset := header(again[0], "kafka-sidecar.source.topic"), header(again[0], "kafka-sidecar.source.offset"); topic != "orders" || offset != "0" {
		t.Errorf("the second dead letter is of %s@%s, want its first source", topic, offset)
	}
	for _, c := range mended.Calls() {
		if !strings.Contains(string(c.Body), "kafka-sidecar.source.topic") || !strings.Contains(string(c.Body), "kafka-sidecar.reason") {
			t.Errorf("the handler is not told where a record came from: %s", c.Body)
		}
	}
	harness.Start(t, redrive).Exit(0)
	if mended.Count() != 2 {
		t.Errorf("the next redrive made %d calls, want none", mended.Count()-2)
	}

	// Without a target what fails again stays, for the next redrive to try.
	failing := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Status: 422} })
	staying := documented(t, b, failing, "redrive").With("SUBSCRIPTION_ID", "orders-redrive-2", "ON_FAILURE", "", "DEAD_LETTER_TOPIC", "")
	harness.Start(t, staying).Exit(5)
	failing.Script(harness.OK)
	harness.Start(t, staying).Exit(0)
}
