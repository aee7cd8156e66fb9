// Package lambda runs the binary as a Lambda function, behind a platform of the test's own.
package lambda

import (
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
