package fetch

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// BenchmarkDecode reads an answer of about 1 MiB: 256 byte values that compress to about half, 16 byte keys, checksums on. ns/record and allocs/record
// are what a record costs; B/s counts key and value bytes.
func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct {
		name    string
		codec   int8
		headers int
	}{{"plain", 0, 0}, {"plain, 2 headers", 0, 2}, {"gzip", 1, 0}, {"snappy", 2, 0}, {"lz4", 3, 0}, {"zstd", 4, 0}} {
		b.Run(c.name, func(b *testing.B) {
			const batches, each = 16, 240
			var raw []byte
			random := rand.NewChaCha8([32]byte{})
			for i := range batches {
				s := shape{base: int64(i * each), codec: c.codec}
				for j := range each {
					r := rec{delta: int64(j), key: make([]byte, 16), value: make([]byte, 128)}
					random.Read(r.value)
					r.value = hex.AppendEncode(nil, r.value)
					binary.BigEndian.PutUint64(r.key, uint64(j))
					for range c.headers {
						r.headers = append(r.headers, record.Header{Name: "traceparent", Value: r.value[:32]})
					}
					s.records = append(s.records, r)
				}
				raw = append(raw, s.encode()...)
			}
			b.ReportAllocs()
			b.SetBytes(batches * each * (256 + 16))
			var sum int64
			for b.Loop() {
				d := NewDecoder(raw, Options{ReadCommitted: true, CheckCRC: true, Grow: func(int64) bool { return true }})
				for {
					if _, ok, err := d.NextBatch(); err != nil {
						b.Fatal(err)
					} else if !ok {
						break
					}
					for {
						size, ok := d.PeekSize()
						if !ok {
							break
						}
						r, _, _ := d.Next()
						sum += size + r.Offset
					}
				}
				d.Release()
			}
			records := float64(b.N) * batches * each
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/records, "ns/record")
			b.ReportMetric(float64(len(raw))/(batches*each), "wire-B/record")
		})
	}
}
