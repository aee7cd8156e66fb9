package envconfig

import (
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caarlos0/env/v11"
)

var update = flag.Bool("update", false, "write docs/reference/environment.md anew")

const referenceFile = "../docs/reference/environment.md"

func TestReferenceIsCurrent(t *testing.T) {
	if *update {
		if err := os.WriteFile(referenceFile, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != Reference() {
		t.Error("docs/reference/environment.md is not what the code says; run: go generate ./envconfig")
	}
}

func TestReferenceKnowsTheVariablesThatTheLibraryReads(t *testing.T) {
	params, err := env.GetFieldParams(&variables{})
	if err != nil {
		t.Fatal(err)
	}
	var read, documented []string
	for _, p := range params {
		if !p.Ignored {
			read = append(read, p.Key)
		}
	}
	fields(func(f reflect.StructField, name string) {
		if name == "" || f.Tag.Get("desc") == "" {
			t.Errorf("%s has no name or no meaning", f.Name)
		}
		if f.Tag.Get("pattern") == "" {
			documented = append(documented, name)
		}
	})
	if !slices.Equal(read, documented) {
		t.Errorf("the library reads\n%v\nthe reference has\n%v", read, documented)
	}
}

func TestHelpAndReferenceNameEveryVariableThatIsBuilt(t *testing.T) {
	help, reference := HelpText(), Reference()
	for _, e := range entries() {
		if !strings.Contains(reference, "`"+e.name+"`") {
			t.Errorf("the reference lacks %s", e.name)
		}
		if !strings.Contains(help, "\n  "+e.name) {
			t.Errorf("help lacks %s", e.name)
		}
	}
	for line := range strings.Lines(help) {
		if len(line) > 101 && strings.HasPrefix(line, "      ") {
			t.Errorf("line too long: %s", line)
		}
	}
}

func TestTagsOfTheStructAreKnown(t *testing.T) {
	known := []string{"group", "env", "envDefault", "desc", "default", "values", "file", "pattern"}
	typ := reflect.TypeFor[variables]()
	for i := range typ.NumField() {
		for part := range strings.FieldsSeq(string(typ.Field(i).Tag)) {
			key, rest, ok := strings.Cut(part, ":\"")
			if ok && strings.Trim(key, "abcdefghijklmnopqrstuvwxyzD") == "" && rest != "" && !slices.Contains(known, key) && typ.Field(i).Tag.Get(key) != "" {
				t.Errorf("%s: tag %s is not known", typ.Field(i).Name, key)
			}
		}
	}
}
