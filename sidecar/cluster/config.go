package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// Config is how one Kafka cluster is reached. The zero value of a field means the default named beside it.
type Config struct {
	Brokers  []string // bootstrap list, host:port; at least one
	ClientID string
	Security Security

	SetupTimeout   time.Duration // TCP, TLS, ApiVersions and SASL of one dial together; default 30 s
	RequestTimeout time.Duration // one request where the caller names no other bound; default 60 s

	Network       string // tcp (default), tcp4, tcp6
	KeepAlive     bool   // TCP keep-alive probes
	NoDelay       bool   // false: Nagle's algorithm
	SendBuffer    int    // bytes; 0: the system's default
	ReceiveBuffer int    // bytes; 0: the system's default

	MaxResponseBytes int32 // one response; default 100,000,000

	RetryBackoff, RetryBackoffMax time.Duration // between tries of a lookup, for those who loop; defaults 100 ms and 1 s

	// Dial replaces the package's own dialer; network options above are then the caller's business.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Logger may be nil.
	Logger *slog.Logger
}

// Security is how a connection to a broker is protected and who we are on it. Whatever comes from a file is read again at each dial.
type Security struct {
	TLS bool

	CA               Material // PEM, or a file of PEM, or a folder of *.pem and *.crt; empty: the system's roots
	Certificate, Key Material // PEM of the client certificate and its key
	KeyPassword      Material // for an encrypted PKCS#8 key
	Keystore         string   // file, PKCS#12, instead of Certificate and Key
	KeystorePassword Material

	SkipVerify   bool // enable.ssl.certificate.verification=false
	SkipHostname bool // ssl.endpoint.identification.algorithm=none: the chain is still verified
	CipherSuites []uint16
	Curves       []uint16 // tls.CurveID

	Mechanism          string // "" (no SASL), PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER
	Username, Password Material
	Tokens             TokenSource // of OAUTHBEARER; the cluster closes it
	Extensions         []Extension // of OAUTHBEARER
}

// Material is text given by value or by file; at most one is set, the zero value means none. It never prints its value.
type Material struct {
	Value string
	File  string
	From  Loader // asked at each dial, instead of Value and File
}

// Loader gives a secret as it is now; its errors hold nothing of it. Two loaders that are the same must compare as equal.
type Loader interface{ Load() (string, error) }

// read gives the text; a file is read anew, and one trailing newline is taken off, as editors and secret stores leave it.
func (m Material) read() (string, error) {
	if m.From != nil {
		return m.From.Load()
	}
	if m.File == "" {
		return m.Value, nil
	}
	b, err := os.ReadFile(m.File)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

// String names the file or hides the value.
func (m Material) String() string {
	switch {
	case m.File != "":
		return "file " + m.File
	case m.Value != "" || m.From != nil:
		return "***"
	}
	return ""
}

// GoString is String, for %#v.
func (m Material) GoString() string { return m.String() }

// LogValue is String, for slog.
func (m Material) LogValue() slog.Value { return slog.StringValue(m.String()) }

// MarshalText is String, for encoders.
func (m Material) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	c.Brokers = slices.Clone(c.Brokers)
	c.ClientID = cmp.Or(c.ClientID, "kafka-sidecar")
	c.SetupTimeout = cmp.Or(c.SetupTimeout, 30*time.Second)
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 60*time.Second)
	c.Network = cmp.Or(c.Network, "tcp")
	c.MaxResponseBytes = cmp.Or(c.MaxResponseBytes, 100_000_000)
	c.RetryBackoff = cmp.Or(c.RetryBackoff, 100*time.Millisecond)
	c.RetryBackoffMax = max(cmp.Or(c.RetryBackoffMax, time.Second), c.RetryBackoff)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// validate finds what can never work, all of it at once. It reads no file: those may still come.
func (c Config) validate() error {
	var wrong []error
	if len(c.Brokers) == 0 {
		wrong = append(wrong, errors.New("bootstrap.servers is empty"))
	}
	for _, addr := range c.Brokers {
		if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || port == "" {
			wrong = append(wrong, fmt.Errorf("bootstrap.servers: %q is not host:port", addr))
		}
	}
	if !slices.Contains([]string{"tcp", "tcp4", "tcp6"}, c.Network) {
		wrong = append(wrong, fmt.Errorf("unknown network %q", c.Network))
	}
	if c.SetupTimeout < 0 || c.RequestTimeout < 0 || c.MaxResponseBytes < 0 {
		wrong = append(wrong, errors.New("timeouts and receive.message.max.bytes must be positive"))
	}
	s := c.Security
	if err := s.validateLogin(); err != nil {
		wrong = append(wrong, err)
	}
	if (s.Certificate == Material{}) != (s.Key == Material{}) {
		wrong = append(wrong, errors.New("ssl.certificate.location and ssl.key.location go together"))
	}
	if s.Keystore != "" && s.Certificate != (Material{}) {
		wrong = append(wrong, errors.New("ssl.keystore.location excludes ssl.certificate.location"))
	}
	return errors.Join(wrong...)
}
