package security

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

// What all tests of the package share.
var (
	authority *identity // of the broker and of its clients
	provider  *idp
)

// Users of the broker. No secret is part of another word.
const (
	alice, alicePassword = "alice", "alice-hunter2"
	bob, bobPassword     = "bob", "bob-hunter3"
	carol, carolPassword = "carol", "carol-hunter4"
)

// session is how long the broker lets a SCRAM-SHA-512 session live; the tests of rotation count on it.
const session = "4000"

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kafka-security-*")
	if err != nil {
		panic(err)
	}
	authority = issue(nil)
	provider = startIDP(authority)
	broker := issue(authority)
	keystore, truststore := filepath.Join(dir, "keystore.pem"), filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(keystore, []byte(broker.key+broker.cert), 0o600); err != nil {
		panic(err)
	}
	if err := os.WriteFile(truststore, []byte(authority.cert), 0o600); err != nil {
		panic(err)
	}
	const module = "org.apache.kafka.common.security."
	scram := func(hash, user, password string) []string {
		return []string{"--add-scram", fmt.Sprintf("SCRAM-SHA-%s=[name=%s,password=%s]", hash, user, password)}
	}
	harness.Share(realkafka.Options{
		Listeners: []realkafka.Listener{
			{Name: "SASLSSL", Protocol: "SASL_SSL", Host: "localhost"},
			{Name: "MTLS", Protocol: "SSL", Host: "localhost"},
			{Name: "TOKENS", Protocol: "SASL_SSL", Host: "localhost"},
		},
		Properties: map[string]string{
			"ssl.keystore.type": "PEM", "ssl.keystore.location": keystore, "ssl.truststore.type": "PEM", "ssl.truststore.location": truststore,
			"listener.name.mtls.ssl.client.auth":                                  "required",
			"listener.name.saslssl.sasl.enabled.mechanisms":                       "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
			"listener.name.saslssl.plain.sasl.jaas.config":                        module + `plain.PlainLoginModule required user_` + alice + `="` + alicePassword + `";`,
			"listener.name.saslssl.scram-sha-256.sasl.jaas.config":                module + "scram.ScramLoginModule required;",
			"listener.name.saslssl.scram-sha-512.sasl.jaas.config":                module + "scram.ScramLoginModule required;",
			"listener.name.saslssl.scram-sha-512.connections.max.reauth.ms":       session,
			"listener.name.tokens.sasl.enabled.mechanisms":                        "OAUTHBEARER",
			"listener.name.tokens.oauthbearer.sasl.jaas.config":                   module + "oauthbearer.OAuthBearerLoginModule required;",
			"listener.name.tokens.oauthbearer.sasl.server.callback.handler.class": module + "oauthbearer.OAuthBearerValidatorCallbackHandler",
			"listener.name.tokens.oauthbearer.connections.max.reauth.ms":          "3600000",
			"listener.name.tokens.sasl.oauthbearer.jwks.endpoint.url":             provider.plain.URL + "/jwks",
			"listener.name.tokens.sasl.oauthbearer.expected.audience":             audience,
			"listener.name.tokens.sasl.oauthbearer.expected.issuer":               provider.plain.URL,
		},
		Format: append(append(scram("256", bob, bobPassword), scram("512", bob, bobPassword)...), scram("512", carol, carolPassword)...),
		JVM:    []string{"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=" + provider.plain.URL + "/jwks"},
	})
	harness.Main(m, provider.close, func() { _ = os.RemoveAll(dir) })
}
