// Package oauth gets tokens for SASL OAUTHBEARER from an OAuth 2.0 token endpoint, by the client credentials grant (RFC 6749, section 4.4), as
// Kafka's clients do (KIP-768): one POST with the client's id and secret as basic authentication.
//
// A token is kept until four fifths of its life are over and is then replaced beside the work. What the endpoint says of a refusal goes into the
// error only as one of the standard's words; nothing else of its answer does, nor the token, the secret or the URL's query.
package oauth

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/renew"
)

// Config is one client at one token endpoint. The functions are asked at every request, so that a rotated secret needs no restart; they may
// not be nil, except for Scope and CA.
type Config struct {
	TokenURL, ClientID, ClientSecret func() (string, error)
	Scope                            string
	CA                               func() (*x509.CertPool, error) // of the endpoint; nil, or a nil pool: the system's
	Logger                           *slog.Logger                   // may be nil
}

// requestTimeout bounds one request for a token.
const requestTimeout = 10 * time.Second

// unknownLife is how long a token is used that does not say how long it lives.
const unknownLife = 5 * time.Minute

// maxAnswer bounds what is read of an answer. Tokens with hundreds of groups have some ten thousand bytes.
const maxAnswer = 1 << 20

// Source gives the token of one client. It is safe for concurrent use.
type Source struct {
	cfg   Config
	value *renew.Value[string]
}

// New makes a source. It asks for nothing yet.
func New(cfg Config) *Source {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Source{cfg: cfg}
	s.value = renew.New(s.request, func(err error, left time.Duration) {
		cfg.Logger.Warn("the token could not be renewed, trying again", slog.Duration("still_valid", left.Round(time.Second)), slog.Any("err", err))
	})
	return s
}

// Token gives a token that holds.
func (s *Source) Token(ctx context.Context) (string, error) { return s.value.Get(ctx) }

// Refused says that a broker did not take the token: unless it is new, another one is fetched.
func (s *Source) Refused(token string) {
	s.value.Refused(func(now string) bool { return now == token })
}

// Close ends the renewal.
func (s *Source) Close() { s.value.Close() }

// RefusedError is an answer of the endpoint that is no token.
type RefusedError struct {
	Host   string
	Status int
	Code   string // of RFC 6749, section 5.2; empty when the answer has none of these
}

func (e *RefusedError) Error() string {
	text := fmt.Sprintf("ask %s for a token: answered %d %s", e.Host, e.Status, http.StatusText(e.Status))
	if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	if hint := e.hint(); hint != "" {
		text += " (hint: " + hint + ")"
	}
	return text
}

// Heals says whether the same request may be answered with a token later without anybody changing anything.
func (e *RefusedError) Heals() bool { return renew.Heals(e.Status) }

func (e *RefusedError) hint() string {
	switch {
	case e.Heals():
		return ""
	case e.Code == "invalid_scope":
		return "check sasl.oauthbearer.scope"
	case e.Code == "unsupported_grant_type", e.Code == "unauthorized_client":
		return "the client of sasl.oauthbearer.client.id may not use the client credentials grant: allow it at the identity provider"
	case e.Code == "invalid_client", e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return "check sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret"
	case e.Status == http.StatusNotFound, e.Status == http.StatusMethodNotAllowed, e.Status/100 == 3:
		return "check sasl.oauthbearer.token.endpoint.url; redirects are not followed"
	}
	return "check sasl.oauthbearer.client.id, sasl.oauthbearer.client.secret and sasl.oauthbearer.scope"
}

// codes are the error codes of RFC 6749, section 5.2.
var codes = []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}

// request makes one request for a token.
func (s *Source) request(ctx context.Context) (token string, until time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := s.prepare(ctx)
	if err != nil {
		return "", until, err
	}
	client, err := s.client()
	if err != nil {
		return "", until, err
	}
	defer client.CloseIdleConnections()
	asked := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return "", until, fmt.Errorf("ask %s for a token: %w%s", req.URL.Host, withoutURL(err), tlsHint(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", until, fmt.Errorf("read the answer of %s to the request for a token: %w", req.URL.Host, err)
	}
	var answer struct {
		Token   string      `json:"access_token"`
		Expires json.Number `json:"expires_in"`
		Error   string      `json:"error"`
	}
	malformed := json.Unmarshal(body, &answer) != nil
	if resp.StatusCode != http.StatusOK {
		refused := &RefusedError{Host: req.URL.Host, Status: resp.StatusCode}
		if slices.Contains(codes, answer.Error) {
			refused.Code = answer.Error
		}
		return "", until, refused
	}
	if malformed || answer.Token == "" || strings.ContainsFunc(answer.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", until, fmt.Errorf("ask %s for a token: the answer is 200 but holds no access_token (hint: check sasl.oauthbearer.token.endpoint.url)", req.URL.Host)
	}
	if until = lifetime(answer.Token, answer.Expires, asked); !until.After(time.Now()) {
		return "", until, fmt.Errorf("ask %s for a token: the token of sasl.oauthbearer.token.endpoint.url had ended already when it came (hint: compare this machine's clock with the endpoint's)", req.URL.Host)
	}
	return answer.Token, until, nil
}

func (s *Source) prepare(ctx context.Context) (*http.Request, error) {
	address, err := s.cfg.TokenURL()
	if err != nil {
		return nil, fmt.Errorf("read sasl.oauthbearer.token.endpoint.url: %w", err)
	}
	id, err := s.cfg.ClientID()
	if err != nil {
		return nil, fmt.Errorf("read sasl.oauthbearer.client.id: %w", err)
	}
	secret, err := s.cfg.ClientSecret()
	if err != nil {
		return nil, fmt.Errorf("read sasl.oauthbearer.client.secret: %w", err)
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if s.cfg.Scope != "" {
		form.Set("scope", s.cfg.Scope)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSpace(address), bytes.NewReader([]byte(form.Encode())))
	if err != nil {
		return nil, errors.New("read sasl.oauthbearer.token.endpoint.url: it is no URL") // the cause would show it
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	// As librdkafka and Kafka's Java client send it: the id and the secret as they are, not percent-encoded before.
	req.SetBasicAuth(id, secret)
	return req, nil
}

// client is made anew for every request: there are few, and the authorities may have been rotated.
func (s *Source) client() (*http.Client, error) {
	var roots *x509.CertPool
	if s.cfg.CA != nil {
		var err error
		if roots, err = s.cfg.CA(); err != nil {
			return nil, err
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// withoutURL takes the URL, whose query may be secret, out of an error of package http.
func withoutURL(err error) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

func tlsHint(err error) string {
	if errors.As(err, new(x509.UnknownAuthorityError)) {
		return " (hint: give the authority that signed the token endpoint's certificate in https.ca.location or https.ca.pem)"
	}
	if errors.As(err, new(x509.HostnameError)) {
		return " (hint: use a host name in sasl.oauthbearer.token.endpoint.url that the endpoint's certificate holds)"
	}
	return ""
}

// lifetime is when a token ends: what the answer says, or the token's own claim where it is a JWT, the earlier of the two.
func lifetime(token string, expires json.Number, asked time.Time) time.Time {
	until := asked.Add(unknownLife)
	known := false
	if seconds, err := expires.Float64(); err == nil && seconds > 0 {
		until, known = asked.Add(time.Duration(min(seconds, math.MaxInt32)*float64(time.Second))), true
	}
	if exp, ok := renew.JWTEnd(token); ok && (!known || exp.Before(until)) {
		until = exp
	}
	return until
}
