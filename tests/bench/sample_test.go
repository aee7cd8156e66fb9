package bench

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// sample is what one run of the sidecar or of the bare client gave.
type sample struct {
	events   int           // that the run waited for
	took     time.Duration // from the arrival of the first request to the answer of the last event
	answered int           // requests that were answered by then, those of a hot key included
	cpu      time.Duration // user and system time of the whole process
	memory   int64         // sidecar: peak resident set in bytes
	first    time.Duration // sidecar: from its start to its first request
}

// round is one run of each, one right after the other.
type round struct{ bare, sidecar sample }

// rate is events per second.
func (s sample) rate() float64 { return ratio(float64(s.events), s.took.Seconds()) }

// cpuPerEvent is in microseconds.
func (s sample) cpuPerEvent() float64 {
	return ratio(float64(s.cpu)/float64(time.Microsecond), float64(s.answered))
}

func (s sample) String() string {
	return fmt.Sprintf("%.0f/s %.1f us", s.rate(), s.cpuPerEvent())
}

// ratio is a/b, and NaN where there is nothing to compare with: a wrong figure must not look like a good one.
func ratio(a, b float64) float64 {
	if b == 0 {
		return math.NaN()
	}
	return a / b
}

// median is the middle value, or the mean of the two in the middle; NaN of none. It leaves the values as they are.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func medianOf(rounds []round, of func(round) float64) float64 {
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = of(r)
	}
	return median(values)
}

// ideal is the time that events take if every slot is always busy and nothing but the handler takes time.
func ideal(events int, delay time.Duration, concurrency int) time.Duration {
	return time.Duration(events) * delay / time.Duration(concurrency)
}

func TestMedianIsTheMiddleValue(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{8, 2, 4, 100}, 6},
	} {
		before := slices.Clone(c.values)
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.values, got, c.want)
		}
		if !slices.Equal(before, c.values) {
			t.Errorf("median changed %v to %v", before, c.values)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing is %v", got)
	}
}

func TestFiguresOfARoundHaveTheirUnits(t *testing.T) {
	s := sample{events: 800, answered: 1000, took: 2 * time.Second, cpu: 50 * time.Millisecond}
	if got := s.rate(); got != 400 {
		t.Errorf("%v events/s, want 400", got)
	}
	if got := s.cpuPerEvent(); got != 50 {
		t.Errorf("%v us of CPU per event, want 50", got)
	}
	if got := ratio(s.rate(), 500); got != 0.8 {
		t.Errorf("ratio %v, want 0.8", got)
	}
	if got := ratio(1, 0); !math.IsNaN(got) {
		t.Errorf("ratio to nothing is %v", got)
	}
	if got := ideal(8000, 10*time.Millisecond, 100); got != 800*time.Millisecond {
		t.Errorf("ideal time %v, want 800ms", got)
	}
	// The median of ratios, not the ratio of medians: the two runs of a round share what else the machine does.
	all := []round{
		{bare: sample{events: 100, took: time.Second}, sidecar: sample{events: 100, took: 2 * time.Second}},
		{bare: sample{events: 100, took: 4 * time.Second}, sidecar: sample{events: 100, took: 4 * time.Second}},
		{bare: sample{events: 100, took: 2 * time.Second}, sidecar: sample{events: 100, took: time.Second}},
	}
	if got := medianOf(all, func(r round) float64 { return ratio(r.sidecar.rate(), r.bare.rate()) }); got != 1 {
		t.Errorf("median ratio %v, want 1", got)
	}
}

func TestHotKeyHasItsShareOfTheRecords(t *testing.T) {
	w := work{records: 1000, hot: true}
	hot, others := 0, map[string]bool{}
	for _, r := range w.produce("topic") {
		if len(r.Value) != valueSize {
			t.Fatalf("a value of %d bytes", len(r.Value))
		}
		if string(r.Key) == hotKey {
			hot++
			continue
		}
		others[string(r.Key)] = true
	}
	if hot != 200 || w.waited() != 800 || len(others) != 800 {
		t.Errorf("%d hot records, %d others of %d keys; want 200, 800 and 800", hot, w.waited(), len(others))
	}
}
