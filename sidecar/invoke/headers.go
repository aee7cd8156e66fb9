package invoke

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// userAgent is the one header under its canonical key: net/http looks there before it adds its own.
const (
	userAgent    = "User-Agent"
	defaultAgent = "kafka-sidecar"
)

// names are those of our headers that depend on Config.HeaderStyle.
type names struct {
	topic, partition, offset, timestamp, key, tombstone, subscription string
}

func newNames(style string) names {
	sep := "."
	if style == "dashes" {
		sep = "-"
	}
	return names{
		topic:        "kafka" + sep + "topic",
		partition:    "kafka" + sep + "partition",
		offset:       "kafka" + sep + "offset",
		timestamp:    "kafka" + sep + "timestamp",
		key:          "kafka" + sep + "key",
		tombstone:    "kafka" + sep + "tombstone",
		subscription: "restate" + sep + "subscription" + sep + "id",
	}
}

// constantHeader is the same in every request; the slice is shared by all of them and only read.
type constantHeader struct {
	key    string
	values []string
}

func constant(key string, values ...string) constantHeader {
	return constantHeader{key, values[:len(values):len(values)]}
}

// setHeaders makes all that is the same in every request, and the rules for forwarding.
func (i *Invoker) setHeaders() error {
	i.names = newNames(i.cfg.HeaderStyle)
	var err error
	if i.user, err = i.userHeaders(); err != nil {
		return err
	}
	if !validValue(i.cfg.ContentType) {
		return errors.New("check handler: the content type holds a control character")
	}
	facts := []constantHeader{
		constant(i.names.topic, encodeValue(i.cfg.Topic)),
		constant(i.names.subscription, encodeValue(i.cfg.SubscriptionID)),
	}
	i.toOthers = append(i.toOthers, constant("content-type", i.cfg.ContentType), constant(userAgent, defaultAgent))
	i.toOthers = append(i.toOthers, facts...)
	i.toHandler = append(i.toHandler, constant("content-type", i.contentType()), constant(userAgent, defaultAgent))
	i.toHandler = append(i.toHandler, facts...)
	if i.binaryCE {
		i.toHandler = append(i.toHandler, ceConstants(i.cfg)...)
	}
	i.forward = newForwarder(i.cfg, i.binaryCE)
	return nil
}

func addConstant(list []constantHeader, key, value string) []constantHeader {
	for k := range list {
		if list[k].key == key {
			list[k] = constant(key, append(list[k].values, value)...)
			return list
		}
	}
	return append(list, constant(key, value))
}

func validValue(s string) bool {
	for k := range len(s) {
		if s[k] < ' ' && s[k] != '\t' || s[k] == 0x7f {
			return false
		}
	}
	return true
}

func encodeValue(s string) string { return string(appendEscaped(nil, s, fieldValue)) }

// variable collects the headers that differ from record to record: their values are written one after the other into one buffer
// and become one string in the end, so that a dozen headers cost three allocations.
type variable struct {
	buf  []byte
	keys [16]string
	ends [16]int
	n    int
}

// end closes the value that was appended to buf since the last call.
func (v *variable) end(key string) {
	v.keys[v.n], v.ends[v.n] = key, len(v.buf)
	v.n++
}

func (v *variable) addTo(h http.Header) {
	text, start := string(v.buf), 0
	values := make([]string, v.n)
	for k := range v.n {
		values[k] = text[start:v.ends[k]]
		h[v.keys[k]] = values[k : k+1 : k+1]
		start = v.ends[k]
	}
}

// headers are those of one request. Keys are lower-case on purpose, see the package comment.
func (i *Invoker) headers(q request, left []string) http.Header {
	rec := q.rec
	fixed := i.toOthers
	if q.handler {
		fixed = i.toHandler
	}
	h := make(http.Header, len(fixed)+10)
	for _, c := range fixed {
		h[c.key] = c.values
	}
	i.forward.add(h, rec.Headers)
	if q.user != nil {
		// Over what the record has: a file may have been given further names since the forwarder learnt them.
		for _, c := range q.user.fixed {
			h[c.key] = c.values
		}
	}
	h["kafka-sidecar-timeout-ms"] = left

	var scratch [512]byte
	v := variable{buf: scratch[:0]}
	if !i.noKey || !q.handler {
		v.buf = appendIdempotencyKey(append(v.buf, i.idPrefix...), rec)
		v.end("idempotency-key")
	}
	v.buf = strconv.AppendInt(v.buf, int64(rec.Partition), 10)
	v.end(i.names.partition)
	v.buf = strconv.AppendInt(v.buf, rec.Offset, 10)
	v.end(i.names.offset)
	v.buf = strconv.AppendInt(v.buf, rec.Timestamp, 10)
	v.end(i.names.timestamp)
	if rec.Key != nil {
		v.buf = base64.URLEncoding.AppendEncode(v.buf, rec.Key)
		v.end(i.names.key)
	}
	if rec.Value == nil {
		v.buf = append(v.buf, "true"...)
		v.end(i.names.tombstone)
	}
	if q.attempt > 0 {
		v.buf = strconv.AppendInt(v.buf, int64(q.attempt), 10)
		v.end("kafka-sidecar-attempt")
	}
	q.appendTrace(&v)
	if i.binaryCE && q.handler {
		appendCE(&v, rec)
	}
	v.addTo(h)
	for _, e := range q.extra {
		key := strings.ToLower(e.Name)
		if !isToken(key) {
			continue
		}
		if key == "user-agent" {
			key = userAgent
		}
		h[key] = []string{string(appendEscaped(nil, e.Value, fieldValue))}
	}
	return h
}
