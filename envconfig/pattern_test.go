package envconfig

import (
	"strings"
	"testing"
)

func TestNamesAreBoundInLength(t *testing.T) {
	for kind, c := range map[string]struct {
		pattern pattern
		longest int
	}{
		"topic":     {plainTopic, 249}, // Kafka's own bound
		"cluster":   {plainCluster, 255},
		"host":      {plainHost, 253}, // of DNS
		"group":     {plainGroup, 255},
		"namespace": {namespace, 255},
	} {
		for length, valid := range map[int]bool{0: false, 1: true, c.longest: true, c.longest + 1: false} {
			if c.pattern.MatchString(strings.Repeat("a", length)) != valid {
				t.Errorf("a %s of %d bytes is valid: %v, want %v", kind, length, !valid, valid)
			}
		}
		if c.pattern.MatchString("a\n") || c.pattern.MatchString("\na") {
			t.Errorf("a %s with a line break is valid", kind)
		}
	}
}
