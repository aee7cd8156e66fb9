package security

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// follow produces a record at a time and waits for its delivery, until done says that enough has happened.
func follow(t *testing.T, b *harness.Broker, h *harness.Handler, topic string, done func() bool) {
	t.Helper()
	harness.Eventually(t, harness.Patience, func() (bool, string) {
		h.WaitSettled(b.Produce(harness.Record(topic, "k", "1")))
		return done(), "what is waited for did not happen"
	})
}

// checkNothingRevoked wants one assignment, and every record once.
func checkNothingRevoked(t *testing.T, s *harness.Sidecar, h *harness.Handler) {
	t.Helper()
	if n := s.Metrics().Value("kafka_sidecar_rebalances_total"); n != 1 {
		t.Errorf("%v rebalances, want the first one only", n)
	}
	if n := h.Repeats(); n != 0 {
		t.Errorf("%d records were delivered again", n)
	}
}

// TestTokensThatEndInSecondsRevokeNothing: the broker ends a session with its token (KIP-368), so that every connection is made anew, with a
// token that was fetched before the old one ended, again and again.
func TestTokensThatEndInSecondsRevokeNothing(t *testing.T) {
	b := harness.Real(t)
	topic := b.CreateTopic(1)
	o := byToken("short-lived", client{secret: "client-hunter10", audience: audience, life: 4 * time.Second})
	h := harness.NewHandler(t, harness.OK)
	s := harness.Start(t, over(b, "TOKENS", topic, h, o)).WaitReady()
	follow(t, b, h, topic, func() bool { return len(provider.tokens("short-lived")) >= 5 })
	checkNothingRevoked(t, s, h)
	checkSecrets(t, strings.Join(s.Lines(), "\n"), secretsOf(o, provider.tokens("short-lived")...))
}

// TestOutageOfTheTokenEndpointIsRiddenOut: renewals fail for a while and are tried again while the old token holds.
func TestOutageOfTheTokenEndpointIsRiddenOut(t *testing.T) {
	b := harness.Real(t)
	topic := b.CreateTopic(1)
	const id = "rides-out"
	c := client{secret: "client-hunter11", audience: audience, life: 10 * time.Second}
	o := byToken(id, c)
	h := harness.NewHandler(t, harness.OK)
	s := harness.Start(t, over(b, "TOKENS", topic, h, o)).WaitReady()
	c.outage = 2
	provider.register(id, c)
	follow(t, b, h, topic, func() bool { return len(provider.tokens(id)) >= 2 })
	s.WaitLog("the token could not be renewed", "503")
	checkNothingRevoked(t, s, h)
	checkSecrets(t, strings.Join(s.Lines(), "\n"), secretsOf(o, provider.tokens(id)...))
}

// TestRotatedPasswordIsUsedAtTheNextConnection: the broker ends the sessions of this mechanism after some seconds, the old password is of no
// use any more, and all goes on.
func TestRotatedPasswordIsUsedAtTheNextConnection(t *testing.T) {
	b := harness.Real(t)
	topic := b.CreateTopic(1)
	const renewed = "renewed-hunter12"
	path := write(t, carolPassword)
	o := byPassword("SCRAM-SHA-512", carol, "").set("sasl.password!file", path)
	h := harness.NewHandler(t, harness.OK)
	env := over(b, "SASLSSL", topic, h, o)
	s := harness.Start(t, env).WaitReady()
	h.WaitSettled(b.Produce(harness.Record(topic, "k", "0")))
	if err := os.WriteFile(path, []byte(renewed+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	done, err := b.Admin().AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{{User: carol, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: renewed}})
	if err != nil || done.Error() != nil {
		t.Fatalf("change the password: %v, %v", err, done.Error())
	}
	out, _, code := harness.Run(t, over(b, "SASLSSL", topic, h, o.set("sasl.password!file", "", "sasl.password", carolPassword)), "check")
	if code != 1 || !strings.Contains(out, "SASL Authentication Failed") {
		t.Fatalf("the old password still works: %d\n%s", code, out)
	}
	// By then no session is left that began with the old password.
	lived := time.Duration(2) * must(time.ParseDuration(session+"ms"))
	changed := time.Now()
	follow(t, b, h, topic, func() bool { return time.Since(changed) > lived })
	checkNothingRevoked(t, s, h)
	checkSecrets(t, fmt.Sprint(s.Lines()), []string{carolPassword, renewed})
}

// TestLoginThatFailsWhileRunningNeverEndsTheProcess: a password that is changed at the broker alone costs the partitions, and nothing else;
// once the file has it too, all goes on.
func TestLoginThatFailsWhileRunningNeverEndsTheProcess(t *testing.T) {
	b := harness.Real(t)
	topic := b.CreateTopic(1)
	const before, after = "before-hunter13", "after-hunter14"
	change := func(password string) {
		t.Helper()
		done, err := b.Admin().AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{{User: "dave", Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password}})
		if err != nil || done.Error() != nil {
			t.Fatalf("change the password: %v, %v", err, done.Error())
		}
	}
	change(before)
	path := write(t, before)
	h := harness.NewHandler(t, harness.OK)
	env := over(b, "SASLSSL", topic, h, byPassword("SCRAM-SHA-512", "dave", "").set("sasl.password!file", path, "session.timeout.ms", "6000"))
	s := harness.Start(t, env).WaitReady()
	h.WaitSettled(b.Produce(harness.Record(topic, "k", "0")))
	change(after)
	s.WaitStatus("/ready", http.StatusServiceUnavailable)
	records := b.Produce(harness.Record(topic, "k", "1"))
	b.WaitMembers(env.Group(), 0) // the broker has given it up
	if err := os.WriteFile(path, []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
	h.WaitSettled(records)
	s.WaitReady()
	checkSecrets(t, strings.Join(s.Lines(), "\n"), []string{before, after})
}

// TestRotatedClientCertificateIsUsedAtTheNextConnection: the broker takes one certificate only, then another one only.
func TestRotatedClientCertificateIsUsedAtTheNextConnection(t *testing.T) {
	old, renewed, ours := issue(authority), issue(authority), issue(authority)
	var taken atomic.Pointer[identity]
	taken.Store(old)
	var refused atomic.Int64
	server := &tls.Config{
		Certificates: []tls.Certificate{issue(authority).tls()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.pool(),
		VerifyConnection: func(state tls.ConnectionState) error {
			if leaf := state.PeerCertificates[0]; !leaf.Equal(taken.Load().leaf) && !leaf.Equal(ours.leaf) {
				refused.Add(1)
				return errors.New("not this certificate any more")
			}
			return nil
		},
	}
	b := harness.FakeTLS(t, server, &tls.Config{RootCAs: authority.pool(), ServerName: "localhost", Certificates: []tls.Certificate{ours.tls()}})
	topic := b.CreateTopic(1)
	cert, key := write(t, old.cert), write(t, old.key)
	h := harness.NewHandler(t, harness.OK)
	env := harness.TestEnv(b, topic, h).With("KAFKA_OPTION_SECURITY_PROTOCOL", "ssl", "KAFKA_OPTION_SSL_CA_PEM", authority.cert,
		"KAFKA_OPTION_SSL_CERTIFICATE_LOCATION", cert, "KAFKA_OPTION_SSL_KEY_LOCATION", key,
		"KAFKA_OPTION_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM", "none") // kfake says its address
	s := harness.Start(t, env).WaitReady()
	h.WaitSettled(b.Produce(harness.Record(topic, "k", "0")))
	for path, text := range map[string]string{cert: renewed.cert, key: renewed.key} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	taken.Store(renewed)
	b.Outage() // ends every connection
	b.Recover()
	h.WaitSettled(b.Produce(harness.Record(topic, "k", "1")))
	s.WaitReady()
	if n := refused.Load(); n != 0 {
		t.Errorf("the old certificate was shown %d times after it was renewed", n)
	}
	checkSecrets(t, strings.Join(s.Lines(), "\n"), []string{strings.Split(old.key, "\n")[1], strings.Split(renewed.key, "\n")[1]})
}
