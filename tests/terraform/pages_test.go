package terraform

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/process"
)

// pagesOnAWS are the pages, with the platform that stands around the environment that each shows.
var pagesOnAWS = map[string]harness.Env{
	"ecs.md":    {"AWS_REGION": "eu-central-1"},
	"lambda.md": {"AWS_REGION": "eu-central-1", "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"},
}

func page(t testing.TB, name string) string { return read(t, filepath.Join("../../docs", name)) }

// environment is the first one that a page shows.
func environment(t testing.TB, text string) harness.Env {
	t.Helper()
	blocks := append(snippets(text, "env"), snippets(text, "env-lambda")...)
	if len(blocks) == 0 {
		t.Fatal("the page shows no environment")
	}
	env := harness.Env{}
	for line := range strings.Lines(blocks[0]) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[name] = value
	}
	return env
}

// awsCommand is one command of the AWS CLI as awscli.py has read it.
type awsCommand struct {
	Service, Operation, Problem string
	Options                     map[string][]string
}

func awsCommands(t *testing.T, lines string) (commands []awsCommand) {
	t.Helper()
	cmd := python(t, "testdata/awscli.py")
	cmd.Stdin = strings.NewReader(lines)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		var c awsCommand
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		commands = append(commands, c)
	}
	return commands
}

// planPage plans what a page shows, before the mock of AWS.
func planPage(t *testing.T, text string) map[string][]resource {
	t.Helper()
	f := &fixture{workspace: newWorkspace(t), aws: startAWS(t)}
	f.folder = f.write("page/main.tf", released.ReplaceAllString(strings.Join(snippets(text, "hcl"), "\n"), `"../terraform/modules/$1"`))
	f.write("page/override.tf", fmt.Sprintf("provider \"aws\" {\n  endpoints {\n    sts = %q\n  }\n}\n", f.aws))
	f.init(f.folder)
	return f.plan()
}

// TestPagesOnAWSShowWhatTheModulesMake plans what the pages show and holds the rest of each to it.
func TestPagesOnAWSShowWhatTheModulesMake(t *testing.T) {
	for name := range pagesOnAWS {
		t.Run(name, func(t *testing.T) {
			text := page(t, name)
			made := planPage(t, text)
			t.Run("environment", func(t *testing.T) { checkShownEnvironment(t, environment(t, text), made["orders_to_billing"]) })
			t.Run("commands", func(t *testing.T) { checkShownCommands(t, text, made) })
			if name == "ecs.md" {
				t.Run("handler", func(t *testing.T) { checkTrial(t, made["orders_trial"]) })
			} else {
				t.Run("alarms", func(t *testing.T) { checkShownAlarms(t, text, made["any_kafka"]) })
			}
		})
	}
}

// values are those of the only resource of a type.
func values(t *testing.T, resources []resource, kind string) object {
	t.Helper()
	i := slices.IndexFunc(resources, func(r resource) bool { return r.Type == kind })
	if i < 0 {
		t.Fatalf("no %s is planned", kind)
	}
	return resources[i].Values
}

func containers(t *testing.T, resources []resource) (list []container) {
	t.Helper()
	if err := json.Unmarshal([]byte(values(t, resources, "aws_ecs_task_definition")["container_definitions"].(string)), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func checkShownEnvironment(t *testing.T, shown harness.Env, resources []resource) {
	got := harness.Env{}
	if slices.ContainsFunc(resources, func(r resource) bool { return r.Type == "aws_lambda_function" }) {
		variables, _ := at(values(t, resources, "aws_lambda_function"), "environment", 0, "variables").(object)
		for name, value := range variables {
			got[name] = value.(string)
		}
	} else {
		for _, e := range containers(t, resources)[0].Environment {
			got[e.Name] = e.Value
		}
	}
	if !maps.Equal(shown, got) {
		t.Errorf("the page shows\n%v\nthe module renders\n%v", shown, got)
	}
}

// checkShownCommands holds commands to the CLI, and what they name to what is planned.
func checkShownCommands(t *testing.T, text string, made map[string][]resource) {
	lines := strings.Join(snippets(text, "sh"), "\n")
	commands := awsCommands(t, lines)
	if want := strings.Count("\n"+lines, "\naws "); len(commands) != want || want == 0 {
		t.Errorf("%d commands were read, the page has %d", len(commands), want)
	}
	named := func(kind, field string) (names []string) {
		for _, resources := range made {
			for _, r := range resources {
				if name, ok := r.Values[field].(string); r.Type == kind && ok {
					_, after, isARN := strings.Cut(name, ":cluster/")
					if isARN {
						name = after
					}
					names = append(names, name)
				}
			}
		}
		return names
	}
	clusters, services := named("aws_ecs_service", "cluster"), named("aws_ecs_service", "name")
	for _, c := range commands {
		if c.Problem != "" {
			t.Errorf("aws %s %s: %s", c.Service, c.Operation, c.Problem)
		}
		there := map[string][]string{
			"cluster": clusters, "cluster-name": clusters, "service": services, "services": services, "function-name": named("aws_lambda_function", "function_name"),
		}
		if c.Operation == "tail" {
			there[""] = named("aws_cloudwatch_log_group", "name")
		}
		for option, names := range there {
			for _, name := range c.Options[option] {
				if !slices.Contains(names, name) {
					t.Errorf("aws %s %s names %q, there are %q", c.Service, c.Operation, name, names)
				}
			}
		}
	}
}

// TestCommandsThatTheCLIDoesNotKnowAreFound tries the check of the pages' commands.
func TestCommandsThatTheCLIDoesNotKnowAreFound(t *testing.T) {
	for line, want := range map[string]string{
		"aws ecs descrbe-services --cluster main":                                              "descrbe-services is not known",
		"aws ecs describe-services --clustr main --services a":                                 "--clustr is not known",
		"aws ecs describe-services --cluster main":                                             "--services is missing",
		"aws ecr describe-images --repository-name a --image-ids imageTg=1":                    "--image-ids: imageTg is not known",
		"aws ecs create-cluster --query cluster.arn":                                           "--query cluster.arn finds nothing",
		"aws lambda update-event-source-mapping --uuid 1 --no-enabled | aws logs tail a --foo": "--foo is not known",
		"aws lambdas list-functions":                                                           "lambdas is not known",
	} {
		commands := awsCommands(t, line+"\n")
		if len(commands) == 0 || commands[len(commands)-1].Problem != want {
			t.Errorf("%s: %+v, want %q", line, commands, want)
		}
	}
}

func checkShownAlarms(t *testing.T, text string, resources []resource) {
	for _, r := range resources {
		if r.Type != "aws_cloudwatch_metric_alarm" {
			continue
		}
		row := fmt.Sprintf("\n| `%s` | `%s` `%s` |", strings.ReplaceAll(r.Index.(string), "-", "_"), r.Values["namespace"], r.Values["metric_name"])
		if !strings.Contains(text, row) {
			t.Errorf("the page has no row %s", row)
		}
	}
}

// checkTrial runs the handler that is shown to try with, and the sidecar beside it, as a task does.
func checkTrial(t *testing.T, resources []resource) {
	list := containers(t, resources)
	slices.SortFunc(list, func(a, b container) int { return strings.Compare(a.Name, b.Name) })
	handler, sidecar := list[0], list[1]
	addr := harness.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	replace := func(s string) string { return strings.ReplaceAll(s, "8080", port) }

	printed, err := os.Create(filepath.Join(t.TempDir(), "printed"))
	if err != nil {
		t.Fatal(err)
	}
	defer printed.Close()
	cmd := exec.CommandContext(t.Context(), handler.Command[0], handler.Command[1], replace(handler.Command[2]))
	cmd.Stdout, cmd.Stderr = printed, printed
	proc, err := process.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proc.Kill)

	b := harness.Fake(t)
	b.CreateTopicNamed("orders", 1)
	b.Produce(&kgo.Record{Topic: "orders", Key: []byte("customer-07"), Value: []byte(`{"number":1}`)}, &kgo.Record{Topic: "orders", Key: []byte("customer-08")})
	env := sidecar.env().With("KAFKA_BOOTSTRAP_SERVERS", b.Addr)
	env["SUBSCRIPTION_SINK"] = replace(env["SUBSCRIPTION_SINK"])
	harness.Start(t, env)
	b.WaitCommitted(env.Group(), "orders")
	if lines := read(t, printed.Name()); !strings.Contains(lines, `{"number":1}`) || strings.Count(lines, "/orders ") != 2 {
		t.Errorf("the handler prints\n%s", lines)
	}
}

// shownLines are the lines of a log that a page shows. They are shown without what differs from run to run.
func shownLines(t *testing.T, text string) (lines []map[string]any) {
	t.Helper()
	for _, block := range snippets(text, "log") {
		for line := range strings.Lines(block) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			lines = append(lines, fields)
		}
	}
	if len(lines) == 0 {
		t.Fatal("the page shows no line of the log")
	}
	return lines
}

// waitShown waits until the sidecar has written lines with those fields, in their order.
func waitShown(t *testing.T, s *harness.Sidecar, want []map[string]any) {
	t.Helper()
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		next := 0
		for _, line := range s.Logs() {
			if next < len(want) && !slices.ContainsFunc(slices.Collect(maps.Keys(want[next])), func(field string) bool { return !reflect.DeepEqual(line[field], want[next][field]) }) {
				next++
			}
		}
		if next < len(want) {
			return false, fmt.Sprintf("the log has no line with %v", want[next])
		}
		return true, ""
	})
}

func TestLogsOnThePagesAreWritten(t *testing.T) {
	t.Run("ecs.md", func(t *testing.T) {
		text := page(t, "ecs.md")
		b, h := harness.Fake(t), harness.NewHandler(t, harness.OK)
		b.CreateTopicNamed("orders", 1)
		env := environment(t, text).With("KAFKA_BOOTSTRAP_SERVERS", b.Addr, "SUBSCRIPTION_SINK", h.URL("/orders"))
		waitShown(t, harness.Start(t, env), shownLines(t, text))
	})
	t.Run("lambda.md", func(t *testing.T) {
		text := page(t, "lambda.md")
		l, h := harness.NewLambda(t), harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Status: 500} })
		env := environment(t, text).With("AWS_LAMBDA_RUNTIME_API", l.Env("orders", h)["AWS_LAMBDA_RUNTIME_API"], "SUBSCRIPTION_SINK", h.URL("/orders"))
		env["ADMIN_ADDR"] = "" // it has no admin pages
		s := harness.Start(t, env)
		l.Invoke(harness.KafkaEvent(t, harness.MSK, &kgo.Record{Topic: "orders", Offset: 7, Key: []byte("a"), Value: []byte("{}")}), 2*time.Second)
		waitShown(t, s, shownLines(t, text))
	})
}

func TestMistakesOnThePagesAreWritten(t *testing.T) {
	for name, platform := range pagesOnAWS {
		text := page(t, name)
		for _, block := range snippets(text, "mistakes") {
			env := environment(t, text)
			maps.Copy(env, platform)
			for line := range strings.Lines(block) {
				variable, _, _ := strings.Cut(line, ":")
				env[variable] = "10s"
			}
			if _, stderr, code := harness.Run(t, env); code != 2 || stderr != block {
				t.Errorf("%s: with %v it exits %d and says\n%s", name, env, code, stderr)
			}
		}
	}
}
