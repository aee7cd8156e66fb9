// Package realkafka runs Apache Kafka for tests: KRaft brokers on free ports of the loopback, as child processes that
// end with the test.
//
// The release is resolved with Maven once and kept in the user's cache directory. A machine without java or mvn, or
// without a way to the jars, skips the tests that need a broker, unless REQUIRE_REAL_KAFKA=1 turns that into a failure.
// One node is formatted and ready in about three seconds; ready means that it answers a Metadata request, not that its
// port is open.
package realkafka

import (
	"errors"
	"os"
	"sync"
	"testing"
)

// Options describe a cluster. The zero value is one broker with one plain listener.
type Options struct {
	Nodes      int               // default 1; three nodes replicate everything three times with min.insync.replicas=2
	Properties map[string]string // over the defaults, on every node
	Listeners  []Listener        // beside the plain one
	Format     []string          // further arguments of the storage tool, for example --add-scram
	JVM        []string          // further flags of the broker's JVM
}

// Listener is one more listener on every node, on a free port of the loopback.
type Listener struct {
	Name     string // in upper case, letters only
	Protocol string // SSL, SASL_PLAINTEXT, SASL_SSL
	Host     string // as advertised, default 127.0.0.1
	Port     int    // as advertised, of a proxy in front of the listener of a single node; default the listener's own
}

// Start formats and starts a cluster, waits until it is ready and stops it when the test ends.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c, err := New(t.TempDir(), o)
	if err != nil {
		unavailable(t, err)
	}
	t.Cleanup(func() {
		c.Close()
		if t.Failed() {
			t.Logf("end of the broker's log:\n%s", c.Log())
		}
	})
	return c
}

// New is Start without a test around it: the caller has to Close the cluster and to remove dir afterwards.
func New(dir string, o Options) (*Cluster, error) {
	in, err := install()
	if err != nil {
		return nil, err
	}
	return newCluster(in, dir, o)
}

// unavailable skips the test if there can be no broker here, and fails it for any other reason or where one is required.
func unavailable(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errUnavailable) && os.Getenv("REQUIRE_REAL_KAFKA") != "1" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// Shared is one cluster for all tests of a package: the first Get starts it, Close, from TestMain, ends it.
type Shared struct {
	Options Options

	mu      sync.Mutex
	cluster *Cluster
	dir     string
	err     error
}

// Get returns the cluster. It skips or fails the test as Start does.
func (s *Shared) Get(t testing.TB) *Cluster {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster == nil && s.err == nil {
		if s.dir, s.err = os.MkdirTemp("", "kafka-shared-*"); s.err == nil {
			s.cluster, s.err = New(s.dir, s.Options)
		}
	}
	if s.err != nil {
		unavailable(t, s.err)
	}
	return s.cluster
}

// Close ends the cluster if it was started and removes its data.
func (s *Shared) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster != nil {
		s.cluster.Close()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
	s.cluster, s.err = nil, errors.New("the shared cluster is closed")
}
