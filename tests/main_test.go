package tests

import (
	"hash/fnv"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// size picks how much a test does.
func size(full, short int) int {
	if testing.Short() {
		return short
	}
	return full
}

// chance is a number in [0,100) that is always the same for the same call.
func chance(c harness.Call) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(strconv.Itoa(int(c.Partition)) + "/" + strconv.FormatInt(c.Offset, 10) + "/" + strconv.Itoa(c.Attempt)))
	return int(h.Sum32() % 100)
}

// jitter is a handler that takes up to 2 ms and fails 5 % of the attempts.
func jitter(c harness.Call) harness.Answer {
	n := chance(c)
	if n < 5 {
		return harness.Answer{Status: 503}
	}
	return harness.Answer{Delay: time.Duration(n%20) * 100 * time.Microsecond}
}

// answerTo makes a script that gives one answer to one key and 200 to every other.
func answerTo(key string, a harness.Answer) harness.Script {
	return func(c harness.Call) harness.Answer {
		if c.Key == key {
			return a
		}
		return harness.Answer{}
	}
}

// without returns the records of other keys.
func without(key string, records []*kgo.Record) []*kgo.Record {
	var out []*kgo.Record
	for _, r := range records {
		if string(r.Key) != key {
			out = append(out, r)
		}
	}
	return out
}

// only returns the records of one key.
func only(key string, records []*kgo.Record) []*kgo.Record {
	var out []*kgo.Record
	for _, r := range records {
		if string(r.Key) == key {
			out = append(out, r)
		}
	}
	return out
}
