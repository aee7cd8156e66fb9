package envconfig

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The list of clusters as Restate reads it from RESTATE_INGRESS__KAFKA_CLUSTERS is the value grammar of the Rust library figment:
//
//	value  = "[" [ value { "," value } [ "," ] ] "]"
//	       | "{" [ key "=" value { "," key "=" value } [ "," ] ] "}"
//	       | quoted | bare
//	key    = quoted | one or more of A-Z a-z 0-9 _ -
//	bare   = what stands before the next of , [ ] { }, without spaces around it
//
// JSON differs only by ":" for "=" and by its escapes, so the one parser below reads both.

// node is a value: a text, a list or a table.
type node struct {
	kind    byte // 't' text, 'l' list, 'd' dict
	text    string
	items   []node
	names   []string // of a dict, beside items
	unknown bool     // bare null of JSON
}

// maxDepth is two more than a list of clusters needs; deeper nesting could exhaust the stack.
const maxDepth = 5

type listParser struct {
	text  string
	at    int
	depth int
}

// parseList reads a whole value. Errors tell the place in bytes and quote nothing.
func parseList(text string) (node, error) {
	p := &listParser{text: text}
	n, err := p.value()
	if p.space(); err == nil && p.at < len(text) {
		err = p.wrong("has something after the end of the list")
	}
	return n, err
}

func (p *listParser) wrong(what string) error {
	return fmt.Errorf("%s (near byte %d)", what, p.at)
}

func (p *listParser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// eat takes one of the characters, after spaces.
func (p *listParser) eat(chars string) bool {
	p.space()
	if p.at < len(p.text) && strings.IndexByte(chars, p.text[p.at]) >= 0 {
		p.at++
		return true
	}
	return false
}

func (p *listParser) value() (node, error) {
	if p.depth++; p.depth > maxDepth {
		return node{}, p.wrong("is nested too deeply")
	}
	defer func() { p.depth-- }()
	switch {
	case p.eat("["):
		return p.collect('l', "]")
	case p.eat("{"):
		return p.collect('d', "}")
	case p.eat(`"`):
		text, err := p.quoted()
		return node{kind: 't', text: text}, err
	}
	rest := p.text[p.at:]
	if end := strings.IndexAny(rest, ",[]{}"); end >= 0 {
		rest = rest[:end]
	}
	text := strings.TrimSpace(rest)
	if text == "" {
		return node{}, p.wrong("lacks a value")
	}
	if strings.ContainsAny(text, "\"\n") {
		return node{}, p.wrong("has a quotation mark or a line break inside a bare value")
	}
	p.at += len(rest)
	return node{kind: 't', text: text, unknown: text == "null"}, nil
}

func (p *listParser) collect(kind byte, end string) (node, error) {
	n := node{kind: kind}
	for {
		if p.eat(end) {
			return n, nil
		}
		if kind == 'd' {
			name, err := p.key()
			if err != nil {
				return n, err
			}
			for _, other := range n.names {
				if other == name {
					return n, p.wrong("has the same name twice in one table")
				}
			}
			n.names = append(n.names, name)
		}
		item, err := p.value()
		if err != nil {
			return n, err
		}
		n.items = append(n.items, item)
		if !p.eat(",") {
			if p.eat(end) {
				return n, nil
			}
			return n, p.wrong("lacks a comma or " + end)
		}
	}
}

func (p *listParser) key() (string, error) {
	var name string
	if p.eat(`"`) {
		text, err := p.quoted()
		if err != nil {
			return "", err
		}
		name = text
	} else {
		rest := p.text[p.at:]
		name = rest[:len(rest)-len(strings.TrimLeftFunc(rest, bareKey))]
		p.at += len(name)
		if p.at < len(p.text) && p.text[p.at] == '.' {
			return "", p.wrong(`has a dot in a bare name: names with dots need quotation marks, like "sasl.username"`)
		}
	}
	if name == "" {
		return "", p.wrong("lacks a name")
	}
	if !p.eat("=:") {
		return "", p.wrong("lacks = after a name")
	}
	return name, nil
}

func bareKey(r rune) bool {
	return r < utf8.RuneSelf && (r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
}

const badEscape = "has an escape that is not known"

// quoted reads the rest of a quoted text, with the escapes of TOML and JSON.
func (p *listParser) quoted() (string, error) {
	var b strings.Builder
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		switch c {
		case '"':
			return b.String(), nil
		case '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
		default:
			b.WriteByte(c)
		}
	}
	return "", p.wrong("has a quotation mark that is not closed")
}

func (p *listParser) escape() (rune, error) {
	if p.at == len(p.text) {
		return 0, p.wrong(badEscape)
	}
	c := p.text[p.at]
	p.at++
	switch c {
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case '"', '\\', '/':
		return rune(c), nil
	case 'u':
		r, err := p.hex(4)
		if err == nil && utf16.IsSurrogate(r) {
			if !strings.HasPrefix(p.text[p.at:], `\u`) {
				return utf8.RuneError, nil
			}
			p.at += 2
			var low rune
			low, err = p.hex(4)
			r = utf16.DecodeRune(r, low)
		}
		return r, err
	case 'U':
		return p.hex(8)
	}
	return 0, p.wrong(badEscape)
}

func (p *listParser) hex(digits int) (rune, error) {
	if len(p.text)-p.at < digits {
		return 0, p.wrong(badEscape)
	}
	n, err := strconv.ParseUint(p.text[p.at:p.at+digits], 16, 31)
	if err != nil {
		return 0, p.wrong(badEscape)
	}
	p.at += digits
	return rune(n), nil
}
