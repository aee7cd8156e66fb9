package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/deadletter"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/kafkaevent"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// platform is a Function with a handler and a dead-letter target of the test's, as Lambda would call it.
type platform struct {
	*Function
	t *testing.T

	handle func(ctx context.Context, rec *record.Record, attempt int) invoke.Result
	check  func() error
	write  func(context.Context, deadletter.Letter) error

	mu       sync.Mutex
	attempts []string // <key>@<offset>, in the order in which they began
	letters  []int64
}

func (p *platform) Attempt(ctx context.Context, rec *record.Record, attempt int) invoke.Result {
	p.mu.Lock()
	p.attempts = append(p.attempts, fmt.Sprintf("%s@%d", rec.Key, rec.Offset))
	p.mu.Unlock()
	res := p.handle(ctx, rec, attempt)
	res.Code = "scripted" // as one that was requested
	return res
}

func (p *platform) Write(ctx context.Context, l deadletter.Letter) error {
	if err := p.write(ctx, l); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.letters = append(p.letters, l.Record.Offset)
	return nil
}

func (p *platform) Check(context.Context) error { return p.check() }
func (p *platform) Close()                      {}

// onLambda makes a function of the smallest configuration and the changes.
func onLambda(t *testing.T, changes ...string) *platform {
	t.Helper()
	cfg, err := envconfig.Parse(append(changes, "AWS_LAMBDA_RUNTIME_API=x", "SUBSCRIPTION_ID=test", "SUBSCRIPTION_SOURCE=kafka://test/orders", "SUBSCRIPTION_SINK=http://127.0.0.1:1/"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFunction(cfg, slog.New(slog.DiscardHandler), "test", 1)
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{Function: f, t: t, handle: done, check: func() error { return nil }, write: func(context.Context, deadletter.Letter) error { return nil }}
	p.outlets.attempts, p.target = p, p
	return p
}

// given is a record of an event.
type given struct {
	partition int32
	offset    int64
	key       string
}

// invoke hands an event over with so much time, and gives the answer as JSON.
func (p *platform) invoke(timeout time.Duration, records ...given) (string, error) {
	lists := map[string][]map[string]any{}
	for _, r := range records {
		name := fmt.Sprintf("orders-%d", r.partition)
		lists[name] = append(lists[name], map[string]any{"topic": "orders", "partition": r.partition, "offset": r.offset, "timestamp": 1, "key": []byte(r.key), "value": []byte("{}")})
	}
	payload, err := json.Marshal(map[string]any{"records": lists})
	if err != nil {
		p.t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	answer, err := p.Handle(ctx, "1", payload)
	text, _ := json.Marshal(answer)
	return string(text), err
}

func (p *platform) attempted() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.attempts)
}

// failing fails the records of some offsets with a status.
func failing(res invoke.Result, offsets ...int64) func(context.Context, *record.Record, int) invoke.Result {
	return func(_ context.Context, rec *record.Record, _ int) invoke.Result {
		if slices.Contains(offsets, rec.Offset) {
			return res
		}
		return invoke.Result{Class: invoke.Done}
	}
}

func TestNothingBehindAFailedRecordOfAKeyIsAttempted(t *testing.T) {
	for ordering, want := range map[string][]string{"key": {"a@1", "b@2", "b@4"}, "partition": {"a@1"}, "none": {"a@1", "a@3", "b@2", "b@4"}} {
		for _, onFailure := range []string{"park", "stop"} {
			synctest.Test(t, func(t *testing.T) {
				p := onLambda(t, "ORDERING="+ordering, "ON_FAILURE="+onFailure, "LAMBDA_PARTIAL_BATCH=true")
				p.handle = failing(refused(), 1)
				began := time.Now()
				answer, err := p.invoke(15*time.Minute, given{0, 1, "a"}, given{0, 2, "b"}, given{0, 3, "a"}, given{0, 4, "b"})
				got := p.attempted()
				slices.Sort(got)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("ORDERING=%s ON_FAILURE=%s: attempts %v, want %v (%v)", ordering, onFailure, got, want, err)
				}
				if answer != `{"batchItemFailures":[{"itemIdentifier":{"partition":"orders-0","offset":1}}]}` {
					t.Errorf("ORDERING=%s: answer %s", ordering, answer)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("ORDERING=%s ON_FAILURE=%s: a record that is held cost %s of the function's time", ordering, onFailure, took)
				}
			})
		}
	}
}

func TestUnsettledRecordFailsTheInvocationOrNamesItsPlace(t *testing.T) {
	records := []given{{0, 5, "a"}, {0, 6, "b"}, {0, 7, "c"}, {1, 100, "d"}, {2, 9, "e"}, {2, 12, "f"}}
	for _, partial := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := onLambda(t, fmt.Sprintf("LAMBDA_PARTIAL_BATCH=%t", partial))
			answer422 := refused()
			answer422.Err = errors.New("handler answered 422")
			p.handle = failing(answer422, 6, 7, 12)
			answer, err := p.invoke(time.Minute, records...)
			left := (*UnsettledError)(nil)
			if partial {
				if want := `{"batchItemFailures":[{"itemIdentifier":{"partition":"orders-0","offset":6}},{"itemIdentifier":{"partition":"orders-2","offset":12}}]}`; err != nil || answer != want {
					t.Errorf("answer %s (%v), want %s", answer, err, want)
				}
			} else if !errors.As(err, &left) || left.Unsettled != 3 || left.Records != 6 || !strings.Contains(err.Error(), "2 in orders-0 from offset 6 on, handler answered 422; 1 in orders-2 from offset 12") {
				t.Errorf("error %v", err)
			}
			p.handle = done
			if answer, err := p.invoke(time.Minute, records...); err != nil || answer != `{"batchItemFailures":[]}` {
				t.Errorf("after the handler was mended: %s (%v)", answer, err)
			}
		})
	}
}

func TestRetryThatDoesNotFitGivesUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := onLambda(t, "RETRY_INITIAL_INTERVAL=10s", "RETRY_MAX_INTERVAL=1h", "RETRY_FACTOR=100")
		p.handle = func(context.Context, *record.Record, int) invoke.Result { return retryAfter(time.Minute) }
		began := time.Now()
		_, err := p.invoke(30*time.Second, given{0, 1, "a"}, given{0, 2, "b"})
		if err == nil || len(p.attempted()) != 2 || time.Since(began) > time.Second {
			t.Errorf("%v after %s and attempts %v, want an error at once", err, time.Since(began), p.attempted())
		}
	})
}

func TestSlowKeyIsWorkedOffToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := onLambda(t)
		p.handle = func(context.Context, *record.Record, int) invoke.Result {
			<-time.After(time.Second)
			return invoke.Result{Class: invoke.Done}
		}
		if answer, err := p.invoke(time.Minute, given{0, 1, "a"}, given{0, 2, "a"}, given{0, 3, "b"}, given{0, 4, "a"}); err != nil || answer != `{"batchItemFailures":[]}` {
			t.Errorf("answer %s (%v): the invocation ended while there was something to come", answer, err)
		}
	})
}

func TestRetryThatFitsIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := onLambda(t, "RETRY_INITIAL_INTERVAL=5s", "RETRY_MAX_INTERVAL=5s")
		p.handle = func(_ context.Context, _ *record.Record, attempt int) invoke.Result {
			if attempt < 3 {
				return retryAfter(5 * time.Second)
			}
			return invoke.Result{Class: invoke.Done}
		}
		began := time.Now()
		if _, err := p.invoke(30*time.Second, given{0, 1, "a"}); err != nil || time.Since(began) < 10*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestAttemptsAreCutBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := onLambda(t, "LAMBDA_PARTIAL_BATCH=true")
		p.handle = func(ctx context.Context, rec *record.Record, _ int) invoke.Result {
			if rec.Offset == 1 {
				return invoke.Result{Class: invoke.Done}
			}
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != 9*time.Second {
				t.Errorf("an attempt is told %s of 10s (%t)", time.Until(deadline), ok)
			}
			<-ctx.Done()
			return invoke.Result{Class: invoke.Cancelled}
		}
		began := time.Now()
		answer, err := p.invoke(10*time.Second, given{0, 1, "a"}, given{0, 2, "b"}, given{0, 3, "b"})
		if took := time.Since(began); took != 9*time.Second {
			t.Errorf("answered after %s, want 1s before the deadline", took)
		}
		if err != nil || answer != `{"batchItemFailures":[{"itemIdentifier":{"partition":"orders-0","offset":2}}]}` || len(p.attempted()) != 2 {
			t.Errorf("answer %s (%v), attempts %v", answer, err, p.attempted())
		}
	})
}

func TestInvocationWithoutTimeAttemptsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := onLambda(t)
		p.target = nil
		if _, err := p.invoke(answerMargin/2, given{0, 1, "a"}); err == nil || !strings.Contains(err.Error(), "not reached in the time") || len(p.attempted()) != 0 {
			t.Errorf("%v, attempts %v", err, p.attempted())
		}
	})
}

func TestDeadLetterThatIsNotAcknowledgedIsUnsettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := onLambda(t, "DEAD_LETTER_URL=http://127.0.0.1:1/", "RETRY_MAX_INTERVAL=1s")
		p.handle = failing(refused(), 1, 2)
		p.write = func(ctx context.Context, l deadletter.Letter) error {
			if l.Record.Offset == 1 {
				return nil
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}
		began := time.Now()
		_, err := p.invoke(20*time.Second, given{0, 1, "a"}, given{0, 2, "b"}, given{0, 3, "a"}, given{0, 4, "b"})
		left := (*UnsettledError)(nil)
		if !errors.As(err, &left) || left.Unsettled != 2 || left.Partitions[0].Offset != 2 || time.Since(began) != 19*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if !slices.Equal(p.letters, []int64{1}) || slices.Contains(p.attempted(), "b@4") || !slices.Contains(p.attempted(), "a@3") {
			t.Errorf("letters %v, attempts %v", p.letters, p.attempted())
		}
	})
}

func TestNothingIsAttemptedBeforeTheDeadLetterTargetIsFoundRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := onLambda(t, "DEAD_LETTER_URL=http://127.0.0.1:1/")
		checks, verdict := 0, errors.New("it does not exist")
		p.check = func() error { checks++; return verdict }
		if _, err := p.invoke(time.Minute, given{0, 1, "a"}); !errors.Is(err, verdict) || len(p.attempted()) != 0 {
			t.Errorf("%v, attempts %v", err, p.attempted())
		}
		verdict = nil
		for range 2 {
			if _, err := p.invoke(time.Minute, given{0, 1, "a"}); err != nil {
				t.Error(err)
			}
		}
		if checks != 2 {
			t.Errorf("%d checks, want none after the first good one", checks)
		}
	})
}

func TestFailureLimitHoldsAcrossInvocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := onLambda(t, "ON_FAILURE=drop", "FAILURE_LIMIT=3", "RETRY_MAX_INTERVAL=60s")
		p.handle = func(context.Context, *record.Record, int) invoke.Result { return refused() }
		for offset := range int64(3) {
			if _, err := p.invoke(10*time.Second, given{0, offset, "a"}); err != nil {
				t.Fatalf("record %d: %v", offset, err)
			}
		}
		if _, err := p.invoke(10*time.Second, given{0, 3, "a"}); err == nil {
			t.Fatal("a fourth failed record in a row was dropped")
		}
		before := len(p.attempted())
		if _, err := p.invoke(10*time.Second, given{0, 3, "a"}); err == nil || len(p.attempted()) != before {
			t.Errorf("%v, %d attempts before the next probe is due", err, len(p.attempted())-before)
		}
		<-time.After(time.Minute)
		p.handle = done
		if _, err := p.invoke(10*time.Second, given{0, 3, "a"}, given{0, 4, "b"}); err != nil {
			t.Errorf("after the handler was mended: %v", err)
		}
	})
}

func TestProbeOfOneInvocationFreesTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := onLambda(t, "ON_FAILURE=drop", "FAILURE_LIMIT=1", "RETRY_MAX_INTERVAL=1s", "RETRY_INITIAL_INTERVAL=1s")
		p.handle = func(context.Context, *record.Record, int) invoke.Result { return refused() }
		_, _ = p.invoke(1500*time.Millisecond, given{0, 1, "a"}, given{0, 2, "a"})
		<-time.After(time.Second)
		var mu sync.Mutex
		probes := 0
		p.handle = func(context.Context, *record.Record, int) invoke.Result {
			mu.Lock()
			probes++
			first := probes == 1
			mu.Unlock()
			if first {
				<-time.After(5 * time.Second)
				mu.Lock()
				defer mu.Unlock()
				if probes != 1 {
					t.Errorf("%d attempts while FAILURE_LIMIT allows one", probes)
				}
			}
			return invoke.Result{Class: invoke.Done}
		}
		var both sync.WaitGroup
		for partition := range int32(2) {
			both.Go(func() {
				if _, err := p.invoke(20*time.Second, given{partition, 2, "a"}); err != nil {
					t.Errorf("partition %d: %v", partition, err)
				}
			})
		}
		both.Wait()
	})
}

func TestInvocationsAtOnceShareNoRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := onLambda(t, "LAMBDA_PARTIAL_BATCH=true")
		p.handle = func(_ context.Context, rec *record.Record, _ int) invoke.Result {
			<-time.After(time.Second)
			if rec.Offset%2 == 0 {
				return refused()
			}
			return invoke.Result{Class: invoke.Done}
		}
		began := time.Now()
		var all sync.WaitGroup
		for n := range int64(8) {
			all.Go(func() { // the same partition and key in all: as when an event comes again while it is still under way
				answer, err := p.invoke(time.Minute, given{0, n, "a"}, given{0, n + 10, "b"})
				want := `{"batchItemFailures":[]}`
				if n%2 == 0 {
					want = fmt.Sprintf(`{"batchItemFailures":[{"itemIdentifier":{"partition":"orders-0","offset":%d}}]}`, n)
				}
				if err != nil || answer != want {
					t.Errorf("invocation %d: %s (%v)", n, answer, err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("8 invocations of a second took %s: they wait for each other", took)
		}
	})
}

func TestStopEndsARunningInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := onLambda(t)
		p.handle = func(context.Context, *record.Record, int) invoke.Result { return retryAfter(30 * time.Second) }
		ctx, stop := context.WithTimeout(context.Background(), time.Hour)
		time.AfterFunc(time.Second, stop)
		began := time.Now()
		_, err := p.Handle(ctx, "1", []byte(`{"records":{"orders-0":[{"topic":"orders","partition":0,"offset":1,"timestamp":1}]}}`))
		if err == nil || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestPanicOfAnAttemptReachesTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := onLambda(t)
		p.handle = func(ctx context.Context, rec *record.Record, _ int) invoke.Result {
			if rec.Offset == 2 {
				panic("a fault of ours")
			}
			<-ctx.Done()
			return invoke.Result{Class: invoke.Cancelled}
		}
		defer func() {
			if err, ok := recover().(error); !ok || !strings.Contains(err.Error(), "a fault of ours") || !strings.Contains(err.Error(), "function_test.go") {
				t.Errorf("recovered %v", err)
			}
		}()
		_, err := p.invoke(time.Minute, given{0, 1, "a"}, given{0, 2, "b"})
		t.Errorf("no panic, but %v", err)
	})
}

func TestHandlerThatChangedAsksForANewProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := onLambda(t, "LAMBDA_PARTIAL_BATCH=true")
		p.handle = func(ctx context.Context, rec *record.Record, _ int) invoke.Result {
			if rec.Offset == 1 {
				p.tell(fmt.Errorf("%w: it is another", ErrHandlerChanged))
				return retryAfter(time.Minute)
			}
			<-time.After(5 * time.Second)
			if ctx.Err() != nil {
				t.Error("an attempt that ran was cut")
			}
			return invoke.Result{Class: invoke.Done}
		}
		began := time.Now()
		_, err := p.invoke(15*time.Minute, given{0, 1, "a"}, given{0, 2, "b"}, given{0, 3, "a"}, given{0, 4, "b"})
		if took := time.Since(began); !errors.Is(err, ErrHandlerChanged) || took != 5*time.Second || len(p.attempted()) != 2 {
			t.Errorf("after %s: %v, attempts %v", took, err, p.attempted())
		}
		if _, err := p.invoke(15*time.Minute, given{0, 1, "a"}); !errors.Is(err, ErrHandlerChanged) {
			t.Errorf("the next invocation: %v", err)
		}
	})
}

func TestErrorOfManyPartitionsIsShort(t *testing.T) {
	e := &UnsettledError{Unsettled: 40, Records: 50}
	for n := range 40 {
		e.Partitions = append(e.Partitions, UnsettledPartition{Item: kafkaevent.Item{Partition: fmt.Sprintf("orders-%d", n), Offset: 1}, Unsettled: 1, Reason: "x"})
	}
	if text := e.Error(); !strings.HasSuffix(text, "orders-4 from offset 1 on, x; and 35 more partitions") {
		t.Error(text)
	}
}

// thawed is the time after a process was frozen for so long: the wall clock has moved on, and the monotonic one, which counts in a comparison
// where both times have it, has not. Package time makes no such time by itself.
func thawed(at time.Time, frozen time.Duration) time.Time {
	const secondsFrom = 30 // nanoseconds take the bits below
	layout := (*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&at))
	layout.wall += uint64(frozen/time.Second) << secondsFrom
	return at
}

func TestFrozenTimeCountsForTheNextProbe(t *testing.T) {
	b := breaker{limit: 1, interval: time.Minute, row: 1}
	now := time.Now()
	if later := thawed(now, time.Hour); later.Sub(now) != 0 || later.Round(0).Sub(now.Round(0)) != time.Hour {
		t.Fatalf("thawed %s and by the wall clock %s later", later.Sub(now), later.Round(0).Sub(now.Round(0)))
	}
	b.failed(now)
	b.probing = false
	if _, hold := b.holds(thawed(now, 30*time.Second)); !hold {
		t.Error("a probe before its time")
	}
	if _, hold := b.holds(thawed(now, time.Hour)); hold {
		t.Error("no probe an hour later: the monotonic clock stood still")
	}
}
