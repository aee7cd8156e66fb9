package envconfig

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// OpenTelemetry's variables, as its specification has them. They are often set for every container of a platform, so what is not about
// spans is left alone, and while there are no spans nothing here is a mistake.

const (
	otlpPrefix       = "OTEL_EXPORTER_OTLP_"
	otlpTracesPrefix = "OTEL_EXPORTER_OTLP_TRACES_"
	maxSpanQueue     = 100000 // spans; the specification has no bound, the memory has
)

// samplers are the values of OTEL_TRACES_SAMPLER that the Go SDK has.
var samplers = []string{"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"}

// otlp is a variable of the exporter: the one for traces where it is set, else the one for everything.
func (p *parser) otlp(suffix string) (name, value string) {
	if name = otlpTracesPrefix + suffix; p.set(name) {
		return name, p.env[name]
	}
	name = otlpPrefix + suffix
	return name, p.env[name]
}

// tracing settles whether there are spans, and where they go.
func (p *parser) tracing() {
	_, endpoint := p.otlp("ENDPOINT")
	switch exporter := p.env["OTEL_TRACES_EXPORTER"]; {
	case exporter == "none", strings.EqualFold(p.env["OTEL_SDK_DISABLED"], "true"):
		return
	case endpoint == "" && exporter == "otlp":
		p.note(slog.LevelInfo, "OTEL_TRACES_EXPORTER", "has no effect: there are no spans without OTEL_EXPORTER_OTLP_ENDPOINT")
		return
	case endpoint == "":
		return
	case exporter != "" && exporter != "otlp":
		p.fail("OTEL_TRACES_EXPORTER", "%s is not supported; want otlp or none", quote(exporter))
	}
	if disabled := p.env["OTEL_SDK_DISABLED"]; disabled != "" && !strings.EqualFold(disabled, "false") {
		p.fail("OTEL_SDK_DISABLED", "%s is not valid; want true or false", quote(disabled))
	}
	p.exporter()
	p.batches()
	p.sampler()
	p.origin()
}

// exporter reads where spans go, and how.
func (p *parser) exporter() {
	t := &p.cfg.Tracing
	name, text := p.otlp("ENDPOINT")
	if _, err := parseHTTPURL(text); err != nil {
		p.fail(name, "%s", strings.ReplaceAll(err.Error(), userElsewhere, "as a header of OTEL_EXPORTER_OTLP_HEADERS"))
	} else if strings.Contains(text, "?") {
		p.fail(name, "has a query string; want a URL without one")
	}
	t.Endpoint = text
	if !strings.HasPrefix(name, otlpTracesPrefix) {
		t.Endpoint = strings.TrimRight(text, "/") + "/v1/traces"
	}
	if name, protocol := p.otlp("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		p.fail(name, "%s is not supported; want http/protobuf, for which collectors listen on port 4318", quote(protocol))
	}
	if name, compression := p.otlp("COMPRESSION"); compression == "gzip" {
		t.Gzip = true
	} else if compression != "" && compression != "none" {
		p.fail(name, "%s is not valid; want gzip or none", quote(compression))
	}
	name, _ = p.otlp("TIMEOUT")
	t.Timeout = p.milliseconds(name, 10*time.Second)
	name, text = p.otlp("HEADERS")
	t.Headers = SecretRef{Value: Secret(text), File: p.fromFile[name]}
	if _, err := otlpHeaders(text); err != nil {
		p.fail(p.name(name), "%v", err)
	}
	p.collectorTLS()
}

// collectorTLS reads the certificates, all of which are paths of files.
func (p *parser) collectorTLS() {
	t := &p.cfg.Tracing
	caName, ca := p.otlp("CERTIFICATE")
	certName, certificate := p.otlp("CLIENT_CERTIFICATE")
	keyName, key := p.otlp("CLIENT_KEY")
	t.CA, t.Certificate, t.Key = PEM{File: ca}, PEM{File: certificate}, PEM{File: key}
	on := func(name string) complain {
		return func(format string, args ...any) { p.fail(name, "the file "+format, args...) }
	}
	checkAuthorities(t.CA, on(caName))
	switch {
	case (certificate == "") != (key == ""):
		missing, set := keyName, certName
		if certificate == "" {
			missing, set = certName, keyName
		}
		p.fail(missing, "is not set, but %s is; want both or neither", set)
	case certificate != "":
		checkKeyPair(t.Certificate, t.Key, SecretRef{}, on(certName), on(keyName))
	}
}

// milliseconds reads a time, which OpenTelemetry writes as a number.
func (p *parser) milliseconds(name string, standard time.Duration) time.Duration {
	return time.Duration(p.whole(name, int(standard.Milliseconds()), 1<<31-1)) * time.Millisecond
}

// whole reads a number from 1 to most.
func (p *parser) whole(name string, standard, most int) int {
	text := p.env[name]
	if text == "" {
		return standard
	}
	n, err := wholeNumber([]byte(text))
	if err != nil || n > most {
		p.fail(name, "%s is not valid; want a whole number from 1 to %d", quote(text), most)
		return standard
	}
	return n
}

// batches reads how spans wait.
func (p *parser) batches() {
	t := &p.cfg.Tracing
	t.BatchDelay = p.milliseconds("OTEL_BSP_SCHEDULE_DELAY", 5*time.Second)
	t.ExportTimeout = p.milliseconds("OTEL_BSP_EXPORT_TIMEOUT", 30*time.Second)
	t.QueueSize = p.whole("OTEL_BSP_MAX_QUEUE_SIZE", 2048, maxSpanQueue)
	t.BatchSize = p.whole("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", min(512, t.QueueSize), maxSpanQueue)
	if t.BatchSize > t.QueueSize {
		p.fail("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "%d is above OTEL_BSP_MAX_QUEUE_SIZE, which is %d; want at most that", t.BatchSize, t.QueueSize)
	}
}

// sampler reads which traces are exported.
func (p *parser) sampler() {
	t := &p.cfg.Tracing
	t.Sampler, t.Ratio = cmp.Or(p.env["OTEL_TRACES_SAMPLER"], "parentbased_always_on"), 1
	if !slices.Contains(samplers, t.Sampler) {
		p.fail("OTEL_TRACES_SAMPLER", "%s is not supported; want %s", quote(t.Sampler), oneOf(samplers))
		return
	}
	text := p.env["OTEL_TRACES_SAMPLER_ARG"]
	if text == "" || !strings.HasSuffix(t.Sampler, "traceidratio") {
		return
	}
	ratio, err := strconv.ParseFloat(text, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) {
		p.fail("OTEL_TRACES_SAMPLER_ARG", "%s is not valid; want a number from 0 to 1", quote(text))
	}
	t.Ratio = ratio
}

// origin reads what spans say they come from. identity has been settled.
func (p *parser) origin() {
	t := &p.cfg.Tracing
	t.Resource = map[string]string{"service.name": p.cfg.Subscription.ID}
	pairs, err := encodedPairs(p.env["OTEL_RESOURCE_ATTRIBUTES"])
	if err != nil {
		p.fail("OTEL_RESOURCE_ATTRIBUTES", "%v", err)
	}
	for _, one := range pairs {
		t.Resource[one.name] = one.value
	}
	if name := p.env["OTEL_SERVICE_NAME"]; name != "" {
		t.Resource["service.name"] = name
	}
}

// encodedPairs reads name=value pairs, comma separated, values percent-encoded, in which OpenTelemetry writes headers and attributes. Errors tell the
// entry by its number only.
func encodedPairs(text string) ([]pair, error) {
	const want = "want name=value, comma separated, other characters percent-encoded"
	var pairs []pair
	for i, entry := range split(text) {
		name, value, ok := strings.Cut(entry, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("entry %d is no name and value; %s", i+1, want)
		}
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if err != nil {
			return nil, fmt.Errorf("entry %d has a percent sign without two hexadecimal digits; %s", i+1, want)
		}
		pairs = append(pairs, pair{name, value})
	}
	return pairs, nil
}

// otlpHeaders reads headers of exports.
func otlpHeaders(text string) ([]HeaderValue, error) {
	pairs, err := encodedPairs(text)
	if err != nil {
		return nil, err
	}
	headers := make([]HeaderValue, len(pairs))
	for i, one := range pairs {
		switch lower := strings.ToLower(one.name); {
		case !token(one.name):
			return nil, fmt.Errorf("entry %d has a name that is no HTTP token; want name=value, comma separated", i+1)
		case strings.ContainsFunc(one.value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return nil, fmt.Errorf("entry %d has a value with control characters; want visible text", i+1)
		case slices.Contains(hopHeaders, lower), strings.HasPrefix(lower, "content-"):
			return nil, fmt.Errorf("entry %d sets %s, which belongs to the request itself; leave it out", i+1, lower)
		}
		headers[i] = HeaderValue{Name: one.name, Value: Secret(one.value)}
	}
	return headers, nil
}

// LoadHeaders gives the headers of an export as they are now: where they come from a file, it is read again. Errors quote nothing.
func (t Tracing) LoadHeaders() ([]HeaderValue, error) {
	text, err := t.Headers.Load()
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	return otlpHeaders(text.Reveal())
}
