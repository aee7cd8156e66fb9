package envconfig

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"path"
	"strings"
)

// subscriptionID derives a name that a redeploy finds again: sub_ and the first 16 hex digits of the SHA-256 of
//
//	<source> LF <sink without its query> LF <HANDLER_URL without trailing slashes>
//
// with source and sink as the user wrote them, the last part empty for sinks that have no HANDLER_URL, and no line feed at the end.
func subscriptionID(source, sink, handlerURL string) string {
	sum := sha256.Sum256([]byte(source + "\n" + sink + "\n" + handlerURL))
	return "sub_" + hex.EncodeToString(sum[:8])
}

// identity settles the subscription's name and the group.
func (p *parser) identity() {
	s, k := &p.cfg.Subscription, &p.cfg.Kafka
	_, chosen := p.cfg.Subscription.Options["group.id"]
	switch s.ID = p.vars.SubscriptionID; {
	case s.ID != "" && !plainGroup.MatchString(s.ID):
		p.fail("SUBSCRIPTION_ID", "%s is not valid; %s", quote(s.ID), wantGroup)
	case s.ID != "":
	case s.Source == "" || s.Sink.Display == "":
		return
	default:
		s.ID = subscriptionID(s.Source, s.Sink.Display, p.cfg.Handler.BaseURL)
		target := s.Sink.URL.Reveal()
		if s.Sink.Kind == SinkService {
			target = p.cfg.Handler.BaseURL
		}
		if !chosen && loopback(target) {
			p.fail("SUBSCRIPTION_ID", "is not set, but the sink is on this host, so that two services beside their own sidecars would share a group; want a name, for example %s", p.suggestion())
		}
	}
	if k.GroupID == "" {
		k.GroupID = s.ID
	}
	s.Options["group.id"] = k.GroupID
	if _, ok := s.Options["client.id"]; !ok {
		s.Options["client.id"] = k.ClientID // shown like the group, as Restate shows both
	}
}

// suggestion makes a name of the topic and what the sink calls itself.
func (p *parser) suggestion() string {
	s := p.cfg.Subscription
	to := s.Sink.Service
	if s.Sink.Kind == SinkHTTP {
		_, rest, _ := strings.Cut(s.Sink.Display, "://")
		_, rest, _ = strings.Cut(rest, "/")
		for dir := path.Clean("/" + rest); dir != "/" && to == ""; dir = path.Dir(dir) {
			if base := path.Base(dir); plainSegment.MatchString(base) {
				to = base
			}
		}
	}
	if to == "" {
		to = "handler"
	}
	if strings.EqualFold(to, s.Topic) {
		to += "-handler"
	}
	return s.Topic + "-to-" + strings.ToLower(to)
}

// together looks at what only shows when several variables are seen at once.
func (p *parser) together() {
	c := &p.cfg
	p.ending()
	if !c.Function.Enabled && c.Handler.Timeout > c.Run.DrainBudget() && !p.broken["HANDLER_TIMEOUT"] && !p.broken["SHUTDOWN_TIMEOUT"] {
		p.note(slog.LevelInfo, "HANDLER_TIMEOUT", "%s is above what SHUTDOWN_TIMEOUT, which is %s, leaves to attempts, %s: a stop may cut them, exit 4, and they are made again",
			c.Handler.Timeout, c.Run.ShutdownTimeout, c.Run.DrainBudget())
	}
	if c.Delivery.MaxInFlight < c.Delivery.Concurrency && !p.broken["MAX_IN_FLIGHT"] && !p.broken["CONCURRENCY"] {
		p.note(slog.LevelInfo, "MAX_IN_FLIGHT", "%d is below CONCURRENCY, which is %d: no more attempts than that run at once",
			c.Delivery.MaxInFlight, c.Delivery.Concurrency)
	}
}
