package invoke

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

func TestEnvelope(t *testing.T) {
	full := rec()
	full.Headers = []record.Header{{Name: "a", Value: []byte("1")}, {Name: "a", Value: []byte{0xff}}, {Name: "b"}, {Name: "c", Value: []byte{}}}
	bytes := rec()
	bytes.Key, bytes.Value = []byte{0xff, 0xfe}, []byte{0, 0x80, 0xfb, 0xff}
	nulls := rec()
	nulls.Key, nulls.Value = nil, nil
	empty := rec()
	empty.Key, empty.Value = []byte{}, []byte{}
	html := rec()
	html.Value = []byte("<a href=\"x\">&\u2028\x00\n")
	for _, tt := range []struct {
		name string
		rec  *record.Record
		want string
	}{
		{"text", full, `{"topic":"orders","partition":3,"offset":42,"timestamp":1750000000123,"key":"customer-1","value":"{\"total\":7}","keyEncoding":"utf-8","valueEncoding":"utf-8",` +
			`"headers":[{"name":"a","value":"1","valueEncoding":"utf-8"},{"name":"a","value":"/w==","valueEncoding":"base64"},{"name":"b","value":null,"valueEncoding":null},{"name":"c","value":"","valueEncoding":"utf-8"}]}`},
		{"bytes", bytes, `{"topic":"orders","partition":3,"offset":42,"timestamp":1750000000123,"key":"//4=","value":"AID7/w==","keyEncoding":"base64","valueEncoding":"base64","headers":[]}`},
		{"null", nulls, `{"topic":"orders","partition":3,"offset":42,"timestamp":1750000000123,"key":null,"value":null,"keyEncoding":null,"valueEncoding":null,"headers":[]}`},
		{"empty", empty, `{"topic":"orders","partition":3,"offset":42,"timestamp":1750000000123,"key":"","value":"","keyEncoding":"utf-8","valueEncoding":"utf-8","headers":[]}`},
		{"markup", html, `{"topic":"orders","partition":3,"offset":42,"timestamp":1750000000123,"key":"customer-1","value":"<a href=\"x\">&\u2028\u0000\n","keyEncoding":"utf-8","valueEncoding":"utf-8","headers":[]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			head, body := capture(t, Config{Format: FormatEnvelope, ContentType: "text/plain"}, tt.rec)
			if body != tt.want {
				t.Errorf("got\n%s\nwant\n%s", body, tt.want)
			}
			h := headerLines(head)
			if !slices.Equal(h["content-type"], []string{"application/json"}) {
				t.Errorf("content type %q", h["content-type"])
			}
			if (h["kafka.tombstone"] != nil) != (tt.rec.Value == nil) {
				t.Errorf("tombstone %q", h["kafka.tombstone"])
			}
		})
	}
}

// FuzzEnvelope: every record's bytes can be read back from its envelope.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte("key"), []byte("value"), "name", []byte("x"))
	f.Add([]byte{0xff}, []byte{}, "\xff", []byte{0})
	f.Fuzz(func(t *testing.T, key, value []byte, name string, header []byte) {
		r := &record.Record{Key: key, Value: value, Headers: []record.Header{{Name: name, Value: header}}}
		var e envelopeBody
		if err := json.Unmarshal(envelope("orders", r), &e); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			in          []byte
			out, coding *string
		}{{key, e.Key, e.KeyEncoding}, {value, e.Value, e.ValueEncoding}, {header, e.Headers[0].Value, e.Headers[0].ValueEncoding}} {
			if c.in == nil {
				if c.out != nil || c.coding != nil {
					t.Fatal("null is not null")
				}
				continue
			}
			got := []byte(*c.out)
			if *c.coding == encodingBase64 {
				got, _ = base64.StdEncoding.DecodeString(*c.out)
			}
			if string(got) != string(c.in) {
				t.Fatalf("%q reads as %q", c.in, got)
			}
		}
		if utf8.ValidString(name) && e.Headers[0].Name != name {
			t.Fatalf("name %q reads as %q", name, e.Headers[0].Name)
		}
	})
}

func TestCloudEventsBinary(t *testing.T) {
	r := rec()
	r.Key = []byte(`grün "5 %`)
	r.Headers = []record.Header{{Name: "ce-id", Value: []byte("evil")}, {Name: "x-a", Value: []byte("1")}}
	head, body := capture(t, Config{
		Format: FormatCloudEvents, ForwardHeaders: []string{"*"}, Cluster: "my/cluster", Topic: "orders", Group: "g", SubscriptionID: "s",
	}, r)
	h := headerLines(head)
	for name, want := range map[string]string{
		"ce-specversion": "1.0", "ce-id": "3:42", "ce-type": "kafka.record", "ce-source": "kafka://my%252Fcluster/orders", "ce-time": "2025-06-15T15:06:40.123Z",
		"ce-partitionkey": "gr%C3%BCn%20%225%20%25", "content-type": "application/json", "x-a": "1", "kafka.offset": "42",
	} {
		if !slices.Equal(h[name], []string{want}) {
			t.Errorf("%s: got %q, want %q", name, h[name], want)
		}
	}
	if body != `{"total":7}` {
		t.Error(body)
	}
}

func TestCloudEventsAttributesAreLeftOutWhereTheyCannotBe(t *testing.T) {
	for _, key := range [][]byte{nil, {}, {0xff}, []byte("a\nb"), []byte("\u0085"), []byte("\ufffe"), []byte("\U0001ffff")} {
		r := rec()
		r.Key, r.Timestamp = key, -1
		head, _ := capture(t, Config{Format: FormatCloudEvents}, r)
		if h := headerLines(head); h["ce-partitionkey"] != nil || h["ce-time"] != nil {
			t.Errorf("%q: %v", key, h)
		}
	}
}

func TestCloudEventsStructured(t *testing.T) {
	const start = `{"specversion":"1.0","id":"3:42","source":"kafka://my-cluster/orders","type":"kafka.record","time":"2025-06-15T15:06:40.123Z","partitionkey":"customer-1"`
	for _, tt := range []struct {
		name, contentType string
		value             []byte
		want              string
	}{
		{"json object", "", []byte(`{"total": 7, "n": 12345678901234567890}`), `,"datacontenttype":"application/json","data":{"total":7,"n":12345678901234567890}}`},
		{"json string", "", []byte(`"x"`), `,"datacontenttype":"application/json","data":"x"}`},
		{"json null", "", []byte(`null`), `,"datacontenttype":"application/json","data":null}`},
		{"json suffix", "application/vnd.Order+JSON; charset=utf-8", []byte(`[1]`), `,"datacontenttype":"application/vnd.Order+JSON; charset=utf-8","data":[1]}`},
		{"broken json", "", []byte(`{"total"`), `,"datacontenttype":"application/json","data_base64":"eyJ0b3RhbCI="}`},
		{"json of broken text", "", []byte("\"\xff\""), `,"datacontenttype":"application/json","data_base64":"Iv8i"}`},
		{"empty", "", []byte{}, `,"datacontenttype":"application/json","data_base64":""}`},
		{"text", "text/plain", []byte(`{"total": 7} <&`), `,"datacontenttype":"text/plain","data":"{\"total\": 7} <&"}`},
		{"empty text", "text/plain", []byte{}, `,"datacontenttype":"text/plain","data":""}`},
		{"bytes", "application/avro", []byte{0xff, 0}, `,"datacontenttype":"application/avro","data_base64":"/wA="}`},
		{"tombstone", "", nil, `}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rec()
			r.Value = tt.value
			head, body := capture(t, Config{Format: FormatCloudEventsStructured, ContentType: tt.contentType}, r)
			if body != start+tt.want {
				t.Errorf("got\n%s\nwant\n%s", body, start+tt.want)
			}
			if h := headerLines(head); !slices.Equal(h["content-type"], []string{"application/cloudevents+json; charset=utf-8"}) || h["ce-id"] != nil {
				t.Errorf("headers %v", h)
			}
		})
	}
}
