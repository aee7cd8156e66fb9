// Package kafkaevent reads what a Kafka event source mapping hands to a Lambda function, and writes what it takes back. It is pure.
//
// The event (https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html, and the same for self-managed Kafka) holds the records of several
// partitions, each list under "<topic>-<partition>", with key, value and header values as bytes:
//
//	{"eventSource": "aws:kafka", "records": {"orders-0": [{
//	  "topic": "orders", "partition": 0, "offset": 15, "timestamp": 1767225600000, "timestampType": "CREATE_TIME",
//	  "key": "Y3VzdG9tZXItMDc=", "value": "e30=", "headers": [{"x-tenant": [97, 99, 109, 101]}]}]}}
//
// The types of github.com/aws/aws-lambda-go/events read a null key, an absent one and an empty one as the same, and refuse header bytes
// above 127, although the event may hold those as well as negative ones. So it is read here.
package kafkaevent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// Partition is the part of an event that came from one partition.
type Partition struct {
	ID      int32
	Name    string           // as the event calls it, and wants to hear it again: <topic>-<partition>
	Records []*record.Record // ascending by offset, at least one
}

// Error says why an event cannot be taken. Its text holds nothing of the records.
type Error struct{ text string }

// Error gives the text.
func (e *Error) Error() string { return "read event: " + e.text }

func wrong(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// event is what we read of the event. Bytes are nil when the field is null or absent, and empty when it is empty.
type event struct {
	Records map[string][]entry `json:"records"`
}

type entry struct {
	Topic     *string                  `json:"topic"`
	Partition *int32                   `json:"partition"`
	Offset    *int64                   `json:"offset"`
	Timestamp *int64                   `json:"timestamp"` // milliseconds since 1970
	Key       []byte                   `json:"key"`       // base64
	Value     []byte                   `json:"value"`
	Headers   []map[string]headerValue `json:"headers"` // in log order, each of one name
}

// headerValue is a list of bytes, from -128 to 255: Java's bytes are signed.
type headerValue []byte

// UnmarshalJSON reads the list; null stays nil.
func (v *headerValue) UnmarshalJSON(text []byte) error {
	var numbers []int16
	if err := json.Unmarshal(text, &numbers); err != nil {
		return errHeader
	}
	if numbers == nil {
		return nil
	}
	*v = make([]byte, len(numbers))
	for i, n := range numbers {
		if n < math.MinInt8 || n > math.MaxUint8 {
			return errHeader
		}
		(*v)[i] = byte(n)
	}
	return nil
}

var errHeader = errors.New("a header's value is not a list of bytes")

// Decode reads an event. All its records must be of the one topic; one that is not makes the whole event wrong, since it can neither be
// delivered nor be left out.
func Decode(payload []byte, topic string) ([]Partition, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, wrong("%s; want the event of a Kafka event source mapping", explain(err))
	}
	if e.Records == nil {
		return nil, wrong("it has no records; want the event of a Kafka event source mapping")
	}
	var partitions []Partition
	seen := map[int32]bool{}
	for _, name := range slices.Sorted(maps.Keys(e.Records)) {
		entries := e.Records[name]
		if len(entries) == 0 {
			continue
		}
		p := Partition{Name: name, Records: make([]*record.Record, len(entries))}
		for i := range entries {
			rec, err := entries[i].record(topic)
			if err != nil {
				return nil, err
			}
			if i == 0 {
				p.ID = rec.Partition
			} else if before := p.Records[i-1]; rec.Partition != before.Partition || rec.Offset <= before.Offset {
				return nil, wrong("record %d@%d comes behind %d@%d in one list; want one partition in the order of its offsets", rec.Partition, rec.Offset, before.Partition, before.Offset)
			}
			p.Records[i] = rec
		}
		if seen[p.ID] {
			return nil, wrong("partition %d is in it twice", p.ID)
		}
		seen[p.ID] = true
		partitions = append(partitions, p)
	}
	slices.SortFunc(partitions, func(a, b Partition) int { return cmp.Compare(a.ID, b.ID) })
	return partitions, nil
}

// explain words an error of package json, whose own texts may hold what they stumbled over.
func explain(err error) string {
	var (
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("it is not JSON (near byte %d)", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Sprintf("a field is of another type than it should be (near byte %d)", kind.Offset)
	case errors.Is(err, errHeader):
		return errHeader.Error()
	}
	return "a key or value is not base64"
}

func (e *entry) record(topic string) (*record.Record, error) {
	if e.Topic == nil || e.Partition == nil || e.Offset == nil || e.Timestamp == nil {
		return nil, wrong("a record lacks topic, partition, offset or timestamp")
	}
	if *e.Partition < 0 || *e.Offset < 0 {
		return nil, wrong("a record has a partition or an offset below zero")
	}
	if *e.Topic != topic {
		return nil, wrong("record %d@%d is of another topic than SUBSCRIPTION_SOURCE names; want an event source mapping of topic %q alone", *e.Partition, *e.Offset, topic)
	}
	rec := &record.Record{Partition: *e.Partition, LeaderEpoch: -1, Offset: *e.Offset, Timestamp: *e.Timestamp, Key: e.Key, Value: e.Value}
	for _, h := range e.Headers {
		for _, name := range slices.Sorted(maps.Keys(h)) {
			rec.Headers = append(rec.Headers, record.Header{Name: name, Value: h[name]})
		}
	}
	return rec, nil
}
