package lanes

import (
	"strconv"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// One operation is the whole life of one record in the lanes: Add, Next, Settle and what the engine asks between them.
func BenchmarkLanes(b *testing.B) {
	keys := make([][]byte, 1000)
	for i := range keys {
		keys[i] = []byte("customer-" + strconv.Itoa(i))
	}
	value := make([]byte, 256)
	for _, bc := range []struct {
		name     string
		ordering Ordering
		held     int // records in the lanes meanwhile
		retry    bool
		key      func(i int) []byte
	}{
		{"thousand keys", ByKey, 5000, false, func(i int) []byte { return keys[i%len(keys)] }},
		{"thousand keys, few held", ByKey, 100, false, func(i int) []byte { return keys[i%len(keys)] }},
		{"hot key", ByKey, 5000, false, func(i int) []byte {
			if i%5 == 0 {
				return keys[0]
			}
			return keys[i%len(keys)]
		}},
		{"every record fails once", ByKey, 5000, true, func(i int) []byte { return keys[i%len(keys)] }},
		{"null keys", ByKey, 5000, false, func(int) []byte { return nil }},
		{"none", None, 5000, false, func(i int) []byte { return keys[i%len(keys)] }},
		{"by partition", ByPartition, 5000, false, func(i int) []byte { return keys[i%len(keys)] }},
	} {
		b.Run(bc.name, func(b *testing.B) {
			l := New(bc.ordering, true, Limits{Concurrency: 64, MaxInFlight: 10000, MaxInFlightBytes: 64 << 20, ParkedMax: 100000, ParkedMaxBytes: 64 << 20})
			l.Open(0)
			now := time.Now()
			running := make([]*Item, 0, 64)
			added, settled := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				for added-settled < bc.held && l.HasRoom(0) {
					if _, ok := l.Add(&record.Record{Offset: int64(added), Key: bc.key(added), Value: value}); !ok {
						b.Fatal("no room")
					}
					added++
				}
				for it := l.Next(now); it != nil; it = l.Next(now) {
					running = append(running, it)
				}
				for {
					it := running[0]
					running = append(running[:0], running[1:]...)
					if bc.retry && it.Begun == 1 {
						l.Retry(it, now, false)
						if it = l.Next(now); it != nil {
							running = append(running, it)
						}
						continue
					}
					l.Settle(it)
					break
				}
				l.Wake()
				settled++
			}
		})
	}
}
