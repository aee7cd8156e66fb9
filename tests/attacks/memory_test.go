package attacks

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// promised fails the test when the process ever had more memory than G4 allows: 64 MiB, the byte bounds, one batch and one record.
func promised(t *testing.T, s *harness.Sidecar, bounds, batch, record int64) {
	t.Helper()
	peak, limit := s.PeakMemory(), 64<<20+bounds+batch+record
	t.Logf("peak %d MiB of %d MiB promised", peak>>20, limit>>20)
	// The race detector's shadow memory is not the product's.
	if peak > limit && os.Getenv("SIDECAR_RACE") == "" {
		t.Errorf("the process had %d MiB resident, the promise is 64 MiB + the byte bounds + one batch = %d MiB", peak>>20, limit>>20)
	}
}

// A hundred partitions each hand out whole batches of 1 MiB, more than any of them has reserved, and behind those lie batches of 1 MiB that unpack to
// 8 MiB, and a few that unpack to 256 MiB.
func TestBombsInAHundredPartitionsStayWithinTheBounds(t *testing.T) {
	const partitions, record, bounds = 100, 1 << 20, 65 << 20
	b := harness.Real(t)
	topic := b.CreateTopic(partitions, "max.message.bytes=1048588")
	bomb := func(records int) []byte {
		var batch []*kgo.Record
		for i := range records {
			value := make([]byte, record)
			if i == 0 { // as many bytes on the wire as the topic takes
				copy(value, noise(1, 980_000))
			}
			batch = append(batch, &kgo.Record{Key: []byte(strconv.Itoa(i)), Value: value})
		}
		raw, err := harness.ZstdBatch(batch...)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	plain, small, large := noise(2, 1_040_000), bomb(8), bomb(256)
	h := harness.NewHandler(t, harness.OK).Brief()
	total := 0
	var full []*kgo.Record
	for p := range int32(partitions) {
		full = append(full, &kgo.Record{Topic: topic, Partition: p, Key: []byte("full"), Value: plain})
	}
	b.ProduceAt(full...)
	total += partitions
	for p := range int32(partitions) {
		if p%25 == 0 {
			b.ProduceBatch(topic, p, large)
			total += 256
			continue
		}
		b.ProduceBatch(topic, p, small)
		total += 8
	}
	env := harness.TestEnv(b, topic, h).With("PARKED_MAX_BYTES", "1MiB")
	s := harness.Start(t, env).WaitReady()
	began := time.Now()
	harness.Eventually(t, 4*harness.Patience, func() (bool, string) {
		n := h.Answered()
		return n >= total, fmt.Sprintf("%d of %d records delivered, peak %d MiB", n, total, s.PeakMemory()>>20)
	})
	t.Logf("%d records in %s", total, time.Since(began))
	b.WaitCommitted(env.Group(), topic)
	promised(t, s, bounds, 256*record, record)
}

// Ten thousand keys fail at once: each waits for its next attempt, be it that the handler is unwell or that it refuses the record.
func TestTenThousandRecordsThatWaitCostNoGoroutineEach(t *testing.T) {
	for name, status := range map[string]int{"retried": 503, "parked": 404} {
		t.Run(name, func(t *testing.T) {
			const keys, behind = 10_000, 2
			b := harness.Real(t)
			topic := b.CreateTopic(4)
			h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Status: status} }).Brief()
			env := harness.TestEnv(b, topic, h).With("RETRY_INITIAL_INTERVAL", "5s", "RETRY_MAX_INTERVAL", "5s", "MAX_IN_FLIGHT_BYTES", "8MiB", "PARKED_MAX_BYTES", "16MiB")
			s := harness.Start(t, env).WaitReady()
			idle := s.Metrics().Value("go_goroutines")
			records := b.Produce(harness.Keyed(topic, keys*behind, keys)...)
			harness.Eventually(t, 2*harness.Patience, func() (bool, string) {
				m := s.Metrics()
				n := m.Value("kafka_sidecar_parked_keys")
				return n == keys, fmt.Sprintf("%v of %d keys wait", n, keys)
			})
			// Two for each connection to the handler, and those of the scrape and of the reads in between.
			if n := s.Metrics().Value("go_goroutines"); n > idle+2*64+32 {
				t.Errorf("%v goroutines while %d records wait, %v before", n, keys, idle)
			}
			promised(t, s, 24<<20, 0, 0)
			h.Script(harness.OK)
			h.WaitSettledWithin(records, 2*harness.Patience)
			h.CheckOrder(t, records, harness.Once, nil)
			b.WaitCommitted(env.Group(), topic)
			promised(t, s, 24<<20, 0, 0)
		})
	}
}

// One partition's parked keys fill what PARKED_MAX and MAX_IN_FLIGHT leave to it; the other's records pass.
func TestFullParkedBoundPausesItsPartitionAlone(t *testing.T) {
	const parkedMax, inFlight = 200, 100
	b := harness.Real(t)
	topic := b.CreateTopic(2)
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		if c.Partition == 0 {
			return harness.Answer{Status: 404}
		}
		return harness.Answer{}
	})
	env := harness.TestEnv(b, topic, h).With("PARKED_MAX", strconv.Itoa(parkedMax), "MAX_IN_FLIGHT", strconv.Itoa(inFlight))
	at := func(p int32, n int) []*kgo.Record {
		var out []*kgo.Record
		for i := range n {
			out = append(out, &kgo.Record{Topic: topic, Partition: p, Key: []byte(strconv.Itoa(i % 50)), Value: []byte("x")})
		}
		return b.ProduceAt(out...)
	}
	bad := at(0, 2_000)
	s := harness.Start(t, env)
	s.WaitLog(`"level":"WARN"`, "PARKED_MAX", "pause")
	position := func() float64 {
		for _, p := range s.Subscription()["status"].(map[string]any)["partitions"].([]any) {
			if p := p.(map[string]any); p["partition"] == 0.0 {
				return p["position"].(float64)
			}
		}
		return -1
	}
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		m := s.Metrics()
		n := m.Value("kafka_sidecar_parked_records")
		return n >= parkedMax*3/4, fmt.Sprintf("%v parked records", n)
	})
	all := bad
	for range 4 { // while the bound is full
		good := at(1, 1_000)
		all = append(all, good...)
		h.WaitSettled(good)
		if n := position(); n > parkedMax+inFlight {
			t.Errorf("partition 0 is read up to %v with room for %d records", n, parkedMax+inFlight)
		}
	}
	m := s.Metrics()
	if parked, held := m.Value("kafka_sidecar_parked_records"), m.Value("kafka_sidecar_in_flight"); parked > parkedMax || held > inFlight {
		t.Errorf("%v parked and %v in flight, the bounds are %d and %d", parked, held, parkedMax, inFlight)
	}
	h.Script(harness.OK)
	h.WaitSettled(all)
	h.CheckOrder(t, all, harness.Once, nil)
	b.WaitCommitted(env.Group(), topic)
}

// A hundred partitions are full of records of a megabyte, each a batch that comes whole however little a fetch asks for, and nothing is settled: what
// arrives must not lie in memory until there is room for it, partition by partition.
func TestAnswersOfAHundredPartitionsAreWithinTheBounds(t *testing.T) {
	const partitions, each, record = 100, 3, 1_000_000
	b := harness.Real(t)
	topic := b.CreateTopic(partitions)
	release := make(chan struct{})
	h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Until: release} }).Brief()
	var records []*kgo.Record
	for i := range each {
		var batch []*kgo.Record
		for p := range int32(partitions) {
			batch = append(batch, &kgo.Record{Topic: topic, Partition: p, Key: []byte("one"), Value: noise(byte(i), record)})
		}
		records = append(records, b.ProduceAt(batch...)...)
	}
	env := harness.TestEnv(b, topic, h).With("MAX_IN_FLIGHT_BYTES", "16MiB", "PARKED_MAX_BYTES", "1MiB", "HANDLER_TIMEOUT", "5m")
	s := harness.Start(t, env).WaitReady()
	h.WaitCalls(16) // as many as the bound takes, though no partition's share takes one
	harness.Throughout(t, 5*time.Second, func() (bool, string) {
		held := s.Metrics().Value("kafka_sidecar_in_flight_bytes")
		return held <= 16<<20+record+1000, fmt.Sprintf("%v bytes held with a bound of 16 MiB", held)
	})
	promised(t, s, 17<<20, record, record)
	began := time.Now()
	close(release)
	h.WaitSettledWithin(records, 4*harness.Patience)
	t.Logf("%d records in %s", len(records), time.Since(began))
	h.CheckOrder(t, records, harness.Once, nil)
	b.WaitCommitted(env.Group(), topic)
	promised(t, s, 17<<20, record, record)
}
