package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
)

// tokens is a source that gives what it was given.
type tokens struct {
	token   string
	err     error
	refused []string
	closed  bool
}

func (s *tokens) Token(context.Context) (string, error) { return s.token, s.err }
func (s *tokens) Refused(token string)                  { s.refused = append(s.refused, token) }
func (s *tokens) Close()                                { s.closed = true }

// bearerBroker answers a token with a challenge and what follows it; said gets what the client sent.
func bearerBroker(said chan<- string, challenge string, lifetime int64) func(*peer) {
	return func(p *peer) {
		p.greet()
		q, _ := p.read()
		var w Writer
		w.Int16(0)
		w.ArrayLen(1)
		w.String("OAUTHBEARER")
		p.answer(q.correlation, w.B)
		for code := int16(0); ; code = int16(kafka.SASLAuthenticationFailed) {
			q, ok := p.read()
			if !ok {
				return
			}
			r := NewReader(q.rest)
			said <- string(r.Bytes(int(r.Int32())))
			w = Writer{}
			w.Int16(code)
			w.String("the token t0ken is bad")
			w.Int32(int32(len(challenge)))
			w.B = append(w.B, challenge...)
			if q.version > 0 {
				w.Int64(lifetime)
			}
			p.answer(q.correlation, w.B)
		}
	}
}

func TestTokenAndExtensionsGoInOneMessage(t *testing.T) {
	said := make(chan string, 4)
	source := &tokens{token: "t0ken"}
	c := scripted(t, Config{Security: Security{Mechanism: "OAUTHBEARER", Tokens: source, Extensions: []Extension{{"logicalCluster", "lkc-1"}, {"identityPoolId", "pool 2"}}}},
		bearerBroker(said, "", 60_000))
	conn := dial(t, c, "broker:9092")
	eq(t, <-said, "n,,\x01auth=Bearer t0ken\x01logicalCluster=lkc-1\x01identityPoolId=pool 2\x01\x01")
	if left := time.Until(conn.renewal); left <= 0 || left > time.Minute {
		t.Errorf("the session is renewed in %s", left)
	}
	eq(t, len(source.refused), 0)
	c.Close()
	eq(t, source.closed, true)
}

func TestTokenThatIsNotTakenIsToldAndGivenBack(t *testing.T) {
	said := make(chan string, 4)
	source := &tokens{token: "t0ken"}
	c := scripted(t, Config{Security: Security{Mechanism: "OAUTHBEARER", Tokens: source}}, bearerBroker(said, `{"status":"invalid_token"}`, 0))
	_, err := c.Dial(t.Context(), "broker:9092")
	if !errors.Is(err, kafka.SASLAuthenticationFailed) || !strings.Contains(err.Error(), "the token *** is bad (hint: ") || strings.Contains(err.Error(), "t0ken") {
		t.Errorf("got %v", err)
	}
	if len(said) != 2 {
		t.Fatalf("%d messages were sent, want 2: without the second the broker does not say why", len(said))
	}
	<-said
	eq(t, <-said, "\x01")
	eq(t, fmt.Sprint(source.refused), "[t0ken]")
	eq(t, Retriable(err), false)
}

// verdict is an error that knows of itself whether it heals.
type verdict bool

func (v verdict) Error() string { return "refused" }
func (v verdict) Heals() bool   { return bool(v) }

func TestTokenThatCannotBeHadSaysWhyAndWhetherItHeals(t *testing.T) {
	for err, heals := range map[error]bool{
		verdict(false): false, verdict(true): true, &net.OpError{Op: "dial", Err: errors.New("x")}: true, errors.New("x"): false,
	} {
		c := scripted(t, Config{Security: Security{Mechanism: "OAUTHBEARER", Tokens: &tokens{err: err}}}, func(p *peer) { p.greet(); p.hang() })
		_, got := c.Dial(t.Context(), "broker:9092")
		if got == nil || got.Error() != "get a token: "+err.Error() || Retriable(got) != heals {
			t.Errorf("got %v, retriable %v", got, Retriable(got))
		}
	}
}
