// Package cluster is how the sidecar talks to one Kafka cluster: it makes connections, sends requests, and answers the few questions that
// everything else starts from: which partitions a topic has and who leads them, who coordinates a group, where a partition begins and ends.
//
// A [Cluster] knows addresses: the bootstrap list, which it never forgets, and beside it the brokers that the newest metadata named. It keeps no
// pool. Whoever needs a connection for itself (a fetcher, the group member, a dead-letter writer) dials one, owns it and closes it; only the
// cluster's own short questions share one, which is made when first needed and made anew when it fails.
//
// A [Conn] is ready when Dial returns it: connected, TLS verified, versions exchanged, authenticated, all of that within one SetupTimeout,
// because a broker that accepts and never answers is an ordinary failure and must not hold anybody (kafka-go's own dialer bounds only TCP and
// TLS). It carries one request at a time. Kafka's protocol cannot be resynchronised after half an answer, so every failure, timeout or
// cancellation closes the connection, at once, and the next one is dialled. Requests go out in two ways over the same buffer and the same
// counter: [Conn.Do] takes kafka-go's message structs and picks the version, [Conn.Exchange] takes bytes that the caller encoded with [Writer]
// and gives bytes for a [Reader], for the versions that kafka-go does not have.
//
// What comes from the other side is not trusted: the length of an answer is bounded before anything is allocated for it, and lengths inside of
// it are compared with the bytes that are there before kafka-go, which would allocate first, gets to see them.
//
// Errors say what was done, to whom, what went wrong, and for the common mistakes of configuration which option to look at; they wrap
// kafka.Error for what a broker answered and the cause for what the network did. [Retriable] tells those that heal by themselves from those
// that need a person. No error, log line or printed Config shows a secret.
package cluster
