package envconfig

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// cluster is one named cluster as configured, before its options are looked at.
type cluster struct {
	name     string
	variable string   // where it came from, for messages
	brokers  []string // as written
	options  []setting
	overlay  []setting // go over options
	lenient  bool      // options came from a .properties file, made for other clients too
}

// rawCluster is a cluster of a list.
type rawCluster struct {
	name    string
	brokers []string
	options []pair
}

// cluster adds up the forms and gives the cluster that the source names, or nil.
func (p *parser) cluster() *cluster {
	var clusters []cluster
	for _, name := range []string{"KAFKA_CLUSTERS", "RESTATE_INGRESS__KAFKA_CLUSTERS"} {
		if p.set(name) {
			raws, err := clusterList(p.env[name])
			clusters = append(clusters, p.listed(p.name(name), p.fromFile[name], raws, err)...)
		}
	}
	if file, ok := p.env["KAFKA_CLUSTERS_FILE"]; ok {
		if text, err := readFile(file); err != nil {
			p.fail("KAFKA_CLUSTERS_FILE", "the file cannot be read (%v); want the path of a readable file", err)
		} else {
			raws, err := clusterFile(text)
			clusters = append(clusters, p.listed("KAFKA_CLUSTERS_FILE", file, raws, err)...)
		}
	}
	clusters = append(clusters, p.indexed()...)

	for i, c := range clusters {
		if slices.ContainsFunc(clusters[:i], func(o cluster) bool { return o.name == c.name }) {
			p.fail(c.variable, "cluster %s is defined twice; want each name once, over all forms together", c.name)
		}
	}
	wanted := p.cfg.Subscription.Cluster
	if p.set("KAFKA_BOOTSTRAP_SERVERS") {
		if len(clusters) > 0 || p.clusterForms() {
			p.fail("KAFKA_BOOTSTRAP_SERVERS", "is set beside another form of naming clusters; want one of the two")
			return nil
		}
		return &cluster{name: wanted, variable: "KAFKA_BOOTSTRAP_SERVERS", brokers: split(p.vars.KafkaBootstrap)}
	}
	if !p.clusterForms() {
		if p.cfg.Function.Enabled {
			if p.set("DEAD_LETTER_TOPIC") {
				p.fail("KAFKA_BOOTSTRAP_SERVERS", "is not set and no other form names a Kafka cluster, which DEAD_LETTER_TOPIC needs; want brokers, like localhost:9092, or KAFKA_CLUSTERS")
			}
			return nil // the event source mapping reads
		}
		p.fail("KAFKA_BOOTSTRAP_SERVERS", "is not set and no other form names a Kafka cluster; want brokers, like localhost:9092, or KAFKA_CLUSTERS")
		return nil
	}
	if wanted == "" {
		return nil
	}
	var names []string
	for _, c := range clusters {
		if c.name == wanted {
			return &c
		}
		names = append(names, c.name)
	}
	if len(names) > 0 {
		slices.Sort(names)
		variable := "SUBSCRIPTION_SOURCE"
		if p.set("SUBSCRIPTION") {
			variable = p.name("SUBSCRIPTION")
		}
		p.fail(variable, "names the cluster %s, which is not configured; known are %s", wanted, strings.Join(slices.Compact(names), ", "))
	}
	return nil
}

// clusterForms says whether any form but the short one is used, rightly or wrongly.
func (p *parser) clusterForms() bool {
	for name := range p.env {
		if name == "KAFKA_CLUSTERS" || strings.HasPrefix(name, "RESTATE_INGRESS__KAFKA_CLUSTERS") || strings.HasPrefix(name, "KAFKA_CLUSTERS_") && !serviceLink.MatchString(name) {
			return true
		}
	}
	return false
}

// listed takes over the clusters of a list.
func (p *parser) listed(variable, file string, raws []rawCluster, err error) []cluster {
	if err != nil {
		p.fail(variable, "%v; want %s", err, wantList(variable))
		return nil
	}
	if len(raws) == 0 {
		p.fail(variable, "lists no cluster; want %s", wantList(variable))
	}
	var clusters []cluster
	for i, raw := range raws {
		if !plainCluster.MatchString(raw.name) {
			p.fail(variable, "cluster %d has no valid name; want letters, digits, '.', '_' and '-'", i)
			continue
		}
		c := cluster{name: raw.name, variable: variable, brokers: raw.brokers}
		for _, one := range raw.options {
			s := setting{pair: one, variable: variable, cluster: raw.name, ref: SecretRef{Value: Secret(one.value)}}
			if file != "" {
				s.ref.within = &place{file: file, form: func(text string) ([]pair, error) { return fileOptions(text, raw.name) }}
			}
			c.options = append(c.options, s)
		}
		clusters = append(clusters, c)
	}
	return clusters
}

func wantList(variable string) string {
	const form = `[{name="my-cluster",brokers=["broker:9092"],"sasl.username"="me"}]`
	if variable == "KAFKA_CLUSTERS_FILE" {
		return "restate.toml with [[ingress.kafka-clusters]], or a list like " + form
	}
	return "a list like " + form + ", or the same as JSON"
}

// fileOptions finds the options of one cluster of KAFKA_CLUSTERS_FILE again.
func fileOptions(text, name string) ([]pair, error) {
	raws, err := clusterFile(text)
	for _, raw := range raws {
		if raw.name == name {
			return raw.options, err
		}
	}
	return nil, err
}

// clusterList reads the list form, Restate's or JSON.
func clusterList(text string) ([]rawCluster, error) {
	list, err := parseList(text)
	if err != nil {
		return nil, err
	}
	if list.kind != 'l' {
		return nil, errors.New("is not a list")
	}
	var raws []rawCluster
	for i, item := range list.items {
		raw, err := clusterOf(item)
		if err != nil {
			return nil, fmt.Errorf("cluster %d %w", i, err)
		}
		raws = append(raws, raw)
	}
	return raws, nil
}

func clusterOf(n node) (rawCluster, error) {
	var raw rawCluster
	if n.kind != 'd' {
		return raw, errors.New("is not a table")
	}
	for i, value := range n.items {
		switch name := n.names[i]; {
		case name == "brokers":
			if value.kind != 'l' {
				return raw, errors.New("has brokers that are not a list")
			}
			for _, b := range value.items {
				if b.kind != 't' {
					return raw, errors.New("has a broker that is not a text")
				}
				raw.brokers = append(raw.brokers, b.text)
			}
		case value.kind != 't' || value.unknown:
			return raw, fmt.Errorf("has the name %s with a value that is not a text", shownName(name))
		case name == "name":
			raw.name = value.text
		default:
			raw.options = append(raw.options, pair{name, value.text})
		}
	}
	return raw, nil
}

// listStart tells the list form from TOML, where a line that begins with [ is a table's header.
var listStart = regexp.MustCompile(`^\s*\[\s*(\{|\]|$)`)

// clusterFile reads KAFKA_CLUSTERS_FILE: the list form, or Restate's own configuration file, of which only the clusters are looked at.
func clusterFile(text string) ([]rawCluster, error) {
	if listStart.MatchString(text) {
		return clusterList(text)
	}
	var file struct {
		Ingress struct {
			Clusters []map[string]any `toml:"kafka-clusters"`
		} `toml:"ingress"`
	}
	if err := toml.Unmarshal([]byte(text), &file); err != nil {
		if at := (*toml.DecodeError)(nil); errors.As(err, &at) {
			row, column := at.Position()
			return nil, fmt.Errorf("is not valid TOML (line %d, column %d)", row, column)
		}
		return nil, errors.New("is not valid TOML")
	}
	var raws []rawCluster
	for i, table := range file.Ingress.Clusters {
		n := node{kind: 'd'}
		for name, value := range table {
			item, err := tomlNode(value)
			if err != nil {
				return nil, fmt.Errorf("cluster %d has the name %s with %w", i, shownName(name), err)
			}
			n.names, n.items = append(n.names, name), append(n.items, item)
		}
		raw, err := clusterOf(n)
		if err != nil {
			return nil, fmt.Errorf("cluster %d %w", i, err)
		}
		// TOML keeps no order; messages should.
		slices.SortFunc(raw.options, func(a, b pair) int { return strings.Compare(a.name, b.name) })
		raws = append(raws, raw)
	}
	return raws, nil
}

func tomlNode(value any) (node, error) {
	switch v := value.(type) {
	case string:
		return node{kind: 't', text: v}, nil
	case bool, int64, float64:
		return node{kind: 't', text: fmt.Sprint(v)}, nil
	case []any:
		list := node{kind: 'l'}
		for _, item := range v {
			one, err := tomlNode(item)
			if err != nil {
				return list, err
			}
			list.items = append(list.items, one)
		}
		return list, nil
	case map[string]any:
		return node{}, errors.New(`a table as value (names with dots need quotation marks, like "sasl.username")`)
	}
	return node{}, errors.New("a value that is not a text")
}

// protocols are the prefixes that a broker may carry.
var protocols = []string{"plaintext", "ssl", "sasl_plaintext", "sasl_ssl"}

var plainHost = upTo(253, `^[a-zA-Z0-9._-]+$`)

// brokers reads a cluster's brokers: the addresses, and the security protocol that their prefixes set ("" for none).
func (p *parser) brokers(variable, of string, list []string) (addresses []string, protocol string) {
	if len(list) == 0 {
		p.fail(variable, "%shas no brokers; want at least one host:port", of)
	}
	plain := false
	for i, text := range list {
		prefix, address, found := strings.Cut(strings.TrimSpace(text), "://")
		if !found {
			address, plain = prefix, true
		} else if prefix = strings.ToLower(prefix); !slices.Contains(protocols, prefix) {
			p.fail(variable, "%sbroker %d has an unknown protocol; want PLAINTEXT://, SSL://, SASL_PLAINTEXT:// or SASL_SSL:// in front, or none", of, i)
			continue
		} else if protocol != "" && protocol != prefix {
			p.fail(variable, "%sbroker %d has another protocol than those before it; want one for all", of, i)
			continue
		} else {
			protocol = prefix
		}
		if address, found = hostPort(address); !found {
			p.fail(variable, "%sbroker %d is not host:port; want one like broker:9092, an IPv6 address in [ ]", of, i)
			continue
		}
		if !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	if plain && protocol != "" {
		p.fail(variable, "%ssome brokers have a protocol in front and some have none; want one for all", of)
	}
	return addresses, protocol
}

// hostPort completes an address with Kafka's port.
func hostPort(text string) (string, bool) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), "9092"
		if strings.Contains(host, ":") && text[0] != '[' {
			return "", false
		}
	}
	if addr, err := netip.ParseAddr(host); err != nil && !plainHost.MatchString(host) || err == nil && addr.Is6() && !strings.HasPrefix(text, "[") {
		return "", false
	}
	return net.JoinHostPort(host, port), validPort(port)
}
