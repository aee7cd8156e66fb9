// Package terraform tests the Terraform modules: by their own tests against mocked providers, by feeding what they render to the binary,
// by the service model of ECS, and by an apply against a mock of AWS.
//
// Needed are terraform, and a filesystem mirror of hashicorp/aws that TF_PLUGIN_DIR names; without them the tests are skipped, unless
// REQUIRE_TERRAFORM=1. The provider of Google is stood in for by its schema, see googlestub.
package terraform

import (
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
