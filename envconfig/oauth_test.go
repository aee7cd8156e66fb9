package envconfig

import (
	"strings"
	"testing"
)

// tokenEnv is a configuration with OAUTHBEARER and further options as lines.
func tokenEnv(lines ...string) []string {
	return with("KAFKA_BOOTSTRAP_SERVERS=SASL_SSL://b", "SUBSCRIPTION_OPTIONS=sasl.mechanism=OAUTHBEARER\n"+strings.Join(lines, "\n"))
}

func TestTokenMistakesAreFoundAtStart(t *testing.T) {
	const (
		of      = "SUBSCRIPTION_OPTIONS: option "
		method  = "sasl.oauthbearer.method=oidc"
		id      = "sasl.oauthbearer.client.id=me"
		secret  = "sasl.oauthbearer.client.secret=hidden"
		url     = "sasl.oauthbearer.token.endpoint.url="
		config  = "sasl.oauthbearer.config="
		wantMSK = "; want provider=msk-iam,region=eu-west-1, and where needed profile=, role_arn=, role_session_name=, external_id="
	)
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"nothing": {nil, "KAFKA_BOOTSTRAP_SERVERS: security.protocol asks for SASL with tokens, but nothing says where they come from; want option sasl.oauthbearer.method=oidc with a token endpoint, or sasl.oauthbearer.config=provider=msk-iam,region=… for Amazon MSK"},
		"oidc alone": {[]string{method}, "KAFKA_BOOTSTRAP_SERVERS: option sasl.oauthbearer.method is oidc, but option sasl.oauthbearer.client.id is not set; want it, for example as KAFKA_OPTION_SASL_OAUTHBEARER_CLIENT_ID\n" +
			"KAFKA_BOOTSTRAP_SERVERS: option sasl.oauthbearer.method is oidc, but option sasl.oauthbearer.client.secret is not set; want it, for example as KAFKA_OPTION_SASL_OAUTHBEARER_CLIENT_SECRET\n" +
			"KAFKA_BOOTSTRAP_SERVERS: option sasl.oauthbearer.method is oidc, but option sasl.oauthbearer.token.endpoint.url is not set; want it, for example as KAFKA_OPTION_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL"},
		"no URL":                 {[]string{method, id, secret, url + "idp.example/hidden"}, of + "sasl.oauthbearer.token.endpoint.url is no URL; want one like https://idp.example/oauth2/token"},
		"a user in the URL":      {[]string{method, id, secret, url + "https://me:hidden@idp.example/"}, of + "sasl.oauthbearer.token.endpoint.url has a user or a fragment; want the client in sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret"},
		"authorities":            {[]string{method, id, secret, url + "https://i", "https.ca.pem=hidden"}, of + "https.ca.pem holds no certificate; want PEM of at least one"},
		"authorities twice":      {[]string{method, id, secret, url + "https://i", "https.ca.pem=hidden", "https.ca.location=/hidden"}, ""},
		"an extension":           {[]string{method, id, secret, url + "https://i", "sasl.oauthbearer.extensions=a=b,auth=hidden"}, of + "sasl.oauthbearer.extensions: entry 1 is no extension; want name=value of a name of letters (not auth) and a value of visible characters"},
		"both ways":              {[]string{method, config + "provider=msk-iam,region=eu-west-1"}, of + "sasl.oauthbearer.method is oidc beside AWS's IAM, which needs no token endpoint; want one of the two"},
		"librdkafka's own form":  {[]string{config + "principal=hidden"}, of + "sasl.oauthbearer.config names no provider (librdkafka's principal=… makes an unsigned token, which is not supported)" + wantMSK},
		"another provider":       {[]string{config + "provider=hidden"}, of + "sasl.oauthbearer.config names a provider that is not known" + wantMSK},
		"an unknown part":        {[]string{config + "provider=msk-iam,hidden=x"}, of + "sasl.oauthbearer.config has a part 1 that is not known" + wantMSK},
		"a part twice":           {[]string{config + "provider=msk-iam,region=eu-west-1,region=x"}, of + "sasl.oauthbearer.config has region twice" + wantMSK},
		"a region that is none":  {[]string{config + "provider=msk-iam,region=Ireland"}, of + "sasl.oauthbearer.config has a region that is none" + wantMSK},
		"a session without role": {[]string{config + "provider=msk-iam,region=eu-west-1,role_session_name=x"}, of + "sasl.oauthbearer.config has a role_session_name or an external_id, but no role_arn" + wantMSK},
		"a role that is none":    {[]string{config + "provider=msk-iam,region=eu-west-1,role_arn=hidden"}, of + "sasl.oauthbearer.config has a role_arn that does not begin with arn:" + wantMSK},
		"no region":              {[]string{config + "provider=msk-iam"}, of + "sasl.oauthbearer.config has no region, and neither the brokers' names nor AWS_REGION tell it; want provider=msk-iam,region=eu-west-1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := message(tokenEnv(c.lines...))
			if c.want == "" { // two mistakes of which the order is the table's
				c.want = of + "https.ca.location cannot be read (no such file or directory); want PEM of at least one certificate"
				if !strings.Contains(got, "https.ca.pem is set beside its twin") {
					t.Errorf("got %s", got)
				}
				return
			}
			if got != c.want || strings.Contains(got, "hidden") {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestRegionOfMSKComesFromTheConfigTheBrokersOrTheEnvironment(t *testing.T) {
	const provisioned, serverless = "b-1.x.ab12.c3.kafka.eu-west-1.amazonaws.com:9098", "boot-1.c2.kafka-serverless.us-gov-east-1.amazonaws.com:9098"
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"config":      {[]string{"KAFKA_BOOTSTRAP_SERVERS=SASL_SSL://" + provisioned, "KAFKA_OPTION_SASL_OAUTHBEARER_CONFIG=provider=msk-iam,region=eu-north-1", "AWS_REGION=us-east-1"}, "eu-north-1"},
		"brokers":     {[]string{"KAFKA_BOOTSTRAP_SERVERS=SASL_SSL://" + provisioned, "KAFKA_OPTION_SASL_OAUTHBEARER_CONFIG=provider=msk-iam", "AWS_REGION=us-east-1"}, "eu-west-1"},
		"serverless":  {[]string{"KAFKA_BOOTSTRAP_SERVERS=SASL_SSL://" + serverless, "KAFKA_OPTION_SASL_OAUTHBEARER_CONFIG=provider=msk-iam"}, "us-gov-east-1"},
		"environment": {[]string{"KAFKA_BOOTSTRAP_SERVERS=SASL_SSL://b", "KAFKA_OPTION_SASL_OAUTHBEARER_CONFIG=provider=msk-iam", "AWS_DEFAULT_REGION=us-east-1"}, "us-east-1"},
	} {
		k := mustParse(t, with(append(c.env, "KAFKA_OPTION_SASL_MECHANISM=OAUTHBEARER")...)...).Kafka
		if k.Security.Mechanism != "OAUTHBEARER" || k.Security.OAuth.MSK.Region != c.want {
			t.Errorf("%s: got %+v", name, k.Security)
		}
	}
}

func TestJavasNameOfMSKsMechanismIsUnderstood(t *testing.T) {
	s := mustParse(t, with("KAFKA_BOOTSTRAP_SERVERS=SASL_SSL://b-1.x.kafka.eu-west-1.amazonaws.com:9098", "KAFKA_OPTION_SASL_MECHANISM=AWS_MSK_IAM")...).Kafka.Security
	if s.Mechanism != "OAUTHBEARER" || s.OAuth.MSK.Region != "eu-west-1" {
		t.Errorf("got %+v", s)
	}
}

func TestOptionsOfAnotherLoginAreNoted(t *testing.T) {
	endpoint := "sasl.oauthbearer.client.id=me"
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"no SASL":     {with("SUBSCRIPTION_OPTIONS=" + endpoint), "INFO SUBSCRIPTION_OPTIONS: option sasl.oauthbearer.client.id has no effect: security.protocol has no SASL"},
		"a password":  {with("KAFKA_BOOTSTRAP_SERVERS=SASL_SSL://b", "SUBSCRIPTION_OPTIONS=sasl.mechanism=PLAIN\nsasl.username=u\nsasl.password=p\n"+endpoint), "INFO SUBSCRIPTION_OPTIONS: option sasl.oauthbearer.client.id has no effect: sasl.mechanisms is not OAUTHBEARER"},
		"IAM":         {tokenEnv("sasl.oauthbearer.config=provider=msk-iam,region=eu-west-1", endpoint), "INFO SUBSCRIPTION_OPTIONS: option sasl.oauthbearer.client.id has no effect: tokens for Amazon MSK are signed here"},
		"a user":      {tokenEnv("sasl.oauthbearer.config=provider=msk-iam,region=eu-west-1", "sasl.username=u"), "INFO SUBSCRIPTION_OPTIONS: option sasl.username has no effect: sasl.mechanisms asks for tokens"},
		"plain http":  {tokenEnv("sasl.oauthbearer.method=oidc", endpoint, "sasl.oauthbearer.client.secret=s", "sasl.oauthbearer.token.endpoint.url=http://idp/t"), "WARN SUBSCRIPTION_OPTIONS: option sasl.oauthbearer.token.endpoint.url is http: the client's secret and the tokens can be read on the way"},
		"on loopback": {tokenEnv("sasl.oauthbearer.method=oidc", endpoint, "sasl.oauthbearer.client.secret=s", "sasl.oauthbearer.token.endpoint.url=http://127.0.0.1:1/t"), ""},
	} {
		if got := noteTexts(mustParse(t, c.env...)); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestTokenSecretsAreShownNowhere(t *testing.T) {
	cfg := mustParse(t, tokenEnv("sasl.oauthbearer.method=oidc", "sasl.oauthbearer.client.id=me", "sasl.oauthbearer.client.secret=hidden", "sasl.oauthbearer.token.endpoint.url=https://idp/t?key=hidden")...)
	found := false
	for _, s := range cfg.Redacted() {
		if strings.Contains(s.Value, "hidden") {
			t.Errorf("%s is shown as %s", s.Name, s.Value)
		}
		found = found || s == Setting{"sasl.oauthbearer.method", "oidc"}
	}
	if !found {
		t.Error("how tokens are got is not shown")
	}
	for name, value := range cfg.RedactedOptions() {
		if strings.Contains(value, "hidden") {
			t.Errorf("option %s is shown as %s", name, value)
		}
	}
}
