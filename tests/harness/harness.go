// Package harness runs the real kafka-sidecar binary between a broker and a handler, and checks what only an outside
// observer can see: which requests came in which order, what the group committed, what the process logged and with
// which code it ended.
//
// A test has three parts. A Broker is either franz-go's kfake in this process or Apache Kafka in a child process, behind
// the same methods; EachBroker runs a test on both. A Handler is an HTTP server that answers by a script and keeps every
// request. A Sidecar is the binary with exactly the environment that the test gives it.
//
// Waiting is always waiting for a condition (Eventually), never for a time.
package harness

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

// Patience is how long a test waits for something that takes milliseconds to a few seconds on an idle machine.
const Patience = 60 * time.Second

// shared is the one Apache Kafka of this test process.
var shared realkafka.Shared

// Main runs the tests of a package and ends what they shared, with cleanup for what the package shares beside. Call it from TestMain.
func Main(m *testing.M, cleanup ...func()) {
	code := m.Run()
	shared.Close()
	for _, end := range cleanup {
		end()
	}
	cleanBuild()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines left behind by the tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// EachBroker runs a test on kfake and on Apache Kafka; with -short on kfake only.
func EachBroker(t *testing.T, run func(t *testing.T, b *Broker)) {
	t.Helper()
	t.Run("kfake", func(t *testing.T) { run(t, Fake(t)) })
	t.Run("kafka", func(t *testing.T) { run(t, Real(t)) })
}

var names atomic.Int64

// Name returns a name for a topic or a group that no other test has, on no broker.
func Name(t testing.TB, prefix string) string {
	t.Helper()
	clean := strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, t.Name())
	return fmt.Sprintf("%s-%d-%d-%s", prefix, os.Getpid(), names.Add(1), clean[max(0, len(clean)-60):])
}

// Eventually waits until cond holds and fails the test if it does not within the timeout. The text that cond returns
// says what it saw; the last one ends up in the failure. It is the only place of the tests where time passes by polling.
func Eventually(t testing.TB, timeout time.Duration, cond func() (bool, string)) {
	t.Helper()
	if ok, last := within(timeout, cond); !ok {
		t.Fatalf("not within %s: %s", timeout, last)
	}
}

// Throughout fails the test if cond stops holding before the time is over. Use it only where the promise is that
// something does not happen within a time.
func Throughout(t testing.TB, duration time.Duration, cond func() (bool, string)) {
	t.Helper()
	if broken, last := within(duration, func() (bool, string) { ok, s := cond(); return !ok, s }); broken {
		t.Fatal(last)
	}
}

func within(timeout time.Duration, cond func() (bool, string)) (bool, string) {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, last := cond()
		if ok {
			return true, last
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return false, last
		}
	}
}
