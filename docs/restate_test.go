package docs_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
)

var environment = regexp.MustCompile("(?s)<!-- environment -->\n```properties\n(.*?)\n```")

// TestEnvironmentsOfTheRestatePageAreAccepted parses what a reader would paste.
func TestEnvironmentsOfTheRestatePageAreAccepted(t *testing.T) {
	blocks := environment.FindAllStringSubmatch(read(t, "restate.md"), -1)
	if len(blocks) < 2 {
		t.Fatalf("%d environments on the page", len(blocks))
	}
	for _, block := range blocks {
		if _, err := envconfig.Parse(strings.Split(block[1], "\n")); err != nil {
			t.Errorf("%s\n%v", block[1], err)
		}
	}
}

// TestRestatePageListsEveryRefusedOption compares it with the generated reference, both ways.
func TestRestatePageListsEveryRefusedOption(t *testing.T) {
	_, page, found := strings.Cut(read(t, "restate.md"), "## Options that are refused")
	if !found {
		t.Fatal("the page has no such chapter")
	}
	refused := map[string]bool{}
	row := regexp.MustCompile("(?m)^\\| (`[^|]*`) \\| (refused|honoured|noted) \\|[^|]*\\| (.*) \\|$")
	for _, m := range row.FindAllStringSubmatch(read(t, "reference/environment.md"), -1) {
		for name := range strings.SplitSeq(m[1], ", ") {
			name = strings.Trim(name, "`")
			refused[name] = m[2] == "refused" || strings.Contains(m[3], "refused")
			if refused[name] && !regexp.MustCompile("`"+regexp.QuoteMeta(name)+"[=`]").MatchString(page) {
				t.Errorf("%s is refused and not on the page", name)
			}
		}
	}
	if len(refused) < 150 {
		t.Fatalf("only %d options in the reference", len(refused))
	}
	for _, m := range regexp.MustCompile("`([a-z_]+[._][a-z._]+)[=`]").FindAllStringSubmatch(page, -1) {
		if is, known := refused[m[1]]; !is && m[1] != "sasl.mechanisms" {
			t.Errorf("%s is on the page and not refused (known: %v)", m[1], known)
		}
	}
}
