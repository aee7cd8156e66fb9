// Package bench measures the whole path, broker to answered request, beside a bare net/http client that has no broker at
// all: the same handler process, the same number of requests with the same body and the same headers, the same number of
// them at once, in the same run.
//
//	go test -run '^$' -bench . ./tests/bench            about two minutes; -short leaves Apache Kafka out
//	go test -run '^$' -bench Backlog/10ms -v ./tests/bench   with every round
//	go test -run '^$' -bench HotKey -benchtime 3x ./tests/bench   three times as many rounds
//
// Every benchmark runs in rounds of one bare run and one sidecar run, which take turns at being first; a sidecar starts
// as a new process with a new group at the start of the topic. What is reported is the median of the rounds:
//
//	events/s, bare-events/s       from the arrival of the first request to the answer of the last, by the handler's clock
//	ratio                         events/s over bare-events/s of the same round
//	cpu-us/event, bare-cpu-us/event, cpu-ratio
//	                              user and system time of the whole process from its start to its end, per event: for the
//	                              sidecar start, join, commits and drain are in it, and
//	                              weigh most in 100ms-c100: of its 2,500 events each one carries 0.4 us for every ms
//	peak-RSS-MiB                  the most that the sidecar had resident (Linux)
//	first-delivery-ms             from the start of the sidecar's process to the arrival of its first request
//	others/ideal                  HotKey: the time to the end of every record of another key, over records x delay / concurrency
//
// In HotKey all figures but CPU are about the records of other keys: the hot key takes more than twenty times as long
// as all the others, by its order, and the run is over when the others are done.
//
// The figures of two machines cannot be compared, and neither can those of two runs on a machine that has other work. The
// ratios can, with care: the broker, the handler and the client under test share the processors.
package bench
