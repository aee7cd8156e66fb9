package tests

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func TestCheckReachesWhatTheSidecarNeeds(t *testing.T) {
	harness.EachBroker(t, func(t *testing.T, b *harness.Broker) {
		topic := b.CreateTopic(1)
		h := harness.NewHandler(t, harness.OK)
		env := harness.SmallestEnv(b, topic, h)
		out, errs, code := harness.Run(t, env, "check")
		if code != 0 || !strings.Contains(out, topic) {
			t.Fatalf("exit code %d\n%s%s", code, out, errs)
		}
		if h.Count() != 0 {
			t.Error("the check made a request")
		}
		if c := b.Commits(env.Group(), topic); len(c) != 0 {
			t.Errorf("the check committed %v", c)
		}
		missing := harness.Name(t, "missing")
		out, errs, code = harness.Run(t, env.With("SUBSCRIPTION_SOURCE", "kafka://test/"+missing), "check")
		if code != 1 || !strings.Contains(out+errs, missing) {
			t.Errorf("exit code %d for a missing topic\n%s%s", code, out, errs)
		}
		if b.TopicExists(missing) {
			t.Error("the check created the topic")
		}
	})
}

func TestCheckSaysHowManyRecordsANewGroupWillNotRead(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	b.Produce(harness.Keyed(topic, 37, 3)...)
	out, _, code := harness.Run(t, harness.SmallestEnv(b, topic, harness.NewHandler(t, harness.OK)), "check")
	if code != 0 || !strings.Contains(out, "37") {
		t.Errorf("exit code %d, no word of the 37 records\n%s", code, out)
	}
}

func TestCheckFailsWhereANewGroupWouldNotStart(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	env := harness.SmallestEnv(b, topic, h).With("KAFKA_OPTION_AUTO_OFFSET_RESET", "error")
	for _, args := range [][]string{nil, {"check"}} {
		out, errs, code := harness.Run(t, env.With("ADMIN_ADDR", "off"), args...)
		if code != 1 || !strings.Contains(out+errs, "no committed offset and auto.offset.reset is") {
			t.Errorf("%v: exit code %d\n%s%s", args, code, out, errs)
		}
	}
	harness.Start(t, env.With("KAFKA_OPTION_AUTO_OFFSET_RESET", "", "START_AT", "earliest")).WaitReady()
	if out, errs, code := harness.Run(t, env, "check"); code != 0 {
		t.Errorf("a group with commits: exit code %d\n%s%s", code, out, errs)
	}
}

func TestCheckFailsWhereAHandlerOrABrokerCannotBeReached(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	env := harness.SmallestEnv(b, topic, h)
	h.Down()
	if out, errs, code := harness.Run(t, env, "check"); code != 1 {
		t.Errorf("exit code %d for a handler that is down\n%s%s", code, out, errs)
	}
	if out, errs, code := harness.Run(t, env, "check", "--offline"); code != 0 {
		t.Errorf("exit code %d offline\n%s%s", code, out, errs)
	}
	h.Up()
	started := time.Now()
	out, errs, code := harness.Run(t, env.With("KAFKA_BOOTSTRAP_SERVERS", harness.FreeAddr(t)), "check")
	if code != 1 || time.Since(started) > 20*time.Second {
		t.Errorf("exit code %d after %s for a broker that is down\n%s%s", code, time.Since(started), out, errs)
	}
	if _, _, code := harness.Run(t, env.With("ON_FAILURE", "pray"), "check", "--offline"); code != 2 {
		t.Errorf("exit code %d for a mistake", code)
	}
}

// TestCheckReachesTheProxyThatARunGoesThrough: behind one, a handler's name need not be known here.
func TestCheckReachesTheProxyThatARunGoesThrough(t *testing.T) {
	b := harness.Fake(t)
	proxy := harness.NewHandler(t, harness.OK)
	env := harness.SmallestEnv(b, b.CreateTopic(1), proxy).With("SUBSCRIPTION_SINK", "https://handler.invalid/records", "HTTPS_PROXY", proxy.URL(""))
	if out, errs, code := harness.Run(t, env, "check"); code != 0 || !strings.Contains(out, "ok: handler behind the proxy at ") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if proxy.Count() != 0 {
		t.Error("the check made a request")
	}
	proxy.Down()
	if out, errs, code := harness.Run(t, env, "check"); code != 1 {
		t.Errorf("exit code %d for a proxy that is down\n%s%s", code, out, errs)
	}
}

func TestHealthcheckAsksTheRunningSidecar(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	s := harness.Start(t, harness.SmallestEnv(b, topic, h)).WaitReady()
	for _, args := range [][]string{{"healthcheck"}, {"healthcheck", "--ready"}} {
		if out, errs, code := harness.Run(t, s.Env(), args...); code != 0 {
			t.Errorf("%v: exit code %d\n%s%s", args, code, out, errs)
		}
	}
	s.Kill()
	if _, _, code := harness.Run(t, s.Env(), "healthcheck"); code != 1 {
		t.Errorf("exit code %d without a sidecar", code)
	}
}

func TestParkedListsTheHeadsAndNoKeys(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, answerTo("key-2", harness.Answer{Status: 418}))
	records := b.Produce(harness.Keyed(topic, 20, 4)...)
	s := harness.Start(t, harness.TestEnv(b, topic, h))
	h.WaitSettled(without("key-2", records))
	s.WaitMetric(1, "kafka_sidecar_parked_keys")
	out, errs, code := harness.Run(t, s.Env(), "parked")
	if code != 0 || !strings.Contains(out, "0@2") || !strings.Contains(out, "418") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	page, err := json.Marshal(s.Subscription())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out+string(page), "key-2") {
		t.Errorf("the raw key is shown:\n%s\n%s", out, page)
	}
}

func TestSubscriptionHasRestatesShapeAndAStatus(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(2)
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h)
	s := harness.Start(t, env.With("SUBSCRIPTION_SINK", h.URL("/records?token=hidden"))).WaitReady()
	s.WaitMetric(2, "kafka_sidecar_assigned_partitions")
	sub := s.Subscription()
	if sub["id"] != env.Group() || sub["source"] != "kafka://test/"+topic || sub["sink"] != h.URL("/records") {
		t.Errorf("subscription %v", sub)
	}
	if _, ok := sub["options"].(map[string]any); !ok {
		t.Errorf("options %v", sub["options"])
	}
	status, ok := sub["status"].(map[string]any)
	if !ok {
		t.Fatalf("status %v", sub["status"])
	}
	if owned, ok := status["assigned_partitions"].([]any); !ok || len(owned) != 2 {
		t.Errorf("assigned partitions %v", status["assigned_partitions"])
	}
}

func TestVersionAndHelp(t *testing.T) {
	if out, _, code := harness.Run(t, nil, "version"); code != 0 || !strings.HasPrefix(out, "kafka-sidecar ") {
		t.Errorf("version: %d %q", code, out)
	}
	out, _, code := harness.Run(t, nil, "help", "env")
	if code != 0 {
		t.Errorf("help env: exit code %d", code)
	}
	for _, name := range []string{
		"SUBSCRIPTION_SOURCE", "SUBSCRIPTION_SINK", "KAFKA_BOOTSTRAP_SERVERS", "HANDLER_TIMEOUT", "ON_FAILURE", "DEAD_LETTER_TOPIC",
		"FAILURE_LIMIT", "PARKED_MAX_BYTES", "START_AT", "SHUTDOWN_TIMEOUT", "ADMIN_ADDR", "LOG_LEVEL",
	} {
		if !strings.Contains(out, name) {
			t.Errorf("help env does not name %s", name)
		}
	}
	if out, _, code := harness.Run(t, nil, "help"); code != 0 || !strings.Contains(out, "SUBSCRIPTION_SINK") {
		t.Errorf("help: %d %q", code, out)
	}
	if _, errs, code := harness.Run(t, nil, "start"); code != 2 || errs == "" {
		t.Errorf("an unknown command: %d %q", code, errs)
	}
}
