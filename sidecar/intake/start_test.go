package intake

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/ledger"
)

// firsts keeps what was sent to the group, in order: the commits with their generation and offsets, and the joins.
type firsts struct {
	mu   sync.Mutex
	sent []groupRequest
}

type groupRequest struct {
	join       bool
	generation int32
	offsets    map[int32]int64
	metadata   string // of partition 0
}

func (w *world) watchGroup() *firsts {
	f := &firsts{}
	w.on(kmsg.OffsetCommit, func(q kmsg.Request) (kmsg.Response, error, bool) {
		req := q.(*kmsg.OffsetCommitRequest)
		r := groupRequest{generation: req.Generation, offsets: map[int32]int64{}}
		for _, t := range req.Topics {
			for _, p := range t.Partitions {
				r.offsets[p.Partition] = p.Offset
				if p.Partition == 0 && p.Metadata != nil {
					r.metadata = *p.Metadata
				}
			}
		}
		f.add(r)
		return nil, nil, false
	})
	w.on(kmsg.JoinGroup, func(kmsg.Request) (kmsg.Response, error, bool) {
		f.add(groupRequest{join: true})
		return nil, nil, false
	})
	return f
}

func (f *firsts) add(r groupRequest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, r)
}

func (f *firsts) all() []groupRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]groupRequest(nil), f.sent...)
}

// commit sets the group's position from outside, while it has no members.
func (w *world) commit(partition int32, offset int64, metadata string) {
	w.t.Helper()
	w.commitAt(partition, offset, -1, metadata)
}

// commitAt is commit with a leader epoch.
func (w *world) commitAt(partition int32, offset int64, epoch int32, metadata string) {
	w.t.Helper()
	cl := w.client()
	defer cl.Close()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: testTopic, Partition: partition, At: offset, LeaderEpoch: epoch, Metadata: metadata})
	if err := kadm.NewClient(cl).CommitAllOffsets(w.t.Context(), testGroup, offsets); err != nil {
		w.t.Fatal(err)
	}
}

func startAt(at StartAt) func(*Config) { return func(c *Config) { c.StartAt = at } }

func TestStartPositionsAreCommittedBeforeTheFirstJoin(t *testing.T) {
	// Partition 0 has ten records a minute apart, partition 1 three old ones, partition 2 none.
	for name, c := range map[string]struct {
		at   func(begin time.Time) StartAt
		want map[int32]int64
	}{
		"latest":                    {func(time.Time) StartAt { return StartAt{Latest: true} }, map[int32]int64{0: 10, 1: 3, 2: 0}},
		"earliest":                  {func(time.Time) StartAt { return StartAt{} }, map[int32]int64{0: 0, 1: 0, 2: 0}},
		"time":                      {func(b time.Time) StartAt { return StartAt{Time: b.Add(4 * time.Minute)} }, map[int32]int64{0: 4, 1: 3, 2: 0}},
		"age":                       {func(time.Time) StartAt { return StartAt{Time: time.Now().Add(-3*time.Minute - 30*time.Second)} }, map[int32]int64{0: 7, 1: 3, 2: 0}},
		"nothing at or after":       {func(time.Time) StartAt { return StartAt{Time: time.Now().Add(time.Hour)} }, map[int32]int64{0: 10, 1: 3, 2: 0}},
		"time before the log start": {func(b time.Time) StartAt { return StartAt{Time: b.Add(-time.Hour)} }, map[int32]int64{0: 0, 1: 0, 2: 0}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 3, func(t *testing.T, w *world) {
				begin := time.Now().Add(time.Hour)
				w.produce(1, 3)
				pass(time.Until(begin))
				for range 10 {
					w.produce(0, 1)
					begin = begin.Add(time.Minute)
					pass(time.Until(begin))
				}
				sent := w.watchGroup()
				s := w.start(startAt(c.at(begin.Add(-10 * time.Minute))))
				w.until(30*time.Second, "opened", s.opened(0, 1, 2))
				first := sent.all()[0]
				if first.join || first.generation != -1 || len(first.offsets) != 3 {
					t.Fatalf("first request to the group: %+v", first)
				}
				for id, want := range c.want {
					if p := s.part(id); first.offsets[id] != want || p.Start != want || p.Read != want || p.Lost != 0 {
						t.Errorf("partition %d: committed %d, opened %+v, want %d", id, first.offsets[id], p.Partition, want)
					}
				}
				m, err := ledger.ParseMetadata(first.metadata)
				if err != nil || m.TopicID() != w.kafka.TopicInfo(testTopic).TopicID {
					t.Errorf("metadata %q: %v", first.metadata, err)
				}
			})
		})
	}
}

func TestEndIsReadBeforeTheTime(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 3)
		pass(time.Hour)
		asked, appended := make(chan struct{}), make(chan struct{})
		kinds := 0
		w.on(kmsg.ListOffsets, func(q kmsg.Request) (kmsg.Response, error, bool) {
			if ts := q.(*kmsg.ListOffsetsRequest).Topics[0].Partitions[0].Timestamp; ts == earliest {
				return nil, nil, false
			}
			if kinds++; kinds == 2 { // whichever of end and time is asked for second: a record is appended in between
				close(asked)
				w.kafka.SleepControl(func() { <-appended })
			}
			return nil, nil, false
		})
		s := w.start(startAt(StartAt{Time: time.Now()}))
		<-asked
		w.produce(0, 1)
		close(appended)
		w.until(30*time.Second, "the record in between was read", s.has(0, 1))
		if p := s.part(0); p.records[0].Offset != 3 {
			t.Fatalf("first record read: %d", p.records[0].Offset)
		}
	})
}

func TestAnotherReplicasStartPositionsStand(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, 10)
		held, release := make(chan struct{}), make(chan struct{})
		first := true
		w.on(kmsg.OffsetCommit, func(kmsg.Request) (kmsg.Response, error, bool) {
			if first {
				first = false
				close(held)
				w.kafka.SleepControl(func() { <-release })
			}
			return nil, nil, false
		})
		// The slow replica resolves 10. Any error would make it wait for longer than it may take to start.
		slow := w.start(startAt(StartAt{Latest: true}), func(c *Config) { c.StartupTimeout, c.RetryBackoff = 20*time.Second, time.Minute })
		<-held
		w.produce(0, 5)
		quick := w.start(startAt(StartAt{Latest: true}))
		w.until(4*time.Second, "joined", quick.opened(0))
		close(release)
		w.until(time.Minute, "both joined", func() bool { return slow.in.Joined() && len(w.kafka.GroupInfo(testGroup).Members) == 2 })
		if c := w.commits()[0]; c.Offset != 15 {
			t.Fatalf("committed: %+v", c)
		}
		w.produce(0, 1)
		w.until(time.Minute, "read once", func() bool { return max(quick.count(0), 0)+max(slow.count(0), 0) == 1 })
	})
}

// TestMembersThatReadSomethingElseAreNotTakenForReplicas: as when a Deployment is rolled to another topic under the same group.
func TestMembersThatReadSomethingElseAreNotTakenForReplicas(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		if err := w.kafka.CreateTopic("payments", 1, nil); err != nil {
			t.Fatal(err)
		}
		w.produce(0, 5)
		before := w.start(func(c *Config) { c.Topic = "payments" })
		w.until(20*time.Second, "joined", before.in.Joined)
		var log strings.Builder // read after the end
		s := w.start(startAt(StartAt{Latest: true}), func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		pass(10 * time.Second)
		before.stop()
		w.until(20*time.Second, "read", s.has(0, 5)) // from the log start: what the start would have been, nobody knows any more
		s.stop()
		<-s.done
		if text := log.String(); !strings.Contains(text, "members that read something else") || strings.Contains(text, "another replica has set") {
			t.Errorf("log:\n%s", text)
		}
	})
}

func TestErrorInTheOffsetAnswerIsNeverReadAsNoCommit(t *testing.T) {
	faults := map[string]kfake.Fault{
		"loading":       {TopLevel: true, Err: kerr.CoordinatorLoadInProgress},
		"unavailable":   {TopLevel: true, Err: kerr.CoordinatorNotAvailable},
		"unauthorized":  {TopLevel: true, Err: kerr.GroupAuthorizationFailed},
		"one partition": {Topic: testTopic, Partitions: []int32{1}, Err: kerr.UnstableOffsetCommit},
		"unknown":       {Topic: testTopic, Partitions: []int32{0}, Err: kerr.UnknownServerError},
	}
	for name, fault := range faults {
		for _, when := range []string{"at the start", "when assigned"} {
			t.Run(name+" "+when, func(t *testing.T) {
				inWorld(t, 2, func(t *testing.T, w *world) {
					w.produce(0, 10)
					w.produce(1, 10)
					w.commit(0, 5, "")
					w.commit(1, 6, "")
					sent := w.watchGroup()
					fault.Keys, fault.Count = []kmsg.Key{kmsg.OffsetFetch}, -1
					var joined bool
					if when == "when assigned" {
						w.on(kmsg.JoinGroup, func(kmsg.Request) (kmsg.Response, error, bool) { joined = true; return nil, nil, false })
						fault.When = func(kmsg.Request) bool { return joined }
					}
					h := w.kafka.Fault(fault)
					s := w.start(startAt(StartAt{Latest: true}))
					pass(20 * time.Second)
					if h.Hits() < 3 || s.said("open") > 0 {
						t.Fatalf("asked %d times; %q", h.Hits(), s.calls)
					}
					for _, r := range sent.all() {
						if !r.join {
							t.Fatalf("committed: %+v", r)
						}
					}
					h.Remove()
					w.until(20*time.Second, "opened", s.opened(0, 1))
					if a, b := s.part(0), s.part(1); a.Start != 5 || b.Start != 6 {
						t.Fatalf("opened at %d and %d", a.Start, b.Start)
					}
				})
			})
		}
	}
}

func TestPositionsOfSomePartitionsAreEnough(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.produce(0, 10)
		w.produce(1, 10)
		w.commit(0, 5, "")
		s := w.start(startAt(StartAt{Latest: true}))
		w.until(20*time.Second, "read", func() bool { return s.count(0) == 5 && s.count(1) == 10 })
	})
}

func TestGroupWithoutCommitsIsRefusedWhenResetIsError(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		sent := w.watchGroup()
		began := time.Now()
		s := w.start(startAt(StartAt{Refuse: true}))
		<-s.done
		if !errors.Is(s.err, errFinal) || !strings.Contains(s.err.Error(), "auto.offset.reset") || time.Since(began) > 5*time.Second {
			t.Fatalf("after %s: %v", time.Since(began), s.err)
		}
		if all := sent.all(); len(all) != 0 {
			t.Fatalf("sent %+v", all)
		}
		w.commit(0, 0, "")
		again := w.start(startAt(StartAt{Refuse: true}))
		w.until(20*time.Second, "opened", again.opened(0))
	})
}

func TestMissingTopicEndsTheStartAndIsNotCreated(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		began := time.Now()
		s := w.start()
		pass(30 * time.Second)
		if !strings.Contains(s.in.WaitingFor(), testTopic) || s.in.EverJoined() || s.in.Started() {
			t.Fatalf("waiting for %q", s.in.WaitingFor())
		}
		<-s.done
		if took := time.Since(began); took != time.Minute {
			t.Errorf("ended after %s", took)
		}
		if s.err == nil || !strings.Contains(s.err.Error(), testTopic) || !strings.Contains(s.err.Error(), "STARTUP_TIMEOUT") {
			t.Fatal(s.err)
		}
		if w.kafka.TopicInfo(testTopic) != nil {
			t.Fatal("the topic was created")
		}
	}, kfake.AllowAutoTopicCreation())
}

func TestTopicThatComesInTimeIsRead(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		s := w.start()
		pass(30 * time.Second)
		if err := w.kafka.CreateTopic(testTopic, 1, nil); err != nil {
			t.Fatal(err)
		}
		w.until(20*time.Second, "opened", s.opened(0))
	})
}

func TestBrokersThatComeUpInTimeAreJoined(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.setDown(true)
		s := w.start()
		pass(40 * time.Second)
		if !strings.Contains(s.in.WaitingFor(), "connection refused") {
			t.Fatalf("waiting for %q", s.in.WaitingFor())
		}
		w.setDown(false)
		w.until(20*time.Second, "opened", s.opened(0))
		if !s.in.EverJoined() || s.in.WaitingFor() != "" || !s.in.MayStart(time.Now()) || time.Since(s.in.LastSeen()) > 10*time.Second {
			t.Fatalf("joined %v, waiting for %q, last seen %s", s.in.EverJoined(), s.in.WaitingFor(), s.in.LastSeen())
		}
	})
}

func TestReasonIsToldThoughTheLastAttemptWasCutOff(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.dig("localhost:9092", "localhost:9093", "localhost:9094")
		s := w.start()
		<-s.done
		if s.err == nil || !strings.Contains(s.err.Error(), "localhost:9092") || !strings.Contains(s.err.Error(), "TCP connect") {
			t.Fatal(s.err)
		}
		short := w.start(func(c *Config) { c.StartupTimeout = 5 * time.Second })
		<-short.done
		if !errors.Is(short.err, errNoAnswer) || !strings.Contains(short.err.Error(), "localhost:9092") || !strings.Contains(short.err.Error(), "TCP connect") {
			t.Fatal(short.err)
		}
	})
}

func TestWhatIsWaitedForIsToldBeforeAnythingHasFailed(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.dig("localhost:9092", "localhost:9093", "localhost:9094")
		silent := w.start()
		pass(5 * time.Second)
		if got := silent.in.WaitingFor(); !strings.Contains(got, "localhost:9092") {
			t.Errorf("brokers that answer nothing: waiting for %q", got)
		}
	})
	inWorld(t, 1, func(t *testing.T, w *world) {
		s := w.start(func(c *Config) {
			c.Ready = func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
		})
		pass(5 * time.Second)
		if got := s.in.WaitingFor(); !strings.Contains(got, "credentials") {
			t.Errorf("credentials that do not come: waiting for %q", got)
		}
	})
}

func TestWhatElseIsNeededIsWaitedForBeforeTheJoin(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		sent := w.watchGroup()
		var mu sync.Mutex
		missing := errors.New("no dead-letter topic")
		s := w.start(func(c *Config) {
			c.Ready = func(context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				return missing
			}
		})
		pass(20 * time.Second)
		if s.in.WaitingFor() != missing.Error() || len(sent.all()) > 0 {
			t.Fatalf("waiting for %q, sent %+v", s.in.WaitingFor(), sent.all())
		}
		mu.Lock()
		missing = nil
		mu.Unlock()
		w.until(20*time.Second, "opened", s.opened(0))
	})
}

func TestStopWhileStartingIsNoError(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.dig("localhost:9092", "localhost:9093", "localhost:9094")
		var log strings.Builder // read after the end
		s := w.start(func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		pass(5 * time.Second)
		began := time.Now()
		s.stop()
		<-s.done
		if s.err != nil || time.Since(began) > 0 {
			t.Fatalf("after %s: %v", time.Since(began), s.err)
		}
		if log.Len() > 0 {
			t.Errorf("a stop is no trouble:\n%s", log.String())
		}
	})
}
