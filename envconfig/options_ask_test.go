package envconfig

import (
	"strings"
	"testing"
)

func TestOptionMistakeTellsWhatAnEnvironmentMayNotHold(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"fetch.min.bytes", "7", ""},
		{"statistics.interval.ms", "1000", ""}, // without effect, and no mistake
		{"ssl.key.location", "/nowhere/on/this/machine", ""},
		{"fetch.min.bytes", "many", "whole number"},
		{"ssl.sigalgs.list", "RSA+SHA256", "policy"},
		{"ssl.sigalgs.list", "", ""},
		{"group.protocol", "consumer", "classic"},
		{"sasl.mechanism", "GSSAPI+X", "not a mechanism"},
		{"fetch.min.byts", "7", "did you mean fetch.min.bytes?"},
	} {
		got := OptionMistake(c.name, c.value)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s=%s: %q, want %q", c.name, c.value, got, c.want)
		}
	}
}

func TestOptionVariableIsReadBackAsTheOption(t *testing.T) {
	for _, o := range options {
		if got := decodeOption(OptionVariable(o.Name)); got != o.Name {
			t.Errorf("%s becomes %s, which is read as %s", o.Name, OptionVariable(o.Name), got)
		}
		if !isOptionVariable(OptionVariable(o.Name)) {
			t.Errorf("%s looks like what Kubernetes sets for a service", OptionVariable(o.Name))
		}
	}
}
