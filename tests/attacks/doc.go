// Package attacks tries to break the guarantees where systems of this kind are known to break: positions that are lost or
// belong to another log, two owners at once, hand-overs, coordinators and leaders that move or hang, other people's consumer
// groups, commits that are refused, dead letters that vanish, ends at the worst moment, and memory.
//
// Most of it needs what only Apache Kafka does, so nearly all tests run on it and are skipped where none can be had. The
// longest ones want LONG_TESTS=1; `make long` runs everything.
package attacks
