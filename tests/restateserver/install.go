package restateserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/toolcache"
)

// version is the release that the tests run against.
const version = "1.7.12"

// errUnavailable is the reason why no server can be had on this machine; the tests that need one are skipped with it.
var errUnavailable = errors.New("a real Restate server needs npm, once")

// install returns the path of the server's binary and gets it with npm on first use. Test processes run side by side, so
// it happens under a file lock, and the folder appears by a rename.
func install() (string, error) {
	arch, known := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	if !known || runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		return "", fmt.Errorf("%w, which has no build for %s/%s", errUnavailable, runtime.GOOS, runtime.GOARCH)
	}
	root, unlock, err := toolcache.Open()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errUnavailable, err)
	}
	defer unlock()
	home := filepath.Join(root, "restate-server-"+version)
	// The package's own command is a script around this binary, and a script cannot be killed in its child's place.
	binary := filepath.Join(home, "node_modules", "@restatedev", "restate-server-"+runtime.GOOS+"-"+arch, "bin", "restate-server")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	return binary, fetch(root, home)
}

func fetch(root, home string) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("%w: %w", errUnavailable, err)
	}
	work, err := os.MkdirTemp(root, "fetch-*")
	if err != nil {
		return fmt.Errorf("make a work directory: %w", err)
	}
	defer os.RemoveAll(work)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "install", "--prefix", work, "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier",
		"@restatedev/restate-server@"+version)
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: install Restate %s: %w\n%s", errUnavailable, version, err, out)
	}
	if err := os.Rename(work, home); err != nil {
		return fmt.Errorf("move the server into place: %w", err)
	}
	return nil
}
