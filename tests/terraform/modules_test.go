package terraform

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// folders are the folders of modules or examples that hold configuration.
func folders(t testing.TB, kind string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, kind, "*", "versions.tf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	if len(names) == 0 {
		t.Fatalf("there are no %s", kind)
	}
	return names
}

func TestEverythingIsFormatted(t *testing.T) {
	w := newWorkspace(t)
	if out, err := w.run(w.path("terraform"), "fmt", "-check", "-recursive", "-diff"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestModulesShareTheirInputs(t *testing.T) {
	all := folders(t, "modules")
	want := read(t, filepath.Join(root, "modules", all[0], "core.tf"))
	for _, module := range all[1:] {
		if read(t, filepath.Join(root, "modules", module, "core.tf")) != want {
			t.Errorf("core.tf of %s differs from that of %s", module, all[0])
		}
	}
}

// TestRulesAndRefusalsOfTheModules runs the modules' own tests.
func TestRulesAndRefusalsOfTheModules(t *testing.T) {
	w := newWorkspace(t).withGoogle()
	for _, module := range folders(t, "modules") {
		t.Run(module, func(t *testing.T) {
			dir := w.path("terraform", "modules", module)
			w.init(dir)
			w.must(dir, "validate", "-no-color")
			out, err := w.run(dir, "test", "-no-color")
			if err != nil || !strings.Contains(out, " passed, 0 failed.") {
				t.Errorf("terraform test: %v\n%s", err, out)
			}
		})
	}
}

func TestExamplesAreValid(t *testing.T) {
	w := newWorkspace(t).withGoogle()
	for _, example := range folders(t, "examples") {
		t.Run(example, func(t *testing.T) {
			dir := w.path("terraform", "examples", example)
			w.init(dir)
			w.must(dir, "validate", "-no-color")
		})
	}
}

var declaration = regexp.MustCompile(`(?m)^(variable|output) "(\w+)" \{\n(?:.*\n)*?\}`)

// TestReadmesListEveryInput holds each README's tables to the declarations.
func TestReadmesListEveryInput(t *testing.T) {
	for _, module := range folders(t, "modules") {
		readme := read(t, filepath.Join(root, "modules", module, "README.md"))
		files, err := filepath.Glob(filepath.Join(root, "modules", module, "*.tf"))
		if err != nil {
			t.Fatal(err)
		}
		inputs, outputs, _ := strings.Cut(readme, "\n## Outputs\n")
		rows := 0
		for _, file := range files {
			for _, m := range declaration.FindAllStringSubmatch(read(t, file), -1) {
				rows++
				required := m[1] == "variable" && !strings.Contains(m[0], "\n  default ")
				row := fmt.Sprintf("| `%s` |", m[2])
				if required {
					row += " required |"
				}
				table := inputs
				if m[1] == "output" {
					table = outputs
				}
				if strings.Count(table, "\n"+row) != 1 {
					t.Errorf("%s: README.md does not have the row %q once", module, row)
				}
			}
		}
		if listed := strings.Count(readme, "\n| `"); listed != rows {
			t.Errorf("%s: README.md lists %d inputs and outputs, there are %d", module, listed, rows)
		}
	}
}

var fenced = regexp.MustCompile("(?ms)^```([\\w-]+)\n(.*?)^```$")

// snippets are the fenced blocks of a page, by language.
func snippets(text, language string) (blocks []string) {
	for _, m := range fenced.FindAllStringSubmatch(text, -1) {
		if m[1] == language {
			blocks = append(blocks, m[2])
		}
	}
	return blocks
}

var released = regexp.MustCompile(`"github\.com/kafka-sidecar/kafka-sidecar//terraform/modules/([\w-]+)(\?ref=[\w.]+)?"`)

// TestTerraformInTheDocsIsValid validates the Terraform of each page, as one configuration, against the modules as they are here.
func TestTerraformInTheDocsIsValid(t *testing.T) {
	w := newWorkspace(t).withGoogle()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	readmes, err := filepath.Glob(filepath.Join(root, "modules", "*", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for i, page := range append(pages, readmes...) {
		blocks := snippets(read(t, page), "hcl")
		if len(blocks) == 0 {
			continue
		}
		t.Run(page, func(t *testing.T) {
			text := released.ReplaceAllString(strings.Join(blocks, "\n"), `"`+w.path("terraform", "modules")+`/$1"`)
			dir := w.write(fmt.Sprintf("page-%d/main.tf", i), text)
			w.must(dir, "fmt", "-check", "-diff")
			w.init(dir)
			w.must(dir, "validate", "-no-color")
		})
	}
}
