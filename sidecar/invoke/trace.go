package invoke

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"net/url"
	"strings"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// maxTraceState bounds what is passed on; the standard asks for at least 512 bytes.
const maxTraceState = 2048

// Tracer makes spans of attempts. Its methods are called by every worker.
type Tracer interface {
	// Begin begins the span of one attempt. parent is the record's trace; when it is not valid there is none to continue.
	Begin(rec *record.Record, attempt int, parent Trace) Span
}

// Span is one attempt in a trace. What it appends becomes the request's traceparent and tracestate, so that the handler's own spans hang below it.
type Span interface {
	AppendParent(b []byte) []byte
	AppendState(b []byte) []byte // appends nothing where there is none
	End(r Result)
}

// Trace is where a record stands in a trace, as its headers say. The slices are the record's own.
type Trace struct {
	TraceID  []byte // 32 hexadecimal digits in lower case; empty: no trace
	ParentID []byte // 16
	Flags    byte   // those that version 00 knows: sampled (1), and random of level 2 (2)
	State    []byte // tracestate, visible ASCII; may be empty
}

// Valid says whether there is a trace.
func (t Trace) Valid() bool { return len(t.TraceID) > 0 }

// recordTrace reads traceparent and tracestate (W3C Trace Context). A record without a valid traceparent, or with several, has no trace;
// tracestate means nothing without it.
func recordTrace(headers []record.Header) Trace {
	var parent []byte
	var state []byte
	parents, states := 0, 0
	for k := range headers {
		switch name := headers[k].Name; {
		case len(name) == len("traceparent") && strings.EqualFold(name, "traceparent"):
			parent = headers[k].Value
			parents++
		case len(name) == len("tracestate") && strings.EqualFold(name, "tracestate"):
			if states > 0 {
				state = append(state[:len(state):len(state)], ',')
				state = append(state, headers[k].Value...)
			} else {
				state = headers[k].Value
			}
			states++
		}
	}
	if parents != 1 || !validTraceParent(parent) {
		return Trace{}
	}
	var flags [1]byte
	_, _ = hex.Decode(flags[:], parent[53:55])
	t := Trace{TraceID: parent[3:35], ParentID: parent[36:52], Flags: flags[0] & 3}
	if len(state) <= maxTraceState && printable(state) {
		t.State = state
	}
	return t
}

// appendTrace names the span of the attempt, or without one continues the record's trace.
func (q *request) appendTrace(v *variable) {
	if q.span != nil {
		appendSpan(v, q.span)
	} else if len(q.rec.Headers) > 0 {
		appendTrace(v, recordTrace(q.rec.Headers))
	}
}

// appendTrace continues a record's trace without a span of ours: its trace id and flags with a new parent id, which stands for this attempt.
func appendTrace(v *variable, t Trace) {
	if !t.Valid() {
		return
	}
	v.buf = append(v.buf, "00-"...)
	v.buf = append(v.buf, t.TraceID...)
	v.buf = append(v.buf, '-')
	v.buf = appendSpanID(v.buf)
	v.buf = append(v.buf, '-')
	v.buf = hex.AppendEncode(v.buf, []byte{t.Flags})
	v.end("traceparent")
	if len(t.State) > 0 {
		v.buf = append(v.buf, t.State...)
		v.end("tracestate")
	}
}

// appendSpan has the handler continue the span of the attempt.
func appendSpan(v *variable, s Span) {
	v.buf = s.AppendParent(v.buf)
	v.end("traceparent")
	before := len(v.buf)
	if v.buf = s.AppendState(v.buf); len(v.buf) > before {
		v.end("tracestate")
	}
}

// traced makes an attempt within a span.
func (i *Invoker) traced(ctx context.Context, u *url.URL, q request) Result {
	q.span = i.cfg.Tracer.Begin(q.rec, q.attempt, recordTrace(q.rec.Headers))
	r := i.do(ctx, u, q)
	q.span.End(r)
	return r
}

// validTraceParent checks version-traceid-parentid-flags. A later version may have more after it.
func validTraceParent(p []byte) bool {
	if len(p) < 55 || p[2] != '-' || p[35] != '-' || p[52] != '-' {
		return false
	}
	version := string(p[:2])
	if !isLowerHex(p[:2]) || version == "ff" || version == "00" && len(p) != 55 || len(p) > 55 && p[55] != '-' {
		return false
	}
	return isLowerHex(p[3:35]) && !allZero(p[3:35]) && isLowerHex(p[36:52]) && !allZero(p[36:52]) && isLowerHex(p[53:55])
}

func appendSpanID(b []byte) []byte {
	var id uint64
	for id == 0 { // zero is invalid
		id = rand.Uint64()
	}
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[id>>shift&15])
	}
	return b
}

func isLowerHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != '0' {
			return false
		}
	}
	return true
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
