// Package trace makes one span of each attempt and exports it over OTLP.
//
// It stands on the OpenTelemetry SDK for traces. The export itself is OTLP over HTTP with protobuf bodies, in client.go: the official
// exporter links all of gRPC and of its gateway, 5 MiB, for one POST; and its errors hold URLs and what the collector answered.
//
// Delivery never waits for a collector. A span that has ended goes into a queue of bounded length (queue.go); what finds it full, and
// what could not be exported, is counted and told in the log once a minute.
//
// # Names
//
// A span has two sets of attributes: those of OpenTelemetry's conventions for messaging, and those that Restate's own Kafka consumer
// writes, under its names, so that a search or an alarm made for the one finds the other. No attribute holds a key, a payload or a URL:
// where Restate has the key in a target, ours has {key}.
package trace
