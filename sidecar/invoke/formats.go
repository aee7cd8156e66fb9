package invoke

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// setFormat picks how bodies are made. Every body is the record's own bytes or freshly made: net/http may still be reading one after an attempt has ended.
func (i *Invoker) setFormat() error {
	switch i.cfg.Format {
	case FormatValue:
		i.encode = func(rec *record.Record) []byte { return rec.Value }
	case FormatEnvelope:
		topic := i.cfg.Topic
		i.encode = func(rec *record.Record) []byte { return envelope(topic, rec) }
	case FormatCloudEvents:
		i.binaryCE = true
		i.encode = func(rec *record.Record) []byte { return rec.Value }
	case FormatCloudEventsStructured:
		i.encode = newStructuredCE(i.cfg)
	case FormatLambda:
		i.encode = newLambdaEvent(i.cfg)
	default:
		return fmt.Errorf("check handler: unknown format %q", i.cfg.Format)
	}
	return nil
}

// contentType is that of the body, which is not always that of the record's value.
func (i *Invoker) contentType() string {
	switch i.cfg.Format {
	case FormatEnvelope, FormatLambda:
		return "application/json"
	case FormatCloudEventsStructured:
		return "application/cloudevents+json; charset=utf-8"
	}
	return i.cfg.ContentType
}

// The encodings of bytes in an envelope.
const (
	encodingUTF8   = "utf-8"
	encodingBase64 = "base64"
)

// envelopeBody is the whole record as JSON. Bytes are a string with its encoding beside it: the text itself when it is valid UTF-8, else
// padded base64; null bytes have a null encoding. A value that is JSON is a string too, so that the same bytes always take the same form.
type envelopeBody struct {
	Topic         string           `json:"topic"`
	Partition     int32            `json:"partition"`
	Offset        int64            `json:"offset"`
	Timestamp     int64            `json:"timestamp"` // milliseconds since 1970
	Key           *string          `json:"key"`
	Value         *string          `json:"value"`
	KeyEncoding   *string          `json:"keyEncoding"`
	ValueEncoding *string          `json:"valueEncoding"`
	Headers       []envelopeHeader `json:"headers"` // in log order, names may repeat
}

type envelopeHeader struct {
	Name          string  `json:"name"`
	Value         *string `json:"value"`
	ValueEncoding *string `json:"valueEncoding"`
}

func envelope(topic string, rec *record.Record) []byte {
	e := envelopeBody{
		Topic: topic, Partition: rec.Partition, Offset: rec.Offset, Timestamp: rec.Timestamp,
		Headers: make([]envelopeHeader, len(rec.Headers)),
	}
	e.Key, e.KeyEncoding = text(rec.Key)
	e.Value, e.ValueEncoding = text(rec.Value)
	for k := range rec.Headers {
		h := &e.Headers[k]
		h.Name = rec.Headers[k].Name
		h.Value, h.ValueEncoding = text(rec.Headers[k].Value)
	}
	return marshal(e)
}

func text(b []byte) (value, encoding *string) {
	if b == nil {
		return nil, nil
	}
	var v, e string
	if utf8.Valid(b) {
		v, e = string(b), encodingUTF8
	} else {
		v, e = base64.StdEncoding.EncodeToString(b), encodingBase64
	}
	return &v, &e
}

// marshal is json.Marshal without its escapes for HTML, which make text with < or & up to six times as long.
func marshal(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err)) // strings, numbers and checked JSON only: cannot fail
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
