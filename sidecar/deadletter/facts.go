package deadletter

import (
	"strconv"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// Names of the facts, as record headers. A request's headers have dashes in place of the dots.
const (
	factTopic        = "kafka-sidecar.source.topic"
	factPartition    = "kafka-sidecar.source.partition"
	factOffset       = "kafka-sidecar.source.offset"
	factTimestamp    = "kafka-sidecar.source.timestamp" // milliseconds since 1970
	factSubscription = "kafka-sidecar.subscription"
	factReason       = "kafka-sidecar.reason"
	factStatus       = "kafka-sidecar.status"
	factAttempts     = "kafka-sidecar.attempts"
	factFailedAt     = "kafka-sidecar.failed-at" // RFC 3339, UTC
)

// headerAttempt tells a URL how often the letter was sent, as it tells a handler of its attempts.
const headerAttempt = "kafka-sidecar-attempt"

func isSource(name string) bool {
	return name == factTopic || name == factPartition || name == factOffset || name == factTimestamp
}

// isReplaced says whether a header tells of an earlier failure, so that the newer fact takes its place.
func isReplaced(name string) bool {
	return name == factSubscription || name == factReason || name == factStatus || name == factAttempts || name == factFailedAt
}

// source is where the record was first read. A redriven record, one that was written back from a dead-letter topic, brings its
// first source along in its headers: whoever follows a dead letter to its origin wants that one.
func (l *Letter) source() (facts []Fact, redriven bool) {
	for _, h := range l.Record.Headers {
		if isSource(h.Name) {
			facts = append(facts, Fact{h.Name, string(h.Value)})
		}
	}
	if len(facts) > 0 {
		return facts, true
	}
	r := l.Record
	return []Fact{
		{factTopic, l.SourceTopic},
		{factPartition, strconv.Itoa(int(r.Partition))},
		{factOffset, strconv.FormatInt(r.Offset, 10)},
		{factTimestamp, strconv.FormatInt(r.Timestamp, 10)},
	}, false
}

// failure is what is known of the failure itself.
func (l *Letter) failure() []Fact {
	return []Fact{
		{factSubscription, l.Subscription},
		{factReason, l.Reason},
		{factStatus, strconv.Itoa(l.Status)},
		{factAttempts, strconv.Itoa(l.Attempts)},
		{factFailedAt, l.FailedAt.UTC().Format("2006-01-02T15:04:05.000Z07:00")},
	}
}

// headers are the record's own, byte for byte and in their order, and the facts after them.
func (l *Letter) headers() []record.Header {
	source, redriven := l.source()
	out := make([]record.Header, 0, len(l.Record.Headers)+9)
	for _, h := range l.Record.Headers {
		if !isReplaced(h.Name) {
			out = append(out, h)
		}
	}
	if !redriven {
		out = appendFacts(out, source)
	}
	return appendFacts(out, l.failure())
}

// shortHeaders is what a letter cannot do without, for one that is too large with more.
func (l *Letter) shortHeaders() []record.Header {
	var out []record.Header
	source, _ := l.source()
	for _, f := range source {
		if f.Name != factTimestamp {
			out = appendFacts(out, []Fact{f})
		}
	}
	return appendFacts(out, []Fact{{factReason, l.Reason}})
}

func appendFacts(to []record.Header, facts []Fact) []record.Header {
	for _, f := range facts {
		to = append(to, record.Header{Name: f.Name, Value: []byte(f.Value)})
	}
	return to
}

// longAgo is how old a failure may be for its time to be that of the dead letter.
const longAgo = time.Hour

// timestamp is that of the dead letter: the time of the failure. With the record's own an old record would be deleted by retention as soon
// as it is written; and so would be one whose target was out of order for as long as it keeps its records, which is why the letter of a
// failure that is long ago has the time at which it is written.
func (l *Letter) timestamp(now time.Time) int64 {
	if now.Sub(l.FailedAt) > longAgo {
		return now.UnixMilli()
	}
	return l.FailedAt.UnixMilli()
}
