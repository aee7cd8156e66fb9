package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// credentials reads user and password, from their files when they are in files: a rotated secret is used from the next dial on.
func (s *Security) credentials() (user, password string, err error) {
	if user, err = s.Username.read(); err != nil {
		return "", "", fmt.Errorf("read sasl.username: %w", err)
	}
	if password, err = s.Password.read(); err != nil {
		return "", "", fmt.Errorf("read sasl.password: %w", err)
	}
	return user, password, nil
}

func (s *Security) mechanism(user, password string) (sasl.Mechanism, error) {
	algorithm := scram.SHA256
	switch s.Mechanism {
	case "PLAIN":
		return plain.Mechanism{Username: user, Password: password}, nil
	case "SCRAM-SHA-512":
		algorithm = scram.SHA512
	}
	m, err := scram.Mechanism(algorithm, user, password)
	if err != nil {
		// The cause quotes the character that it dislikes, which may be one of the password.
		return nil, errors.New("prepare sasl.username and sasl.password: they hold characters that SCRAM does not allow (RFC 4013)")
	}
	return m, nil
}

// authenticate runs the SASL exchange (KIP-43, KIP-152) and notes when the session ends (KIP-368).
func (c *Conn) authenticate(ctx context.Context, timeout time.Duration, s *Security) error {
	c.phase = authenticating
	m, err := s.login(ctx)
	if err != nil {
		return err
	}
	fail := func(err error, hint string) error {
		err = fmt.Errorf("authenticate to %s as configured user: %w", c.addr, err)
		if hint != "" {
			err = fmt.Errorf("%w (hint: %s)", err, hint)
		}
		return err
	}
	// The handshake's version 0 would be followed by bare tokens without a frame; every broker that we can use speaks version 1.
	if v, _ := c.MaxVersion(protocol.SaslHandshake); v < 1 {
		return fail(fmt.Errorf("SaslHandshake v1 is not offered: %w", kafka.UnsupportedVersion), "Kafka 2.3 or newer is needed")
	}
	answer, err := c.Do(ctx, timeout, &saslhandshake.Request{Mechanism: m.Name()})
	if err != nil {
		return fail(err, "")
	}
	offer := answer.(*saslhandshake.Response)
	switch code := kafka.Error(offer.ErrorCode); code {
	case 0:
	case kafka.UnsupportedSASLMechanism:
		return fail(code, fmt.Sprintf("the broker offers %s; set sasl.mechanism", strings.Join(offer.Mechanisms, ", ")))
	case kafka.IllegalSASLState:
		return fail(code, "the broker's port does not use SASL; set security.protocol to plaintext or ssl")
	default:
		return fail(code, "")
	}
	conversation, token, err := m.Start(ctx)
	if err != nil {
		return fail(err, "")
	}
	for done := false; !done; {
		sent := time.Now()
		answer, err := c.Do(ctx, timeout, &saslauthenticate.Request{AuthBytes: token})
		if err != nil {
			hint := ""
			if errors.Is(err, io.EOF) {
				// Brokers before 1.0, and some that only speak Kafka's protocol, hang up on wrong credentials. So does one that is
				// shutting down: the code says what is likely, the cause keeps the error retriable.
				err = fmt.Errorf("%w: %w", kafka.SASLAuthenticationFailed, err)
				hint = "the broker hung up without a reason; " + m.hint
			}
			return fail(err, hint)
		}
		said := answer.(*saslauthenticate.Response)
		if said.ErrorCode != 0 {
			err := error(kafka.Error(said.ErrorCode))
			if said.ErrorMessage != "" {
				err = fmt.Errorf("%w: %s", err, redact(said.ErrorMessage, m.secret))
			}
			s.refused(m)
			return fail(err, m.hint)
		}
		if ms := said.SessionLifetimeMs; ms > 0 && ms < math.MaxInt64/int64(time.Millisecond) {
			c.lives(sent, time.Duration(ms)*time.Millisecond)
		}
		if done, token, err = conversation.Next(ctx, said.AuthBytes); err != nil {
			// SCRAM proves both sides: either our password is wrong, or this is not the broker that it says it is.
			return fail(fmt.Errorf("%w: %s", kafka.SASLAuthenticationFailed, redact(err.Error(), m.secret)), m.hint)
		}
	}
	return nil
}

// redact takes a secret out of words that come from the other side.
func redact(text, secret string) string {
	if secret == "" {
		return text
	}
	return strings.ReplaceAll(text, secret, "***")
}
