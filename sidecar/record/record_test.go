package record

import "testing"

func TestEmptyRecordsCountAgainstTheByteBounds(t *testing.T) {
	empty := (&Record{}).Size()
	if empty < 100 {
		t.Errorf("a record of no bytes counts %d: a million of them would count as nothing", empty)
	}
	full := &Record{Key: make([]byte, 10), Value: make([]byte, 100), Headers: []Header{{Name: "name", Value: make([]byte, 1000)}}}
	if got := full.Size() - empty; got < 10+100+4+1000 {
		t.Errorf("1114 bytes of key, value and header count %d", got)
	}
}
