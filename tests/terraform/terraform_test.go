package terraform

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// root is the folder of the modules and their examples.
const root = "../../terraform"

// installation is what a test needs to run terraform.
type installation struct {
	terraform string
	mirrors   []string // folders that hold providers in the layout of a filesystem mirror
}

var install = sync.OnceValues(func() (installation, error) {
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		return installation{}, err
	}
	mirror := os.Getenv("TF_PLUGIN_DIR")
	if mirror == "" {
		return installation{}, errors.New("TF_PLUGIN_DIR does not name a filesystem mirror of providers")
	}
	if found, _ := filepath.Glob(filepath.Join(mirror, "*", "hashicorp", "aws", "*")); len(found) == 0 {
		return installation{}, fmt.Errorf("TF_PLUGIN_DIR: %s holds no provider hashicorp/aws", mirror)
	}
	return installation{terraform, []string{mirror}}, nil
})

// need skips a test where err keeps it from running, or fails it where it has to run.
func need(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("REQUIRE_TERRAFORM") == "1":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// workspace is a copy of the modules and examples, since terraform writes beside what it reads.
type workspace struct {
	t   testing.TB
	in  installation
	dir string
}

func newWorkspace(t testing.TB) *workspace {
	t.Helper()
	in, err := install()
	need(t, err)
	w := &workspace{t: t, in: in, dir: t.TempDir()}
	if err := os.CopyFS(filepath.Join(w.dir, "terraform"), tracked{os.DirFS(root)}); err != nil {
		t.Fatal(err)
	}
	return w
}

// withGoogle gives the workspace the stand-in for Google's provider.
func (w *workspace) withGoogle() *workspace {
	w.t.Helper()
	mirror := w.path("mirror")
	binary := filepath.Join(mirror, "registry.terraform.io", "hashicorp", "google", google, runtime.GOOS+"_"+runtime.GOARCH, "terraform-provider-google_v"+google)
	cmd := exec.CommandContext(w.t.Context(), "go", "build", "-o", binary, ".")
	cmd.Dir = "googlestub"
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("build the stand-in for Google's provider: %v\n%s", err, out)
	}
	w.in.mirrors = append(slices.Clone(w.in.mirrors), mirror)
	return w
}

// google is the release of hashicorp/google whose schema googlestub serves.
const google = "8.7.0"

// path is a folder of the workspace.
func (w *workspace) path(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

// write puts a file into the workspace and returns its folder.
func (w *workspace) write(name, text string) string {
	w.t.Helper()
	file := w.path(name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return filepath.Dir(file)
}

// init prepares a folder.
func (w *workspace) init(dir string) {
	w.t.Helper()
	args := []string{"init", "-input=false", "-no-color"}
	for _, mirror := range w.in.mirrors {
		args = append(args, "-plugin-dir="+mirror)
	}
	if out, err := w.run(dir, args...); err != nil {
		w.t.Fatalf("terraform init: %v\n%s", err, out)
	}
}

// run runs terraform and returns all that it prints.
func (w *workspace) run(dir string, args ...string) (string, error) {
	out, err := w.command(dir, args...).CombinedOutput()
	return string(out), err
}

func (w *workspace) command(dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.t.Context(), w.in.terraform, args...)
	cmd.Dir = dir
	// Nothing of the user's own configuration or credentials.
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "TF_CLI_CONFIG_FILE=" + os.DevNull, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1",
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=eu-central-1", "AWS_EC2_METADATA_DISABLED=true",
	}
	return cmd
}

// must runs terraform and fails the test where it fails.
func (w *workspace) must(dir string, args ...string) string {
	w.t.Helper()
	out, err := w.run(dir, args...)
	if err != nil {
		w.t.Fatalf("terraform %v: %v\n%s", args, err, out)
	}
	return out
}
