package envconfig

import (
	"cmp"
	"log/slog"
	"mime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// handler takes over how attempts are made. The sink has set type and base URL already.
func (p *parser) handler() {
	v, h := &p.vars, &p.cfg.Handler
	h.Timeout = time.Duration(v.HandlerTimeout)
	h.ContentType = v.HandlerContentType
	h.Format = Format(cmp.Or(v.HandlerFormat, p.standardFormat()))
	h.HeaderStyle = v.HandlerHeaderStyle
	h.NullKey, h.InvalidKey, h.Tombstones = v.NullKey, v.InvalidKey, v.Tombstones
	h.ForwardHeaders = p.forwardHeaders(v.HandlerForward)
	if _, _, err := mime.ParseMediaType(h.ContentType); err != nil || !strings.Contains(h.ContentType, "/") || strings.ContainsFunc(h.ContentType, unicode.IsControl) {
		p.fail("HANDLER_CONTENT_TYPE", "%s is not valid; want a media type, like application/json", quote(h.ContentType))
	}
	if p.set("HANDLER_HEADERS") {
		headers, err := parseHeaders(v.HandlerHeaders, h.Format, v.HandlerAuth)
		if err != nil {
			p.fail(p.name("HANDLER_HEADERS"), "%v", err)
		}
		h.Headers, h.HeadersFile = headers, p.fromFile["HANDLER_HEADERS"]
		if i := slices.IndexFunc(headers, beyondASCII); i >= 0 && h.Protocol == "restate" {
			p.fail(p.name("HANDLER_HEADERS"), "entry %d has a value beyond ASCII, which Restate's ingress refuses; want visible ASCII", i+1)
		}
	}
	h.DoneStatuses = p.statuses("HANDLER_DONE_STATUSES", v.DoneStatuses)
	h.RetryStatuses = p.statuses("HANDLER_RETRY_STATUSES", v.RetryStatuses)
	h.FailStatuses = p.statuses("HANDLER_FAIL_STATUSES", v.FailStatuses)
	p.disjoint("HANDLER_RETRY_STATUSES", h.RetryStatuses, "HANDLER_DONE_STATUSES", h.DoneStatuses)
	p.disjoint("HANDLER_FAIL_STATUSES", h.FailStatuses, "HANDLER_DONE_STATUSES", h.DoneStatuses)
	p.disjoint("HANDLER_FAIL_STATUSES", h.FailStatuses, "HANDLER_RETRY_STATUSES", h.RetryStatuses)
	p.handlerTLS()
	target := cmp.Or(h.BaseURL, p.cfg.Subscription.Sink.URL.Reveal())
	h.Auth = p.auth("HANDLER_", target)
	p.forLambda()

	sink := p.cfg.Subscription.Sink
	known := sink.Display != "" && h.Type != TypeAuto
	if p.set("NULL_KEY") && known && !sink.Keyed {
		p.note(slog.LevelInfo, "NULL_KEY", "has no effect: the sink is not keyed, and a null key is a key like others")
	}
	if p.set("INVALID_KEY") && known && (sink.Kind != SinkService || !sink.Keyed) {
		p.note(slog.LevelInfo, "INVALID_KEY", "has no effect: the sink is not a keyed service://")
	}
}

func beyondASCII(h HeaderValue) bool {
	return strings.ContainsFunc(h.Value.Reveal(), func(r rune) bool { return r >= 0x7f })
}

// material of HANDLER_TLS_*: where a file holds it, only the way to it is kept.
func (p *parser) pem(variable, text string) PEM {
	if file, ok := p.fromFile[variable]; ok {
		return PEM{File: file}
	}
	return PEM{Value: Secret(text)}
}

func (p *parser) handlerTLS() {
	v, h := &p.vars, &p.cfg.Handler
	h.TLSCA, h.TLSCert, h.TLSKey = p.pem("HANDLER_TLS_CA", v.HandlerTLSCA), p.pem("HANDLER_TLS_CERT", v.HandlerTLSCert), p.pem("HANDLER_TLS_KEY", v.HandlerTLSKey)
	h.TLSServerName = v.HandlerTLSName
	about := func(variable string) complain {
		return func(format string, args ...any) { p.fail(p.name(variable), format, args...) }
	}
	checkAuthorities(h.TLSCA, about("HANDLER_TLS_CA"))
	switch certificate, key := about("HANDLER_TLS_CERT"), about("HANDLER_TLS_KEY"); {
	case h.TLSCert.IsZero() && h.TLSKey.IsZero():
	case h.TLSKey.IsZero():
		certificate("is set without HANDLER_TLS_KEY; want both or none")
	case h.TLSCert.IsZero():
		key("is set without HANDLER_TLS_CERT; want both or none")
	default:
		checkKeyPair(h.TLSCert, h.TLSKey, SecretRef{}, certificate, key)
	}
	if h.TLSServerName != "" && !plainHost.MatchString(h.TLSServerName) {
		p.fail("HANDLER_TLS_SERVER_NAME", "%s is not valid; want a host name", quote(h.TLSServerName))
	}
	target := cmp.Or(h.BaseURL, p.cfg.Subscription.Sink.URL.Reveal())
	asks := h.Protocol == "restate" && strings.HasPrefix(strings.ToLower(h.AdminURL), "https://") // the Admin API, over the same TLS
	if !strings.HasPrefix(strings.ToLower(target), "http://") || asks {
		return
	}
	for _, name := range []string{"HANDLER_TLS_CA", "HANDLER_TLS_CERT", "HANDLER_TLS_KEY", "HANDLER_TLS_SERVER_NAME"} {
		if p.set(name) {
			p.note(slog.LevelInfo, p.name(name), "has no effect: the handler's URL is http://")
		}
	}
}

// statuses reads a comma list of statuses and classes like 5xx.
func (p *parser) statuses(variable, text string) []StatusRange {
	var ranges []StatusRange
	for _, entry := range split(text) {
		digits, class := strings.CutSuffix(strings.ToLower(entry), "xx")
		n, err := strconv.ParseUint(digits, 10, 16)
		r := StatusRange{int(n), int(n)}
		if class {
			r = StatusRange{int(n) * 100, int(n)*100 + 99}
		}
		if err != nil || r.Low < 200 || r.High > 599 || class && len(digits) != 1 {
			p.fail(variable, "%s is not valid; want statuses from 200 to 599, or classes like 5xx, comma separated", quote(entry))
			return nil
		}
		ranges = append(ranges, r)
	}
	return ranges
}

// disjoint wants two lists that share no status.
func (p *parser) disjoint(variable string, list []StatusRange, otherVariable string, other []StatusRange) {
	for _, a := range list {
		if i := slices.IndexFunc(other, func(b StatusRange) bool { return a.Low <= b.High && b.Low <= a.High }); i >= 0 {
			p.fail(variable, "status %d is in %s too; want each status in one list", max(a.Low, other[i].Low), otherVariable)
			return
		}
	}
}

// deadLetter takes over where failed records go.
func (p *parser) deadLetter() {
	v, d := &p.vars, &p.cfg.DeadLetter
	if p.set("DEAD_LETTER_TOPIC") {
		switch {
		case !validTopic(v.DeadLetterTopic):
			p.fail("DEAD_LETTER_TOPIC", "%s is not valid; want a topic's name of letters, digits, '.', '_' and '-', at most 249", quote(v.DeadLetterTopic))
		case v.DeadLetterTopic == p.cfg.Subscription.Topic:
			p.fail("DEAD_LETTER_TOPIC", "is the topic of the source, which would be a loop; want another topic")
		}
		d.Topic = v.DeadLetterTopic
	}
	if p.set("DEAD_LETTER_URL") {
		if _, err := parseHTTPURL(v.DeadLetterURL); err != nil {
			p.fail(p.name("DEAD_LETTER_URL"), "%v", err)
		}
		d.URL = Secret(v.DeadLetterURL)
		d.from = p.urlFrom("DEAD_LETTER_URL", wholeFile, func(text string) error {
			_, err := parseHTTPURL(text)
			return err
		})
	} else if v.DeadLetterAuth != "none" && !p.broken["DEAD_LETTER_AUTH"] {
		p.fail("DEAD_LETTER_AUTH", "is set, but DEAD_LETTER_URL is not; leave it out")
	}
	d.Auth = p.auth("DEAD_LETTER_", v.DeadLetterURL)
	target := d.Topic != "" || d.URL != ""
	if d.Topic != "" && d.URL != "" {
		p.fail(p.name("DEAD_LETTER_URL"), "is set beside DEAD_LETTER_TOPIC; want one of the two")
	}
	switch onFailure := &p.cfg.Delivery.OnFailure; {
	case *onFailure == "" && target:
		*onFailure = "dead-letter"
	case *onFailure == "":
		*onFailure = "park"
	case *onFailure == "dead-letter" && !target:
		p.fail("ON_FAILURE", "is dead-letter, but there is no target; want DEAD_LETTER_TOPIC or DEAD_LETTER_URL too")
	case *onFailure != "dead-letter" && target && !p.broken["ON_FAILURE"]:
		p.note(slog.LevelWarn, "ON_FAILURE", "is %s, so that the dead letter target is not used", *onFailure)
	}
}
