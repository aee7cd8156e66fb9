// Command kafka-sidecar consumes one Kafka topic and invokes one handler, configured by environment variables alone.
//
// This package is a shell: it reads the environment, listens for signals, and turns the end of the engine into an exit code.
package main

import (
	"os"
)

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
