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
	read, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(read)
	outside := text
	for _, part := range []struct{ mark, want string }{{"table", Reference()}, {"emf", EMFReference()}} {
		opening, closing := "<!-- "+part.mark+" -->\n", "<!-- end of "+part.mark+" -->\n"
		_, rest, begins := strings.Cut(text, opening)
		table, _, ends := strings.Cut(rest, closing)
		if !begins || !ends {
			t.Fatalf("%s has no table between %q and %q", file, opening, closing)
		}
		outside = strings.Replace(outside, table, "", 1)
		if table == part.want {
			continue
		}
		if !*update {
			t.Fatalf("%s is stale: run go generate ./sidecar/metrics", file)
		}
		text = strings.Replace(text, opening+table+closing, opening+part.want+closing, 1)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	known := strings.Fields(names)
	for _, name := range regexp.MustCompile(`kafka_sidecar_\w+`).FindAllString(outside, -1) {
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
