package fetch

import (
	"errors"
	"fmt"
)

// codec unpacks one compression. Its size is told before a byte is unpacked, so that memory can be asked for first.
type codec struct {
	name string
	// size is how much src unpacks to. Exact, or an upper bound, or (gzip) what src claims: then unpack says errShort and is tried with more.
	size func(src []byte) (n int64, exact bool, err error)
	// unpack appends what src unpacks to to dst, within its capacity.
	unpack func(dst, src []byte) ([]byte, error)
}

// errShort is a codec's word for a destination that is too small.
var errShort = errors.New("destination too small")

// By number, as in a batch's attributes.
var codecs = [codecMask + 1]*codec{
	1: {"gzip", gzipSize, gzipUnpack},
	2: {"snappy", snappySize, snappyUnpack},
	3: {"lz4", lz4Size, lz4Unpack},
	4: {"zstd", zstdSize, zstdUnpack},
}

// unpack gives the records of a batch: as they lie in the answer, or unpacked into the decoder's buffer.
func (d *Decoder) unpack(b *batch) ([]byte, error) {
	if b.codec() == 0 {
		return b.payload, nil
	}
	c := codecs[b.codec()]
	if c == nil {
		return nil, fmt.Errorf("%w: compression %d", ErrUnsupported, b.codec())
	}
	limit := d.o.MaxBatchBytes
	size, exact, err := c.size(b.payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, c.name, err)
	}
	for {
		if exact && size > limit {
			return nil, fmt.Errorf("%w: %d bytes of %s unpack to %d, the bound is %d", ErrTooLarge, len(b.payload), c.name, size, limit)
		}
		size = min(size, limit)
		if !d.room(int(size)) {
			return nil, ErrNoRoom
		}
		data, err := c.unpack(d.buf.B[:0], b.payload)
		switch {
		case err == nil && int64(len(data)) <= limit:
			return data, nil
		case err == nil, errors.Is(err, errShort) && size == limit:
			return nil, fmt.Errorf("%w: %d bytes of %s unpack to more than the bound of %d", ErrTooLarge, len(b.payload), c.name, limit)
		case !errors.Is(err, errShort):
			return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, c.name, err)
		}
		size = max(2*size, int64(cap(d.buf.B))+1)
	}
}

// room makes the buffer hold n bytes, if it is allowed to grow.
func (d *Decoder) room(n int) bool {
	if d.buf != nil && cap(d.buf.B) >= n {
		return true
	}
	n = BufferSize(n)
	more := int64(n) - d.held
	if more > 0 && d.o.Grow != nil && !d.o.Grow(more) {
		return false
	}
	d.held += max(more, 0)
	if d.buf != nil {
		d.buf.Free()
	}
	d.buf = NewBuffer(n)
	return true
}
