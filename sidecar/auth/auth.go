// Package auth proves to a handler who sent a request: by a token or a password, by a signature of the message (Standard Webhooks), by an
// identity that Google vouches for, or by AWS's signature.
//
// What is kept in files is read again, what ends is renewed beside the work, and an answer of 401 makes a token that is not new be fetched
// again. No error holds a secret.
package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/awsauth"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/reload"
)

// The values of Config.Kind.
const (
	None          = "none"
	Bearer        = "bearer"
	Basic         = "basic"
	Signature     = "signature"
	GoogleIDToken = "google-id-token"
	SigV4         = "sigv4"
)

// Config is one kind of proof and what it needs; the rest is empty.
type Config struct {
	Kind string

	Token              func() (string, error) // Bearer
	Username, Password func() (string, error) // Basic
	Secrets            func() (string, error) // Signature: see ParseSecrets
	Audience           string                 // GoogleIDToken
	Region, Service    string                 // SigV4

	Chain  *awsauth.Chain // SigV4; closed by Close
	Logger *slog.Logger   // may be nil
	Now    func() time.Time
}

// Auth adds the proof to requests. It is safe for concurrent use.
type Auth interface {
	// Owns says whether a header, in lower case, belongs to the proof, so that nobody else may set it.
	Owns(header string) bool
	// Sign adds the proof to a request that is complete but for it. id is the identity of the message, the same in all of its attempts. What
	// the request points to (URL, header values) may be shared with others and is replaced, never changed.
	Sign(ctx context.Context, r *http.Request, body []byte, id string) error
	// Refused says that a signed request was answered 401.
	Refused(r *http.Request)
	// Check says what would keep every request from being signed.
	Check(ctx context.Context) error
	// Close ends renewals.
	Close()
}

// New makes an Auth. It reads secrets and asks nobody yet.
func New(cfg Config) (Auth, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	switch cfg.Kind {
	case None, "":
		return Nobody, nil
	case Bearer:
		return newFixed(cfg.Now, func() (string, error) { return bearer(cfg.Token) })
	case Basic:
		return newFixed(cfg.Now, func() (string, error) { return basic(cfg.Username, cfg.Password) })
	case Signature:
		return newWebhook(cfg)
	case GoogleIDToken:
		return newGoogle(cfg), nil
	case SigV4:
		return &sigV4{chain: cfg.Chain, region: cfg.Region, service: cfg.Service, now: cfg.Now}, nil
	}
	return nil, fmt.Errorf("set up authentication: %q is no kind of it", cfg.Kind)
}

// Nobody proves nothing.
var Nobody Auth = nobody{}

type nobody struct{}

func (nobody) Owns(string) bool                                          { return false }
func (nobody) Sign(context.Context, *http.Request, []byte, string) error { return nil }
func (nobody) Refused(*http.Request)                                     {}
func (nobody) Check(context.Context) error                               { return nil }
func (nobody) Close()                                                    {}

const (
	authorization = "authorization"
	bearerPrefix  = "Bearer "
)

// fixed is an authorization header that changes only with its file.
type fixed struct {
	value *reload.Value[string]
	now   func() time.Time
}

func newFixed(now func() time.Time, load func() (string, error)) (Auth, error) {
	value, err := reload.New(load)
	if err != nil {
		return nil, err
	}
	return fixed{value, now}, nil
}

func (f fixed) Owns(header string) bool { return header == authorization }

func (f fixed) Sign(_ context.Context, r *http.Request, _ []byte, _ string) error {
	r.Header[authorization] = []string{f.value.Get(f.now())}
	return nil
}

func (f fixed) Refused(*http.Request)       {}
func (f fixed) Check(context.Context) error { return nil }
func (f fixed) Close()                      {}

func bearer(load func() (string, error)) (string, error) {
	token, err := load()
	switch {
	case err != nil:
		return "", fmt.Errorf("read the bearer token: %w", err)
	case !sendable(token):
		return "", errors.New("read the bearer token: it is empty, or holds spaces or characters beyond ASCII")
	}
	return bearerPrefix + token, nil
}

// sendable says whether a token can stand in a header.
func sendable(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func basic(loadUser, loadPassword func() (string, error)) (string, error) {
	user, err := loadUser()
	if err != nil {
		return "", fmt.Errorf("read the user name: %w", err)
	}
	password, err := loadPassword()
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if strings.Contains(user, ":") {
		return "", errors.New("read the user name: it holds a colon, which ends it in basic authentication (RFC 7617)")
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)), nil
}
