package fetch

import (
	"math/bits"
	"sync"
)

// Buffer is memory for an answer or for unpacked batches. Small ones are pooled by powers of two; large ones are rare and would stay in a pool beyond
// every bound.
type Buffer struct{ B []byte } // of no length

const (
	minBufferBits = 14
	maxBufferBits = 20 // the default of max.message.bytes
	// BufferSlack is what a buffer has above its power of two: an answer that was asked to bring so many bytes has a header beside them.
	BufferSlack = 1 << 10
)

var buffers [maxBufferBits - minBufferBits + 1]sync.Pool // of *Buffer

// BufferSize is how much memory a buffer for n bytes takes.
func BufferSize(n int) int {
	if n > 1<<maxBufferBits+BufferSlack {
		return n
	}
	return 1<<max(minBufferBits, bits.Len(uint(max(n-BufferSlack, 1)-1))) + BufferSlack
}

// NewBuffer gives a buffer of n bytes, a result of BufferSize.
func NewBuffer(n int) *Buffer {
	if pool := poolOf(n); pool != nil {
		if b, ok := pool.Get().(*Buffer); ok {
			return b
		}
	}
	return &Buffer{B: make([]byte, 0, n)}
}

// Free gives the buffer to whoever needs one next.
func (b *Buffer) Free() {
	if pool := poolOf(cap(b.B)); pool != nil {
		pool.Put(b)
	}
}

func poolOf(size int) *sync.Pool {
	if size > 1<<maxBufferBits+BufferSlack {
		return nil
	}
	return &buffers[bits.Len(uint(size-BufferSlack))-1-minBufferBits]
}
