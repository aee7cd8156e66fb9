package invoke

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/reload"
)

// target is the sink's URL, taken apart once and put together for every record.
type target struct {
	scheme, host string
	path, query  []part
	fixed        *url.URL // set when nothing is filled in: shared by all requests, which only read it
}

// part is text that is sent as it stands, or what is filled in.
type part struct {
	text string
	fill fill
}

type fill int

const (
	fillText fill = iota
	fillKey
	fillTopic
	fillPartition
	fillOffset
)

var (
	errNotURL   = errors.New("parse sink: not an http or https URL with a host")
	errUserInfo = errors.New("parse sink: the URL holds a user")
	errFragment = errors.New("parse sink: the URL has a fragment, which is never sent")
)

// target takes the URL of the configuration apart.
func (c *Config) target() (*target, error) {
	switch c.Kind {
	case HTTP:
		return parseTarget(c.URLTemplate)
	case Lambda:
		return c.lambdaTarget()
	}
	if c.Service == "" || c.Handler == "" {
		return nil, errors.New("parse sink: service and handler are both needed")
	}
	base, query, _ := strings.Cut(c.BaseURL, "?")
	if strings.ContainsAny(base, "{}") {
		return nil, errors.New("parse sink: nothing is filled into a base URL")
	}
	t, err := parseTarget(base)
	if err != nil {
		return nil, err
	}
	prefix := strings.TrimSuffix(t.fixed.EscapedPath(), "/")
	if c.ingress() {
		prefix += sendPath
	}
	prefix += "/" + string(appendSegment(nil, c.Service)) + "/"
	handler := string(appendSegment(nil, c.Handler))
	t.path = []part{{text: prefix + handler}}
	if c.Type != "service" {
		t.path = []part{{text: prefix}, {fill: fillKey}, {text: "/" + handler}}
	}
	t.query = nil
	if query != "" {
		t.query = []part{{text: cleanQuery(query)}}
	}
	t.fixed = nil
	t.fix()
	return t, nil
}

// targets follows the URL of the configuration where that can change.
func (c *Config) targets() (*reload.Value[*target], error) {
	first, err := c.target()
	if err != nil || c.Kind != HTTP || c.LoadURL == nil {
		return reload.Fixed(first), err
	}
	return reload.New(func() (*target, error) {
		template, err := c.LoadURL()
		if err != nil {
			return nil, err
		}
		return parseTarget(template)
	})
}

// parseTarget reads a template. What goes over the wire is exactly its text, but for bytes that a request line cannot hold, which are percent-encoded.
// Errors hold no part of the URL.
func parseTarget(template string) (*target, error) {
	scheme, rest, found := strings.Cut(template, "://")
	scheme = strings.ToLower(scheme)
	if !found || scheme != "http" && scheme != "https" {
		return nil, errNotURL
	}
	if strings.Contains(rest, "#") {
		return nil, errFragment
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	host, rest := rest[:end], rest[end:]
	if strings.ContainsAny(host, "{}") {
		return nil, errors.New("parse sink: nothing is filled into the host")
	}
	if strings.Contains(host, "@") {
		return nil, errUserInfo
	}
	if u, err := url.Parse(scheme + "://" + host); err != nil || u.Hostname() == "" {
		return nil, errNotURL
	}
	path, query, _ := strings.Cut(rest, "?")
	if path == "" {
		path = "/"
	}
	t := &target{scheme: scheme, host: host}
	var err error
	if t.path, err = parseParts(path, cleanPath); err != nil {
		return nil, err
	}
	if t.query, err = parseParts(query, func(s string) (string, error) { return cleanQuery(s), nil }); err != nil {
		return nil, err
	}
	t.fix()
	return t, nil
}

// parseParts splits a template at its placeholders.
func parseParts(s string, clean func(string) (string, error)) ([]part, error) {
	var parts []part
	add := func(text string) error {
		if strings.ContainsAny(text, "{}") {
			return errors.New("parse sink: a brace stands alone")
		}
		if text == "" {
			return nil
		}
		text, err := clean(text)
		parts = append(parts, part{text: text})
		return err
	}
	for {
		before, rest, found := strings.Cut(s, "{")
		if err := add(before); err != nil {
			return nil, err
		}
		if !found {
			return parts, nil
		}
		name, after, found := strings.Cut(rest, "}")
		if !found {
			return nil, errors.New("parse sink: a brace stands alone")
		}
		f, known := map[string]fill{"key": fillKey, "topic": fillTopic, "partition": fillPartition, "offset": fillOffset}[name]
		if !known {
			return nil, errors.New("parse sink: a placeholder is none of {key}, {topic}, {partition}, {offset}")
		}
		parts = append(parts, part{fill: f})
		s = after
	}
}

// cleanPath percent-encodes what net/url would not take as an encoded path; it would then send its own reading of the whole path instead.
func cleanPath(s string) (string, error) {
	if _, err := url.PathUnescape(s); err != nil {
		return "", errors.New("parse sink: a percent sign in the path is not followed by two hexadecimal digits")
	}
	return string(appendEscaped(nil, s, func(c byte) bool {
		return unreserved(c) || strings.IndexByte("!$&'()*+,;=:@/%[]", c) >= 0
	})), nil
}

// cleanQuery percent-encodes what a request line cannot hold.
func cleanQuery(s string) string {
	return string(appendEscaped(nil, s, func(c byte) bool { return '!' <= c && c <= '~' }))
}

func (t *target) keyed() bool {
	for _, parts := range [][]part{t.path, t.query} {
		for _, p := range parts {
			if p.fill == fillKey {
				return true
			}
		}
	}
	return false
}

func (t *target) fix() {
	for _, parts := range [][]part{t.path, t.query} {
		for _, p := range parts {
			if p.fill != fillText {
				return
			}
		}
	}
	t.fixed = t.fill(&record.Record{}, "", false)
}

// fill is the URL for one record. With utf8Key a key that is not valid UTF-8 goes into the path as padded base64url, as kafka.key has it.
//
// Path and RawPath are both set: net/http sends RawPath byte for byte while it decodes to Path. Opaque would do that with less work, but
// goes without the host to a proxy.
func (t *target) fill(rec *record.Record, topic string, utf8Key bool) *url.URL {
	if t.fixed != nil {
		return t.fixed
	}
	u := &url.URL{Scheme: t.scheme, Host: t.host}
	u.RawPath = render(t.path, rec, topic, utf8Key)
	u.Path = u.RawPath
	if strings.IndexByte(u.RawPath, '%') >= 0 {
		u.Path, _ = url.PathUnescape(u.RawPath) // cannot fail: the text was checked and the rest is ours
	}
	if t.query != nil {
		u.RawQuery = render(t.query, rec, topic, utf8Key)
	}
	return u
}

func render(parts []part, rec *record.Record, topic string, utf8Key bool) string {
	var scratch [256]byte
	b := scratch[:0]
	for _, p := range parts {
		switch p.fill {
		case fillText:
			b = append(b, p.text...)
		case fillKey:
			if utf8Key && !utf8.Valid(rec.Key) {
				b = appendSegment(b, base64.URLEncoding.AppendEncode(nil, rec.Key))
			} else {
				b = appendSegment(b, rec.Key)
			}
		case fillTopic:
			b = appendSegment(b, topic)
		case fillPartition:
			b = strconv.AppendInt(b, int64(rec.Partition), 10)
		case fillOffset:
			b = strconv.AppendInt(b, rec.Offset, 10)
		}
	}
	return string(b)
}
