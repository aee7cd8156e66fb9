package realkafka

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/tests/process"
)

// readyTimeout bounds every wait for a broker. A loaded machine needs a multiple of the usual three seconds.
const readyTimeout = 90 * time.Second

// Cluster is a set of running brokers. Its methods are for one goroutine at a time.
type Cluster struct {
	in    installation
	dir   string
	o     Options
	nodes []*Node
}

// Node is one broker of a cluster.
type Node struct {
	cluster    *Cluster
	id         int
	port       int            // of the plain listener
	controller int            // port of the controller listener
	ports      map[string]int // of the further listeners
	proc       *process.Process
}

func newCluster(in installation, dir string, o Options) (*Cluster, error) {
	if o.Nodes == 0 {
		o.Nodes = 1
	}
	c := &Cluster{in: in, dir: dir, o: o}
	for id := 1; id <= o.Nodes; id++ {
		n := &Node{cluster: c, id: id, ports: map[string]int{}}
		var errs [3]error
		n.port, errs[0] = process.FreePort()
		n.controller, errs[1] = process.FreePort()
		for _, l := range o.Listeners {
			var err error
			n.ports[l.Name], err = process.FreePort()
			errs[2] = errors.Join(errs[2], err)
		}
		if err := errors.Join(errs[:]...); err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, n)
	}
	if err := c.format(); err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// format writes the properties of every node and lays out its storage.
func (c *Cluster) format() error {
	var id [16]byte
	_, _ = rand.Read(id[:])
	id[0] &= 0x7f // the tool takes an id that begins with a dash for an option
	for _, n := range c.nodes {
		var text strings.Builder
		properties := n.properties()
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			fmt.Fprintf(&text, "%s=%s\n", name, properties[name])
		}
		if err := os.WriteFile(n.path("properties"), []byte(text.String()), 0o600); err != nil {
			return fmt.Errorf("write the properties of node %d: %w", n.id, err)
		}
		args := []string{"kafka.tools.StorageTool", "format", "-t", base64.RawURLEncoding.EncodeToString(id[:]), "-c", n.path("properties")}
		if len(c.nodes) == 1 {
			args = append(args, "--standalone")
		}
		cmd := n.javaCommand(nil, append(args, c.o.Format...))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("format node %d: %w\n%s", n.id, err, out)
		}
	}
	return nil
}

// properties are small numbers of threads and internal partitions, no waiting for further group members, and a log
// cleaner that looks several times a second, so that tests see compaction happen.
func (n *Node) properties() map[string]string {
	nodes := len(n.cluster.nodes)
	listeners := []string{"PLAINTEXT://" + loopback(n.port)}
	protocols := []string{"PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT"}
	advertised := slices.Clone(listeners)
	for _, l := range n.cluster.o.Listeners {
		host := l.Host
		if host == "" {
			host = "127.0.0.1"
		}
		listeners = append(listeners, l.Name+"://"+loopback(n.ports[l.Name]))
		advertised = append(advertised, l.Name+"://"+net.JoinHostPort(host, strconv.Itoa(cmp.Or(l.Port, n.ports[l.Name]))))
		protocols = append(protocols, l.Name+":"+l.Protocol)
	}
	replicas, minISR := strconv.Itoa(nodes), strconv.Itoa(min(nodes, 2))
	p := map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          strconv.Itoa(n.id),
		"controller.listener.names":                        "CONTROLLER",
		"inter.broker.listener.name":                       "PLAINTEXT",
		"listeners":                                        strings.Join(append(listeners, "CONTROLLER://"+loopback(n.controller)), ","),
		"advertised.listeners":                             strings.Join(advertised, ","),
		"listener.security.protocol.map":                   strings.Join(protocols, ","),
		"log.dirs":                                         n.path("data"),
		"auto.create.topics.enable":                        "false",
		"default.replication.factor":                       replicas,
		"min.insync.replicas":                              minISR,
		"offsets.topic.replication.factor":                 replicas,
		"offsets.topic.num.partitions":                     "1",
		"transaction.state.log.replication.factor":         replicas,
		"transaction.state.log.min.isr":                    minISR,
		"transaction.state.log.num.partitions":             "1",
		"share.coordinator.state.topic.replication.factor": replicas,
		"share.coordinator.state.topic.min.isr":            minISR,
		// A node that was killed may register again as soon as its old session is over.
		"broker.session.timeout.ms":        "2000",
		"broker.heartbeat.interval.ms":     "400",
		"group.initial.rebalance.delay.ms": "0",
		"num.network.threads":              "2",
		"num.io.threads":                   "2",
		"log.cleaner.threads":              "1",
		"log.cleaner.dedupe.buffer.size":   "2097152",
		"log.cleaner.backoff.ms":           "200",
		"log.retention.check.interval.ms":  "500",
		"log.segment.delete.delay.ms":      "1000",
		"message.max.bytes":                "16777216",
	}
	if nodes == 1 {
		p["controller.quorum.bootstrap.servers"] = loopback(n.controller)
	} else {
		var voters []string
		for _, v := range n.cluster.nodes {
			voters = append(voters, fmt.Sprintf("%d@%s", v.id, loopback(v.controller)))
		}
		p["controller.quorum.voters"] = strings.Join(voters, ",")
	}
	maps.Copy(p, n.cluster.o.Properties)
	return p
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (n *Node) path(name string) string {
	return filepath.Join(n.cluster.dir, fmt.Sprintf("node-%d.%s", n.id, name))
}

func (n *Node) javaCommand(flags, args []string) *exec.Cmd {
	in := n.cluster.in
	// A small heap and the quick compiler only: these brokers live for minutes.
	all := []string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"}
	if _, err := os.Stat(in.archive); err == nil {
		all = append(all, "-XX:SharedArchiveFile="+in.archive)
	}
	all = append(all, flags...)
	all = append(all, "-cp", in.classPath)
	return exec.Command(in.java, append(all, args...)...)
}

// Bootstrap is the comma list of the plain listeners.
func (c *Cluster) Bootstrap() string {
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, loopback(n.port))
	}
	return strings.Join(addrs, ",")
}

// Addr is the advertised address of a further listener on the first node.
func (c *Cluster) Addr(listener string) string {
	for _, l := range c.o.Listeners {
		if l.Name == listener {
			host := l.Host
			if host == "" {
				host = "127.0.0.1"
			}
			return net.JoinHostPort(host, strconv.Itoa(cmp.Or(l.Port, c.nodes[0].ports[listener])))
		}
	}
	return ""
}

// ListenAddr is where a further listener of the node listens, whatever it advertises.
func (n *Node) ListenAddr(listener string) string { return loopback(n.ports[listener]) }

// Node returns one broker by its id, from 1.
func (c *Cluster) Node(id int) *Node { return c.nodes[id-1] }

// Start starts every node that does not run and waits until the cluster answers with all of them.
func (c *Cluster) Start() error {
	for _, n := range c.nodes {
		if err := n.start(); err != nil {
			return err
		}
	}
	return c.waitReady(len(c.nodes))
}

// Stop ends all nodes in good order: they hand over and flush. They keep their data for the next Start.
func (c *Cluster) Stop() {
	for _, n := range c.nodes {
		if n.proc != nil {
			_ = n.proc.Signal(syscall.SIGCONT)
			_ = n.proc.Signal(syscall.SIGTERM)
		}
	}
	for _, n := range c.nodes {
		n.waitEnd()
	}
}

// Kill ends all nodes at once, as a power cut would.
func (c *Cluster) Kill() {
	for _, n := range c.nodes {
		n.Kill()
	}
}

// Restart stops all nodes and starts them again on the same ports with the same data.
func (c *Cluster) Restart() error {
	c.Stop()
	return c.Start()
}

// Close ends everything that still runs.
func (c *Cluster) Close() { c.Kill() }

// Log is the end of what the brokers wrote.
func (c *Cluster) Log() string {
	var b bytes.Buffer
	for _, n := range c.nodes {
		text, err := os.ReadFile(n.path("log"))
		if err != nil {
			continue
		}
		fmt.Fprintf(&b, "node %d:\n%s", n.id, text[max(0, len(text)-4096):])
	}
	return b.String()
}

// waitReady waits until a Metadata answer lists the wanted number of brokers.
func (c *Cluster) waitReady(brokers int) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.Bootstrap(), ",")...),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer client.Close()
	deadline := time.NewTimer(readyTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		known, err := countBrokers(ctx, client)
		cancel()
		if known >= brokers {
			return nil
		}
		for _, n := range c.nodes {
			if n.proc != nil && !n.proc.Running() {
				return fmt.Errorf("node %d ended with code %d:\n%s", n.id, n.proc.ExitCode(), c.Log())
			}
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("brokers not ready after %s (last answer: %d brokers, %w):\n%s", readyTimeout, known, err, c.Log())
		}
	}
}

// countBrokers asks for no topics, and by the plain request: the admin client answers from a cache.
func countBrokers(ctx context.Context, client *kgo.Client) (int, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{}
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	return len(answer.Brokers), nil
}

func (n *Node) start() error {
	if n.proc != nil && n.proc.Running() {
		return nil
	}
	out, err := os.OpenFile(n.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the broker's log: %w", err)
	}
	defer out.Close() // the child has its own descriptor
	cmd := n.javaCommand(n.cluster.o.JVM, []string{"kafka.Kafka", n.path("properties")})
	cmd.Stdout, cmd.Stderr = out, out
	n.proc, err = process.Start(cmd)
	return err
}

// Start starts the node again and waits until the cluster counts it.
func (n *Node) Start() error {
	if err := n.start(); err != nil {
		return err
	}
	running := 0
	for _, m := range n.cluster.nodes {
		if m.proc != nil && m.proc.Running() {
			running++
		}
	}
	return n.cluster.waitReady(running)
}

// Stop ends the node in good order.
func (n *Node) Stop() {
	if n.proc != nil {
		_ = n.proc.Signal(syscall.SIGTERM)
		n.waitEnd()
	}
}

// waitEnd waits for a node that was told to stop, and kills it if it takes too long.
func (n *Node) waitEnd() {
	if n.proc == nil {
		return
	}
	timer := time.NewTimer(20 * time.Second)
	defer timer.Stop()
	select {
	case <-n.proc.Done():
	case <-timer.C:
		n.proc.Kill()
	}
}

// Kill ends the node with SIGKILL.
func (n *Node) Kill() {
	if n.proc != nil {
		n.proc.Kill()
	}
}

// Pause freezes the node with SIGSTOP: connections stay open and nothing answers.
func (n *Node) Pause() error { return n.proc.Signal(syscall.SIGSTOP) }

// Resume lets a paused node go on.
func (n *Node) Resume() error { return n.proc.Signal(syscall.SIGCONT) }

// PID is the process id of the node's JVM.
func (n *Node) PID() int { return n.proc.PID() }
