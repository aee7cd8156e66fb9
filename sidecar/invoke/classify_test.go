package invoke

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestAnswerDecidesOutcome(t *testing.T) {
	for _, tt := range []struct {
		status  int
		header  string
		class   Class
		gateway bool
	}{
		{status: 200, class: Done}, {status: 201, class: Done}, {status: 202, class: Done}, {status: 204, class: Done}, {status: 299, class: Done},
		{status: 300, class: Failed}, {status: 301, class: Failed}, {status: 302, class: Failed}, {status: 304, class: Failed}, {status: 307, class: Failed}, {status: 308, class: Failed},
		{status: 400, class: Failed}, {status: 401, class: Retry}, {status: 403, class: Retry}, {status: 404, class: Failed}, {status: 407, class: Retry},
		{status: 408, class: Retry}, {status: 409, class: Failed}, {status: 410, class: Failed}, {status: 413, class: Failed}, {status: 422, class: Failed},
		{status: 425, class: Retry}, {status: 429, class: Retry}, {status: 451, class: Failed},
		{status: 500, class: Retry}, {status: 501, class: Failed}, {status: 502, class: Retry, gateway: true}, {status: 503, class: Retry, gateway: true},
		{status: 504, class: Retry, gateway: true}, {status: 505, class: Retry}, {status: 599, class: Retry}, {status: 600, class: Retry}, {status: 999, class: Retry},

		{status: 500, header: "done", class: Done}, {status: 302, header: "DONE", class: Done}, {status: 200, header: "retry", class: Retry},
		{status: 503, header: "retry", class: Retry}, {status: 200, header: " fail ", class: Failed}, {status: 503, header: "fail", class: Failed},
		{status: 200, header: "drop", class: Drop}, {status: 400, header: "drop", class: Drop},
		{status: 200, header: "later", class: Done}, {status: 400, header: "done\r\nkafka-sidecar-outcome: drop", class: Failed},
	} {
		t.Run(fmt.Sprintf("%d %q", tt.status, tt.header), func(t *testing.T) {
			answer := fmt.Sprintf("HTTP/1.1 %d What\r\nContent-Length: 0\r\n", tt.status)
			unknown := 0
			if tt.header != "" {
				answer += "kafka-sidecar-outcome: " + tt.header + "\r\n"
			}
			r := answered(t, Config{OnUnknownOutcome: func() { unknown++ }}, answer+"\r\n")
			if r.Class != tt.class || r.Gateway != tt.gateway || r.Status != tt.status || r.Code != strconv.Itoa(tt.status) || r.TimedOut {
				t.Fatalf("got %+v", r)
			}
			ignored := strings.Contains(tt.header, "later") || strings.Contains(tt.header, "\n")
			if (unknown == 1) != ignored {
				t.Errorf("unknown outcomes counted: %d", unknown)
			}
			wantReason := ""
			if r.Class == Failed || r.Class == Drop {
				wantReason = ReasonStatus
				if tt.header != "" && !ignored {
					wantReason = ReasonOutcome
				}
			}
			if r.Reason != wantReason {
				t.Errorf("reason %q, want %q", r.Reason, wantReason)
			}
			if (r.Err == nil) != (r.Class == Done) {
				t.Errorf("error %v", r.Err)
			}
		})
	}
}

func TestStatusListsMoveStatuses(t *testing.T) {
	s := newStatuses(defaultClass,
		[]StatusRange{{409, 409}, {304, 304}},
		[]StatusRange{{400, 499}, {418, 418}},
		[]StatusRange{{500, 599}, {418, 418}, {204, 204}},
	)
	for status, want := range map[int]Class{
		409: Done, 304: Done, // narrower than 4xx
		400: Retry, 404: Retry, 401: Retry,
		500: Failed, 503: Failed, 501: Failed,
		418: Retry, // in two lists: the one that keeps the record
		204: Failed,
		200: Done, 302: Failed, // in no list
		1000: Retry, -1: Retry,
	} {
		if got := s.class(status); got != want {
			t.Errorf("%d is %v, want %v", status, got, want)
		}
	}
}

func TestMovedGatewayStatusIsNoGateway(t *testing.T) {
	r := answered(t, Config{FailStatuses: []StatusRange{{503, 503}}}, "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n")
	if r.Class != Failed || r.Gateway {
		t.Fatalf("got %+v", r)
	}
}

func TestOutcomeInWordsIsNoGateway(t *testing.T) {
	const unavailable = "HTTP/1.1 503 x\r\nContent-Length: 0\r\n"
	if r := answered(t, Config{}, unavailable+"kafka-sidecar-outcome: retry\r\n\r\n"); r.Class != Retry || r.Gateway {
		t.Errorf("a handler that says retry was there to say it, and its attempts count: got %+v", r)
	}
	if r := answered(t, Config{}, unavailable+"kafka-sidecar-outcome: later\r\n\r\n"); r.Class != Retry || !r.Gateway {
		t.Errorf("an outcome that is none leaves 503 what it is: got %+v", r)
	}
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		value string
		want  time.Duration
		ok    bool
	}{
		{"120", 2 * time.Minute, true},
		{" 7 ", 7 * time.Second, true},
		{"0", 0, true},
		{now.Add(90 * time.Second).Format(http.TimeFormat), 90 * time.Second, true},
		{"Sunday, 01-Mar-26 12:00:30 GMT", 30 * time.Second, true},
		{"Sun Mar  1 12:00:05 2026", 5 * time.Second, true},
		{now.Add(-time.Hour).Format(http.TimeFormat), 0, true},
		{"9223372036854775807", maxRetryAfter, true},
		{"9223372037", maxRetryAfter, true},
		{strings.Repeat("9", 400), maxRetryAfter, true},
		{"Fri, 31 Dec 9999 23:59:59 GMT", maxRetryAfter, true},
		{"", 0, false}, {"-1", 0, false}, {"+5", 0, false}, {"1.5", 0, false}, {"soon", 0, false}, {"5s", 0, false},
	} {
		got, ok := parseRetryAfter([]string{tt.value}, now)
		if got != tt.want || ok != tt.ok {
			t.Errorf("%.40q: got %v %v, want %v %v", tt.value, got, ok, tt.want, tt.ok)
		}
	}
	if _, ok := parseRetryAfter(nil, now); ok {
		t.Error("none given, one read")
	}
	if d := float64(maxRetryAfter) * 1.25; d > math.MaxInt64 {
		t.Error("a quarter more overflows")
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Sun, 01 Mar 2026 12:00:00 GMT")
	f.Add("99999999999999999999999")
	f.Fuzz(func(t *testing.T, v string) {
		if d, ok := parseRetryAfter([]string{v}, time.Unix(1750000000, 0)); d < 0 || d > maxRetryAfter || !ok && d != 0 {
			t.Fatalf("%q gives %v %v", v, d, ok)
		}
	})
}

func TestRetryAfterReachesTheResult(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cfg := Config{Now: func() time.Time { return now }}
	for answer, want := range map[string]time.Duration{
		"HTTP/1.1 503 x\r\nRetry-After: 3\r\n":                                                    3 * time.Second,
		"HTTP/1.1 429 x\r\nretry-after: " + now.Add(time.Minute).Format(http.TimeFormat) + "\r\n": time.Minute,
		"HTTP/1.1 200 x\r\nkafka-sidecar-outcome: retry\r\nRetry-After: 9\r\n":                    9 * time.Second,
	} {
		r := answered(t, cfg, answer+"Content-Length: 0\r\n\r\n")
		if r.Class != Retry || r.RetryAfter != want || !r.HasRetryAfter {
			t.Errorf("got %+v, want %v", r, want)
		}
	}
	if r := answered(t, cfg, "HTTP/1.1 503 x\r\nRetry-After: never\r\nContent-Length: 0\r\n\r\n"); r.HasRetryAfter || r.RetryAfter != 0 {
		t.Errorf("got %+v", r)
	}
}

func TestBrokenBody(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		class        Class
		code         string
	}{
		{"2xx by length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Retry, codeBody},
		{"2xx chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", Retry, codeBody},
		{"said to be done", "HTTP/1.1 500 x\r\nkafka-sidecar-outcome: done\r\nContent-Length: 10\r\n\r\nhalf", Retry, codeBody},
		{"said to be dropped", "HTTP/1.1 200 OK\r\nkafka-sidecar-outcome: drop\r\nContent-Length: 10\r\n\r\nhalf", Retry, codeBody},
		{"a refusal stays one", "HTTP/1.1 400 x\r\nContent-Length: 10\r\n\r\nhalf", Failed, "400"},
		{"to the end of the connection", "HTTP/1.1 200 OK\r\n\r\nall there is", Done, "200"},
		{"beyond 64 KiB nobody looks", "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("x", maxAnswer), Done, "200"},
		{"switching protocols", "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", Retry, "101"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := answered(t, Config{}, tt.answer)
			if r.Class != tt.class || r.Code != tt.code || r.Gateway || r.TimedOut || r.Status == 0 {
				t.Fatalf("got %+v", r)
			}
			if tt.code == codeBody && !errors.Is(r.Err, errBody) {
				t.Errorf("error %v", r.Err)
			}
		})
	}
}

func TestBrokenExchange(t *testing.T) {
	for _, tt := range []struct{ name, answer, code string }{
		{"no answer", "", codeReset},
		{"half a status line", "HTTP/1.1 2", codeError},
		{"half of the headers", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", codeReset},
		{"not HTTP", "SSH-2.0-OpenSSH_9.9\r\n", codeError},
		{"malformed header", "HTTP/1.1 200 OK\r\nsecret=hunter2\r\n\r\n", codeError},
		{"headers without end", "HTTP/1.1 200 OK\r\nx: " + strings.Repeat("x", maxAnswerHeaders), codeError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := answered(t, Config{}, tt.answer)
			if r.Class != Retry || r.Code != tt.code || !r.Gateway || r.Status != 0 {
				t.Fatalf("got %+v", r)
			}
			if strings.Contains(r.Err.Error(), "hunter2") || strings.Contains(r.Err.Error(), "SSH") {
				t.Errorf("error quotes the answer: %v", r.Err)
			}
		})
	}
}
