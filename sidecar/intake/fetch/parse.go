package fetch

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// What record.Size counts beside the bytes, taken from there so that PeekSize cannot drift from it.
var (
	emptySize  = new(record.Record).Size()
	headerSize = (&record.Record{Headers: make([]record.Header, 1)}).Size() - emptySize
)

// cursor reads a record's fields. The first bad one sticks.
type cursor struct {
	b   []byte
	at  int
	bad bool
}

// varint reads a zigzag encoded varint; most take one byte.
func (c *cursor) varint() int64 {
	if c.at < len(c.b) && c.b[c.at] < 0x80 {
		u := c.b[c.at]
		c.at++
		return int64(u>>1) ^ -int64(u&1)
	}
	return c.longVarint()
}

func (c *cursor) longVarint() int64 {
	v, n := binary.Varint(c.b[c.at:])
	if n <= 0 {
		c.bad = true
		return 0
	}
	c.at += n
	return v
}

// field reads a length and that many bytes without copying them; a negative length is null.
func (c *cursor) field() []byte {
	n := c.varint()
	if n < 0 || c.bad {
		return nil
	}
	if n > int64(len(c.b)-c.at) {
		c.bad = true
		return nil
	}
	f := c.b[c.at : c.at+int(n) : c.at+int(n)]
	c.at += int(n)
	return f
}

// entry is a record that still lies in its batch.
type entry struct {
	offset     int64
	timestamp  int64
	appendTime bool
	key        []byte // nil is null
	value      []byte
	headers    []byte // from the first header on
	count      int    // of headers
	nameLen    int    // bytes of all header names
	valueLen   int    // bytes of all header values
}

// size is what record.Size will say of it.
func (e *entry) size() int64 {
	return emptySize + int64(len(e.key)+len(e.value)+e.nameLen+e.valueLen) + int64(e.count)*headerSize
}

// parseRecord reads the record at the start of data and gives what follows it.
func parseRecord(data []byte, b *batch) (e entry, rest []byte, err error) {
	c := cursor{b: data}
	body := c.field() // null is no record: it has no attributes
	if c.bad || len(body) == 0 {
		return e, nil, fmt.Errorf("%w: a record reaches beyond its batch", ErrCorrupt)
	}
	rest = data[c.at:]

	c = cursor{b: body, at: 1} // the first byte is attributes, of which none is in use
	e.timestamp = b.baseTime + c.varint()
	delta := c.varint()
	e.key = c.field()
	e.value = c.field()
	headers := c.varint()
	if c.bad {
		return e, nil, fmt.Errorf("%w: a field reaches beyond its record", ErrCorrupt)
	}
	if delta < 0 || delta > b.last-b.base {
		return e, nil, fmt.Errorf("%w: offset delta %d outside of the batch", ErrCorrupt, delta)
	}
	e.offset = b.base + delta
	if b.logAppendTime() {
		e.timestamp, e.appendTime = b.maxTime, true
	}
	if headers < 0 || headers > int64(len(body)-c.at)/2 { // a header takes two bytes at least
		return e, nil, fmt.Errorf("%w: %d headers in %d bytes", ErrCorrupt, headers, len(body)-c.at)
	}
	e.count, e.headers = int(headers), body[c.at:]
	for range e.count {
		name := c.field()
		if name == nil {
			return e, nil, fmt.Errorf("%w: a header without a name", ErrCorrupt)
		}
		e.nameLen += len(name)
		e.valueLen += len(c.field())
	}
	if c.bad || c.at != len(body) {
		return e, nil, fmt.Errorf("%w: the headers do not fill their record", ErrCorrupt)
	}
	return e, rest, nil
}

// record copies the entry out. Key, value and header values share one allocation, header names another.
func (e *entry) record(partition, leaderEpoch int32) *record.Record {
	rec := &record.Record{Partition: partition, LeaderEpoch: leaderEpoch, Offset: e.offset, Timestamp: e.timestamp, AppendTime: e.appendTime}
	memory := make([]byte, 0, len(e.key)+len(e.value)+e.valueLen)
	own := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		from := len(memory)
		memory = append(memory, b...)
		return memory[from:len(memory):len(memory)]
	}
	rec.Key, rec.Value = own(e.key), own(e.value)
	if e.count == 0 {
		return rec
	}
	var names strings.Builder
	names.Grow(e.nameLen)
	rec.Headers = make([]record.Header, e.count)
	c := cursor{b: e.headers}
	for i := range rec.Headers {
		from := names.Len()
		names.Write(c.field())
		rec.Headers[i] = record.Header{Name: names.String()[from:], Value: own(c.field())}
	}
	return rec
}
