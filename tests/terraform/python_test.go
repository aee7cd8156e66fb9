package terraform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/process"
	"github.com/kafka-sidecar/kafka-sidecar/tests/toolcache"
)

// moto is the release of the mock of AWS; botocore, which holds AWS's service models, comes with it.
const moto = "5.2.5"

// packages is the folder with the Python packages, which are installed on first use. Test processes run side by side, so it happens under
// a file lock, and the folder appears by a rename.
var packages = sync.OnceValues(func() (string, error) {
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", err
	}
	cache, unlock, err := toolcache.Open()
	if err != nil {
		return "", err
	}
	defer unlock()
	home := filepath.Join(cache, "moto-"+moto)
	if _, err := os.Stat(home); err == nil {
		return home, nil
	}
	work, err := os.MkdirTemp(cache, "moto-*")
	if err != nil {
		return "", fmt.Errorf("make a work directory: %w", err)
	}
	defer os.RemoveAll(work)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, python, "-m", "pip", "install", "-q", "--no-input", "--disable-pip-version-check", "--target", work, "moto[server]=="+moto).CombinedOutput(); err != nil {
		return "", fmt.Errorf("install moto %s: %w\n%s", moto, err, out)
	}
	if err := os.Rename(work, home); err != nil {
		return "", fmt.Errorf("move moto into place: %w", err)
	}
	return home, nil
})

// python is a command that runs one of our scripts with the packages.
func python(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	home, err := packages()
	need(t, err)
	cmd := exec.Command("python3", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "PYTHONPATH=" + home}
	return cmd
}

// startAWS starts the mock and returns its address.
func startAWS(t testing.TB) string {
	t.Helper()
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	cmd := python(t, "testdata/awsfake.py", strconv.Itoa(port))
	proc, err := process.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proc.Kill)
	url := "http://127.0.0.1:" + strconv.Itoa(port)
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		if !proc.Running() {
			t.Fatal("the mock of AWS has ended: ", proc.State())
		}
		resp, err := (&http.Client{Timeout: 5 * time.Second}).Get(url + "/_calls")
		if err != nil {
			return false, err.Error()
		}
		return errors.Join(err, resp.Body.Close()) == nil && resp.StatusCode == http.StatusOK, resp.Status
	})
	return url
}
