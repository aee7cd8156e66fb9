package envconfig

import (
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// class is what becomes of a librdkafka option.
type class int

const (
	apply  class = iota // honoured
	ignore              // accepted; noted where the value is not librdkafka's default
	refuse              // a mistake where the value is not librdkafka's default
)

// option is one row of the table: what we do with one of librdkafka's names.
type option struct {
	Name     string
	Aliases  []string
	Class    class
	Kind     kind
	Min, Max int64    // of a whole number
	Words    []string // of a choice, compared without case
	Default  string   // librdkafka's
	Ours     string   // our default, where it is another
	Effect   string   // what it does here, or why it does nothing or is refused
	Refused  []string // values that are refused though the option is not
	Always   bool     // ignore: note any value
	Producer bool     // means something to producers only
	Variable string   // our own variable that means the same
	apply    func(a *applied, v value)
}

// setting is one option as one level gives it.
type setting struct {
	pair
	variable string // to blame
	cluster  string // of a list of clusters, for messages
	ref      SecretRef
	option   *option
	ours     bool // of the subscription's level
}

// of words the option for a message.
func (s setting) of() string {
	name := "option " + shownName(s.name)
	if s.cluster != "" {
		name = "cluster " + s.cluster + ": " + name
	}
	return name
}

// optionPrefix begins the variables that hold one option each.
const optionPrefix = "KAFKA_OPTION_"

var optionVariable = regexp.MustCompile(`^KAFKA_OPTION_[A-Z0-9]+(_{1,3}[A-Z0-9]+)*$`)

// isOptionVariable says whether a variable holds an option. A service called kafka-option makes Kubernetes set names of that form, and no option
// of librdkafka ends as they do.
func isOptionVariable(name string) bool {
	return optionVariable.MatchString(name) && !serviceLink.MatchString(name)
}

// decodeOption gives the option that KAFKA_OPTION_<NAME> means: _ is a dot, __ is _, ___ is -.
func decodeOption(variable string) string {
	name := strings.ToLower(strings.TrimPrefix(variable, optionPrefix))
	return strings.NewReplacer("___", "-", "__", "_", "_", ".").Replace(name)
}

// encodeOption is the way back.
func encodeOption(name string) string {
	return optionPrefix + strings.ToUpper(strings.NewReplacer("-", "___", "_", "__", ".", "_").Replace(name))
}

// optionVariables adds what the KAFKA_OPTION_<NAME> variables give to the options of the subscription's level.
func (p *parser) optionVariables(settings []setting) []setting {
	for _, variable := range slices.Sorted(maps.Keys(p.env)) {
		if !isOptionVariable(variable) {
			continue
		}
		base, twin := strings.CutSuffix(variable, "_FILE")
		// A few options of librdkafka end in .file themselves.
		if !twin || lookupOption(decodeOption(variable)) != nil {
			settings = append(settings, setting{
				pair: pair{decodeOption(variable), p.env[variable]}, variable: variable, ref: SecretRef{Value: Secret(p.env[variable])},
			})
			continue
		}
		if p.set(base) {
			p.fail(variable, "is set beside %s; want the value or the file, not both", base)
			continue
		}
		file := p.env[variable]
		text, err := readFile(file)
		if err != nil {
			p.fail(variable, "the file cannot be read (%v); want the path of a readable file", err)
			continue
		}
		if text == "" {
			p.fail(variable, "the file is empty; want the value of %s in it", base)
			continue
		}
		settings = append(settings, setting{pair: pair{decodeOption(base), text}, variable: variable, ref: SecretRef{File: file}})
	}
	return settings
}

// level resolves the names of one level's options.
func (p *parser) level(settings []setting, lenient bool) map[*option]setting {
	level := map[*option]setting{}
	for _, s := range settings {
		s.name = strings.TrimSpace(s.name)
		s.option = lookupOption(s.name)
		if s.option != nil {
			s.ref.bind(s.option)
		}
		switch other, twice := level[s.option]; {
		case lenient && slices.Contains(truststore, s.name):
			p.note(slog.LevelWarn, s.variable, "%s has no effect: a Java truststore is not read; unless the broker's certificate is signed by a public authority, give the authorities as PEM in ssl.ca.location", s.of())
		case lenient && foreign(s.name, s.option):
			p.note(slog.LevelInfo, s.variable, "%s has no effect: it is for producers, for Java clients or for a schema registry", s.of())
		case s.option == nil:
			p.fail(s.variable, "%s is not one of librdkafka's; %s", s.of(), didYouMean(s.name))
		case twice && other.name == s.name:
			p.fail(s.variable, "%s is set twice, also by %s; want it once", s.of(), other.variable)
		case twice:
			p.fail(s.variable, "%s means the same as %s, which %s sets; want one of the two", s.of(), other.name, other.variable)
		default:
			level[s.option] = s
		}
	}
	return level
}

// bind tells the way back to a secret which option to look for.
func (r *SecretRef) bind(o *option) {
	if r.within != nil {
		bound := *r.within
		bound.option = o
		r.within = &bound
	}
}

// didYouMean names the nearest option.
func didYouMean(name string) string {
	var names []string
	for _, o := range options {
		names = append(append(names, o.Name), o.Aliases...)
	}
	near := nearest(name, names, 3)
	for _, candidate := range names {
		// Java's clients have several options under the same words in another order.
		if near == "" && sortedWords(candidate) == sortedWords(name) {
			near = candidate
		}
	}
	if near != "" {
		return "did you mean " + near + "?"
	}
	return "want a name of librdkafka's CONFIGURATION.md"
}

func sortedWords(name string) string {
	words := strings.Split(name, ".")
	slices.Sort(words)
	return strings.Join(words, ".")
}

// javaOnly are names of Java's clients and of serializers, which files for them hold beside the shared ones. A name that ends in a dot
// stands for all that begin with it.
var javaOnly = []string{
	"basic.auth.", "schema.registry.", "confluent.", "metrics.", "metric.reporters", "key.deserializer", "key.deserializer.", "value.deserializer",
	"value.deserializer.", "key.serializer", "value.serializer", "auto.register.schemas", "use.latest.version", "specific.avro.reader",
	"default.api.timeout.ms", "request.timeout.ms", "exclude.internal.topics", "interceptor.classes", "security.providers",
	"auto.include.jmx.reporter", "share.auto.offset.reset", "sasl.login.", "sasl.oauthbearer.jwt.", "sasl.oauthbearer.jwks.", "sasl.oauthbearer.expected.",
	"sasl.oauthbearer.clock.skew.seconds", "sasl.oauthbearer.scope.claim.name", "sasl.client.callback.handler.class", "sasl.kerberos.ticket.renew.jitter",
	"sasl.kerberos.ticket.renew.window.factor", "ssl.truststore.", "ssl.keystore.type", "ssl.protocol", "ssl.enabled.protocols", "ssl.provider",
	"ssl.keymanager.algorithm", "ssl.trustmanager.algorithm", "ssl.secure.random.implementation", "ssl.engine.factory.class",
	"transaction.two.phase.commit.enable", "max.block.ms", "max.request.size", "buffer.memory", "send.buffer.bytes", "receive.buffer.bytes",
	"partitioner.class", "internal.leave.group.on.close", "bearer.auth.", "client.id.prefix", "avro.",
}

// truststore are the names by which Java's clients are told whom to trust: who only drops them may trust nobody.
var truststore = []string{"ssl.truststore.location", "ssl.truststore.certificates"}

// foreign says whether a .properties file may hold the name for others than a consumer of ours.
func foreign(name string, o *option) bool {
	if o != nil {
		return o.Producer
	}
	return slices.ContainsFunc(javaOnly, func(java string) bool {
		return name == java || strings.HasSuffix(java, ".") && strings.HasPrefix(name, java)
	})
}

var byName = func() map[string]*option {
	names := map[string]*option{}
	for _, o := range options {
		names[o.Name] = o
		for _, alias := range o.Aliases {
			names[alias] = o
		}
	}
	return names
}()

// lookupOption finds an option by its name or an alias.
func lookupOption(name string) *option { return byName[name] }
