package lanes

import "testing"

func TestOneAttemptInFourIsAFurtherOneWhereTheRateIsLimited(t *testing.T) {
	for _, slots := range []int{1, 3, 4, 64} {
		b := newBench(t, ByKey, 1, Limits{Concurrency: slots, MaxInFlight: 1000, MaxInFlightBytes: 1 << 20, ParkedMax: 1000, ParkedMaxBytes: 1 << 20, Paced: true})
		b.add(0, "x", "y", "z")
		due := b.fail(3, false)
		for i := range 40 {
			b.add(0, string(rune('A'+i)))
		}
		// One at a time, as with a rate that is below what the slots could do.
		further := 0
		for i := 1; i <= 40; i++ {
			it := b.Next(due)
			if it.Begun == 1 {
				b.Settle(it)
			} else {
				further++
				b.Retry(it, due, false)
			}
			if further > (i+3)/4 {
				t.Fatalf("%d slots: %d of the first %d attempts are further ones", slots, further, i)
			}
		}
		if further != 10 {
			t.Errorf("%d slots: %d of 40 attempts are further ones, want a quarter", slots, further)
		}
		for b.Stats().Ready > 0 {
			if it := b.Next(due); it.Begun == 1 {
				b.Settle(it)
			} else {
				b.Retry(it, due, false)
			}
		}
		for range 8 {
			it := b.Next(due)
			if it == nil {
				t.Fatalf("%d slots: nothing begins although three keys are due and no first attempt waits", slots)
			}
			b.Retry(it, due, false)
		}
	}
}
