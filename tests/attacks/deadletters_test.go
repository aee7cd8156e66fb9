package attacks

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

// fact returns what a dead letter says of its failure, or of its source.
func fact(letter *kgo.Record, name string) string {
	for _, h := range letter.Headers {
		if h.Key == "kafka-sidecar."+name {
			return string(h.Value)
		}
	}
	return ""
}

// lettersBySource returns the dead letters of a topic by the offset of their source, which must be one partition.
func lettersBySource(t *testing.T, b *harness.Broker, topic string) map[int64]*kgo.Record {
	t.Helper()
	letters := map[int64]*kgo.Record{}
	for _, l := range b.ReadAll(topic) {
		offset, err := strconv.ParseInt(fact(l, "source.offset"), 10, 64)
		if err != nil {
			t.Fatalf("a letter without the offset of its source: %v", l.Headers)
		}
		letters[offset] = l
	}
	return letters
}

// alterTopic sets one configuration of a topic.
func alterTopic(t *testing.T, b *harness.Broker, topic, name, value string) {
	t.Helper()
	answers, err := b.Admin().AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, topic)
	if err == nil {
		_, err = answers.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	if err != nil {
		t.Fatalf("set %s=%s of %s: %v", name, value, topic, err)
	}
}

// refusing answers 422 to the keys that begin with "bad", and 200 to all others.
func refusing(c harness.Call) harness.Answer {
	if strings.HasPrefix(c.Key, "bad") {
		return harness.Answer{Status: http.StatusUnprocessableEntity}
	}
	return harness.Answer{}
}

// noise is bytes that no codec makes smaller; another seed makes others.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// goodOnes returns the records that refusing answers with 200.
func goodOnes(records []*kgo.Record) (good []*kgo.Record) {
	for _, r := range records {
		if !bytes.HasPrefix(r.Key, []byte("bad")) {
			good = append(good, r)
		}
	}
	return good
}

// stuckAt waits until the letter of a record is refused, says why in the log and on the page, and holds back exactly its key and the commit.
func stuckAt(t *testing.T, b *harness.Broker, s *harness.Sidecar, h *harness.Handler, stuck, follower *kgo.Record, why string) {
	t.Helper()
	s.WaitLog("dead letter could not be written", fmt.Sprintf(`"offset":%d`, stuck.Offset), why)
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		_, page := s.Get("/subscription")
		return strings.Contains(page, "dead letter: ") && strings.Contains(page, why), "no reason on /subscription: " + page
	})
	harness.Throughout(t, time.Second, func() (bool, string) {
		c := b.Commits(s.Env().Group(), stuck.Topic)[stuck.Partition]
		return c.Offset <= stuck.Offset, fmt.Sprintf("committed %d, past offset %d whose dead letter was never written", c.Offset, stuck.Offset)
	})
	if follower != nil && len(h.CallsOf(follower)) > 0 {
		t.Errorf("the next record of the key was sent while the letter of the one before it waits")
	}
	if n := len(h.CallsOf(stuck)); n != 1 {
		t.Errorf("%d calls for a record that has failed already, want 1: only its letter is tried again", n)
	}
}

func TestALetterThatIsTooLargeHoldsOnlyItsKeyUntilTheLimitIsRaised(t *testing.T) {
	t.Parallel()
	b := harness.Real(t)
	const limit = 200_000
	config := fmt.Sprintf("max.message.bytes=%d", limit)
	topic, dead := b.CreateTopic(1, config), b.CreateTopic(1, config)
	// The batch of one record: 61 bytes in front, and some twenty around key and value.
	const around = 61 + 24
	ownHeader := kgo.RecordHeader{Key: "own", Value: noise(1, 1000)}
	records := b.ProduceAt(
		&kgo.Record{Topic: topic, Key: []byte("bad-bare"), Value: noise(2, limit-around)},
	)
	records = append(records, b.ProduceAt(
		&kgo.Record{Topic: topic, Key: []byte("bad-rich"), Value: noise(3, limit-around-1020), Headers: []kgo.RecordHeader{ownHeader}},
	)...)
	records = append(records, b.ProduceAt(
		harness.Record(topic, "bad-bare", "follower"), harness.Record(topic, "bad-small", "small"), harness.Record(topic, "good", "good"),
	)...)
	bare, rich, follower, small := records[0], records[1], records[2], records[3]
	h := harness.NewHandler(t, refusing)
	env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead)
	s := harness.Start(t, env)
	h.WaitSettled(goodOnes(records))
	stuckAt(t, b, s, h, bare, follower, "raise max.message.bytes")
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		n := b.EndOffsets(dead)[0]
		return n == 2, fmt.Sprintf("%d letters of the other keys, want 2", n)
	})
	letters := lettersBySource(t, b, dead)
	if letters[small.Offset] == nil || fact(letters[small.Offset], "attempts") != "1" {
		t.Errorf("the letter of another key is missing or short: %v", letters[small.Offset])
	}
	l := letters[rich.Offset]
	if l == nil || !bytes.Equal(l.Value, rich.Value) || fact(l, "reason") != "status" || fact(l, "source.topic") != topic || fact(l, "source.partition") != "0" {
		t.Fatalf("the record that fits with the short set of headers is not there with it")
	}
	for _, header := range l.Headers {
		if header.Key == "own" {
			t.Error("the letter has the record's own headers, with which it was too large")
		}
	}
	s.WaitLog("too large with all its headers")

	alterTopic(t, b, dead, "max.message.bytes", strconv.Itoa(2*limit))
	b.WaitCommitted(env.Group(), topic)
	letters = lettersBySource(t, b, dead)
	if l := letters[bare.Offset]; l == nil || !bytes.Equal(l.Value, bare.Value) || fact(l, "reason") != "status" {
		t.Error("after the limit was raised the letter is not there")
	}
	if letters[follower.Offset] == nil {
		t.Error("the next record of the key is in no letter")
	}
}

func TestALetterIsAsSmallAsItsRecordWasAtTheSource(t *testing.T) {
	t.Parallel()
	b := harness.Real(t)
	topic, dead := b.CreateTopic(1, "max.message.bytes=1048588"), b.CreateTopic(1, "max.message.bytes=1048588")
	value := bytes.Repeat(append(noise(4, 1000), make([]byte, 9000)...), 1049) // more than 10 MiB, of which zstd makes little
	records := b.ProduceWith([]kgo.Opt{kgo.ProducerBatchCompression(kgo.ZstdCompression())}, &kgo.Record{Topic: topic, Key: []byte("bad"), Value: value})
	h := harness.NewHandler(t, refusing).Brief()
	env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead)
	harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	if l := lettersBySource(t, b, dead)[records[0].Offset]; l == nil || !bytes.Equal(l.Value, value) || fact(l, "subscription") == "" {
		t.Error("a record of 10 MiB that was compressed at the source is not in the dead letters as it was")
	}
}

func TestATargetThatForgetsLettersIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	b := harness.Real(t)
	topic, dead := b.CreateTopic(1), b.CreateTopic(1, "cleanup.policy=compact")
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead, "STARTUP_TIMEOUT", "3s")
	b.Produce(harness.Record(topic, "k", "v"))
	s := harness.Start(t, env)
	s.Exit(1)
	s.WaitLog(`"failed"`, dead, "cleanup.policy=compact", "add delete")
	if n := h.Count(); n != 0 {
		t.Errorf("%d records were sent although their letters would vanish", n)
	}
	_, _, code := harness.Run(t, env, "check")
	if code != 1 {
		t.Errorf("check exits %d, want 1", code)
	}
}

func TestALetterWithoutAKeyWaitsWhileItsTopicIsCompacted(t *testing.T) {
	t.Parallel()
	b := harness.Real(t)
	topic, dead := b.CreateTopic(1), b.CreateTopic(1, "cleanup.policy=compact,delete")
	var records []*kgo.Record
	for _, key := range []string{"", "bad-1", "good", "bad-2"} {
		r := &kgo.Record{Topic: topic, Value: []byte("v")}
		if key != "" {
			r.Key = []byte(key)
		}
		records = append(records, b.ProduceAt(r)...)
	}
	h := harness.NewHandler(t, func(c harness.Call) harness.Answer {
		if !c.HasKey {
			return harness.Answer{Status: http.StatusUnprocessableEntity}
		}
		return refusing(c)
	})
	env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead)
	s := harness.Start(t, env)
	h.WaitSettled(records[2:3])
	stuckAt(t, b, s, h, records[0], nil, "compacted topic does when there is no key")
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		letters := lettersBySource(t, b, dead)
		return letters[1] != nil && letters[3] != nil, fmt.Sprintf("letters %v, want those of the records that have a key", letters)
	})
	alterTopic(t, b, dead, "cleanup.policy", "delete")
	b.WaitCommitted(env.Group(), topic)
	if l := lettersBySource(t, b, dead)[0]; l == nil || l.Key != nil {
		t.Errorf("the letter without a key is %v", l)
	}
}

func TestAMissingTargetIsNamedAndWaitedFor(t *testing.T) {
	t.Parallel()
	b := harness.Real(t)
	topic, dead := b.CreateTopic(1), harness.Name(t, "dead")
	h := harness.NewHandler(t, refusing)
	env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead)
	b.Produce(harness.Record(topic, "bad", "v"))

	gone := harness.Start(t, env.With("STARTUP_TIMEOUT", "2s"))
	gone.Exit(1)
	gone.WaitLog(`"failed"`, dead, "does not exist")

	s := harness.Start(t, env)
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		status, body := s.Get("/startup")
		return status == http.StatusServiceUnavailable && strings.Contains(body, dead), fmt.Sprintf("/startup: %d %s", status, body)
	})
	if b.TopicExists(dead) || h.Count() > 0 {
		t.Errorf("topic created: %v, records sent: %d; want neither before there is a place for letters", b.TopicExists(dead), h.Count())
	}
	b.CreateTopicNamed(dead, 1)
	b.WaitCommitted(env.Group(), topic)
	if lettersBySource(t, b, dead)[0] == nil {
		t.Error("no letter after the target came")
	}
}

func TestATargetThatIsDeletedHoldsItsKeysUntilItIsBack(t *testing.T) {
	t.Parallel()
	b := harness.Real(t)
	topic, dead := b.CreateTopic(1), b.CreateTopic(3)
	h := harness.NewHandler(t, refusing)
	env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead)
	// Several letters under one producer id, which the topic that comes later has never heard of.
	b.Produce(harness.Record(topic, "bad", "1"), harness.Record(topic, "bad", "2"), harness.Record(topic, "bad", "3"))
	s := harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)

	b.DeleteTopic(dead)
	records := b.Produce(harness.Record(topic, "bad", "4"), harness.Record(topic, "good", "5"), harness.Record(topic, "bad", "6"))
	h.WaitSettled(goodOnes(records))
	stuckAt(t, b, s, h, records[0], records[2], "does not exist any more")
	if b.TopicExists(dead) {
		t.Error("the target was created by a write")
	}
	b.CreateTopicNamed(dead, 1) // with fewer partitions than before
	b.WaitCommitted(env.Group(), topic)
	if letters := lettersBySource(t, b, dead); letters[records[0].Offset] == nil || letters[records[2].Offset] == nil {
		t.Errorf("letters after the target came back: %v", letters)
	}
}

func TestALetterIsSettledOnlyWithEnoughReplicasInSync(t *testing.T) {
	t.Parallel()
	b := harness.PrivateReal(t, realkafka.Options{Nodes: 3})
	topic, dead := b.CreateTopic(1), b.CreateTopic(1)
	h := harness.NewHandler(t, refusing)
	env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead)
	s := harness.Start(t, env).WaitReady()

	b.Real.Node(3).Stop() // two of three are left, which is what min.insync.replicas asks for
	written := b.Produce(harness.Record(topic, "bad", "1"), harness.Record(topic, "good", "2"))
	b.WaitCommitted(env.Group(), topic)
	if lettersBySource(t, b, dead)[written[0].Offset] == nil {
		t.Fatal("no letter although enough replicas are in sync")
	}

	alterTopic(t, b, dead, "min.insync.replicas", "3") // as if one more were gone, while the cluster lives on
	records := b.Produce(harness.Record(topic, "bad", "3"), harness.Record(topic, "good", "4"), harness.Record(topic, "bad", "5"))
	h.WaitSettled(goodOnes(records))
	stuckAt(t, b, s, h, records[0], records[2], "fewer replicas are in sync")
	if err := b.Real.Node(3).Start(); err != nil {
		t.Fatal(err)
	}
	b.WaitCommitted(env.Group(), topic)
	alterTopic(t, b, dead, "min.insync.replicas", "2")

	// Two of three gone: there is no majority for anything. All that was promised is that nothing is lost.
	last := b.Produce(harness.Record(topic, "bad", "6"), harness.Record(topic, "good", "7"), harness.Record(topic, "bad", "8"))
	b.Real.Node(2).Kill()
	b.Real.Node(3).Kill()
	last = append(last, records...)
	if err := b.Real.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 2*harness.Patience, func() (bool, string) {
		ends, err := b.Admin().ListEndOffsets(t.Context(), topic, dead)
		err = errors.Join(err, ends.Error())
		return err == nil, fmt.Sprintf("leaders after the restart: %v", err)
	})
	h.WaitSettled(goodOnes(last))
	b.WaitCommitted(env.Group(), topic)
	letters := lettersBySource(t, b, dead)
	for _, r := range last {
		if strings.HasPrefix(string(r.Key), "bad") && letters[r.Offset] == nil {
			t.Errorf("offset %d is committed and in no letter", r.Offset)
		}
	}
	if !s.Running() {
		t.Error("the sidecar ended")
	}
}

func TestLettersOutliveTheAgeOfTheirRecords(t *testing.T) {
	t.Parallel()
	b := harness.PrivateReal(t, realkafka.Options{Properties: map[string]string{"log.initial.task.delay.ms": "200"}})
	const week = "retention.ms=604800000"
	topic, dead, control := b.CreateTopic(1, "message.timestamp.after.max.ms=86400000"), b.CreateTopic(1, week), b.CreateTopic(1, week)
	old, ahead := time.Now().Add(-8*24*time.Hour), time.Now().Add(2*time.Hour)
	records := b.ProduceAt(
		&kgo.Record{Topic: topic, Key: []byte("bad-old"), Value: []byte("1"), Timestamp: old},
		&kgo.Record{Topic: topic, Key: []byte("bad-ahead"), Value: []byte("2"), Timestamp: ahead}, // the target takes an hour ahead, as topics do by default
	)
	h := harness.NewHandler(t, refusing)
	env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead)
	harness.Start(t, env)
	b.WaitCommitted(env.Group(), topic)
	// A record that is as old as the letter's is gone once the broker has looked; the letter, which was there before, is not.
	b.ProduceAt(&kgo.Record{Topic: control, Value: []byte("old"), Timestamp: old})
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		starts, err := b.Admin().ListStartOffsets(t.Context(), control)
		if err = errors.Join(err, starts.Error()); err != nil {
			return false, err.Error()
		}
		return starts[control][0].Offset == 1, "retention has not taken the old record yet"
	})
	letters := lettersBySource(t, b, dead)
	for i, name := range []string{"8 days old", "2 hours ahead"} {
		l := letters[int64(i)]
		if l == nil {
			t.Errorf("the letter of a record that is %s is gone", name)
			continue
		}
		if off := time.Since(l.Timestamp).Abs(); off > 2*harness.Patience {
			t.Errorf("the letter of a record that is %s has a time %s off that of the failure", name, off)
		}
		if want := strconv.FormatInt(records[i].Timestamp.UnixMilli(), 10); fact(l, "source.timestamp") != want {
			t.Errorf("source.timestamp %s, want %s", fact(l, "source.timestamp"), want)
		}
	}
}

func TestARestartOfTheHandlerWritesNoLetter(t *testing.T) {
	t.Parallel()
	b := harness.Real(t)
	topic, dead := b.CreateTopic(4), b.CreateTopic(1)
	h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Delay: time.Millisecond} })
	env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead, "RETRY_MAX_ATTEMPTS", "3")
	records := b.Produce(harness.Keyed(topic, 5000, 1000)...)
	s := harness.Start(t, env)
	h.WaitCalls(1000)
	h.Down()
	before := s.Metrics().Value("kafka_sidecar_attempts_total", "code", "connect")
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		if letters := b.EndOffsets(dead)[0]; letters > 0 {
			t.Fatalf("%d records are dead letters because the handler restarts", letters)
		}
		n := s.Metrics().Value("kafka_sidecar_attempts_total", "code", "connect") - before
		return n >= 5000, fmt.Sprintf("%v attempts against the closed port", n)
	})
	h.Up()
	h.WaitSettled(records)
	b.WaitCommitted(env.Group(), topic)
	if n := len(b.ReadAll(dead)); n != 0 {
		t.Errorf("%d of 5000 records went to the dead letters because the handler restarted", n)
	}
}

func TestABadDeployLeavesTheTopicAsItIs(t *testing.T) {
	const limit = 100 // FAILURE_LIMIT when nothing is said
	for name, status := range map[string]int{"refuses everything": http.StatusNotFound, "breaks on everything": http.StatusInternalServerError} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := harness.Real(t)
			topic, dead := b.CreateTopic(2), b.CreateTopic(1)
			h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Status: status} })
			env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead, "RETRY_MAX_ATTEMPTS", "2", "RETRY_MAX_INTERVAL", "500ms")
			records := b.Produce(harness.Keyed(topic, 1000, 1000)...)
			s := harness.Start(t, env).WaitReady()
			few := func() (bool, string) {
				n := b.EndOffsets(dead)[0]
				return n <= limit, fmt.Sprintf("%d records are dead letters of a handler that has taken none, want no more than FAILURE_LIMIT %d", n, limit)
			}
			harness.Eventually(t, harness.Patience, func() (bool, string) {
				if ok, violation := few(); !ok {
					t.Fatal(violation)
				}
				return s.Metrics().Value("kafka_sidecar_failure_limit_reached") == 1, "the limit is not reached"
			})
			s.WaitLog("FAILURE_LIMIT reached")
			harness.Throughout(t, 3*time.Second, few)
			h.Script(harness.OK)
			b.WaitCommitted(env.Group(), topic)
			if letters, missing := b.EndOffsets(dead)[0], len(h.Missing(records)); letters != limit || missing != limit {
				t.Errorf("%d dead letters and %d records without a success, want %d and the others taken by the handler that was right again", letters, missing, limit)
			}
		})
	}
}
