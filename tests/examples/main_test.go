// Package examples runs every example as its README says, between a broker and the built sidecar.
package examples

import (
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
