package envconfig

import (
	"log/slog"
	"strings"
)

// TypeAuto is the type of a handler that Restate is to be asked for.
const TypeAuto = "auto"

// handlerType settles HANDLER_TYPE, and whether Restate is asked for it.
func (p *parser) handlerType() string {
	const admin, wantAdmin = "RESTATE_ADMIN_URL", "want the base URL of Restate's Admin API, like http://localhost:9070"
	kind, url := p.vars.HandlerType, p.vars.RestateAdminURL
	switch {
	case kind == "" && url != "":
		kind = TypeAuto
	case kind == "" && p.vars.HandlerProtocol == "restate":
		p.fail("HANDLER_TYPE", "is not set, but HANDLER_PROTOCOL is restate; want service, object, object-shared, workflow or workflow-shared, or %s to ask Restate for it", admin)
		kind = "service"
	case kind == "":
		kind = "service"
	case kind == TypeAuto && url == "":
		p.fail(admin, "is not set, but HANDLER_TYPE is auto; %s", wantAdmin)
	case kind != TypeAuto && url != "" && !p.broken["HANDLER_TYPE"]:
		p.note(slog.LevelInfo, admin, "has no effect: HANDLER_TYPE is %s", kind)
	}
	if kind == TypeAuto && url != "" {
		if _, err := parseHTTPURL(url); err != nil {
			p.fail(admin, "%v", err)
		} else if strings.Contains(url, "?") {
			p.fail(admin, "has a query string; want a base URL without one")
		}
		p.cfg.Handler.AdminURL = strings.TrimRight(url, "/")
	}
	return kind
}

// ResolveType completes a Config whose HANDLER_TYPE is auto with the type that Restate told. Its error is an *Errors, as that of Parse.
func (c *Config) ResolveType(kind string) error {
	d := &c.Delivery
	if d.Ordering == "none" && needsOrder(kind) {
		return &Errors{Problems: []Problem{{"ORDERING", "is none, but Restate says that the handler's type is " + kind + ", which needs order; want key or partition"}}}
	}
	c.setType(kind)
	if d.Ordering == "" {
		d.Ordering = standardOrdering(kind)
	}
	return nil
}

func (c *Config) setType(kind string) {
	c.Handler.Type = kind
	c.Subscription.Sink.Keyed = kind != "service" && kind != TypeAuto
}

// needsOrder says whether records of a key must reach a handler of this type one after the other.
func needsOrder(kind string) bool { return kind == "object" || kind == "workflow" }

// standardOrdering is the ORDERING of a handler's type, which is empty for sinks that are no services.
func standardOrdering(kind string) string {
	if kind == "" || needsOrder(kind) {
		return "key"
	}
	return "none"
}
