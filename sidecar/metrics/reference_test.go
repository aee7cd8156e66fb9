package metrics

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of docs/reference/metrics.md anew")

func TestReferenceIsFresh(t *testing.T) {
	const file = "../../docs/reference/metrics.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), "<!-- table -->\n")
	table, after, ends := strings.Cut(rest, "<!-- end of table -->\n")
	if !begins || !ends {
		t.Fatalf("%s has no table between its two marks", file)
	}
	if want := Reference(); table != want {
		if !*update {
			t.Fatalf("%s is stale: run go generate ./sidecar/metrics", file)
		}
		if err := os.WriteFile(file, []byte(before+"<!-- table -->\n"+want+"<!-- end of table -->\n"+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	known := strings.Fields(names)
	for _, name := range regexp.MustCompile(`kafka_sidecar_\w+`).FindAllString(before+after, -1) {
		if !slices.Contains(known, name) {
			t.Errorf("%s: %s is no metric", file, name)
		}
	}
}

func TestReferenceHasARowForEveryMetric(t *testing.T) {
	known := strings.Fields(names)
	table := Reference()
	if rows := strings.Count(table, "\n") - 2; rows != len(known) {
		t.Errorf("%d rows for %d metrics", rows, len(known))
	}
	for _, name := range known {
		if !strings.Contains(table, "\n| `"+name+"` | ") {
			t.Errorf("%s has no row", name)
		}
	}
	for name := range alarms {
		if !slices.Contains(known, name) {
			t.Errorf("the alarm on %s is on no metric", name)
		}
	}
}
