package security

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// reasons are the texts of what was logged at a level.
func reasons(s *harness.Sidecar, level string) []string {
	var texts []string
	for _, l := range s.Logs() {
		if l["level"] == level {
			texts = append(texts, fmt.Sprint(l["err"]))
		}
	}
	return texts
}

// TestLoginThatIsRefusedEndsTheStartWithOneReason: each mistake is retried until STARTUP_TIMEOUT, since somebody may mend it meanwhile, and
// then ends the process with 1 and a text that names the option. What does not change is not said again at every try.
func TestLoginThatIsRefusedEndsTheStartWithOneReason(t *testing.T) {
	b := harness.Real(t)
	us, stranger := issue(authority), issue(nil)
	const wrong = "wrong-hunter8"
	hour := client{secret: "client-hunter9", audience: audience, life: time.Hour}
	stale, elsewhere := hour, hour
	stale.life, elsewhere.audience = -time.Minute, "payments"
	for name, c := range map[string]struct {
		listener string
		options  options
		want     []string
	}{
		"PLAIN, wrong password":     {"SASLSSL", byPassword("PLAIN", alice, wrong), []string{"SASL Authentication Failed", "check sasl.username, sasl.password and sasl.mechanism"}},
		"SCRAM-256, wrong password": {"SASLSSL", byPassword("SCRAM-SHA-256", bob, wrong), []string{"SASL Authentication Failed", "check sasl.username, sasl.password and sasl.mechanism"}},
		"SCRAM-512, unknown user":   {"SASLSSL", byPassword("SCRAM-SHA-512", "mallory", wrong), []string{"SASL Authentication Failed", "check sasl.username, sasl.password and sasl.mechanism"}},
		"wrong mechanism":           {"TOKENS", byPassword("PLAIN", alice, wrong), []string{"the broker offers OAUTHBEARER; set sasl.mechanism"}},
		"unknown authority":         {"SASLSSL", byPassword("PLAIN", alice, alicePassword).set("ssl.ca.pem", stranger.cert), []string{"unknown authority", "ssl.ca.location or ssl.ca.pem"}},
		"system's authorities only": {"SASLSSL", byPassword("PLAIN", alice, alicePassword).set("ssl.ca.pem", ""), []string{"unknown authority", "ssl.ca.location or ssl.ca.pem"}},
		"another host name":         {"SASLSSL", byPassword("PLAIN", alice, alicePassword), []string{"127.0.0.1", "ssl.endpoint.identification.algorithm"}},
		"no client certificate":     {"MTLS", options{"security.protocol": "ssl", "ssl.ca.pem": authority.cert}, []string{"ssl.certificate.location and ssl.key.location"}},
		"a stranger's certificate":  {"MTLS", byCertificate(stranger.cert, stranger.key), []string{"ssl.certificate.location and ssl.key.location"}},
		"no TLS towards TLS":        {"MTLS", options{}, []string{"set security.protocol to ssl or sasl_ssl"}},
		"no SASL towards SASL":      {"SASLSSL", byCertificate(us.cert, us.key), []string{"security.protocol", "sasl.mechanism"}},
		"wrong client secret":       {"TOKENS", byToken("c1", hour).set("sasl.oauthbearer.client.secret", wrong), []string{"answered 401 Unauthorized (invalid_client)", "check sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret"}},
		"no token endpoint there":   {"TOKENS", byToken("c2", hour).set("sasl.oauthbearer.token.endpoint.url", provider.plain.URL+"/other"), []string{"answered 404 Not Found", "check sasl.oauthbearer.token.endpoint.url"}},
		"endpoint's authority":      {"TOKENS", byToken("c3", hour).set("sasl.oauthbearer.token.endpoint.url", localhost(provider.tls.URL)+"/token"), []string{"unknown authority", "https.ca.location or https.ca.pem"}},
		"an expired token":          {"TOKENS", byToken("c4", stale), []string{"had ended already when it came", "sasl.oauthbearer.token.endpoint.url"}},
		"a token for others":        {"TOKENS", byToken("c5", elsewhere), []string{"SASL Authentication Failed", "invalid_token", "its audience", "sasl.oauthbearer.*"}},
		"no AWS credentials": {"TOKENS", withTLS().set("sasl.mechanism", "OAUTHBEARER", "sasl.oauthbearer.config", "provider=msk-iam,region=eu-west-1"),
			[]string{"find AWS credentials: none are set up", "give the task, pod or instance a role"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := over(b, c.listener, "never-reached", harness.NewHandler(t, harness.OK), c.options).With("STARTUP_TIMEOUT", "4s", "AWS_EC2_METADATA_DISABLED", "true")
			if name == "another host name" {
				env = env.With("KAFKA_BOOTSTRAP_SERVERS", strings.Replace(env["KAFKA_BOOTSTRAP_SERVERS"], "localhost", "127.0.0.1", 1))
			}
			s := harness.Start(t, env)
			s.Exit(1)
			errs, warnings := reasons(s, "ERROR"), reasons(s, "WARN")
			if len(errs) != 1 || len(warnings) != 1 {
				t.Fatalf("the reason is told %d times as a warning and %d times as an error, want once each:\n%s", len(warnings), len(errs), strings.Join(s.Lines(), "\n"))
			}
			for _, want := range append(c.want, "start within STARTUP_TIMEOUT (4s)") {
				if !strings.Contains(errs[0], want) {
					t.Errorf("no %q in\n%s", want, errs[0])
				}
			}
			out, stderr, code := harness.Run(t, env, "check")
			if code != 1 || !strings.Contains(out, c.want[0]) {
				t.Errorf("check ends with %d:\n%s%s", code, out, stderr)
			}
			checkSecrets(t, strings.Join(s.Lines(), "\n")+out+stderr, secretsOf(c.options, append(provider.tokens(c.options["sasl.oauthbearer.client.id"]), wrong)...))
		})
	}
}

func TestAllMistakesOfTheSecurityOptionsAreToldAtOnce(t *testing.T) {
	env := harness.Env{
		"KAFKA_BOOTSTRAP_SERVERS": "SASL_SSL://localhost:1", "SUBSCRIPTION_ID": "id", "SUBSCRIPTION_SOURCE": "kafka://c/orders", "SUBSCRIPTION_SINK": "http://h/x",
		"KAFKA_OPTION_SASL_MECHANISM": "OAUTHBEARER", "KAFKA_OPTION_SASL_OAUTHBEARER_METHOD": "oidc",
		"KAFKA_OPTION_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "hunter", "KAFKA_OPTION_SASL_OAUTHBEARER_CLIENT_SECRET_FILE": "/nowhere/hunter",
		"KAFKA_OPTION_HTTPS_CA_PEM": "hunter", "KAFKA_OPTION_SSL_KEY_PEM": "hunter", "KAFKA_OPTION_SASL_OAUTHBEARER_GRANT_TYPE": "urn:ietf:params:oauth:grant-type:jwt-bearer",
	}
	out, errs, code := harness.Run(t, env)
	if code != 2 {
		t.Fatalf("exit code %d, want 2", code)
	}
	for _, want := range []string{
		"sasl.oauthbearer.client.id is not set", "KAFKA_OPTION_SASL_OAUTHBEARER_CLIENT_SECRET_FILE", "KAFKA_OPTION_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL",
		"KAFKA_OPTION_HTTPS_CA_PEM", "KAFKA_OPTION_SSL_KEY_PEM", "KAFKA_OPTION_SASL_OAUTHBEARER_GRANT_TYPE",
	} {
		if !strings.Contains(errs, want) {
			t.Errorf("no %q in\n%s", want, errs)
		}
	}
	checkSecrets(t, out+errs, []string{"hunter"})
}
