package kafkaevent

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// documented is the event of the platform's documentation, with what may be null, absent or empty beside it.
const documented = `{
 "eventSource": "aws:kafka",
 "eventSourceArn": "arn:aws:kafka:us-east-1:123456789012:cluster/vpc-2priv-2pub/751d2973-a626-431c-9d4e-d7975eb44dd7-2",
 "bootstrapServers": "b-2.demo.a1b2c3.kafka.us-east-1.amazonaws.com:9092,b-1.demo.a1b2c3.kafka.us-east-1.amazonaws.com:9092",
 "records": {
  "orders-10": [
   {"topic": "orders", "partition": 10, "offset": 7, "timestamp": 1545084650988, "timestampType": "LOG_APPEND_TIME", "value": null, "headers": []}
  ],
  "orders-0": [
   {"topic": "orders", "partition": 0, "offset": 15, "timestamp": 1545084650987, "timestampType": "CREATE_TIME", "key": "YWJjREVGMTIzNA==", "value": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
    "headers": [{"headerKey": [104, 101, 97, 100, 101, 114]}, {"bytes": [-128, -1, 0, 127, 128, 255]}, {"headerKey": []}, {"nothing": null}]},
   {"topic": "orders", "partition": 0, "offset": 18, "timestamp": 0, "key": "", "value": ""}
  ],
  "orders-3": []
 }
}`

func TestNullIsToldFromEmpty(t *testing.T) {
	partitions, err := Decode([]byte(documented), "orders")
	if err != nil {
		t.Fatal(err)
	}
	if len(partitions) != 2 || partitions[0].ID != 0 || partitions[0].Name != "orders-0" || partitions[1].ID != 10 || partitions[1].Name != "orders-10" {
		t.Fatalf("partitions %+v", partitions)
	}
	full, empty, null := partitions[0].Records[0], partitions[0].Records[1], partitions[1].Records[0]
	if full.Partition != 0 || full.Offset != 15 || full.Timestamp != 1545084650987 || string(full.Key) != "abcDEF1234" || string(full.Value) != "Hello, this is a test." || full.LeaderEpoch != -1 {
		t.Errorf("record %+v", full)
	}
	if empty.Offset != 18 || empty.Key == nil || len(empty.Key) != 0 || empty.Value == nil || len(empty.Value) != 0 {
		t.Errorf("a record of empty key and value: %+v", empty)
	}
	if null.Partition != 10 || null.Key != nil || null.Value != nil {
		t.Errorf("a record without key, with a null value: %+v", null)
	}
	want := []record.Header{{Name: "headerKey", Value: []byte("header")}, {Name: "bytes", Value: []byte{0x80, 0xff, 0, 0x7f, 0x80, 0xff}}, {Name: "headerKey", Value: []byte{}}, {Name: "nothing"}}
	if len(full.Headers) != len(want) {
		t.Fatalf("headers %v", full.Headers)
	}
	for i, h := range full.Headers {
		if h.Name != want[i].Name || string(h.Value) != string(want[i].Value) || (h.Value == nil) != (want[i].Value == nil) {
			t.Errorf("header %d is %q, want %q", i, h, want[i])
		}
	}
}

// TestWhatAnEventHasBesideItsRecordsDoesNotMatter: a mapping with a schema registry adds what it knows of the schema, and key and value are what the
// registry made of them, in base64 as ever. Which kind of source an event names says nothing that its records do not.
func TestWhatAnEventHasBesideItsRecordsDoesNotMatter(t *testing.T) {
	for _, source := range []string{`"eventSource":"aws:kafka",`, `"eventSource":"SelfManagedKafka",`, `"eventSource":"aws:another",`, ``} {
		partitions, err := Decode([]byte(`{`+source+`"records":{"orders-0":[{"topic":"orders","partition":0,"offset":5,"timestamp":1,"timestampType":"CREATE_TIME",
			"key":"eyJpZCI6N30=","keySchemaMetadata":{"dataFormat":"PROTOBUF","schemaId":"1234"},
			"value":"eyJuYW1lIjoiw4kifQ==","valueSchemaMetadata":{"dataFormat":"AVRO","schemaId":"1124"},"headers":[]}]}}`), "orders")
		if err != nil || len(partitions) != 1 || len(partitions[0].Records) != 1 {
			t.Errorf("%s: %v, %v", source, partitions, err)
			continue
		}
		if r := partitions[0].Records[0]; string(r.Key) != `{"id":7}` || string(r.Value) != `{"name":"É"}` || r.Offset != 5 {
			t.Errorf("%s: record %d, %q: %q", source, r.Offset, r.Key, r.Value)
		}
	}
}

func TestEventThatIsNoneOfOursIsRefusedWithoutItsContents(t *testing.T) {
	one := func(fields string) string { return `{"records":{"orders-0":[{` + fields + `}]}}` }
	const place = `"topic":"orders","partition":0,"offset":5,"timestamp":1`
	for name, c := range map[string]struct{ event, want string }{
		"no JSON":                    {`s3cret`, "not JSON"},
		"another event":              {`{"key1":"s3cret"}`, "no records"},
		"a queue's event":            {`{"Records":[{"body":"s3cret"}]}`, "another type"},
		"null":                       {`null`, "no records"},
		"another topic":              {one(`"topic":"s3cret","partition":0,"offset":5,"timestamp":1`), `record 0@5 is of another topic`},
		"no offset":                  {one(`"topic":"orders","partition":0,"timestamp":1`), "lacks"},
		"no timestamp":               {one(`"topic":"orders","partition":0,"offset":5`), "lacks"},
		"an offset below zero":       {one(`"topic":"orders","partition":0,"offset":-5,"timestamp":1`), "below zero"},
		"a text for a number":        {one(`"topic":"orders","partition":"s3cret","offset":5,"timestamp":1`), "another type"},
		"a value that is no text":    {one(place + `,"value":{"s3cret":1}`), "another type"},
		"no base64":                  {one(place + `,"value":"s3cret!"`), "base64"},
		"a header that is text":      {one(place + `,"headers":[{"a":"s3cret"}]`), "list of bytes"},
		"a header of numbers":        {one(place + `,"headers":[{"a":[256]}]`), "list of bytes"},
		"out of order":               {`{"records":{"orders-0":[{` + place + `},{` + place + `}]}}`, "0@5 comes behind 0@5"},
		"two partitions in one list": {`{"records":{"orders-0":[{` + place + `},{"topic":"orders","partition":1,"offset":6,"timestamp":1}]}}`, "1@6 comes behind 0@5"},
		"a partition twice":          {`{"records":{"orders-0":[{` + place + `}],"orders-00":[{` + place + `}]}}`, "partition 0 is in it twice"},
	} {
		_, err := Decode([]byte(c.event), "orders")
		if kind := (*Error)(nil); !errors.As(err, &kind) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if partitions, err := Decode([]byte(`{"records":{}}`), "orders"); err != nil || len(partitions) != 0 {
		t.Errorf("an event of no records: %v, %v", partitions, err)
	}
}

func TestAnswerIsAsDocumented(t *testing.T) {
	a := NewAnswer()
	if text, _ := json.Marshal(a); string(text) != `{"batchItemFailures":[]}` {
		t.Errorf("without failures: %s", text)
	}
	a.Fail("orders-0", 100)
	if text, _ := json.Marshal(a); string(text) != `{"batchItemFailures":[{"itemIdentifier":{"partition":"orders-0","offset":100}}]}` {
		t.Errorf("with one failure: %s", text)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(documented))
	f.Fuzz(func(t *testing.T, payload []byte) {
		partitions, err := Decode(payload, "orders")
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, p := range partitions {
			if len(p.Records) == 0 {
				t.Fatal("a partition of no records")
			}
			for _, r := range p.Records {
				if id := fmt.Sprintf("%d@%d", r.Partition, r.Offset); seen[id] {
					t.Fatalf("%s comes twice", id)
				} else {
					seen[id] = true
				}
			}
		}
	})
}
