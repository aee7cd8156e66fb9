package ledger

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"strings"
)

// prefix names the encoding and its version. A later version gets another one, so that older releases ignore it.
const prefix = "ks1:"

// Errors of ParseMetadata. Both mean the same for the caller, who delivers everything from the committed offset on; they differ in
// what is worth a log line.
var (
	ErrForeign = errors.New("commit metadata is not ours")
	ErrDamaged = errors.New("commit metadata is damaged")
)

// MaxMetadata is how many characters of metadata a broker takes unless offset.metadata.max.bytes says otherwise.
const MaxMetadata = 4096

const (
	laneBits = 48
	laneMask = 1<<laneBits - 1
)

// LaneHash is the 48-bit hash by which a lane's key is known in a map, never 0. It is part of the encoding: the same key must hash
// alike in every release. It is no secret and needs no strength, since a collision only repeats.
func LaneHash(key []byte) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for _, b := range key {
		h = (h ^ uint64(b)) * 1099511628211
	}
	// FNV leaves the high bits of short keys poor, so mix before cutting.
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	if h &= laneMask; h != 0 {
		return h
	}
	return 1
}

// Map is what a commit's metadata says: every offset from base to horizon is settled, except those listed in unsettled and, from
// its first unsettled offset on, every record of a lane in lanes.
type Map struct {
	id        Identity
	base      int64
	horizon   int64
	epoch     int32 // highest leader epoch that the map speaks of, -1 for none
	unsettled []int64
	lanes     map[uint64]int64
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ParseMetadata reads the metadata of a commit. It returns ErrForeign for text that another program or release wrote, the
// empty string among it, and ErrDamaged for ours when it is cut or altered.
func ParseMetadata(s string) (*Map, error) {
	body, ours := strings.CutPrefix(s, prefix)
	if !ours {
		return nil, ErrForeign
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(raw) < crc32.Size {
		return nil, ErrDamaged
	}
	end := len(raw) - crc32.Size
	if crc32.Checksum(raw[:end], castagnoli) != binary.BigEndian.Uint32(raw[end:]) {
		return nil, ErrDamaged
	}
	m, ok := parse(raw[:end])
	if !ok {
		return nil, ErrDamaged
	}
	return m, nil
}

// parse reads the bytes that encoder.write wrote. The checksum says that they are ours, yet nothing is trusted: a fault here must not
// read as "settled".
func parse(b []byte) (*Map, bool) {
	var m Map
	if copy(m.id.TopicID[:], b) < len(m.id.TopicID) {
		return nil, false
	}
	b = b[len(m.id.TopicID):]
	var f [5]uint64 // partition, lanes, base, epoch + 1, horizon - base
	for i := range f {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, false
		}
		f[i], b = v, b[n:]
	}
	if f[0] > math.MaxInt32 || f[1] > math.MaxUint32 || f[2] > math.MaxInt64 || f[3] > math.MaxInt32+1 || f[4] > math.MaxInt64-f[2] {
		return nil, false
	}
	m.id.Partition, m.id.Lanes = int32(f[0]), uint32(f[1])
	m.base, m.epoch, m.horizon = int64(f[2]), int32(int64(f[3])-1), int64(f[2]+f[4])
	if m.horizon == m.base {
		return &m, len(b) == 0
	}
	var g [4]uint64 // number of single offsets, log2 of their mean gap, number of lanes, log2 of theirs
	for i := range g {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, false
		}
		g[i], b = v, b[n:]
	}
	// An offset takes at least one bit and a lane 49: this bounds what a forged count could make us reserve.
	if room := uint64(len(b)) * 8; g[0] > room || g[2] > room/(laneBits+1) || g[1] > 63 || g[3] > 63 {
		return nil, false
	}
	r := bitReader{b: b}
	m.unsettled = make([]int64, g[0])
	code, next := newGolomb(uint(g[1])), m.base
	for i := range m.unsettled {
		gap := code.read(&r)
		if r.failed || gap >= uint64(m.horizon-next) {
			return nil, false
		}
		m.unsettled[i] = next + int64(gap)
		next = m.unsettled[i] + 1
	}
	m.lanes = make(map[uint64]int64, g[2])
	code, next = newGolomb(uint(g[3])), m.base
	for range g[2] {
		gap, lane := code.read(&r), r.read(laneBits)
		if r.failed || gap >= uint64(m.horizon-next) {
			return nil, false
		}
		next += int64(gap)
		m.lanes[lane] = next
	}
	return &m, uint64(len(m.lanes)) == g[2]
}

// TopicID is the topic id that the map was written for; zero where the broker did not tell it then.
func (m *Map) TopicID() [16]byte { return m.id.TopicID }

// Matches says whether the map belongs to this log and came with this commit. Without a topic id nothing tells a recreated topic
// from the old one, so a map without one matches nothing. The way of making lanes may differ, see Identity.
func (m *Map) Matches(id Identity, committedOffset int64) bool {
	return m.id.TopicID != [16]byte{} && m.id.TopicID == id.TopicID && m.id.Partition == id.Partition && m.base == committedOffset
}

// Reach tells the offset below which the map speaks of records, and the highest leader epoch among them, -1 for none.
func (m *Map) Reach() (horizon int64, epoch int32) { return m.horizon, m.epoch }

// Until is the map without what it says of end and what lies beyond it.
func (m *Map) Until(end int64) *Map {
	if end >= m.horizon {
		return m
	}
	short := *m
	short.horizon = max(end, m.base)
	n, _ := slices.BinarySearch(m.unsettled, short.horizon)
	short.unsettled = m.unsettled[:n]
	short.lanes = maps.Clone(m.lanes)
	maps.DeleteFunc(short.lanes, func(_ uint64, first int64) bool { return first >= short.horizon })
	return &short
}

// forLanes is the map as far as it can be read by one who makes lane hashes in the given way: where that is another way, its
// lanes could not be found again, so that it ends at the first of them.
func (m *Map) forLanes(way uint32) *Map {
	if m.id.Lanes == way || len(m.lanes) == 0 {
		return m
	}
	short := *m
	for _, first := range m.lanes {
		short.horizon = min(short.horizon, first)
	}
	short.lanes = nil
	n, _ := slices.BinarySearch(m.unsettled, short.horizon)
	short.unsettled = m.unsettled[:n]
	return &short
}

// settled says whether the map calls this record settled.
func (m *Map) settled(offset int64, epoch int32, lane uint64) bool {
	if offset < m.base || offset >= m.horizon || epoch > m.epoch {
		return false
	}
	// A key that shares its hash with a parked one is held unsettled from the parked one's offset on: repeated, not lost.
	if first, ok := m.lanes[lane&laneMask]; ok && offset >= first {
		return false
	}
	_, listed := slices.BinarySearch(m.unsettled, offset)
	return !listed
}
