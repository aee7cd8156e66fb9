package harness

import (
	"os"
	"testing"
)

// Long skips a test that takes long, unless LONG_TESTS=1 asks for it; `make long` does.
func Long(t testing.TB) {
	t.Helper()
	if os.Getenv("LONG_TESTS") != "1" {
		t.Skip("takes long; set LONG_TESTS=1 or run `make long`")
	}
}
