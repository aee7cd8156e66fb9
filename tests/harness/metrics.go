package harness

import (
	"fmt"
	"strconv"
	"strings"
)

// Sample is one line of a metrics page.
type Sample struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// Metrics is one page in the Prometheus text format.
type Metrics []Sample

// Value adds up the samples of a name whose labels have the given values: Value("x", "outcome", "done").
func (m Metrics) Value(name string, labels ...string) float64 {
	sum := 0.0
	for _, s := range m {
		if s.Name == name && s.matches(labels) {
			sum += s.Value
		}
	}
	return sum
}

// Has says whether there is a sample of that name.
func (m Metrics) Has(name string) bool {
	for _, s := range m {
		if s.Name == name {
			return true
		}
	}
	return false
}

func (s Sample) matches(labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		if s.Labels[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

// ParseMetrics reads the text format: name{label="value",...} value [timestamp]. Comments are skipped.
func ParseMetrics(text string) (Metrics, error) {
	var m Metrics
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := parseSample(line)
		if err != nil {
			return nil, fmt.Errorf("parse %q: %w", line, err)
		}
		m = append(m, s)
	}
	return m, nil
}

func parseSample(line string) (Sample, error) {
	s := Sample{Labels: map[string]string{}}
	end := strings.IndexAny(line, "{ ")
	if end <= 0 {
		return s, fmt.Errorf("no name")
	}
	s.Name = line[:end]
	rest := line[end:]
	if rest[0] == '{' {
		rest = rest[1:]
		for !strings.HasPrefix(rest, "}") {
			name, quoted, found := strings.Cut(rest, "=")
			if !found {
				return s, fmt.Errorf("label without a value")
			}
			prefix, err := strconv.QuotedPrefix(quoted)
			if err != nil {
				return s, fmt.Errorf("label %s: %w", name, err)
			}
			value, err := strconv.Unquote(prefix)
			if err != nil {
				return s, fmt.Errorf("label %s: %w", name, err)
			}
			s.Labels[strings.TrimSpace(name)] = value
			rest = strings.TrimPrefix(quoted[len(prefix):], ",")
		}
		rest = rest[1:]
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return s, fmt.Errorf("no value")
	}
	var err error
	s.Value, err = strconv.ParseFloat(fields[0], 64)
	return s, err
}
