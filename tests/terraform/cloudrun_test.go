package terraform

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/metrics"
	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// cloudRun is what every call of the Cloud Run module in these tests has.
var cloudRun = object{
	"name":              "orders-to-billing",
	"subscription":      object{"source": "kafka://my-cluster/orders", "sink": "https://billing.example.com/orders"},
	"bootstrap_servers": "broker-1.example.com:9092",
	"image":             "europe-west3-docker.pkg.dev/my-project/images/kafka-sidecar@sha256:0000000000000000000000000000000000000000000000000000000000000000",
	"project_id":        "my-project",
	"location":          "europe-west3",
	"network":           object{"subnetwork": "main"},
}

// everything are the inputs of core.tf, but for those of secrets.
var everything = object{
	"subscription":  object{"source": "kafka://my-cluster/orders", "sink": "https://billing.example.com/orders/{key}", "options": object{"fetch.min.bytes": "100", "group.id": "billing"}},
	"handler":       object{"timeout": "5s", "content_type": "text/plain", "format": "envelope", "forward_headers": "x-*", "header_style": "dashes", "auth": "google-id-token", "google_audience": "https://billing.example.com", "done_statuses": "409", "retry_statuses": "404", "fail_statuses": "501", "tls_server_name": "billing.example.com"},
	"records":       object{"null_key": "empty", "tombstones": "skip"},
	"ordering":      "key",
	"limits":        object{"concurrency": 8, "max_in_flight": 100, "max_in_flight_bytes": "16MiB", "parked_max": 1000, "parked_max_bytes": "16MiB", "rate_limit": "10/s"},
	"retry":         object{"initial_interval": "1s", "max_interval": "10s", "factor": 1.5, "max_attempts": 3, "max_age": "1h"},
	"on_failure":    "dead-letter",
	"failure_limit": "10",
	"dead_letter":   object{"topic": "orders-dead"},
	"start_at":      "-2h",
	"log_level":     "warn",
	"env":           object{"COMMIT_INTERVAL": "2s", "STARTUP_TIMEOUT": "30s"},
	"labels":        object{"team": "billing"},
}

// renderedPools and renderedJobs are subscriptions whose environments the binary has to take.
var renderedPools = object{
	"smallest":   object{},
	"everything": everything,
	"sasl": object{
		"subscription": object{"source": "kafka://my-cluster/orders", "sink": "https://billing.example.com/orders", "options": object{"security.protocol": "sasl_ssl", "sasl.mechanism": "SCRAM-SHA-512"}},
		"secrets": object{
			"KAFKA_OPTION_SASL_USERNAME": object{"secret": "kafka-username", "version": "1"},
			"KAFKA_OPTION_SASL_PASSWORD": object{"secret": "kafka-password", "version": "latest"},
			"HANDLER_HEADERS":            object{"secret": "projects/other/secrets/headers", "version": "3"},
		},
	},
	"restate": object{
		"subscription": object{"source": "kafka://my-cluster/orders", "sink": "service://Billing/take"},
		"handler":      object{"url": "http://restate.internal:8080", "protocol": "restate", "type": "object"},
		"records":      object{"null_key": "empty", "invalid_key": "base64url"},
	},
	"sidecar": object{
		"subscription": object{"source": "kafka://my-cluster/orders", "sink": "http://localhost:8080/orders"},
		"handler_container": object{
			"image": "billing:1", "command": []string{"/billing"}, "args": []string{"serve"}, "cpu": "1", "memory": "1Gi",
			"environment": object{"PORT": "8080"}, "secrets": object{"TOKEN": object{"secret": "billing-token", "version": "1"}},
			"health_check": object{"port": 8080, "path": "/health", "interval": 2, "timeout": 1, "retries": 30},
		},
	},
	"alarms": object{
		"alarms": object{"actions": []string{"projects/my-project/notificationChannels/1"}, "lag": 1000, "age_seconds": 3600, "dead_letters": 0},
	},
	"auth": object{
		"dead_letter": object{"url": "https://dead.example.com/orders", "auth": "bearer"},
		"secrets":     object{"DEAD_LETTER_BEARER_TOKEN": object{"secret": "dead-token", "version": "1"}},
	},
}

var renderedJobs = object{
	"smallest": object{"schedule": object{"expression": "0 3 * * *", "end_at": "latest"}},
	"everything": with(everything, object{
		"schedule": object{"expression": "*/15 * * * *", "timezone": "Europe/Berlin", "end_at": "-10m", "timeout": "3600s", "enabled": false},
		"secrets":  object{"KAFKA_OPTION_SASL_PASSWORD": object{"secret": "kafka-password", "version": "1"}, "KAFKA_OPTION_SASL_USERNAME": object{"secret": "kafka-username", "version": "1"}},
		"env":      object{"KAFKA_OPTION_SECURITY_PROTOCOL": "sasl_ssl", "KAFKA_OPTION_SASL_MECHANISM": "PLAIN"},
		"alarms":   object{"actions": []string{}, "lag": 1000, "dead_letters": 0},
	}),
}

// with is an object with the fields of another set.
func with(base, fields object) object {
	out := object{}
	for _, o := range []object{base, fields} {
		for name, value := range o {
			out[name] = value
		}
	}
	return out
}

// applied is a resource of the state after an apply.
type applied struct {
	Type      string
	Values    object
	DependsOn []string `json:"depends_on"`
}

// render applies the Cloud Run module with a mocked provider, once for each set of inputs, and returns the resources by its name and then
// by their type. It is a test of terraform's: the stand-in for Google's provider can plan nothing.
func (w *workspace) render(inputs object) map[string]map[string][]applied {
	w.t.Helper()
	dir := w.path("terraform", "modules", "cloud-run-subscription")
	runs := object{}
	for name, fields := range inputs {
		runs[name] = object{"command": "apply", "variables": fields}
	}
	file, err := json.Marshal(object{"mock_provider": object{"google": object{}}, "variables": cloudRun, "run": runs})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("terraform/modules/cloud-run-subscription/tests/rendered.tftest.json", string(file))
	w.init(dir)
	out, err := w.command(dir, "test", "-json", "-verbose", "-filter=tests/rendered.tftest.json").Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	rendered := map[string]map[string][]applied{}
	for line := range bytes.Lines(out) {
		var message struct {
			Level string `json:"@level"`
			Run   string `json:"@testrun"`
			State struct {
				RootModule struct{ Resources []applied } `json:"root_module"`
			} `json:"test_state"`
		}
		if err := json.Unmarshal(line, &message); err != nil {
			w.t.Fatalf("%v\n%s", err, line)
		}
		if message.Level == "error" {
			w.t.Errorf("%s", line)
		}
		for _, r := range message.State.RootModule.Resources {
			if rendered[message.Run] == nil {
				rendered[message.Run] = map[string][]applied{}
			}
			rendered[message.Run][r.Type] = append(rendered[message.Run][r.Type], r)
		}
	}
	if err != nil || len(rendered) != len(inputs) {
		w.t.Fatalf("terraform test: %v; %d of %d were rendered", err, len(rendered), len(inputs))
	}
	return rendered
}

// sidecarEnvironment is that of the container of the sidecar, with dummies for secrets.
func sidecarEnvironment(t *testing.T, containers any) harness.Env {
	t.Helper()
	env := harness.Env{}
	list, _ := containers.([]any)
	for _, c := range list {
		if at(c, "name") != "kafka-sidecar" {
			continue
		}
		variables, _ := at(c, "env").([]any)
		for _, v := range variables {
			name := at(v, "name").(string)
			if at(v, "value_source", 0, "secret_key_ref", 0, "secret") == nil {
				env[name] = at(v, "value").(string)
			} else if env[name] = "dummy"; dummies[name] != "" {
				env[name] = dummies[name]
			}
		}
	}
	if len(env) == 0 {
		t.Fatal("no container of the sidecar has an environment")
	}
	return env
}

// TestCloudRunReadsNoSecretBeforeItMay: an instance that starts before its account may read the secrets fails the apply.
func TestCloudRunReadsNoSecretBeforeItMay(t *testing.T) {
	for name, resources := range newWorkspace(t).withGoogle().render(object{"pool": renderedPools["sasl"], "job": renderedJobs["everything"]}) {
		found := 0
		for _, kind := range []string{"google_cloud_run_v2_worker_pool", "google_cloud_run_v2_job"} {
			for _, r := range resources[kind] {
				found++
				if !slices.Contains(r.DependsOn, "google_secret_manager_secret_iam_member.this") {
					t.Errorf("%s is made without waiting for the right to read the secrets", name)
				}
			}
		}
		if found != 1 {
			t.Errorf("%s: there are %d", name, found)
		}
	}
}

func TestTheBinaryTakesWhatTheCloudRunModuleRenders(t *testing.T) {
	inputs := object{}
	for name, fields := range renderedPools {
		inputs["pool_"+name] = fields
	}
	for name, fields := range renderedJobs {
		inputs["job_"+name] = fields
	}
	for name, resources := range newWorkspace(t).withGoogle().render(inputs) {
		t.Run(name, func(t *testing.T) {
			pools, jobs := resources["google_cloud_run_v2_worker_pool"], resources["google_cloud_run_v2_job"]
			switch {
			case strings.HasPrefix(name, "pool_") && len(pools) == 1 && len(jobs) == 0:
				// What Cloud Run sets by itself: the sidecar knows from it how long it has to drain.
				checkEnvironment(t, sidecarEnvironment(t, at(pools[0].Values, "template", 0, "containers")).With("CLOUD_RUN_WORKER_POOL", "orders-to-billing"))
			case strings.HasPrefix(name, "job_") && len(jobs) == 1 && len(pools) == 0:
				env := sidecarEnvironment(t, at(jobs[0].Values, "template", 0, "template", 0, "containers"))
				if env["END_AT"] == "" {
					t.Error("the job never ends")
				}
				checkEnvironment(t, env.With("CLOUD_RUN_JOB", "orders-to-billing"))
			default:
				t.Errorf("there are %d worker pools and %d jobs", len(pools), len(jobs))
			}
		})
	}
}

var (
	documentField = regexp.MustCompile(`\bjsonPayload\.(\w+)`)
	ownSeries     = regexp.MustCompile(`\blogging_googleapis_com:\w+`)
	notPromQL     = regexp.MustCompile(`[^A-Za-z0-9_:]`)
)

// promQL is how Cloud Monitoring lets PromQL name a metric: the first slash as a colon, every other special character as an underscore.
// See "Mapping Cloud Monitoring metrics to PromQL" in its documentation.
func promQL(metric string) string {
	return notPromQL.ReplaceAllString(strings.Replace(metric, "/", ":", 1), "_")
}

// TestAlarmsOnCloudRunAskForWhatIsWritten follows each alarm back: from its query to a metric, and from that metric's filter to the fields
// of METRICS_EMF.
func TestAlarmsOnCloudRunAskForWhatIsWritten(t *testing.T) {
	resources := newWorkspace(t).withGoogle().render(object{"alarms": renderedPools["alarms"]})["alarms"]

	across := map[string]string{} // how a field adds up over replicas
	for line := range strings.Lines(metrics.EMFReference()) {
		if cells := strings.Split(line, "|"); len(cells) > 4 {
			across[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[4])
		}
	}
	asked := map[string]bool{} // what the queries name
	for _, policy := range resources["google_monitoring_alert_policy"] {
		query := at(policy.Values, "conditions", 0, "condition_prometheus_query_language", 0, "query").(string)
		series := ownSeries.FindString(query)
		if series == "" {
			t.Errorf("%s asks for no metric of the sidecar", query)
		}
		asked[series] = true
	}
	for _, metric := range resources["google_logging_metric"] {
		name, _ := metric.Values["name"].(string)
		series := promQL("logging.googleapis.com/user/" + name)
		extractor, _ := metric.Values["value_extractor"].(string)
		if extractor != "" {
			series += "_sum" // the values of a distribution, added up
		}
		if !asked[series] {
			t.Errorf("no alarm asks for %s, which PromQL knows as %s", name, series)
		}
		delete(asked, series)
		for _, m := range documentField.FindAllStringSubmatch(metric.Values["filter"].(string)+" "+extractor, -1) {
			if m[1] != "Subscription" && across[m[1]] == "" {
				t.Errorf("%s: documents have no field %s", name, m[1])
			}
			if extractor == "EXTRACT(jsonPayload."+m[1]+")" && across[m[1]] != "Sum" {
				t.Errorf("%s adds up %s, whose meaning across replicas is %s", name, m[1], across[m[1]])
			}
		}
	}
	for series := range asked {
		t.Errorf("an alarm asks for %s, which no metric is", series)
	}
}
