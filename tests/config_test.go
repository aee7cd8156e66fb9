package tests

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func TestBadEnvironmentPrintsEveryMistakeAndExitsTwo(t *testing.T) {
	env := harness.Env{
		"KAFKA_BOOTSTRAP_SERVERS":            "localhost:9092",
		"SUBSCRIPTION_SOURCE":                "kafka://cluster/orders/extra",
		"SUBSCRIPTION_SINK":                  "ftp://localhost/x",
		"CONCURRENCY":                        "many",
		"HANDLER_TIMEOUT":                    "20",
		"ON_FAILURE":                         "ignore",
		"RETRY_MAX_INTERVALL":                "5s",
		"KAFKA_OPTION_ASSIGNMENTS_STRATEGY":  "range",
		"DEAD_LETTER_URL":                    "http://localhost/a",
		"DEAD_LETTER_TOPIC":                  "b",
		"SUBSCRIPTION_OPTIONS":               "{",
		"KAFKA_SERVICE_HOST":                 "10.0.0.1", // what Kubernetes injects is nobody's mistake
		"KAFKA_PORT_9092_TCP_ADDR":           "10.0.0.1",
		"SKIP_RECORDS":                       "0@x",
		"START_AT":                           "yesterday",
		"MAX_IN_FLIGHT_BYTES":                "64 apples",
		"SHUTDOWN_TIMEOUT":                   "-1s",
		"KAFKA_OPTION_SESSION_TIMEOUT_MS":    "soon",
		"KAFKA_OPTION_SASL_PASSWORD_FILE":    "/nonexistent/file",
		"HANDLER_STYLE_OF_NO_MEANING_AT_ALL": "x",
	}
	out, errs, code := harness.Run(t, env)
	if code != 2 {
		t.Fatalf("exit code %d, want 2\n%s%s", code, out, errs)
	}
	for _, name := range []string{
		"SUBSCRIPTION_SOURCE", "SUBSCRIPTION_SINK", "CONCURRENCY", "HANDLER_TIMEOUT", "ON_FAILURE", "RETRY_MAX_INTERVALL",
		"KAFKA_OPTION_ASSIGNMENTS_STRATEGY", "DEAD_LETTER_", "SUBSCRIPTION_OPTIONS", "SKIP_RECORDS", "START_AT", "MAX_IN_FLIGHT_BYTES",
		"SHUTDOWN_TIMEOUT", "SESSION_TIMEOUT_MS", "SASL_PASSWORD_FILE", "HANDLER_STYLE_OF_NO_MEANING_AT_ALL",
	} {
		if !strings.Contains(errs, name) {
			t.Errorf("%s is not named", name)
		}
	}
	for _, hint := range []string{"RETRY_MAX_INTERVAL", "did you mean"} {
		if !strings.Contains(errs, hint) {
			t.Errorf("no %q", hint)
		}
	}
	for _, fine := range []string{"KAFKA_SERVICE_HOST", "KAFKA_PORT_9092_TCP_ADDR", "KAFKA_BOOTSTRAP_SERVERS"} {
		if strings.Contains(errs, fine+" ") || strings.Contains(errs, fine+":") {
			t.Errorf("%s is called a mistake", fine)
		}
	}
	if t.Failed() {
		t.Log(errs)
	}
}

func TestEachMistakeEndsWithTwoBeforeAnythingIsReached(t *testing.T) {
	base := harness.Env{
		"KAFKA_BOOTSTRAP_SERVERS": "localhost:1", "SUBSCRIPTION_ID": "id",
		"SUBSCRIPTION_SOURCE": "kafka://c/orders", "SUBSCRIPTION_SINK": "http://localhost:1/x",
	}
	for name, test := range map[string]struct {
		set  []string
		want []string
	}{
		"no source":                  {[]string{"SUBSCRIPTION_SOURCE", ""}, []string{"SUBSCRIPTION_SOURCE"}},
		"no sink":                    {[]string{"SUBSCRIPTION_SINK", ""}, []string{"SUBSCRIPTION_SINK"}},
		"no broker":                  {[]string{"KAFKA_BOOTSTRAP_SERVERS", ""}, []string{"KAFKA"}},
		"loopback without an id":     {[]string{"SUBSCRIPTION_ID", ""}, []string{"SUBSCRIPTION_ID"}},
		"value and file":             {[]string{"HANDLER_HEADERS", "a: b", "HANDLER_HEADERS_FILE", "/dev/null"}, []string{"HANDLER_HEADERS"}},
		"user in the sink":           {[]string{"SUBSCRIPTION_SINK", "http://user:hunter2@localhost:1/x"}, []string{"SUBSCRIPTION_SINK"}},
		"handler url beside http":    {[]string{"HANDLER_URL", "http://localhost"}, []string{"HANDLER_URL"}},
		"service without url":        {[]string{"SUBSCRIPTION_SINK", "service://Greeter/greet"}, []string{"HANDLER_URL"}},
		"unordered object":           {[]string{"SUBSCRIPTION_SINK", "service://Greeter/greet", "HANDLER_URL", "http://localhost", "HANDLER_TYPE", "object", "ORDERING", "none"}, []string{"ORDERING"}},
		"dead letters to the source": {[]string{"DEAD_LETTER_TOPIC", "orders"}, []string{"DEAD_LETTER_TOPIC"}},
		"an option twice":            {[]string{"SUBSCRIPTION_OPTIONS", `{"group.id":"a"}`, "KAFKA_OPTION_GROUP_ID", "a"}, []string{"group.id"}},
		"unknown option":             {[]string{"SUBSCRIPTION_OPTIONS", `{"sesion.timeout.ms":1000}`}, []string{"sesion.timeout.ms", "session.timeout.ms"}},
		"unknown cluster":            {[]string{"KAFKA_BOOTSTRAP_SERVERS", "", "KAFKA_CLUSTERS", `[{name="a",brokers=["PLAINTEXT://b:1"]}]`}, []string{"c", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs, code := harness.Run(t, base.With(test.set...))
			if code != 2 {
				t.Fatalf("exit code %d, want 2\n%s", code, errs)
			}
			for _, want := range test.want {
				if !strings.Contains(errs, want) {
					t.Errorf("no %q in\n%s", want, errs)
				}
			}
			if strings.Contains(errs, "hunter2") {
				t.Errorf("the password is shown:\n%s", errs)
			}
		})
	}
}

func TestClustersCanBeGivenAsRestateGivesThem(t *testing.T) {
	b := harness.Fake(t)
	file := filepath.Join(t.TempDir(), "restate.toml")
	if err := os.WriteFile(file, []byte("[[ingress.kafka-clusters]]\nname = \"test\"\nbrokers = [\"PLAINTEXT://"+b.Addr+"\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	list := `[{name="test",brokers=["PLAINTEXT://` + b.Addr + `"]}]`
	for name, set := range map[string][]string{
		"list":    {"KAFKA_CLUSTERS", list},
		"json":    {"KAFKA_CLUSTERS", `[{"name":"test","brokers":["` + b.Addr + `"],"client.id":"x"}]`},
		"alias":   {"RESTATE_INGRESS__KAFKA_CLUSTERS", list},
		"indexed": {"KAFKA_CLUSTERS_0_NAME", "other", "KAFKA_CLUSTERS_0_BROKERS", "nowhere:1", "KAFKA_CLUSTERS_1_NAME", "test", "KAFKA_CLUSTERS_1_BROKERS", b.Addr},
		"file":    {"KAFKA_CLUSTERS_FILE", file},
	} {
		t.Run(name, func(t *testing.T) {
			topic := b.CreateTopic(1)
			h := harness.NewHandler(t, harness.OK)
			records := b.Produce(harness.Keyed(topic, 5, 2)...)
			harness.Start(t, harness.TestEnv(b, topic, h).With("KAFKA_BOOTSTRAP_SERVERS", "").With(set...))
			h.WaitSettled(records)
		})
	}
}

func TestASubscriptionCanBeOneJSON(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(1)
	h := harness.NewHandler(t, harness.OK)
	records := b.Produce(harness.Keyed(topic, 5, 2)...)
	env := harness.Env{"KAFKA_BOOTSTRAP_SERVERS": b.Addr, "SUBSCRIPTION": `{"source":"kafka://test/` + topic + `","sink":"` + h.URL("/x") +
		`","options":{"auto.offset.reset":"earliest","group.id":"` + harness.Name(t, "group") + `","session.timeout.ms":10000}}`}
	harness.Start(t, env)
	h.WaitSettled(records)
}

func TestNoSecretInAnyOutput(t *testing.T) {
	const secret = "s3cr3t"
	b := harness.FakeSASL(t, "user", "password-"+secret)
	topic := b.CreateTopic(1)
	h, target := harness.NewHandler(t, harness.OK), harness.NewHandler(t, harness.OK)
	h.Script(func(c harness.Call) harness.Answer {
		switch c.Offset % 4 {
		case 0:
			return harness.Answer{Status: 500, Body: []byte("echo " + secret)}
		case 1:
			return harness.Answer{Reset: true}
		case 2:
			return harness.Answer{Status: 422, Header: map[string]string{"x-echo": secret}}
		}
		return harness.Answer{Hang: true}
	})
	target.Down()
	env := harness.TestEnv(b, topic, h).With(
		"LOG_LEVEL", "debug", "HANDLER_TIMEOUT", "200ms",
		"KAFKA_OPTION_SECURITY_PROTOCOL", "SASL_PLAINTEXT", "KAFKA_OPTION_SASL_MECHANISM", "PLAIN",
		"KAFKA_OPTION_SASL_USERNAME", "user", "KAFKA_OPTION_SASL_PASSWORD", "password-"+secret,
		"SUBSCRIPTION_SINK", h.URL("/records/{key}?token="+secret), "HANDLER_HEADERS", "x-token: "+secret,
		"DEAD_LETTER_URL", target.URL("/dead?token="+secret),
	)
	var records []*kgo.Record
	for i := range 20 {
		r := harness.Record(topic, "key-"+secret+strconv.Itoa(i), `{"payload":"`+secret+`"}`)
		r.Headers = []kgo.RecordHeader{{Key: "h", Value: []byte(secret)}}
		records = append(records, r)
	}
	b.Produce(records...)
	s := harness.Start(t, env)
	h.WaitCalls(100)
	h.Down()
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		n := s.Metrics().Value("kafka_sidecar_attempts_total", "code", "connect")
		return n > 20, fmt.Sprintf("%v refused attempts", n)
	})
	var seen strings.Builder
	for _, page := range []string{"/metrics", "/subscription", "/live", "/ready", "/startup"} {
		_, body := s.Get(page)
		seen.WriteString(body)
	}
	for _, command := range []string{"check", "parked", "healthcheck"} {
		out, errs, _ := harness.Run(t, s.Env(), command)
		seen.WriteString(out + errs)
	}
	wrong := env.With("KAFKA_OPTION_SASL_PASSWORD", "wrong-"+secret, "STARTUP_TIMEOUT", "1s")
	out, errs, _ := harness.Run(t, wrong, "check")
	seen.WriteString(out + errs)
	refused := harness.Start(t, wrong)
	refused.Exit(1)
	_, errs, code := harness.Run(t, env.With("HANDLER_TIMEOUT", secret, "KAFKA_OPTION_SASL_PASSWORD_FILE", "/dev/null", "HANDLER_HEADERS", "no colon "+secret,
		"KAFKA_OPTION_SESSION_TIMEOUT_MS", "x", "DEAD_LETTER_URL", "http://u:"+secret+"@localhost/x"))
	if code != 2 {
		t.Errorf("exit code %d for a bad environment", code)
	}
	// A variable that is no secret may be shown in the mistake that it is.
	seen.WriteString(strings.ReplaceAll(errs, `"`+secret+`"`, ""))
	s.Signal(syscall.SIGTERM)
	s.Exit(0)
	seen.WriteString(strings.Join(append(s.Lines(), refused.Lines()...), "\n"))
	encoded := base64.StdEncoding.EncodeToString([]byte(`{"payload":"` + secret))
	for line := range strings.Lines(seen.String()) {
		if strings.Contains(line, secret) || strings.Contains(line, encoded) {
			t.Errorf("a secret in: %s", line)
		}
	}
}
