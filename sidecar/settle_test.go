package sidecar

import (
	"math"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
)

// highest makes every random wait its upper end, lowest its lower end.
func highest(d time.Duration) time.Duration { return d }
func lowest(time.Duration) time.Duration    { return 0 }

var plain = policy{initial: 200 * time.Millisecond, maxInterval: time.Minute, factor: 2, onFailure: actPark}

func TestOutcomeDecidesWhatBecomesOfARecord(t *testing.T) {
	limited := plain
	limited.maxAttempts, limited.maxAge, limited.onFailure = 3, time.Hour, actDeadLetter
	for _, c := range []struct {
		name   string
		policy policy
		res    invoke.Result
		job    job
		age    time.Duration
		want   decision
	}{
		{"done", plain, invoke.Result{Class: invoke.Done}, job{requests: 1}, 0, decision{action: actSettle, outcome: outcomeDone}},
		{"dropped by rule", plain, invoke.Result{Class: invoke.Drop, Reason: "tombstone"}, job{}, 0, decision{action: actSettle, outcome: outcomeDropped, reason: "tombstone"}},
		{"cut short", limited, invoke.Result{Class: invoke.Cancelled}, job{requests: 9, counted: 9}, 2 * time.Hour, decision{action: actAbandon}},
		{"failed", plain, invoke.Result{Class: invoke.Failed, Reason: "status"}, job{requests: 1}, 0, decision{action: actPark, reason: "status", wait: time.Minute, longest: true}},
		{"first retry", plain, invoke.Result{Class: invoke.Retry}, job{requests: 1, counted: 1}, 0, decision{action: actRetry, wait: 200 * time.Millisecond}},
		{"third attempt", plain, invoke.Result{Class: invoke.Retry}, job{requests: 2, counted: 2}, 0, decision{action: actRetry, wait: 400 * time.Millisecond}},
		{"unlimited", plain, invoke.Result{Class: invoke.Retry}, job{requests: 1e6, counted: 1e6}, 1e6 * time.Hour, decision{action: actRetry, wait: time.Minute, longest: true}},
		{"attempts used up", limited, invoke.Result{Class: invoke.Retry}, job{requests: 3, counted: 3}, 0, decision{action: actDeadLetter, reason: "attempts", wait: time.Minute, longest: true}},
		{"gateway answers do not count", limited, invoke.Result{Class: invoke.Retry, Gateway: true}, job{requests: 50, counted: 2}, 0, decision{action: actRetry, wait: time.Minute, longest: true}},
		{"too old", limited, invoke.Result{Class: invoke.Retry, Gateway: true}, job{requests: 2}, time.Hour, decision{action: actDeadLetter, reason: "age", wait: time.Minute, longest: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.policy.decide(c.res, &c.job, c.age, highest); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestWaitStaysWithinItsBounds(t *testing.T) {
	retry := func(after time.Duration) invoke.Result {
		return invoke.Result{Class: invoke.Retry, RetryAfter: after, HasRetryAfter: true}
	}
	timeout := invoke.Result{Class: invoke.Retry, TimedOut: true}
	for _, c := range []struct {
		name      string
		res       invoke.Result
		attempt   int
		low, high time.Duration
	}{
		{"second attempt", invoke.Result{}, 2, time.Millisecond, 200 * time.Millisecond},
		{"tenth attempt", invoke.Result{}, 10, time.Millisecond, 51200 * time.Millisecond},
		{"thousandth attempt", invoke.Result{}, 1000, time.Millisecond, time.Minute},
		{"after any number of attempts", invoke.Result{}, math.MaxInt, time.Millisecond, time.Minute},
		{"after a timeout never at once", timeout, 2, 200 * time.Millisecond, 200 * time.Millisecond},
		{"Retry-After", retry(5 * time.Second), 2, 5 * time.Second, 6250 * time.Millisecond},
		{"Retry-After zero or past", retry(0), 2, 200 * time.Millisecond, 250 * time.Millisecond},
		{"Retry-After huge", retry(math.MaxInt64), 2, time.Minute, 75 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := plain.wait(c.res, c.attempt, lowest); got != c.low {
				t.Errorf("shortest wait is %s, want %s", got, c.low)
			}
			if got := plain.wait(c.res, c.attempt, highest); got != c.high {
				t.Errorf("longest wait is %s, want %s", got, c.high)
			}
		})
	}
}

func TestFailureLimitHoldsUntilASuccess(t *testing.T) {
	now := time.Unix(0, 0)
	b := breaker{limit: 3, interval: time.Minute}
	for i := range 3 {
		if act, _ := b.failed(now); !act {
			t.Fatalf("failure %d of 3 was not acted on", i+1)
		}
	}
	if act, opened := b.failed(now); act || !opened {
		t.Fatal("the failure past the limit was acted on")
	}
	if at, hold := b.holds(now.Add(time.Second)); !hold || !at.Equal(now.Add(time.Minute)) {
		t.Fatalf("attempts go on before the probe's time (until %s)", at)
	}
	probe := now.Add(time.Minute)
	if _, hold := b.holds(probe); hold {
		t.Fatal("no probe at its time")
	}
	b.begin()
	if _, hold := b.holds(probe); !hold {
		t.Fatal("a second attempt may begin beside the probe")
	}
	if act, opened := b.failed(probe); act || opened {
		t.Fatal("the failed probe was acted on")
	}
	if _, hold := b.holds(probe.Add(59 * time.Second)); !hold {
		t.Fatal("the next probe came before the interval was over")
	}
	b.begin()
	if !b.succeeded() {
		t.Fatal("a success did not end it")
	}
	if _, hold := b.holds(probe); hold {
		t.Fatal("attempts are still held after a success")
	}
	if act, _ := b.failed(probe); !act {
		t.Fatal("the count did not begin anew after a success")
	}
}

func TestFailureLimitOffActsOnEveryFailure(t *testing.T) {
	b := breaker{limit: 0}
	for range 1000 {
		if act, _ := b.failed(time.Unix(0, 0)); !act {
			t.Fatal("a failure was not acted on")
		}
	}
}
