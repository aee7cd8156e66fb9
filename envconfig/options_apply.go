package envconfig

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is the type of an option's value.
type kind int

const (
	text    kind = iota
	whole        // a whole number from Min to Max
	boolean      // true or false, as librdkafka reads them
	choice       // one of Words
	choices      // a comma list of Words
)

// value is an option's value, read by its kind.
type value struct {
	text    string // choices in lower case
	n       int64
	on      bool
	list    []string
	ref     SecretRef
	setting setting
}

// read checks a value. The error says what is expected and never repeats the value.
func (o *option) read(s setting) (value, error) {
	v := value{text: strings.TrimSpace(s.value), ref: s.ref, setting: s}
	var err error
	switch o.Kind {
	case text:
		v.text = s.value
	case whole:
		if v.n, err = strconv.ParseInt(v.text, 10, 64); err != nil || v.n < o.Min || v.n > o.Max {
			return v, fmt.Errorf("want a whole number from %d to %d", o.Min, o.Max)
		}
	case boolean:
		switch strings.ToLower(v.text) {
		case "true", "t", "1":
			v.on, v.text = true, "true"
		case "false", "f", "0":
			v.text = "false"
		default:
			return v, errors.New("want true or false")
		}
	case choice:
		if v.text = strings.ToLower(v.text); !slices.Contains(o.Words, v.text) {
			return v, fmt.Errorf("want %s", oneOf(o.Words))
		}
	case choices:
		v.list = split(strings.ToLower(v.text))
		v.text = strings.Join(v.list, ",")
		if slices.ContainsFunc(v.list, func(word string) bool { return !slices.Contains(o.Words, word) }) {
			return v, fmt.Errorf("want a comma list of %s", oneOf(o.Words))
		}
	}
	return v, nil
}

// isDefault says whether the value is librdkafka's own default.
func (o *option) isDefault(v value) bool {
	if o.Kind == whole {
		return strconv.FormatInt(v.n, 10) == o.Default
	}
	return strings.EqualFold(strings.ReplaceAll(v.text, ", ", ","), strings.ReplaceAll(o.Default, ", ", ","))
}

// applied is what the options of all levels add up to, while it grows.
type applied struct {
	p        *parser
	kafka    *Kafka
	by       map[*option]setting // who set what, of all levels
	brokers  []string
	explicit bool   // brokers were given as an option
	protocol string // security.protocol
	source   string // variable that set the protocol in front of the brokers
	refresh  int64  // topic.metadata.refresh.interval.ms
	debug    bool
	oidc     bool // sasl.oauthbearer.method
	mskIAM   bool // the mechanism is AWS_MSK_IAM, or sasl.oauthbearer.config names the provider
}

// given tells the setting of an option that some level set.
func (a *applied) given(name string) (setting, bool) {
	s, ok := a.by[lookupOption(name)]
	return s, ok
}

// blame reports a problem of an option that some level set.
func (a *applied) blame(name, format string, args ...any) {
	s, _ := a.given(name)
	a.p.fail(s.variable, "%s %s", s.of(), fmt.Sprintf(format, args...))
}

// kafka applies the options of all levels and completes the cluster.
func (p *parser) kafka(c *cluster, ours []setting) {
	a := &applied{p: p, kafka: &p.cfg.Kafka, by: map[*option]setting{}}
	if c != nil {
		maps.Copy(a.by, p.level(c.options, c.lenient))
		maps.Copy(a.by, p.level(c.overlay, false))
	}
	above := p.level(ours, false)
	for o, s := range above {
		s.ours = true
		a.by[o] = s
	}
	p.cfg.Subscription.Options = map[string]string{}
	for _, o := range options {
		s, ok := a.by[o]
		if ok && s.value != "" {
			a.one(o, s)
		} else {
			delete(a.by, o)
			a.standard(o)
		}
	}
	if c != nil {
		a.connect(c)
	}
	a.secure()
	a.timing()
}

// standard applies an option's default.
func (a *applied) standard(o *option) {
	s := setting{pair: pair{o.Name, o.Default}, option: o}
	if o.Ours != "" {
		s.value = o.Ours
	}
	if o.Class != apply || o.Variable != "" || s.value == "" {
		return
	}
	if v, err := o.read(s); err == nil {
		o.apply(a, v)
	}
}

// one applies an option that is set.
func (a *applied) one(o *option, s setting) {
	p := a.p
	a.p.cfg.Subscription.Options[s.name] = s.value
	if o.Variable != "" && p.set(o.Variable) {
		if s.ours {
			p.fail(s.variable, "%s means the same as %s, which is set too; want one of the two", s.of(), o.Variable)
		} else {
			p.note(slog.LevelInfo, s.variable, "%s has no effect: %s is set and wins", s.of(), o.Variable)
		}
		return
	}
	v, err := o.read(s)
	if err != nil {
		p.fail(s.variable, "%s is not valid; %v", s.of(), err)
		// What is checked later shall see a sane value, and say nothing that follows from this one.
		delete(a.by, o)
		a.standard(o)
		return
	}
	if slices.Contains(o.Refused, v.text) {
		p.fail(s.variable, "%s cannot be %s here: %s; leave it out", s.of(), v.text, o.Effect)
		return
	}
	standard := o.isDefault(v)
	if p.cfg.Function.Enabled && o.Class == apply && !standard && o.Name != "group.id" && slices.Contains(consumerOptions, o) {
		p.note(slog.LevelInfo, s.variable, "%s has no effect in a Lambda function: the event source mapping reads", s.of())
	}
	switch {
	case o.apply != nil:
		o.apply(a, v)
	case o.Class == ignore && (o.Always || !standard):
		p.note(slog.LevelInfo, s.variable, "%s has no effect: %s", s.of(), o.Effect)
	case o.Class == refuse && !standard:
		p.fail(s.variable, "%s cannot be honoured: %s; leave it out", s.of(), o.Effect)
	}
}

// connect settles which brokers are used and what protocol their prefixes set.
func (a *applied) connect(c *cluster) {
	variable, of, list := c.variable, "", c.brokers
	if strings.HasSuffix(strings.TrimSuffix(c.variable, "_FILE"), "KAFKA_CLUSTERS") {
		of = "cluster " + c.name + ": "
	}
	if a.explicit {
		s, _ := a.given("bootstrap.servers")
		switch {
		case s.ours || len(list) == 0:
			variable, of, list = s.variable, s.of()+": ", a.brokers
		case s.variable == c.variable:
			a.p.fail(s.variable, "%s is set beside brokers; want one of the two", s.of())
			return
		}
	}
	var prefix string
	a.kafka.Name = c.name
	a.kafka.Brokers, prefix = a.p.brokers(variable, of, list)
	if prefix == "" {
		return
	}
	if s, ok := a.given("security.protocol"); ok && a.protocol != prefix {
		a.p.fail(s.variable, "%s differs from the protocol in front of the brokers; want one of the two, or the same", s.of())
	}
	a.protocol, a.source = prefix, variable
}

// timing checks the options that only make sense together.
func (a *applied) timing() {
	k := a.kafka
	const minSession, minPoll = 3 * time.Second, 6 * time.Second
	if k.SessionTimeout < minSession {
		a.blame("session.timeout.ms", "is too short to hold a lease of it less 2 s; want 3000 or more")
	}
	if _, ok := a.given("heartbeat.interval.ms"); !ok {
		k.HeartbeatInterval = min(k.HeartbeatInterval, k.SessionTimeout/3)
	} else if k.HeartbeatInterval > k.SessionTimeout/3 {
		a.blame("heartbeat.interval.ms", "is more than a third of session.timeout.ms; want %d or less", k.SessionTimeout.Milliseconds()/3)
	}
	if least := max(k.SessionTimeout, minPoll); k.RebalanceTimeout < least {
		if _, ok := a.given("max.poll.interval.ms"); ok {
			a.blame("max.poll.interval.ms", "is less than session.timeout.ms, or than 6000; want %d or more", least.Milliseconds())
		}
		k.RebalanceTimeout = least
	}
	a.pair("reconnect.backoff.ms", "reconnect.backoff.max.ms", &k.ReconnectBackoff, &k.ReconnectBackoffMax)
	a.pair("retry.backoff.ms", "retry.backoff.max.ms", &k.RetryBackoff, &k.RetryBackoffMax)
	if need := int64(k.FetchMaxBytes) + 512; int64(k.MaxResponseBytes) < need {
		if _, ok := a.given("receive.message.max.bytes"); ok {
			a.blame("receive.message.max.bytes", "is less than fetch.max.bytes and 512; want %d or more", need)
		}
		k.MaxResponseBytes = int32(min(need, 1<<31-1))
	}
	// The shorter of the two periods; a refresh that is switched off leaves the longer one, since new partitions must be seen.
	if a.refresh > 0 {
		k.MetadataMaxAge = min(k.MetadataMaxAge, time.Duration(a.refresh)*time.Millisecond)
	}
}

// pair checks that a wait is not above its own maximum. A maximum that nobody set gives way.
func (a *applied) pair(name, maxName string, least, most *time.Duration) {
	if *least <= *most {
		return
	}
	if _, ok := a.given(maxName); ok {
		a.blame(maxName, "is less than %s; want it equal or more", name)
		return
	}
	*most = *least
}
