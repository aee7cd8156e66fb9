package image

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// dockerfile is the Dockerfile, read as far as the tests need it.
type dockerfile struct {
	args         map[string]string // those before the first FROM
	instructions []instruction     // of all stages, in order
}

type instruction struct {
	name, text string
	stage      int // from 0
}

func readDockerfile(t *testing.T) dockerfile {
	t.Helper()
	f, err := os.Open(filepath.Join(repository, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := dockerfile{args: map[string]string{}}
	stage, open := -1, ""
	for in := bufio.NewScanner(f); in.Scan(); {
		line := strings.TrimSpace(in.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if part, more := strings.CutSuffix(line, "\\"); more {
			open += part
			continue
		}
		name, text, _ := strings.Cut(open+line, " ")
		open = ""
		if name == "FROM" {
			stage++
		}
		if name == "ARG" && stage < 0 {
			arg, value, _ := strings.Cut(text, "=")
			d.args[arg] = value
		}
		d.instructions = append(d.instructions, instruction{name, strings.TrimSpace(text), stage})
	}
	return d
}

// final are the instructions of that name in the last stage, which becomes the image.
func (d dockerfile) final(name string) []string {
	var texts []string
	last := d.instructions[len(d.instructions)-1].stage
	for _, i := range d.instructions {
		if i.name == name && i.stage == last {
			texts = append(texts, i.text)
		}
	}
	return texts
}

func TestDockerfileMakesAnImageWithoutRights(t *testing.T) {
	d := readDockerfile(t)
	if users := d.final("USER"); len(users) != 1 || !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(users[0]) {
		t.Errorf("USER is %q, want the number of an account that is not root: a platform that refuses root cannot judge a name", users)
	}
	if len(d.final("RUN")) > 0 {
		t.Error("the last stage runs something: it has no shell, and for another platform it would take an emulator")
	}
	for _, i := range d.instructions {
		if i.name == "FROM" && !regexp.MustCompile(`^(--platform=\$BUILDPLATFORM )?\$\{(GO|RUNTIME)_IMAGE\}( AS \w+)?$`).MatchString(i.text) {
			t.Errorf("FROM %s: want an argument, so that a build can pin or replace it", i.text)
		}
	}
	if port := strings.TrimPrefix(envconfig.DefaultAdminAddr, ":"); !slices.Equal(d.final("EXPOSE"), []string{port}) {
		t.Errorf("EXPOSE is %q, want the port of ADMIN_ADDR, %s", d.final("EXPOSE"), port)
	}
}

func TestDockerfileAsksForHealthByTheSubcommand(t *testing.T) {
	d := readDockerfile(t)
	words := func(name, text string) []string {
		var list []string
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			t.Fatalf("%s %s: want the form without a shell: %v", name, text, err)
		}
		return list
	}
	if n := len(d.final("HEALTHCHECK")); n != 1 || len(d.final("ENTRYPOINT")) != 1 {
		t.Fatalf("%d HEALTHCHECK, %d ENTRYPOINT, want one of each", n, len(d.final("ENTRYPOINT")))
	}
	_, check, _ := strings.Cut(d.final("HEALTHCHECK")[0], "CMD ")
	asked, entry := words("HEALTHCHECK", check), words("ENTRYPOINT", d.final("ENTRYPOINT")[0])
	if len(entry) != 1 || asked[0] != entry[0] || len(asked) != 2 {
		t.Fatalf("health is asked by %v, the image starts %v", asked, entry)
	}
	if _, stderr, code := harness.Run(t, harness.Env{"ADMIN_ADDR": harness.FreeAddr(t)}, asked[1:]...); code != 1 || !strings.Contains(stderr, "ADMIN_ADDR") {
		t.Errorf("the binary does not know %v: exit code %d\n%s", asked[1:], code, stderr)
	}
}

func TestBuildContextIsTheCodeOfTheBinary(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(text))
	if lines[0] != "*" || !slices.Contains(lines, "**/*_test.go") {
		t.Errorf(".dockerignore is %v, want everything ignored but what is named, and no tests", lines)
	}
	for _, i := range readDockerfile(t).instructions {
		if i.name != "COPY" || strings.HasPrefix(i.text, "--from") {
			continue
		}
		names := strings.Fields(i.text)
		for _, name := range names[:len(names)-1] {
			if !slices.Contains(lines, "!"+name) {
				t.Errorf("COPY %s: .dockerignore hides it", name)
			}
		}
	}
}
