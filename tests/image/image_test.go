package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

const (
	repository   = "../.."
	version      = "0.0.0-image-test"
	certificates = "etc/ssl/certs/ca-certificates.crt"

	mebibyte       = 1 << 20
	unpackedBudget = 26 * mebibyte
	packedBudget   = 10 * mebibyte
)

// build makes the image for a platform and returns its name, and whether it has a runtime base or was built on nothing.
func build(t *testing.T, e *engine, platform string) (name string, based bool) {
	t.Helper()
	file := readDockerfile(t)
	own := e.run(t, "version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")
	_, arch, _ := strings.Cut(platform, "/")
	tag, standIn := "kafka-sidecar-test/sidecar:"+arch, "kafka-sidecar-test/runtime:"+arch
	if platform != own {
		standIn = nothing
	}
	base := e.base(t, file.args["RUNTIME_IMAGE"], standIn, platform, runtimeFiles)
	e.run(t, "build", "--network=host", "--platform", platform, "--build-arg", "VERSION="+version, "--tag", tag,
		"--build-arg", "GO_IMAGE="+e.base(t, file.args["GO_IMAGE"], "kafka-sidecar-test/go:latest", own, goFiles, goChanges...), "--build-arg", "RUNTIME_IMAGE="+base,
		repository)
	return tag, base != nothing
}

// facts is what the engine says of an image.
type facts struct {
	Architecture string
	Os           string
	Size         int64
	Config       struct {
		User         string
		Entrypoint   []string
		Cmd          []string
		Labels       map[string]string
		ExposedPorts map[string]any
		Healthcheck  struct{ Test []string }
	}
}

func TestImageHoldsOneStaticBinaryAndNoShell(t *testing.T) {
	e := need(t)
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		t.Run(platform, func(t *testing.T) {
			name, based := build(t, e, platform)
			var is facts
			e.inspect(t, name, &is)
			if got := is.Os + "/" + is.Architecture; got != platform {
				t.Errorf("the image is for %s, want %s", got, platform)
			}
			if is.Config.User != "65532:65532" {
				t.Errorf("it runs as %q, want the numbers of an account without rights", is.Config.User)
			}
			if !slices.Equal(is.Config.Entrypoint, []string{"/kafka-sidecar"}) || len(is.Config.Cmd) > 0 {
				t.Errorf("it starts %v %v, want the binary alone", is.Config.Entrypoint, is.Config.Cmd)
			}
			if !slices.Equal(is.Config.Healthcheck.Test, []string{"CMD", "/kafka-sidecar", "healthcheck"}) {
				t.Errorf("its health is asked by %v", is.Config.Healthcheck.Test)
			}
			for label, want := range map[string]string{"title": "kafka-sidecar", "version": version, "licenses": "Apache-2.0", "source": "https://github.com/", "description": "Kafka"} {
				if got := is.Config.Labels["org.opencontainers.image."+label]; !strings.Contains(got, want) {
					t.Errorf("label %s is %q, want %q in it", label, got, want)
				}
			}
			if is.Size > unpackedBudget {
				t.Errorf("the image has %.1f MiB, the budget is %d", float64(is.Size)/mebibyte, unpackedBudget/mebibyte)
			}
			if packed := packedSize(t, e, name); packed > packedBudget {
				t.Errorf("the image has %.1f MiB compressed, the budget is %d", float64(packed)/mebibyte, packedBudget/mebibyte)
			} else {
				t.Logf("%.1f MiB, %.1f compressed", float64(is.Size)/mebibyte, float64(packed)/mebibyte)
			}
			if authorities := checkFiles(t, e, name); based && authorities < 50 {
				t.Errorf("%d certificate authorities, want those of the web", authorities)
			}
		})
	}
}

// packedSize is how much a pull brings: the layers, compressed one by one.
func packedSize(t *testing.T, e *engine, name string) int64 {
	t.Helper()
	var size counter
	for in := tar.NewReader(e.stream(t, "save", name)); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return int64(size)
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg || path.Ext(h.Name) == ".json" {
			continue
		}
		w := gzip.NewWriter(&size)
		if _, err := io.Copy(w, in); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// checkFiles looks through the files of a container that was never started, and counts the certificate authorities.
func checkFiles(t *testing.T, e *engine, name string) (authorities int) {
	t.Helper()
	id := e.run(t, "create", name)
	defer e.run(t, "rm", id)
	var programs []string
	for in := tar.NewReader(e.stream(t, "export", id)); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		file := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		switch base := path.Base(file); {
		case slices.Contains([]string{"sh", "bash", "ash", "dash", "busybox", "apt", "apk", "dpkg"}, base) && h.Typeflag != tar.TypeDir:
			t.Errorf("the image holds %s", file)
		case h.Typeflag == tar.TypeReg && h.Mode&0o111 != 0 && h.Size > 0:
			programs = append(programs, file)
		}
		if file == certificates {
			text, err := io.ReadAll(in)
			if err != nil {
				t.Fatal(err)
			}
			for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
				authorities++
			}
		}
		if h.Typeflag == tar.TypeReg && h.Mode&(0o4000|0o2000) != 0 {
			t.Errorf("%s runs with rights that its user has not", file)
		}
	}
	if !slices.Equal(programs, []string{"kafka-sidecar"}) {
		t.Errorf("programs are %v, want the binary alone", programs)
	}
	return authorities
}

// container is one running container.
type container struct {
	t  *testing.T
	e  *engine
	id string
}

// start runs the image as an orchestrator that gives nothing away: on the host's network, since the broker and the handler of the test are there.
func (e *engine) start(t *testing.T, image string, env harness.Env) *container {
	t.Helper()
	args := []string{"run", "--detach", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "host", "--memory", "256m"}
	for name, value := range env {
		args = append(args, "--env", name+"="+value)
	}
	c := &container{t, e, e.run(t, append(args, image)...)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the container's output:\n%s", c.output())
		}
		if _, err := e.try(context.Background(), nil, "rm", "--force", c.id); err != nil { // the test's context has ended
			t.Error(err)
		}
	})
	return c
}

// output is the end of what the process logged; the client gives it on its own standard error.
func (c *container) output() string {
	cmd := exec.Command(c.e.client, "logs", "--tail", "60", c.id)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+c.e.host)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return err.Error()
	}
	return string(out)
}

type state struct {
	State struct {
		Status   string
		Pid      int
		ExitCode int
		Health   struct{ Status string }
	}
}

func (c *container) state() state {
	c.t.Helper()
	var s state
	c.e.inspect(c.t, c.id, &s)
	return s
}

func TestImageDeliversWithoutRightsAndDrainsOnStop(t *testing.T) {
	e := need(t)
	name, _ := build(t, e, e.run(t, "version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"))
	if got, want := e.run(t, "run", "--rm", "--network", "none", name, "version"), "kafka-sidecar "+version; got != want {
		t.Errorf("the binary calls itself %q, want %q", got, want)
	}

	b := harness.Fake(t)
	topic := b.CreateTopic(2)
	h := harness.NewHandler(t, harness.OK)
	records := b.Produce(harness.Keyed(topic, 100, 10)...)
	admin := harness.FreeAddr(t)
	env := harness.TestEnv(b, topic, h).With("ADMIN_ADDR", admin)
	c := e.start(t, name, env)
	h.WaitSettled(records)
	c.checkRights()
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		s := c.state()
		return s.State.Health.Status == "healthy", fmt.Sprintf("%+v", s.State)
	})

	release := make(chan struct{})
	h.Script(func(harness.Call) harness.Answer { return harness.Answer{Until: release} })
	last := b.Produce(harness.Record(topic, "last", "x"))
	h.WaitCalls(len(records) + 1)
	stopped := make(chan error, 1)
	go func() {
		_, err := e.try(t.Context(), nil, "stop", "--time", "60", c.id)
		stopped <- err
	}()
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		status, err := ask(t, "http://"+admin+"/ready")
		return status == http.StatusServiceUnavailable, fmt.Sprint("/ready: ", status, err)
	})
	close(release)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if s := c.state(); s.State.Status != "exited" || s.State.ExitCode != 0 {
		t.Errorf("after docker stop: %+v, want exit code 0", s.State)
	}
	h.WaitSettled(last)
	b.WaitCommitted(env.Group(), topic)
}

// checkRights reads what the kernel says of the container's process.
func (c *container) checkRights() {
	c.t.Helper()
	file := filepath.Join("/proc", strconv.Itoa(c.state().State.Pid), "status")
	text, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatalf("read the rights of the container's process, which must run on this host: %v", err)
	}
	for _, want := range []string{"Uid:\t65532\t65532\t65532\t65532\n", "Gid:\t65532\t65532\t65532\t65532\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n"} {
		if !bytes.Contains(text, []byte(want)) {
			c.t.Errorf("the container's process lacks %q:\n%s", want, text)
		}
	}
}

// ask gets one page on a connection of its own.
func ask(t *testing.T, url string) (int, error) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, nil
}
