package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/reload"
)

// webhook signs messages as the Standard Webhooks specification 1.0 says: HMAC-SHA256 over id, timestamp and body with dots between. There is a
// signature for each secret, so that a receiver may have either of two while they are changed.
type webhook struct {
	secrets *reload.Value[[][]byte]
	now     func() time.Time
}

const (
	webhookID        = "webhook-id"
	webhookTimestamp = "webhook-timestamp"
	webhookSignature = "webhook-signature"
)

func newWebhook(cfg Config) (Auth, error) {
	secrets, err := reload.New(func() ([][]byte, error) {
		text, err := cfg.Secrets()
		if err != nil {
			return nil, fmt.Errorf("read the signature secrets: %w", err)
		}
		return ParseSecrets(text)
	})
	if err != nil {
		return nil, err
	}
	return webhook{secrets, cfg.Now}, nil
}

// ParseSecrets reads the secrets of Standard Webhooks: base64, with or without the prefix whsec_, separated by commas or white space.
func ParseSecrets(text string) ([][]byte, error) {
	var secrets [][]byte
	for i, one := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' }) {
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(one, "whsec_"))
		if err != nil || len(secret) == 0 {
			return nil, fmt.Errorf("read the signature secrets: entry %d is not base64, with or without whsec_ before it", i+1)
		}
		secrets = append(secrets, secret)
	}
	if len(secrets) == 0 {
		return nil, errors.New("read the signature secrets: there is none")
	}
	return secrets, nil
}

func (w webhook) Owns(header string) bool { return strings.HasPrefix(header, "webhook-") }

func (w webhook) Sign(_ context.Context, r *http.Request, body []byte, id string) error {
	now := w.now()
	// The parts are told apart by dots, so that the id must not hold one: it could be read as another id and time. Topics may.
	id = strings.ReplaceAll(id, ".", "%2E")
	stamp := strconv.FormatInt(now.Unix(), 10)
	var signatures []string
	for _, secret := range w.secrets.Get(now) {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(id + "." + stamp + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	r.Header[webhookID] = []string{id}
	r.Header[webhookTimestamp] = []string{stamp}
	r.Header[webhookSignature] = []string{strings.Join(signatures, " ")}
	return nil
}

func (w webhook) Refused(*http.Request)       {}
func (w webhook) Check(context.Context) error { return nil }
func (w webhook) Close()                      {}
