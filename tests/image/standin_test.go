package image

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// nothing is the base without a file. It stands in for the runtime of another platform: a build does not find an imported image of one.
const nothing = "scratch"

// base makes sure that a base image is there and returns the name to build with: its own, or that of its stand-in.
func (e *engine) base(t *testing.T, name, standIn, platform string, fill func(t *testing.T, w *tar.Writer), changes ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if _, err := e.try(ctx, nil, "pull", "--quiet", "--platform", platform, name); err == nil {
		return name
	}
	t.Logf("%s cannot be pulled for %s, %s stands in for it", name, platform, standIn)
	if _, err := e.try(t.Context(), nil, "image", "inspect", standIn); err == nil || standIn == nothing {
		return standIn
	}
	read, write := io.Pipe()
	var filling sync.WaitGroup
	filling.Go(func() {
		w := tar.NewWriter(write)
		fill(t, w)
		write.CloseWithError(w.Close())
	})
	args := []string{"import", "--platform", platform}
	for _, c := range changes {
		args = append(args, "--change", c)
	}
	_, err := e.try(t.Context(), read, append(args, "-", standIn)...)
	read.Close() // ends the writer where the client has not read all
	filling.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return standIn
}

// put adds one file to an archive. An archive that nobody reads any more is no failure of its own.
func put(t *testing.T, w *tar.Writer, name string, mode fs.FileMode, from io.Reader, size int64) {
	err := w.WriteHeader(&tar.Header{Name: name, Mode: int64(mode.Perm()), Size: size, Typeflag: tar.TypeReg})
	if err == nil {
		_, err = io.CopyN(w, from, size)
	}
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("archive %s: %v", name, err)
	}
}

func putText(t *testing.T, w *tar.Writer, name, text string) {
	put(t, w, name, 0o644, strings.NewReader(text), int64(len(text)))
}

func putFile(t *testing.T, w *tar.Writer, name, from string) {
	f, err := os.Open(from)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Error(err)
		return
	}
	put(t, w, name, info.Mode(), f, info.Size())
}

// runtimeFiles is what the build takes for granted in the runtime base: an account without rights, certificates, a folder for temporary files.
func runtimeFiles(t *testing.T, w *tar.Writer) {
	putText(t, w, "etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")
	putFile(t, w, certificates, "/"+certificates)
	if err := w.WriteHeader(&tar.Header{Name: "tmp/", Mode: 0o1777, Typeflag: tar.TypeDir}); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

// goFiles is this machine's Go with a shell, and the modules of the build as a module proxy in a folder.
func goFiles(t *testing.T, w *tar.Writer) {
	putFile(t, w, "bin/busybox", "/bin/busybox")
	for _, name := range []string{"sh", "mkdir", "rm"} {
		if err := w.WriteHeader(&tar.Header{Name: "bin/" + name, Linkname: "busybox", Typeflag: tar.TypeSymlink}); err != nil {
			return
		}
	}
	putText(t, w, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	if err := w.WriteHeader(&tar.Header{Name: "tmp/", Mode: 0o1777, Typeflag: tar.TypeDir}); err != nil {
		return
	}
	root := goEnv(t, "GOROOT")
	walk(t, root, func(name string) bool {
		top, rest, _ := strings.Cut(name, "/")
		switch top {
		case "test", "doc", "api", "misc":
			return false
		case "src":
			return !strings.Contains(rest, "testdata/") && !strings.HasSuffix(name, "_test.go")
		}
		return true
	}, func(name, file string) { putFile(t, w, "usr/local/go/"+name, file) })
	downloads := filepath.Join(goEnv(t, "GOMODCACHE"), "cache", "download")
	needed := modules(t)
	walk(t, downloads, func(name string) bool { return strings.HasSuffix(name, ".mod") || needed[name] },
		func(name, file string) { putFile(t, w, "modules/"+name, file) })
}

// goChanges is what the stand-in's environment says: Debian's image of Go has the same path.
var goChanges = []string{"ENV PATH=/usr/local/go/bin:/bin", "ENV GOPATH=/go", "ENV GOTOOLCHAIN=local", "ENV GOPROXY=file:///modules", "ENV GOFLAGS=-buildvcs=false"}

// modules are the files of the modules that the build needs, under the cache's download folder, which has a module proxy's layout.
func modules(t *testing.T) map[string]bool {
	cmd := exec.Command("go", "mod", "download", "-json")
	cmd.Dir = repository
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("go mod download: %v", err)
		return nil
	}
	downloads := filepath.Join(goEnv(t, "GOMODCACHE"), "cache", "download")
	needed := map[string]bool{}
	for list := json.NewDecoder(strings.NewReader(string(out))); list.More(); {
		var m struct{ Info, Zip string }
		if err := list.Decode(&m); err != nil {
			t.Error(err)
			return nil
		}
		for _, file := range []string{m.Info, m.Zip} {
			if name, err := filepath.Rel(downloads, file); err == nil {
				needed[filepath.ToSlash(name)] = true
			}
		}
	}
	return needed
}

func goEnv(t *testing.T, name string) string {
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Error(err)
	}
	return strings.TrimSpace(string(out))
}

// walk visits the regular files under root whose names, relative and with slashes, are wanted.
func walk(t *testing.T, root string, want func(name string) bool, visit func(name, file string)) {
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err == nil && want(path.Clean(filepath.ToSlash(name))) {
			visit(filepath.ToSlash(name), file)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
