package terraform

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// TestImportedModuleCallsAreValid has the binary print the subscriptions of a Restate server as calls of the module.
func TestImportedModuleCallsAreValid(t *testing.T) {
	pages := map[string]string{
		"/version":          `{"version":"1.7.12","ingress_endpoint":"http://restate:8080/"}`,
		"/subscriptions":    `{"subscriptions":[{"id":"sub_1AbC","source":"kafka://main/orders","sink":"service://Counter/add","options":{"sasl.password":"***","fetch.min.bytes":"1${path.root}"}},{"id":"sub_2","source":"kafka://main/clicks","sink":"service://Counter/add","options":{"auto.offset.reset":"earliest"}}]}`,
		"/kafka-clusters":   `{"clusters":[{"name":"main","properties":{"bootstrap.servers":"broker:9092"}}]}`,
		"/services/Counter": `{"name":"Counter","ty":"VirtualObject","public":true,"handlers":[{"name":"add","ty":"Exclusive","public":true}]}`,
		"/services":         `{"services":[]}`,
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(pages[r.URL.Path]))
	}))
	defer srv.Close()
	stdout, stderr, code := harness.Run(t, harness.Env{"RESTATE_AUTH_TOKEN": "s3cret"}, "import-restate", "--terraform", srv.URL)
	if code != 0 || strings.Contains(stdout, "s3cret") {
		t.Fatalf("import-restate --terraform exits %d\n%s%s", code, stdout, stderr)
	}
	for _, want := range []string{`module "sub_1abc" {`, `name = "sub-1abc"`, `"group.id" = "sub_1AbC"`, `KAFKA_OPTION_SASL_PASSWORD = "arn:aws:secretsmanager:`, `HANDLER_HEADERS = "arn:aws:secretsmanager:`, `module "sub_2" {`, `KAFKA_OPTION_AUTO_OFFSET_RESET = "earliest"`} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not printed:\n%s", want, stdout)
		}
	}
	filled := strings.NewReplacer(`"<ARN of the ECS cluster>"`, `"arn:aws:ecs:eu-central-1:123456789012:cluster/main"`).Replace(released.ReplaceAllString(stdout, `"../terraform/modules/$1"`))
	w := newWorkspace(t)
	dir := w.write("imported/main.tf", filled)
	w.init(dir)
	w.must(dir, "validate", "-no-color")
}
