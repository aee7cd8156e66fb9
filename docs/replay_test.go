package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
)

// envBlock reads an environment as the documentation shows it.
func envBlock(t *testing.T, text, name string) []string {
	t.Helper()
	_, rest, found := strings.Cut(text, "<!-- env: "+name+" -->\n```\n")
	shown, _, closed := strings.Cut(rest, "\n```\n")
	if !found || !closed {
		t.Fatalf("there is no such environment: %s", name)
	}
	return strings.Split(shown, "\n")
}

func TestEnvironmentsOfReplaysAreWhatTheyAreSaidToBe(t *testing.T) {
	text := read(t, "replay.md")
	blocks, known := strings.Count(text, "\n```")/2, regexp.MustCompile("(?m)^<!-- (env: \\w+ -->\n```|(run|delete) -->\n```sh)$").FindAllString(text, -1)
	if blocks != 5 || len(known) != blocks {
		t.Fatalf("replay.md has %d blocks; each must be one that a test knows, as these are: %q", blocks, known)
	}
	groups := map[string]bool{}
	for _, tt := range []struct{ name, topic, start, end, dead string }{
		{"scheduled", "orders", "earliest", "latest", "orders.dead"},
		{"replay", "orders", "2025-01-31T08:00:00Z", "2025-01-31T10:00:00Z", ""},
		{"redrive", "orders.dead", "earliest", "latest", "orders.dead.2"},
	} {
		cfg, err := envconfig.Parse(envBlock(t, text, tt.name))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		shown := func(name string) string {
			all := cfg.Redacted()
			return all[slices.IndexFunc(all, func(s envconfig.Setting) bool { return s.Name == name })].Value
		}
		if cfg.Subscription.Topic != tt.topic || shown("START_AT") != tt.start || shown("END_AT") != tt.end || cfg.DeadLetter.Topic != tt.dead {
			t.Errorf("%s: topic %s from %s to %s, dead letters to %q", tt.name, cfg.Subscription.Topic, shown("START_AT"), shown("END_AT"), cfg.DeadLetter.Topic)
		}
		if groups[cfg.Kafka.GroupID] {
			t.Errorf("%s: the group of another", tt.name)
		}
		groups[cfg.Kafka.GroupID] = true
		if len(cfg.Notes) > 0 {
			t.Errorf("%s: notes %v", tt.name, cfg.Notes)
		}
	}
}
