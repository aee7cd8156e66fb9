package envconfig

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// parseProperties reads a Java .properties file: # and ! begin comments, a backslash at a line's end continues it, and = or : or spaces
// part name from value. A name that is there twice is a mistake, though Java would take the last one. Errors tell the line only.
func parseProperties(text string) ([]pair, error) {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	var pairs []pair
	seen := map[string]bool{}
	for i := 0; i < len(lines); i++ {
		first := i + 1
		line := strings.TrimLeft(lines[i], " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for continued(line) && i+1 < len(lines) {
			i++
			line = line[:len(line)-1] + strings.TrimLeft(lines[i], " \t\f")
		}
		if continued(line) {
			line = line[:len(line)-1]
		}
		one, err := property(line)
		if err != nil {
			return nil, fmt.Errorf("line %d %w", first, err)
		}
		if seen[one.name] {
			return nil, fmt.Errorf("line %d sets %s a second time", first, shownName(one.name))
		}
		seen[one.name] = true
		pairs = append(pairs, one)
	}
	return pairs, nil
}

// continued says whether the line ends with an odd number of backslashes.
func continued(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// property parts a logical line.
func property(line string) (pair, error) {
	end := 0
	for end < len(line) && strings.IndexByte("=: \t\f", line[end]) < 0 {
		if line[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(line))
	rest := strings.TrimLeft(line[end:], " \t\f")
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = strings.TrimLeft(rest[1:], " \t\f")
	}
	name, err := unescape(line[:end])
	if err != nil {
		return pair{}, err
	}
	value, err := unescape(rest)
	if err == nil && name == "" {
		err = errors.New("has no name")
	}
	return pair{name, value}, err
}

// unescape resolves \t, \n, \r, \f, \uXXXX; before any other character a backslash is dropped.
func unescape(text string) (string, error) {
	if !strings.Contains(text, `\`) {
		return text, nil
	}
	var b strings.Builder
	var half rune // the first half of a surrogate pair
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != '\\' || i+1 == len(text) {
			b.WriteByte(c)
			continue
		}
		i++
		switch c = text[i]; c {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		case 'u':
			if len(text)-i-1 < 4 {
				return "", errors.New(`has a \u without four hexadecimal digits`)
			}
			n, err := strconv.ParseUint(text[i+1:i+5], 16, 16)
			if err != nil {
				return "", errors.New(`has a \u without four hexadecimal digits`)
			}
			i += 4
			r := rune(n)
			if r >= 0xd800 && r < 0xdc00 && strings.HasPrefix(text[i+1:], `\u`) {
				half = r
				continue
			}
			if half != 0 {
				r, half = utf16.DecodeRune(half, r), 0
			}
			b.WriteRune(r)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// jaasName is Java's way to say user and password.
const jaasName = "sasl.jaas.config"

// propertiesOptions gives the options of a .properties file again, for a secret that is read anew.
func propertiesOptions(text string) ([]pair, error) {
	pairs, err := parseProperties(text)
	if err != nil {
		return nil, err
	}
	return expandJAAS(pairs)
}

// jaas replaces sasl.jaas.config by sasl.username and sasl.password.
func (p *parser) jaas(variable string, pairs []pair) []pair {
	expanded, err := expandJAAS(pairs)
	if err != nil {
		p.fail(variable, "%s %v", jaasName, err)
	}
	return expanded
}

func expandJAAS(pairs []pair) ([]pair, error) {
	var expanded []pair
	var failed error
	for _, one := range pairs {
		if one.name != jaasName {
			expanded = append(expanded, one)
			continue
		}
		user, password, err := parseJAAS(one.value)
		if err != nil {
			failed = err
			continue
		}
		expanded = append(expanded, pair{"sasl.username", user}, pair{"sasl.password", password})
	}
	return expanded, failed
}

// parseJAAS reads "<login module> required name="value" …;" of the Plain and Scram modules. Errors quote nothing.
func parseJAAS(text string) (user, password string, err error) {
	const want = `want <Plain or Scram login module> required username="…" password="…";`
	fields, err := jaasFields(strings.TrimSpace(text))
	if err != nil {
		return "", "", fmt.Errorf("%w; %s", err, want)
	}
	if len(fields) < 2 {
		return "", "", errors.New("is incomplete; " + want)
	}
	module := fields[0].name[strings.LastIndexByte(fields[0].name, '.')+1:]
	if module != "PlainLoginModule" && module != "ScramLoginModule" {
		return "", "", errors.New("names a login module that this version does not know; " + want)
	}
	for _, f := range fields[2:] {
		switch f.name {
		case "username":
			user = f.value
		case "password":
			password = f.value
		}
	}
	if user == "" || password == "" {
		return "", "", errors.New("has no username or no password; " + want)
	}
	return user, password, nil
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
