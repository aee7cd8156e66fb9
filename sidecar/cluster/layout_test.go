package cluster

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"testing"

	"github.com/segmentio/kafka-go/protocol"
	_ "github.com/segmentio/kafka-go/protocol/fetch" // registers the message
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/heartbeat"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/segmentio/kafka-go/protocol/leavegroup"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/offsetcommit"
	"github.com/segmentio/kafka-go/protocol/offsetfetch"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/protocol/syncgroup"
)

var answers = []protocol.Message{
	&metadata.Response{}, &findcoordinator.Response{}, &joingroup.Response{}, &syncgroup.Response{}, &heartbeat.Response{}, &leavegroup.Response{},
	&offsetcommit.Response{}, &offsetfetch.Response{}, &listoffsets.Response{}, &produce.Response{}, &initproducerid.Response{},
	&saslhandshake.Response{}, &saslauthenticate.Response{},
}

// fill puts something into every field, two elements into every list.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(5)
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			if v.Type().Elem().Kind() != reflect.Uint8 {
				fill(v.Index(i))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	}
}

// encoded is the answer as it comes after the correlation id.
func encoded(t testing.TB, version int16, msg protocol.Message) []byte {
	var b bytes.Buffer
	if err := protocol.WriteResponse(&b, version, 7, msg); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()[8:]
}

func TestLayoutFollowsEveryAnswerInEveryVersionToItsEnd(t *testing.T) {
	for _, msg := range answers {
		full := reflect.New(reflect.TypeOf(msg).Elem()).Interface().(protocol.Message)
		fill(reflect.ValueOf(full).Elem())
		api := msg.ApiKey()
		for version := api.MinVersion(); version <= api.MaxVersion(); version++ {
			for _, m := range []protocol.Message{msg, full} {
				body := encoded(t, version, m)
				if err := checkLayout(api, version, body); err != nil {
					t.Errorf("%v v%d: %v", api, version, err)
				}
				for cut := range body {
					if err := checkLayout(api, version, body[:cut]); err == nil {
						t.Errorf("%v v%d cut after %d of %d bytes is taken", api, version, cut, len(body))
					}
				}
			}
		}
	}
}

func TestFetchAnswersAreNotForDo(t *testing.T) {
	var w Writer
	w.B = make([]byte, 10) // throttle time, error, session
	w.ArrayLen(1)
	w.String("orders")
	w.ArrayLen(1)
	w.B = append(w.B, make([]byte, 100)...)
	if err := checkLayout(protocol.Fetch, 11, w.B); err == nil {
		t.Error("a record set is left to kafka-go")
	}
}

// FuzzLayout: what passes is safe to decode. Under the fuzzer's memory limit an allocation by a made-up length would end it.
func FuzzLayout(f *testing.F) {
	for i, msg := range answers {
		fill(reflect.ValueOf(msg).Elem())
		for v := msg.ApiKey().MinVersion(); v <= msg.ApiKey().MaxVersion(); v++ {
			f.Add(byte(i), byte(v), encoded(f, v, msg))
		}
	}
	f.Fuzz(func(t *testing.T, which, v byte, body []byte) {
		api := answers[int(which)%len(answers)].ApiKey()
		version := api.MinVersion() + int16(v)%(api.MaxVersion()-api.MinVersion()+1)
		if checkLayout(api, version, body) != nil {
			return
		}
		head := binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))
		head = binary.BigEndian.AppendUint32(head, 7)
		if _, _, err := protocol.ReadResponse(bytes.NewReader(append(head, body...)), api, version); err != nil {
			t.Error(fmt.Errorf("%v v%d: %w", api, version, err))
		}
	})
}
