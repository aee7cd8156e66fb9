package tests

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// block is the text of a block of docs/replay.md, by what stands before it.
func block(t *testing.T, mark string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/replay.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "<!-- "+mark+"\n")
	shown, _, closed := strings.Cut(rest, "\n```\n")
	if !found || !closed {
		t.Fatalf("replay.md has no block %s", mark)
	}
	return shown
}

// documented is an environment of docs/replay.md with the addresses of a test.
func documented(t *testing.T, b *harness.Broker, h *harness.Handler, name string) harness.Env {
	t.Helper()
	env := harness.Env{}
	for line := range strings.SplitSeq(block(t, "env: "+name+" -->\n```"), "\n") {
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

// TestDocumentedCommandsRunAConfiguration: as someone would who has the page, a file and a shell.
func TestDocumentedCommandsRunAConfiguration(t *testing.T) {
	b, h, dir := harness.Fake(t), harness.NewHandler(t, harness.OK), t.TempDir()
	for _, topic := range []string{"orders", "orders.dead"} {
		b.CreateTopicNamed(topic, 1)
	}
	records := b.Produce(harness.Keyed("orders", 5, 2)...)
	var file strings.Builder
	for name, value := range documented(t, b, h, "scheduled").With("ADMIN_ADDR", "off") {
		fmt.Fprintf(&file, "%s=%s\n", name, value)
	}
	if err := os.WriteFile(filepath.Join(dir, "run.env"), []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	sh := exec.CommandContext(ctx, "sh", "-c", block(t, "run -->\n```sh"))
	sh.Dir, sh.Env = dir, []string{"PATH=" + filepath.Dir(harness.Binary(t)) + ":/usr/bin:/bin"}
	out, err := sh.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"ok: broker and topic,", "is new and starts at earliest: 0 existing records will not be read; END_AT latest ends before 0@5;", // as the page quotes it
		`"msg":"finished`, "exit code 0\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if missing := h.Missing(records); len(missing) > 0 || h.Count() != len(records) {
		t.Errorf("%d calls, not delivered: %v", h.Count(), missing)
	}
}

func TestAReplayBeginsAgainOnceItsGroupIsDeletedAsDocumented(t *testing.T) {
	b, h := harness.Real(t), harness.NewHandler(t, harness.OK)
	topic := b.CreateTopic(1)
	b.Produce(harness.Keyed(topic, 5, 2)...)
	env := documented(t, b, h, "replay")
	tool, args, _ := strings.Cut(block(t, "delete -->\n```sh"), " --bootstrap-server localhost:9092 ")
	if tool != "kafka-consumer-groups.sh" || args != "--delete --group "+env.Group() {
		t.Fatalf("replay.md shows %q with %q, want that of the group %s", tool, args, env.Group())
	}
	env = env.With("SUBSCRIPTION_ID", harness.Name(t, "replay"), "SUBSCRIPTION_SOURCE", "kafka://my-cluster/"+topic, "START_AT", "-1h", "END_AT", "latest")
	for run, calls := range []int{5, 5} { // the group goes on where it was: at its end
		if harness.Start(t, env).Exit(0); h.Count() != calls {
			t.Fatalf("%d calls after run %d, want %d", h.Count(), run+1, calls)
		}
	}
	if out, code := b.Real.ConsumerGroups(t, "--delete", "--group", env.Group()); code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	if harness.Start(t, env).Exit(0); h.Count() != 10 {
		t.Errorf("%d calls once the group was deleted, want the replay to begin again", h.Count())
	}
}
