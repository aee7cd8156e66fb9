// Package invoke makes one HTTP attempt for one record and says what the answer means.
//
// An attempt is exactly one request. The package never waits before or after it and never sends it a second time: waits,
// attempt counts and limits belong to the scheduler, which reads the Result. go-retryablehttp sends and classifies with a
// RetryMax of 0, so that its loop runs once; its CheckRetry is our judge of the answer.
//
// # From a record to a request
//
// Precheck decides what needs no request: tombstones that are skipped or failed by a rule, null keys and keys that are not
// valid UTF-8 where the path needs one. Then the URL is filled in (url.go), the body is made by format (formats.go,
// cloudevents.go) and the headers are added (headers.go, trace.go, forward.go). All that is the same for every record is made once in New.
//
// # Why one attempt cannot become two requests
//
// net/http repeats a request on another connection when a kept-alive one breaks (transport.go, shouldRetryRequest) if either
//
//   - not one byte was written and there is no body, or GetBody can make it again. That is harmless, the handler saw nothing;
//   - or the request is replayable (request.go, isReplayable): no body, or GetBody set, and the header map has the key
//     "Idempotency-Key" or "X-Idempotency-Key". A handler that dies on a record would then get it once for every idle
//     connection, 65 times with 64 of them.
//
// net/http looks these keys up in their canonical form only, so every header of ours is stored under its lower-case name,
// which is also how it goes over the wire; HTTP names have no case. User-Agent is the exception, since net/http would add its own
// beside it. GetBody stays nil as a second lock: retryablehttp.NewRequest would set it, so the request is wrapped by hand.
//
// Only HTTP/1.1 is spoken. An HTTP/2 transport sends requests again after GOAWAY and REFUSED_STREAM by rules of its own, lets
// one lost packet delay all keys on the connection, and measured slower for small records.
//
// # Restate
//
// restate.go says what differs where the handler is Restate's ingress: paths, the identity of workflows, and who made an answer.
//
// # From an answer to an outcome
//
// The status picks the class, the lists of the user move statuses between classes, and the header kafka-sidecar-outcome goes
// over both. An answer that settles the record must be whole: a body that breaks off makes it a retry. An error is told in
// words of our own, since those of net/http hold the URL or bytes of the answer (errors.go).
package invoke
