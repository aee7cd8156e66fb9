package envconfig

import "log/slog"

// meaningless says why a variable means nothing in a Lambda function, "" for one that does. To ignore it would leave its user with a
// subscription that starts, ends or holds back elsewhere than he was told.
func meaningless(name string) string {
	switch name {
	case "START_AT":
		return "the event source mapping decides where reading begins (StartingPosition)"
	case "END_AT":
		return "an event source mapping has no end"
	case "MAX_IN_FLIGHT", "MAX_IN_FLIGHT_BYTES":
		return "the event source mapping decides how many records come (BatchSize)"
	case "PARKED_MAX", "PARKED_MAX_BYTES":
		return "nothing is parked beyond an invocation"
	case "COMMIT_INTERVAL":
		return "the event source mapping commits"
	case "ADMIN_ADDR":
		return "it has no admin pages"
	case "PAUSED":
		return "disable the event source mapping"
	}
	return ""
}

// function looks at whether we run as a Lambda function, and refuses what means nothing there.
func (p *parser) function() {
	f := &p.cfg.Function
	*f = Function{Enabled: p.set("AWS_LAMBDA_RUNTIME_API"), PartialBatch: bool(p.vars.LambdaPartialBatch)}
	if !f.Enabled {
		if p.set("LAMBDA_PARTIAL_BATCH") {
			p.note(slog.LevelInfo, "LAMBDA_PARTIAL_BATCH", "has no effect: this is no Lambda function")
		}
		return
	}
	for name := range p.env {
		if name == "PAUSED" && !p.vars.Paused {
			continue
		}
		if why := meaningless(name); why != "" && !p.broken[name] {
			p.fail(name, "means nothing in a Lambda function: %s; leave it out", why)
		}
	}
	if p.set("SHUTDOWN_TIMEOUT") {
		p.note(slog.LevelInfo, "SHUTDOWN_TIMEOUT", "has no effect in a Lambda function: its own timeout bounds an invocation")
	}
	p.vars.AdminAddr = "off"
}
