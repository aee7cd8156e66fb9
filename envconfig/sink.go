package envconfig

import (
	"cmp"
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// placeholders are what an http(s) sink may hold.
var placeholders = []string{"{key}", "{topic}", "{partition}", "{offset}"}

var plainSegment = regexp.MustCompile(`^[a-zA-Z0-9._~-]+$`)

// sink reads SUBSCRIPTION_SINK and, for service:// sinks, HANDLER_URL, HANDLER_TYPE and HANDLER_PROTOCOL.
func (p *parser) sink(variable, text string) {
	const want = "want service://<Service>/<handler>, http(s)://host/path, or lambda:// and a function"
	scheme, rest, ok := strings.Cut(text, "://")
	service := false
	switch {
	case text == "" && p.broken[variable+"_FILE"]:
		return
	case text == "":
		p.fail(variable, "%s; %s", missing(variable, "sink"), want)
		return
	case ok && strings.EqualFold(scheme, "service"):
		service = true
		p.serviceSink(variable, rest)
	case ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")):
		p.urlSink(variable, text)
	case ok && strings.EqualFold(scheme, "lambda"):
		p.lambdaSink(variable, rest)
	default:
		p.fail(variable, "has no scheme that is known; %s", want)
	}
	if service {
		p.handlerBase()
		return
	}
	if p.set("RESTATE_ADMIN_URL") && ok {
		p.note(slog.LevelInfo, "RESTATE_ADMIN_URL", "has no effect: the sink is not service://")
	}
	for _, name := range []string{"HANDLER_URL", "HANDLER_TYPE", "HANDLER_PROTOCOL"} {
		if p.set(name) && ok && !p.broken[name] {
			p.fail(name, "is set, but the sink is not service://; leave it out")
		}
	}
}

func (p *parser) serviceSink(variable, rest string) {
	name, handler, _ := strings.Cut(rest, "/")
	if !plainSegment.MatchString(name) || !plainSegment.MatchString(handler) {
		p.fail(variable, "is not a service and a handler; want service://<Service>/<handler>, each of letters, digits, '.', '_', '~' and '-'")
		return
	}
	p.cfg.Handler.Protocol = cmp.Or(p.vars.HandlerProtocol, "http")
	p.cfg.Subscription.Sink = Sink{Kind: SinkService, Service: name, Handler: handler, Display: "service://" + name + "/" + handler}
	p.cfg.setType(p.handlerType())
}

// handlerBase reads the URL under which services are found.
func (p *parser) handlerBase() {
	text := p.vars.HandlerURL
	if text == "" {
		p.fail("HANDLER_URL", "is not set, but the sink is service://; want the base URL, like http://localhost:9080")
		return
	}
	if _, err := parseHTTPURL(text); err != nil {
		p.fail("HANDLER_URL", "%v", err)
		return
	}
	if strings.Contains(text, "?") {
		p.fail("HANDLER_URL", "has a query string; want a base URL without one")
		return
	}
	p.cfg.Handler.BaseURL = strings.TrimRight(text, "/")
}

// urlSink reads a URL template.
func (p *parser) urlSink(variable, text string) {
	if err := checkTemplate(text); err != nil {
		p.fail(variable, "%v", err)
		return
	}
	s := Sink{Kind: SinkHTTP, URL: Secret(text), Keyed: keyedURL(text), Display: withoutQuery(text)}
	if p.set("SUBSCRIPTION") {
		s.from = p.urlFrom("SUBSCRIPTION", sinkOfSubscription, checkTemplate)
	} else {
		s.from = p.urlFrom("SUBSCRIPTION_SINK", wholeFile, checkTemplate)
	}
	p.cfg.Subscription.Sink = s
}

// checkTemplate says what is wrong with a URL template. Errors never repeat it.
func checkTemplate(text string) error {
	// A stand-in of letters keeps the template a valid URL, so that one parser checks everything else about it.
	filled := text
	for _, name := range placeholders {
		filled = strings.ReplaceAll(filled, name, "x")
	}
	if strings.ContainsAny(filled, "{}") {
		return errors.New("holds braces that are no placeholder; want only {key}, {topic}, {partition} and {offset}, and a brace itself as %7B or %7D")
	}
	if _, err := parseHTTPURL(filled); err != nil {
		return err
	}
	_, rest, _ := strings.Cut(text, "://")
	if end := strings.IndexAny(rest, "/?"); strings.Contains(rest[:max(end, 0)], "{") || end < 0 && strings.Contains(rest, "{") {
		return errors.New("has a placeholder in its host; want placeholders in the path or the query only")
	}
	return nil
}

// userElsewhere is where the user and password of a URL belong.
const userElsewhere = "in HANDLER_AUTH or DEAD_LETTER_AUTH and its variables"

// parseHTTPURL checks a URL that requests go to, and into which nothing is filled. Errors never repeat it: it may hold a secret.
func parseHTTPURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("is not a valid URL; want http(s)://host/path, other characters percent-encoded")
	case u.Scheme != "http" && u.Scheme != "https", u.Opaque != "":
		return nil, errors.New("is not an http URL; want http:// or https://")
	case u.User != nil:
		return nil, errors.New("holds a user or password; want them out of the URL, " + userElsewhere)
	case u.Hostname() == "":
		return nil, errors.New("has no host; want http(s)://host/path")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return nil, errors.New("has a fragment; want a URL without #")
	case strings.ContainsAny(text, "{}"):
		return nil, errors.New("holds braces, and nothing is filled into it; want a brace itself as %7B or %7D")
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return nil, errors.New("holds spaces or characters beyond ASCII; want them percent-encoded")
	}
	if port := u.Port(); port != "" && !validPort(port) {
		return nil, errors.New("has an invalid port; want 1 to 65535")
	}
	return u, nil
}

func withoutQuery(text string) string {
	before, _, _ := strings.Cut(text, "?")
	return before
}

// loopback says whether the URL's host is this machine.
func loopback(text string) bool {
	for _, name := range placeholders {
		text = strings.ReplaceAll(text, name, "x")
	}
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback() || addr.IsUnspecified()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// validPort says whether text is a port number that can be connected to.
func validPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}
