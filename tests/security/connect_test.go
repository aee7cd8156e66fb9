package security

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// write puts text into a file of the test.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// options are librdkafka's, as variables.
type options map[string]string

// set copies the options and sets further ones, name and value in turn; an empty value takes one away.
func (o options) set(pairs ...string) options {
	out := maps.Clone(o)
	for i := 0; i < len(pairs); i += 2 {
		if out[pairs[i]] = pairs[i+1]; pairs[i+1] == "" {
			delete(out, pairs[i])
		}
	}
	return out
}

// over is the environment of a sidecar that reads a topic over one of the broker's listeners.
func over(b *harness.Broker, listener, topic string, h *harness.Handler, o options) harness.Env {
	env := harness.TestEnv(b, topic, h).With("KAFKA_BOOTSTRAP_SERVERS", b.Real.Addr(listener))
	for name, value := range o {
		env = env.With("KAFKA_OPTION_"+strings.ToUpper(strings.ReplaceAll(strings.TrimSuffix(name, "!file"), ".", "_"))+fileSuffix(name), value)
	}
	return env
}

// fileSuffix turns an option that ends in !file into its _FILE twin.
func fileSuffix(name string) string {
	if strings.HasSuffix(name, "!file") {
		return "_FILE"
	}
	return ""
}

// secretsOf are the values that no output may show.
func secretsOf(o options, more ...string) []string {
	for name, value := range o {
		switch {
		case strings.HasSuffix(name, "!file"):
			text, err := os.ReadFile(value)
			if err == nil {
				more = append(more, strings.TrimSpace(string(text)))
			}
		case strings.Contains(name, "password"), strings.Contains(name, "secret"):
			more = append(more, value)
		case strings.HasSuffix(name, "key.pem"):
			more = append(more, strings.Split(value, "\n")[1])
		}
	}
	return slices.DeleteFunc(more, func(s string) bool { return s == "" })
}

// checkSecrets looks for secrets in everything that was written.
func checkSecrets(t *testing.T, text string, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("a secret is shown: %q", secret)
		}
	}
}

func withTLS() options { return options{"security.protocol": "sasl_ssl", "ssl.ca.pem": authority.cert} }

func byPassword(mechanism, user, password string) options {
	return withTLS().set("sasl.mechanism", mechanism, "sasl.username", user, "sasl.password", password)
}

func byCertificate(cert, key string) options {
	return options{"security.protocol": "ssl", "ssl.ca.pem": authority.cert, "ssl.certificate.pem": cert, "ssl.key.pem": key}
}

// byToken registers a client and gives the options with which it gets tokens.
func byToken(id string, c client) options {
	provider.register(id, c)
	return withTLS().set("sasl.mechanism", "OAUTHBEARER", "sasl.oauthbearer.method", "oidc", "sasl.oauthbearer.client.id", id,
		"sasl.oauthbearer.client.secret", c.secret, "sasl.oauthbearer.token.endpoint.url", provider.plain.URL+"/token", "sasl.oauthbearer.scope", "kafka read")
}

func TestRecordsAreDeliveredOverEveryWayToConnect(t *testing.T) {
	b := harness.Real(t)
	us := issue(authority)
	good := client{secret: "client-hunter5", audience: audience, life: time.Hour}
	for name, way := range map[string]struct {
		listener string
		options  options
	}{
		"PLAIN":                     {"SASLSSL", byPassword("PLAIN", alice, alicePassword)},
		"PLAIN, password in a file": {"SASLSSL", byPassword("PLAIN", alice, "").set("sasl.password!file", write(t, alicePassword+"\n"))},
		"SCRAM-SHA-256":             {"SASLSSL", byPassword("SCRAM-SHA-256", bob, bobPassword)},
		"SCRAM-SHA-512":             {"SASLSSL", byPassword("SCRAM-SHA-512", bob, bobPassword)},
		"authority in a file":       {"SASLSSL", byPassword("PLAIN", alice, alicePassword).set("ssl.ca.pem", "", "ssl.ca.location", write(t, authority.cert))},
		"mutual TLS":                {"MTLS", byCertificate(us.cert, us.key)},
		"mutual TLS, files": {"MTLS", options{"security.protocol": "ssl", "ssl.ca.location": write(t, authority.cert),
			"ssl.certificate.location": write(t, us.cert), "ssl.key.location": write(t, us.key)}},
		"mutual TLS, encrypted key":           {"MTLS", byCertificate(us.cert, us.encrypted(t, "key-hunter6")).set("ssl.key.password", "key-hunter6")},
		"tokens":                              {"TOKENS", byToken("plain-client", good)},
		"tokens, endpoint's authority inline": {"TOKENS", byToken("tls-client", good).set("sasl.oauthbearer.token.endpoint.url", localhost(provider.tls.URL)+"/token", "https.ca.pem", authority.cert)},
		"tokens, everything in files": {"TOKENS", byToken("file-client", good).set("sasl.oauthbearer.client.secret", "", "sasl.oauthbearer.client.secret!file", write(t, good.secret),
			"sasl.oauthbearer.token.endpoint.url", localhost(provider.tls.URL)+"/token", "https.ca.location", write(t, authority.cert))},
		"tokens, endpoint down at first": {"TOKENS", byToken("late-client", client{secret: "client-hunter7", audience: audience, life: time.Hour, outage: 3})},
	} {
		t.Run(name, func(t *testing.T) {
			topic := b.CreateTopic(2)
			records := b.Produce(harness.Keyed(topic, 20, 5)...)
			h := harness.NewHandler(t, harness.OK)
			env := over(b, way.listener, topic, h, way.options)
			s := harness.Start(t, env)
			h.WaitSettled(records)
			b.WaitCommitted(env.Group(), topic)
			_, shown := s.Get("/subscription")
			out, errs, code := harness.Run(t, env, "check")
			if code != 0 {
				t.Errorf("check ends with %d:\n%s%s", code, out, errs)
			}
			id := way.options["sasl.oauthbearer.client.id"]
			checkSecrets(t, strings.Join(s.Lines(), "\n")+shown+out+errs, secretsOf(way.options, provider.tokens(id)...))
			if id != "" && provider.scope(id) != "kafka read" {
				t.Errorf("scope %q was asked for", provider.scope(id))
			}
		})
	}
}

// localhost names this machine by the name that the certificates hold.
func localhost(url string) string { return strings.Replace(url, "127.0.0.1", "localhost", 1) }
