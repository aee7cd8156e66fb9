package fetch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/segmentio/kafka-go/compress"
)

// kafka-go's codec is used for gzip only. Its snappy reader allocates what a frame's length field says, up to 4 GiB, its LZ4 reader keeps 8 MiB where
// a producer uses blocks of 4 MiB, and its zstd reader keeps a window of up to 8 MiB and more; none of this could be asked for first. The
// block functions below unpack into our buffer and keep nothing.

var errCut = errors.New("cut off")

// gzipSize reads the trailer: the size modulo 2^32 of the last member, of which there is one. It is a claim, so deflate's best ratio bounds it.
func gzipSize(src []byte) (int64, bool, error) {
	if len(src) < 18 { // header and trailer
		return 0, false, errCut
	}
	claim := int64(binary.LittleEndian.Uint32(src[len(src)-4:]))
	return min(claim, 1032*int64(len(src))), false, nil
}

func gzipUnpack(dst, src []byte) ([]byte, error) {
	r := compress.GzipCodec.NewReader(bytes.NewReader(src))
	defer r.Close()
	for len(dst) < cap(dst) {
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return nil, err
		}
	}
	// The buffer is full. The end must be read too: the checksum is compared there.
	var more [1]byte
	switch _, err := io.ReadFull(r, more[:]); err {
	case io.EOF:
		return dst, nil
	case nil:
		return nil, errShort
	default:
		return nil, err
	}
}

var xerialMagic = []byte("\x82SNAPPY\x00")

const xerialHeaderLen = 16 // magic, version, oldest compatible version

// eachSnappy gives the snappy blocks of src: one, or several in the frames of xerial's snappy-java, which the Java client writes.
func eachSnappy(src []byte, block func([]byte) error) error {
	if !bytes.HasPrefix(src, xerialMagic) {
		return block(src)
	}
	if len(src) < xerialHeaderLen {
		return errCut
	}
	for src = src[xerialHeaderLen:]; len(src) > 0; {
		if len(src) < 4 {
			return errCut
		}
		n := int64(binary.BigEndian.Uint32(src))
		if n > int64(len(src)-4) {
			return errCut
		}
		if err := block(src[4 : 4+n]); err != nil {
			return err
		}
		src = src[4+n:]
	}
	return nil
}

func snappySize(src []byte) (total int64, exact bool, err error) {
	err = eachSnappy(src, func(block []byte) error {
		n, err := snappy.DecodedLen(block)
		// The densest element is a copy of 64 bytes in three. A claim beyond it is never allocated for.
		if err == nil && n > 64*len(block) {
			err = snappy.ErrCorrupt
		}
		total += int64(n)
		return err
	})
	return total, true, err
}

func snappyUnpack(dst, src []byte) ([]byte, error) {
	err := eachSnappy(src, func(block []byte) error {
		out, err := snappy.Decode(dst[len(dst):cap(dst)], block) // fits: snappySize has seen the same length
		dst = dst[:len(dst)+len(out)]
		return err
	})
	return dst, err
}

const (
	lz4Magic   = 0x184D2204
	lz4History = 64 << 10 // how far back a linked block reaches
)

// lz4Block is one block of an LZ4 frame (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md).
type lz4Block struct {
	data   []byte
	plain  bool // stored as it is
	linked bool // may refer to the blocks before it
	max    int  // it unpacks to at most this
}

// eachLZ4 gives the blocks of src. Checksums are not looked at: the batch's own covers all of it.
func eachLZ4(src []byte, block func(lz4Block) error) error {
	le := binary.LittleEndian
	for len(src) > 0 {
		if len(src) < 7 {
			return errCut
		}
		flags := src[4]
		size := src[5] >> 4 & 7
		if le.Uint32(src) != lz4Magic || flags>>6 != 1 || flags&1 != 0 || size < 4 { // version 1, no dictionary
			return errors.New("bad frame header")
		}
		header, trailer, check := 7, 0, 0
		if flags&(1<<3) != 0 { // content size
			header += 8
		}
		if flags&(1<<2) != 0 { // content checksum
			trailer = 4
		}
		if flags&(1<<4) != 0 { // block checksums
			check = 4
		}
		b := lz4Block{linked: flags&(1<<5) == 0, max: 1 << (8 + 2*size)}
		for at := header; ; {
			if len(src) < at+4 {
				return errCut
			}
			word := le.Uint32(src[at:])
			at += 4
			if word == 0 { // end mark
				if len(src) < at+trailer {
					return errCut
				}
				src = src[at+trailer:]
				break
			}
			n := int(word &^ (1 << 31))
			if n > len(src)-at-check {
				return errCut
			}
			b.data, b.plain = src[at:at+n], word>>31 != 0
			if err := block(b); err != nil {
				return err
			}
			at += n + check
		}
	}
	return nil
}

// size walks over the block's sequences without copying: literals, then a match, until the last literals end the block.
func (b *lz4Block) size() (int, error) {
	n := len(b.data)
	if !b.plain {
		var ok bool
		if n, ok = lz4BlockSize(b.data); !ok {
			return 0, errCut
		}
	}
	if n > b.max {
		return 0, fmt.Errorf("a block of %d bytes in a frame of at most %d", n, b.max)
	}
	return n, nil
}

func lz4BlockSize(data []byte) (size int, ok bool) {
	at := 0
	length := func(nibble byte) int {
		n := int(nibble)
		for more := nibble == 15; more && at < len(data); at++ {
			n += int(data[at])
			more = data[at] == 255
		}
		return n
	}
	for at < len(data) {
		token := data[at]
		at++
		literals := length(token >> 4)
		at += literals
		size += literals
		if at == len(data) {
			return size, true
		}
		at += 2 // the match's distance
		size += 4 + length(token&15)
	}
	return 0, false
}

func lz4Size(src []byte) (total int64, exact bool, err error) {
	err = eachLZ4(src, func(b lz4Block) error {
		n, err := b.size()
		total += int64(n)
		return err
	})
	return total, true, err
}

func lz4Unpack(dst, src []byte) ([]byte, error) {
	err := eachLZ4(src, func(b lz4Block) error {
		if b.plain {
			dst = append(dst, b.data...) // fits: lz4Size has counted it
			return nil
		}
		n, err := b.size()
		if err != nil {
			return err
		}
		var history []byte
		if b.linked {
			history = dst[max(0, len(dst)-lz4History):]
		}
		got, err := lz4.UncompressBlockWithDict(b.data, dst[len(dst):len(dst)+n], history)
		if err == nil && got != n {
			err = errCut
		}
		dst = dst[:len(dst)+n]
		return err
	})
	return dst, err
}

// zstdDecoders serve everybody, one at a time each: as many as there are processors, so that their scratch memory (a few hundred KiB each) is bounded
// too. The window lies in the destination, whatever its size is.
var zstdDecoders = sync.OnceValue(func() chan *zstd.Decoder {
	n := runtime.GOMAXPROCS(0)
	all := make(chan *zstd.Decoder, n)
	for range n {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(1<<31))
		if err != nil {
			panic(err) // the options are constants
		}
		all <- d
	}
	return all
})

// zstdSize adds up what the blocks can unpack to (RFC 8878, section 3.1.1.2): stored and repeated blocks tell their size, a compressed one is at
// most 128 KiB or the window, and encoders fill all but the last.
func zstdSize(src []byte) (total int64, exact bool, err error) {
	for len(src) > 0 {
		var h zstd.Header
		if err := h.Decode(src); err != nil {
			return 0, false, err
		}
		src = src[min(h.HeaderSize, len(src)):]
		if h.Skippable {
			if int64(h.SkippableSize) > int64(len(src)) {
				return 0, false, errCut
			}
			src = src[h.SkippableSize:]
			continue
		}
		blockMax := uint64(128 << 10)
		if !h.SingleSegment {
			blockMax = min(blockMax, h.WindowSize)
		}
		var frame int64
		for last := false; !last; {
			if len(src) < 3 {
				return 0, false, errCut
			}
			head := int(src[0]) | int(src[1])<<8 | int(src[2])<<16
			last = head&1 != 0
			stored := head >> 3
			switch head >> 1 & 3 {
			case 0: // raw
				frame += int64(stored)
			case 1: // one byte, repeated
				frame += int64(stored)
				stored = 1
			case 2:
				frame += int64(blockMax)
			default:
				return 0, false, zstd.ErrReservedBlockType
			}
			if stored > len(src)-3 {
				return 0, false, errCut
			}
			src = src[3+stored:]
		}
		if h.HasCheckSum {
			src = src[min(4, len(src)):]
		}
		if h.HasFCS {
			if h.FrameContentSize > uint64(frame) {
				return 0, false, zstd.ErrFrameSizeMismatch
			}
			frame = int64(h.FrameContentSize)
		}
		total += frame
	}
	return total, false, nil
}

func zstdUnpack(dst, src []byte) ([]byte, error) {
	all := zstdDecoders()
	d := <-all
	defer func() { all <- d }()
	out, err := d.DecodeAll(src, dst)
	// A decoder refers to what it has unpacked until it begins anew, and while it lies idle nothing of a batch of any size could be collected.
	_, _ = d.DecodeAll(nil, nil)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		err = errShort
	}
	return out, err
}
