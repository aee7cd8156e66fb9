package envconfig

import (
	"crypto/tls"
	"log/slog"
	"slices"
	"strings"
)

// ciphers are OpenSSL's names of the suites of TLS 1.2 that Go has and holds for secure.
var ciphers = map[string]uint16{
	"ECDHE-ECDSA-AES128-GCM-SHA256": tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-RSA-AES128-GCM-SHA256":   tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-ECDSA-AES256-GCM-SHA384": tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-RSA-AES256-GCM-SHA384":   tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-ECDSA-CHACHA20-POLY1305": tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-RSA-CHACHA20-POLY1305":   tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-ECDSA-AES128-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	"ECDHE-RSA-AES128-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	"ECDHE-ECDSA-AES256-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	"ECDHE-RSA-AES256-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
}

// curves are the names, in lower case, of the key exchanges that Go has.
var curves = map[string]tls.CurveID{
	"x25519": tls.X25519, "x25519mlkem768": tls.X25519MLKEM768,
	"p-256": tls.CurveP256, "prime256v1": tls.CurveP256, "secp256r1": tls.CurveP256,
	"p-384": tls.CurveP384, "secp384r1": tls.CurveP384,
	"p-521": tls.CurveP521, "secp521r1": tls.CurveP521,
}

// names cuts a list as OpenSSL writes it.
func names(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ':' || r == ',' || r == ' ' })
}

func applyCiphers(a *applied, v value) {
	known := map[string]uint16{}
	for _, suite := range tls.CipherSuites() {
		if slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
			known[suite.Name] = suite.ID
		}
	}
	for i, name := range names(v.text) {
		name = strings.ToUpper(name)
		id, ok := ciphers[name]
		if !ok {
			id, ok = known[name]
		}
		if !ok {
			a.p.fail(v.setting.variable, "%s: entry %d is no cipher suite that can be chosen; want ECDHE suites of TLS 1.2, like ECDHE-RSA-AES128-GCM-SHA256", v.setting.of(), i)
			return
		}
		a.kafka.Security.CipherSuites = append(a.kafka.Security.CipherSuites, id)
	}
}

func applyCurves(a *applied, v value) {
	for i, name := range names(v.text) {
		id, ok := curves[strings.ToLower(name)]
		if !ok {
			a.p.fail(v.setting.variable, "%s: entry %d is no curve that can be chosen; want X25519, P-256, P-384, P-521 or X25519MLKEM768", v.setting.of(), i)
			return
		}
		a.kafka.Security.Curves = append(a.kafka.Security.Curves, uint16(id))
	}
}

// secure settles TLS and SASL once protocol and options are known.
func (a *applied) secure() {
	s := &a.kafka.Security
	s.TLS = strings.HasSuffix(a.protocol, "ssl")
	if strings.HasPrefix(a.protocol, "sasl_") {
		a.login()
	} else {
		for _, name := range slices.Concat([]string{"sasl.mechanisms"}, userOptions, tokenOptions) {
			a.without(name, "security.protocol has no SASL")
		}
		s.Mechanism, s.Username, s.Password, s.OAuth = "", SecretRef{}, SecretRef{}, OAuth{}
	}
	if !s.TLS {
		for _, o := range securityOptions {
			if o.Class == apply && (strings.HasPrefix(o.Name, "ssl.") || strings.HasPrefix(o.Name, "enable.ssl.")) {
				a.without(o.Name, "security.protocol has no TLS")
			}
		}
		*s = Security{Mechanism: s.Mechanism, Username: s.Username, Password: s.Password, OAuth: s.OAuth}
		return
	}
	if s.SkipVerify {
		set, _ := a.given("enable.ssl.certificate.verification")
		a.p.note(slog.LevelWarn, set.variable, "%s is false: any broker is trusted, and who is between can read and change everything", set.of())
	}
	a.material()
}

// userOptions are those of a login by user and password.
var userOptions = []string{"sasl.username", "sasl.password"}

// login wants a mechanism, and a user and a password or a way to tokens.
func (a *applied) login() {
	s := &a.kafka.Security
	variable := a.source // of a prefix, where no option chose the protocol
	if set, ok := a.given("security.protocol"); ok {
		variable = set.variable
	}
	if set, ok := a.given("sasl.mechanisms"); !ok {
		a.p.fail(variable, "security.protocol asks for SASL, but option sasl.mechanisms is not set, and librdkafka's default is GSSAPI, which is not supported; %s", wantMechanism)
	} else if strings.EqualFold(strings.TrimSpace(set.value), "GSSAPI") {
		a.p.fail(set.variable, "%s cannot be honoured: %s; %s", set.of(), kerberos, wantMechanism)
	}
	if s.Mechanism == "OAUTHBEARER" {
		for _, name := range userOptions {
			a.without(name, "sasl.mechanisms asks for tokens")
		}
		s.Username, s.Password = SecretRef{}, SecretRef{}
		a.tokens(variable)
		return
	}
	for _, name := range tokenOptions {
		a.without(name, "sasl.mechanisms is not OAUTHBEARER")
	}
	s.OAuth = OAuth{}
	for name, ref := range map[string]SecretRef{"sasl.username": s.Username, "sasl.password": s.Password} {
		if ref.IsZero() {
			a.p.fail(variable, "security.protocol asks for SASL, but option %s is not set; want it, for example as %s", name, encodeOption(name))
		}
	}
}

// without notes that an option does nothing.
func (a *applied) without(name, why string) {
	if s, ok := a.given(name); ok {
		a.p.note(slog.LevelInfo, s.variable, "%s has no effect: %s", s.of(), why)
	}
}

// material checks that certificates and keys can be read and fit.
func (a *applied) material() {
	s := &a.kafka.Security
	report := func(name, location string) func(string, ...any) {
		return func(format string, args ...any) {
			if _, ok := a.given(location); ok {
				name = location
			}
			a.blame(name, format, args...)
		}
	}
	checkAuthorities(s.CA, report("ssl.ca.pem", "ssl.ca.location"))
	certificate, key := report("ssl.certificate.pem", "ssl.certificate.location"), report("ssl.key.pem", "ssl.key.location")
	switch {
	case s.Keystore != "":
		if !s.Certificate.IsZero() || !s.Key.IsZero() {
			a.blame("ssl.keystore.location", "is set beside a certificate or key; want one of the two")
			return
		}
		checkKeystore(s.Keystore, s.KeystorePassword, report("ssl.keystore.location", "ssl.keystore.location"))
	case s.Certificate.IsZero() && s.Key.IsZero():
	case s.Certificate.IsZero():
		key("is set without a certificate; want ssl.certificate.location or ssl.certificate.pem too")
	case s.Key.IsZero():
		certificate("is set without a key; want ssl.key.location or ssl.key.pem too")
	default:
		checkKeyPair(s.Certificate, s.Key, s.KeyPassword, certificate, key)
	}
}
