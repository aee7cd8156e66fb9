package invoke

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// tracer notes what spans it is asked for, and is the span.
type tracer struct {
	parent, state string
	begun         []string
	ended         []Result
}

func (f *tracer) Begin(rec *record.Record, attempt int, parent Trace) Span {
	f.begun = append(f.begun, fmt.Sprintf("%d@%d #%d %s-%s-%d %s", rec.Partition, rec.Offset, attempt, parent.TraceID, parent.ParentID, parent.Flags, parent.State))
	return f
}

func (f *tracer) AppendParent(b []byte) []byte { return append(b, f.parent...) }
func (f *tracer) AppendState(b []byte) []byte  { return append(b, f.state...) }
func (f *tracer) End(r Result)                 { f.ended = append(f.ended, r) }

func TestRequestContinuesTheSpanOfItsAttempt(t *testing.T) {
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	traced := rec()
	traced.Headers = []record.Header{{Name: "traceparent", Value: []byte("00-" + id + "-" + span + "-01")}, {Name: "tracestate", Value: []byte("a=1")}}
	for _, tt := range []struct {
		name  string
		rec   *record.Record
		state string
		begun string
	}{
		{"a trace", traced, "b=2", "3@42 #1 " + id + "-" + span + "-1 a=1"},
		{"a trace, no state for the handler", traced, "", "3@42 #1 " + id + "-" + span + "-1 a=1"},
		{"no trace", rec(), "", "3@42 #1 --0 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &tracer{parent: "00-ours", state: tt.state}
			head, _ := capture(t, Config{Tracer: f, ForwardHeaders: []string{"*"}}, tt.rec)
			h := headerLines(head)
			if got := strings.Join(h["traceparent"], "|"); got != "00-ours" {
				t.Errorf("traceparent %q", got)
			}
			if got := strings.Join(h["tracestate"], "|"); got != tt.state || (tt.state == "") != (h["tracestate"] == nil) {
				t.Errorf("tracestate %q", h["tracestate"])
			}
			if len(f.begun) != 1 || f.begun[0] != tt.begun || len(f.ended) != 1 || f.ended[0].Status != 204 {
				t.Errorf("begun %q, want %q; ended %+v", f.begun, tt.begun, f.ended)
			}
		})
	}
}

func TestNoRequestNoSpan(t *testing.T) {
	f := &tracer{}
	i := newInvoker(t, Config{Tracer: f, Tombstones: "skip"})
	r := rec()
	r.Value = nil
	if res := i.Attempt(t.Context(), r, 1); res.Class != Drop || len(f.begun)+len(f.ended) != 0 {
		t.Errorf("%+v, spans %v", res, f.begun)
	}
}

func TestSpanLearnsTheInvocationFromRestate(t *testing.T) {
	const id = "inv_1ghON9CBtkmf7aVQ7XnCVjT5XDXigrZx3h"
	body := `{"invocationId":"` + id + `","status":"Accepted"}`
	withID := func(answer, id string) string {
		return strings.Replace(answer, "\r\n", "\r\nx-restate-id: "+id+"\r\n", 1)
	}
	for _, tt := range []struct {
		name, answer, want string
		class              Class
	}{
		{"in the body", recorded(202, "", body), id, Done},
		{"in a header", withID(recorded(202, "", "{}"), id), id, Done},
		{"in both", withID(recorded(202, "", body), "inv_2"), "inv_2", Done},
		{"of an invocation that failed", withID(recorded(500, "invocation", "{}"), id), id, Failed},
		{"nowhere", recorded(202, "", `{"status":"Accepted"}`), "", Done},
		{"in something else", recorded(202, "", `["`+id+`"]`), "", Done},
		{"no id", recorded(202, "", `{"invocationId":"customer 1"}`), "", Done},
		{"not only an id", recorded(202, "", `{"invocationId":"inv_ä"}`), "", Done},
		{"too long", withID(recorded(202, "", "{}"), "inv_"+strings.Repeat("x", 61)), "", Done},
		{"a long body", recorded(202, "", `{"why":"`+strings.Repeat("x", 5000)+`","invocationId":"`+id+`"}`), "", Done},
		{"half a body", strings.TrimSuffix(recorded(202, "", body), "}"), "", Retry},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &tracer{}
			cfg := ingress("object")
			cfg.Tracer = f
			r := answered(t, cfg, tt.answer)
			if r.Invocation != tt.want || r.Class != tt.class || len(f.ended) != 1 || f.ended[0].Invocation != tt.want {
				t.Errorf("invocation %q of class %s, want %q of %s", r.Invocation, r.Class, tt.want, tt.class)
			}
		})
	}
	if r := answered(t, ingress("object"), recorded(202, "", body)); r.Invocation != "" {
		t.Error("read although nobody asks for it")
	}
	plain := ingress("object")
	plain.Protocol, plain.Tracer = "http", &tracer{}
	if r := answered(t, plain, recorded(202, "", body)); r.Invocation != "" {
		t.Error("read from a handler that is not Restate")
	}
}
