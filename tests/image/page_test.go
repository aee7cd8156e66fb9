package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestImageIsBuiltAsThePageSays runs docs/ecs.md's own build. Its docker is a script that adds what stands in for the bases, and passes the rest on.
func TestImageIsBuiltAsThePageSays(t *testing.T) {
	e := need(t)
	page, err := os.ReadFile(filepath.Join(repository, "docs", "ecs.md"))
	if err != nil {
		t.Fatal(err)
	}
	var build []string
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		if !strings.Contains(block[1], "docker build ") {
			continue
		}
		for line := range strings.Lines(block[1]) {
			if strings.HasPrefix(line, "docker build ") || regexp.MustCompile(`^\w+=`).MatchString(line) {
				build = append(build, line)
			}
		}
	}
	if len(build) != 3 {
		t.Fatalf("the page's build is %q, want two variables and a command", build)
	}

	file := readDockerfile(t)
	own := e.run(t, "version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")
	standIn := nothing
	if own == "linux/arm64" {
		standIn = "kafka-sidecar-test/runtime:arm64"
	}
	goBase := e.base(t, file.args["GO_IMAGE"], "kafka-sidecar-test/go:latest", own, goFiles, goChanges...)
	runtimeBase := e.base(t, file.args["RUNTIME_IMAGE"], standIn, "linux/arm64", runtimeFiles)
	bin := t.TempDir()
	script := "#!/bin/sh\nshift\nexec " + e.client + " build --network=host --build-arg GO_IMAGE=" + goBase + " --build-arg RUNTIME_IMAGE=" + runtimeBase + ` "$@"` + "\n"
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", strings.Join(build, ""))
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "DOCKER_HOST="+e.host, "DOCKER_BUILDKIT=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, strings.Join(build, ""), out)
	}

	value := func(name string) string {
		i := slices.IndexFunc(build, func(line string) bool { return strings.HasPrefix(line, name+"=") })
		return strings.TrimSpace(strings.TrimPrefix(build[i], name+"="))
	}
	var is facts
	e.inspect(t, value("registry")+"/kafka-sidecar:"+value("version"), &is)
	if is.Architecture != "arm64" || is.Config.Labels["org.opencontainers.image.version"] != value("version") {
		t.Errorf("the image is for %s and calls itself %q", is.Architecture, is.Config.Labels["org.opencontainers.image.version"])
	}
}
