package docs_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/metrics"
)

// snippet is the code block behind a mark in docs/scaling.md.
func snippet(t *testing.T, mark, language string) []byte {
	t.Helper()
	_, rest, found := strings.Cut(read(t, "scaling.md"), "<!-- "+mark+" -->\n```"+language+"\n")
	text, _, closed := strings.Cut(rest, "```\n")
	if !found || !closed {
		t.Fatalf("scaling.md has no snippet %q", mark)
	}
	return []byte(text)
}

// embedded are the metrics of METRICS_EMF with their units, as a process writes them.
func embedded(t *testing.T) (namespace string, units map[string]string) {
	t.Helper()
	units = map[string]string{}
	for line := range strings.Lines(metrics.EMFReference()) {
		if cells := strings.Split(line, "|"); len(cells) > 2 && strings.Contains(cells[1], "`") {
			units[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[2])
		}
	}
	_, row, _ := strings.Cut(read(t, "reference/environment.md"), "| `METRICS_EMF_NAMESPACE` | ")
	namespace, _, _ = strings.Cut(row, " |")
	return namespace, units
}

func TestTargetTrackingFollowsAMetricThatIsWritten(t *testing.T) {
	// The fields of Application Auto Scaling's TargetTrackingScalingPolicyConfiguration that the snippet uses.
	var policy struct {
		CustomizedMetricSpecification struct {
			Namespace, MetricName, Statistic, Unit string
			Dimensions                             []struct{ Name, Value string }
		}
		TargetValue                       float64
		ScaleOutCooldown, ScaleInCooldown int
	}
	d := json.NewDecoder(bytes.NewReader(snippet(t, "target tracking", "json")))
	d.DisallowUnknownFields()
	if err := d.Decode(&policy); err != nil {
		t.Fatal(err)
	}
	namespace, units := embedded(t)
	m := policy.CustomizedMetricSpecification
	if m.Namespace != namespace || units[m.MetricName] != m.Unit || m.Unit == "" || m.Statistic != "Average" {
		t.Errorf("it follows %+v; %s of %s is in %q", m, m.MetricName, namespace, units[m.MetricName])
	}
	if len(m.Dimensions) != 1 || m.Dimensions[0].Name != "Subscription" {
		t.Errorf("dimensions are %v, want the one that the documents have", m.Dimensions)
	}
	if policy.TargetValue <= 0 || policy.TargetValue >= 100 {
		t.Errorf("the target is %v %%, want some way below a replica that is full", policy.TargetValue)
	}
}

func TestModuleHasTheScalingThatIsShown(t *testing.T) {
	shown := regexp.MustCompile("`scaling = { (.*) }`").FindStringSubmatch(read(t, "scaling.md"))
	if shown == nil {
		t.Fatal("scaling.md does not show the module's scaling")
	}
	_, declared, _ := strings.Cut(read(t, "../terraform/modules/ecs-subscription/variables.tf"), "variable \"scaling\" {")
	declared, _, _ = strings.Cut(declared, "\n}\n")
	for field := range strings.SplitSeq(shown[1], ", ") {
		name, value, _ := strings.Cut(field, " = ")
		if _, err := strconv.Atoi(value); err != nil || !regexp.MustCompile(`(?m)^ +`+name+` += optional\(number`).MatchString(declared) {
			t.Errorf("the module knows no %q", field)
		}
	}
}

// scaledObject is KEDA's, and CREMA's, as far as the snippets use it.
type scaledObject struct {
	ScaleTargetRef  struct{ Name string } `yaml:"scaleTargetRef"`
	MinReplicaCount int                   `yaml:"minReplicaCount"`
	MaxReplicaCount int                   `yaml:"maxReplicaCount"`
	CooldownPeriod  int                   `yaml:"cooldownPeriod"`
	Triggers        []struct {
		Type     string
		Metadata struct {
			ServerAddress string `yaml:"serverAddress"`
			Query         string
			Threshold     string // KEDA takes text only
		}
	}
}

func (o scaledObject) check(t *testing.T) {
	t.Helper()
	if o.MinReplicaCount != 1 || o.MaxReplicaCount <= 1 || o.ScaleTargetRef.Name == "" || len(o.Triggers) != 1 || o.Triggers[0].Type != "prometheus" {
		t.Fatalf("the object is %+v", o)
	}
	trigger := o.Triggers[0].Metadata
	if threshold, err := strconv.ParseFloat(trigger.Threshold, 64); err != nil || threshold <= 0 || threshold >= 1 {
		t.Errorf("the threshold is %q, want some way below a replica that is full", trigger.Threshold)
	}
	want := regexp.MustCompile(`^sum\(rate\((kafka_sidecar_\w+)\{[^}]*\}\[\d+m\]\)\) / max\((kafka_sidecar_\w+)\{[^}]*\}\)$`)
	found := want.FindStringSubmatch(trigger.Query)
	if found == nil {
		t.Fatalf("the query is %q", trigger.Query)
	}
	for i, kind := range []string{"counter", "gauge"} {
		if row := "| `" + found[i+1] + "` | " + kind + " |"; !strings.Contains(metrics.Reference(), row) {
			t.Errorf("the query asks for %s, which is no %s of ours", found[i+1], kind)
		}
	}
}

func decode(t *testing.T, text []byte, into any) {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
	if err := d.Decode(new(any)); err != io.EOF {
		t.Fatalf("more than one document: %v", err)
	}
}

func TestScaledObjectFollowsAMetricThatIsShown(t *testing.T) {
	var keda struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct{ Name string }
		Spec       scaledObject
	}
	decode(t, snippet(t, "keda", "yaml"), &keda)
	if keda.APIVersion != "keda.sh/v1alpha1" || keda.Kind != "ScaledObject" {
		t.Errorf("it is a %s %s", keda.APIVersion, keda.Kind)
	}
	keda.Spec.check(t)

	var crema struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Spec       struct {
			PollingInterval int                           `yaml:"pollingInterval"`
			ScaledObjects   []struct{ Spec scaledObject } `yaml:"scaledObjects"`
		}
	}
	decode(t, snippet(t, "crema", "yaml"), &crema)
	if crema.APIVersion != "crema/v1" || crema.Kind != "CremaConfig" || len(crema.Spec.ScaledObjects) != 1 {
		t.Fatalf("it is a %s %s of %d objects", crema.APIVersion, crema.Kind, len(crema.Spec.ScaledObjects))
	}
	object := crema.Spec.ScaledObjects[0].Spec
	object.check(t)
	if !regexp.MustCompile(`^projects/[\w-]+/locations/[\w-]+/workerpools/[\w-]+$`).MatchString(object.ScaleTargetRef.Name) {
		t.Errorf("the target is %q, want a worker pool's full name", object.ScaleTargetRef.Name)
	}
}

func TestScalingNamesOnlyMetricsThatExist(t *testing.T) {
	table := metrics.Reference()
	for _, name := range regexp.MustCompile(`kafka_sidecar_\w+`).FindAllString(read(t, "scaling.md"), -1) {
		if !strings.Contains(table, "| `"+name+"` |") {
			t.Errorf("scaling.md: %s is no metric", name)
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([\w/.]+\.md)\)`).FindAllStringSubmatch(read(t, "scaling.md"), -1) {
		if _, err := os.Stat(link[1]); err != nil {
			t.Errorf("scaling.md links to what is not there: %v", err)
		}
	}
}
