package envconfig

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// tokenOptions are those of OAUTHBEARER that are honoured, endpointOptions those of them that are about a token endpoint.
var (
	tokenOptions    = slices.Concat([]string{"sasl.oauthbearer.config", "sasl.oauthbearer.method", "sasl.oauthbearer.extensions"}, endpointOptions)
	endpointOptions = []string{
		"sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret", "sasl.oauthbearer.scope", "sasl.oauthbearer.token.endpoint.url",
		"https.ca.location", "https.ca.pem",
	}
)

const mskProvider = "provider=msk-iam"

// applyOAuthConfig reads sasl.oauthbearer.config as Restate writes it: name=value, parted by commas. librdkafka's own form, which describes
// an unsigned token, is refused.
func applyOAuthConfig(a *applied, v value) {
	const want = "want " + mskProvider + ",region=eu-west-1, and where needed profile=, role_arn=, role_session_name=, external_id="
	fail := func(format string, args ...any) {
		a.p.fail(v.setting.variable, "%s %s; %s", v.setting.of(), fmt.Sprintf(format, args...), want)
	}
	msk := &a.kafka.Security.OAuth.MSK
	provider := ""
	fields := map[string]*string{
		"provider": &provider, "region": &msk.Region, "profile": &msk.Profile,
		"role_arn": &msk.Role.ARN, "role_session_name": &msk.Role.SessionName, "external_id": &msk.Role.ExternalID,
	}
	if !strings.Contains(v.text, "provider") {
		fail("names no provider (librdkafka's principal=… makes an unsigned token, which is not supported)")
		return
	}
	for i, part := range split(v.text) {
		name, text, ok := strings.Cut(part, "=")
		field := fields[strings.TrimSpace(name)]
		switch {
		case !ok || field == nil:
			fail("has a part %d that is not known", i)
			return
		case *field != "":
			fail("has %s twice", strings.TrimSpace(name))
			return
		}
		*field = strings.TrimSpace(text)
	}
	switch {
	case provider != "msk-iam":
		fail("names a provider that is not known")
		return
	case msk.Region != "" && !plainRegion.MatchString(msk.Region):
		fail("has a region that is none")
	case msk.Role.ARN == "" && (msk.Role.SessionName != "" || msk.Role.ExternalID != ""):
		fail("has a role_session_name or an external_id, but no role_arn")
	case msk.Role.ARN != "" && !strings.HasPrefix(msk.Role.ARN, "arn:"):
		fail("has a role_arn that does not begin with arn:")
	}
	a.mskIAM = true
}

var (
	plainRegion = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$`)
	// mskBroker are the names of brokers that MSK gives out, provisioned and serverless.
	mskBroker = regexp.MustCompile(`\.kafka(?:-serverless)?\.([a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2})\.amazonaws\.(?:com(?:\.cn)?|eu):`)

	extensionName  = regexp.MustCompile(`^[A-Za-z]+$`)
	extensionValue = regexp.MustCompile(`^[\x21-\x7e \t]+$`)
)

// applyExtensions reads name=value pairs, as RFC 7628 allows them.
func applyExtensions(a *applied, v value) {
	for i, part := range split(v.text) {
		name, text, _ := strings.Cut(part, "=")
		name, text = strings.TrimSpace(name), strings.TrimSpace(text)
		if !extensionName.MatchString(name) || name == "auth" || !extensionValue.MatchString(text) {
			a.p.fail(v.setting.variable, "%s: entry %d is no extension; want name=value of a name of letters (not auth) and a value of visible characters", v.setting.of(), i)
			return
		}
		a.kafka.Security.OAuth.Extensions = append(a.kafka.Security.OAuth.Extensions, Extension{name, text})
	}
}

// tokens settles where the tokens of OAUTHBEARER come from. variable is to blame for what nobody set.
func (a *applied) tokens(variable string) {
	o := &a.kafka.Security.OAuth
	_, configured := a.given("sasl.oauthbearer.config")
	switch {
	case a.mskIAM && a.oidc:
		a.blame("sasl.oauthbearer.method", "is oidc beside AWS's IAM, which needs no token endpoint; want one of the two")
	case a.mskIAM:
		for _, name := range endpointOptions {
			a.without(name, "tokens for Amazon MSK are signed here")
		}
		*o = OAuth{MSK: o.MSK, Extensions: o.Extensions}
		a.region(variable)
	case configured: // and not understood, which was said
	case !a.oidc:
		a.p.fail(variable, "security.protocol asks for SASL with tokens, but nothing says where they come from; want option sasl.oauthbearer.method=oidc with a token endpoint, or sasl.oauthbearer.config=%s,region=… for Amazon MSK", mskProvider)
	default:
		a.endpoint(variable)
	}
}

// region finds the region of the signature: as given, as the brokers' names have it, or as AWS's tools are told.
func (a *applied) region(variable string) {
	msk := &a.kafka.Security.OAuth.MSK
	for _, broker := range a.kafka.Brokers {
		if m := mskBroker.FindStringSubmatch(broker); m != nil {
			msk.Region = cmp.Or(msk.Region, m[1])
		}
	}
	msk.Region = cmp.Or(msk.Region, a.p.env["AWS_REGION"], a.p.env["AWS_DEFAULT_REGION"])
	if msk.Region != "" {
		return
	}
	if s, ok := a.given("sasl.oauthbearer.config"); ok {
		variable = s.variable
	}
	a.p.fail(variable, "option sasl.oauthbearer.config has no region, and neither the brokers' names nor AWS_REGION tell it; want %s,region=eu-west-1", mskProvider)
}

// endpoint checks what a request for a token needs.
func (a *applied) endpoint(variable string) {
	o := &a.kafka.Security.OAuth
	for _, need := range []struct {
		name string
		ref  SecretRef
	}{
		{"sasl.oauthbearer.client.id", o.ClientID}, {"sasl.oauthbearer.client.secret", o.ClientSecret}, {"sasl.oauthbearer.token.endpoint.url", o.TokenURL},
	} {
		if need.ref.IsZero() {
			a.p.fail(variable, "option sasl.oauthbearer.method is oidc, but option %s is not set; want it, for example as %s", need.name, encodeOption(need.name))
		}
	}
	authorities := "https.ca.location"
	if _, set := a.given("https.ca.pem"); set {
		authorities = "https.ca.pem"
	}
	checkAuthorities(o.CA, func(format string, args ...any) { a.blame(authorities, format, args...) })
	const name = "sasl.oauthbearer.token.endpoint.url"
	text, err := o.TokenURL.Load()
	if err != nil || text == "" {
		return // said above, or where the file was read
	}
	u, err := url.Parse(strings.TrimSpace(text.Reveal()))
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		a.blame(name, "is no URL; want one like https://idp.example/oauth2/token")
	case u.User != nil || u.Fragment != "":
		a.blame(name, "has a user or a fragment; want the client in sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret")
	case u.Scheme == "http" && !loopback(u.String()):
		s, _ := a.given(name)
		a.p.note(slog.LevelWarn, s.variable, "%s is http: the client's secret and the tokens can be read on the way", s.of())
	}
}
