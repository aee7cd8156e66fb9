package image

import (
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m, engines.close) }
