package release

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	repository = "../.."
	version    = "1.2.3-test"
)

// release is .goreleaser.yaml as far as the tests need it.
type release struct {
	Builds []struct {
		ID, Main, Binary                        string
		Env, Flags, Tags, Ldflags, Goos, Goarch []string
		ModTimestamp                            string `yaml:"mod_timestamp"`
	}
	Archives []struct {
		ID           string
		IDs          []string
		Formats      []string
		NameTemplate string `yaml:"name_template"`
		Files        []file
		BuildsInfo   info `yaml:"builds_info"`
	}
	Checksum struct {
		NameTemplate string `yaml:"name_template"`
	}
	Sboms []struct{ Artifacts string }
}

// file is one that an archive holds beside its executable: a pattern, or with what is told of it.
type file struct {
	Src  string
	Info info
}

type info struct {
	Mtime        string
	Mode         uint32
	Owner, Group string
}

// UnmarshalYAML reads either form.
func (f *file) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		return node.Decode(&f.Src)
	}
	type plain file
	return node.Decode((*plain)(f))
}

func readRelease(t *testing.T) release {
	t.Helper()
	var r release
	if err := yaml.Unmarshal(read(t, ".goreleaser.yaml"), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func read(t *testing.T, name ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{repository}, name...)...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// build runs go build as the release does and returns the path of the executable.
func (r release) build(t *testing.T, id, goos, goarch string) string {
	t.Helper()
	for _, b := range r.Builds {
		if b.ID != id {
			continue
		}
		if !slices.Contains(b.Goos, goos) || !slices.Contains(b.Goarch, goarch) {
			t.Fatalf("build %s is not made for %s/%s", id, goos, goarch)
		}
		file := filepath.Join(t.TempDir(), b.Binary)
		ldflags := strings.ReplaceAll(strings.Join(b.Ldflags, " "), "{{ .Version }}", version)
		args := append([]string{"build", "-o", file, "-tags", strings.Join(b.Tags, ","), "-ldflags", ldflags}, b.Flags...)
		cmd := exec.Command("go", append(args, b.Main)...)
		cmd.Dir = repository
		cmd.Env = append(append(os.Environ(), b.Env...), "GOOS="+goos, "GOARCH="+goarch)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
		return file
	}
	t.Fatalf("no build is called %s", id)
	return ""
}

// pack makes the zip of an archive: its executable and the files that its patterns find.
func (r release) pack(t *testing.T, id, executable string) *zip.Reader {
	t.Helper()
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	for _, a := range r.Archives {
		if a.ID != id {
			continue
		}
		if !slices.Equal(a.Formats, []string{"zip"}) || !slices.Equal(a.IDs, []string{id}) {
			t.Fatalf("archive %s holds builds %v as %v, want its own as a zip", id, a.IDs, a.Formats)
		}
		files := []string{executable}
		for _, f := range a.Files {
			found, err := filepath.Glob(filepath.Join(repository, f.Src))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, found...)
		}
		for _, file := range files {
			add(t, w, file)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	in, err := zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func add(t *testing.T, w *zip.Writer, file string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	h, err := zip.FileInfoHeader(info)
	if err != nil {
		t.Fatal(err)
	}
	h.Method = zip.Deflate
	to, err := w.CreateHeader(h)
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
}

func TestLambdaZipHoldsOneExecutableBootstrap(t *testing.T) {
	r := readRelease(t)
	in := r.pack(t, "lambda", r.build(t, "lambda", "linux", "arm64"))
	checkFunction(t, in, version)
}

// checkFunction looks into a zip as the runtime of Lambda does.
func checkFunction(t *testing.T, in *zip.Reader, version string) {
	t.Helper()
	var names []string
	for _, f := range in.File {
		names = append(names, f.Name)
	}
	if !slices.Equal(names, []string{"bootstrap"}) {
		t.Fatalf("the zip holds %v, want bootstrap alone at its top: that is what the runtime starts", names)
	}
	f := in.File[0]
	if !f.Mode().IsRegular() || f.Mode().Perm()&0o555 != 0o555 {
		t.Errorf("mode is %s, want a file that everybody may execute", f.Mode())
	}
	from, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	program, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	e, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	if e.Machine != elf.EM_AARCH64 || e.OSABI != elf.ELFOSABI_NONE && e.OSABI != elf.ELFOSABI_LINUX {
		t.Errorf("it is for %s, %s; want arm64 on Linux", e.Machine, e.OSABI)
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it asks for a dynamic linker, which the runtime need not have")
		}
	}
	const mebibyte = 1 << 20
	if unpacked := f.UncompressedSize64; unpacked > 20*mebibyte {
		t.Errorf("it has %d bytes, the budget is 20 MiB", unpacked)
	}
	if !bytes.Contains(program, []byte(version)) {
		t.Error("it does not know its version")
	}
}

func TestReleasedBinaryKnowsItsVersion(t *testing.T) {
	file := readRelease(t).build(t, "binary", runtime.GOOS, runtime.GOARCH)
	out, err := exec.Command(file, "version").CombinedOutput()
	if err != nil || string(out) != "kafka-sidecar "+version+"\n" {
		t.Errorf("version prints %q (%v)", out, err)
	}
}

func TestImageAndArchivesHoldTheSameProgram(t *testing.T) {
	dockerfile := string(read(t, "Dockerfile"))
	for _, b := range readRelease(t).Builds {
		want := "go build " + strings.Join(b.Flags, " ") + " -tags " + strings.Join(b.Tags, ",") +
			` -ldflags "` + strings.ReplaceAll(strings.Join(b.Ldflags, " "), "{{ .Version }}", "$VERSION") + `"`
		if !strings.Contains(dockerfile, want) {
			t.Errorf("build %s is made by\n%s\nand the image is not", b.ID, want)
		}
		if !slices.Equal(b.Env, []string{"CGO_ENABLED=0"}) || b.Main != "./cmd/kafka-sidecar" {
			t.Errorf("build %s is made of %s with %v", b.ID, b.Main, b.Env)
		}
		if b.ModTimestamp == "" {
			t.Errorf("build %s does not come out the same twice: it has no mod_timestamp", b.ID)
		}
	}
}

// TestArchivesComeOutTheSameTwice looks at what an archive takes from where and when it is made.
func TestArchivesComeOutTheSameTwice(t *testing.T) {
	for _, a := range readRelease(t).Archives {
		if want := (info{"{{ .CommitDate }}", 0o755, "root", "root"}); a.BuildsInfo != want {
			t.Errorf("archive %s: the executable is packed with %+v, want %+v", a.ID, a.BuildsInfo, want)
		}
		for _, f := range a.Files {
			found, err := filepath.Glob(filepath.Join(repository, f.Src))
			if want := (info{"{{ .CommitDate }}", 0o644, "root", "root"}); err == nil && len(found) > 0 && f.Info != want {
				t.Errorf("archive %s: %s is packed with %+v, want %+v: a checkout gives it a time of its own", a.ID, f.Src, f.Info, want)
			}
		}
	}
}

func TestReleaseHasChecksumsAndBillsOfMaterials(t *testing.T) {
	r := readRelease(t)
	if len(r.Sboms) != 1 || r.Sboms[0].Artifacts != "archive" {
		t.Errorf("sboms are %v, want one for each archive", r.Sboms)
	}
	workflow := string(read(t, ".github", "workflows", "release.yml"))
	if sums := "dist/" + r.Checksum.NameTemplate; !strings.Contains(workflow, "subject-checksums: "+sums+"\n") {
		t.Errorf("the workflow does not attest %s", sums)
	}
	for _, want := range []string{"provenance: mode=max\n", "sbom: true\n", "platforms: linux/amd64,linux/arm64\n"} {
		if !strings.Contains(workflow, want) {
			t.Errorf("the image is built without %q", want)
		}
	}
}
