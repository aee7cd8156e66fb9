package realkafka

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/process"
	"github.com/kafka-sidecar/kafka-sidecar/tests/toolcache"
)

//go:embed JavaConsumer.java
var consumerSource []byte

// JavaConsumer is Kafka's own consumer, of the broker's release, in a process of its own. It says a line for everything that befalls it:
// "assigned 2", "revoked 2", "lost 2" (numbers of partitions), "generation 4", "record 0@17", and "failed SomeException: words" before it ends
// with 1.
type JavaConsumer struct {
	proc *process.Process

	mu    sync.Mutex
	lines []string
	eof   sync.WaitGroup
}

// JavaConsumer starts a consumer of the topic in the group and ends it with the test. The configs are name=value, for example
// group.protocol=consumer (KIP-848).
func (c *Cluster) JavaConsumer(t testing.TB, group, topic string, configs ...string) *JavaConsumer {
	t.Helper()
	source := filepath.Join(t.TempDir(), "JavaConsumer.java")
	if err := os.WriteFile(source, consumerSource, 0o600); err != nil {
		t.Fatal(err)
	}
	// The java program compiles a single file by itself.
	args := []string{"-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", c.in.classPath,
		source, topic, "bootstrap.servers=" + c.Bootstrap(), "group.id=" + group}
	cmd := exec.Command(c.in.java, append(args, configs...)...)
	output, input := io.Pipe()
	cmd.Stdout, cmd.Stderr = input, input
	j := &JavaConsumer{}
	j.eof.Go(func() { j.read(output) })
	proc, err := process.Start(cmd)
	if err != nil {
		_ = input.Close()
		t.Fatal(err)
	}
	j.proc = proc
	j.eof.Go(func() {
		<-proc.Done()
		_ = input.Close()
	})
	t.Cleanup(func() {
		j.Kill()
		if t.Failed() {
			t.Logf("the Java consumer said:\n%s", strings.Join(j.Lines(), "\n"))
		}
	})
	return j
}

func (j *JavaConsumer) read(output io.Reader) {
	in := bufio.NewScanner(output)
	for in.Scan() {
		j.mu.Lock()
		j.lines = append(j.lines, in.Text())
		j.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, output) // a line beyond the scanner's bound must not hold the process up
}

// Lines is what the consumer has said so far.
func (j *JavaConsumer) Lines() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

// Said counts the lines that begin with a text.
func (j *JavaConsumer) Said(prefix string) (n int) {
	for _, line := range j.Lines() {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// Running says whether the consumer has not ended.
func (j *JavaConsumer) Running() bool { return j.proc.Running() }

// Kill ends the consumer without a goodbye to its group.
func (j *JavaConsumer) Kill() {
	j.proc.Kill()
	j.eof.Wait()
}

// toolsVersion is the newest release of the command-line tools that is published; it works with the broker, in a folder of its own with its
// own clients.
const toolsVersion = "4.3.1"

const toolsPOM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>kafka-sidecar</groupId>
  <artifactId>test-tools</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-tools</artifactId>
      <version>` + toolsVersion + `</version>
      <exclusions>
        <exclusion>
          <groupId>org.apache.kafka</groupId>
          <artifactId>connect-runtime</artifactId>
        </exclusion>
        <exclusion>
          <groupId>org.apache.kafka</groupId>
          <artifactId>kafka-log4j-appender</artifactId>
        </exclusion>
      </exclusions>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
`

// ConsumerGroups runs Kafka's kafka-consumer-groups against the cluster to its end and returns what it printed and its exit code.
func (c *Cluster) ConsumerGroups(t testing.TB, args ...string) (output string, code int) {
	t.Helper()
	classPath, err := installTools()
	if err != nil {
		unavailable(t, err)
	}
	all := []string{"-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", classPath,
		"org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", c.Bootstrap()}
	cmd := exec.Command(c.in.java, append(all, args...)...)
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	proc, err := process.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(readyTimeout, proc.Kill)
	defer timer.Stop()
	code = proc.ExitCode() // waits for the output, too
	return text.String(), code
}

// installTools is install for the command-line tools.
func installTools() (classPath string, err error) {
	root, unlock, err := toolcache.Open()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errUnavailable, err)
	}
	defer unlock()
	home := filepath.Join(root, "kafka-tools-"+toolsVersion)
	if _, err := os.Stat(home); err != nil {
		if err := resolve(root, home, toolsPOM); err != nil {
			return "", fmt.Errorf("install the tools: %w", err)
		}
	}
	return filepath.Join(home, "*"), nil
}

// ClassPath is Kafka's own jars, clients included, for a Java program of a test.
func (c *Cluster) ClassPath() string { return c.in.classPath }
