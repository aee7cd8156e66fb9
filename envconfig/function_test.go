package envconfig

import (
	"slices"
	"strings"
	"testing"
)

// function is the smallest configuration of a Lambda function.
var function = []string{
	"AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001",
	"SUBSCRIPTION_ID=orders-to-billing",
	"SUBSCRIPTION_SOURCE=kafka://my-cluster/orders",
	"SUBSCRIPTION_SINK=http://billing.internal/orders",
}

func asFunction(changes ...string) []string { return append(slices.Clone(changes), function...) }

func TestFunctionNeedsBrokersForItsDeadLetterTopicOnly(t *testing.T) {
	cfg := mustParse(t, asFunction("LAMBDA_PARTIAL_BATCH=true", "DEAD_LETTER_URL=http://billing.internal/dead")...)
	if !cfg.Function.Enabled || !cfg.Function.PartialBatch || len(cfg.Kafka.Brokers) != 0 || cfg.Run.AdminAddr != "" {
		t.Errorf("%+v, brokers %v, admin pages on %q", cfg.Function, cfg.Kafka.Brokers, cfg.Run.AdminAddr)
	}
	if cfg.Kafka.GroupID != "orders-to-billing" || cfg.Subscription.Cluster != "my-cluster" {
		t.Errorf("group %q of cluster %q: the idempotency key would differ from the container's", cfg.Kafka.GroupID, cfg.Subscription.Cluster)
	}
	if got := message(asFunction("DEAD_LETTER_TOPIC=dead")); !strings.Contains(got, "KAFKA_BOOTSTRAP_SERVERS: is not set") || !strings.Contains(got, "DEAD_LETTER_TOPIC") {
		t.Errorf("a dead-letter topic without brokers: %q", got)
	}
	if cfg := mustParse(t, asFunction("DEAD_LETTER_TOPIC=dead", "KAFKA_BOOTSTRAP_SERVERS=broker:9092")...); len(cfg.Kafka.Brokers) != 1 {
		t.Errorf("brokers %v", cfg.Kafka.Brokers)
	}
	if got := message(with("KAFKA_BOOTSTRAP_SERVERS=")); !strings.Contains(got, "KAFKA_BOOTSTRAP_SERVERS: is not set") {
		t.Errorf("a container without brokers: %q", got)
	}
}

func TestFunctionRefusesWhatMeansNothingThere(t *testing.T) {
	values := map[string]string{
		"START_AT": "earliest", "MAX_IN_FLIGHT": "10", "MAX_IN_FLIGHT_BYTES": "1MiB", "PARKED_MAX": "10", "PARKED_MAX_BYTES": "1MiB",
		"COMMIT_INTERVAL": "1s", "ADMIN_ADDR": "off", "PAUSED": "true", "END_AT": "latest",
	}
	var changes []string
	for name, value := range values {
		changes = append(changes, name+"="+value)
	}
	got := message(asFunction(changes...))
	for name := range values {
		if n := strings.Count("\n"+got, "\n"+name+": "); n != 1 {
			t.Errorf("%s is told %d times:\n%s", name, n, got)
		}
	}
	for _, s := range mustParse(t, asFunction("PAUSED=false")...).Redacted() {
		if _, refused := values[s.Name]; refused {
			t.Errorf("%s is shown", s.Name)
		}
	}
}

func TestFunctionNotesWhatHasNoEffect(t *testing.T) {
	cfg := mustParse(t, asFunction("SHUTDOWN_TIMEOUT=5s", "HANDLER_TIMEOUT=1m", `SUBSCRIPTION_OPTIONS={"auto.offset.reset":"earliest","client.id":"me"}`)...)
	got := noteTexts(cfg)
	for _, want := range []string{"SHUTDOWN_TIMEOUT: has no effect in a Lambda function", "auto.offset.reset has no effect in a Lambda function"} {
		if !strings.Contains(got, want) {
			t.Errorf("notes lack %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "HANDLER_TIMEOUT") || strings.Contains(got, "client.id") {
		t.Errorf("notes of what does have an effect:\n%s", got)
	}
	if got := noteTexts(mustParse(t, with("LAMBDA_PARTIAL_BATCH=true")...)); !strings.Contains(got, "LAMBDA_PARTIAL_BATCH: has no effect") {
		t.Errorf("a container's notes: %s", got)
	}
}
