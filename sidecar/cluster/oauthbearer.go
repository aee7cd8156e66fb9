package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/segmentio/kafka-go/sasl"
)

// oauthBearer is the mechanism of [Security.Tokens].
const oauthBearer = "OAUTHBEARER"

// TokenSource gives tokens for SASL OAUTHBEARER. Its errors hold no secret, name the option to look at, and where they have a method
// Heals() bool, that says whether another try may succeed without anybody changing anything.
type TokenSource interface {
	Token(ctx context.Context) (string, error)
	Refused(token string) // a broker did not take it
	Close()
}

// Extension is a name and a value that are sent beside the token (KIP-342).
type Extension struct{ Name, Value string }

// bearer is the mechanism of RFC 7628 in the form of KIP-255. kafka-go has none.
type bearer struct {
	token      string
	extensions []Extension
}

// Name is the mechanism's name on the wire.
func (b bearer) Name() string { return oauthBearer }

// Start gives the one message that carries everything.
func (b bearer) Start(context.Context) (sasl.StateMachine, []byte, error) {
	var first strings.Builder
	first.WriteString("n,,\x01auth=Bearer " + b.token + "\x01")
	for _, e := range b.extensions {
		first.WriteString(e.Name + "=" + e.Value + "\x01")
	}
	first.WriteString("\x01")
	return b, []byte(first.String()), nil
}

// Next ends the exchange: an empty answer is success. Any other tells a failure, which the broker turns into an error code with words of its
// own once it has got the one byte that RFC 7628 asks for.
func (b bearer) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	if len(challenge) == 0 {
		return true, nil, nil
	}
	return false, []byte{1}, nil
}

// login is what one dial authenticates with.
type login struct {
	sasl.Mechanism
	secret string // to be taken out of the broker's words
	hint   string
}

// login reads the credentials as they are now and prepares the exchange.
func (s *Security) login(ctx context.Context) (login, error) {
	if s.Mechanism != oauthBearer {
		user, password, err := s.credentials()
		if err != nil {
			return login{}, err
		}
		m, err := s.mechanism(user, password)
		if err != nil {
			return login{}, err
		}
		return login{m, password, "check sasl.username, sasl.password and sasl.mechanism"}, nil
	}
	token, err := s.Tokens.Token(ctx)
	switch {
	case ctx.Err() != nil:
		return login{}, fmt.Errorf("get a token: %w", context.Cause(ctx))
	case err != nil:
		return login{}, fmt.Errorf("get a token: %w", err)
	}
	return login{bearer{token, s.Extensions}, token, "the token was given to us and is not taken: the broker's log says why, mostly its audience, its issuer, an end in the past, or missing rights in IAM; see the options sasl.oauthbearer.*"}, nil
}

// refused tells the source of tokens that its token was not taken.
func (s *Security) refused(l login) {
	if s.Tokens != nil {
		s.Tokens.Refused(l.secret)
	}
}

// validateLogin finds what can never work.
func (s *Security) validateLogin() error {
	switch s.Mechanism {
	case "":
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if s.Username == (Material{}) || s.Password == (Material{}) {
			return fmt.Errorf("sasl.mechanism %s needs sasl.username and sasl.password", s.Mechanism)
		}
	case oauthBearer:
		if s.Tokens == nil {
			return errors.New("sasl.mechanism OAUTHBEARER needs sasl.oauthbearer.method=oidc, or sasl.oauthbearer.config")
		}
	default:
		return fmt.Errorf("sasl.mechanism: %q is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER", s.Mechanism)
	}
	return nil
}
