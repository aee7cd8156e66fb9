package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Writer appends the primitives of Kafka's protocol (https://kafka.apache.org/protocol#protocol_types) to B. Ints are big endian.
type Writer struct{ B []byte }

// Int8 appends one byte.
func (w *Writer) Int8(v int8) { w.B = append(w.B, byte(v)) }

// Int16 appends two bytes.
func (w *Writer) Int16(v int16) { w.B = binary.BigEndian.AppendUint16(w.B, uint16(v)) }

// Int32 appends four bytes.
func (w *Writer) Int32(v int32) { w.B = binary.BigEndian.AppendUint32(w.B, uint32(v)) }

// Int64 appends eight bytes.
func (w *Writer) Int64(v int64) { w.B = binary.BigEndian.AppendUint64(w.B, uint64(v)) }

// Bool appends one byte, 0 or 1.
func (w *Writer) Bool(v bool) {
	if v {
		w.Int8(1)
	} else {
		w.Int8(0)
	}
}

// Uvarint appends an unsigned varint: seven bits a byte, lowest first.
func (w *Writer) Uvarint(v uint64) { w.B = binary.AppendUvarint(w.B, v) }

// UUID appends sixteen bytes.
func (w *Writer) UUID(v [16]byte) { w.B = append(w.B, v[:]...) }

// String appends an int16 length and the bytes.
func (w *Writer) String(v string) {
	w.Int16(int16(len(v)))
	w.B = append(w.B, v...)
}

// NullableString is String, or the length -1 for nil.
func (w *Writer) NullableString(v *string) {
	if v == nil {
		w.Int16(-1)
		return
	}
	w.String(*v)
}

// CompactString appends the length plus one as an unsigned varint, and the bytes.
func (w *Writer) CompactString(v string) {
	w.Uvarint(uint64(len(v)) + 1)
	w.B = append(w.B, v...)
}

// CompactNullableString is CompactString, or 0 for nil.
func (w *Writer) CompactNullableString(v *string) {
	if v == nil {
		w.Uvarint(0)
		return
	}
	w.CompactString(*v)
}

// ArrayLen appends the length of an array, -1 for a null one.
func (w *Writer) ArrayLen(n int) { w.Int32(int32(n)) }

// CompactArrayLen appends the length plus one as an unsigned varint, so that -1 writes a null array.
func (w *Writer) CompactArrayLen(n int) { w.Uvarint(uint64(n + 1)) }

// Tags appends an empty tag section (KIP-482), which ends every struct of a flexible version.
func (w *Writer) Tags() { w.Uvarint(0) }

// ErrMalformed is what reading past the end or an impossible length gives: the bytes are not the message that they should be.
var ErrMalformed = errors.New("malformed response")

// Reader walks over the primitives of Kafka's protocol. The first error sticks: later reads give zero values, so that a caller looks at Err once, at the end.
// No length is believed before it is compared with the bytes that are left. The zero value is an empty Reader.
type Reader struct {
	b   []byte
	err error
	at  int
}

// NewReader reads b from its start; strings are copied out, Bytes are not.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err is the first error; it wraps ErrMalformed.
func (r *Reader) Err() error { return r.err }

// Remaining is how many bytes are left, 0 after an error.
func (r *Reader) Remaining() int { return len(r.b) - r.at }

// Position is how many bytes have been read.
func (r *Reader) Position() int { return r.at }

func (r *Reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s at byte %d of %d", ErrMalformed, what, r.at, len(r.b))
	}
	r.at = len(r.b)
}

// Bytes gives the next n bytes without copying; nil after an error or for a negative n, which is one.
func (r *Reader) Bytes(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > r.Remaining() {
		r.fail(fmt.Sprintf("need %d bytes", n))
		return nil
	}
	b := r.b[r.at : r.at+n : r.at+n]
	r.at += n
	return b
}

// Int8 reads one byte.
func (r *Reader) Int8() int8 {
	if b := r.Bytes(1); b != nil {
		return int8(b[0])
	}
	return 0
}

// Int16 reads two bytes.
func (r *Reader) Int16() int16 {
	if b := r.Bytes(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

// Int32 reads four bytes.
func (r *Reader) Int32() int32 {
	if b := r.Bytes(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// Int64 reads eight bytes.
func (r *Reader) Int64() int64 {
	if b := r.Bytes(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// Bool reads one byte; anything but 0 is true.
func (r *Reader) Bool() bool { return r.Int8() != 0 }

// UUID reads sixteen bytes.
func (r *Reader) UUID() (id [16]byte) {
	copy(id[:], r.Bytes(16))
	return id
}

// Uvarint reads an unsigned varint of at most 64 bits.
func (r *Reader) Uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 {
		r.fail("bad varint")
		return 0
	}
	r.at += n
	return v
}

// Varint reads a signed, zigzag encoded varint, as records use it.
func (r *Reader) Varint() int64 {
	u := r.Uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// String reads an int16 length and that many bytes; null reads as empty.
func (r *Reader) String() string {
	s, _ := r.NullableString()
	return s
}

// NullableString is String that tells null (false) from empty.
func (r *Reader) NullableString() (string, bool) {
	n := r.Int16()
	if n == -1 || r.err != nil {
		return "", false
	}
	b := r.Bytes(int(n))
	return string(b), r.err == nil
}

// CompactString reads a compact string; null reads as empty.
func (r *Reader) CompactString() string {
	s, _ := r.CompactNullableString()
	return s
}

// CompactNullableString is CompactString that tells null (false) from empty.
func (r *Reader) CompactNullableString() (string, bool) {
	n := r.compactLen()
	if n < 0 || r.err != nil {
		return "", false
	}
	b := r.Bytes(n)
	return string(b), r.err == nil
}

// compactLen reads length plus one; -1 is null. A length beyond what is left is an error.
func (r *Reader) compactLen() int {
	n := r.Uvarint()
	if r.err != nil || n == 0 {
		return -1
	}
	if n-1 > uint64(r.Remaining()) {
		r.fail(fmt.Sprintf("length %d beyond the end", n-1))
		return -1
	}
	return int(n - 1)
}

// ArrayLen reads the length of an array: 0 for a null one and after an error. An element takes at least one byte, so a length
// beyond the bytes that are left is an error: it is safe to allocate that many small elements.
func (r *Reader) ArrayLen() int {
	n := r.Int32()
	if r.err != nil || n == -1 {
		return 0
	}
	if n < 0 || int(n) > r.Remaining() {
		r.fail(fmt.Sprintf("array of %d elements", n))
		return 0
	}
	return int(n)
}

// CompactArrayLen is ArrayLen for the compact form.
func (r *Reader) CompactArrayLen() int { return max(0, r.compactLen()) }

// Tags skips a tag section (KIP-482).
func (r *Reader) Tags() {
	for n := r.Uvarint(); n > 0 && r.err == nil; n-- {
		r.Uvarint()
		size := r.Uvarint()
		if size > uint64(r.Remaining()) {
			r.fail(fmt.Sprintf("tag of %d bytes", size))
			return
		}
		r.Bytes(int(size))
	}
}
