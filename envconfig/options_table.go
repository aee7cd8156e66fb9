package envconfig

import (
	"slices"
	"time"
)

// options is every name of librdkafka's CONFIGURATION.md (the version of July 2026): what it does here, or why it does nothing. The order
// is librdkafka's.
var options = slices.Concat(clientOptions, securityOptions, consumerOptions, producerOptions)

// Words that several rows share.
const (
	cCallback = "it is a callback of librdkafka's C interface"
	cPointer  = "it is a pointer of librdkafka's C interface"
	noMeaning = "librdkafka itself no longer uses it"
	inPlace   = "logs and metrics of kafka-sidecar take its place"
)

func millis(field func(*Kafka) *time.Duration) func(*applied, value) {
	return func(a *applied, v value) { *field(a.kafka) = time.Duration(v.n) * time.Millisecond }
}

func bytes32(field func(*Kafka) *int32) func(*applied, value) {
	return func(a *applied, v value) { *field(a.kafka) = int32(v.n) }
}

func bytesInt(field func(*Kafka) *int) func(*applied, value) {
	return func(a *applied, v value) { *field(a.kafka) = int(v.n) }
}

func boolTo(field func(*Kafka) *bool) func(*applied, value) {
	return func(a *applied, v value) { *field(a.kafka) = v.on }
}

func textTo(field func(*Kafka) *string) func(*applied, value) {
	return func(a *applied, v value) { *field(a.kafka) = v.text }
}

// clientOptions are the options of any client, without those about security.
var clientOptions = []*option{
	{Name: "builtin.features", Class: refuse, Default: "gzip, snappy, ssl, sasl, regex, lz4, sasl_gssapi, sasl_plain, sasl_scram, plugins, zstd, sasl_oauthbearer, http, oidc", Effect: "it asks what librdkafka was built with, and this is not librdkafka"},
	{Name: "client.id", Class: apply, Default: "rdkafka", Ours: "kafka-sidecar", Effect: "name of this client in the broker's logs and quotas", apply: textTo(func(k *Kafka) *string { return &k.ClientID })},
	{Name: "bootstrap.servers", Aliases: []string{"metadata.broker.list"}, Class: apply, Effect: "brokers to begin with, a comma list of host:port; the port is 9092 unless given", apply: func(a *applied, v value) { a.brokers, a.explicit = split(v.text), true }},
	{Name: "message.max.bytes", Class: ignore, Kind: whole, Min: 1000, Max: 1000000000, Default: "1000000", Effect: "it bounds what a producer sends"},
	{Name: "message.copy.max.bytes", Class: ignore, Kind: whole, Min: 0, Max: 1000000000, Default: "65535", Effect: "it tunes how librdkafka copies memory"},
	{Name: "receive.message.max.bytes", Class: apply, Kind: whole, Min: 1000, Max: 2147483647, Default: "100000000", Effect: "largest response that is read; grows with fetch.max.bytes unless set", apply: bytes32(func(k *Kafka) *int32 { return &k.MaxResponseBytes })},
	{Name: "max.in.flight.requests.per.connection", Aliases: []string{"max.in.flight"}, Class: ignore, Kind: whole, Min: 1, Max: 1000000, Default: "1000000", Effect: "a connection carries one request at a time"},
	{Name: "metadata.recovery.strategy", Class: ignore, Kind: choice, Words: []string{"none", "rebootstrap"}, Default: "rebootstrap", Refused: []string{"none"}, Effect: "the bootstrap list is always tried again"},
	{Name: "metadata.recovery.rebootstrap.trigger.ms", Class: ignore, Kind: whole, Min: 0, Max: 2147483647, Default: "300000", Effect: "the bootstrap list is tried at once"},
	{Name: "topic.metadata.refresh.interval.ms", Class: apply, Kind: whole, Min: -1, Max: 3600000, Default: "300000", Effect: "how often partitions and the topic's id are looked at, the shorter of this and metadata.max.age.ms; -1 leaves only the latter", apply: func(a *applied, v value) { a.refresh = v.n }},
	{Name: "metadata.max.age.ms", Class: apply, Kind: whole, Min: 1, Max: 86400000, Default: "900000", Effect: "see topic.metadata.refresh.interval.ms", apply: millis(func(k *Kafka) *time.Duration { return &k.MetadataMaxAge })},
	{Name: "topic.metadata.refresh.fast.interval.ms", Class: ignore, Kind: whole, Min: 1, Max: 60000, Default: "100", Effect: "a lost leader is looked up after reconnect.backoff.ms"},
	{Name: "topic.metadata.refresh.fast.cnt", Class: ignore, Kind: whole, Min: 0, Max: 1000, Default: "10", Effect: noMeaning},
	{Name: "topic.metadata.refresh.sparse", Class: ignore, Kind: boolean, Default: "true", Effect: "only the one topic is ever asked for"},
	{Name: "topic.metadata.propagation.max.ms", Class: ignore, Kind: whole, Min: 0, Max: 3600000, Default: "30000", Effect: "STARTUP_TIMEOUT says how long the topic may be missing"},
	{Name: "topic.blacklist", Class: ignore, Effect: "the one topic is consumed and no other; refused where it hides that one", apply: applyBlacklist},
	{Name: "debug", Class: apply, Kind: choices, Words: []string{"generic", "broker", "topic", "metadata", "feature", "queue", "msg", "protocol", "cgrp", "security", "fetch", "interceptor", "plugin", "consumer", "admin", "eos", "mock", "assignor", "conf", "telemetry", "all"}, Variable: "LOG_LEVEL", Effect: "any context sets the log level debug", apply: func(a *applied, v value) {
		a.debug = true
		a.p.cfg.Run.LogLevel = "debug"
	}},
	{Name: "socket.timeout.ms", Class: apply, Kind: whole, Min: 10, Max: 300000, Default: "60000", Effect: "how long one request may take; a fetch gets fetch.wait.max.ms on top", apply: millis(func(k *Kafka) *time.Duration { return &k.SocketTimeout })},
	{Name: "socket.blocking.max.ms", Class: ignore, Kind: whole, Min: 1, Max: 60000, Default: "1000", Effect: noMeaning},
	{Name: "socket.send.buffer.bytes", Class: apply, Kind: whole, Min: 0, Max: 100000000, Default: "0", Effect: "send buffer of a connection; 0 leaves it to the system", apply: bytesInt(func(k *Kafka) *int { return &k.SendBuffer })},
	{Name: "socket.receive.buffer.bytes", Class: apply, Kind: whole, Min: 0, Max: 100000000, Default: "0", Effect: "receive buffer of a connection; 0 leaves it to the system", apply: bytesInt(func(k *Kafka) *int { return &k.ReceiveBuffer })},
	{Name: "socket.keepalive.enable", Class: apply, Kind: boolean, Default: "false", Effect: "TCP keep-alive probes", apply: boolTo(func(k *Kafka) *bool { return &k.KeepAlive })},
	{Name: "socket.nagle.disable", Class: apply, Kind: boolean, Default: "true", Effect: "false switches Nagle's algorithm on", apply: boolTo(func(k *Kafka) *bool { return &k.NoDelay })},
	{Name: "socket.max.fails", Class: ignore, Kind: whole, Min: 0, Max: 1000000, Default: "1", Effect: "a connection is closed at its first request that times out"},
	{Name: "broker.address.ttl", Class: ignore, Kind: whole, Min: 0, Max: 86400000, Default: "1000", Effect: "a broker's name is resolved at every connect"},
	{Name: "broker.address.family", Class: apply, Kind: choice, Words: []string{"any", "v4", "v6"}, Default: "any", Effect: "which addresses of a broker are used", apply: func(a *applied, v value) {
		a.kafka.Network = map[string]string{"any": "tcp", "v4": "tcp4", "v6": "tcp6"}[v.text]
	}},
	{Name: "socket.connection.setup.timeout.ms", Class: apply, Kind: whole, Min: 1000, Max: 2147483647, Default: "30000", Effect: "TCP, TLS and SASL of one connect together", apply: millis(func(k *Kafka) *time.Duration { return &k.SetupTimeout })},
	{Name: "connections.max.idle.ms", Class: ignore, Kind: whole, Min: 0, Max: 2147483647, Default: "0", Effect: "connections for fetches and heartbeats are never idle, and others are made anew where a broker closed them"},
	{Name: "reconnect.backoff.jitter.ms", Class: ignore, Kind: whole, Min: 0, Max: 3600000, Default: "0", Effect: noMeaning},
	{Name: "reconnect.backoff.ms", Class: apply, Kind: whole, Min: 0, Max: 3600000, Default: "100", Effect: "first wait before a connection is made again", apply: millis(func(k *Kafka) *time.Duration { return &k.ReconnectBackoff })},
	{Name: "reconnect.backoff.max.ms", Class: apply, Kind: whole, Min: 0, Max: 3600000, Default: "10000", Effect: "longest such wait", apply: millis(func(k *Kafka) *time.Duration { return &k.ReconnectBackoffMax })},
	{Name: "statistics.interval.ms", Class: ignore, Kind: whole, Min: 0, Max: 86400000, Default: "0", Effect: inPlace},
	{Name: "enabled_events", Class: refuse, Kind: whole, Min: 0, Max: 2147483647, Default: "0", Effect: cCallback},
	{Name: "error_cb", Class: refuse, Effect: cCallback},
	{Name: "throttle_cb", Class: refuse, Effect: cCallback},
	{Name: "stats_cb", Class: refuse, Effect: cCallback},
	{Name: "log_cb", Class: refuse, Effect: cCallback},
	{Name: "log_level", Class: apply, Kind: whole, Min: 0, Max: 7, Default: "6", Variable: "LOG_LEVEL", Effect: "syslog level: up to 3 is error, 4 warn, 5 and 6 info, 7 debug", apply: func(a *applied, v value) {
		if !a.debug {
			a.p.cfg.Run.LogLevel = []string{"error", "error", "error", "error", "warn", "info", "info", "debug"}[v.n]
		}
	}},
	{Name: "log.queue", Class: ignore, Kind: boolean, Default: "false", Effect: inPlace},
	{Name: "log.thread.name", Class: ignore, Kind: boolean, Default: "true", Effect: inPlace},
	{Name: "enable.random.seed", Class: ignore, Kind: boolean, Default: "true", Effect: "it tunes librdkafka's random numbers"},
	{Name: "log.connection.close", Class: ignore, Kind: boolean, Default: "true", Effect: "closed connections are logged at level debug"},
	{Name: "background_event_cb", Class: refuse, Effect: cCallback},
	{Name: "socket_cb", Class: refuse, Effect: cCallback},
	{Name: "connect_cb", Class: refuse, Effect: cCallback},
	{Name: "closesocket_cb", Class: refuse, Effect: cCallback},
	{Name: "open_cb", Class: refuse, Effect: cCallback},
	{Name: "resolve_cb", Class: refuse, Effect: cCallback},
	{Name: "opaque", Class: refuse, Effect: cPointer},
	{Name: "default_topic_conf", Class: refuse, Effect: cPointer},
	{Name: "internal.termination.signal", Class: ignore, Kind: whole, Min: 0, Max: 128, Default: "0", Effect: "it tunes how librdkafka ends its threads"},
	{Name: "api.version.request", Class: ignore, Kind: boolean, Default: "true", Refused: []string{"false"}, Effect: "brokers are always asked for their versions"},
	{Name: "api.version.request.timeout.ms", Class: ignore, Kind: whole, Min: 1, Max: 300000, Default: "10000", Effect: "it is part of socket.connection.setup.timeout.ms"},
	{Name: "api.version.fallback.ms", Class: ignore, Kind: whole, Min: 0, Max: 604800000, Default: "0", Effect: "it is for brokers before 0.10"},
	{Name: "broker.version.fallback", Class: ignore, Default: "0.10.0", Effect: "brokers are always asked for their versions"},
	{Name: "allow.auto.create.topics", Class: ignore, Kind: boolean, Default: "false", Effect: "topics are never created"},
	{Name: "plugin.library.paths", Class: refuse, Effect: "plugins of librdkafka are native code"},
	{Name: "interceptors", Class: refuse, Effect: cCallback},
	{Name: "client.rack", Class: apply, Effect: "where this client runs, so that the broker may name a nearer replica to read from", apply: textTo(func(k *Kafka) *string { return &k.Rack })},
	{Name: "retry.backoff.ms", Class: apply, Kind: whole, Min: 1, Max: 300000, Default: "100", Effect: "first wait before a commit or a look-up is repeated", apply: millis(func(k *Kafka) *time.Duration { return &k.RetryBackoff })},
	{Name: "retry.backoff.max.ms", Class: apply, Kind: whole, Min: 1, Max: 300000, Default: "1000", Effect: "longest such wait", apply: millis(func(k *Kafka) *time.Duration { return &k.RetryBackoffMax })},
	{Name: "client.dns.lookup", Class: ignore, Kind: choice, Words: []string{"use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"}, Default: "use_all_dns_ips", Refused: []string{"resolve_canonical_bootstrap_servers_only"}, Effect: "all addresses of a broker are tried, under the name that was given"},
	{Name: "enable.metrics.push", Class: ignore, Kind: boolean, Default: "true", Effect: "nothing is ever pushed to the broker"},
}
