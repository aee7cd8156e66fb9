package envconfig

import (
	"log/slog"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// prefixes are ours: a name that begins with one and that nothing reads is a mistake.
var prefixes = []string{"KAFKA_", "SUBSCRIPTION", "HANDLER_", "RETRY_", "DEAD_LETTER_", "PARKED_", "MAX_IN_FLIGHT"}

// serviceLink is what Kubernetes sets for every service in the namespace, whatever the service is called.
var serviceLink = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?$`)

// knownNames are the variables with a name of their own, and the twins.
func knownNames() map[string]bool {
	known := map[string]bool{}
	fields(func(f reflect.StructField, name string) {
		if f.Tag.Get("pattern") != "" {
			return
		}
		known[name] = true
		if f.Tag.Get("file") != "" {
			known[name+"_FILE"] = true
		}
	})
	return known
}

// unknownNames reports names that nobody reads.
func (p *parser) unknownNames() {
	known := knownNames()
	candidates := slices.Sorted(maps.Keys(known))
	for name := range p.env {
		if known[name] || clusterVariable.MatchString(name) || isOptionVariable(name) || serviceLink.MatchString(name) {
			continue
		}
		if !slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			unset := slices.DeleteFunc(slices.Clone(candidates), func(c string) bool { return p.set(c) })
			if near := nearest(name, unset, 2); near != "" {
				n := Note{slog.LevelWarn, printable(name), "is not read by anything here; did you mean " + near + "?"}
				p.notes, p.misspelt = append(p.notes, n), append(p.misspelt, n)
			}
			continue
		}
		value, twin := strings.CutSuffix(name, "_FILE")
		switch near := nearest(name, candidates, 3); {
		case strings.HasPrefix(name, optionPrefix):
			p.fail(printable(name), "is not the name of an option; want %s<NAME> with _ for a dot, __ for _ and ___ for -, like %s", optionPrefix, encodeOption("sasl.password"))
		case strings.HasPrefix(name, "KAFKA_CLUSTERS_"):
			p.fail(printable(name), "is not known; want KAFKA_CLUSTERS_<n>_NAME, _BROKERS, _OPTIONS or _OPTIONS_FILE with n from 0, or KAFKA_CLUSTERS_FILE")
		case twin && known[value]:
			p.fail(printable(name), "is not known; want the value itself in %s", value)
		case near != "":
			p.fail(printable(name), "is not known; did you mean %s?", near)
		case optionMeant(name) != "":
			p.fail(printable(name), "is not known; did you mean %s?", optionMeant(name))
		default:
			p.fail(printable(name), "is not known; want a name of the reference (kafka-sidecar help env)")
		}
	}
}

// optionMeant is the variable for the option that other images would take under this name: KAFKA_SASL_PASSWORD, say.
func optionMeant(name string) string {
	name, ok := strings.CutPrefix(name, "KAFKA_")
	if meant := optionPrefix + name; ok && isOptionVariable(meant) && lookupOption(decodeOption(strings.TrimSuffix(meant, "_FILE"))) != nil {
		return meant
	}
	return ""
}

// printable keeps a strange name from breaking a line.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if bareKey(r) || r == '.' {
			return r
		}
		return '?'
	}, name)
}

// nearest gives the candidate that takes the fewest edits, at most limit; of equals the first. It gives "" when none is near.
func nearest(name string, candidates []string, limit int) string {
	best := ""
	for _, candidate := range candidates {
		if d := distance(name, candidate, limit); d <= limit {
			best, limit = candidate, d-1
		}
	}
	return best
}

// distance is the least number of inserted, deleted, replaced or swapped neighbouring bytes that make b of a (optimal string alignment),
// or more than limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			same := 0
			if a[i] != b[j] {
				same = 1
			}
			row[j+1] = min(last[j]+same, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
