package cluster

import (
	"encoding/binary"
	"errors"
	"testing"
)

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	text, id := "käse", [16]byte{1, 2, 15: 9}
	var w Writer
	w.Int8(-1)
	w.Int16(-2)
	w.Int32(-3)
	w.Int64(-4)
	w.Bool(true)
	w.Bool(false)
	w.String(text)
	w.NullableString(nil)
	w.NullableString(&text)
	w.CompactString(text)
	w.CompactNullableString(nil)
	w.CompactNullableString(&text)
	w.ArrayLen(1)
	w.Int8(7)
	w.ArrayLen(-1)
	w.CompactArrayLen(1)
	w.Int8(8)
	w.CompactArrayLen(-1)
	w.UUID(id)
	w.Uvarint(300)
	w.Uvarint(599) // -300 in zigzag
	w.Tags()
	w.Uvarint(1) // a tag that we do not know
	w.Uvarint(5)
	w.Uvarint(2)
	w.Int16(99)

	r := NewReader(w.B)
	eq(t, r.Int8(), -1)
	eq(t, r.Int16(), -2)
	eq(t, r.Int32(), -3)
	eq(t, r.Int64(), -4)
	eq(t, r.Bool(), true)
	eq(t, r.Bool(), false)
	eq(t, r.String(), text)
	_, ok := r.NullableString()
	eq(t, ok, false)
	s, ok := r.NullableString()
	eq(t, ok, true)
	eq(t, s, text)
	eq(t, r.CompactString(), text)
	_, ok = r.CompactNullableString()
	eq(t, ok, false)
	s, ok = r.CompactNullableString()
	eq(t, ok, true)
	eq(t, s, text)
	eq(t, r.ArrayLen(), 1)
	eq(t, r.Int8(), 7)
	eq(t, r.ArrayLen(), 0)
	eq(t, r.CompactArrayLen(), 1)
	eq(t, r.Int8(), 8)
	eq(t, r.CompactArrayLen(), 0)
	eq(t, r.UUID(), id)
	eq(t, r.Uvarint(), 300)
	eq(t, r.Varint(), -300)
	r.Tags()
	r.Tags()
	eq(t, r.Remaining(), 0)
	eq(t, r.Position(), len(w.B))
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
}

func eq[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLengthsBeyondTheEndAreErrorsAndStick(t *testing.T) {
	for name, read := range map[string]func(*Reader){
		"int64":                  func(r *Reader) { r.Int64() },
		"string":                 func(r *Reader) { _ = r.String() },
		"compact string":         func(r *Reader) { r.CompactString() },
		"array":                  func(r *Reader) { r.ArrayLen() },
		"compact array":          func(r *Reader) { r.CompactArrayLen() },
		"negative bytes":         func(r *Reader) { r.Bytes(-1) },
		"uuid":                   func(r *Reader) { r.UUID() },
		"tags":                   func(r *Reader) { r.Tags() },
		"negative string length": func(r *Reader) { r.b[0] = 0xff; _ = r.String() },
		"negative array":         func(r *Reader) { r.b[0] = 0xff; r.ArrayLen() },
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader([]byte{0x7f, 0x7f, 0x7f, 0x7f, 0x7f})
			read(r)
			first := r.Err()
			if !errors.Is(first, ErrMalformed) {
				t.Fatalf("got %v", first)
			}
			eq(t, r.Int8(), 0)
			eq(t, r.CompactString(), "")
			eq(t, r.Bytes(0) == nil, true)
			eq(t, r.Remaining(), 0)
			eq(t, r.Err(), first)
		})
	}
	r := NewReader(binary.AppendUvarint(nil, 1<<63))
	r.CompactString()
	if r.Err() == nil {
		t.Error("a length that overflows an int is taken")
	}
	r = NewReader([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	r.Uvarint()
	if r.Err() == nil {
		t.Error("a varint of more than 64 bits is taken")
	}
}

func TestBytesCannotGrowIntoWhatFollows(t *testing.T) {
	b := []byte{1, 2, 3}
	got := append(NewReader(b).Bytes(2), 9)
	eq(t, len(got), 3)
	eq(t, b[2], 3)
}

// FuzzReader plays any sequence of reads over any bytes: no panic, nothing beyond the end, and lengths that bytes cover.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, []byte{0, 3, 'a', 'b', 'c', 1, 1, 0, 2, 5, 1})
	f.Add([]byte{10}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1, 1})
	f.Fuzz(func(t *testing.T, ops, b []byte) {
		r := NewReader(b)
		for _, op := range ops {
			before, failed := r.Position(), r.Err()
			n := 0
			switch op % 14 {
			case 0:
				r.Int8()
			case 1:
				r.Int16()
			case 2:
				r.Int32()
			case 3:
				r.Int64()
			case 4:
				n = len(r.String())
			case 5:
				n = len(r.CompactString())
			case 6:
				n = r.ArrayLen()
			case 7:
				n = r.CompactArrayLen()
			case 8:
				r.UUID()
			case 9:
				r.Uvarint()
			case 10:
				r.Tags()
			case 11:
				r.Varint()
			case 12:
				n = len(r.Bytes(int(int8(op))))
			case 13:
				r.Bool()
			}
			if n < 0 || n > len(b) || r.Position() < before || r.Position() > len(b) {
				t.Fatalf("op %d: length %d, position %d of %d", op%14, n, r.Position(), len(b))
			}
			if failed != nil && (r.Err() != failed || n != 0) {
				t.Fatal("the error does not stick")
			}
		}
	})
}
