package envconfig

import (
	"cmp"
	"encoding/base64"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
)

// The values of HANDLER_AUTH and DEAD_LETTER_AUTH.
const (
	AuthNone          = "none"
	AuthBearer        = "bearer"
	AuthBasic         = "basic"
	AuthSignature     = "signature"
	AuthGoogleIDToken = "google-id-token"
	AuthSigV4         = "sigv4"
)

// authVariables are what each kind needs, without HANDLER_ or DEAD_LETTER_.
var authVariables = []struct {
	kind     string
	name     string
	optional bool
}{
	{AuthBearer, "BEARER_TOKEN", false},
	{AuthBasic, "BASIC_USERNAME", false},
	{AuthBasic, "BASIC_PASSWORD", false},
	{AuthSignature, "SIGNATURE_SECRETS", false},
	{AuthGoogleIDToken, "GOOGLE_AUDIENCE", false},
	{AuthSigV4, "SIGV4_REGION", true},
	{AuthSigV4, "SIGV4_SERVICE", true},
}

// authOwns says whether a kind of authentication sets a header, in lower case, itself.
func authOwns(kind, header string) bool {
	switch kind {
	case AuthBearer, AuthBasic, AuthGoogleIDToken:
		return header == "authorization"
	case AuthSignature:
		return strings.HasPrefix(header, "webhook-")
	case AuthSigV4:
		return header == "authorization" || strings.HasPrefix(header, "x-amz-")
	}
	return false
}

// auth reads the variables with a prefix; target is the URL that requests go to.
func (p *parser) auth(prefix, target string) Auth {
	a := Auth{Kind: cmp.Or(p.env[prefix+"AUTH"], AuthNone)}
	if p.broken[prefix+"AUTH"] {
		return a
	}
	for _, v := range authVariables {
		name := prefix + v.name
		switch {
		case v.kind != a.Kind && p.set(name):
			p.fail(p.name(name), "is set, but %sAUTH is %s; want %sAUTH=%s, or leave it out", prefix, a.Kind, prefix, v.kind)
		case v.kind == a.Kind && !p.set(name) && !v.optional && !p.broken[name+"_FILE"]:
			p.fail(name, "is not set, but %sAUTH is %s; want it", prefix, a.Kind)
		}
	}
	ref := func(name string) SecretRef { return SecretRef(p.pem(prefix+name, p.env[prefix+name])) }
	plain := func(name string, r func(rune) bool, want string) {
		if text := p.env[prefix+name]; strings.ContainsFunc(text, r) {
			p.fail(p.name(prefix+name), "holds characters that cannot be sent; want %s", want)
		}
	}
	switch a.Kind {
	case AuthBearer:
		a.Token = ref("BEARER_TOKEN")
		plain("BEARER_TOKEN", func(r rune) bool { return r <= ' ' || r >= 0x7f }, "visible ASCII without spaces")
	case AuthBasic:
		a.Username, a.Password = ref("BASIC_USERNAME"), ref("BASIC_PASSWORD")
		plain("BASIC_USERNAME", func(r rune) bool { return r < ' ' || r == 0x7f || r == ':' }, "a name without colons and control characters")
		plain("BASIC_PASSWORD", func(r rune) bool { return r < ' ' || r == 0x7f }, "a password without control characters")
	case AuthSignature:
		a.Secrets = ref("SIGNATURE_SECRETS")
		p.signatureSecrets(prefix + "SIGNATURE_SECRETS")
	case AuthGoogleIDToken:
		a.Audience = p.env[prefix+"GOOGLE_AUDIENCE"]
	case AuthSigV4:
		p.sigV4(&a, prefix, target)
	}
	if a.Kind != AuthNone && a.Kind != AuthSignature && a.Kind != AuthSigV4 && strings.HasPrefix(strings.ToLower(target), "http://") && !loopback(target) {
		p.note(slog.LevelWarn, prefix+"AUTH", "is %s, and the URL is http://: whoever is on the way can read the secret", a.Kind)
	}
	return a
}

// shortestSecret is what Standard Webhooks asks of a secret, in bytes.
const shortestSecret = 24

// signatureSecrets checks what package auth will read again and again.
func (p *parser) signatureSecrets(name string) {
	text := p.env[name]
	if text == "" {
		return
	}
	secrets := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
	for i, one := range secrets {
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(one, "whsec_"))
		switch {
		case err != nil || len(secret) == 0:
			p.fail(p.name(name), "entry %d is no secret of Standard Webhooks; want base64 with or without whsec_ before it, several separated by commas or white space", i+1)
			return
		case len(secret) < shortestSecret:
			p.note(slog.LevelWarn, p.name(name), "entry %d is shorter than %d bytes, which Standard Webhooks asks for at least", i+1, shortestSecret)
		}
	}
	if len(secrets) == 0 {
		p.fail(p.name(name), "holds no secret; want at least one")
	}
}

var (
	awsHost    = regexp.MustCompile(`\.(lambda-url|execute-api|vpc-lattice-svcs)\.([a-z0-9-]+)\.`)
	awsRegion  = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)
	awsService = regexp.MustCompile(`^[a-z0-9-]+$`)
)

func (p *parser) sigV4(a *Auth, prefix, target string) {
	a.Region, a.Service = p.env[prefix+"SIGV4_REGION"], p.env[prefix+"SIGV4_SERVICE"]
	host := ""
	if u, err := url.Parse(strings.NewReplacer("{", "", "}", "").Replace(target)); err == nil {
		host = strings.ToLower(u.Hostname())
	}
	if found := awsHost.FindStringSubmatch(host); found != nil {
		service := found[1]
		if service == "lambda-url" {
			service = "lambda"
		}
		a.Service, a.Region = cmp.Or(a.Service, service), cmp.Or(a.Region, found[2])
	}
	a.Region = cmp.Or(a.Region, p.env["AWS_REGION"], p.env["AWS_DEFAULT_REGION"])
	switch {
	case a.Region == "":
		p.fail(prefix+"SIGV4_REGION", "is not set, nor is AWS_REGION, and the URL's host does not tell it; want a region, like eu-central-1")
	case !awsRegion.MatchString(a.Region):
		p.fail(prefix+"SIGV4_REGION", "%s is no region; want one like eu-central-1", quote(a.Region))
	}
	switch {
	case a.Service == "":
		p.fail(prefix+"SIGV4_SERVICE", "is not set, and the URL's host does not tell it; want lambda for function URLs, execute-api for API Gateway, or vpc-lattice-svcs")
	case !awsService.MatchString(a.Service):
		p.fail(prefix+"SIGV4_SERVICE", "%s is no service; want one like lambda, execute-api or vpc-lattice-svcs", quote(a.Service))
	}
}

// redacted lists every variable, the secrets hidden.
func (a Auth) redacted(prefix string) []Setting {
	secret := func(s SecretRef) string { return PEM(s).shown("none") }
	return []Setting{
		{prefix + "AUTH", cmp.Or(a.Kind, AuthNone)},
		{prefix + "BEARER_TOKEN", secret(a.Token)},
		{prefix + "BASIC_USERNAME", secret(a.Username)},
		{prefix + "BASIC_PASSWORD", secret(a.Password)},
		{prefix + "SIGNATURE_SECRETS", secret(a.Secrets)},
		{prefix + "GOOGLE_AUDIENCE", orNone(a.Audience)},
		{prefix + "SIGV4_REGION", orNone(a.Region)},
		{prefix + "SIGV4_SERVICE", orNone(a.Service)},
	}
}
