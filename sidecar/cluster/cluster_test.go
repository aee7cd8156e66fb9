package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

func TestTopicShowsIDLeadersAndBrokers(t *testing.T) {
	k := startKafka(t, kfake.NumBrokers(3), kfake.SeedTopics(6, "orders"), kfake.SeedTopics(1, "other"))
	c := newCluster(t, Config{Brokers: k.ListenAddrs()[:1]})
	topic, err := c.Topic(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	eq(t, topic.Name, "orders")
	eq(t, topic.ID, k.TopicInfo("orders").TopicID)
	eq(t, len(topic.Partitions), 6)
	for i, p := range topic.Partitions {
		eq(t, p.ID, int32(i))
		eq(t, p.LeaderID, k.LeaderFor("orders", p.ID))
		addr, ok := c.BrokerAddr(p.LeaderID)
		eq(t, ok, true)
		eq(t, p.Leader, addr)
		eq(t, p.Err, nil)
		eq(t, p.Replicas > 0 && p.ISR > 0, true)
		eq(t, p.LeaderEpoch >= 0, true)
	}
	_, ok := c.BrokerAddr(99)
	eq(t, ok, false)
}

func TestTopicOfAnOldBrokerHasNoID(t *testing.T) {
	k := startKafka(t, kfake.SeedTopics(2, "orders"), kfake.MaxVersions(kversion.V2_3_0()))
	c := newCluster(t, Config{Brokers: k.ListenAddrs()})
	topic, err := c.Topic(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	eq(t, topic.ID, [16]byte{})
	eq(t, len(topic.Partitions), 2)
	eq(t, topic.Partitions[1].Leader, k.ListenAddrs()[0])
	eq(t, topic.Partitions[1].LeaderEpoch >= 0, true)
}

func TestMissingTopicIsSaidAndNotMade(t *testing.T) {
	for name, versions := range map[string]*kversion.Versions{"new": kversion.Stable(), "old": kversion.V2_3_0()} {
		t.Run(name, func(t *testing.T) {
			k := startKafka(t, kfake.AllowAutoTopicCreation(), kfake.MaxVersions(versions))
			_, err := newCluster(t, Config{Brokers: k.ListenAddrs()}).Topic(t.Context(), "typo")
			if !errors.Is(err, kafka.UnknownTopicOrPartition) || !strings.HasPrefix(err.Error(), `look up topic "typo": [3]`) {
				t.Errorf("got %v", err)
			}
			if k.TopicInfo("typo") != nil {
				t.Error("the topic was made")
			}
		})
	}
}

// metadataAnswer is what a broker answers to Metadata, with one topic.
func metadataAnswer(topic string, code kafka.Error, partitions ...kmsg.MetadataResponseTopicPartition) func(kmsg.Request) (kmsg.Response, error, bool) {
	return func(q kmsg.Request) (kmsg.Response, error, bool) {
		r := q.ResponseKind().(*kmsg.MetadataResponse)
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = 5, "::1", 9092
		t := kmsg.NewMetadataResponseTopic()
		t.Topic, t.ErrorCode, t.Partitions = &topic, int16(code), partitions
		r.Brokers, r.Topics = []kmsg.MetadataResponseBroker{b}, []kmsg.MetadataResponseTopic{t}
		return r, nil, true
	}
}

func TestTroublesOfPartitionsStayWithThem(t *testing.T) {
	for name, versions := range map[string]*kversion.Versions{"new": kversion.Stable(), "old": kversion.V2_3_0()} {
		t.Run(name, func(t *testing.T) {
			k := startKafka(t, kfake.MaxVersions(versions))
			part := func(id, leader int32, code kafka.Error) kmsg.MetadataResponseTopicPartition {
				p := kmsg.NewMetadataResponseTopicPartition()
				p.Partition, p.Leader, p.ErrorCode, p.Replicas = id, leader, int16(code), []int32{5, 6}
				return p
			}
			k.ControlKey(int16(protocol.Metadata), metadataAnswer("orders", 0, part(2, -1, kafka.LeaderNotAvailable), part(0, 5, 0), part(1, 6, 0)))
			topic, err := newCluster(t, Config{Brokers: k.ListenAddrs()}).Topic(t.Context(), "orders")
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []Partition{
				{ID: 0, LeaderID: 5, Leader: "[::1]:9092"},
				{ID: 1, LeaderID: 6, Err: kafka.LeaderNotAvailable}, // a leader that the list of brokers does not hold
				{ID: 2, LeaderID: -1, Err: kafka.LeaderNotAvailable},
			} {
				want.LeaderEpoch, want.Replicas = -1, 2
				eq(t, topic.Partitions[i], want)
			}
		})
	}
}

func TestForbiddenTopicIsSaid(t *testing.T) {
	k := startKafka(t)
	c := newCluster(t, Config{Brokers: k.ListenAddrs()})
	k.ControlKey(int16(protocol.Metadata), metadataAnswer("orders", kafka.TopicAuthorizationFailed))
	if _, err := c.Topic(t.Context(), "orders"); !errors.Is(err, kafka.TopicAuthorizationFailed) || Retriable(err) {
		t.Errorf("got %v", err)
	}
	k.ControlKey(int16(protocol.Metadata), metadataAnswer("another", 0))
	if _, err := c.Topic(t.Context(), "orders"); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

func TestCoordinatorIsFoundThroughAnyBroker(t *testing.T) {
	k := startKafka(t, kfake.NumBrokers(3))
	for _, addr := range k.ListenAddrs() {
		got, err := newCluster(t, Config{Brokers: []string{addr}}).Coordinator(t.Context(), "billing")
		if err != nil || !strings.Contains(strings.Join(k.ListenAddrs(), " "), got) {
			t.Errorf("got %q, %v", got, err)
		}
	}
	c := newCluster(t, Config{Brokers: k.ListenAddrs()})
	why := "the offsets topic is being made"
	k.ControlKey(int16(protocol.FindCoordinator), func(q kmsg.Request) (kmsg.Response, error, bool) {
		r := q.ResponseKind().(*kmsg.FindCoordinatorResponse)
		r.ErrorCode, r.ErrorMessage = int16(kafka.GroupCoordinatorNotAvailable), &why
		return r, nil, true
	})
	_, err := c.Coordinator(t.Context(), "billing")
	if !errors.Is(err, kafka.GroupCoordinatorNotAvailable) || !strings.HasSuffix(err.Error(), why) || !Retriable(err) {
		t.Errorf("got %v", err)
	}
}

func TestCheckAcceptsWhatWorks(t *testing.T) {
	for name, v := range map[string]*kversion.Versions{"2.3": kversion.V2_3_0(), "newest": kversion.Stable()} {
		t.Run(name, func(t *testing.T) {
			k := startKafka(t, kfake.MaxVersions(v), kfake.EnableSASL(), kfake.Superuser("PLAIN", "me", "pw"))
			c := newCluster(t, Config{Brokers: k.ListenAddrs(), Security: Security{Mechanism: "PLAIN", Username: Material{Value: "me"}, Password: Material{Value: "pw"}}})
			if err := c.Check(t.Context(), protocol.Produce, protocol.InitProducerId); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCheckNamesWhatIsTooOldOrTooNew(t *testing.T) {
	k := startKafka(t, kfake.MaxVersions(kversion.V2_1_0()))
	addr := k.ListenAddrs()[0]
	err := newCluster(t, Config{Brokers: []string{addr}}).Check(t.Context())
	want := "compare versions with " + addr + ": Fetch v11 is needed (it has leader epochs and follower fetching), the broker offers v4 to v10: " +
		"Kafka 2.3 or newer is needed: [35] Unsupported Version"
	if err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, kafka.UnsupportedVersion) || Retriable(err) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	synctest.Test(t, func(t *testing.T) {
		err := scripted(t, Config{}, func(p *peer) {
			q, _ := p.read()
			var w Writer
			w.Int16(0)
			w.ArrayLen(len(consumer) - 1)
			for _, api := range consumer[1:] { // Metadata is missing
				w.Int16(int16(api))
				w.Int16(needed[api].min)
				w.Int16(99)
			}
			w.B[6+6*3+3] = 5 // Heartbeat's lowest
			p.answer(q.correlation, w.B)
			p.hang()
		}).Check(t.Context())
		want := "compare versions with broker:9092: Metadata is not offered; Heartbeat is spoken up to v4, the broker offers v5 to v99: " +
			"Kafka 2.3 or newer is needed, the broker needs a newer kafka-sidecar: [35]"
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
}

// What Check promises must be what Do sends: kafka-go's ranges, and beyond them only what is encoded by hand.
func TestCheckComparesWhatIsReallySent(t *testing.T) {
	for api, ours := range needed {
		highest := api.MaxVersion()
		switch api {
		case protocol.Metadata:
			highest = 12
		case protocol.Fetch:
			highest = 13
		}
		if ours.max != highest || ours.min < api.MinVersion() {
			t.Errorf("%v: v%d to v%d, kafka-go speaks v%d to v%d", api, ours.min, ours.max, api.MinVersion(), api.MaxVersion())
		}
	}
}

func TestLookupGoesOnWhenTheBrokerHungUpOnAnIdleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int32
		c := scripted(t, Config{}, func(p *peer) {
			dials.Add(1)
			p.greet()
			q, _ := p.read()
			p.answer(q.correlation, coordinatorAt("b", 1))
		}) // and hangs up
		for range 3 {
			if _, err := c.Coordinator(t.Context(), "g"); err != nil {
				t.Error(err)
			}
		}
		eq(t, dials.Load(), 3)
	})
}

func coordinatorAt(host string, port int32) []byte { // FindCoordinator v2
	var w Writer
	w.Int32(0)
	w.Int16(0)
	w.NullableString(nil)
	w.Int32(1)
	w.String(host)
	w.Int32(port)
	return w.B
}

func TestLookupsShareOneConnection(t *testing.T) {
	var dials atomic.Int32
	k := startKafka(t, kfake.SeedTopics(1, "orders"))
	c := newCluster(t, Config{Brokers: k.ListenAddrs(), Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}})
	for range 3 {
		if _, err := c.Topic(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Coordinator(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
	}
	eq(t, dials.Load(), 1)
}

func TestLookupReconnectsBeforeTheSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int32
		c := scripted(t, Config{}, func(p *peer) { dials.Add(1); answerWith(coordinatorAt("b", 1))(p) })
		if _, err := c.Coordinator(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		c.shared.renewal = time.Now()
		if _, err := c.Coordinator(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		eq(t, dials.Load(), 2)
	})
}

func TestCloseEndsLookupsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := scripted(t, Config{}, func(p *peer) { p.greet(); p.hang() })
		done := make(chan error)
		go func() {
			_, err := c.Coordinator(t.Context(), "g")
			done <- err
		}()
		synctest.Wait()
		go c.Close()
		if err := <-done; !errors.Is(err, errClosed) {
			t.Errorf("got %v", err)
		}
		if _, err := c.Coordinator(t.Context(), "g"); !errors.Is(err, errClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// network is a Config.Dial for made-up hosts: "dead" answers nothing, "closed" refuses, every other plays the script.
func network(script func(*peer)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		switch {
		case strings.HasPrefix(addr, "dead"):
			<-ctx.Done()
			return nil, ctx.Err()
		case strings.HasPrefix(addr, "closed"):
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			script(&peer{conn: theirs})
		}()
		return ours, nil
	}
}

func TestDeadBrokersCostASecondAndRefusingOnesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, Config{Brokers: []string{"closed:1", "dead:1", "dead:2", "closed:2", "good:1", "good:2"}, Dial: network(answerWith(nil))})
		began := time.Now()
		conn, err := c.DialAny(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		eq(t, conn.Addr(), "good:1")
		eq(t, time.Since(began), 2*time.Second)
		began = time.Now()
		again, err := c.DialAny(t.Context()) // the one that answered is asked first now
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		eq(t, time.Since(began), 0)
	})
}

func TestNoBrokerAtAllSaysWhatEachOfThemSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, Config{Brokers: []string{"closed:1", "dead:1", "closed:2"}, SetupTimeout: 5 * time.Second, Dial: network(nil)})
		began := time.Now()
		_, err := c.DialAny(t.Context())
		want := "none of 3 brokers is reachable: connect to closed:1: dial tcp: connection refused; connect to closed:2: dial tcp: connection refused; connect to dead:1: no answer within 5s, in the step TCP connect"
		if err == nil || !strings.HasPrefix(err.Error(), want) || !Retriable(err) {
			t.Errorf("got %v", err)
		}
		eq(t, time.Since(began), 5*time.Second)

		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(2*time.Second, func() { cancel(stopped) })
		began = time.Now()
		_, err = c.DialAny(ctx)
		eq(t, err, stopped)
		eq(t, time.Since(began), 2*time.Second)
	})
}

func TestBrokersThatAnsweredNothingInTimeAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, Config{Brokers: []string{"closed:1", "dead:1", "dead:2"}, Dial: network(nil)})
		over := errors.New("time is up")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, over)
		defer cancel()
		err := c.Check(ctx)
		want := "none of 3 brokers is reachable: connect to closed:1: dial tcp: connection refused; connect to dead:"
		if !errors.Is(err, over) || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "connect to dead:1, in the step TCP connect: time is up") {
			t.Errorf("got %v", err)
		}
	})
}

func TestKnownBrokersAreAskedBesideTheBootstrapList(t *testing.T) {
	k := startKafka(t, kfake.NumBrokers(3), kfake.SeedTopics(1, "orders"))
	c := newCluster(t, Config{Brokers: k.ListenAddrs()[:1]})
	if _, err := c.Topic(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	if err := k.RemoveNode(0); err != nil { // the only one of the bootstrap list
		t.Fatal(err)
	}
	if _, err := c.Topic(t.Context(), "orders"); err != nil {
		t.Error(err)
	}
	if _, err := c.Coordinator(t.Context(), "g"); err != nil {
		t.Error(err)
	}
}

func TestBackoffGrowsToItsMaximumWithJitter(t *testing.T) {
	c := newCluster(t, Config{Brokers: []string{"b:1"}, RetryBackoff: 100 * time.Millisecond, RetryBackoffMax: time.Second})
	for n, want := range map[int]time.Duration{0: 100, 1: 100, 2: 200, 4: 800, 5: 1000, 1 << 40: 1000} {
		for range 50 {
			if got := c.Backoff(n); got < want*time.Millisecond/2 || got > want*time.Millisecond {
				t.Errorf("try %d: %s", n, got)
			}
		}
	}
}

func TestEveryMistakeOfTheConfigurationIsFoundAtOnce(t *testing.T) {
	_, err := New(Config{Brokers: []string{"b", "b:1", ":1"}, Network: "udp", RequestTimeout: -1, Security: Security{
		Mechanism: "GSSAPI", Keystore: "k", Certificate: Material{Value: "c"}}})
	want := "configure cluster: " + strings.Join([]string{
		`bootstrap.servers: "b" is not host:port`, `bootstrap.servers: ":1" is not host:port`, `unknown network "udp"`,
		"timeouts and receive.message.max.bytes must be positive",
		`sasl.mechanism: "GSSAPI" is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER`,
		"ssl.certificate.location and ssl.key.location go together", "ssl.keystore.location excludes ssl.certificate.location",
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "bootstrap.servers is empty") {
		t.Errorf("got %v", err)
	}
	if _, err := New(Config{Brokers: []string{"b:1"}, Security: Security{Mechanism: "PLAIN"}}); err == nil || !strings.Contains(err.Error(), "needs sasl.username and sasl.password") {
		t.Errorf("got %v", err)
	}
}

func TestConfigurationNeverPrintsASecret(t *testing.T) {
	secret := Material{Value: "hunter2"}
	cfg := Config{Security: Security{Password: secret, Key: secret, KeyPassword: secret, KeystorePassword: secret, Username: Material{File: "/run/user"}}}
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", slog.Any("password", secret), slog.Any("security", cfg.Security))
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", slog.Any("password", secret), slog.Any("security", cfg.Security))
	fmt.Fprintf(&b, "%v %+v %#v %s", cfg, cfg, cfg, cfg.Security.Password)
	if strings.Contains(b.String(), "hunter2") || !strings.Contains(b.String(), "file /run/user") {
		t.Error(b.String())
	}
}

func TestSkippedVerificationIsWarnedOf(t *testing.T) {
	var b strings.Builder
	log := slog.New(slog.NewTextHandler(io.MultiWriter(&b), nil))
	newCluster(t, Config{Brokers: []string{"b:1"}, Logger: log, Security: Security{TLS: true, SkipVerify: true}})
	if !strings.Contains(b.String(), "level=WARN") || !strings.Contains(b.String(), "enable.ssl.certificate.verification") {
		t.Error(b.String())
	}
}
