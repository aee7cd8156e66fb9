package reload

import (
	"errors"
	"testing"
	"time"
)

func TestValueFollowsItsSourceAndKeepsTheLastGoodOne(t *testing.T) {
	value, fails, loads := "first", error(nil), 0
	v, err := New(func() (string, error) {
		loads++
		return value, fails
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	at := func(after time.Duration, want string) {
		t.Helper()
		if got := v.Get(now.Add(after)); got != want {
			t.Errorf("after %s: %q, want %q", after, got, want)
		}
	}
	at(0, "first")
	value = "second"
	at(Interval-1, "first")
	at(Interval, "second")
	value, fails = "half", errors.New("being replaced")
	at(2*Interval, "second")
	fails = nil
	at(3*Interval, "half")
	if loads != 5 {
		t.Errorf("loaded %d times, want 5: once at first, once an interval", loads)
	}
	if _, err := New(func() (string, error) { return "", errors.New("not there") }); err == nil {
		t.Error("a first value that is not there should be an error")
	}
}

func TestFixedValueStays(t *testing.T) {
	v := Fixed("only")
	for _, at := range []time.Time{{}, time.Now(), time.Now().Add(time.Hour)} {
		if got := v.Get(at); got != "only" {
			t.Errorf("at %s: %q", at, got)
		}
	}
}
