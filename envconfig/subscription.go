package envconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// subscription reads what is consumed, who is invoked, and the options of the subscription's level.
func (p *parser) subscription() []setting {
	source, sink := p.vars.SubscriptionSource, p.vars.SubscriptionSink
	sourceVar, sinkVar := "SUBSCRIPTION_SOURCE", p.name("SUBSCRIPTION_SINK")
	var settings []setting
	if p.set("SUBSCRIPTION") {
		name := p.name("SUBSCRIPTION")
		for _, other := range []string{"SUBSCRIPTION_SOURCE", "SUBSCRIPTION_SINK", "SUBSCRIPTION_OPTIONS"} {
			if p.set(other) {
				p.fail(p.name(other), "is set beside SUBSCRIPTION, which holds the same; want one of the two")
			}
		}
		whole, err := parseSubscription(p.vars.Subscription)
		if err != nil {
			p.fail(name, "%v", err)
			return p.optionVariables(nil)
		}
		source, sink, sourceVar, sinkVar = whole.source, whole.sink, name, name
		settings = p.settings("SUBSCRIPTION", whole.options, func(text string) ([]pair, error) {
			again, err := parseSubscription(text)
			return again.options, err
		})
	} else if p.broken["SUBSCRIPTION_FILE"] {
		return p.optionVariables(nil) // nobody knows what is in it
	} else if p.set("SUBSCRIPTION_OPTIONS") {
		pairs, err := parseOptions(p.vars.SubscriptionOptions)
		if err != nil {
			p.fail(p.name("SUBSCRIPTION_OPTIONS"), "%v", err)
		}
		settings = p.settings("SUBSCRIPTION_OPTIONS", pairs, parseOptions)
	}
	p.source(sourceVar, source)
	p.sink(sinkVar, sink)
	return p.optionVariables(settings)
}

// pair is one option as it was written.
type pair struct{ name, value string }

// settings gives the pairs of variable X their origin; a file behind X can be read again with form.
func (p *parser) settings(variable string, pairs []pair, form func(string) ([]pair, error)) []setting {
	settings := make([]setting, len(pairs))
	for i, one := range pairs {
		settings[i] = setting{pair: one, variable: p.name(variable)}
		settings[i].ref = SecretRef{Value: Secret(one.value)}
		if file, ok := p.fromFile[variable]; ok {
			settings[i].ref.within = &place{file: file, form: form}
		}
	}
	return settings
}

// wholeSubscription is the body of Restate's POST /subscriptions.
type wholeSubscription struct {
	source, sink string
	options      []pair
}

func parseSubscription(text string) (wholeSubscription, error) {
	var s wholeSubscription
	members, err := jsonObject(text)
	if err != nil {
		return s, err
	}
	for _, m := range members {
		switch m.name {
		case "source", "sink":
			target := &s.source
			if m.name == "sink" {
				target = &s.sink
			}
			if json.Unmarshal(m.raw, target) != nil || m.raw[0] != '"' {
				return s, fmt.Errorf("%s is not a string; want {\"source\":…,\"sink\":…,\"options\":{…}}", m.name)
			}
		case "options":
			if string(m.raw) == "null" {
				continue
			}
			if s.options, err = parseJSONOptions(string(m.raw)); err != nil {
				return s, fmt.Errorf("options: %w", err)
			}
		default:
			return s, errors.New("holds a field that is none of ours; want source, sink and options")
		}
	}
	return s, nil
}

// parseOptions reads options as a JSON object or as name=value lines. With the first error come the options that can be read all the same, so that
// what is wrong with them is told in one go.
func parseOptions(text string) ([]pair, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return parseJSONOptions(text)
	}
	var pairs []pair
	var first error
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			if first == nil {
				first = fmt.Errorf("line %d is not name=value; want a JSON object, or name=value lines", number)
			}
			continue
		}
		pairs = append(pairs, pair{name, strings.TrimSpace(value)})
	}
	return pairs, first
}

func parseJSONOptions(text string) ([]pair, error) {
	members, err := jsonObject(text)
	if err != nil {
		return nil, err
	}
	var pairs []pair
	var first error
	for _, m := range members {
		value := string(m.raw)
		switch m.raw[0] {
		case '"':
			if err := json.Unmarshal(m.raw, &value); err != nil {
				return nil, notJSON(0)
			}
		case '{', '[', 'n':
			if first == nil {
				first = fmt.Errorf("option %s is neither a string nor a number nor a boolean; want one of these", shownName(m.name))
			}
			continue
		}
		pairs = append(pairs, pair{m.name, value})
	}
	return pairs, first
}

// member is one field of a JSON object.
type member struct {
	name string
	raw  json.RawMessage
}

// jsonObject reads an object in the order written. Unlike package json it refuses a name that occurs twice; its errors quote nothing.
func jsonObject(text string) ([]member, error) {
	d := json.NewDecoder(strings.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, notJSON(d.InputOffset())
	}
	var members []member
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, notJSON(d.InputOffset())
		}
		if seen[name] {
			return nil, fmt.Errorf("holds %s twice; want each name once", shownName(name))
		}
		seen[name] = true
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil || len(raw) == 0 {
			return nil, notJSON(d.InputOffset())
		}
		members = append(members, member{name, raw})
	}
	if _, err := d.Token(); err != nil {
		return nil, notJSON(d.InputOffset())
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, notJSON(d.InputOffset())
	}
	return members, nil
}

func notJSON(offset int64) error {
	return fmt.Errorf("is not a JSON object (near byte %d); want one like {\"name\":\"value\"}", offset)
}

// plainName is what an option's name looks like.
var plainName = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,63}$`)

// shownName repeats a name where it looks like one: a line of a secret that was cut at its = must not be shown as a name.
func shownName(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return "with an unusual name (not shown)"
}

var (
	plainTopic   = upTo(249, `^[a-zA-Z0-9._-]+$`)
	plainCluster = upTo(255, `^[a-zA-Z0-9._-]+$`)
)

// validTopic says whether Kafka could have a topic of this name.
func validTopic(name string) bool {
	return plainTopic.MatchString(name) && name != "." && name != ".."
}

// source reads kafka://<cluster>/<topic>.
func (p *parser) source(variable, text string) {
	const want = "want kafka://<cluster>/<topic>"
	if text == "" {
		p.fail(variable, "%s; %s", missing(variable, "source"), want)
		return
	}
	rest, ok := strings.CutPrefix(text, "kafka://")
	if !ok {
		p.fail(variable, "has no kafka:// in front; %s", want)
		return
	}
	if strings.ContainsAny(rest, "?#") {
		p.fail(variable, "has a query or a fragment; %s", want)
		return
	}
	name, topic, _ := strings.Cut(rest, "/")
	if strings.Contains(topic, ",") || strings.HasPrefix(topic, "^") {
		p.fail(variable, "names several topics; want one topic, and one container for each")
		return
	}
	clusterOK, topicOK := plainCluster.MatchString(name), validTopic(topic)
	if !clusterOK {
		p.fail(variable, "has no valid cluster name; %s, the cluster of letters, digits, '.', '_' and '-'", want)
	}
	if !topicOK {
		p.fail(variable, "has no valid topic name; %s, the topic of letters, digits, '.', '_' and '-', at most 249", want)
	}
	if clusterOK && topicOK {
		p.cfg.Subscription.Cluster, p.cfg.Subscription.Topic, p.cfg.Subscription.Source = name, topic, text
	}
}

// missing words the lack of a required part of the subscription.
func missing(variable, part string) string {
	if strings.HasSuffix(strings.ToLower(variable), part) {
		return "is not set"
	}
	return "has no " + part
}
