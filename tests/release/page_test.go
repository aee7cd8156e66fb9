package release

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var shell = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// commands is the block of shell on a page that holds a text.
func commands(t *testing.T, page, text string) string {
	t.Helper()
	for _, m := range shell.FindAllStringSubmatch(page, -1) {
		if strings.Contains(m[1], text) {
			return m[1]
		}
	}
	t.Fatalf("no block of the page holds %q", text)
	return ""
}

// TestZipIsBuiltAsThePageSays runs docs/lambda.md's own build of the zip, in a folder with what a clone has of the program.
func TestZipIsBuiltAsThePageSays(t *testing.T) {
	if _, err := exec.LookPath("zip"); err != nil {
		if os.Getenv("REQUIRE_ZIP") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	page := string(read(t, "docs", "lambda.md"))
	build := commands(t, page, "go build")
	clone := t.TempDir()
	for _, name := range []string{"cmd", "envconfig", "sidecar"} {
		if err := os.CopyFS(filepath.Join(clone, name), os.DirFS(filepath.Join(repository, name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := os.WriteFile(filepath.Join(clone, name), read(t, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh", "-euc", build)
	cmd.Dir = clone
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, build, out)
	}
	version := regexp.MustCompile(`(?m)^version=(\S+)$`).FindStringSubmatch(build)[1]
	name := readRelease(t).name(t, "lambda", version, "linux", "arm64") + ".zip"
	in, err := zip.OpenReader(filepath.Join(clone, name))
	if err != nil {
		t.Fatalf("the page builds no zip of the name that a release gives it: %v", err)
	}
	defer in.Close()
	checkFunction(t, &in.Reader, version)

	for _, want := range []string{`s3_key = "` + name + `"`, "/v$version/" + strings.ReplaceAll(name, version, "${version}"), "/v$version/" + readRelease(t).Checksum.NameTemplate + "\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not name %s", want)
		}
	}
	for _, b := range readRelease(t).Builds {
		if b.ID == "lambda" && !strings.Contains(build, strings.Join(b.Env, " ")+" GOOS=linux GOARCH=arm64 go build "+strings.Join(b.Flags, " ")+" -tags "+strings.Join(b.Tags, ",")+
			` -ldflags "`+strings.ReplaceAll(strings.Join(b.Ldflags, " "), "{{ .Version }}", "$version")+`"`) {
			t.Errorf("the page builds another program than the release:\n%s", build)
		}
	}
}

// TestReleasedNamesAreThoseOfThePages holds what users are told to fetch to what a release makes.
func TestReleasedNamesAreThoseOfThePages(t *testing.T) {
	page := string(read(t, "docs", "ecs.md"))
	workflow := string(read(t, ".github", "workflows", "release.yml"))
	const image = "ghcr.io/kafka-sidecar/kafka-sidecar"
	if !strings.Contains(workflow, "tags: ghcr.io/${{ github.repository }}:${{ steps.name.outputs.version }}\n") || !strings.Contains(workflow, "${GITHUB_REF_NAME#v}") {
		t.Error("the workflow gives the image another name, or a tag with a v")
	}
	if !strings.Contains(commands(t, page, "imagetools"), image+":$version\n") || !strings.Contains(page, `"`+image+"@sha256:") {
		t.Errorf("the page takes the image from elsewhere than %s", image)
	}
}

// name is what an archive is called, without its ending.
func (r release) name(t *testing.T, id, version, goos, goarch string) string {
	t.Helper()
	for _, a := range r.Archives {
		if a.ID == id {
			return strings.NewReplacer("{{ .Version }}", version, "{{ .Os }}", goos, "{{ .Arch }}", goarch).Replace(a.NameTemplate)
		}
	}
	t.Fatalf("no archive is called %s", id)
	return ""
}
