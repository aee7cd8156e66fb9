package bench

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

const (
	keys      = 1000
	valueSize = 256
	rounds    = 3
	hotKey    = "hot"
	hotEvery  = 5 // one record of so many has the hot key
)

// work is one benchmark. The sizes are such that a run takes about two seconds on two cores: long enough for the start
// to weigh little in the CPU time, short enough for all of them to take less than three minutes.
type work struct {
	name        string
	delay       time.Duration // of the handler
	concurrency int
	records     int
	hot         bool
}

func BenchmarkBacklog(b *testing.B) {
	for _, w := range []work{
		{name: "0ms-c64", concurrency: 64, records: 25_000},
		{name: "10ms-c100", delay: 10 * time.Millisecond, concurrency: 100, records: 15_000},
		{name: "100ms-c100", delay: 100 * time.Millisecond, concurrency: 100, records: 2_500},
	} {
		b.Run(w.name, w.eachBroker)
	}
}

func BenchmarkHotKey(b *testing.B) {
	work{delay: 10 * time.Millisecond, concurrency: 100, records: 15_000, hot: true}.eachBroker(b)
}

func (w work) eachBroker(b *testing.B) {
	b.Run("kfake", func(b *testing.B) { w.measure(b, harness.Fake(b)) })
	b.Run("kafka", func(b *testing.B) { w.measure(b, harness.Real(b)) })
}

// measure is one benchmark on one broker. One iteration is all of its rounds, which take longer than the time that a
// benchmark has by default, so that there is one iteration unless -benchtime asks for more.
func (w work) measure(b *testing.B, broker *harness.Broker) {
	harness.Binary(b)
	topic := broker.CreateTopic(1)
	broker.ProduceAt(w.produce(topic)...)
	hot := ""
	if w.hot {
		hot = hotKey
	}
	h := startHandler(b, w.delay, hot)
	var all []round
	for b.Loop() {
		for range rounds {
			r := w.round(h, broker, topic, len(all)%2 == 1)
			all = append(all, r)
			if testing.Verbose() {
				b.Logf("bare %v | sidecar %v", r.bare, r.sidecar)
			}
		}
	}
	w.report(b, all)
}

// round is one run of each. Which of them is first changes from round to round: what the first one warms up, or what it
// leaves behind, is not always to the good of the same one.
func (w work) round(h *handler, broker *harness.Broker, topic string, sidecarFirst bool) round {
	var r round
	if sidecarFirst {
		r.sidecar = h.sidecar(broker, topic, w.waited(), w.concurrency)
	}
	r.bare = h.bare(topic, w.waited(), w.concurrency)
	if !sidecarFirst {
		r.sidecar = h.sidecar(broker, topic, w.waited(), w.concurrency)
	}
	return r
}

func (w work) report(b *testing.B, all []round) {
	report := func(unit string, of func(round) float64) { b.ReportMetric(medianOf(all, of), unit) }
	b.ReportMetric(0, "ns/op") // the time of all rounds says nothing
	report("events/s", func(r round) float64 { return r.sidecar.rate() })
	report("bare-events/s", func(r round) float64 { return r.bare.rate() })
	report("ratio", func(r round) float64 { return ratio(r.sidecar.rate(), r.bare.rate()) })
	report("cpu-us/event", func(r round) float64 { return r.sidecar.cpuPerEvent() })
	report("bare-cpu-us/event", func(r round) float64 { return r.bare.cpuPerEvent() })
	report("cpu-ratio", func(r round) float64 { return ratio(r.sidecar.cpuPerEvent(), r.bare.cpuPerEvent()) })
	report("first-delivery-ms", func(r round) float64 { return float64(r.sidecar.first) / float64(time.Millisecond) })
	if all[0].sidecar.memory > 0 {
		report("peak-RSS-MiB", func(r round) float64 { return float64(r.sidecar.memory) / (1 << 20) })
	}
	if w.hot {
		best := ideal(w.waited(), w.delay, w.concurrency)
		report("others/ideal", func(r round) float64 { return ratio(r.sidecar.took.Seconds(), best.Seconds()) })
	}
}

// waited is the number of records whose end is the end of a run: all of them, or those of other keys than the hot one.
func (w work) waited() int {
	if w.hot {
		return w.records - w.records/hotEvery
	}
	return w.records
}

// produce makes the backlog: the keys take turns, and with a hot key every fifth record is of that one.
func (w work) produce(topic string) []*kgo.Record {
	records := make([]*kgo.Record, w.records)
	others := 0
	for i := range records {
		r := &kgo.Record{Topic: topic, Value: value()}
		if w.hot && i%hotEvery == 0 {
			r.Key = []byte(hotKey)
		} else {
			r.Key = key(others)
			others++
		}
		records[i] = r
	}
	return records
}

func key(n int) []byte { return []byte("key-" + strconv.Itoa(n%keys)) }

// value is a JSON string.
func value() []byte {
	v := bytes.Repeat([]byte("x"), valueSize)
	v[0], v[len(v)-1] = '"', '"'
	return v
}
