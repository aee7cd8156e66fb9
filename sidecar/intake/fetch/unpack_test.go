package fetch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"weak"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// packers are the ways in which producers compress, by what they leave out or add.
func packers(t testing.TB) map[string]shape {
	zstdWriter := func(o ...zstd.EOption) *zstd.Encoder {
		w, err := zstd.NewWriter(nil, append(o, zstd.WithEncoderConcurrency(1))...)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	lz4With := func(o ...lz4.Option) func([]byte) []byte {
		return func(b []byte) []byte {
			var out bytes.Buffer
			w := lz4.NewWriter(&out)
			if err := w.Apply(append(o, lz4.SizeOption(uint64(len(b))))...); err != nil {
				t.Fatal(err)
			}
			w.Write(b)
			w.Close()
			return out.Bytes()
		}
	}
	all := map[string]shape{
		"plain": {}, "gzip": {codec: 1}, "snappy xerial": {codec: 2}, "lz4": {codec: 3}, "zstd stream": {codec: 4},
		"gzip of two members": {codec: 1, pack: func(b []byte) []byte {
			return append(pack(1, b[:len(b)/2]), pack(1, b[len(b)/2:])...)
		}},
		"gzip with names": {codec: 1, pack: func(b []byte) []byte {
			var out bytes.Buffer
			w := gzip.NewWriter(&out)
			w.Name, w.Comment, w.Extra = "n", "c", []byte("x")
			w.Write(b)
			w.Close()
			return out.Bytes()
		}},
		"snappy raw":        {codec: 2, pack: func(b []byte) []byte { return snappy.Encode(nil, b) }},
		"lz4 64K, all sums": {codec: 3, pack: lz4With(lz4.BlockSizeOption(lz4.Block64Kb), lz4.BlockChecksumOption(true), lz4.ChecksumOption(true))},
		"lz4 256K, no sums": {codec: 3, pack: lz4With(lz4.BlockSizeOption(lz4.Block256Kb), lz4.ChecksumOption(false))},
		"lz4 1M, best":      {codec: 3, pack: lz4With(lz4.BlockSizeOption(lz4.Block1Mb), lz4.CompressionLevelOption(lz4.Level9))},
		"zstd whole":        {codec: 4, pack: func(b []byte) []byte { return zstdWriter().EncodeAll(b, nil) }},
		"zstd best": {codec: 4, pack: func(b []byte) []byte {
			return zstdWriter(zstd.WithEncoderLevel(zstd.SpeedBestCompression)).EncodeAll(b, nil)
		}},
		"zstd small window":     {codec: 4, pack: func(b []byte) []byte { return zstdWriter(zstd.WithWindowSize(1<<10)).EncodeAll(b, nil) }},
		"zstd without checksum": {codec: 4, pack: func(b []byte) []byte { return zstdWriter(zstd.WithEncoderCRC(false)).EncodeAll(b, nil) }},
		"zstd frames": {codec: 4, pack: func(b []byte) []byte {
			skippable := append([]byte{0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0}, "abc"...)
			w := zstdWriter()
			return slices.Concat(w.EncodeAll(b[:len(b)/2], nil), skippable, w.EncodeAll(b[len(b)/2:], nil))
		}},
	}
	return all
}

func TestEveryCompressionReadsTheSame(t *testing.T) {
	words := bytes.Repeat([]byte("the quick brown fox "), 10_000)
	var sizes []rec
	for i, n := range []int{0, 1, 100, 1 << 10, 64 << 10, 65_537, 200_000} {
		sizes = append(sizes, rec{delta: int64(2 * i), key: words[:n/10], value: words[:n]}, rec{delta: int64(2*i + 1), value: noise(n)})
	}
	bodies := map[string][]rec{"one byte": values("x"), "small": values("a", "b", "c"), "sizes": sizes}
	for name, s := range packers(t) {
		for body, in := range bodies {
			t.Run(name+", "+body, func(t *testing.T) {
				s.records = in
				var granted int64
				recs, _ := read(t, set(s, shape{base: s.base + 100, records: values("next")}), Options{Grow: func(n int64) bool { granted += n; return true }})
				if len(recs) != len(in)+1 {
					t.Fatalf("%d records, want %d", len(recs), len(in)+1)
				}
				for i, r := range in {
					if !same(recs[i].Value, r.value) || !same(recs[i].Key, r.key) {
						t.Fatalf("record %d differs", i)
					}
				}
				var raw int
				for _, r := range in {
					raw += len(r.encode())
				}
				if s.codec != 0 && (granted < int64(raw) || granted > int64(2*raw+512<<10)) {
					t.Errorf("asked for %d bytes to unpack %d", granted, raw)
				}
			})
		}
	}
}

func TestLinkedLZ4BlocksReachBack(t *testing.T) {
	// As librdkafka writes them: the second block repeats bytes of the first.
	payload := rec{value: []byte("0123456789abcdef0123456789abcdef")}.encode()
	const from, distance, match = 24, 16, 14
	frame := []byte{0x04, 0x22, 0x4D, 0x18, 1 << 6, 4 << 4, 0}
	block := func(b []byte, plain bool) {
		size := uint32(len(b))
		if plain {
			size |= 1 << 31
		}
		frame = append(binary.LittleEndian.AppendUint32(frame, size), b...)
	}
	block(payload[:from], true)
	last := payload[from+match:] // as literals, behind a match without any
	block(append([]byte{match - 4, distance, 0, byte(len(last)) << 4}, last...), false)
	frame = append(frame, 0, 0, 0, 0)
	recs, _ := read(t, set(shape{records: []rec{{value: []byte("0123456789abcdef0123456789abcdef")}}, codec: 3, pack: func([]byte) []byte { return frame }}), Options{})
	if len(recs) != 1 || string(recs[0].Value) != "0123456789abcdef0123456789abcdef" {
		t.Fatalf("got %q", texts(recs))
	}
}

func TestRefusedRoomLosesNothing(t *testing.T) {
	for name, s := range packers(t) {
		if s.codec == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			one, two := s, s
			one.records, two.base, two.records = values("a", "b"), 2, []rec{{value: bytes.Repeat([]byte("wide "), 100_000)}}
			room, granted := int64(0), int64(0)
			d := NewDecoder(set(one, two), Options{CheckCRC: true, Grow: func(n int64) bool {
				if granted+n > room {
					return false
				}
				granted += n
				return true
			}})
			var got []string
			for refused := 0; ; {
				recs, err := drain(t, d)
				got = append(got, texts(recs)...)
				if err == nil {
					break
				}
				if refused++; err != ErrNoRoom || refused > 20 {
					t.Fatalf("refusal %d: %v", refused, err)
				}
				room, granted = max(2*room, 64<<10), 0 // drain has released
			}
			if len(got) != 3 || len(got[2]) != 500_000 || d.Position() != 3 {
				t.Fatalf("%d records, position %d", len(got), d.Position())
			}
		})
	}
}

func TestReleaseGivesBackWhatGrowGranted(t *testing.T) {
	big := shape{base: 1, codec: 4, records: []rec{{value: noise(300_000)}, {delta: 1, value: []byte("end")}}}
	var granted, asked int64
	d := NewDecoder(set(shape{codec: 2, records: values("a")}, big, shape{base: 3, codec: 2, records: values("b")}), Options{Grow: func(n int64) bool { granted, asked = granted+n, asked+1; return true }})
	d.NextBatch()
	d.Next()
	d.NextBatch()
	d.Next()
	if held := d.Release(); held != granted || held < 300_000 || asked != 2 {
		t.Fatalf("released %d, granted %d in %d", held, granted, asked)
	}
	if held := d.Release(); held != 0 {
		t.Fatalf("released %d again", held)
	}
	if _, ok, err := d.Next(); ok || err != nil {
		t.Fatal("a released batch is still open")
	}
	recs, err := drain(t, d)
	if got := texts(recs); err != nil || !slices.Equal(got, []string{"end", "b"}) {
		t.Fatalf("after the release: %q, %v", got, err)
	}
}

// bombs unpack to 64 MiB and more, or claim to.
func bombs(t testing.TB) map[string]shape {
	zeros := make([]byte, 4<<20)
	var zip bytes.Buffer
	w := gzip.NewWriter(&zip)
	for range 16 {
		w.Write(zeros)
	}
	w.Close()
	// A zstd block of three bytes and one that is repeated 128 KiB times.
	zip2 := []byte{0x28, 0xB5, 0x2F, 0xFD, 0, 0x58}
	for i := range 8192 {
		last := byte(0)
		if i == 8191 {
			last = 1
		}
		head := uint32(128<<10)<<3 | 1<<1
		zip2 = append(zip2, byte(head)|last, byte(head>>8), byte(head>>16), 0)
	}
	claim := append(binary.AppendUvarint(nil, 1<<30), noise(1000)...)
	xerial := append(append(slices.Clone(xerialMagic), make([]byte, 8)...), 0xff, 0xff, 0xff, 0xff)
	is := func(codec int8, b []byte) shape {
		return shape{records: values("x"), codec: codec, pack: func([]byte) []byte { return b }}
	}
	block := slices.Concat([]byte{0x10, 0, 1, 0, 0x0f}, bytes.Repeat([]byte{0xff}, 1<<20), []byte{0, 0})
	lz := binary.LittleEndian.AppendUint32([]byte{0x04, 0x22, 0x4D, 0x18, 1 << 6, 7 << 4, 0}, uint32(len(block)))
	lz = append(append(lz, block...), 0, 0, 0, 0)
	return map[string]shape{"gzip": is(1, zip.Bytes()), "zstd": is(4, zip2), "snappy claim": is(2, claim), "xerial claim": is(2, xerial), "lz4": is(3, lz)}
}

func TestBombsTakeNoMemoryThatWasNotGranted(t *testing.T) {
	for name, s := range bombs(t) {
		raw := set(s)
		for _, o := range []Options{{Grow: func(n int64) bool { return n <= 64<<10 }}, {MaxBatchBytes: 64 << 10}} {
			t.Run(fmt.Sprintf("%s, bound %d", name, o.MaxBatchBytes), func(t *testing.T) {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := drain(t, NewDecoder(raw, o))
				runtime.ReadMemStats(&after)
				if err == nil || o.MaxBatchBytes == 0 && !errors.Is(err, ErrNoRoom) && !errors.Is(err, ErrCorrupt) || o.MaxBatchBytes > 0 && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrCorrupt) {
					t.Errorf("error %v", err)
				}
				if used := after.TotalAlloc - before.TotalAlloc; used > 3<<20 {
					t.Errorf("%d bytes allocated", used)
				}
			})
		}
	}
}

func TestBoundOnUnpackedBytesIsExact(t *testing.T) {
	in := []rec{{value: bytes.Repeat([]byte("wide "), 30_000)}}
	size := int64(len(in[0].encode()))
	for name, s := range packers(t) {
		if s.codec == 0 {
			continue
		}
		s.records = in
		raw := set(s)
		if _, err := drain(t, NewDecoder(raw, Options{MaxBatchBytes: size})); err != nil {
			t.Errorf("%s: at the bound: %v", name, err)
		}
		if _, err := drain(t, NewDecoder(raw, Options{MaxBatchBytes: size - 1})); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), fmt.Sprint(size-1)) {
			t.Errorf("%s: below: %v", name, err)
		}
	}
}

func TestOneRecordOfTenMiB(t *testing.T) {
	value := bytes.Repeat(noise(1<<20), 10)
	for codec := range int8(5) {
		recs, d := read(t, set(shape{codec: codec, records: []rec{{value: value}}}), Options{})
		if len(recs) != 1 || !bytes.Equal(recs[0].Value, value) || d.Position() != 1 {
			t.Errorf("codec %d: %d records", codec, len(recs))
		}
	}
}

// What is given back to the allowance must be memory that can be collected: a decoder that kept the last batch made two of 256 MiB be there at once.
func TestNoCodecKeepsWhatItHasUnpacked(t *testing.T) {
	for number, c := range codecs {
		if c == nil {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			src := pack(int8(number), bytes.Repeat([]byte("a text that repeats itself and is packed. "), 50_000))
			unpacked := func() weak.Pointer[byte] {
				dst := make([]byte, 0, 4<<20)
				if _, err := c.unpack(dst, src); err != nil {
					t.Fatal(err)
				}
				return weak.Make(&dst[:1][0])
			}()
			runtime.GC()
			if unpacked.Value() != nil {
				t.Error("it is still there")
			}
		})
	}
}
