package envconfig

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
)

// clusterVariable is one variable of the indexed form.
var clusterVariable = regexp.MustCompile(`^KAFKA_CLUSTERS_(0|[1-9][0-9]{0,3})_(NAME|BROKERS|OPTIONS|OPTIONS_FILE)$`)

// indexed reads KAFKA_CLUSTERS_<n>_….
func (p *parser) indexed() []cluster {
	first := map[int]string{} // the first variable of each index, for messages
	for name := range p.env {
		if m := clusterVariable.FindStringSubmatch(name); m != nil {
			n, _ := strconv.Atoi(m[1])
			if first[n] == "" || name < first[n] {
				first[n] = name
			}
		}
	}
	var clusters []cluster
	for i, n := range slices.Sorted(maps.Keys(first)) {
		if n != i {
			p.fail(first[n], "there is no cluster %d; want the numbers from 0 without gaps", i)
			return clusters
		}
		if c, ok := p.indexedOne("KAFKA_CLUSTERS_" + strconv.Itoa(n)); ok {
			clusters = append(clusters, c)
		}
	}
	return clusters
}

func (p *parser) indexedOne(prefix string) (cluster, bool) {
	c := cluster{name: p.env[prefix+"_NAME"], variable: prefix + "_NAME", brokers: split(p.env[prefix+"_BROKERS"])}
	switch {
	case c.name == "":
		p.fail(c.variable, "is not set, but another variable of this cluster is; want the cluster's name")
		return c, false
	case !plainCluster.MatchString(c.name):
		p.fail(c.variable, "is no valid name; want letters, digits, '.', '_' and '-'")
		return c, false
	}
	if len(c.brokers) > 0 {
		c.variable = prefix + "_BROKERS"
	}
	fileVar := prefix + "_OPTIONS_FILE"
	if file, ok := p.env[fileVar]; ok {
		c.lenient = true
		text, err := readFile(file)
		if err != nil {
			p.fail(fileVar, "the file cannot be read (%v); want the path of a readable .properties file", err)
		}
		pairs, err := parseProperties(text)
		if err != nil {
			p.fail(fileVar, "%v; want a .properties file", err)
		}
		for _, one := range p.jaas(fileVar, pairs) {
			c.options = append(c.options, setting{pair: one, variable: fileVar, ref: SecretRef{
				Value: Secret(one.value), within: &place{file: file, form: propertiesOptions},
			}})
		}
	}
	if name := prefix + "_OPTIONS"; p.set(name) {
		pairs, err := parseOptions(p.env[name])
		if err != nil {
			p.fail(name, "%v", err)
		}
		c.overlay = p.settings(name, pairs, nil)
	}
	return c, true
}
