package envconfig

import "log/slog"

// redacted is what every secret prints as.
const redacted = "***"

// Secret is a value that no log line, error or page may show: every way of printing it gives "***".
type Secret string

// Reveal is the one way to the value.
func (s Secret) Reveal() string { return string(s) }

// String hides the value from fmt.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue hides the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// SecretRef is a secret given by value or by file. A file is read again at every Load, so that rotation needs no restart. A secret that
// stands in a file among other options has the Value that it had at start and no File; Load knows the way to it too.
type SecretRef struct {
	Value  Secret
	File   string
	within *place
}

// PEM is PEM text given by value or by file (or, for authorities, a directory); the zero value means none.
type PEM struct {
	Value  Secret
	File   string
	within *place
}
