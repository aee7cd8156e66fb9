package envconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ownHeaders are set by us on every request: neither extra headers nor record headers go over them. The names of this list in the style
// of dashes are ours too.
var ownHeaders = []string{
	"kafka.topic", "kafka.partition", "kafka.offset", "kafka.timestamp", "kafka.key", "kafka.tombstone", "restate.subscription.id",
	"idempotency-key", "traceparent", "tracestate",
}

// hopHeaders belong to the connection or to the body, not to the caller.
var hopHeaders = []string{
	"host", "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect", "content-length",
	"http2-settings",
}

// ownHeader gives the name of ours that a request header has, "" for none.
func ownHeader(name string) string {
	name = strings.ToLower(name)
	if strings.HasPrefix(name, "kafka-sidecar-") {
		return "kafka-sidecar-*"
	}
	for _, own := range ownHeaders {
		if name == own || name == strings.ReplaceAll(own, ".", "-") {
			return name
		}
	}
	// The families of names that are ours, or Restate's, or may become so.
	for _, family := range []string{"kafka.", "kafka-", "restate."} {
		if strings.HasPrefix(name, family) {
			return family + "*"
		}
	}
	return ""
}

// LoadHeaders gives the extra headers as they are now: where HANDLER_HEADERS_FILE holds them, the file is read again. Errors quote nothing.
func (h Handler) LoadHeaders() ([]HeaderValue, error) {
	if h.HeadersFile == "" {
		return h.Headers, nil
	}
	text, err := readFile(h.HeadersFile)
	if err != nil {
		return nil, fmt.Errorf("load headers: %w", err)
	}
	headers, err := parseHeaders(text, h.Format, h.Auth.Kind)
	if err != nil {
		return nil, fmt.Errorf("load headers: %w", err)
	}
	return headers, nil
}

// parseHeaders reads "Name: value" lines, or a JSON object. Errors tell the entry by its number only.
func parseHeaders(text string, format Format, auth string) ([]HeaderValue, error) {
	const want = `want "Name: value" per line, or a JSON object`
	var pairs []pair
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		members, err := jsonObject(text)
		if err != nil {
			// Not the name: a header's name may be a secret that slipped.
			return nil, errors.New("is not a JSON object with each name once; " + want)
		}
		for i, m := range members {
			one := pair{name: m.name}
			if m.raw[0] != '"' || json.Unmarshal(m.raw, &one.value) != nil {
				return nil, fmt.Errorf("entry %d has a value that is not a string; %s", i+1, want)
			}
			pairs = append(pairs, one)
		}
	} else {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				return nil, fmt.Errorf("entry %d has no colon; %s", len(pairs)+1, want)
			}
			pairs = append(pairs, pair{name, value})
		}
	}
	var headers []HeaderValue
	for i, one := range pairs {
		name, value := one.name, strings.Trim(one.value, " \t")
		switch {
		case !token(name):
			return nil, fmt.Errorf("entry %d has a name that is no HTTP token; %s", i+1, want)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return nil, fmt.Errorf("entry %d has a value with control characters; want visible text in one line", i+1)
		case strings.EqualFold(name, "content-type"):
			return nil, fmt.Errorf("entry %d sets content-type; want it in HANDLER_CONTENT_TYPE", i+1)
		case ownHeader(name) != "":
			return nil, fmt.Errorf("entry %d sets %s, which we set ourselves; leave it out", i+1, ownHeader(name))
		case slices.Contains(hopHeaders, strings.ToLower(name)):
			return nil, fmt.Errorf("entry %d sets %s, which belongs to the connection; leave it out", i+1, strings.ToLower(name))
		case format == FormatCloudEvents && strings.HasPrefix(strings.ToLower(name), "ce-"):
			return nil, fmt.Errorf("entry %d sets a ce- header, which HANDLER_FORMAT=cloudevents sets itself; leave it out", i+1)
		case authOwns(auth, strings.ToLower(name)):
			return nil, fmt.Errorf("entry %d sets %s, which HANDLER_AUTH=%s sets itself; leave it out", i+1, strings.ToLower(name), auth)
		case slices.ContainsFunc(headers, func(h HeaderValue) bool { return strings.EqualFold(h.Name, name) }):
			return nil, fmt.Errorf("entry %d repeats a name; want each name once", i+1)
		}
		headers = append(headers, HeaderValue{Name: name, Value: Secret(value)})
	}
	return headers, nil
}

// token says whether the text may be a header's name (RFC 9110, section 5.6.2).
func token(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !bareKey(r) && !strings.ContainsRune("!#$%&'*+.^`|~", r)
	})
}

// neverForwarded says whether a record header of this exact name is never passed on.
func neverForwarded(name string) bool {
	name = strings.ToLower(name)
	return name == "authorization" || strings.HasPrefix(name, "content-") || strings.HasPrefix(name, "proxy-") || ownHeader(name) != "" ||
		slices.Contains(hopHeaders, name)
}

// forwardHeaders reads the patterns of HANDLER_FORWARD_HEADERS.
func (p *parser) forwardHeaders(text string) []string {
	if text == "none" {
		return nil
	}
	const name = "HANDLER_FORWARD_HEADERS"
	var patterns []string
	for _, pattern := range split(text) {
		switch {
		case !token(pattern):
			p.fail(name, "%s is not valid; want header names, comma separated, * for any part", quote(pattern))
		case !strings.Contains(pattern, "*") && neverForwarded(pattern):
			p.fail(name, "%s is never passed on: it is ours, or concerns the request itself; leave it out", pattern)
		case p.cfg.Handler.Protocol == "restate" && strings.HasPrefix(strings.ToLower(pattern), "x-restate-"):
			p.fail(name, "%s is never passed on to Restate, whose ingress it steers; leave it out", pattern)
		default:
			patterns = append(patterns, pattern)
		}
	}
	return patterns
}
