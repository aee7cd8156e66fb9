package examples

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func open(t *testing.T, path ...string) *yaml.Decoder {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{"..", "..", "examples"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	return d
}

// accepted fails the test unless the built binary takes the environment as it stands.
func accepted(t *testing.T, env harness.Env) {
	t.Helper()
	if stdout, stderr, code := harness.Run(t, env, "check", "--offline"); code != 0 {
		t.Errorf("check --offline ends with %d:\n%s%s", code, stdout, stderr)
	}
}

// TestComposeFileIsASidecarsEnvironment knows every field that the file uses: a misspelt one fails here, since there is no
// Docker on every machine to say so.
func TestComposeFileIsASidecarsEnvironment(t *testing.T) {
	type service struct {
		Image, Build, Command string
		Environment           map[string]string
		Healthcheck           struct {
			Test, Interval, Timeout string
			Retries                 int
		}
		DependsOn       map[string]struct{ Condition string } `yaml:"depends_on"`
		Volumes, Ports  []string
		StopGracePeriod string `yaml:"stop_grace_period"`
		Restart         string
	}
	var file struct{ Services map[string]service }
	if err := open(t, "compose", "compose.yaml").Decode(&file); err != nil {
		t.Fatal(err)
	}
	for name, s := range file.Services {
		for other := range s.DependsOn {
			if _, ok := file.Services[other]; !ok {
				t.Errorf("%s depends on %q, which is not there", name, other)
			}
		}
		for _, v := range s.Volumes {
			host, _, _ := strings.Cut(v, ":")
			if _, err := os.Stat(filepath.Join("..", "..", "examples", "compose", host)); err != nil {
				t.Errorf("%s mounts what is not there: %v", name, err)
			}
		}
	}
	sidecar := file.Services["sidecar"]
	if _, err := os.Stat(filepath.Join("..", "..", "examples", "compose", sidecar.Build, "Dockerfile")); err != nil {
		t.Error(err)
	}
	accepted(t, sidecar.Environment)
}

// TestKubernetesManifestIsASidecarsEnvironment knows every field that the manifest uses, as the Compose test does.
func TestKubernetesManifestIsASidecarsEnvironment(t *testing.T) {
	type probe struct {
		HTTPGet   *struct{ Path, Port string } `yaml:"httpGet"`
		TCPSocket *struct{ Port int }          `yaml:"tcpSocket"`

		PeriodSeconds    int `yaml:"periodSeconds"`
		FailureThreshold int `yaml:"failureThreshold"`
	}
	type container struct {
		Name, Image   string
		RestartPolicy string `yaml:"restartPolicy"`
		Env           []struct{ Name, Value string }
		Ports         []struct {
			Name          string
			ContainerPort int `yaml:"containerPort"`
		}
		StartupProbe    *probe `yaml:"startupProbe"`
		LivenessProbe   *probe `yaml:"livenessProbe"`
		ReadinessProbe  *probe `yaml:"readinessProbe"`
		Resources       struct{ Requests, Limits map[string]string }
		SecurityContext struct {
			AllowPrivilegeEscalation bool `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool `yaml:"readOnlyRootFilesystem"`
			Capabilities             struct{ Drop []string }
		} `yaml:"securityContext"`
		VolumeMounts []struct {
			Name      string
			MountPath string `yaml:"mountPath"`
			ReadOnly  bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
	type manifest struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct{ Name string }
		StringData map[string]string `yaml:"stringData"`
		Spec       struct {
			Replicas int
			Selector struct {
				MatchLabels map[string]string `yaml:"matchLabels"`
			}
			Strategy struct {
				RollingUpdate struct {
					MaxSurge       int `yaml:"maxSurge"`
					MaxUnavailable int `yaml:"maxUnavailable"`
				} `yaml:"rollingUpdate"`
			}
			Template struct {
				Metadata struct{ Labels, Annotations map[string]string }
				Spec     struct {
					TerminationGracePeriodSeconds int `yaml:"terminationGracePeriodSeconds"`
					SecurityContext               struct {
						RunAsNonRoot   bool                  `yaml:"runAsNonRoot"`
						RunAsUser      int                   `yaml:"runAsUser"`
						RunAsGroup     int                   `yaml:"runAsGroup"`
						FSGroup        int                   `yaml:"fsGroup"`
						SeccompProfile struct{ Type string } `yaml:"seccompProfile"`
					} `yaml:"securityContext"`
					InitContainers []container `yaml:"initContainers"`
					Containers     []container
					Volumes        []struct {
						Name   string
						Secret struct {
							SecretName string `yaml:"secretName"`
						}
					}
				}
			}
		}
	}
	byKind := map[string]manifest{}
	for d := open(t, "kubernetes", "subscription.yaml"); ; {
		var m manifest
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		byKind[m.Kind] = m
	}
	pod := byKind["Deployment"].Spec.Template.Spec
	sidecar := pod.Containers[0]
	env := harness.Env{}
	for _, v := range sidecar.Env {
		env[v.Name] = v.Value
	}
	// The secret's files, as the kubelet would write them.
	mount := sidecar.VolumeMounts[0]
	files := t.TempDir()
	for name, value := range byKind["Secret"].StringData {
		if err := os.WriteFile(filepath.Join(files, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range env {
		env[name] = strings.Replace(value, mount.MountPath+"/", files+"/", 1)
	}
	accepted(t, env)
	if pod.Volumes[0].Secret.SecretName != byKind["Secret"].Metadata.Name || pod.Volumes[0].Name != mount.Name {
		t.Error("the sidecar does not mount the secret of the manifest")
	}
	if pod.TerminationGracePeriodSeconds < 30 || sidecar.StartupProbe.PeriodSeconds*sidecar.StartupProbe.FailureThreshold <= 60 {
		t.Error("the pod is ended before SHUTDOWN_TIMEOUT or STARTUP_TIMEOUT is over")
	}
	for path, p := range map[string]*probe{"/startup": sidecar.StartupProbe, "/live": sidecar.LivenessProbe, "/ready": sidecar.ReadinessProbe} {
		if p.HTTPGet.Path != path || p.HTTPGet.Port != sidecar.Ports[0].Name || sidecar.Ports[0].ContainerPort != 9464 {
			t.Errorf("the probe for %s asks %+v", path, *p.HTTPGet)
		}
	}
	if handler := pod.InitContainers[0]; handler.RestartPolicy != "Always" {
		t.Errorf("the handler, restartPolicy %q, would have to end before the sidecar starts", handler.RestartPolicy)
	}
}
