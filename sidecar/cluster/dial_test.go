package cluster

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/twmb/franz-go/pkg/kfake"
)

// works makes one request over a fresh connection to each broker.
func works(t *testing.T, c *Cluster, addrs []string) {
	t.Helper()
	for _, addr := range addrs {
		conn := dial(t, c, addr)
		if _, err := conn.Do(t.Context(), 0, &findcoordinator.Request{Key: "g"}); err != nil {
			t.Error(err)
		}
	}
}

func TestEveryWayToConnectWorks(t *testing.T) {
	authority := issue(t, nil, nil)
	broker, client := issue(t, authority, nil), issue(t, authority, nil)
	mutual := broker.serverTLS()
	requireClient(mutual, authority)
	password := file(t, "password", "se,cr=et\r\n")
	ca := Material{Value: authority.certPEM}
	user := Material{Value: "me"}
	for name, c := range map[string]struct {
		broker   []kfake.Opt
		security Security
	}{
		"plaintext": {nil, Security{}},
		"TLS":       {[]kfake.Opt{kfake.TLS(broker.serverTLS())}, Security{TLS: true, CA: ca}},
		"TLS, authority in a file": {[]kfake.Opt{kfake.TLS(broker.serverTLS())},
			Security{TLS: true, CA: Material{File: file(t, "ca.pem", authority.certPEM)}}},
		"mutual TLS": {[]kfake.Opt{kfake.TLS(mutual)},
			Security{TLS: true, CA: ca, Certificate: Material{Value: client.certPEM}, Key: Material{Value: client.keyPEM}}},
		"SASL PLAIN": {[]kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "me", "se,cr=et")},
			Security{Mechanism: "PLAIN", Username: user, Password: Material{File: password}}},
		"SCRAM-SHA-256": {[]kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "me", "se,cr=et")},
			Security{Mechanism: "SCRAM-SHA-256", Username: user, Password: Material{File: password}}},
		"SCRAM-SHA-512 over TLS": {[]kfake.Opt{kfake.TLS(broker.serverTLS()), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "me", "se,cr=et")},
			Security{TLS: true, CA: ca, Mechanism: "SCRAM-SHA-512", Username: user, Password: Material{Value: "se,cr=et"}}},
	} {
		t.Run(name, func(t *testing.T) {
			k := startKafka(t, c.broker...)
			works(t, newCluster(t, Config{Brokers: k.ListenAddrs(), Security: c.security, KeepAlive: true, NoDelay: true, SendBuffer: 1 << 16, ReceiveBuffer: 1 << 16}), k.ListenAddrs())
		})
	}
}

func TestRotatedPasswordIsUsedFromTheNextDialOn(t *testing.T) {
	k := startKafka(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "me", "new"))
	path := file(t, "password", "old\n")
	c := newCluster(t, Config{Brokers: k.ListenAddrs(), Security: Security{Mechanism: "PLAIN", Username: Material{Value: "me"}, Password: Material{File: path}}})
	if _, err := c.Dial(t.Context(), k.ListenAddrs()[0]); !errors.Is(err, kafka.SASLAuthenticationFailed) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path, []byte("new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	works(t, c, k.ListenAddrs())
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err := c.Dial(t.Context(), k.ListenAddrs()[0])
	if err == nil || !strings.HasPrefix(err.Error(), "read sasl.password: open ") || Retriable(err) {
		t.Errorf("got %v", err)
	}
}

func TestSessionLifetimeIsToldSoThatOwnersCanReconnect(t *testing.T) {
	k := startKafka(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "me", "pw"),
		kfake.BrokerConfigs(map[string]string{"connections.max.reauth.ms": "60000"}))
	c := newCluster(t, Config{Brokers: k.ListenAddrs(), Security: Security{Mechanism: "SCRAM-SHA-256", Username: Material{Value: "me"}, Password: Material{Value: "pw"}}})
	conn := dial(t, c, k.ListenAddrs()[0])
	if left := time.Until(conn.renewal); left < 21*time.Second || left > 57*time.Second || conn.Expiring() {
		t.Errorf("a session of a minute is renewed in %s", left)
	}
}

func TestSessionIsRenewedEarlyEnoughAndNotWithAllOthers(t *testing.T) {
	began := time.Now()
	for _, lifetime := range []time.Duration{time.Millisecond, time.Second, 3 * time.Second, time.Minute, time.Hour, 200 * 365 * 24 * time.Hour} {
		seen := map[time.Duration]bool{}
		for range 100 {
			var c Conn
			c.lives(began, lifetime)
			after := c.renewal.Sub(began)
			seen[after] = true
			if after < lifetime/2 || after > lifetime/20*19+1 || lifetime > 2*time.Second && lifetime-after < time.Second {
				t.Fatalf("a session of %s is renewed after %s", lifetime, after)
			}
		}
		if lifetime >= time.Minute && len(seen) < 50 {
			t.Errorf("sessions of %s are renewed at %d different times of 100", lifetime, len(seen))
		}
	}
}

func TestRefusedLoginSaysWhichOptionAndNeverThePassword(t *testing.T) {
	secret := "hunter2hunter2"
	sasl := []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "me", "right"), kfake.Superuser("SCRAM-SHA-256", "me", "right"), kfake.Superuser("SCRAM-SHA-512", "me", "right")}
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			k := startKafka(t, sasl...)
			addr := k.ListenAddrs()[0]
			c := newCluster(t, Config{Brokers: k.ListenAddrs(), Security: Security{Mechanism: mechanism, Username: Material{Value: "me"}, Password: Material{Value: secret}}})
			_, err := c.Dial(t.Context(), addr)
			if err == nil {
				t.Fatal("a wrong password is taken")
			}
			text := err.Error()
			if !strings.HasPrefix(text, "authenticate to "+addr+" as configured user: [58] SASL Authentication Failed") ||
				!strings.HasSuffix(text, "check sasl.username, sasl.password and sasl.mechanism)") {
				t.Errorf("got %s", text)
			}
			if strings.Contains(text, secret) {
				t.Error("the error holds the password")
			}
			eq(t, errors.Is(err, kafka.SASLAuthenticationFailed), true)
		})
	}
}

// saslBroker greets and answers the handshake with a code, then the tokens with what authenticate writes.
func saslBroker(code kafka.Error, authenticate func(*Writer)) func(*peer) {
	return func(p *peer) {
		p.greet()
		q, _ := p.read()
		var w Writer
		w.Int16(int16(code))
		w.ArrayLen(2)
		w.String("GSSAPI")
		w.String("SCRAM-SHA-512")
		p.answer(q.correlation, w.B)
		if code != 0 || authenticate == nil {
			p.hang()
			return
		}
		q, _ = p.read()
		w = Writer{}
		authenticate(&w)
		if w.B == nil {
			return // hangs up
		}
		p.answer(q.correlation, w.B)
		p.hang()
	}
}

func TestSASLMistakesNameTheOption(t *testing.T) {
	const pw = "tr0ub4dor"
	message := pw + " is wrong"
	for name, c := range map[string]struct {
		script    func(*peer)
		mechanism string
		want      string
		retriable bool
	}{
		"mechanism not enabled": {saslBroker(kafka.UnsupportedSASLMechanism, nil), "PLAIN",
			"[33] Unsupported SASL Mechanism: the broker does not support the requested SASL mechanism (hint: the broker offers GSSAPI, SCRAM-SHA-512; set sasl.mechanism)", false},
		"port without SASL": {saslBroker(kafka.IllegalSASLState, nil), "PLAIN",
			"[34] Illegal SASL State: the request is not valid given the current SASL state (hint: the broker's port does not use SASL; set security.protocol to plaintext or ssl)", false},
		"hang-up instead of an answer": {saslBroker(0, func(*Writer) {}), "PLAIN",
			"[58] SASL Authentication Failed: SASL Authentication failed: exchange SaslAuthenticate with broker:9092: EOF (hint: the broker hung up without a reason; check sasl.username, sasl.password and sasl.mechanism)", true},
		"broker that repeats the password": {saslBroker(0, func(w *Writer) {
			w.Int16(int16(kafka.SASLAuthenticationFailed))
			w.NullableString(&message)
			w.Int32(0)
			w.Int64(0)
		}), "PLAIN", "[58] SASL Authentication Failed: SASL Authentication failed: *** is wrong (hint: check sasl.username, sasl.password and sasl.mechanism)", false},
		"broker that does not know the password either": {saslBroker(0, func(w *Writer) {
			w.Int16(0)
			w.NullableString(nil)
			w.Int32(5)
			w.B = append(w.B, "r=abc"...)
			w.Int64(0)
		}), "SCRAM-SHA-256", "[58] SASL Authentication Failed: SASL Authentication failed: ", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl := scripted(t, Config{Security: Security{Mechanism: c.mechanism, Username: Material{Value: "me"}, Password: Material{Value: pw}}}, c.script)
				_, err := cl.Dial(t.Context(), "broker:9092")
				if err == nil || !strings.HasPrefix(err.Error(), "authenticate to broker:9092 as configured user: "+c.want) {
					t.Errorf("got  %v\nwant %s", err, c.want)
				}
				eq(t, Retriable(err), c.retriable)
				eq(t, strings.Contains(fmt.Sprint(err), pw), false)
			})
		})
	}
}

func TestPortThatWantsSASLIsGuessedFromTheHangUp(t *testing.T) {
	k := startKafka(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "me", "pw"))
	_, err := newCluster(t, Config{Brokers: k.ListenAddrs()}).Coordinator(t.Context(), "g")
	want := "(hint: the broker hung up on the first request; if this port expects SASL, set security.protocol to sasl_plaintext or sasl_ssl, and sasl.mechanism)"
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

func TestPasswordThatSCRAMCannotSayIsNotQuoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl := scripted(t, Config{Security: Security{Mechanism: "SCRAM-SHA-256", Username: Material{Value: "me"}, Password: Material{Value: "pw\x00\u0627z"}}}, answerWith(nil))
		_, err := cl.Dial(t.Context(), "broker:9092")
		if err == nil || !strings.Contains(err.Error(), "RFC 4013") || strings.ContainsAny(err.Error(), "\x00\u0627") {
			t.Errorf("got %v", err)
		}
	})
}

// A broker that accepts and then says nothing, in each step of the set-up.
func TestSilentBrokerHoldsNobodyLongerThanSetupTimeout(t *testing.T) {
	// valid at the bubble's clock, which begins in 2000
	lasting := func(c *x509.Certificate) {
		c.DNSNames, c.NotBefore, c.NotAfter = []string{"broker"}, time.Unix(0, 0), time.Now().Add(time.Hour)
	}
	authority := issue(t, nil, lasting)
	broker := issue(t, authority, lasting)
	plainSASL := Security{Mechanism: "PLAIN", Username: Material{Value: "me"}, Password: Material{Value: "pw"}}
	overTLS := Security{TLS: true, CA: Material{Value: authority.certPEM}}
	for name, c := range map[string]struct {
		security Security
		script   func(*peer)
		want     string
	}{
		"TLS":              {overTLS, func(p *peer) { p.hang() }, "in the step TLS handshake: the connection was not ready in time: context deadline exceeded (hint: does this port speak TLS? see security.protocol)"},
		"ApiVersions":      {Security{}, func(p *peer) { p.hang() }, "in the step ApiVersions: "},
		"TLS, ApiVersions": {overTLS, func(p *peer) { p.secure(broker.serverTLS()); p.hang() }, "in the step ApiVersions: "},
		"SaslHandshake":    {plainSASL, func(p *peer) { p.greet(); p.hang() }, "in the step SASL: "},
		"SaslAuthenticate": {plainSASL, saslBroker(0, nil), "in the step SASL: "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl := scripted(t, Config{SetupTimeout: 7 * time.Second, Security: c.security}, c.script)
				began := time.Now()
				_, err := cl.Dial(t.Context(), "broker:9092")
				if err == nil || !strings.Contains(err.Error(), "connect to broker:9092: no answer within 7s, "+c.want) {
					t.Errorf("got %v", err)
				}
				eq(t, Retriable(err), true)
				eq(t, time.Since(began), 7*time.Second)
			})
			synctest.Test(t, func(t *testing.T) { // and nobody whose ctx ends
				cl := scripted(t, Config{SetupTimeout: 7 * time.Second, Security: c.security}, c.script)
				stopped := errors.New("stopped")
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(stopped) })
				began := time.Now()
				_, err := cl.Dial(ctx, "broker:9092")
				eq(t, err, stopped)
				eq(t, time.Since(began), time.Second)
			})
		})
	}
	t.Run("TCP", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cl := newCluster(t, Config{SetupTimeout: 7 * time.Second, Brokers: []string{"broker:9092"}, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}})
			began := time.Now()
			_, err := cl.Dial(t.Context(), "broker:9092")
			if err == nil || !strings.Contains(err.Error(), "no answer within 7s, in the step TCP connect") || !Retriable(err) {
				t.Errorf("got %v", err)
			}
			eq(t, time.Since(began), 7*time.Second)
		})
	})
}

// The steps share one budget: a broker that takes a little less than it for each is still too slow.
func TestSlowStepsTogetherEndAtSetupTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl := scripted(t, Config{SetupTimeout: 7 * time.Second, Security: Security{Mechanism: "PLAIN", Username: Material{Value: "me"}, Password: Material{Value: "pw"}}}, func(p *peer) {
			pass(6 * time.Second)
			p.greet()
			pass(6 * time.Second)
			p.hang()
		})
		began := time.Now()
		_, err := cl.Dial(t.Context(), "broker:9092")
		if err == nil {
			t.Error("connected")
		}
		eq(t, time.Since(began), 7*time.Second)
		pass(time.Minute) // lets the script run out
	})
}

func TestRefusedConnectionKeepsItsCause(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, err = newCluster(t, Config{Brokers: []string{addr}}).Dial(t.Context(), addr)
	var op *net.OpError
	if !errors.As(err, &op) || !strings.HasPrefix(err.Error(), "connect to "+addr+": dial tcp "+addr) || !Retriable(err) {
		t.Errorf("got %v", err)
	}
}

func TestBrokerThatCannotSayItsVersionsIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for body, want := range map[string]string{
			"\x00\x23":                         "ask broker:9092 for its versions: [35]",
			"\x00\x00\x7f\xff\xff\xff":         "ask broker:9092 for its versions: malformed response: array of 2147483647 elements",
			"\x00\x00\x00\x00\x00\x01\x00\x01": "ask broker:9092 for its versions: malformed response",
		} {
			cl := scripted(t, Config{}, func(p *peer) {
				q, _ := p.read()
				p.answer(q.correlation, []byte(body))
				p.hang()
			})
			if _, err := cl.Dial(t.Context(), "broker:9092"); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	})
}
