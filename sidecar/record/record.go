// Package record holds the one type that every stage of the sidecar passes on: a Kafka record.
package record

import "time"

// Record is one Kafka record as it was read from the log. It is immutable once the intake has handed it on:
// Key, Value and Headers may still be read by an HTTP transport after an attempt has ended, so their memory is never reused.
type Record struct {
	Partition   int32
	LeaderEpoch int32 // epoch of the batch that held the record, -1 when unknown
	Offset      int64
	Timestamp   int64    // milliseconds since the Unix epoch, as stored in the log
	AppendTime  bool     // the timestamp is the broker's and not the producer's
	Key         []byte   // nil is a null key; empty is a key of no bytes
	Value       []byte   // nil is a tombstone; empty is a value of no bytes
	Headers     []Header // in log order; names may repeat
}

// Header is one record header. Value is nil when the header's value is null.
type Header struct {
	Name  string
	Value []byte
}

// overhead is what one record costs in memory beside its own bytes: the struct, its lane item and its ledger entry.
const overhead = 256

// Size is what the record counts against the byte bounds: the bytes of key, value and headers plus a fixed overhead,
// so that millions of empty records are bounded too.
func (r *Record) Size() int64 {
	n := overhead + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value) + 40
	}
	return int64(n)
}

// Time is the record's timestamp as a time.
func (r *Record) Time() time.Time { return time.UnixMilli(r.Timestamp) }
