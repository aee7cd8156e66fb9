package envconfig

import (
	"cmp"
	"log/slog"
	"regexp"
	"strings"
)

// The forms of a function's name that Lambda's Invoke API takes: name, partial ARN and ARN, each with a version or alias.
var functionForms = regexp.MustCompile(`^(?:(?:arn:(?P<partition>aws[a-z-]*):lambda:(?P<region>[a-z0-9-]+):)?[0-9]{12}:function:)?` +
	`[a-zA-Z0-9_-]{1,64}(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9_-]{1,128}))?$`)

// lambdaSink reads a function, and where AWS's own variables say that Lambda is called for it.
func (p *parser) lambdaSink(variable, text string) {
	found := functionForms.FindStringSubmatch(text)
	if found == nil {
		p.fail(variable, "is not a Lambda function; want lambda:// and a name, name:alias, or an ARN with its version or alias")
		return
	}
	part := func(name string) string { return found[functionForms.SubexpIndex(name)] }
	l := Lambda{Qualifier: part("qualifier"), Region: cmp.Or(part("region"), p.env["AWS_REGION"], p.env["AWS_DEFAULT_REGION"])}
	l.Function = text
	if l.Qualifier != "" {
		l.Function = strings.TrimSuffix(text, ":"+l.Qualifier)
	}
	p.cfg.Subscription.Sink = Sink{Kind: SinkLambda, Lambda: l, Display: "lambda://" + text}
	switch {
	case l.Region == "":
		p.fail("AWS_REGION", "is not set, but the sink is lambda:// without a region; want AWS_REGION, or the function's whole ARN")
		return
	case !awsRegion.MatchString(l.Region):
		blame := "AWS_REGION"
		if part("region") != "" {
			blame = variable
		} else if !p.set(blame) {
			blame = "AWS_DEFAULT_REGION"
		}
		p.fail(blame, "holds a region that is none; want one like eu-central-1")
		return
	}
	l.Endpoint = "https://lambda." + l.Region + "." + awsDomain(l.Region)
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA"} {
		if !p.set(name) {
			continue
		}
		if _, err := parseHTTPURL(p.env[name]); err != nil {
			p.fail(name, "%v", err)
		} else if strings.Contains(p.env[name], "?") {
			p.fail(name, "has a query string; want a base URL without one")
		}
		l.Endpoint = strings.TrimRight(p.env[name], "/")
	}
	p.cfg.Subscription.Sink.Lambda = l
}

// awsDomain is the DNS suffix of a region's partition.
func awsDomain(region string) string {
	for _, partition := range []struct{ prefix, domain string }{
		{"cn-", "amazonaws.com.cn"}, {"eusc-", "amazonaws.eu"}, {"us-iso-", "c2s.ic.gov"}, {"us-isob-", "sc2s.sgov.gov"},
	} {
		if strings.HasPrefix(region, partition.prefix) {
			return partition.domain
		}
	}
	return "amazonaws.com"
}

func (p *parser) standardFormat() string {
	if p.cfg.Subscription.Sink.Kind == SinkLambda {
		return string(FormatLambda)
	}
	return string(FormatValue)
}

// forLambda looks at what a function's sink cannot have.
func (p *parser) forLambda() {
	if p.cfg.Subscription.Sink.Kind != SinkLambda {
		return
	}
	if p.cfg.Handler.Auth.Kind != AuthNone && !p.broken["HANDLER_AUTH"] {
		p.fail("HANDLER_AUTH", "is %s, but the sink is lambda://, whose requests are signed with AWS credentials anyway; leave it out", p.cfg.Handler.Auth.Kind)
	}
	if p.cfg.Handler.Format == FormatCloudEvents {
		p.fail("HANDLER_FORMAT", "is cloudevents, whose attributes are headers, and Lambda passes none on to a function; want lambda, envelope, cloudevents-structured or value")
	}
	for _, name := range []string{"HANDLER_HEADERS", "HANDLER_FORWARD_HEADERS", "HANDLER_HEADER_STYLE"} {
		if p.set(name) {
			p.note(slog.LevelWarn, p.name(name), "has no effect: Lambda passes no headers on to a function")
		}
	}
}
