package cluster

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/segmentio/kafka-go/protocol"
)

// checkLayout walks over an answer before kafka-go decodes it. kafka-go allocates what a length field says and loops as often as a count says
// before it looks at the bytes behind them, so that a few wrong bytes end the process out of memory, which no recover catches, or never end.
// The walk follows the same struct tags, allocates nothing and lets nothing pass whose lengths are not covered by bytes that came.
func checkLayout(api protocol.ApiKey, version int16, body []byte) error {
	walk, err := layoutOf(api, version)
	if err != nil {
		return err
	}
	r := NewReader(body)
	walk(r)
	return r.Err()
}

type layoutKey struct {
	api     protocol.ApiKey
	version int16
}

var layouts sync.Map // layoutKey to walker: built once per API and version

// walker moves a Reader over one value; whatever is wrong sticks to the Reader.
type walker func(*Reader)

func layoutOf(api protocol.ApiKey, version int16) (walker, error) {
	key := layoutKey{api, version}
	if w, ok := layouts.Load(key); ok {
		return w.(walker), nil
	}
	t, err := answerType(api, version)
	if err != nil {
		return nil, err
	}
	flexible := isFlexible(t, version)
	value := walkerOf(t, version, flexible)
	w := walker(func(r *Reader) {
		if flexible {
			r.Tags() // of the header
		}
		value(r)
	})
	layouts.Store(key, w)
	return w, nil
}

// answerType asks kafka-go which struct it decodes an answer into. Its registry is private, but ReadResponse gives the struct also for an
// answer that ends after the correlation id.
func answerType(api protocol.ApiKey, version int16) (reflect.Type, error) {
	empty := binary.BigEndian.AppendUint64(nil, 4<<32)
	_, msg, err := protocol.ReadResponse(bytes.NewReader(empty), api, version)
	if msg == nil {
		return nil, fmt.Errorf("kafka-go does not speak it: %w", err)
	}
	return reflect.TypeOf(msg).Elem(), nil
}

// fieldTag is one alternative of a kafka-go struct tag: the versions that it holds for, and whether it is a tagged field (KIP-482).
type fieldTag struct {
	min, max int
	tagged   bool
	id       int // of a tagged field; -1 marks a struct as flexible
}

func parseTags(f reflect.StructField) (tags []fieldTag) {
	text, _ := f.Tag.Lookup("kafka")
	if text == "-" || (f.PkgPath != "" && f.Name != "_") {
		return nil
	}
	for alternative := range strings.SplitSeq(text, "|") {
		tag := fieldTag{min: -1, max: -1, id: -1}
		for option := range strings.SplitSeq(alternative, ",") {
			name, value, _ := strings.Cut(option, "=")
			switch name {
			case "min":
				tag.min, _ = strconv.Atoi(strings.TrimPrefix(value, "v"))
			case "max":
				tag.max, _ = strconv.Atoi(strings.TrimPrefix(value, "v"))
			case "tag":
				tag.tagged = true
				if value != "" {
					tag.id, _ = strconv.Atoi(value)
				}
			}
		}
		tags = append(tags, tag)
	}
	return tags
}

// isFlexible follows kafka-go: any tagged field at the top makes its first version and all later ones flexible.
func isFlexible(t reflect.Type, version int16) bool {
	for i := range t.NumField() {
		for _, tag := range parseTags(t.Field(i)) {
			if tag.tagged && int(version) >= tag.min {
				return true
			}
		}
	}
	return false
}

var readerFrom = reflect.TypeFor[io.ReaderFrom]()

func walkerOf(t reflect.Type, version int16, flexible bool) walker {
	if reflect.PointerTo(t).Implements(readerFrom) {
		// Only a Fetch answer holds one. It decodes itself, from counts that nothing checks: fetching has a decoder of its own.
		return func(r *Reader) { r.fail("a record set") }
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Int8:
		return fixed(1)
	case reflect.Int16:
		return fixed(2)
	case reflect.Int32:
		return fixed(4)
	case reflect.Int64, reflect.Float64:
		return fixed(8)
	case reflect.String:
		if flexible {
			return compactBytes
		}
		return func(r *Reader) { r.Bytes(max(0, int(r.Int16()))) }
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 {
			return arrayWalker(walkerOf(t.Elem(), version, flexible), flexible)
		}
		if flexible {
			return compactBytes
		}
		return func(r *Reader) { r.Bytes(max(0, int(r.Int32()))) }
	case reflect.Struct:
		return structWalker(t, version, flexible)
	}
	return func(r *Reader) { r.fail("a field of type " + t.String()) } // kafka-go refuses these when it registers a message
}

func fixed(n int) walker { return func(r *Reader) { r.Bytes(n) } }

func compactBytes(r *Reader) { r.Bytes(max(0, r.compactLen())) }

func arrayWalker(element walker, flexible bool) walker {
	return func(r *Reader) {
		var n int
		if flexible {
			n = r.CompactArrayLen()
		} else if n = int(r.Int32()); n > r.Remaining() { // any negative length is null to kafka-go
			r.fail(fmt.Sprintf("array of %d elements", n))
		}
		for ; n > 0 && r.err == nil; n-- {
			element(r)
		}
	}
}

func structWalker(t reflect.Type, version int16, flexible bool) walker {
	var fields []walker
	tagged := map[uint64]walker{}
	for i := range t.NumField() {
		f := t.Field(i)
		for _, tag := range parseTags(f) {
			if int(version) < tag.min || int(version) > tag.max {
				continue
			}
			if !tag.tagged {
				fields = append(fields, walkerOf(f.Type, version, flexible))
			} else if tag.id >= 0 {
				tagged[uint64(tag.id)] = walkerOf(f.Type, version, flexible)
			}
			break
		}
	}
	return func(r *Reader) {
		for _, field := range fields {
			field(r)
		}
		if !flexible {
			return
		}
		for n := r.Uvarint(); n > 0 && r.err == nil; n-- {
			id, size := r.Uvarint(), r.Uvarint()
			if size > uint64(r.Remaining()) || id > math.MaxInt32 {
				r.fail(fmt.Sprintf("tag %d of %d bytes", id, size))
			} else if walk := tagged[id]; walk != nil {
				walk(r) // kafka-go decodes it without a look at its size
			} else {
				r.Bytes(int(size))
			}
		}
	}
}
