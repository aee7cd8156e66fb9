package envconfig

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// row is what librdkafka's CONFIGURATION.md says of one name.
type row struct {
	name, side, values, standard string
}

func librdkafkaRows(t *testing.T) []row {
	t.Helper()
	data, err := os.ReadFile("testdata/librdkafka.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for line := range strings.Lines(string(data)) {
		f := append(strings.Split(strings.TrimRight(line, "\n"), "\t"), "", "", "")
		rows = append(rows, row{f[0], f[1], f[2], f[3]})
	}
	if len(rows) != 199 {
		t.Fatalf("%d rows in the list of librdkafka's options, want 199", len(rows))
	}
	return rows
}

func TestEveryLibrdkafkaNameIsInTheTableAndNoOther(t *testing.T) {
	rows := librdkafkaRows(t)
	var theirs []string
	for _, r := range rows {
		theirs = append(theirs, r.name)
		if lookupOption(r.name) == nil {
			t.Errorf("%s has no row", r.name)
		}
	}
	seen := map[string]bool{}
	for _, o := range options {
		for _, name := range append([]string{o.Name}, o.Aliases...) {
			if !slices.Contains(theirs, name) {
				t.Errorf("%s is not librdkafka's", name)
			}
			if seen[name] {
				t.Errorf("%s is in the table twice", name)
			}
			seen[name] = true
		}
		if o.Effect == "" || strings.HasSuffix(o.Effect, ".") {
			t.Errorf("%s: effect %q is no clause", o.Name, o.Effect)
		}
		if o.Class == apply && o.apply == nil {
			t.Errorf("%s is honoured, but nothing applies it", o.Name)
		}
	}
}

func TestRangesAndDefaultsAreLibrdkafkas(t *testing.T) {
	stricter := map[string]string{
		"auto.commit.interval.ms": "1 .. 86400000", // 0 would mean no commits at all
	}
	for _, o := range options {
		var values, standards []string
		for _, r := range librdkafkaRows(t) {
			if r.name == o.Name || slices.Contains(o.Aliases, r.name) {
				values, standards = append(values, r.values), append(standards, r.standard)
			}
		}
		if own := stricter[o.Name]; own != "" {
			values = []string{own}
		}
		ours := ""
		switch o.Kind {
		case whole:
			ours = fmt.Sprintf("%d .. %d", o.Min, o.Max)
		case boolean:
			ours = "true, false"
		case choice, choices:
			ours = strings.Join(o.Words, ", ")
		}
		// Words that librdkafka tells in prose only, and a callback's bit mask.
		if ours != "" && !slices.Contains(values, ours) && o.Name != "partition.assignment.strategy" {
			t.Errorf("%s: values %q, librdkafka has %q", o.Name, ours, values)
		}
		ourDefault := o.Default
		if o.Name == "https.ca.location" {
			ourDefault = "" // Restate sets probe on every consumer
		}
		if !slices.Contains(standards, ourDefault) {
			t.Errorf("%s: default %q, librdkafka has %q", o.Name, o.Default, standards)
		}
	}
}

// optionEnv gives the smallest configuration with options as JSON.
func optionEnv(t *testing.T, pairs ...string) []string {
	t.Helper()
	set := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		set[pairs[i]] = pairs[i+1]
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return with("SUBSCRIPTION_OPTIONS=" + string(text))
}

func TestEveryHonouredOptionChangesTheConfig(t *testing.T) {
	certificate, key, _, _ := identityPEM(t)
	certFile, keyFile := file(t, "cert.pem", certificate), file(t, "key.pem", key)
	type get = func(*Config) any
	security := func(f func(*Security) any) get { return func(c *Config) any { return f(&c.Kafka.Security) } }
	tls := []string{"security.protocol", "ssl"}
	sasl := []string{"security.protocol", "sasl_ssl", "sasl.mechanisms", "PLAIN", "sasl.username", "me", "sasl.password", "pw"}
	iam := []string{"security.protocol", "sasl_ssl", "sasl.mechanisms", "OAUTHBEARER"}
	tokens := append(slices.Clone(iam), "sasl.oauthbearer.method", "oidc", "sasl.oauthbearer.client.id", "me", "sasl.oauthbearer.client.secret", "pw", "sasl.oauthbearer.token.endpoint.url", "https://idp/token")
	oauth := func(f func(*OAuth) any) get { return security(func(s *Security) any { return f(&s.OAuth) }) }
	cases := map[string]struct {
		value  string
		beside []string // further options that are needed
		got    get
		want   any
	}{
		"client.id":                             {"mine", nil, func(c *Config) any { return c.Kafka.ClientID }, "mine"},
		"bootstrap.servers":                     {"a:1,b", nil, func(c *Config) any { return c.Kafka.Brokers }, []string{"a:1", "b:9092"}},
		"receive.message.max.bytes":             {"200000000", nil, func(c *Config) any { return c.Kafka.MaxResponseBytes }, int32(200000000)},
		"topic.metadata.refresh.interval.ms":    {"60000", nil, func(c *Config) any { return c.Kafka.MetadataMaxAge }, time.Minute},
		"metadata.max.age.ms":                   {"30000", nil, func(c *Config) any { return c.Kafka.MetadataMaxAge }, 30 * time.Second},
		"debug":                                 {"broker,fetch", nil, func(c *Config) any { return c.Run.LogLevel }, "debug"},
		"log_level":                             {"4", nil, func(c *Config) any { return c.Run.LogLevel }, "warn"},
		"socket.timeout.ms":                     {"1000", nil, func(c *Config) any { return c.Kafka.SocketTimeout }, time.Second},
		"socket.send.buffer.bytes":              {"4096", nil, func(c *Config) any { return c.Kafka.SendBuffer }, 4096},
		"socket.receive.buffer.bytes":           {"8192", nil, func(c *Config) any { return c.Kafka.ReceiveBuffer }, 8192},
		"socket.keepalive.enable":               {"true", nil, func(c *Config) any { return c.Kafka.KeepAlive }, true},
		"socket.nagle.disable":                  {"false", nil, func(c *Config) any { return c.Kafka.NoDelay }, false},
		"broker.address.family":                 {"v6", nil, func(c *Config) any { return c.Kafka.Network }, "tcp6"},
		"socket.connection.setup.timeout.ms":    {"5000", nil, func(c *Config) any { return c.Kafka.SetupTimeout }, 5 * time.Second},
		"reconnect.backoff.ms":                  {"50", nil, func(c *Config) any { return c.Kafka.ReconnectBackoff }, 50 * time.Millisecond},
		"reconnect.backoff.max.ms":              {"20000", nil, func(c *Config) any { return c.Kafka.ReconnectBackoffMax }, 20 * time.Second},
		"retry.backoff.ms":                      {"50", nil, func(c *Config) any { return c.Kafka.RetryBackoff }, 50 * time.Millisecond},
		"retry.backoff.max.ms":                  {"2000", nil, func(c *Config) any { return c.Kafka.RetryBackoffMax }, 2 * time.Second},
		"client.rack":                           {"eu-1a", nil, func(c *Config) any { return c.Kafka.Rack }, "eu-1a"},
		"group.id":                              {"billing", nil, func(c *Config) any { return c.Kafka.GroupID }, "billing"},
		"group.instance.id":                     {"pod-0", nil, func(c *Config) any { return c.Kafka.GroupInstanceID }, "pod-0"},
		"session.timeout.ms":                    {"30000", nil, func(c *Config) any { return c.Kafka.SessionTimeout }, 30 * time.Second},
		"heartbeat.interval.ms":                 {"1000", nil, func(c *Config) any { return c.Kafka.HeartbeatInterval }, time.Second},
		"max.poll.interval.ms":                  {"300000", nil, func(c *Config) any { return c.Kafka.RebalanceTimeout }, 5 * time.Minute},
		"auto.commit.interval.ms":               {"5000", nil, func(c *Config) any { return c.Run.CommitInterval }, 5 * time.Second},
		"queued.max.messages.kbytes":            {"1024", nil, func(c *Config) any { return c.Delivery.MaxInFlightBytes }, int64(1 << 20)},
		"fetch.wait.max.ms":                     {"100", nil, func(c *Config) any { return c.Kafka.FetchMaxWait }, 100 * time.Millisecond},
		"fetch.message.max.bytes":               {"2048", nil, func(c *Config) any { return c.Kafka.PartitionMaxBytes }, int32(2048)},
		"fetch.max.bytes":                       {"52428800", nil, func(c *Config) any { return c.Kafka.FetchMaxBytes }, int32(50 << 20)},
		"fetch.min.bytes":                       {"512", nil, func(c *Config) any { return c.Kafka.FetchMinBytes }, int32(512)},
		"fetch.error.backoff.ms":                {"10", nil, func(c *Config) any { return c.Kafka.FetchErrorBackoff }, 10 * time.Millisecond},
		"isolation.level":                       {"read_uncommitted", nil, func(c *Config) any { return c.Kafka.ReadCommitted }, false},
		"check.crcs":                            {"true", nil, func(c *Config) any { return c.Kafka.CheckCRCs }, true},
		"auto.offset.reset":                     {"smallest", nil, func(c *Config) any { return c.Run.StartAt }, StartAt{Kind: "earliest"}},
		"security.protocol":                     {"SSL", nil, security(func(s *Security) any { return s.TLS }), true},
		"sasl.mechanisms":                       {"scram-sha-512", []string{"security.protocol", "sasl_plaintext", "sasl.username", "u", "sasl.password", "p"}, security(func(s *Security) any { return s.Mechanism }), "SCRAM-SHA-512"},
		"sasl.username":                         {"you", sasl, security(func(s *Security) any { return s.Username.Value.Reveal() }), "you"},
		"sasl.password":                         {"other", sasl, security(func(s *Security) any { return s.Password.Value.Reveal() }), "other"},
		"sasl.oauthbearer.config":               {"provider=msk-iam,region=eu-west-1,profile=p", iam, oauth(func(o *OAuth) any { return o.MSK }), MSK{Region: "eu-west-1", Profile: "p"}},
		"sasl.oauthbearer.method":               {"oidc", tokens, security(func(s *Security) any { return s.Mechanism }), "OAUTHBEARER"},
		"sasl.oauthbearer.client.id":            {"you", tokens, oauth(func(o *OAuth) any { return o.ClientID.Value.Reveal() }), "you"},
		"sasl.oauthbearer.client.secret":        {"other", tokens, oauth(func(o *OAuth) any { return o.ClientSecret.Value.Reveal() }), "other"},
		"sasl.oauthbearer.scope":                {"kafka read", tokens, oauth(func(o *OAuth) any { return o.Scope }), "kafka read"},
		"sasl.oauthbearer.extensions":           {"logicalCluster=lkc-1,identityPoolId=pool-x=", tokens, oauth(func(o *OAuth) any { return o.Extensions }), []Extension{{"logicalCluster", "lkc-1"}, {"identityPoolId", "pool-x="}}},
		"sasl.oauthbearer.token.endpoint.url":   {"https://other/token", tokens, oauth(func(o *OAuth) any { return o.TokenURL.Value.Reveal() }), "https://other/token"},
		"https.ca.location":                     {certFile, tokens, oauth(func(o *OAuth) any { return o.CA.File }), certFile},
		"https.ca.pem":                          {certificate, tokens, oauth(func(o *OAuth) any { return o.CA.Value.Reveal() }), certificate},
		"ssl.cipher.suites":                     {"ECDHE-RSA-AES128-GCM-SHA256:TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", tls, security(func(s *Security) any { return s.CipherSuites }), []uint16{0xc02f, 0xc02b}},
		"ssl.curves.list":                       {"X25519:prime256v1", tls, security(func(s *Security) any { return s.Curves }), []uint16{29, 23}},
		"ssl.key.location":                      {keyFile, append([]string{"ssl.certificate.pem", certificate}, tls...), security(func(s *Security) any { return s.Key.File }), keyFile},
		"ssl.key.pem":                           {key, append([]string{"ssl.certificate.location", certFile}, tls...), security(func(s *Security) any { return s.Key.Value.Reveal() }), key},
		"ssl.key.password":                      {"pw", tls, security(func(s *Security) any { return s.KeyPassword.Value.Reveal() }), "pw"},
		"ssl.certificate.location":              {certFile, append([]string{"ssl.key.location", keyFile}, tls...), security(func(s *Security) any { return s.Certificate.File }), certFile},
		"ssl.certificate.pem":                   {certificate, append([]string{"ssl.key.location", keyFile}, tls...), security(func(s *Security) any { return s.Certificate.Value.Reveal() }), certificate},
		"ssl.ca.location":                       {certFile, tls, security(func(s *Security) any { return s.CA.File }), certFile},
		"ssl.ca.pem":                            {certificate, tls, security(func(s *Security) any { return s.CA.Value.Reveal() }), certificate},
		"ssl.keystore.location":                 {keystore(t, "changeit"), append([]string{"ssl.keystore.password", "changeit"}, tls...), security(func(s *Security) any { return s.Keystore != "" }), true},
		"ssl.keystore.password":                 {"pw", tls, security(func(s *Security) any { return s.KeystorePassword.Value.Reveal() }), "pw"},
		"enable.ssl.certificate.verification":   {"false", tls, security(func(s *Security) any { return s.SkipVerify }), true},
		"ssl.endpoint.identification.algorithm": {"none", tls, security(func(s *Security) any { return s.SkipHostname }), true},
	}
	for _, o := range options {
		if o.Class != apply {
			continue
		}
		c, ok := cases[o.Name]
		if !ok {
			t.Errorf("%s has no case", o.Name)
			continue
		}
		for _, name := range append([]string{o.Name}, o.Aliases...) {
			t.Run(name, func(t *testing.T) {
				var set []string
				for i := 0; i < len(c.beside); i += 2 {
					if lookupOption(c.beside[i]) != o {
						set = append(set, c.beside[i], c.beside[i+1])
					}
				}
				cfg := mustParse(t, optionEnv(t, append(set, name, c.value)...)...)
				if got := c.got(cfg); !reflect.DeepEqual(got, c.want) {
					t.Errorf("got %v, want %v", got, c.want)
				}
				if got := cfg.Subscription.Options[name]; got != c.value {
					t.Errorf("the options hold %q, want it as written", got)
				}
				// Without the option it must be another value, or the case shows nothing.
				var beside []string
				for i := 0; i < len(c.beside); i += 2 {
					if c.beside[i] != name && !strings.HasPrefix(c.beside[i], "ssl.certificate") && c.beside[i] != "ssl.key.location" && !strings.HasPrefix(name, "sasl.") {
						beside = append(beside, c.beside[i], c.beside[i+1])
					}
				}
				if reflect.DeepEqual(c.got(mustParse(t, optionEnv(t, beside...)...)), c.want) {
					t.Errorf("%v is also what comes without the option", c.want)
				}
			})
		}
	}
}

// anotherValue gives a valid value that is not librdkafka's default.
func anotherValue(o *option) string {
	switch o.Kind {
	case whole:
		for _, n := range []int64{o.Min, o.Max} {
			if text := strconv.FormatInt(n, 10); text != o.Default {
				return text
			}
		}
	case boolean:
		return strconv.FormatBool(o.Default != "true")
	case choice, choices:
		for _, word := range o.Words {
			if word != o.Default && !slices.Contains(o.Refused, word) {
				return word
			}
		}
		return ""
	}
	if o.Name == "group.protocol.type" {
		return "" // one value only
	}
	return "something"
}

func TestOptionsWithoutEffectAreNotedOnlyWhereTheyDiffer(t *testing.T) {
	for _, o := range options {
		if o.Class != ignore {
			continue
		}
		want := func(name string) string {
			return "INFO SUBSCRIPTION_OPTIONS: option " + name + " has no effect: " + strings.TrimSuffix(o.Effect, "; refused where it hides that one")
		}
		for _, name := range append([]string{o.Name}, o.Aliases...) {
			if value := anotherValue(o); value != "" && (o.Kind != boolean || !slices.Contains(o.Refused, value)) {
				if got := noteTexts(mustParse(t, optionEnv(t, name, value)...)); got != want(name) {
					t.Errorf("%s=%s: notes\n%s\nwant\n%s", name, value, got, want(name))
				}
			}
			if o.Default == "" {
				continue
			}
			standard := ""
			if o.Always {
				standard = want(name)
			}
			if got := noteTexts(mustParse(t, optionEnv(t, name, o.Default)...)); got != standard {
				t.Errorf("%s at its default: notes %q, want %q", name, got, standard)
			}
		}
		for _, value := range o.Refused {
			got := message(optionEnv(t, o.Name, value))
			if want := "SUBSCRIPTION_OPTIONS: option " + o.Name + " cannot be " + value + " here: " + o.Effect + "; leave it out"; got != want {
				t.Errorf("%s=%s: %q, want %q", o.Name, value, got, want)
			}
		}
	}
}

func TestOptionsThatCannotBeHonouredAreRefusedByName(t *testing.T) {
	for _, o := range options {
		if o.Class != refuse {
			continue
		}
		for _, name := range append([]string{o.Name}, o.Aliases...) {
			want := "SUBSCRIPTION_OPTIONS: option " + name + " cannot be honoured: " + o.Effect + "; leave it out"
			if got := message(optionEnv(t, name, anotherValue(o))); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
			if o.Default != "" {
				if got := message(optionEnv(t, name, o.Default)); got != "" {
					t.Errorf("%s at its default is refused: %s", name, got)
				}
			}
		}
	}
}

func TestOptionValuesAreCheckedAgainstLibrdkafkasRanges(t *testing.T) {
	for _, o := range options {
		var bad []string
		want := ""
		switch o.Kind {
		case whole:
			bad = []string{"x7", "", strconv.FormatInt(o.Min-1, 10), strconv.FormatInt(o.Max+1, 10), "1.5"}
			want = fmt.Sprintf("want a whole number from %d to %d", o.Min, o.Max)
		case boolean:
			bad, want = []string{"yes"}, "want true or false"
		case choice:
			bad, want = []string{"x7"}, "want "+oneOf(o.Words)
		case choices:
			bad, want = []string{"x7," + o.Words[0]}, "want a comma list of "+oneOf(o.Words)
		}
		for _, value := range bad {
			if value == "" {
				continue // an empty value counts as unset
			}
			full := "SUBSCRIPTION_OPTIONS: option " + o.Name + " is not valid; " + want
			if got := message(optionEnv(t, o.Name, value)); got != full {
				t.Errorf("%s=%s: %q, want %q", o.Name, value, got, full)
			}
		}
	}
}
