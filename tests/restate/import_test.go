package restate

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/restateserver"
)

// imported runs import-restate and returns the blocks that it prints, by the subscription's id.
func (l *lab) imported(t *testing.T, ids ...string) (blocks map[string]string) {
	t.Helper()
	stdout, stderr, code := harness.Run(t, nil, append([]string{"import-restate", l.server.Admin}, ids...)...)
	if code != 0 {
		t.Fatalf("import-restate exits %d: %s", code, stderr)
	}
	blocks = map[string]string{}
	for block := range strings.SplitSeq(strings.TrimSpace(stdout), "\n\n") {
		blocks[environment(block)["SUBSCRIPTION_ID"]] = block
	}
	return blocks
}

// environment reads a block as env files are read: a name, =, and the value as it is.
func environment(block string) harness.Env {
	env := harness.Env{}
	for line := range strings.SplitSeq(block, "\n") {
		if name, value, found := strings.Cut(line, "="); found && !strings.HasPrefix(line, "#") {
			env[name] = value
		}
	}
	return env
}

var blank = regexp.MustCompile(`<[^>]+>`)

// filled replaces what has to be filled in.
func filled(env harness.Env) harness.Env {
	out := harness.Env{}
	for name, value := range env {
		out[name] = blank.ReplaceAllString(value, "filled-in")
	}
	return out
}

func TestImportedEnvironmentsGoOnWhereRestateStopped(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	for _, protocol := range []string{"classic", "consumer"} {
		t.Run(protocol, func(t *testing.T) {
			options := map[string]string{"auto.offset.reset": "earliest", "group.protocol": protocol}
			if protocol == "classic" {
				options["session.timeout.ms"] = "6000"
			}
			topic := l.broker.CreateTopic(2)
			keys, records := sequences(t, topic, 20, 20)
			l.broker.Produce(records[:200]...)
			id := l.server.Subscribe("kafka://"+cluster+"/"+topic, "service://Sequence/Take", options)
			l.waitSequences(t, keys, 10)
			l.broker.WaitCommitted(id, topic) // Restate commits every five seconds
			if _, state, kind := l.group(t, id); kind != protocol || state != "Stable" {
				t.Fatalf("Restate's group is %s and of the kind %s, want %s", state, kind, protocol)
			}

			env := environment(l.imported(t, id)[id])
			l.server.Unsubscribe(id)
			l.waitGone(t, id)
			l.broker.Produce(records[200:]...)
			sidecar := harness.Start(t, env)
			l.waitSequences(t, keys, 20)
			l.broker.WaitCommitted(id, topic)
			if got := sidecar.Metrics().Value("kafka_sidecar_settled_total", "outcome", "done"); got != 200 {
				t.Errorf("the sidecar settled %v records, want the second half, 200", got)
			}
		})
	}
}

// waitGone waits until Restate has left its consumer group.
func (l *lab) waitGone(t *testing.T, group string) {
	t.Helper()
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		members, state, _ := l.group(t, group)
		return members == 0 && state == "Empty", fmt.Sprintf("group %s is %s with %d members", group, state, members)
	})
}

// group tells the members, the state and the kind of a group: classic, or consumer, whose members the broker itself assigns (KIP-848).
func (l *lab) group(t *testing.T, name string) (members int, state, kind string) {
	t.Helper()
	groups, err := l.broker.Admin().DescribeConsumerGroups(t.Context(), name)
	if err == nil && groups[name].Err == nil {
		return len(groups[name].Members), groups[name].State, "consumer"
	}
	ids, state := l.broker.Members(name)
	return len(ids), state, "classic"
}

// Nothing is lost when the subscription is deleted in the middle. What Restate had taken in and not committed comes again.
func TestTakingOverInTheMiddleLosesNothing(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	topic := l.broker.CreateTopic(4)
	keys, records := sequences(t, topic, 40, 100)
	l.broker.Produce(records[:2000]...)
	id := l.server.Subscribe("kafka://"+cluster+"/"+topic, "service://KeyedWitness/See", earliest)
	l.services.waitSeen(t, topic, 100)
	env := environment(l.imported(t, id)[id])
	l.server.Unsubscribe(id)
	l.broker.Produce(records[2000:]...)
	l.waitGone(t, id)
	harness.Start(t, env)
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		all := map[string]map[string]bool{}
		for _, s := range l.services.Seen() {
			if all[s.Key] == nil {
				all[s.Key] = map[string]bool{}
			}
			all[s.Key][s.Body] = true
		}
		for _, key := range keys {
			if len(all[key]) < 100 {
				return false, fmt.Sprintf("%d of 100 records of %s", len(all[key]), key)
			}
		}
		return true, ""
	})
	t.Logf("%d of %d records came again", len(l.services.Seen())-len(records), len(records))
}

func TestASidecarDoesNotStartWhileRestateIsInItsGroup(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	topic := l.broker.CreateTopic(1)
	id := l.server.Subscribe("kafka://"+cluster+"/"+topic, "service://KeyedWitness/See", earliest)
	l.broker.Produce(harness.Record(topic, "key", "1"))
	l.services.waitSeen(t, topic, 1)
	sidecar := harness.Start(t, environment(l.imported(t, id)[id]))
	sidecar.Exit(1)
	sidecar.WaitLog(id, "another kind")
}

func TestImportedEnvironmentsPassTheCheck(t *testing.T) {
	l := newLab(t, restateserver.Options{})
	l.server.CreateCluster("secured", map[string]string{
		"bootstrap.servers": "b1.invalid:9093,b2.invalid:9093", "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512",
		"sasl.username": "kafka-user", "sasl.password": "kafka-password", "client.id": "quota-a",
	})
	topic := l.broker.CreateTopic(1)
	subscribe := func(cluster, sink string, options map[string]string) string {
		return l.server.Subscribe("kafka://"+cluster+"/"+topic, sink, options)
	}
	plain := subscribe(cluster, "service://Witness/See", map[string]string{
		"auto.offset.reset": "earliest", "fetch.min.bytes": "7", "ssl.sigalgs.list": "RSA+SHA256", "statistics.interval.ms": "1000", "enable.auto.commit": "false",
	})
	secured := subscribe("secured", "service://Counter/Add", map[string]string{"group.id": "adders", "fetch.min.bytes": "9"})
	workflow := subscribe(cluster, "service://MyWorkflow/Run", nil)
	shared := subscribe(cluster, "service://MyWorkflow/SetPromise", nil)
	blocks := l.imported(t)
	if len(blocks) != 4 {
		t.Fatalf("%d blocks, want 4: %v", len(blocks), blocks)
	}
	for id, want := range map[string]harness.Env{
		plain: {
			"SUBSCRIPTION_SOURCE": "kafka://" + cluster + "/" + topic, "SUBSCRIPTION_SINK": "service://Witness/See", "KAFKA_BOOTSTRAP_SERVERS": "PLAINTEXT://" + l.broker.Addr,
			"HANDLER_URL": l.server.Ingress, "HANDLER_PROTOCOL": "restate", "HANDLER_TYPE": "service", "NULL_KEY": "",
			"KAFKA_OPTION_AUTO_OFFSET_RESET": "earliest", "KAFKA_OPTION_FETCH_MIN_BYTES": "7", "KAFKA_OPTION_SSL_SIGALGS_LIST": "", "START_AT": "",
		},
		secured: {
			"SUBSCRIPTION_ID": secured, "KAFKA_OPTION_GROUP_ID": "adders", "HANDLER_TYPE": "object", "NULL_KEY": "empty", "KAFKA_BOOTSTRAP_SERVERS": "b1.invalid:9093,b2.invalid:9093",
			"KAFKA_OPTION_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_OPTION_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_OPTION_CLIENT_ID": "quota-a",
			"KAFKA_OPTION_SASL_USERNAME": "<sasl.username>", "KAFKA_OPTION_SASL_PASSWORD": "<sasl.password>", "KAFKA_OPTION_FETCH_MIN_BYTES": "9",
		},
		workflow: {"HANDLER_TYPE": "workflow", "KAFKA_OPTION_CLIENT_ID": "", "KAFKA_OPTION_AUTO_OFFSET_RESET": ""},
		shared:   {"HANDLER_TYPE": "workflow-shared"},
	} {
		env := environment(blocks[id])
		for name, value := range want {
			if env[name] != value {
				t.Errorf("%s: %s is %q, want %q", env["SUBSCRIPTION_SINK"], name, env[name], value)
			}
		}
		if !strings.Contains(blocks[id], "Delete the subscription there first") || strings.Contains(blocks[id], "To be mended") {
			t.Errorf("comments:\n%s", blocks[id])
		}
		if _, stderr, code := harness.Run(t, filled(env), "check", "--offline"); code != 0 {
			t.Errorf("check --offline exits %d: %s\n%s", code, stderr, blocks[id])
		}
	}
	if block := blocks[plain]; !strings.Contains(block, "# Left out: ssl.sigalgs.list=RSA+SHA256: ") || !strings.Contains(block, "policy") {
		t.Errorf("no word about the option that is refused:\n%s", block)
	}
	if env := environment(blocks[workflow]); env["START_AT"] == "" {
		t.Errorf("a subscription from the end of the topic has no START_AT:\n%s", blocks[workflow])
	}
}
