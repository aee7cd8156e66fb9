package envconfig

import (
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// delivery takes over order, limits, retries and failure.
func (p *parser) delivery() {
	v, d := &p.vars, &p.cfg.Delivery
	*d = Delivery{
		Ordering:             v.Ordering,
		Concurrency:          int(v.Concurrency),
		MaxInFlight:          int(v.MaxInFlight),
		MaxInFlightBytes:     int64(v.MaxInFlightBytes),
		RetryInitialInterval: time.Duration(v.RetryInitial),
		RetryMaxInterval:     time.Duration(v.RetryMax),
		RetryFactor:          float64(v.RetryFactor),
		RetryMaxAttempts:     int(v.RetryMaxAttempts),
		RetryMaxAge:          time.Duration(v.RetryMaxAge),
		OnFailure:            v.OnFailure,
		FailureLimit:         int(v.FailureLimit),
		ParkedMax:            int(v.ParkedMax),
		ParkedMaxBytes:       int64(v.ParkedMaxBytes),
		SkipRecords:          p.skipRecords(v.SkipRecords),
		RateLimit:            float64(v.RateLimit),
	}
	if !p.set("RETRY_INITIAL_INTERVAL") && !p.broken["RETRY_MAX_INTERVAL"] {
		d.RetryInitialInterval = min(d.RetryInitialInterval, d.RetryMaxInterval) // the user has said nothing that could be wrong
	}
	if d.RetryInitialInterval > d.RetryMaxInterval && !p.broken["RETRY_INITIAL_INTERVAL"] && !p.broken["RETRY_MAX_INTERVAL"] {
		p.fail("RETRY_INITIAL_INTERVAL", "%s is above RETRY_MAX_INTERVAL, which is %s; want it equal or less", d.RetryInitialInterval, d.RetryMaxInterval)
	}
	t := p.cfg.Handler.Type
	if d.Ordering == "none" && needsOrder(t) {
		p.fail("ORDERING", "is none, but HANDLER_TYPE is %s, which needs order; want key or partition", t)
	}
	if d.Ordering == "" && t != TypeAuto {
		d.Ordering = standardOrdering(t)
	}
	if d.OnFailure == "stop" {
		p.note(slog.LevelWarn, "ON_FAILURE", "is stop: where something restarts the container, a record that fails makes a crash loop")
	}
}

// skipRecords reads <partition>@<offset>, comma separated.
func (p *parser) skipRecords(text string) map[int32][]int64 {
	if text == "" {
		return nil
	}
	skip := map[int32][]int64{}
	for _, entry := range split(text) {
		left, right, _ := strings.Cut(entry, "@")
		partition, err := strconv.ParseUint(left, 10, 31)
		offset, err2 := strconv.ParseUint(right, 10, 63)
		if err != nil || err2 != nil {
			p.fail("SKIP_RECORDS", "%s is not valid; want <partition>@<offset>, comma separated, like 0@1234,3@77", quote(entry))
			return nil
		}
		skip[int32(partition)] = append(skip[int32(partition)], int64(offset))
	}
	for partition, offsets := range skip {
		slices.Sort(offsets)
		skip[partition] = slices.Compact(offsets)
	}
	return skip
}

// run takes over position, life cycle and operation.
func (p *parser) run() {
	v := &p.vars
	p.cfg.Run = Run{
		StartAt:         p.startAt(v.StartAt),
		EndAt:           p.endAt(v.EndAt),
		CommitInterval:  time.Duration(v.CommitInterval),
		StartupTimeout:  time.Duration(v.StartupTimeout),
		ShutdownTimeout: time.Duration(v.ShutdownTimeout),
		Paused:          bool(v.Paused),
		AdminAddr:       p.adminAddr(v.AdminAddr),
		EMFNamespace:    p.emf(),
		LogLevel:        v.LogLevel,
		LogFormat:       v.LogFormat,
		CloudRun:        p.onCloudRun(),
	}
}

// namespace is what CloudWatch takes as a metric's namespace; names that begin with a colon or with AWS/ are its own.
var namespace = upTo(255, `^[0-9A-Za-z._/#-][0-9A-Za-z._/#:-]*$`)

// emf is the namespace of METRICS_EMF, empty where that is off.
func (p *parser) emf() string {
	name := p.vars.MetricsEMFNamespace
	if !namespace.MatchString(name) || strings.HasPrefix(name, "AWS/") {
		p.fail("METRICS_EMF_NAMESPACE", "%s is not valid; want 1 to 255 of the characters A-Z a-z 0-9 . _ - / # :, not beginning with a colon or with AWS/", quote(name))
		return ""
	}
	if !bool(p.vars.MetricsEMF) {
		if p.set("METRICS_EMF_NAMESPACE") {
			p.note(slog.LevelInfo, "METRICS_EMF_NAMESPACE", "has no effect: METRICS_EMF is false")
		}
		return ""
	}
	return name
}

func (p *parser) startAt(text string) StartAt {
	switch text {
	case "", "latest":
		return StartAt{Kind: "latest"}
	case "earliest":
		return StartAt{Kind: "earliest"}
	}
	at, ok := moment(text)
	if !ok {
		p.fail("START_AT", "%s is not valid; want earliest, latest, a time like 2026-01-31T08:00:00Z, or an age like -2h", quote(text))
	}
	return at
}

// moment reads a time or an age.
func moment(text string) (StartAt, bool) {
	if t, err := time.Parse(time.RFC3339, text); err == nil && t.UnixMilli() >= 0 {
		return StartAt{Kind: "time", Time: t}, true
	}
	if age, err := time.ParseDuration(text); err == nil && age < 0 {
		return StartAt{Kind: "age", Age: -age}, true
	}
	return StartAt{}, false
}

func (p *parser) endAt(text string) EndAt {
	switch text {
	case "":
		return EndAt{}
	case "latest":
		return EndAt{Kind: "latest"}
	}
	at, ok := moment(text)
	if !ok {
		p.fail("END_AT", "%s is not valid; want latest, a time like 2026-01-31T08:00:00Z, or an age like -2h", quote(text))
	}
	if at.Time.After(time.Now()) {
		p.fail("END_AT", "%s is in the future; want latest, or a time or an age in the past", quote(text))
	}
	return EndAt(at)
}

// before is the time that is meant, an age counted back from now.
func (s StartAt) before(now time.Time) time.Time {
	if s.Kind == "age" {
		return now.Add(-s.Age)
	}
	return s.Time
}

// ending checks what END_AT says against the rest.
func (p *parser) ending() {
	r, now := &p.cfg.Run, time.Now()
	if r.EndAt.Kind == "" || p.broken["END_AT"] || p.broken["START_AT"] {
		return
	}
	if r.Paused {
		p.fail("PAUSED", "is true beside END_AT: nothing would be read, and the end never reached; want one of the two")
	}
	start, end := r.StartAt, StartAt(r.EndAt)
	switch {
	case start.Kind == "latest":
		p.note(slog.LevelWarn, "END_AT", "is set while a new group starts at latest: its first run finds nothing before the end (a replay wants START_AT)")
	case start.Kind != "earliest" && start.Kind != "error" && end.Kind != "latest" && !start.before(now).Before(end.before(now)):
		p.fail("END_AT", "%s is not after START_AT, which is %s; want a later one", end, start)
	}
}

// DefaultAdminAddr is where the admin endpoints listen unless ADMIN_ADDR says otherwise.
const DefaultAdminAddr = ":9464"

// adminAddr reads [host]:port, or off.
func (p *parser) adminAddr(text string) string {
	if text == "off" {
		return ""
	}
	host, port, err := net.SplitHostPort(text)
	// Port 0 is for tests: the system chooses.
	if err != nil || port != "0" && !validPort(port) || strings.ContainsAny(host, " /@") {
		p.fail("ADMIN_ADDR", "%s is not valid; want [host]:port, like :9464 or 127.0.0.1:9464, or off", quote(text))
	}
	return text
}
