// Package deadletter writes failed records to where the user wants them: a topic on the source's cluster, or a URL.
//
// A write that returned nil is acknowledged: by all in-sync replicas, or with a 2xx. Whoever called it may settle the record then, and
// only then; every error is tried again for as long as it takes. Delivery is at least once: a dead letter may be there twice, with the
// same source.
//
// # Topic
//
// A letter is the record byte for byte, with the facts of its failure as further headers (facts.go) and the time of the failure as its
// timestamp: with its own an old record would be deleted by retention as soon as it is written. It goes to the partition where
// the Java client puts its key (murmur.go).
//
// Each partition has a queue, and a writer (writer.go) that runs while the queue is not empty and sends what has come together as one
// compressed batch (batch.go), one at a time, over a connection of its own to the partition's leader, with acks=all (produce.go). Batches
// carry a producer id and a sequence where the broker allows it: an answer that was lost is asked for again with the same batch, and the
// broker drops the repeat. A writer that gives up without knowing gives up its producer id too, since the next batch under the same
// sequence would be taken for the lost one: acknowledged, and not written.
//
// What heals by itself is tried a few times and for at most RequestTimeout; then the caller has the error and waits longer. What is refused for
// good in a batch is tried letter by letter, and a letter that is too large once more with the headers that it cannot do without.
//
// Check looks at everything that would refuse letters later (check.go). The topic is never created.
//
// # URL
//
// The same facts go as request headers, over whatever the Poster sends with (url.go).
package deadletter

import (
	"context"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// Letter is a failed record and what is known of its failure.
type Letter struct {
	Record       *record.Record
	SourceTopic  string
	Subscription string
	Reason       string // status, attempts, age, null-key, invalid-key, tombstone, outcome
	Status       int    // of the last attempt, 0 without an answer
	Attempts     int    // requests made
	Write        int    // of this letter, from 1
	FailedAt     time.Time
}

// Target is where failed records go. It is safe for concurrent use.
type Target interface {
	// Check says in plain words what would keep every write from succeeding. It writes nothing.
	Check(ctx context.Context) error
	// Write returns nil once the letter is safe. Its errors hold no key, value or header of the record.
	Write(ctx context.Context, l Letter) error
	// Close ends what Write has left open.
	Close()
}

// Fact is one thing known of a failure, by its header name.
type Fact struct{ Name, Value string }
