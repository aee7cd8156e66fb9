// Package tests holds the black-box tests of the promises that kafka-sidecar makes: each one runs the real binary between
// a broker and a handler and is named after what it proves.
//
//	go test -short ./tests/...     kfake only, small sizes
//	go test ./tests/...            also against Apache Kafka, which needs java and mvn once
//	REQUIRE_REAL_KAFKA=1           a missing java or mvn fails instead of skipping
//	SIDECAR_RACE=1                 the binary is built with the race detector
package tests
