package invoke

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// maxTraceState bounds what is passed on; the standard asks for at least 512 bytes.
const maxTraceState = 2048

// appendTrace continues the record's trace (W3C Trace Context): its trace id and flags with a new parent id, which stands for this attempt.
// A record without a valid traceparent, or with several, has no trace to continue and none is begun; tracestate means nothing without it.
func appendTrace(v *variable, headers []record.Header) {
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
		return
	}
	v.buf = append(v.buf, "00-"...)
	v.buf = append(v.buf, parent[3:35]...)
	v.buf = append(v.buf, '-')
	v.buf = appendSpanID(v.buf)
	v.buf = append(v.buf, '-')
	// Of the flags only those that version 00 knows are passed on: sampled, and random of level 2.
	var flags [1]byte
	_, _ = hex.Decode(flags[:], parent[53:55])
	v.buf = hex.AppendEncode(v.buf, []byte{flags[0] & 3})
	v.end("traceparent")
	if len(state) > 0 && len(state) <= maxTraceState && printable(state) {
		v.buf = append(v.buf, state...)
		v.end("tracestate")
	}
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
