package envconfig

import (
	"log/slog"
	"regexp"
	"strings"
	"time"
)

// consumerOptions are the options of consumers and, below them, those of a topic.
var consumerOptions = []*option{
	{Name: "group.id", Class: apply, Effect: "the consumer group; by default SUBSCRIPTION_ID", apply: applyGroup},
	{Name: "group.instance.id", Class: apply, Effect: "static membership: a member that comes back under its name within the session keeps its partitions", apply: applyInstance},
	{Name: "partition.assignment.strategy", Class: ignore, Kind: choices, Words: []string{"range", "roundrobin", "cooperative-sticky"}, Default: "range,roundrobin", Always: true, Effect: "the group always uses our own cooperative and sticky strategy"},
	{Name: "session.timeout.ms", Class: apply, Kind: whole, Min: 1, Max: 3600000, Default: "45000", Effect: "how long the group waits for a silent member; no attempt begins later than this less 2 s after the last heartbeat", apply: millis(func(k *Kafka) *time.Duration { return &k.SessionTimeout })},
	{Name: "heartbeat.interval.ms", Class: apply, Kind: whole, Min: 1, Max: 3600000, Default: "3000", Effect: "time between heartbeats, at most a third of session.timeout.ms", apply: millis(func(k *Kafka) *time.Duration { return &k.HeartbeatInterval })},
	{Name: "group.protocol.type", Class: ignore, Default: "consumer", Effect: "only consumer is spoken", apply: onlyValue("consumer")},
	{Name: "group.protocol", Class: ignore, Kind: choice, Words: []string{"classic", "consumer"}, Default: "classic", Refused: []string{"consumer"}, Effect: "only the classic group protocol is spoken"},
	{Name: "group.remote.assignor", Class: refuse, Effect: "only the classic group protocol is spoken"},
	{Name: "coordinator.query.interval.ms", Class: ignore, Kind: whole, Min: 1, Max: 3600000, Default: "600000", Effect: "the coordinator is looked up whenever it is lost"},
	{Name: "max.poll.interval.ms", Class: apply, Kind: whole, Min: 1, Max: 86400000, Default: "300000", Ours: "60000", Effect: "how long the group waits for members in a rebalance; running attempts get this less 5 s when a partition moves", apply: millis(func(k *Kafka) *time.Duration { return &k.RebalanceTimeout })},
	{Name: "enable.auto.commit", Aliases: []string{"auto.commit.enable"}, Class: ignore, Default: "true", Always: true, Effect: "settled offsets are always committed by us"},
	{Name: "auto.commit.interval.ms", Class: apply, Kind: whole, Min: 1, Max: 86400000, Default: "5000", Ours: "1000", Variable: "COMMIT_INTERVAL", Effect: "how often settled offsets are committed", apply: func(a *applied, v value) { a.p.cfg.Run.CommitInterval = time.Duration(v.n) * time.Millisecond }},
	{Name: "enable.auto.offset.store", Class: ignore, Default: "true", Always: true, Effect: "an offset counts when its record is settled"},
	{Name: "queued.min.messages", Class: ignore, Kind: whole, Min: 1, Max: 10000000, Default: "100000", Effect: "reading ahead goes as far as MAX_IN_FLIGHT and MAX_IN_FLIGHT_BYTES allow"},
	{Name: "queued.max.messages.kbytes", Class: apply, Kind: whole, Min: 1, Max: 2097151, Default: "65536", Variable: "MAX_IN_FLIGHT_BYTES", Effect: "bytes taken in and not settled, in KiB", apply: func(a *applied, v value) { a.p.cfg.Delivery.MaxInFlightBytes = v.n << 10 }},
	{Name: "fetch.wait.max.ms", Class: apply, Kind: whole, Min: 0, Max: 300000, Default: "500", Effect: "how long the broker may wait for fetch.min.bytes", apply: millis(func(k *Kafka) *time.Duration { return &k.FetchMaxWait })},
	{Name: "fetch.queue.backoff.ms", Class: ignore, Kind: whole, Min: 0, Max: 300000, Default: "1000", Effect: "reading goes on as soon as there is room"},
	{Name: "fetch.message.max.bytes", Aliases: []string{"max.partition.fetch.bytes"}, Class: apply, Kind: whole, Min: 1, Max: 1000000000, Default: "1048576", Effect: "bytes of one partition in one fetch; a larger batch still comes", apply: bytes32(func(k *Kafka) *int32 { return &k.PartitionMaxBytes })},
	{Name: "fetch.max.bytes", Class: apply, Kind: whole, Min: 0, Max: 2147483135, Default: "52428800", Ours: "8388608", Effect: "bytes of one fetch; a larger batch still comes", apply: bytes32(func(k *Kafka) *int32 { return &k.FetchMaxBytes })},
	{Name: "fetch.min.bytes", Class: apply, Kind: whole, Min: 0, Max: 2147483647, Default: "1", Effect: "bytes that the broker waits for, up to fetch.wait.max.ms", apply: bytes32(func(k *Kafka) *int32 { return &k.FetchMinBytes })},
	{Name: "fetch.error.backoff.ms", Class: apply, Kind: whole, Min: 0, Max: 300000, Default: "500", Effect: "wait after a fetch that failed", apply: millis(func(k *Kafka) *time.Duration { return &k.FetchErrorBackoff })},
	{Name: "offset.store.method", Class: ignore, Kind: choice, Words: []string{"none", "file", "broker"}, Default: "broker", Refused: []string{"none", "file"}, Effect: "offsets are stored by the broker only"},
	{Name: "isolation.level", Class: apply, Kind: choice, Words: []string{"read_uncommitted", "read_committed"}, Default: "read_committed", Effect: "whether records of open and aborted transactions are delivered", apply: func(a *applied, v value) { a.kafka.ReadCommitted = v.text == "read_committed" }},
	{Name: "consume_cb", Class: refuse, Effect: cCallback},
	{Name: "rebalance_cb", Class: refuse, Effect: cCallback},
	{Name: "offset_commit_cb", Class: refuse, Effect: cCallback},
	{Name: "enable.partition.eof", Class: ignore, Kind: boolean, Default: "false", Effect: "nothing here listens to that event"},
	{Name: "check.crcs", Class: apply, Kind: boolean, Default: "false", Effect: "whether the checksum of each batch is verified", apply: boolTo(func(k *Kafka) *bool { return &k.CheckCRCs })},
	{Name: "max.poll.records", Class: ignore, Kind: whole, Min: 1, Max: 2147483647, Default: "500", Effect: "it is for share groups; MAX_IN_FLIGHT bounds what is taken in"},
	{Name: "share.acknowledgement.mode", Class: refuse, Default: "implicit", Effect: "share groups are not supported"},
	{Name: "auto.offset.reset", Class: apply, Kind: choice, Words: []string{"smallest", "earliest", "beginning", "largest", "latest", "end", "error"}, Default: "largest", Variable: "START_AT", Effect: "where a group without any commit starts; error ends the start with the reason", apply: func(a *applied, v value) {
		kind := map[string]string{"smallest": "earliest", "earliest": "earliest", "beginning": "earliest", "error": "error"}[v.text]
		if kind == "" {
			kind = "latest"
		}
		a.p.cfg.Run.StartAt = StartAt{Kind: kind}
	}},
	{Name: "offset.store.path", Class: refuse, Default: ".", Effect: "offsets are stored by the broker only"},
	{Name: "offset.store.sync.interval.ms", Class: refuse, Kind: whole, Min: -1, Max: 86400000, Default: "-1", Effect: "offsets are stored by the broker only"},
	{Name: "consume.callback.max.messages", Class: ignore, Kind: whole, Min: 0, Max: 1000000, Default: "0", Effect: cCallback},
}

const producing = "it is for producers"

// producer is a row for an option that only producers know.
func producer(name, standard string, aliases ...string) *option {
	return &option{Name: name, Aliases: aliases, Class: refuse, Default: standard, Producer: true, Effect: producing}
}

// producerOptions are refused, but for .properties files, which are made for producers too.
var producerOptions = []*option{
	producer("transactional.id", ""), producer("transaction.timeout.ms", "60000"), producer("enable.idempotence", "false"),
	producer("enable.gapless.guarantee", "false"), producer("queue.buffering.max.messages", "100000"),
	producer("queue.buffering.max.kbytes", "1048576"), producer("queue.buffering.max.ms", "5", "linger.ms"),
	producer("message.send.max.retries", "2147483647", "retries"), producer("queue.buffering.backpressure.threshold", "1"),
	producer("compression.codec", "none", "compression.type"), producer("batch.num.messages", "10000"), producer("batch.size", "1000000"),
	producer("delivery.report.only.error", "false"), producer("dr_cb", ""), producer("dr_msg_cb", ""),
	producer("sticky.partitioning.linger.ms", "10"), producer("request.required.acks", "-1", "acks"), producer("request.timeout.ms", "30000"),
	producer("message.timeout.ms", "300000", "delivery.timeout.ms"), producer("queuing.strategy", "fifo"),
	producer("produce.offset.report", "false"), producer("partitioner", "consistent_random"), producer("partitioner_cb", ""),
	producer("msg_order_cmp", ""), producer("compression.level", "-1"),
}

// onlyValue refuses every other value of an option that has one meaning here.
func onlyValue(only string) func(*applied, value) {
	return func(a *applied, v value) {
		if v.text != only {
			a.p.fail(v.setting.variable, "%s cannot be honoured: %s; leave it out", v.setting.of(), v.setting.option.Effect)
		}
	}
}

// applyBlacklist refuses a list that hides the topic. As in librdkafka an entry is a regular expression when it begins with ^.
func applyBlacklist(a *applied, v value) {
	topic := a.p.cfg.Subscription.Topic
	for _, pattern := range split(v.text) {
		hides := pattern == topic
		if strings.HasPrefix(pattern, "^") {
			expression, err := regexp.Compile(pattern)
			if err != nil {
				a.p.fail(v.setting.variable, "%s holds a regular expression that cannot be read; leave it out", v.setting.of())
				return
			}
			hides = expression.MatchString(topic)
		}
		if hides && topic != "" {
			a.p.fail(v.setting.variable, "%s hides the topic of the source; leave it out", v.setting.of())
			return
		}
	}
	a.p.note(slog.LevelInfo, v.setting.variable, "%s has no effect: the one topic is consumed and no other", v.setting.of())
}

// plainGroup is what may be in a group's name. Kafka takes anything; a name is part of headers, logs and metrics, where line breaks do
// harm.
var plainGroup = upTo(255, `^[!-~]([ -~]*[!-~])?$`)

const wantGroup = "want 1 to 255 visible ASCII characters, spaces only between them"

func applyGroup(a *applied, v value) {
	if !plainGroup.MatchString(v.text) {
		a.p.fail(v.setting.variable, "%s is not valid; %s", v.setting.of(), wantGroup)
		return
	}
	a.kafka.GroupID = v.text
}

// applyInstance takes what brokers take as an instance id: the same as for a topic's name (KIP-345).
func applyInstance(a *applied, v value) {
	if !validTopic(v.text) {
		a.p.fail(v.setting.variable, "%s is not valid; want letters, digits, '.', '_' and '-', at most 249", v.setting.of())
		return
	}
	a.kafka.GroupInstanceID = v.text
}
