package envconfig

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// jaasName is Java's way to say how to log in.
const jaasName = "sasl.jaas.config"

// propertiesOptions gives the options of a .properties file again, for a secret that is read anew.
func propertiesOptions(text string) ([]pair, error) {
	pairs, err := parseProperties(text)
	if err != nil {
		return nil, err
	}
	return expandJAAS(pairs)
}

// jaas replaces sasl.jaas.config by the options that it stands for.
func (p *parser) jaas(variable string, pairs []pair) []pair {
	expanded, err := expandJAAS(pairs)
	if err != nil {
		p.fail(variable, "%s %v", jaasName, err)
	}
	return expanded
}

// expandJAAS replaces sasl.jaas.config by the options that say the same.
func expandJAAS(pairs []pair) ([]pair, error) {
	var expanded []pair
	var failed error
	for _, one := range pairs {
		if one.name != jaasName {
			expanded = append(expanded, one)
			continue
		}
		meant, err := parseJAAS(one.value, pairs)
		if err != nil {
			failed = err
			continue
		}
		expanded = append(expanded, meant...)
	}
	return expanded, failed
}

const wantJAAS = `want <Plain or Scram login module> required username="…" password="…"; or <OAuthBearerLoginModule> required clientId="…" clientSecret="…"; or <IAMLoginModule> required;`

// parseJAAS reads "<login module> required name="value" …;" and gives the options that it stands for, beside the others of its file. Errors
// quote nothing.
func parseJAAS(text string, beside []pair) ([]pair, error) {
	fields, err := jaasFields(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("%w; %s", err, wantJAAS)
	}
	if len(fields) < 2 {
		return nil, errors.New("is incomplete; " + wantJAAS)
	}
	parameters := fields[2:]
	switch fields[0].name[strings.LastIndexByte(fields[0].name, '.')+1:] {
	case "PlainLoginModule", "ScramLoginModule":
		return jaasUser(parameters)
	case "OAuthBearerLoginModule":
		if slices.ContainsFunc(beside, func(p pair) bool {
			return p.name == "sasl.login.callback.handler.class" && strings.HasSuffix(p.value, ".IAMOAuthBearerLoginCallbackHandler")
		}) {
			return jaasIAM(parameters)
		}
		return jaasTokens(parameters, beside)
	case "IAMLoginModule":
		return jaasIAM(parameters)
	}
	return nil, errors.New("names a login module that this version does not know; " + wantJAAS)
}

// jaasUser reads the parameters of the Plain and Scram login modules; others of theirs are for brokers.
func jaasUser(parameters []pair) ([]pair, error) {
	user, password := parameter(parameters, "username"), parameter(parameters, "password")
	if user == "" || password == "" {
		return nil, errors.New("has no username or no password; " + wantJAAS)
	}
	return []pair{{"sasl.username", user}, {"sasl.password", password}}, nil
}

// jaasTokens reads the parameters of Java's own module for tokens, with the login handler of KIP-768: client credentials at a token endpoint.
func jaasTokens(parameters, beside []pair) ([]pair, error) {
	names := map[string]string{"clientId": "sasl.oauthbearer.client.id", "clientSecret": "sasl.oauthbearer.client.secret", "scope": "sasl.oauthbearer.scope"}
	var meant []pair
	var extensions []string
	for _, p := range parameters {
		name, extension := strings.CutPrefix(p.name, "extension_")
		switch {
		case extension:
			extensions = append(extensions, name+"="+p.value)
		case names[p.name] != "":
			meant = append(meant, pair{names[p.name], p.value})
		case strings.HasPrefix(p.name, "unsecured"):
			return nil, errors.New("asks for an unsigned token, which proves nothing and is not supported; " + wantJAAS)
		default:
			return nil, fmt.Errorf("has the parameter %s, which this version does not know; %s", shownParameter(p.name), wantJAAS)
		}
	}
	if len(extensions) > 0 {
		meant = append(meant, pair{"sasl.oauthbearer.extensions", strings.Join(extensions, ",")})
	}
	const method = "sasl.oauthbearer.method"
	if parameter(beside, method) == "" {
		meant = append(meant, pair{method, "oidc"})
	}
	return meant, nil
}

// jaasIAM reads the parameters of AWS's modules for Amazon MSK.
func jaasIAM(parameters []pair) ([]pair, error) {
	names := map[string]string{
		"awsProfileName": "profile", "awsRoleArn": "role_arn", "awsRoleSessionName": "role_session_name", "awsRoleExternalId": "external_id", "awsRegion": "region",
	}
	config := mskProvider
	for _, p := range parameters {
		switch {
		case names[p.name] != "" && strings.Contains(p.value, ","):
			return nil, fmt.Errorf("has a comma in %s; want it without", p.name)
		case names[p.name] != "":
			config += "," + names[p.name] + "=" + p.value
		case p.name == "awsDebugCreds" || p.name == "awsMaxRetries" || p.name == "awsMaxBackOffTimeMs": // nothing to tune here
		default:
			return nil, fmt.Errorf("has the parameter %s, which this version does not know; want awsProfileName, awsRoleArn, awsRoleSessionName, awsRoleExternalId or none, and AWS_REGION for the region of STS", shownParameter(p.name))
		}
	}
	return []pair{{"sasl.oauthbearer.config", config}}, nil
}

// parameter gives the value of a name, empty where it is not there.
func parameter(pairs []pair, name string) string {
	for _, p := range pairs {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

var plainParameter = regexp.MustCompile(`^[A-Za-z_]{1,40}$`)

// shownParameter repeats a name where it looks like one.
func shownParameter(name string) string {
	if plainParameter.MatchString(name) {
		return name
	}
	return "with an unusual name (not shown)"
}

// jaasFields cuts an entry into words and name="value" pairs.
func jaasFields(text string) ([]pair, error) {
	var fields []pair
	for {
		text = strings.TrimLeft(text, " \t\r\n")
		if text == "" || text == ";" {
			return fields, nil
		}
		end := strings.IndexAny(text, "= \t\r\n;")
		if end == 0 {
			return nil, errors.New("is malformed")
		}
		if end < 0 {
			end = len(text)
		}
		field := pair{name: text[:end]}
		text = text[end:]
		if value, ok := strings.CutPrefix(text, "="); ok {
			var err error
			if field.value, text, err = jaasValue(value); err != nil {
				return nil, err
			}
		} else if strings.HasPrefix(text, ";") && text != ";" {
			return nil, errors.New("has something after the ;")
		}
		fields = append(fields, field)
	}
}

// jaasValue takes a value, quoted or bare, and gives what is after it.
func jaasValue(text string) (value, rest string, err error) {
	if text == "" || text[0] != '"' && text[0] != '\'' {
		end := strings.IndexAny(text, " \t\r\n;")
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == text[0]:
			return b.String(), text[i+1:], nil
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errors.New("has a quotation mark that is not closed")
}
