package terraform

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// rendered are subscriptions whose environments the binary has to take.
var rendered = object{
	"smallest": object{"subscription": object{"source": "kafka://my-cluster/orders", "sink": "https://billing.example.com/orders"}},
	"everything": object{
		"subscription":     object{"source": "kafka://my-cluster/orders", "sink": "https://billing.example.com/orders/{key}", "options": object{"fetch.min.bytes": "100", "group.id": "billing"}},
		"handler":          object{"timeout": "10s", "content_type": "text/plain", "format": "envelope", "forward_headers": "x-*", "header_style": "dashes", "done_statuses": "409", "retry_statuses": "404", "fail_statuses": "501", "tls_server_name": "billing.example.com"},
		"records":          object{"null_key": "empty", "tombstones": "skip"},
		"ordering":         "key",
		"limits":           object{"concurrency": 8, "max_in_flight": 100, "max_in_flight_bytes": "16MiB", "parked_max": 1000, "parked_max_bytes": "16MiB", "rate_limit": "10/s"},
		"retry":            object{"initial_interval": "1s", "max_interval": "10s", "factor": 1.5, "max_attempts": 3, "max_age": "1h"},
		"on_failure":       "dead-letter",
		"failure_limit":    "10",
		"dead_letter":      object{"topic": "orders-dead"},
		"start_at":         "-2h",
		"log_level":        "warn",
		"shutdown_timeout": 60,
		"env":              object{"COMMIT_INTERVAL": "2s", "STARTUP_TIMEOUT": "30s"},
	},
	"sasl": object{
		"subscription": object{"source": "kafka://my-cluster/orders", "sink": "https://billing.example.com/orders", "options": object{"security.protocol": "sasl_ssl", "sasl.mechanism": "SCRAM-SHA-512"}},
		"secrets": object{
			"KAFKA_OPTION_SASL_USERNAME": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-AbCdEf:username::",
			"KAFKA_OPTION_SASL_PASSWORD": "arn:aws:ssm:eu-central-1:123456789012:parameter/kafka/password",
			"HANDLER_HEADERS":            "arn:aws:secretsmanager:eu-central-1:123456789012:secret:headers-AbCdEf",
		},
	},
	"msk-iam": object{
		"subscription": object{"source": "kafka://my-cluster/orders", "sink": "https://billing.example.com/orders"},
		"msk":          object{"cluster_arn": "arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1", "iam": true},
	},
	"restate": object{
		"subscription": object{"source": "kafka://my-cluster/orders", "sink": "service://Billing/take"},
		"handler":      object{"url": "http://restate.internal:8080", "protocol": "restate", "type": "object"},
		"records":      object{"null_key": "empty", "invalid_key": "base64url"},
	},
	"sidecar": object{
		"subscription": object{"source": "kafka://my-cluster/orders", "sink": "http://localhost:8080/orders"},
		"handler_container": object{
			"image": "registry.example.com/billing:1", "command": []string{"serve"}, "cpu": 128, "memory": 256, "user": "1000", "readonly_root_filesystem": true, "stop_timeout": 30,
			"environment": object{"PORT": "8080"}, "secrets": object{"TOKEN": "arn:aws:ssm:eu-central-1:123456789012:parameter/billing/token"},
			"health_check": object{"command": []string{"CMD", "/billing", "health"}, "interval": 10, "timeout": 5, "retries": 3, "start_period": 30},
		},
	},
	"scaled": object{
		"subscription": object{"source": "kafka://my-cluster/orders", "sink": "https://billing.example.com/orders"},
		"scaling":      object{"min": 1, "max": 6, "target_lag": 1000, "target_load": 80},
		"alarms":       object{"actions": []string{}, "lag": 1000, "age_seconds": 3600, "dead_letters": 0},
	},
	"scheduled": object{
		"subscription": object{"source": "kafka://my-cluster/orders", "sink": "https://billing.example.com/orders"},
		"schedule":     object{"expression": "rate(1 hour)", "end_at": "latest"},
	},
	"auth": object{
		"subscription": object{"source": "kafka://my-cluster/orders", "sink": "https://billing.example.com/orders"},
		"handler":      object{"auth": "sigv4", "sigv4_region": "eu-central-1", "sigv4_service": "execute-api"},
		"dead_letter":  object{"url": "https://dead.example.com/orders", "auth": "bearer"},
		"secrets":      object{"DEAD_LETTER_BEARER_TOKEN": "arn:aws:ssm:eu-central-1:123456789012:parameter/dead/token"},
	},
}

// dummies stand for secrets in an environment that is only read.
var dummies = map[string]string{"HANDLER_HEADERS": "authorization: Bearer dummy"}

// container is the part of a container definition that makes its environment, and what it runs.
type container struct {
	Name        string
	Command     []string
	Environment []struct{ Name, Value string }
	Secrets     []struct{ Name string }
}

func (c container) env() harness.Env {
	env := harness.Env{"AWS_REGION": "eu-central-1"} // which ECS sets: Amazon ECS Developer Guide, "Amazon ECS environment variables"
	for _, e := range c.Environment {
		env[e.Name] = e.Value
	}
	for _, s := range c.Secrets {
		env[s.Name] = "dummy"
		if d, ok := dummies[s.Name]; ok {
			env[s.Name] = d
		}
	}
	return env
}

// checkEnvironment asks the binary whether it would start with an environment.
func checkEnvironment(t *testing.T, env harness.Env) {
	t.Helper()
	if stdout, stderr, code := harness.Run(t, env, "check", "--offline"); code != 0 {
		t.Errorf("check --offline exits %d\n%s%s\nenvironment: %v", code, stdout, stderr, env)
	}
}

func TestTheBinaryTakesWhatTheModulesRender(t *testing.T) {
	f := newFixture(t, rendered, renderedFunctions)
	var definitions []string
	found := 0
	for module, resources := range f.plan() {
		for _, r := range resources {
			switch r.Type {
			case "aws_ecs_task_definition":
				found++
				text := r.Values["container_definitions"].(string)
				definitions = append(definitions, text)
				var containers []container
				if err := json.Unmarshal([]byte(text), &containers); err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(containers, func(c container) bool { return c.Name == "kafka-sidecar" }) // the provider sorts them
				t.Run(module, func(t *testing.T) { checkEnvironment(t, containers[i].env()) })
			case "aws_lambda_function":
				found++
				env := harness.Env{"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "AWS_REGION": "eu-central-1"}
				variables, _ := at(r.Values, "environment", 0, "variables").(object)
				for name, value := range variables {
					env[name] = value.(string)
				}
				t.Run(module, func(t *testing.T) { checkEnvironment(t, env) })
			}
		}
	}
	if want := len(rendered) + len(renderedFunctions); found != want {
		t.Errorf("%d environments were rendered, want %d", found, want)
	}
	t.Run("service model", func(t *testing.T) { checkServiceModel(t, definitions) })
}

// checkServiceModel holds container definitions to the fields that ECS knows: neither the provider nor a plan looks at them.
func checkServiceModel(t *testing.T, definitions []string) {
	t.Helper()
	unknown := `[{"name":"a","stopTimeoutt":3}]`
	cmd := python(t, "testdata/servicemodel.py")
	cmd.Stdin = strings.NewReader(strings.Join(append(definitions, unknown), "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if len(answers) != len(definitions)+1 || !bytes.Contains(answers[len(definitions)], []byte("stopTimeoutt")) {
		t.Fatalf("the service model answers %s", out)
	}
	for i, definition := range definitions {
		if string(answers[i]) != `""` {
			t.Errorf("%s\n%s", answers[i], definition)
		}
	}
}
