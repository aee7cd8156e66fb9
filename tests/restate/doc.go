// Package restate runs Restate's own end-to-end tests of its Kafka support twice, on a real Restate server and a real Kafka:
// with the server's built-in consumer, which is the reference, and with the sidecar in its place. What both must do alike is
// asserted by the same lines. Then it tests what Restate leaves untested: order, odd keys, tombstones, ends in the middle,
// several clusters, and moving from the one to the other.
//
// The server comes from npm and the services under test use Restate's Go SDK. Without npm the tests are skipped, unless
// REQUIRE_REAL_RESTATE=1 or REQUIRE_REAL_KAFKA=1 turns that into a failure.
package restate
