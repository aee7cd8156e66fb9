package envconfig

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Setting is one line of the effective configuration.
type Setting struct {
	Name  string // a variable, or a librdkafka option
	Value string // safe to show
}

// Redacted lists what the configuration comes to, in the order of the reference. Secrets show as "***", and nothing shows a query string.
func (c *Config) Redacted() []Setting {
	s, h, d, r := c.Subscription, c.Handler, c.Delivery, c.Run
	list := []Setting{
		{"SUBSCRIPTION_ID", s.ID},
		{"SUBSCRIPTION_SOURCE", s.Source},
		{"SUBSCRIPTION_SINK", s.Sink.shown()},
	}
	list = append(list, c.Kafka.redacted()...)
	shown := c.RedactedOptions()
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		list = append(list, Setting{"option " + name, shown[name]})
	}
	if s.Sink.Kind == SinkService {
		list = append(list, Setting{"HANDLER_URL", h.BaseURL}, Setting{"HANDLER_PROTOCOL", h.Protocol}, Setting{"HANDLER_TYPE", h.Type}, Setting{"RESTATE_ADMIN_URL", orNone(h.AdminURL)})
	}
	list = append(list,
		Setting{"HANDLER_TIMEOUT", h.Timeout.String()},
		Setting{"HANDLER_CONTENT_TYPE", h.ContentType},
		Setting{"HANDLER_FORMAT", string(h.Format)},
		Setting{"HANDLER_HEADERS", shownHeaders(h.Headers)},
		Setting{"HANDLER_FORWARD_HEADERS", orNone(strings.Join(h.ForwardHeaders, ","))},
		Setting{"HANDLER_HEADER_STYLE", h.HeaderStyle},
	)
	list = append(list, h.Auth.redacted("HANDLER_")...)
	list = append(list,
		Setting{"HANDLER_TLS_CA", h.TLSCA.shown("system roots")},
		Setting{"HANDLER_TLS_CERT", h.TLSCert.shown("none")},
		Setting{"HANDLER_TLS_KEY", h.TLSKey.shown("none")},
		Setting{"HANDLER_TLS_SERVER_NAME", orNone(h.TLSServerName)},
		Setting{"NULL_KEY", h.NullKey},
		Setting{"INVALID_KEY", h.InvalidKey},
		Setting{"TOMBSTONES", h.Tombstones},
		Setting{"HANDLER_DONE_STATUSES", shownStatuses(h.DoneStatuses)},
		Setting{"HANDLER_RETRY_STATUSES", shownStatuses(h.RetryStatuses)},
		Setting{"HANDLER_FAIL_STATUSES", shownStatuses(h.FailStatuses)},
		Setting{"LAMBDA_PARTIAL_BATCH", strconv.FormatBool(c.Function.PartialBatch)},
		Setting{"ORDERING", orWord(d.Ordering, "", "by the handler's type")},
		Setting{"CONCURRENCY", strconv.Itoa(d.Concurrency)},
		Setting{"MAX_IN_FLIGHT", strconv.Itoa(d.MaxInFlight)},
		Setting{"MAX_IN_FLIGHT_BYTES", shownSize(d.MaxInFlightBytes)},
		Setting{"RETRY_INITIAL_INTERVAL", d.RetryInitialInterval.String()},
		Setting{"RETRY_MAX_INTERVAL", d.RetryMaxInterval.String()},
		Setting{"RETRY_FACTOR", strconv.FormatFloat(d.RetryFactor, 'g', -1, 64)},
		Setting{"RETRY_MAX_ATTEMPTS", orWord(strconv.Itoa(d.RetryMaxAttempts), "0", "unlimited")},
		Setting{"RETRY_MAX_AGE", orWord(d.RetryMaxAge.String(), "0s", "unlimited")},
		Setting{"ON_FAILURE", d.OnFailure},
		Setting{"DEAD_LETTER_TOPIC", orNone(c.DeadLetter.Topic)},
		Setting{"DEAD_LETTER_URL", orNone(shownURL(c.DeadLetter.URL))},
	)
	list = append(list, c.DeadLetter.Auth.redacted("DEAD_LETTER_")...)
	list = append(list,
		Setting{"FAILURE_LIMIT", orWord(strconv.Itoa(d.FailureLimit), "0", "off")},
		Setting{"PARKED_MAX", strconv.Itoa(d.ParkedMax)},
		Setting{"PARKED_MAX_BYTES", shownSize(d.ParkedMaxBytes)},
		Setting{"SKIP_RECORDS", shownSkips(d.SkipRecords)},
		Setting{"RATE_LIMIT", orWord(strconv.FormatFloat(d.RateLimit, 'g', -1, 64)+"/s", "0/s", "none")},
		Setting{"START_AT", r.StartAt.String()},
		Setting{"END_AT", orWord(StartAt(r.EndAt).String(), "", "never")},
		Setting{"COMMIT_INTERVAL", r.CommitInterval.String()},
		Setting{"STARTUP_TIMEOUT", r.StartupTimeout.String()},
		Setting{"SHUTDOWN_TIMEOUT", r.ShutdownTimeout.String()},
		Setting{"PAUSED", strconv.FormatBool(r.Paused)},
		Setting{"ADMIN_ADDR", orWord(r.AdminAddr, "", "off")},
		Setting{"METRICS_EMF", strconv.FormatBool(r.EMFNamespace != "")},
		Setting{"METRICS_EMF_NAMESPACE", orNone(r.EMFNamespace)},
		Setting{"LOG_LEVEL", r.LogLevel},
		Setting{"LOG_FORMAT", orWord(r.LogFormat, "", "json, text on a terminal")},
	)
	list = append(list, c.Tracing.redacted()...)
	if c.Function.Enabled {
		return slices.DeleteFunc(list, func(s Setting) bool { return meaningless(s.Name) != "" })
	}
	return list
}

func (t *Tracing) redacted() []Setting {
	if t.Endpoint == "" {
		return []Setting{{"OTEL_EXPORTER_OTLP_ENDPOINT", "none: no spans"}}
	}
	headers, _ := otlpHeaders(t.Headers.Value.Reveal()) // they were checked
	var origin []string
	for _, name := range slices.Sorted(maps.Keys(t.Resource)) {
		origin = append(origin, name+"="+t.Resource[name])
	}
	return []Setting{
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", t.Endpoint},
		{"OTEL_EXPORTER_OTLP_HEADERS", shownHeaders(headers)},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", shownMillis(t.Timeout)},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", map[bool]string{true: "gzip", false: "none"}[t.Gzip]},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", t.CA.shown("system roots")},
		{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", t.Certificate.shown("none")},
		{"OTEL_EXPORTER_OTLP_CLIENT_KEY", t.Key.shown("none")},
		{"OTEL_RESOURCE_ATTRIBUTES", strings.Join(origin, ",")},
		{"OTEL_TRACES_SAMPLER", t.Sampler},
		{"OTEL_TRACES_SAMPLER_ARG", strconv.FormatFloat(t.Ratio, 'g', -1, 64)},
		{"OTEL_BSP_SCHEDULE_DELAY", shownMillis(t.BatchDelay)},
		{"OTEL_BSP_EXPORT_TIMEOUT", shownMillis(t.ExportTimeout)},
		{"OTEL_BSP_MAX_QUEUE_SIZE", strconv.Itoa(t.QueueSize)},
		{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", strconv.Itoa(t.BatchSize)},
	}
}

// String gives the position as START_AT takes it; error as auto.offset.reset does.
func (s StartAt) String() string {
	switch s.Kind {
	case "time":
		return s.Time.Format(time.RFC3339)
	case "age":
		return "-" + s.Age.String()
	}
	return s.Kind
}

// redacted lists what is not visible from the options as they were written.
func (k *Kafka) redacted() []Setting {
	protocol := "plaintext"
	if k.Security.TLS {
		protocol = "ssl"
	}
	if k.Security.Mechanism != "" {
		protocol = "sasl_" + protocol
	}
	list := []Setting{
		{"cluster", k.Name},
		{"brokers", strings.Join(k.Brokers, ",")},
		{"security.protocol", protocol},
		{"sasl.mechanisms", orNone(k.Security.Mechanism)},
		{"client.id", k.ClientID},
		{"group.id", k.GroupID},
		{"group.instance.id", orNone(k.GroupInstanceID)},
		{"session.timeout.ms", shownMillis(k.SessionTimeout)},
		{"heartbeat.interval.ms", shownMillis(k.HeartbeatInterval)},
		{"max.poll.interval.ms", shownMillis(k.RebalanceTimeout)},
		{"isolation.level", map[bool]string{true: "read_committed", false: "read_uncommitted"}[k.ReadCommitted]},
		{"fetch.max.bytes", strconv.Itoa(int(k.FetchMaxBytes))},
	}
	switch {
	case k.Security.Mechanism != "OAUTHBEARER":
	case k.Security.OAuth.MSK.Region != "":
		list = append(list, Setting{"sasl.oauthbearer.config", mskProvider + ",region=" + k.Security.OAuth.MSK.Region})
	default:
		list = append(list, Setting{"sasl.oauthbearer.method", "oidc"})
	}
	return list
}

func (s Sink) shown() string {
	if s.Kind == SinkHTTP {
		return shownURL(s.URL)
	}
	return s.Display
}

// shownURL hides what a query holds, but not that there is one.
func shownURL(u Secret) string {
	before, _, query := strings.Cut(u.Reveal(), "?")
	if query {
		before += "?" + redacted
	}
	return before
}

func (p PEM) shown(none string) string {
	switch {
	case p.IsZero():
		return none
	case p.File != "":
		return "from a file"
	}
	return redacted
}

func shownHeaders(headers []HeaderValue) string {
	var shown []string
	for _, h := range headers {
		shown = append(shown, h.Name+": "+redacted)
	}
	return orNone(strings.Join(shown, ", "))
}

func shownStatuses(ranges []StatusRange) string {
	var shown []string
	for _, r := range ranges {
		one := strconv.Itoa(r.Low)
		if r.Low != r.High {
			one = strconv.Itoa(r.Low/100) + "xx"
		}
		shown = append(shown, one)
	}
	return orNone(strings.Join(shown, ","))
}

func shownSkips(skip map[int32][]int64) string {
	var shown []string
	for _, partition := range slices.Sorted(maps.Keys(skip)) {
		for _, offset := range skip[partition] {
			shown = append(shown, fmt.Sprintf("%d@%d", partition, offset))
		}
	}
	return orNone(strings.Join(shown, ","))
}

func shownSize(bytes int64) string {
	for _, u := range []struct {
		suffix string
		bytes  int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if bytes%u.bytes == 0 {
			return strconv.FormatInt(bytes/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(bytes, 10)
}

func shownMillis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func orNone(text string) string { return orWord(text, "", "none") }

// orWord gives a value the word that its variable has for it.
func orWord(text, special, word string) string {
	if text == special {
		return word
	}
	return text
}
