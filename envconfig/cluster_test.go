package envconfig

import (
	"slices"
	"strings"
	"testing"
)

// clusterEnv is the smallest configuration without its short form.
func clusterEnv(changes ...string) []string {
	return with(append([]string{"KAFKA_BOOTSTRAP_SERVERS="}, changes...)...)
}

const restateTOML = `
node-name = "n"
[ingress]
bind-address = "0.0.0.0:8080"

[[ingress.kafka-clusters]]
name = "other"
brokers = ["PLAINTEXT://o:1"]

[[ingress.kafka-clusters]]
name = "my-cluster"
brokers = ["SASL_SSL://a:1", "SASL_SSL://b"]
"sasl.mechanisms" = "PLAIN"
"sasl.username" = "me"
"sasl.password" = "pw"
"session.timeout.ms" = 30000
`

const list = `[{name="other",brokers=["PLAINTEXT://o:1"]}, {name = "my-cluster", brokers = ["SASL_SSL://a:1","SASL_SSL://b",],` +
	`"sasl.mechanisms"="PLAIN","sasl.username"="me","sasl.password"="pw","session.timeout.ms"="30000"}]`

const jsonList = `[{"name":"other","brokers":["PLAINTEXT://o:1"]},{"name":"my-cluster","brokers":["SASL_SSL://a:1","SASL_SSL://b"],
 "sasl.mechanisms":"PLAIN","sasl.username":"me","sasl.password":"\u0070w","session.timeout.ms":30000}]`

const properties = `# made by a vendor
bootstrap.servers=a:1,b
security.protocol=SASL_SSL
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username='me' \
    password="pw";
sasl.mechanism=PLAIN
client.dns.lookup=use_all_dns_ips
session.timeout.ms=45000
acks=all
schema.registry.url=https://sr
key.deserializer=x
`

func TestAllFormsOfClustersMeanTheSame(t *testing.T) {
	forms := map[string][]string{
		"list":                 {"KAFKA_CLUSTERS=" + list},
		"list as JSON":         {"KAFKA_CLUSTERS=" + jsonList},
		"Restate's name":       {"RESTATE_INGRESS__KAFKA_CLUSTERS=" + list},
		"Restate's in a file":  {"RESTATE_INGRESS__KAFKA_CLUSTERS_FILE=" + file(t, "list", list+"\n")},
		"restate.toml":         {"KAFKA_CLUSTERS_FILE=" + file(t, "restate.toml", restateTOML)},
		"list in a file":       {"KAFKA_CLUSTERS_FILE=" + file(t, "list", "\n"+list+"\n")},
		"JSON in a file":       {"KAFKA_CLUSTERS_FILE=" + file(t, "list.json", strings.Replace(jsonList, "[{", "[\n{", 1))},
		"indexed, properties":  {"KAFKA_CLUSTERS_0_NAME=my-cluster", "KAFKA_CLUSTERS_0_OPTIONS_FILE=" + file(t, "c.properties", properties), "KAFKA_CLUSTERS_0_OPTIONS=session.timeout.ms=30000"},
		"indexed, the second":  {"KAFKA_CLUSTERS_0_NAME=other", "KAFKA_CLUSTERS_0_BROKERS=o:1", "KAFKA_CLUSTERS_1_NAME=my-cluster", "KAFKA_CLUSTERS_1_BROKERS=SASL_SSL://a:1, SASL_SSL://b", `KAFKA_CLUSTERS_1_OPTIONS={"sasl.mechanisms":"PLAIN","sasl.username":"me","sasl.password":"pw","session.timeout.ms":30000}`},
		"forms add up by name": {`KAFKA_CLUSTERS=[{name="x",brokers=["x:1"]}]`, "KAFKA_CLUSTERS_FILE=" + file(t, "restate.toml", restateTOML), "KAFKA_CLUSTERS_0_NAME=y", "KAFKA_CLUSTERS_0_BROKERS=y:1"},
		"the short form":       {"KAFKA_BOOTSTRAP_SERVERS=SASL_SSL://a:1,SASL_SSL://b", "SUBSCRIPTION_OPTIONS=sasl.mechanisms=PLAIN\nsasl.username=me\nsasl.password=pw\nsession.timeout.ms=30000"},
		"options above":        {"KAFKA_CLUSTERS=" + strings.Replace(list, `"pw"`, `"old"`, 1), "KAFKA_OPTION_SASL_PASSWORD=pw"},
	}
	for name, env := range forms {
		t.Run(name, func(t *testing.T) {
			k := mustParse(t, append(env, clusterEnv()...)...).Kafka
			s := k.Security
			if k.Name != "my-cluster" || !slices.Equal(k.Brokers, []string{"a:1", "b:9092"}) || k.SessionTimeout.Seconds() != 30 {
				t.Errorf("got %+v", k)
			}
			if !s.TLS || s.Mechanism != "PLAIN" || s.Username.Value.Reveal() != "me" || s.Password.Value.Reveal() != "pw" {
				t.Errorf("got security %+v with %q", s, s.Password.Value.Reveal())
			}
		})
	}
}

func TestPropertiesForOtherClientsAreNoted(t *testing.T) {
	path := file(t, "c.properties", properties)
	got := noteTexts(mustParse(t, clusterEnv("KAFKA_CLUSTERS_0_NAME=my-cluster", "KAFKA_CLUSTERS_0_OPTIONS_FILE="+path)...))
	want := "INFO KAFKA_CLUSTERS_0_OPTIONS_FILE: option acks has no effect: it is for producers, for Java clients or for a schema registry\n" +
		"INFO KAFKA_CLUSTERS_0_OPTIONS_FILE: option key.deserializer has no effect: it is for producers, for Java clients or for a schema registry\n" +
		"INFO KAFKA_CLUSTERS_0_OPTIONS_FILE: option schema.registry.url has no effect: it is for producers, for Java clients or for a schema registry"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestClusterMistakes(t *testing.T) {
	const (
		form  = `a list like [{name="my-cluster",brokers=["broker:9092"],"sasl.username"="me"}], or the same as JSON`
		forms = `restate.toml with [[ingress.kafka-clusters]], or a list like [{name="my-cluster",brokers=["broker:9092"],"sasl.username"="me"}]`
	)
	one := func(more string) []string {
		return []string{`KAFKA_CLUSTERS=[{name="my-cluster",brokers=["b:1"]` + more + `}]`}
	}
	brokers := func(list string) []string { return []string{"KAFKA_BOOTSTRAP_SERVERS=" + list} }
	properties := func(text string) []string {
		return []string{"KAFKA_CLUSTERS_0_NAME=my-cluster", "KAFKA_CLUSTERS_0_BROKERS=b", "KAFKA_CLUSTERS_0_OPTIONS_FILE=" + file(t, "p", text)}
	}
	cases := []struct {
		name string
		env  []string
		want string
	}{
		{"none", nil, "KAFKA_BOOTSTRAP_SERVERS: is not set and no other form names a Kafka cluster; want brokers, like localhost:9092, or KAFKA_CLUSTERS"},
		{"the short form beside another", append(one(""), "KAFKA_BOOTSTRAP_SERVERS=b"), "KAFKA_BOOTSTRAP_SERVERS: is set beside another form of naming clusters; want one of the two"},
		{"a cluster that is not there", []string{`KAFKA_CLUSTERS=[{name="b",brokers=["b"]},{name="a",brokers=["b"]}]`}, "SUBSCRIPTION_SOURCE: names the cluster my-cluster, which is not configured; known are a, b"},
		{"twice in a list", []string{`KAFKA_CLUSTERS=[{name="my-cluster",brokers=["b"]},{name="my-cluster",brokers=["b"]}]`}, "KAFKA_CLUSTERS: cluster my-cluster is defined twice; want each name once, over all forms together"},
		{"twice over forms", append(one(""), "KAFKA_CLUSTERS_0_NAME=my-cluster", "KAFKA_CLUSTERS_0_BROKERS=b"), "KAFKA_CLUSTERS_0_BROKERS: cluster my-cluster is defined twice; want each name once, over all forms together"},
		{"no list", []string{"KAFKA_CLUSTERS=b:9092"}, "KAFKA_CLUSTERS: is not a list; want " + form},
		{"an empty list", []string{"KAFKA_CLUSTERS=[]"}, "KAFKA_CLUSTERS: lists no cluster; want " + form},
		{"a list that ends early", []string{`KAFKA_CLUSTERS=[{name="my-cluster"`}, "KAFKA_CLUSTERS: lacks a comma or } (near byte 19); want " + form},
		{"a name with dots outside quotation marks", one(`,sasl.username="me"`), `KAFKA_CLUSTERS: has a dot in a bare name: names with dots need quotation marks, like "sasl.username" (near byte 40); want ` + form},
		{"no table", []string{"KAFKA_CLUSTERS=[a]"}, "KAFKA_CLUSTERS: cluster 0 is not a table; want " + form},
		{"brokers that are no list", []string{`KAFKA_CLUSTERS=[{name="my-cluster",brokers="b"}]`}, "KAFKA_CLUSTERS: cluster 0 has brokers that are not a list; want " + form},
		{"a broker that is a list", []string{`KAFKA_CLUSTERS=[{name="my-cluster",brokers=[["b"]]}]`}, "KAFKA_CLUSTERS: cluster 0 has a broker that is not a text; want " + form},
		{"an option that is a list", one(`,"group.id"=["x"]`), "KAFKA_CLUSTERS: cluster 0 has the name group.id with a value that is not a text; want " + form},
		{"no name", []string{`KAFKA_CLUSTERS=[{brokers=["b"]}]`}, "KAFKA_CLUSTERS: cluster 0 has no valid name; want letters, digits, '.', '_' and '-'"},
		{"no brokers", []string{`KAFKA_CLUSTERS=[{name="my-cluster"}]`}, "KAFKA_CLUSTERS: cluster my-cluster: has no brokers; want at least one host:port"},
		{"brokers twice", one(`,"bootstrap.servers"="c:1"`), "KAFKA_CLUSTERS: cluster my-cluster: option bootstrap.servers is set beside brokers; want one of the two"},
		{"an option of a list", one(`,"session.timeout.ms"="x"`), "KAFKA_CLUSTERS: cluster my-cluster: option session.timeout.ms is not valid; want a whole number from 1 to 3600000"},
		{"an unknown option of a list", one(`,"sasl.user"="x"`), "KAFKA_CLUSTERS: cluster my-cluster: option sasl.user is not one of librdkafka's; want a name of librdkafka's CONFIGURATION.md"},
		{"a broker's protocol", brokers("TLS://b:1"), "KAFKA_BOOTSTRAP_SERVERS: broker 0 has an unknown protocol; want PLAINTEXT://, SSL://, SASL_PLAINTEXT:// or SASL_SSL:// in front, or none"},
		{"brokers of two protocols", brokers("SSL://b:1,PLAINTEXT://c:1"), "KAFKA_BOOTSTRAP_SERVERS: broker 1 has another protocol than those before it; want one for all"},
		{"brokers with and without", brokers("SSL://b:1,c:1"), "KAFKA_BOOTSTRAP_SERVERS: some brokers have a protocol in front and some have none; want one for all"},
		{"a protocol that differs", append(brokers("SSL://b:1"), "KAFKA_OPTION_SECURITY_PROTOCOL=plaintext"), "KAFKA_OPTION_SECURITY_PROTOCOL: option security.protocol differs from the protocol in front of the brokers; want one of the two, or the same"},
		{"a broker with a user", brokers("u:p@b:1"), "KAFKA_BOOTSTRAP_SERVERS: broker 0 is not host:port; want one like broker:9092, an IPv6 address in [ ]"},
		{"a broker with a bad port", brokers("b:0"), "KAFKA_BOOTSTRAP_SERVERS: broker 0 is not host:port; want one like broker:9092, an IPv6 address in [ ]"},
		{"a bare IPv6 address", brokers("::1"), "KAFKA_BOOTSTRAP_SERVERS: broker 0 is not host:port; want one like broker:9092, an IPv6 address in [ ]"},
		{"only commas", brokers(","), "KAFKA_BOOTSTRAP_SERVERS: has no brokers; want at least one host:port"},
		{"a gap", []string{"KAFKA_CLUSTERS_0_NAME=my-cluster", "KAFKA_CLUSTERS_0_BROKERS=b", "KAFKA_CLUSTERS_2_NAME=c", "KAFKA_CLUSTERS_2_BROKERS=b"}, "KAFKA_CLUSTERS_2_BROKERS: there is no cluster 1; want the numbers from 0 without gaps"},
		{"not from 0", []string{"KAFKA_CLUSTERS_1_NAME=my-cluster"}, "KAFKA_CLUSTERS_1_NAME: there is no cluster 0; want the numbers from 0 without gaps"},
		{"an indexed cluster without name", []string{"KAFKA_CLUSTERS_0_BROKERS=b"}, "KAFKA_CLUSTERS_0_NAME: is not set, but another variable of this cluster is; want the cluster's name"},
		{"an indexed cluster with a strange name", []string{"KAFKA_CLUSTERS_0_NAME=a b"}, "KAFKA_CLUSTERS_0_NAME: is no valid name; want letters, digits, '.', '_' and '-'"},
		{"an indexed cluster without brokers", []string{"KAFKA_CLUSTERS_0_NAME=my-cluster"}, "KAFKA_CLUSTERS_0_NAME: has no brokers; want at least one host:port"},
		{"options of the index", []string{"KAFKA_CLUSTERS_0_NAME=my-cluster", "KAFKA_CLUSTERS_0_BROKERS=b", "KAFKA_CLUSTERS_0_OPTIONS=x"}, "KAFKA_CLUSTERS_0_OPTIONS: line 1 is not name=value; want a JSON object, or name=value lines"},
		{"no properties file", []string{"KAFKA_CLUSTERS_0_NAME=my-cluster", "KAFKA_CLUSTERS_0_BROKERS=b", "KAFKA_CLUSTERS_0_OPTIONS_FILE=/nowhere/p"}, "KAFKA_CLUSTERS_0_OPTIONS_FILE: the file cannot be read (no such file or directory); want the path of a readable .properties file"},
		{"a broken escape", properties("a=\\u12"), `KAFKA_CLUSTERS_0_OPTIONS_FILE: line 1 has a \u without four hexadecimal digits; want a .properties file`},
		{"a name twice in a file", properties("group.id=a\ngroup.id=b"), "KAFKA_CLUSTERS_0_OPTIONS_FILE: line 2 sets group.id a second time; want a .properties file"},
		{"a login module for Kerberos", properties(`sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required username="a" password="b";`), `KAFKA_CLUSTERS_0_OPTIONS_FILE: sasl.jaas.config names a login module that this version does not know; ` + wantJAAS},
		{"a login without password", properties(`sasl.jaas.config=x.ScramLoginModule required username="a";`), `KAFKA_CLUSTERS_0_OPTIONS_FILE: sasl.jaas.config has no username or no password; ` + wantJAAS},
		{"a login twice", properties("sasl.jaas.config=x.PlainLoginModule required username=\"a\" password=\"b\";\nsasl.username=c"), "KAFKA_CLUSTERS_0_OPTIONS_FILE: option sasl.username is set twice, also by KAFKA_CLUSTERS_0_OPTIONS_FILE; want it once"},
		{"an unknown name in a file", properties("sasl.usernam=c"), "KAFKA_CLUSTERS_0_OPTIONS_FILE: option sasl.usernam is not one of librdkafka's; did you mean sasl.username?"},
		{"no clusters file", []string{"KAFKA_CLUSTERS_FILE=/nowhere/p"}, "KAFKA_CLUSTERS_FILE: the file cannot be read (no such file or directory); want the path of a readable file"},
		{"no file with Restate's list", []string{"RESTATE_INGRESS__KAFKA_CLUSTERS_FILE=/nowhere/p"}, "RESTATE_INGRESS__KAFKA_CLUSTERS_FILE: the file cannot be read (no such file or directory); want the path of a readable file"},
		{"a broken file with Restate's list", []string{"RESTATE_INGRESS__KAFKA_CLUSTERS_FILE=" + file(t, "l", `[{name="my-cluster"}]`)}, "RESTATE_INGRESS__KAFKA_CLUSTERS_FILE: cluster my-cluster: has no brokers; want at least one host:port"},
		{"broken TOML", []string{"KAFKA_CLUSTERS_FILE=" + file(t, "t", "a = \"b\nc")}, "KAFKA_CLUSTERS_FILE: is not valid TOML (line 1, column 7); want " + forms},
		{"TOML without clusters", []string{"KAFKA_CLUSTERS_FILE=" + file(t, "t", "a = 1")}, "KAFKA_CLUSTERS_FILE: lists no cluster; want " + forms},
		{"TOML with dots outside quotation marks", []string{"KAFKA_CLUSTERS_FILE=" + file(t, "t", "[[ingress.kafka-clusters]]\nname='my-cluster'\nsasl.username='x'")}, `KAFKA_CLUSTERS_FILE: cluster 0 has the name sasl with a table as value (names with dots need quotation marks, like "sasl.username"); want ` + forms},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := message(append(slices.Clone(c.env), clusterEnv()...)); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestBrokerAddresses(t *testing.T) {
	cases := map[string]string{"b": "b:9092", "b:1": "b:1", "10.0.0.1": "10.0.0.1:9092", "[::1]": "[::1]:9092", "[::1]:1": "[::1]:1", "b-1.x_y": "b-1.x_y:9092"}
	for text, want := range cases {
		if got := mustParse(t, with("KAFKA_BOOTSTRAP_SERVERS=PLAINTEXT://"+text)...).Kafka.Brokers; !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %v, want %s", text, got, want)
		}
	}
}
