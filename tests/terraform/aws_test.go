package terraform

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type object = map[string]any

// fixture is testdata/aws with the subscriptions of a test, before the mock of AWS.
type fixture struct {
	*workspace
	aws, folder string
}

func newFixture(t *testing.T, services, functions object) *fixture {
	t.Helper()
	f := &fixture{workspace: newWorkspace(t), aws: startAWS(t)}
	f.folder = f.path("fixture")
	if err := os.CopyFS(f.folder, tracked{os.DirFS("testdata/aws")}); err != nil {
		t.Fatal(err)
	}
	variables, err := json.Marshal(object{"endpoint": f.aws, "services": services, "functions": functions})
	if err != nil {
		t.Fatal(err)
	}
	f.write("fixture/terraform.tfvars.json", string(variables))
	f.init(f.folder)
	return f
}

// resource is one of a plan.
type resource struct {
	Address string
	Type    string
	Index   any
	Values  object
}

// plan returns the planned resources by the name of their module, like service["orders"].
func (f *fixture) plan() map[string][]resource {
	f.t.Helper()
	f.must(f.folder, "plan", "-input=false", "-no-color", "-out=plan")
	cmd := f.command(f.folder, "show", "-json", "plan")
	out, err := cmd.Output()
	if err != nil {
		f.t.Fatal(err)
	}
	var plan struct {
		PlannedValues struct {
			RootModule struct {
				ChildModules []struct {
					Address   string
					Resources []resource
				} `json:"child_modules"`
			} `json:"root_module"`
		} `json:"planned_values"`
	}
	if err := json.Unmarshal(out, &plan); err != nil {
		f.t.Fatal(err)
	}
	byModule := map[string][]resource{}
	for _, m := range plan.PlannedValues.RootModule.ChildModules {
		byModule[strings.TrimPrefix(m.Address, "module.")] = m.Resources
	}
	return byModule
}

// calls are the bodies of what was asked of AWS, by the name of the call.
func (f *fixture) calls() map[string][]object {
	f.t.Helper()
	resp, err := http.Get(f.aws + "/_calls")
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	var list []struct {
		Call string
		Body object
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		f.t.Fatal(err)
	}
	byName := map[string][]object{}
	for _, c := range list {
		byName[c.Call] = append(byName[c.Call], c.Body)
	}
	return byName
}

// at follows keys and indexes into what was decoded from JSON; nil where there is nothing.
func at(value any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := value.(object)
			value = m[step]
		case int:
			list, _ := value.([]any)
			if step >= len(list) {
				return nil
			}
			value = list[step]
		}
	}
	return value
}

func TestAppliedSubscriptionsStandAndGo(t *testing.T) {
	f := newFixture(t, object{
		"orders-to-billing": object{
			"subscription":       object{"source": "kafka://my-cluster/orders", "sink": "http://localhost:8080/orders"},
			"handler_container":  object{"image": "registry.example.com/billing:1", "health_check": object{"command": []string{"CMD", "/billing", "health"}}},
			"secrets":            object{"KAFKA_OPTION_SASL_PASSWORD": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-AbCdEf:password::"},
			"capacity_providers": []object{{"provider": "FARGATE", "weight": 0, "base": 1}, {"provider": "FARGATE_SPOT", "weight": 1}},
			"scaling":            object{"min": 1, "max": 6, "target_lag": 1000},
			"alarms":             object{"actions": []string{}, "lag": 1000, "dead_letters": 0},
			"shutdown_timeout":   60,
		},
		"orders-replay": object{
			"subscription": object{"source": "kafka://my-cluster/orders", "sink": "https://billing.example.com/orders"},
			"schedule":     object{"expression": "cron(0 3 * * ? *)", "timezone": "Europe/Berlin", "end_at": "latest"},
		},
	}, functionsToApply)
	f.must(f.folder, "apply", "-auto-approve", "-input=false", "-no-color")
	if out, err := f.run(f.folder, "plan", "-input=false", "-no-color", "-detailed-exitcode"); err != nil {
		t.Errorf("the second plan is not empty: %v\n%s", err, out)
	}

	calls := f.calls()
	service := calls["CreateService"][0]
	for _, want := range []struct {
		path  []any
		value any
	}{
		{[]any{"propagateTags"}, "SERVICE"},
		{[]any{"deploymentConfiguration", "deploymentCircuitBreaker", "rollback"}, true},
		{[]any{"deploymentConfiguration", "minimumHealthyPercent"}, 100.0},
		{[]any{"deploymentConfiguration", "maximumPercent"}, 200.0},
		{[]any{"networkConfiguration", "awsvpcConfiguration", "assignPublicIp"}, "DISABLED"},
		{[]any{"launchType"}, nil},
	} {
		if got := at(service, want.path...); got != want.value {
			t.Errorf("CreateService sends %v as %v, want %v", got, want.path, want.value)
		}
	}
	if got := at(service, "capacityProviderStrategy").([]any); len(got) != 2 {
		t.Errorf("CreateService sends the capacity providers %v", got)
	}
	for _, task := range calls["RegisterTaskDefinition"] {
		list := at(task, "containerDefinitions").([]any)
		sidecar := list[slices.IndexFunc(list, func(c any) bool { return at(c, "name") == "kafka-sidecar" })]
		if at(task, "runtimePlatform", "cpuArchitecture") != "ARM64" || at(sidecar, "readonlyRootFilesystem") != true || at(sidecar, "user") != "65532:65532" {
			t.Errorf("RegisterTaskDefinition sends %v", task)
		}
		if at(task, "family") == "orders-to-billing" && (at(sidecar, "stopTimeout") != 65.0 || at(sidecar, "dependsOn", 0, "condition") != "HEALTHY" ||
			at(sidecar, "secrets", 0, "valueFrom") != "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-AbCdEf:password::") {
			t.Errorf("RegisterTaskDefinition sends the container %v", sidecar)
		}
	}
	target := at(calls["PutScalingPolicy"][0], "TargetTrackingScalingPolicyConfiguration")
	if at(target, "CustomizedMetricSpecification", "MetricName") != "BacklogRecords" || at(target, "CustomizedMetricSpecification", "Statistic") != "Average" || at(target, "TargetValue") != 1000.0 {
		t.Errorf("PutScalingPolicy sends %v", target)
	}
	schedule := calls["CreateSchedule"][0]
	if at(schedule, "ScheduleExpression") != "cron(0 3 * * ? *)" || at(schedule, "ScheduleExpressionTimezone") != "Europe/Berlin" ||
		!strings.HasSuffix(at(schedule, "Target", "EcsParameters", "TaskDefinitionArn").(string), ":task-definition/orders-replay:1") {
		t.Errorf("CreateSchedule sends %v", schedule)
	}
	checkFunctionCalls(t, calls)

	if out := f.must(f.folder, "destroy", "-auto-approve", "-input=false", "-no-color"); !strings.Contains(out, "Destroy complete!") {
		t.Errorf("destroy says\n%s", out)
	}
	if state := read(t, filepath.Join(f.folder, "terraform.tfstate")); strings.Contains(state, `"mode": "managed"`) {
		t.Errorf("the state after destroy holds resources:\n%s", state)
	}
}
