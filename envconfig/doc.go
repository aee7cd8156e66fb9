// Package envconfig turns an environment into one validated Config: what a container that is one subscription is told, with nothing
// left to interpret. It reads variables and the files they name, and knows nothing of Kafka connections or HTTP.
//
// Parse goes through these steps, and each goes on after a mistake, so that one start shows them all:
//
//   - files: a variable X that may hold a secret or several lines has a twin X_FILE; its file is read (one trailing newline is
//     trimmed) as if X held it;
//   - variables: the plain variables are read into one tagged struct (vars.go), from which the reference is generated too;
//   - unknown names: a name under one of our prefixes that nothing reads is a mistake, a name near one of ours a warning;
//   - source and sink, from three variables or from the JSON that Restate takes (source.go, sink.go);
//   - clusters: the five forms add up by name, and the source picks one (cluster.go, list.go, indexed.go);
//   - options: librdkafka's names, of the cluster and above them of the subscription, each honoured, noted or refused as the table
//     says (options*.go);
//   - handler, order, failure, position and life cycle, and what only shows when they are seen together.
//
// The error is an *Errors. No message holds the value of a variable that may hold a secret: not an option's value, a header's, a URL,
// nor a file's path or content. Values of durations, counts and words are quoted, since seeing them is what helps.
//
// Secrets that come from a file keep the way to it (SecretRef.Load, PEM.Load, Handler.LoadHeaders, Sink.LoadURL), so that a rotated secret is used
// without a restart.
package envconfig

//go:generate go test -run ^TestReferenceIsCurrent$ -update .
