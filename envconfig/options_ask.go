package envconfig

import "strings"

// OptionVariable is the variable that sets one librdkafka option: KAFKA_OPTION_SASL_PASSWORD for sasl.password. A file that holds the
// value is named by the same with _FILE behind.
func OptionVariable(name string) string { return encodeOption(name) }

// OptionMistake says why an option would be a mistake in an environment, whatever else is in it: it is unknown, refused, or its value is
// not valid. It is "" for an option that is honoured, or that has no effect. Files that the option names are not looked at.
func OptionMistake(name, value string) string {
	p := &parser{env: map[string]string{}, fromFile: map[string]string{}, broken: map[string]bool{}}
	p.cfg.Subscription.Options = map[string]string{}
	a := &applied{p: p, kafka: &p.cfg.Kafka, by: map[*option]setting{}}
	one := setting{pair: pair{name, value}, variable: encodeOption(name), ref: SecretRef{Value: Secret(value)}}
	for o, s := range p.level([]setting{one}, false) {
		a.one(o, s)
	}
	var mistakes []string
	for _, problem := range p.problems {
		mistakes = append(mistakes, problem.Text)
	}
	return strings.Join(mistakes, "; ")
}
