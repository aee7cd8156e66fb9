package terraform

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

const cloudRunPage = "../../docs/cloud-run.md"

// shellWord is a word of the page's commands: bare, quoted, or partly so. There is nothing cleverer in them.
var shellWord = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"|]+)+|\|`)

// commands are the words of each command of the page's shell blocks; a pipe begins another one.
func commands(t *testing.T) (list [][]string) {
	t.Helper()
	for _, block := range snippets(read(t, cloudRunPage), "sh") {
		for line := range strings.Lines(block) {
			var words []string
			for _, word := range append(shellWord.FindAllString(line, -1), "|") {
				if word != "|" {
					words = append(words, strings.NewReplacer("'", "", `"`, "").Replace(quoted(word)))
				} else if len(words) > 0 {
					list, words = append(list, words), nil
				}
			}
		}
	}
	return list
}

// quoted is what single quotes hold, with the double quotes in it kept.
func quoted(word string) string {
	if inner, ok := strings.CutPrefix(word, "'"); ok {
		return strings.ReplaceAll(strings.TrimSuffix(inner, "'"), `"`, "\x00")
	}
	return word
}

// option is the value of an option that is given as --name=value or --name value.
func option(words []string, name string) string {
	for i, word := range words {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			return value
		}
		if word == name && i+1 < len(words) {
			return words[i+1]
		}
	}
	return ""
}

// TestCommandsOfTheCloudRunPageFitTheRest: gcloud cannot run here, so each command is held to what it has to agree with. One that the test
// does not know fails it.
func TestCommandsOfTheCloudRunPageFitTheRest(t *testing.T) {
	page := read(t, cloudRunPage)
	hcl := strings.Join(snippets(page, "hcl"), "\n")
	dockerfile := read(t, "../../Dockerfile")
	quotes := strings.NewReplacer("\x00", `"`)

	image := ""
	enabled := map[string]bool{}
	for _, words := range commands(t) {
		line := quotes.Replace(strings.Join(words, " "))
		is := func(prefix string) bool { return strings.HasPrefix(line, prefix+" ") || line == prefix }
		switch {
		case is("gcloud services enable"):
			for _, api := range words[3:] {
				enabled[api] = true
			}
		case is("gcloud config set project"):
			if !strings.Contains(hcl, `project_id = "`+words[4]+`"`) {
				t.Errorf("%s: the module is in another project", line)
			}
		case is("gcloud artifacts repositories create"):
			if want := option(words, "--location") + "-docker.pkg.dev/my-project/" + words[4] + "/kafka-sidecar@"; !strings.Contains(hcl, want) {
				t.Errorf("%s: the module's image is in another repository than %s", line, want)
			}
		case is("gcloud auth configure-docker"):
			if !strings.Contains(hcl, `"`+words[3]+"/") {
				t.Errorf("%s: the module's image is in another registry", line)
			}
		case is("git clone"):
			if words[2] != "https://"+strings.SplitN(released.FindString(hcl), "//", 2)[0][1:] {
				t.Errorf("%s: the module comes from elsewhere", line)
			}
		case is("docker build"):
			image = option(words, "--tag")
			arg, _, _ := strings.Cut(option(words, "--build-arg"), "=")
			if !regexp.MustCompile(`(?m)^ARG .*\b` + arg + `\b`).MatchString(dockerfile) {
				t.Errorf("%s: the Dockerfile has no argument %s", line, arg)
			}
			if option(words, "--platform") != "linux/amd64" || !strings.Contains(dockerfile, "$TARGETARCH") {
				t.Errorf("%s: Cloud Run runs linux/amd64 alone", line)
			}
			if context := words[len(words)-1]; context != "kafka-sidecar" {
				t.Errorf("%s: %s is not what was cloned", line, context)
			}
		case is("docker push"), is("docker inspect"):
			if words[len(words)-1] != image || image == "" {
				t.Errorf("%s: %q was built", line, image)
			}
		case is("printf"), is("terraform init"), is("terraform apply"):
		case is("gcloud secrets create"):
			if !strings.Contains(hcl, `= { secret = "`+words[3]+`", version = "1" }`) {
				t.Errorf("%s: the module reads another secret, or a version that is not there", line)
			}
		case is("gcloud logging read"): // TestLogLinesOfTheCloudRunPageAreFound
		default:
			t.Errorf("no test knows the command %s", line)
		}
	}
	if strings.Count(hcl, `"`+image+`@sha256:`) != strings.Count(hcl, "\nmodule ") {
		t.Errorf("not every module of the page runs the image that it builds, %s", image)
	}
	for api := range maps.Keys(apis(t)) {
		if !enabled[api] {
			t.Errorf("the page does not enable %s", api)
		}
	}
}

// apis are the Google APIs that the module calls, and those of the image and the network.
func apis(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{"artifactregistry.googleapis.com": true, "compute.googleapis.com": true}
	files, err := filepath.Glob(filepath.Join(root, "modules", "cloud-run-subscription", "*.tf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for _, m := range regexp.MustCompile(`(?m)^resource "google_([a-z0-9_]+)"`).FindAllStringSubmatch(read(t, file), -1) {
			api := ""
			for prefix, name := range map[string]string{
				"cloud_run_v2_": "run", "cloud_scheduler_": "cloudscheduler", "logging_": "logging", "monitoring_": "monitoring", "secret_manager_": "secretmanager", "service_account": "iam",
			} {
				if strings.HasPrefix(m[1], prefix) {
					api = name + ".googleapis.com"
				}
			}
			if api == "" {
				t.Errorf("google_%s is of no known API", m[1])
			}
			all[api] = true
		}
	}
	return all
}

// TestLogLinesOfTheCloudRunPageAreFound: the lines that the page shows are written by the binary, and its filter finds one of them where the
// module's own metrics look.
func TestLogLinesOfTheCloudRunPageAreFound(t *testing.T) {
	b := harness.Fake(t)
	topic := b.CreateTopic(3)
	s := harness.Start(t, harness.SmallestEnv(b, topic, harness.NewHandler(t, nil)).With("CLOUD_RUN_WORKER_POOL", "orders-to-billing")).WaitReady()

	shown := snippets(read(t, cloudRunPage), "json")
	if len(shown) == 0 {
		t.Fatal("the page shows no line")
	}
	var messages []string
	for _, text := range shown {
		var want map[string]any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		messages = append(messages, want["msg"].(string))
		s.WaitLog(`"msg":"` + want["msg"].(string) + `"`)
		if !slices.ContainsFunc(s.Logs(), func(got map[string]any) bool {
			return got["msg"] == want["msg"] && got["level"] == want["level"] && slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}) {
			t.Errorf("no line has the form of\n%s", text)
		}
	}

	filter := ""
	for _, words := range commands(t) {
		if words[0] == "gcloud" && words[1] == "logging" {
			filter = strings.ReplaceAll(words[3], "\x00", `"`)
		}
	}
	metric := newWorkspace(t).withGoogle().render(object{"alarms": renderedPools["alarms"]})["alarms"]["google_logging_metric"][0].Values["filter"].(string)
	resource, _, _ := strings.Cut(metric, " AND jsonPayload.")
	if message, found := strings.CutPrefix(filter, resource+" AND jsonPayload.msg="); !found || !slices.Contains(messages, strings.Trim(message, `"`)) {
		t.Errorf("the filter is\n%s\nbut the module's entries are\n%s", filter, resource)
	}
}

var (
	statedTimeout = regexp.MustCompile("`handler\\.timeout` at or below `(\\d)s`")
	statedAnchor  = regexp.MustCompile(`\]\(([\w./-]+\.(?:md|tf))(#[\w-]+)?\)`)
)

// TestTheCloudRunPageKnowsHowLongAttemptsGet asks the binary whether a longer timeout is noted, and that of the page is not.
func TestTheCloudRunPageKnowsHowLongAttemptsGet(t *testing.T) {
	m := statedTimeout.FindStringSubmatch(read(t, cloudRunPage))
	if m == nil {
		t.Fatal("the page does not say how long attempts get")
	}
	for timeout, noted := range map[string]bool{m[1] + "s": false, m[1] + "001ms": true} {
		env := harness.Env{
			"SUBSCRIPTION_ID": "orders-to-billing", "SUBSCRIPTION_SOURCE": "kafka://my-cluster/orders", "SUBSCRIPTION_SINK": "https://billing.example.com/orders",
			"KAFKA_BOOTSTRAP_SERVERS": "broker-1.example.com:9092", "CLOUD_RUN_WORKER_POOL": "orders-to-billing", "HANDLER_TIMEOUT": timeout,
		}
		stdout, stderr, code := harness.Run(t, env, "check", "--offline")
		if got := strings.Contains(stdout+stderr, "a stop may cut them"); code != 0 || got != noted {
			t.Errorf("with %s check exits %d, and whether a stop cuts attempts is %v\n%s%s", timeout, code, got, stdout, stderr)
		}
	}
}

func TestLinksOfTheCloudRunPageLeadSomewhere(t *testing.T) {
	for _, m := range statedAnchor.FindAllStringSubmatch(read(t, cloudRunPage), -1) {
		file := filepath.Join("../../docs", m[1])
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
			continue
		}
		if m[2] == "" {
			continue
		}
		heading := strings.NewReplacer(":", "", " ", "-")
		if !slices.ContainsFunc(strings.Split(read(t, file), "\n"), func(line string) bool {
			title, found := strings.CutPrefix(line, "## ")
			return found && "#"+heading.Replace(strings.ToLower(title)) == m[2]
		}) {
			t.Errorf("%s has no heading %s", m[1], m[2])
		}
	}
}
