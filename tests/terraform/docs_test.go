package terraform

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// TestEnvironmentsInTheDocsAreTaken feeds the blocks marked env and env-lambda of the pages about platforms to the binary.
func TestEnvironmentsInTheDocsAreTaken(t *testing.T) {
	for page, platform := range map[string]harness.Env{
		"ecs.md":       {"AWS_REGION": "eu-central-1"},
		"cloud-run.md": {"CLOUD_RUN_WORKER_POOL": "orders-to-billing"},
		"lambda.md":    {"AWS_REGION": "eu-central-1", "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"},
	} {
		text := read(t, filepath.Join("../../docs", page))
		blocks := append(snippets(text, "env"), snippets(text, "env-lambda")...)
		if len(blocks) == 0 {
			t.Errorf("%s shows no environment", page)
		}
		for _, block := range blocks {
			env := platform.With()
			for line := range strings.Lines(block) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				env[name] = value
			}
			t.Run(page, func(t *testing.T) { checkEnvironment(t, env) })
		}
	}
}
