package envconfig

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// parseProperties reads a Java .properties file: # and ! begin comments, a backslash at a line's end continues it, and = or : or spaces
// part name from value. A name that is there twice is a mistake, though Java would take the last one. The error is the first and tells the line only; with it come the options that can be read all the same.
func parseProperties(text string) ([]pair, error) {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	var pairs []pair
	var broken error
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
		switch {
		case err != nil:
			err = fmt.Errorf("line %d %w", first, err)
		case seen[one.name]:
			err = fmt.Errorf("line %d sets %s a second time", first, shownName(one.name))
		default:
			seen[one.name] = true
			pairs = append(pairs, one)
		}
		if broken == nil {
			broken = err
		}
	}
	return pairs, broken
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
