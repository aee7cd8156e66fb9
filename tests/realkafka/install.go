package realkafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/toolcache"
)

// version is the release that the tests run against.
const version = "4.4.0"

// pom asks Maven for the broker and nothing else. The tools API is left out because no release of it is needed by the
// broker, and slf4j-simple makes the broker log to its standard error.
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>kafka-sidecar</groupId>
  <artifactId>test-broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>` + version + `</version>
      <exclusions>
        <exclusion>
          <groupId>org.apache.kafka</groupId>
          <artifactId>kafka-tools-api</artifactId>
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

// errUnavailable is the reason why no broker can be had on this machine; the tests that need one are skipped with it.
var errUnavailable = errors.New("a real Kafka broker needs java and mvn")

// installation is one release on disk, shared by all test processes of the user.
type installation struct {
	java      string // the java program
	classPath string // one wildcard; the class archive is only valid for the very same string
	archive   string // class-data archive, may be missing
}

// install returns the installation and makes it on first use: the jars are resolved with Maven into the user's cache
// directory. Test processes run side by side, so it happens under a file lock, and the folder appears by a rename.
func install() (installation, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return installation{}, fmt.Errorf("%w: %w", errUnavailable, err)
	}
	root, unlock, err := toolcache.Open()
	if err != nil {
		return installation{}, fmt.Errorf("%w: %w", errUnavailable, err)
	}
	defer unlock()

	home := filepath.Join(root, "kafka-"+version)
	in := installation{
		java:      java,
		classPath: filepath.Join(home, "*"),
		archive:   filepath.Join(root, "kafka-"+version+".jsa"),
	}
	if _, err := os.Stat(home); err == nil {
		return in, nil
	}
	if err := resolve(root, home, pom); err != nil {
		return installation{}, err
	}
	// Without the archive every start takes one second longer, nothing else.
	_ = in.makeArchive()
	return in, nil
}

// resolve lets Maven copy what a pom asks for into the folder home.
func resolve(root, home, pom string) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return fmt.Errorf("%w: %w", errUnavailable, err)
	}
	work, err := os.MkdirTemp(root, "resolve-*")
	if err != nil {
		return fmt.Errorf("make a work directory: %w", err)
	}
	defer os.RemoveAll(work)
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), []byte(pom), 0o644); err != nil {
		return fmt.Errorf("write the pom: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "dependency:copy-dependencies",
		"-DoutputDirectory="+filepath.Join(work, "libs"), "-DincludeScope=runtime")
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: resolve %s: %w\n%s", errUnavailable, filepath.Base(home), err, out)
	}
	if err := os.Rename(filepath.Join(work, "libs"), home); err != nil {
		return fmt.Errorf("move the jars into place: %w", err)
	}
	return nil
}

// makeArchive runs one broker to its readiness and lets the JVM write down the classes that it loaded.
func (in installation) makeArchive() error {
	dir, err := os.MkdirTemp("", "kafka-archive-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	target := in.archive
	in.archive = ""
	c, err := newCluster(in, dir, Options{JVM: []string{"-XX:ArchiveClassesAtExit=" + filepath.Join(dir, "classes.jsa")}})
	if err != nil {
		return err
	}
	c.Stop()
	return os.Rename(filepath.Join(dir, "classes.jsa"), target)
}
