package invoke

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// CloudEvents 1.0.2, https://github.com/cloudevents/spec: HTTP protocol binding (binary and structured mode), JSON event format, partitioning extension.
const (
	ceVersion = "1.0"
	ceType    = "kafka.record"
)

func ceSource(cluster, topic string) string {
	return "kafka://" + string(appendEscaped(nil, cluster, unreserved)) + "/" + string(appendEscaped(nil, topic, unreserved))
}

func appendCEID(b []byte, rec *record.Record) []byte {
	b = strconv.AppendInt(b, int64(rec.Partition), 10)
	b = append(b, ':')
	return strconv.AppendInt(b, rec.Offset, 10)
}

// appendCETime writes RFC 3339 in UTC. A record without a timestamp (-1) has no time, which is optional.
func appendCETime(b []byte, rec *record.Record) []byte {
	return rec.Time().UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
}

// maxCETime is the last millisecond of the year 9999, the last that RFC 3339 can write.
var maxCETime = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() - 1

func hasCETime(rec *record.Record) bool { return rec.Timestamp >= 0 && rec.Timestamp <= maxCETime }

// cePartitionKey is the record's key where it can be an attribute: a string that is not empty and holds no control characters.
func cePartitionKey(rec *record.Record) (string, bool) {
	if len(rec.Key) == 0 || !utf8.Valid(rec.Key) {
		return "", false
	}
	for _, r := range string(rec.Key) {
		if r < 0x20 || r >= 0x7f && r <= 0x9f || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe {
			return "", false
		}
	}
	return string(rec.Key), true
}

// ceConstants are the attributes that are the same for every record of the subscription.
func ceConstants(cfg Config) []constantHeader {
	return []constantHeader{
		constant("ce-specversion", ceVersion),
		constant("ce-type", ceType),
		constant("ce-source", string(appendCEValue(nil, ceSource(cfg.Cluster, cfg.Topic)))),
	}
}

// appendCE adds the attributes that differ.
func appendCE(v *variable, rec *record.Record) {
	v.buf = appendCEID(v.buf, rec)
	v.end("ce-id")
	if hasCETime(rec) {
		v.buf = appendCETime(v.buf, rec)
		v.end("ce-time")
	}
	if key, ok := cePartitionKey(rec); ok {
		v.buf = appendCEValue(v.buf, key)
		v.end("ce-partitionkey")
	}
}

// appendCEValue encodes an attribute for a header: space, double quote, percent and everything outside visible ASCII (HTTP binding §3.1.3.2).
func appendCEValue(b []byte, s string) []byte { return appendEscaped(b, s, visibleUnquoted) }

// structuredBody is an event as JSON. Of data and data_base64 at most one is there, none for a tombstone.
type structuredBody struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Time            string          `json:"time,omitempty"`
	PartitionKey    string          `json:"partitionkey,omitempty"`
	DataContentType string          `json:"datacontenttype,omitempty"`
	Data            json.RawMessage `json:"data,omitempty"`
	DataBase64      *string         `json:"data_base64,omitempty"`
}

// newStructuredCE makes bodies by the JSON event format §3.1. With a JSON content type the value is embedded as it is; one that is not valid JSON goes as
// data_base64, since a string there would mean a JSON string. With any other content type text goes as a string and bytes as data_base64.
func newStructuredCE(cfg Config) func(*record.Record) []byte {
	source, isJSON := ceSource(cfg.Cluster, cfg.Topic), isJSONType(cfg.ContentType)
	return func(rec *record.Record) []byte {
		e := structuredBody{SpecVersion: ceVersion, ID: string(appendCEID(nil, rec)), Source: source, Type: ceType}
		if hasCETime(rec) {
			e.Time = string(appendCETime(nil, rec))
		}
		e.PartitionKey, _ = cePartitionKey(rec)
		if rec.Value == nil {
			return marshal(e)
		}
		e.DataContentType = cfg.ContentType
		switch {
		case isJSON && json.Valid(rec.Value) && utf8.Valid(rec.Value):
			e.Data = rec.Value
		case !isJSON && utf8.Valid(rec.Value):
			e.Data = marshal(string(rec.Value))
		default:
			s := base64.StdEncoding.EncodeToString(rec.Value)
			e.DataBase64 = &s
		}
		return marshal(e)
	}
}

// isJSONType follows the JSON event format: a subtype that is json or ends in +json, whatever its parameters.
func isJSONType(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media, _, _ = strings.Cut(strings.ToLower(contentType), ";")
	}
	_, subtype, _ := strings.Cut(strings.TrimSpace(media), "/")
	return subtype == "json" || strings.HasSuffix(subtype, "+json")
}
