package lambda

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

func TestFailedRecordsGoToTheDeadLetters(t *testing.T) {
	b := harness.Fake(t)
	dead := b.CreateTopic(2)
	l, h, _ := start(t, func(c harness.Call) harness.Answer {
		if c.Key == "bad" {
			return harness.Answer{Status: 422}
		}
		return harness.Answer{}
	}, "KAFKA_BOOTSTRAP_SERVERS", b.Addr, "DEAD_LETTER_TOPIC", dead)
	last := one(4, "bad")
	l.Invoke(harness.KafkaEvent(t, harness.MSK, one(1, "a"), one(2, "bad"), one(3, "b"), last), time.Minute).OK()
	var sources []string
	for _, r := range b.ReadAll(dead) {
		for _, header := range r.Headers {
			if header.Key == "kafka-sidecar.source.offset" {
				sources = append(sources, string(header.Value))
			}
		}
	}
	if !slices.Equal(sources, []string{"2", "4"}) || len(h.CallsOf(last)) != 1 {
		t.Errorf("dead letters of the offsets %v, want 2 and 4", sources)
	}
}

func TestDeadLetterThatIsNotAcknowledgedComesAgain(t *testing.T) {
	b := harness.Fake(t)
	dead := b.CreateTopic(1)
	l, h, _ := start(t, harness.OK, "KAFKA_BOOTSTRAP_SERVERS", b.Addr, "DEAD_LETTER_TOPIC", dead, "LAMBDA_PARTIAL_BATCH", "true")
	l.Invoke(harness.KafkaEvent(t, harness.MSK, one(1, "a")), time.Minute).OK() // the topic is found right
	h.Script(func(c harness.Call) harness.Answer { return harness.Answer{Status: 422} })
	b.Freeze()
	i := l.Invoke(harness.KafkaEvent(t, harness.MSK, one(2, "a")), 5*time.Second)
	if failures := i.Failures(); failures["orders-0"] != 2 || !i.At.Before(i.Deadline()) {
		t.Errorf("comes again from %v, answered %s before the deadline", failures, i.Deadline().Sub(i.At))
	}
	b.Recover()
	l.Invoke(harness.KafkaEvent(t, harness.MSK, one(2, "a")), time.Minute).OK()
	if n := len(b.ReadAll(dead)); n == 0 {
		t.Error("no dead letter")
	}
}

func TestMissingDeadLetterTopicFailsEveryInvocation(t *testing.T) {
	b := harness.Fake(t)
	l, h, _ := start(t, harness.OK, "KAFKA_BOOTSTRAP_SERVERS", b.Addr, "DEAD_LETTER_TOPIC", "missing")
	for range 2 {
		i := l.Invoke(harness.KafkaEvent(t, harness.MSK, one(1, "a")), 30*time.Second).Wait()
		if !strings.Contains(i.Err.Message, `"missing" does not exist`) || h.Count() != 0 {
			t.Errorf("error %+v, %d calls", i.Err, h.Count())
		}
	}
}

func TestFailureLimitOutlastsAnInvocation(t *testing.T) {
	l, h, s := start(t, func(harness.Call) harness.Answer { return harness.Answer{Status: 422} }, "ON_FAILURE", "drop", "FAILURE_LIMIT", "2")
	for offset := range int64(2) {
		l.Invoke(harness.KafkaEvent(t, harness.MSK, one(offset, "a")), 10*time.Second).OK()
	}
	if i := l.Invoke(harness.KafkaEvent(t, harness.MSK, one(2, "a")), 10*time.Second).Wait(); i.Err.Type != "UnsettledError" {
		t.Errorf("a third failed record in a row: %q", i.Response)
	}
	s.WaitLog("FAILURE_LIMIT reached")
	calls := h.Count()
	if i := l.Invoke(harness.KafkaEvent(t, harness.MSK, one(2, "a")), 10*time.Second).Wait(); i.Err.Type != "UnsettledError" || h.Count() != calls {
		t.Errorf("%q after %d further calls, want none before the next probe is due", i.Response, h.Count()-calls)
	}
}

func TestMistakesAreToldAllAtOnce(t *testing.T) {
	l, h := harness.NewLambda(t), harness.NewHandler(t, harness.OK)
	env := l.Env(topic, h).With("START_AT", "earliest", "MAX_IN_FLIGHT", "10", "DEAD_LETTER_TOPIC", "dead")
	env["ADMIN_ADDR"] = ":9464"
	_, stderr, code := harness.Run(t, env)
	if code != 2 {
		t.Errorf("exit code %d", code)
	}
	for _, name := range []string{"START_AT", "MAX_IN_FLIGHT", "ADMIN_ADDR", "KAFKA_BOOTSTRAP_SERVERS"} {
		if !strings.Contains("\n"+stderr, "\n"+name+": ") {
			t.Errorf("%s is not told:\n%s", name, stderr)
		}
	}
}

func TestCheckKnowsAFunction(t *testing.T) {
	l, h := harness.NewLambda(t), harness.NewHandler(t, harness.OK)
	env := l.Env(topic, h).With("LAMBDA_PARTIAL_BATCH", "true")
	for _, args := range [][]string{{"check"}, {"check", "--offline"}} {
		stdout, stderr, code := harness.Run(t, env, args...)
		if code != 0 || !strings.Contains(stdout, "LAMBDA_PARTIAL_BATCH=true") || strings.Contains(stdout, "START_AT") || strings.Contains(stdout, "broker and topic") {
			t.Errorf("%v: exit %d\n%s%s", args, code, stdout, stderr)
		}
	}
	b := harness.Fake(t)
	dead := b.CreateTopic(1)
	env = env.With("SUBSCRIPTION_SOURCE", "kafka://test/"+b.CreateTopic(3), "KAFKA_BOOTSTRAP_SERVERS", b.Addr, "DEAD_LETTER_TOPIC", dead)
	env["ADMIN_ADDR"] = ""
	if stdout, stderr, code := harness.Run(t, env, "check"); code != 0 || !strings.Contains(stdout, "can be written") || strings.Contains(stdout, "is new and starts") {
		t.Errorf("with a dead-letter topic: exit %d\n%s%s", code, stdout, stderr)
	}
}

func TestSIGTERMEndsAnIdleFunction(t *testing.T) {
	l, _, s := start(t, harness.OK)
	l.WaitIdle(1)
	s.Signal(syscall.SIGTERM)
	s.Exit(0)
}

func TestSIGTERMAnswersForWhatItCuts(t *testing.T) {
	l, h, s := start(t, func(c harness.Call) harness.Answer { return harness.Answer{Hang: c.Key == "slow"} }, "LAMBDA_PARTIAL_BATCH", "true")
	i := l.Invoke(harness.KafkaEvent(t, harness.MSK, one(1, "a"), one(2, "slow")), 10*time.Minute)
	h.WaitCalls(2)
	harness.Eventually(t, harness.Patience, func() (bool, string) { return h.Answered() == 1, "the other key is not done" })
	s.Signal(syscall.SIGTERM)
	if failures := i.Failures(); failures["orders-0"] != 2 {
		t.Errorf("comes again from %v", failures)
	}
	s.Exit(0)
}

func TestFunctionWithoutItsPlatformEnds(t *testing.T) {
	l, _, s := start(t, harness.OK)
	l.WaitIdle(1)
	l.Close()
	s.Exit(1)
}
