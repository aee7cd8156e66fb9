package envconfig

import (
	"fmt"
	"strings"
	"testing"
)

// The files that vendors hand out, as they are but for names and keys.
const (
	confluentJava = `# Required connection configs for Kafka producer, consumer, and admin
bootstrap.servers=pkc-a1b2c.europe-west1.gcp.confluent.cloud:9092
security.protocol=SASL_SSL
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username='ABCDEFGHIJKLMNOP' password='a+b/c=d\\e';
sasl.mechanism=PLAIN
# Required for correctness in Apache Kafka clients prior to 2.6
client.dns.lookup=use_all_dns_ips

# Best practice for higher availability in Apache Kafka clients prior to 3.0
session.timeout.ms=45000

# Best practice for Kafka producer to prevent data loss
acks=all

client.id=ccloud-java-client-0f1e2d3c

# Required connection configs for Confluent Cloud Schema Registry
schema.registry.url=https://psrc-a1b2c.europe-west1.gcp.confluent.cloud
basic.auth.credentials.source=USER_INFO
basic.auth.user.info={{ SR_API_KEY }}:{{ SR_API_SECRET }}
`
	confluentPython = `# Required connection configs for Kafka producer, consumer, and admin
bootstrap.servers=pkc-a1b2c.europe-west1.gcp.confluent.cloud:9092
security.protocol=SASL_SSL
sasl.mechanisms=PLAIN
sasl.username=ABCDEFGHIJKLMNOP
sasl.password=a+b/c=d
# Best practice for higher availability in librdkafka clients prior to 1.7
session.timeout.ms=45000
client.id=ccloud-python-client-0f1e2d3c
`
	confluentOAuth = `bootstrap.servers=pkc-a1b2c.europe-west1.gcp.confluent.cloud:9092
security.protocol=SASL_SSL
sasl.oauthbearer.token.endpoint.url=https://login.example.com/oauth2/v2.0/token
sasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler
sasl.mechanism=OAUTHBEARER
sasl.jaas.config= \
  org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
    clientId='client' \
    scope='api://scope/.default' \
    clientSecret='secret' \
    extension_logicalCluster='lkc-1' \
    extension_identityPoolId='pool-1';
`
	// Kafka 4.1's names for the same (KIP-1139).
	kafkaOAuth = `bootstrap.servers=b:9092
security.protocol=SASL_SSL
sasl.mechanism=OAUTHBEARER
sasl.oauthbearer.jwt.retriever.class=org.apache.kafka.common.security.oauthbearer.ClientCredentialsJwtRetriever
sasl.oauthbearer.client.credentials.client.id=client
sasl.oauthbearer.client.credentials.client.secret=secret
sasl.oauthbearer.scope=api://scope/.default
sasl.oauthbearer.extensions=logicalCluster=lkc-1,identityPoolId=pool-1
sasl.oauthbearer.token.endpoint.url=https://login.example.com/oauth2/v2.0/token
sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required ;
`
	redpanda = `bootstrap.servers=seed-1a2b3c.abc.fmc.prd.cloud.redpanda.com:9092
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-256
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="me" password="pw";
`
	aiven = `bootstrap.servers=kafka-1a2b.aivencloud.com:12835
security.protocol=SSL
ssl.protocol=TLS
ssl.truststore.type=JKS
ssl.truststore.location=client.truststore.jks
ssl.truststore.password=changeit
ssl.keystore.type=PKCS12
ssl.keystore.location=%s
ssl.keystore.password=changeit
ssl.key.password=changeit
key.serializer=org.apache.kafka.common.serialization.StringSerializer
`
	mskIAM = `bootstrap.servers=b-1.orders.a1b2c3.c4.kafka.eu-west-1.amazonaws.com:9098,b-2.orders.a1b2c3.c4.kafka.eu-west-1.amazonaws.com:9098
security.protocol=SASL_SSL
sasl.mechanism=AWS_MSK_IAM
sasl.jaas.config=software.amazon.msk.auth.iam.IAMLoginModule required awsRoleArn="arn:aws:iam::123456789012:role/reader" awsRoleSessionName="orders" awsDebugCreds=true;
sasl.client.callback.handler.class=software.amazon.msk.auth.iam.IAMClientCallbackHandler
`
	mskToken = `bootstrap.servers=b-1.orders.a1b2c3.c4.kafka.eu-west-1.amazonaws.com:9098
security.protocol=SASL_SSL
sasl.mechanism=OAUTHBEARER
sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required awsProfileName="dev";
sasl.login.callback.handler.class=software.amazon.msk.auth.iam.IAMOAuthBearerLoginCallbackHandler
sasl.client.callback.handler.class=software.amazon.msk.auth.iam.IAMOAuthBearerLoginCallbackHandler
`
)

func TestVendorsFilesWorkAsPasted(t *testing.T) {
	const foreign = "INFO KAFKA_CLUSTERS_0_OPTIONS_FILE: option %s has no effect: it is for producers, for Java clients or for a schema registry"
	store := keystore(t, "changeit")
	oidc := Security{TLS: true, Mechanism: "OAUTHBEARER", OAuth: OAuth{
		TokenURL: SecretRef{Value: "https://login.example.com/oauth2/v2.0/token"}, ClientID: SecretRef{Value: "client"}, ClientSecret: SecretRef{Value: "secret"},
		Scope: "api://scope/.default", Extensions: []Extension{{"logicalCluster", "lkc-1"}, {"identityPoolId", "pool-1"}},
	}}
	user := func(mechanism, user, password string) Security {
		return Security{TLS: true, Mechanism: mechanism, Username: SecretRef{Value: Secret(user)}, Password: SecretRef{Value: Secret(password)}}
	}
	iam := func(msk MSK) Security { return Security{TLS: true, Mechanism: "OAUTHBEARER", OAuth: OAuth{MSK: msk}} }
	for name, c := range map[string]struct {
		file     string
		security Security
		foreign  []string
		more     string
	}{
		"Confluent Cloud, Java":   {confluentJava, user("PLAIN", "ABCDEFGHIJKLMNOP", `a+b/c=de`), []string{"acks", "basic.auth.credentials.source", "basic.auth.user.info", "schema.registry.url"}, ""},
		"Confluent Cloud, Python": {confluentPython, user("PLAIN", "ABCDEFGHIJKLMNOP", "a+b/c=d"), nil, ""},
		"Confluent Cloud, OAuth":  {confluentOAuth, oidc, []string{"sasl.login.callback.handler.class"}, ""},
		"Kafka 4.1, OAuth":        {kafkaOAuth, oidc, []string{"sasl.oauthbearer.jwt.retriever.class"}, ""},
		"Redpanda Cloud":          {redpanda, user("SCRAM-SHA-256", "me", "pw"), nil, ""},
		"Aiven": {fmt.Sprintf(aiven, store), Security{TLS: true, Keystore: store, KeystorePassword: SecretRef{Value: "changeit"}, KeyPassword: SecretRef{Value: "changeit"}},
			[]string{"key.serializer", "ssl.keystore.type", "ssl.protocol", "ssl.truststore.password", "ssl.truststore.type"},
			"WARN KAFKA_CLUSTERS_0_OPTIONS_FILE: option ssl.truststore.location has no effect: a Java truststore is not read; unless the broker's certificate is signed by a public authority, give the authorities as PEM in ssl.ca.location\n"},
		"MSK, IAM module": {mskIAM, iam(MSK{Region: "eu-west-1", Role: AWSRole{ARN: "arn:aws:iam::123456789012:role/reader", SessionName: "orders"}}), []string{"sasl.client.callback.handler.class"}, ""},
		"MSK, IAM tokens": {mskToken, iam(MSK{Region: "eu-west-1", Profile: "dev"}), []string{"sasl.client.callback.handler.class", "sasl.login.callback.handler.class"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := mustParse(t, clusterEnv("KAFKA_CLUSTERS_0_NAME=my-cluster", "KAFKA_CLUSTERS_0_OPTIONS_FILE="+file(t, "client.properties", c.file))...)
			got, want := plainly(&cfg.Kafka.Security), plainly(&c.security)
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			notes := make([]string, len(c.foreign))
			for i, one := range c.foreign {
				notes[i] = fmt.Sprintf(foreign, one)
			}
			if got, want := noteTexts(cfg), c.more+strings.Join(notes, "\n"); got != want {
				t.Errorf("got notes\n%s\nwant\n%s", got, want)
			}
			for _, s := range cfg.Redacted() {
				for _, ref := range []SecretRef{c.security.Password, c.security.OAuth.ClientSecret, c.security.KeystorePassword} {
					if !ref.IsZero() && strings.Contains(s.Value, ref.Value.Reveal()) {
						t.Errorf("%s shows a secret", s.Name)
					}
				}
			}
		})
	}
}

// plainly shows the values, secrets too, without the way back to a file.
func plainly(s *Security) string {
	o := &s.OAuth
	var refs []string
	for _, ref := range []SecretRef{s.Username, s.Password, s.KeyPassword, s.KeystorePassword, o.TokenURL, o.ClientID, o.ClientSecret} {
		refs = append(refs, ref.Value.Reveal())
	}
	return fmt.Sprintf("%v %s %s %q %s %v %+v", s.TLS, s.Mechanism, s.Keystore, refs, o.Scope, o.Extensions, o.MSK)
}

func TestLoginModulesThatCannotBeHonouredSayWhatToDo(t *testing.T) {
	const bearer = "sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
	for text, want := range map[string]string{
		bearer + `unsecuredLoginStringClaim_sub="hidden";`:                                                        "sasl.jaas.config asks for an unsigned token, which proves nothing and is not supported; " + wantJAAS,
		bearer + `oauth.client.id="hidden";`:                                                                      "sasl.jaas.config has the parameter with an unusual name (not shown), which this version does not know; " + wantJAAS,
		bearer + `useWorkloadIdentity="hidden";`:                                                                  "sasl.jaas.config has the parameter useWorkloadIdentity, which this version does not know; " + wantJAAS,
		`sasl.jaas.config=software.amazon.msk.auth.iam.IAMLoginModule required awsStsRegion="hidden";`:            "sasl.jaas.config has the parameter awsStsRegion, which this version does not know; want awsProfileName, awsRoleArn, awsRoleSessionName, awsRoleExternalId or none, and AWS_REGION for the region of STS",
		`sasl.jaas.config=software.amazon.msk.auth.iam.IAMLoginModule required awsProfileName="hidden,region=x";`: "sasl.jaas.config has a comma in awsProfileName; want it without",
	} {
		if _, err := propertiesOptions(text); err == nil || jaasName+" "+err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestClientSecretInsideALoginModuleIsReadAgain(t *testing.T) {
	path := file(t, "client.properties", confluentOAuth)
	secret := mustParse(t, clusterEnv("KAFKA_CLUSTERS_0_NAME=my-cluster", "KAFKA_CLUSTERS_0_OPTIONS_FILE="+path)...).Kafka.Security.OAuth.ClientSecret
	rotate(t, path, strings.Replace(confluentOAuth, "clientSecret='secret'", "clientSecret='new'", 1), secret.Load, "secret", "new")
}
