package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/twmb/franz-go/pkg/kfake"
)

// answerWith is a broker that greets and answers every request with the same body.
func answerWith(body []byte) func(*peer) {
	return func(p *peer) {
		for ok := p.greet(); ok; {
			var q request
			if q, ok = p.read(); ok {
				p.answer(q.correlation, body)
			}
		}
	}
}

func TestDoAndExchangeShareOneConnection(t *testing.T) {
	k := startKafka(t, kfake.SeedTopics(3, "orders"))
	conn := dial(t, newCluster(t, Config{Brokers: k.ListenAddrs()}), k.ListenAddrs()[0])
	for range 20 {
		msg, err := conn.Do(t.Context(), 0, &findcoordinator.Request{Key: "g"})
		if err != nil {
			t.Fatal(err)
		}
		eq(t, msg.(*findcoordinator.Response).ErrorCode, 0)
		topic, _, err := conn.topic(t.Context(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		eq(t, len(topic.Partitions), 3)
	}
	eq(t, conn.Addr(), k.ListenAddrs()[0])
	eq(t, conn.Expiring(), false)
	if v, ok := conn.MaxVersion(protocol.Fetch); !ok || v < 13 {
		t.Errorf("Fetch v%d, %v", v, ok)
	}
	if _, ok := conn.MaxVersion(999); ok {
		t.Error("the broker knows an API 999")
	}
}

func TestAnswerThatArrivesInManyPiecesIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := scripted(t, Config{}, func(p *peer) {
			p.greet()
			q, _ := p.read()
			frame := binary.BigEndian.AppendUint32(nil, 4+3)
			frame = binary.BigEndian.AppendUint32(frame, uint32(q.correlation))
			for _, b := range append(frame, "abc"...) {
				p.write([]byte{b})
			}
			p.hang()
		})
		conn := dial(t, c, "broker:9092")
		got, err := conn.Exchange(t.Context(), 0, protocol.Fetch, 11, false, nil, nil)
		if err != nil || string(got) != "abc" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestExchangeReadsIntoTheSpaceThatItAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, scripted(t, Config{}, answerWith([]byte{0, 'h', 'i'})), "broker:9092")
		var buf []byte
		got, err := conn.Exchange(t.Context(), 0, protocol.Fetch, 13, true, nil, func(_ context.Context, n int) ([]byte, error) {
			buf = make([]byte, n)
			return buf, nil
		})
		if err != nil || string(got) != "hi" || len(buf) != 3 || &got[0] != &buf[1] {
			t.Errorf("got %q, %v, or elsewhere", got, err)
		}
		got, err = conn.Exchange(t.Context(), 0, protocol.Fetch, 11, false, nil, nil)
		if err != nil || string(got) != "\x00hi" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// An answer for which there is no memory stays where it is: the broker is not read from, and its time does not run.
func TestAnswerWaitsForItsSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken := make(chan bool, 1)
		c := scripted(t, Config{}, func(p *peer) {
			p.greet()
			q, _ := p.read()
			head := binary.BigEndian.AppendUint32(nil, 4+3)
			p.write(binary.BigEndian.AppendUint32(head, uint32(q.correlation)))
			p.write([]byte("abc"))
			taken <- true
			p.hang()
		})
		conn := dial(t, c, "broker:9092")
		got, err := conn.Exchange(t.Context(), time.Second, protocol.Fetch, 11, false, nil, func(_ context.Context, n int) ([]byte, error) {
			pass(time.Hour)
			if len(taken) > 0 {
				t.Error("the answer was read before there was space for it")
			}
			return make([]byte, n), nil
		})
		if err != nil || string(got) != "abc" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestAnswerThatWaitsForItsSpaceIsGivenUpWithItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, scripted(t, Config{}, answerWith([]byte("abc"))), "broker:9092")
		ctx, cancel := context.WithCancelCause(t.Context())
		revoked := errors.New("revoked")
		_, err := conn.Exchange(ctx, 0, protocol.Fetch, 11, false, nil, func(ctx context.Context, _ int) ([]byte, error) {
			cancel(revoked)
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		eq(t, err, revoked)
		eq(t, conn.broken(), true)
	})
}

func TestRequestHeaderFollowsTheVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, flexible := range []bool{false, true} {
			seen := make(chan request, 1)
			conn := dial(t, scripted(t, Config{}, func(p *peer) {
				p.greet()
				q, _ := p.read()
				seen <- q
				p.answer(q.correlation, []byte{0})
			}), "broker:9092")
			if _, err := conn.Exchange(t.Context(), 0, protocol.Fetch, 12, flexible, []byte("body"), nil); err != nil {
				t.Fatal(err)
			}
			want := "body"
			if flexible {
				want = "\x00body"
			}
			q := <-seen
			eq(t, string(q.rest), want)
			eq(t, q.api, protocol.Fetch)
			eq(t, q.version, 12)
		}
	})
}

func TestCancelledRequestClosesTheConnectionAtOnceWithItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, scripted(t, Config{}, func(p *peer) { p.greet(); p.hang() }), "broker:9092")
		revoked := errors.New("revoked")
		ctx, cancel := context.WithCancelCause(t.Context())
		began := time.Now()
		time.AfterFunc(3*time.Second, func() { cancel(revoked) })
		_, err := conn.Do(ctx, time.Minute, &findcoordinator.Request{})
		eq(t, err, revoked)
		eq(t, time.Since(began), 3*time.Second)
		eq(t, conn.broken(), true)
		if _, err := conn.Do(ctx, 0, &findcoordinator.Request{}); err != revoked {
			t.Errorf("a request under an ended ctx: %v", err)
		}
		_, err = conn.Do(t.Context(), 0, &findcoordinator.Request{})
		if err == nil || !Retriable(err) {
			t.Errorf("a request on a closed connection: %v", err)
		}
	})
}

func TestLateAnswerIsNeverThatOfTheNextRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, scripted(t, Config{}, func(p *peer) {
			p.greet()
			q, _ := p.read()
			pass(2 * time.Second) // the fake clock of the bubble: the answer is late, that is the point
			p.answer(q.correlation, make([]byte, 100))
			answerWith(make([]byte, 100))(p)
		}), "broker:9092")
		began := time.Now()
		_, err := conn.Do(t.Context(), time.Second, &findcoordinator.Request{})
		if err == nil || err.Error() != "wait for FindCoordinator of broker:9092: no answer within 1s: read pipe: i/o timeout" {
			t.Errorf("got %v", err)
		}
		eq(t, Retriable(err), true)
		eq(t, time.Since(began), time.Second)
		pass(5 * time.Second)
		if msg, err := conn.Do(t.Context(), 0, &findcoordinator.Request{}); err == nil {
			t.Errorf("got %v from a connection that timed out", msg)
		}
	})
}

func TestWaitingCallerGivesUpWithoutHurtingTheRequestUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, scripted(t, Config{}, func(p *peer) {
			p.greet()
			q, _ := p.read()
			pass(10 * time.Second)
			p.answer(q.correlation, []byte("first"))
			q, _ = p.read()
			p.answer(q.correlation, []byte("third"))
			p.hang()
		}), "broker:9092")
		first := make(chan string)
		go func() {
			got, err := conn.Exchange(t.Context(), 0, protocol.Fetch, 11, false, nil, nil)
			first <- string(got)
			if err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := conn.Exchange(ctx, 0, protocol.Fetch, 11, false, nil, nil); err != context.DeadlineExceeded {
			t.Errorf("second: %v", err)
		}
		third, err := conn.Exchange(t.Context(), 0, protocol.Fetch, 11, false, nil, nil)
		eq(t, err, nil)
		eq(t, <-first, "first")
		eq(t, string(third), "third")
	})
}

func TestCloseEndsARequestUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, scripted(t, Config{}, func(p *peer) { p.greet(); p.hang() }), "broker:9092")
		done := make(chan error)
		go func() {
			_, err := conn.Do(t.Context(), time.Hour, &findcoordinator.Request{})
			done <- err
		}()
		synctest.Wait()
		conn.Close()
		if err := <-done; err == nil {
			t.Error("the request goes on")
		}
		if err := conn.Close(); err != nil {
			t.Errorf("closing twice: %v", err)
		}
	})
}

func TestForeignCorrelationIDClosesTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, scripted(t, Config{}, func(p *peer) {
			p.greet()
			q, _ := p.read()
			p.answer(q.correlation+1, make([]byte, 30))
			p.hang()
		}), "broker:9092")
		_, err := conn.Do(t.Context(), 0, &findcoordinator.Request{})
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "the answer belongs to request 3, not 2") {
			t.Errorf("got %v", err)
		}
		eq(t, conn.broken(), true)
	})
}

func TestOversizeAnswerIsRefusedBeforeMemoryIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []uint32{1001, 1 << 30, 3, 0, 1 << 31, 1<<32 - 1} {
			for _, raw := range []bool{false, true} {
				conn := dial(t, scripted(t, Config{MaxResponseBytes: 1000}, func(p *peer) {
					p.greet()
					p.read()
					p.write(binary.BigEndian.AppendUint32(nil, size))
					p.hang()
				}), "broker:9092")
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				var err error
				if raw {
					_, err = conn.Exchange(t.Context(), 0, protocol.Fetch, 13, true, nil, nil)
				} else {
					_, err = conn.Do(t.Context(), 0, &findcoordinator.Request{})
				}
				runtime.ReadMemStats(&after)
				want := ErrMalformed
				if int32(size) > 1000 {
					want = ErrTooLarge
				}
				if !errors.Is(err, want) || Retriable(err) {
					t.Errorf("size %d: %v", size, err)
				}
				if size == 1001 && !strings.Contains(err.Error(), "1001 bytes are over the bound of 1000 (receive.message.max.bytes)") {
					t.Errorf("got %v", err)
				}
				if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
					t.Errorf("size %d: %d bytes allocated", size, took)
				}
				eq(t, conn.broken(), true)
			}
		}
	})
}

// Each of these makes kafka-go's decoder panic, exhaust the memory or loop.
func TestHostileLengthsInsideAnAnswerAreAnError(t *testing.T) {
	join := func(change func(*Writer)) []byte { // JoinGroup v7, up to its members
		var w Writer
		w.Tags()
		w.Int32(0)
		w.Int16(0)
		w.Int32(1)
		w.CompactString("consumer")
		w.CompactString("p")
		w.CompactString("leader")
		w.CompactString("me")
		change(&w)
		return w.B
	}
	for name, body := range map[string][]byte{
		"array of two thousand million members": join(func(w *Writer) { w.Uvarint(2_000_000_000) }),
		"array of 2^63 members":                 join(func(w *Writer) { w.Uvarint(1 << 63) }),
		"member metadata of 2^40 bytes": join(func(w *Writer) {
			w.CompactArrayLen(1)
			w.CompactString("m")
			w.Uvarint(0)
			w.Uvarint(1 << 40)
		}),
		"2^62 tags":      join(func(w *Writer) { w.Uvarint(1); w.Uvarint(1 << 62) }),
		"2^62 head tags": binary.AppendUvarint(nil, 1<<62),
		"cut short":      join(func(*Writer) {})[:9],
		"empty":          nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := dial(t, scripted(t, Config{}, answerWith(body)), "broker:9092")
				_, err := conn.Do(t.Context(), 0, &joingroup.Request{GroupID: "g", Protocols: []joingroup.RequestProtocol{{Name: "p"}}})
				if !errors.Is(err, ErrMalformed) {
					t.Errorf("got %v", err)
				}
				eq(t, conn.broken(), true)
			})
		})
	}
}

func TestRequestWithoutAnswerWaitsForNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(chan protocol.ApiKey, 2)
		conn := dial(t, scripted(t, Config{}, func(p *peer) {
			p.greet()
			q, _ := p.read()
			seen <- q.api
			q, _ = p.read()
			seen <- q.api
			p.answer(q.correlation, []byte("x"))
			p.hang()
		}), "broker:9092")
		msg, err := conn.Do(t.Context(), 0, &produce.Request{Acks: 0})
		if msg != nil || err != nil {
			t.Fatal(msg, err)
		}
		if _, err := conn.Exchange(t.Context(), 0, protocol.Fetch, 11, false, nil, nil); err != nil {
			t.Fatal(err)
		}
		eq(t, <-seen, protocol.Produce)
		eq(t, <-seen, protocol.Fetch)
	})
}

func TestUnknownAPIIsSaidWithoutARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, scripted(t, Config{}, func(p *peer) {
			q, _ := p.read()
			var w Writer
			w.Int16(0)
			w.ArrayLen(1)
			w.Int16(int16(protocol.FindCoordinator))
			w.Int16(3)
			w.Int16(6)
			p.answer(q.correlation, w.B)
			p.hang()
		}), "broker:9092")
		_, err := conn.Do(t.Context(), 0, &joingroup.Request{})
		if !errors.Is(err, kafka.UnsupportedVersion) || !strings.Contains(err.Error(), "send JoinGroup to broker:9092: the broker does not know this request") {
			t.Errorf("got %v", err)
		}
		_, err = conn.Do(t.Context(), 0, &findcoordinator.Request{})
		if !errors.Is(err, kafka.UnsupportedVersion) || !strings.Contains(err.Error(), "the broker accepts v3 to v6, this program speaks v0 to v2") {
			t.Errorf("got %v", err)
		}
		eq(t, conn.broken(), false)
	})
}

func TestLargeRequestDoesNotStayInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, scripted(t, Config{}, answerWith([]byte("x"))), "broker:9092")
		for _, n := range []int{1 << 20, 10} {
			if _, err := conn.Exchange(t.Context(), 0, protocol.Fetch, 11, false, bytes.Repeat([]byte{1}, n), nil); err != nil {
				t.Fatal(err)
			}
		}
		if cap(conn.out) > 64<<10 {
			t.Errorf("%d bytes are kept", cap(conn.out))
		}
	})
}

func TestEndOfTheConnectionInTheMiddleOfAnAnswerIsRetriable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, scripted(t, Config{}, func(p *peer) {
			p.greet()
			p.read()
			p.write([]byte{0, 0, 0, 9, 0})
		}), "broker:9092")
		_, err := conn.Do(t.Context(), 0, &findcoordinator.Request{})
		if err == nil || !Retriable(err) || errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}
