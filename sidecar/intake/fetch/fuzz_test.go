package fetch

import (
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// FuzzDecoder feeds hostile record sets; drain checks what must hold whatever is fed: it ends, the position never goes back, sizes are true.
// With seal, the first batches' lengths and checksums are made right, so that the fuzzer gets behind them.
func FuzzDecoder(f *testing.F) {
	seed := func(raw []byte) { f.Add(raw, int64(1), true); f.Add(raw, int64(0), false) }
	for _, s := range packers(f) {
		s.base, s.records = 1, append(values("a", "b"), rec{delta: 4, key: []byte("k"), value: make([]byte, 300)})
		seed(set(s))
	}
	seed(set(shape{tail: 3, producer: 1}, shape{base: 3, producer: 1, attributes: transactionalBit, records: values("x")}, marker(4, 1, abort)))
	seed(set(shape{magic: 1, records: values("old")}))
	f.Fuzz(func(t *testing.T, raw []byte, from int64, seal bool) {
		if seal {
			raw = sealed(raw)
		}
		const bound = 1 << 20
		var granted int64
		d := NewDecoder(raw, Options{
			From: max(0, from), ReadCommitted: true, CheckCRC: seal, Aborted: []Aborted{{1, 0}}, MaxBatchBytes: bound,
			Grow: func(n int64) bool {
				if n <= 0 {
					t.Fatalf("asked for %d bytes", n)
				}
				granted += n
				return true
			},
		})
		recs, _ := drain(t, d)
		if granted > 2*bound {
			t.Fatalf("%d bytes asked for", granted)
		}
		var n int64
		for _, r := range recs {
			n += r.Size() - emptySize
		}
		if unpacked := int64(len(raw)) + int64(len(raw))/batchHeaderLen*bound; n > 41*unpacked {
			t.Fatalf("%d bytes of records out of %d", n, unpacked)
		}
	})
}

// sealed makes lengths fit and checksums right.
func sealed(raw []byte) []byte {
	raw = append([]byte(nil), raw...)
	for at := raw; len(at) >= batchHeaderLen; {
		n := int64(binary.BigEndian.Uint32(at[batchLengthAt:])) + lengthFrom
		if n < batchHeaderLen || n > int64(len(at)) {
			n = int64(len(at))
			binary.BigEndian.PutUint32(at[batchLengthAt:], uint32(n-lengthFrom))
		}
		binary.BigEndian.PutUint32(at[crcAt:], crc32.Checksum(at[attributesAt:n], castagnoli))
		at = at[n:]
	}
	return raw
}
