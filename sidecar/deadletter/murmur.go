package deadletter

import "encoding/binary"

// murmur2 is the hash by which Kafka's Java client gives a key its partition, so that a redrive or a reader finds the records of a key
// where every other producer puts them (org.apache.kafka.common.utils.Utils; MurmurHash2 by Austin Appleby, 32 bits, fixed seed).
func murmur2(b []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
	)
	h := uint32(seed) ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := binary.LittleEndian.Uint32(b) * m
		h = h*m ^ (k^k>>24)*m
	}
	for i := len(b) - 1; i >= 0; i-- {
		h ^= uint32(b[i]) << (8 * i)
		if i == 0 {
			h *= m
		}
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}

// partitionOf is the index of a key's partition among n, as the Java client chooses it: its hash without the sign bit, modulo n.
func partitionOf(key []byte, n int) int { return int(murmur2(key)&0x7fffffff) % n }
