package envconfig

import "strings"

const (
	openSSL  = "it belongs to OpenSSL, which is not used"
	kerberos = "Kerberos (GSSAPI) is not supported"
	jwtGrant = "the JWT grant of SASL OAUTHBEARER is not supported, the client credentials grant is"
)

func pemTo(field func(*Security) *PEM) func(*applied, value) {
	return func(a *applied, v value) { a.pem(field(&a.kafka.Security), PEM(v.ref), v) }
}

func pemFileTo(field func(*Security) *PEM) func(*applied, value) {
	return func(a *applied, v value) { a.pem(field(&a.kafka.Security), PEM{File: strings.TrimSpace(v.text)}, v) }
}

// pem takes PEM material once.
func (a *applied) pem(field *PEM, given PEM, v value) {
	if !field.IsZero() {
		a.p.fail(v.setting.variable, "%s is set beside its twin; want either the .location or the .pem option", v.setting.of())
		return
	}
	*field = given
}

func secretTo(field func(*Security) *SecretRef) func(*applied, value) {
	return func(a *applied, v value) { *field(&a.kafka.Security) = v.ref }
}

// securityOptions are the options about TLS and SASL.
var securityOptions = []*option{
	{Name: "security.protocol", Class: apply, Kind: choice, Words: protocols, Default: "plaintext", Effect: "how a broker is reached; prefixes of the brokers set it too", apply: func(a *applied, v value) { a.protocol = v.text }},
	{Name: "ssl.cipher.suites", Class: apply, Effect: "cipher suites of TLS 1.2, by OpenSSL's or IANA's names; those of TLS 1.3 cannot be chosen", apply: applyCiphers},
	{Name: "ssl.curves.list", Class: apply, Effect: "key exchange: X25519, P-256, P-384, P-521, X25519MLKEM768", apply: applyCurves},
	{Name: "ssl.sigalgs.list", Class: refuse, Effect: "signature algorithms cannot be chosen, and leaving that out would weaken your policy"},
	{Name: "ssl.key.location", Class: apply, Effect: "file with the client's key, PEM", apply: pemFileTo(func(s *Security) *PEM { return &s.Key })},
	{Name: "ssl.key.password", Class: apply, Effect: "password of the client's key (encrypted PKCS#8)", apply: secretTo(func(s *Security) *SecretRef { return &s.KeyPassword })},
	{Name: "ssl.key.pem", Class: apply, Effect: "the client's key, PEM", apply: pemTo(func(s *Security) *PEM { return &s.Key })},
	{Name: "ssl_key", Class: refuse, Effect: cPointer},
	{Name: "ssl.certificate.location", Class: apply, Effect: "file with the client's certificate, PEM", apply: pemFileTo(func(s *Security) *PEM { return &s.Certificate })},
	{Name: "ssl.certificate.pem", Class: apply, Effect: "the client's certificate, PEM", apply: pemTo(func(s *Security) *PEM { return &s.Certificate })},
	{Name: "ssl_certificate", Class: refuse, Effect: cPointer},
	{Name: "ssl.ca.location", Class: apply, Effect: "file with authorities, PEM, or a folder of *.pem and *.crt; probe for the system's", apply: func(a *applied, v value) {
		if strings.TrimSpace(v.text) != "probe" {
			a.pem(&a.kafka.Security.CA, PEM{File: strings.TrimSpace(v.text)}, v)
		}
	}},
	{Name: "https.ca.location", Class: apply, Default: "probe", Effect: "authorities of the token endpoint: a file, PEM, or a folder of *.pem and *.crt; probe for the system's", apply: func(a *applied, v value) {
		if strings.TrimSpace(v.text) != "probe" {
			a.pem(&a.kafka.Security.OAuth.CA, PEM{File: strings.TrimSpace(v.text)}, v)
		}
	}},
	{Name: "https.ca.pem", Class: apply, Effect: "authorities of the token endpoint, PEM", apply: pemTo(func(s *Security) *PEM { return &s.OAuth.CA })},
	{Name: "ssl.ca.pem", Class: apply, Effect: "authorities, PEM", apply: pemTo(func(s *Security) *PEM { return &s.CA })},
	{Name: "ssl_ca", Class: refuse, Effect: cPointer},
	{Name: "ssl.ca.certificate.stores", Class: ignore, Default: "Root", Effect: "it is for Windows"},
	{Name: "ssl.crl.location", Class: refuse, Effect: "revocation lists are not checked, and leaving that out would weaken your policy"},
	{Name: "ssl.keystore.location", Class: apply, Effect: "PKCS#12 file with the client's key and certificate", apply: func(a *applied, v value) { a.kafka.Security.Keystore = strings.TrimSpace(v.text) }},
	{Name: "ssl.keystore.password", Class: apply, Effect: "its password", apply: secretTo(func(s *Security) *SecretRef { return &s.KeystorePassword })},
	{Name: "ssl.providers", Class: refuse, Effect: openSSL},
	{Name: "ssl.engine.location", Class: refuse, Effect: openSSL},
	{Name: "ssl.engine.id", Class: refuse, Default: "dynamic", Effect: openSSL},
	{Name: "ssl_engine_callback_data", Class: refuse, Effect: cPointer},
	{Name: "enable.ssl.certificate.verification", Class: apply, Kind: boolean, Default: "true", Effect: "false trusts any broker: warned at start", apply: func(a *applied, v value) { a.kafka.Security.SkipVerify = !v.on }},
	{Name: "ssl.endpoint.identification.algorithm", Class: apply, Kind: choice, Words: []string{"none", "https"}, Default: "https", Effect: "none accepts a trusted certificate for any host", apply: func(a *applied, v value) { a.kafka.Security.SkipHostname = v.text == "none" }},
	{Name: "ssl.certificate.verify_cb", Class: refuse, Effect: cCallback},
	{Name: "sasl.mechanisms", Aliases: []string{"sasl.mechanism"}, Class: apply, Default: "GSSAPI", Effect: "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, or AWS_MSK_IAM (OAUTHBEARER with sasl.oauthbearer.config=provider=msk-iam); needed with sasl_plaintext and sasl_ssl, since Kerberos is not supported", apply: applyMechanism},
	{Name: "sasl.kerberos.service.name", Class: refuse, Default: "kafka", Effect: kerberos},
	{Name: "sasl.kerberos.principal", Class: refuse, Default: "kafkaclient", Effect: kerberos},
	{Name: "sasl.kerberos.kinit.cmd", Class: refuse, Default: `kinit -R -t "%{sasl.kerberos.keytab}" -k %{sasl.kerberos.principal} || kinit -t "%{sasl.kerberos.keytab}" -k %{sasl.kerberos.principal}`, Effect: kerberos},
	{Name: "sasl.kerberos.keytab", Class: refuse, Effect: kerberos},
	{Name: "sasl.kerberos.min.time.before.relogin", Class: refuse, Kind: whole, Min: 0, Max: 86400000, Default: "60000", Effect: kerberos},
	{Name: "sasl.username", Class: apply, Effect: "user", apply: secretTo(func(s *Security) *SecretRef { return &s.Username })},
	{Name: "sasl.password", Class: apply, Effect: "password", apply: secretTo(func(s *Security) *SecretRef { return &s.Password })},
	{Name: "sasl.oauthbearer.config", Class: apply, Effect: "provider=msk-iam,region=eu-west-1 for Amazon MSK with IAM; also profile=, role_arn=, role_session_name=, external_id=. The region is that of the brokers' names unless given, the credentials are found where AWS's tools look", apply: applyOAuthConfig},
	{Name: "enable.sasl.oauthbearer.unsecure.jwt", Class: refuse, Kind: boolean, Default: "false", Effect: "unsigned tokens prove nothing; set sasl.oauthbearer.method to oidc, or sasl.oauthbearer.config to provider=msk-iam"},
	{Name: "oauthbearer_token_refresh_cb", Class: refuse, Effect: cCallback},
	{Name: "sasl.oauthbearer.method", Class: apply, Kind: choice, Words: []string{"default", "oidc"}, Default: "default", Effect: "oidc: tokens come from sasl.oauthbearer.token.endpoint.url by the client credentials grant; default: as sasl.oauthbearer.config says", apply: func(a *applied, v value) { a.oidc = v.text == "oidc" }},
	{Name: "sasl.oauthbearer.client.id", Aliases: []string{"sasl.oauthbearer.client.credentials.client.id"}, Class: apply, Effect: "client at the token endpoint", apply: secretTo(func(s *Security) *SecretRef { return &s.OAuth.ClientID })},
	{Name: "sasl.oauthbearer.client.secret", Aliases: []string{"sasl.oauthbearer.client.credentials.client.secret"}, Class: apply, Effect: "its secret", apply: secretTo(func(s *Security) *SecretRef { return &s.OAuth.ClientSecret })},
	{Name: "sasl.oauthbearer.scope", Class: apply, Effect: "scope that is asked for", apply: func(a *applied, v value) { a.kafka.Security.OAuth.Scope = strings.TrimSpace(v.text) }},
	{Name: "sasl.oauthbearer.extensions", Class: apply, Effect: "name=value, a comma list, that brokers get beside the token, like logicalCluster=lkc-1,identityPoolId=pool-1", apply: applyExtensions},
	{Name: "sasl.oauthbearer.token.endpoint.url", Class: apply, Effect: "token endpoint, https (http is warned about off the loopback)", apply: secretTo(func(s *Security) *SecretRef { return &s.OAuth.TokenURL })},
	{Name: "sasl.oauthbearer.sub.claim.name", Class: ignore, Default: "sub", Effect: "it is checked by librdkafka only"},
	{Name: "sasl.oauthbearer.grant.type", Class: refuse, Kind: choice, Words: []string{"client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer"}, Default: "client_credentials", Effect: jwtGrant},
	{Name: "sasl.oauthbearer.assertion.algorithm", Class: refuse, Default: "RS256", Effect: jwtGrant},
	{Name: "sasl.oauthbearer.assertion.private.key.file", Class: refuse, Effect: jwtGrant},
	{Name: "sasl.oauthbearer.assertion.private.key.passphrase", Class: refuse, Effect: jwtGrant},
	{Name: "sasl.oauthbearer.assertion.private.key.pem", Class: refuse, Effect: jwtGrant},
	{Name: "sasl.oauthbearer.assertion.file", Class: refuse, Effect: jwtGrant},
	{Name: "sasl.oauthbearer.assertion.claim.aud", Class: refuse, Effect: jwtGrant},
	{Name: "sasl.oauthbearer.assertion.claim.exp.seconds", Class: refuse, Kind: whole, Min: 1, Max: 2147483647, Default: "300", Effect: jwtGrant},
	{Name: "sasl.oauthbearer.assertion.claim.iss", Class: refuse, Effect: jwtGrant},
	{Name: "sasl.oauthbearer.assertion.claim.jti.include", Class: refuse, Kind: boolean, Default: "false", Effect: jwtGrant},
	{Name: "sasl.oauthbearer.assertion.claim.nbf.seconds", Class: refuse, Kind: whole, Min: 0, Max: 2147483647, Default: "60", Effect: jwtGrant},
	{Name: "sasl.oauthbearer.assertion.claim.sub", Class: refuse, Effect: jwtGrant},
	{Name: "sasl.oauthbearer.assertion.jwt.template.file", Class: refuse, Effect: jwtGrant},
	{Name: "sasl.oauthbearer.metadata.authentication.type", Class: refuse, Kind: choice, Words: []string{"none", "azure_imds", "aws_iam"}, Default: "none", Effect: "tokens from a cloud's metadata service are not supported"},
}

// wantMechanism ends the messages about sasl.mechanisms.
const wantMechanism = "want PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"

func applyMechanism(a *applied, v value) {
	s := &a.kafka.Security
	switch name := strings.ToUpper(strings.TrimSpace(v.text)); name {
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER":
		s.Mechanism = name
	case "AWS_MSK_IAM":
		// Java's name. Brokers that speak it speak OAUTHBEARER with the same rights beside it.
		s.Mechanism, a.mskIAM = "OAUTHBEARER", true
	case "GSSAPI":
		// librdkafka's default: a mistake only where SASL is really used, see login.
	default:
		a.p.fail(v.setting.variable, "%s is not a mechanism that is known; %s", v.setting.of(), wantMechanism)
	}
}
