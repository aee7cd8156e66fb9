package invoke

import (
	"net/http"
	"strings"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// ours are names that carry the message itself or what we say of it; neither a record nor the configuration sets them.
var ours = map[string]bool{
	"idempotency-key":         true,
	"restate-subscription-id": true,
	"traceparent":             true,
	"tracestate":              true,
	// Of one connection and not of the message (RFC 9110 §7.6.1); a record that could set them could smuggle a second request.
	"connection":        true,
	"expect":            true,
	"http2-settings":    true,
	"keep-alive":        true,
	"te":                true,
	"trailer":           true,
	"transfer-encoding": true,
	"upgrade":           true,
}

// reserved says whether the configuration may not set a header. The name is in lower case.
func reserved(name string, binaryCE bool) bool {
	return ours[name] || binaryCE && strings.HasPrefix(name, "ce-") ||
		strings.HasPrefix(name, "kafka.") || strings.HasPrefix(name, "kafka-") || strings.HasPrefix(name, "restate.") ||
		name == "content-type" || name == "content-length" || name == "proxy-connection"
}

// forwarder passes record headers on.
type forwarder struct {
	patterns []string
	taken    map[string]bool // names that the configuration sets
	binaryCE bool
	ingress  bool
	owned    func(name string) bool // headers of the proof who we are
	skipped  func()
}

func newForwarder(cfg Config, binaryCE bool) forwarder {
	f := forwarder{binaryCE: binaryCE, ingress: cfg.ingress(), skipped: cfg.OnSkippedHeader, taken: map[string]bool{}}
	if f.owned = func(string) bool { return false }; cfg.Auth != nil {
		f.owned = cfg.Auth.Owns
	}
	for _, p := range cfg.ForwardHeaders {
		if p = strings.ToLower(strings.TrimSpace(p)); p != "" {
			f.patterns = append(f.patterns, p)
		}
	}
	for _, h := range cfg.Headers {
		f.taken[strings.ToLower(h.Name)] = true
	}
	return f
}

// add puts the record's headers that match into h, in their order and as often as they are there. A name that no request can hold is counted
// and skipped; one that would replace the user's or our own headers is skipped.
func (f *forwarder) add(h http.Header, headers []record.Header) {
	if len(f.patterns) == 0 {
		return
	}
	for k := range headers {
		name := strings.ToLower(headers[k].Name)
		if !f.matches(name) {
			continue
		}
		if !isToken(name) {
			f.skipped()
			continue
		}
		if f.denied(name) {
			continue
		}
		value := string(appendEscaped(nil, headers[k].Value, visible))
		if name == "user-agent" {
			h[userAgent] = []string{value} // over ours; net/http sends one only
			continue
		}
		h[name] = append(h[name], value)
	}
}

// denied says which headers a record cannot set even if the user forwards everything.
func (f *forwarder) denied(name string) bool {
	return reserved(name, f.binaryCE) || f.taken[name] || name == "host" || name == "authorization" || f.owned(name) ||
		strings.HasPrefix(name, "content-") || strings.HasPrefix(name, "proxy-") || strings.HasPrefix(name, "kafka-sidecar") ||
		f.ingress && strings.HasPrefix(name, "x-restate-") // they steer the ingress, which is not for whoever writes records
}

func (f *forwarder) matches(name string) bool {
	for _, p := range f.patterns {
		if matchGlob(p, name) {
			return true
		}
	}
	return false
}

// matchGlob matches a pattern in which * stands for any number of bytes. It goes back to the last star only, which is enough and takes no
// more than len(pattern) × len(s) steps whatever a record's header is called.
func matchGlob(pattern, s string) bool {
	p, k := 0, 0
	star, resume := -1, 0
	for k < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, k
			p++
		case p < len(pattern) && pattern[p] == s[k]:
			p++
			k++
		case star >= 0:
			resume++
			p, k = star+1, resume
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
