package envconfig

import "strings"

// secretOptions are parts of option names whose values are never shown, as Restate's Admin API hides them.
var secretOptions = []string{
	"password", "secret", "passphrase", "sasl.username", "sasl.jaas.config", "sasl.oauthbearer.config", "token.endpoint.url",
	"ssl.key.location", "ssl.key.pem", "keystore.location", "truststore.location", "sasl.oauthbearer.assertion.private.key",
}

// isSecretOption says whether an option's value is hidden wherever options are shown.
func isSecretOption(name string) bool {
	name = strings.ToLower(name)
	for _, part := range secretOptions {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// RedactedOptions are the subscription's options for the status page, secrets hidden.
func (c *Config) RedactedOptions() map[string]string {
	out := make(map[string]string, len(c.Subscription.Options))
	for name, value := range c.Subscription.Options {
		if isSecretOption(name) {
			value = redacted
		}
		out[name] = value
	}
	return out
}
