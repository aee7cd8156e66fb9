package restateimport

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
)

// Subscription is all that Restate shows of one subscription, and of what it needs.
type Subscription struct {
	ID, Source, Sink string
	Options          map[string]string // of the cluster and, above them, of the subscription
	HandlerType      string            // as HANDLER_TYPE words it; empty where Restate could not tell
	TypeUnknown      string            // why it could not, a sentence for the user
	Ingress          string            // URL of the ingress; empty where Restate does not tell
	Token            bool              // Restate wants a token
}

// hidden is what the Admin API shows in place of a secret.
const hidden = "***"

// variable is one line of an environment.
type variable struct {
	name, value string
	comment     string // goes above
	check       string // what mistakes looks at in place of the value; "" leaves the variable out
}

// known is a variable whose value is there to be looked at.
func known(name, value string) variable { return variable{name: name, value: value, check: value} }

// blank is a variable whose value has to be filled in.
func blank(name, what, comment, check string) variable {
	return variable{name: name, value: "<" + what + ">", comment: comment, check: check}
}

// filledIn stands for a text that is not known.
const filledIn = "filled-in"

// Write prints a subscription as the environment of a sidecar that goes on where Restate stops, with comments about what to do and about
// what cannot be taken over. The lines are those of an env file: a name, =, and the value as it is, without quotation marks. Now is the
// time of the import.
func (s Subscription) Write(w io.Writer, now time.Time) error {
	var b strings.Builder
	comment := func(format string, args ...any) {
		for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
			b.WriteString(strings.TrimRight("# "+printable(line), " ") + "\n")
		}
	}
	variables, refused := s.variables(now)
	comment("%s -> %s", s.Source, s.Sink)
	comment("Delete the subscription there first:  restate subscriptions delete %s", s.ID)
	comment("The sidecar goes on in the same consumer group, where Restate's last commit stands; it cannot join while Restate is in it.")
	comment("Restate commits every 5 s, and not when a subscription is deleted: what it took in after its last commit comes again.")
	comment("So delete it some 10 s after the last record, or where repeats do no harm.")
	for _, v := range variables {
		if v.comment != "" {
			comment("%s", v.comment)
		}
		fmt.Fprintf(&b, "%s=%s\n", v.name, printable(v.value))
	}
	for _, line := range refused {
		comment("%s", line)
	}
	for _, line := range mistakes(variables) {
		comment("To be mended: %s", line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// variables are the environment, and comments on options that are left out.
func (s Subscription) variables(now time.Time) (list []variable, refused []string) {
	list = append(list, known("SUBSCRIPTION_ID", s.ID), known("SUBSCRIPTION_SOURCE", s.Source), known("SUBSCRIPTION_SINK", s.Sink))
	if addresses := brokers(s.Options); addresses != "" {
		list = append(list, known("KAFKA_BOOTSTRAP_SERVERS", addresses))
	} else {
		list = append(list, blank("KAFKA_BOOTSTRAP_SERVERS", "brokers", "Restate does not show the brokers: fill them in.", "broker.invalid:9092"))
	}
	if group := s.Options["group.id"]; group != "" && group != s.ID { // without one Restate takes the id, and so do we
		list = append(list, known(envconfig.OptionVariable("group.id"), group))
	}
	list = append(list, s.handler()...)
	list = append(list, start(s.Options["auto.offset.reset"], now))
	for _, name := range slices.Sorted(maps.Keys(s.Options)) {
		if ours(name, s.Options[name]) {
			continue
		}
		v, why := option(name, s.Options[name])
		if why != "" {
			refused = append(refused, why)
			continue
		}
		list = append(list, v)
	}
	return list, refused
}

// handler is where and how the handler is invoked.
func (s Subscription) handler() []variable {
	base, kind := known("HANDLER_URL", strings.TrimRight(s.Ingress, "/")), known("HANDLER_TYPE", s.HandlerType)
	if s.Ingress == "" {
		base = blank("HANDLER_URL", "URL of Restate's ingress", "Restate does not tell where its ingress is: fill it in.", "http://ingress.invalid")
	}
	if s.HandlerType == "" {
		kind = blank("HANDLER_TYPE", "service, object, object-shared, workflow or workflow-shared", s.TypeUnknown, "service")
	}
	list := []variable{base, known("HANDLER_PROTOCOL", "restate"), kind}
	if s.Token {
		list = append(list, variable{
			name: "HANDLER_HEADERS", value: "authorization: Bearer <token>", check: "authorization: Bearer x",
			comment: "A token for the ingress; HANDLER_HEADERS_FILE in its place keeps it out of the environment.",
		})
	}
	if s.HandlerType != "service" && s.HandlerType != "" {
		v := known("NULL_KEY", "empty")
		v.comment = "As Restate does it: a record without a key belongs to the empty key."
		list = append(list, v)
	}
	return list
}

// start is where reading begins if Restate has committed nothing.
func start(reset string, now time.Time) variable {
	switch reset {
	case "", "latest", "largest", "end":
		v := known("START_AT", now.UTC().Format(time.RFC3339))
		v.comment = "Restate started at the end of the topic. If its group has no commit at all, reading begins at the time of this import, so that nothing is missed in between.\n" +
			"If it has one, a partition without a commit is read from its beginning."
		return v
	}
	return known(envconfig.OptionVariable("auto.offset.reset"), reset)
}

// ours says whether an option is dealt with elsewhere, or is Restate's own doing and means nothing here.
func ours(name, value string) bool {
	switch name {
	case "bootstrap.servers", "metadata.broker.list", "group.id", "auto.offset.reset":
		return true
	case "enable.auto.commit", "enable.auto.offset.store":
		return true // both sides set them as they need it
	case "client.id":
		return value == "restate"
	}
	return value == ""
}

// option is the variable for one option, or a comment on why it is left out.
func option(name, value string) (v variable, why string) {
	v = known(envconfig.OptionVariable(name), value)
	if value == hidden {
		v = blank(v.name, name, "Restate does not show it: fill it in, or name a file with it in "+v.name+"_FILE.", filledIn)
	}
	if mistake := envconfig.OptionMistake(name, v.check); mistake != "" {
		return v, fmt.Sprintf("Left out: %s=%s: %s", name, v.value, mistake)
	}
	if strings.ContainsAny(value, "\r\n") {
		v = blank(v.name+"_FILE", "file with the lines above", "A value of several lines has to come from a file:\n"+value, "")
	}
	if material(name) {
		v.check = "" // what it names is on another machine
	}
	return v, ""
}

// material says whether an option holds keys or certificates, or names their files.
func material(name string) bool {
	return strings.HasPrefix(name, "ssl.") && (strings.HasSuffix(name, ".location") || strings.HasSuffix(name, ".pem") || strings.HasSuffix(name, ".password"))
}

// brokers are the addresses of a cluster; librdkafka knows them by two names and takes the later of the two.
func brokers(options map[string]string) string {
	if list := options["metadata.broker.list"]; list != "" {
		return list
	}
	return options["bootstrap.servers"]
}

// mistakes is what `check --offline` says about the environment, as far as it is known here.
func mistakes(variables []variable) []string {
	var environ []string
	for _, v := range variables {
		if v.check != "" {
			environ = append(environ, v.name+"="+v.check)
		}
	}
	_, err := envconfig.Parse(environ)
	var found *envconfig.Errors
	if !errors.As(err, &found) {
		return nil
	}
	var lines []string
	for _, p := range found.Problems {
		lines = append(lines, p.String())
	}
	return lines
}

// printable keeps what servers say from writing to the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, text)
}
