package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/renew"
)

// google sends the identity token of the service account that we run as, signed by Google for one audience. The metadata server, whose address
// GCE_METADATA_HOST may replace, gives it for an hour.
type google struct {
	audience string
	client   *metadata.Client
	idle     interface{ CloseIdleConnections() }
	value    *renew.Value[string]
}

// metadataTimeout bounds one request for a token, with the repeats of Google's client.
const metadataTimeout = 10 * time.Second

func newGoogle(cfg Config) *google {
	// Never over a proxy: the metadata server is on this machine.
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, DisableKeepAlives: true}
	g := &google{audience: cfg.Audience, client: metadata.NewClient(&http.Client{Transport: transport}), idle: transport}
	g.value = renew.New(g.fetch, func(err error, left time.Duration) {
		cfg.Logger.Warn("the Google ID token could not be renewed, trying again", slog.Duration("still_valid", left.Round(time.Second)), slog.Any("err", err))
	})
	return g
}

func (g *google) fetch(ctx context.Context) (string, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	token, err := g.client.GetWithContext(ctx, "instance/service-accounts/default/identity?format=full&audience="+url.QueryEscape(g.audience))
	if err != nil {
		return "", time.Time{}, fmt.Errorf("ask the metadata server for an ID token: %w", explainGoogle(err))
	}
	token = strings.TrimSpace(token)
	until, ok := renew.JWTEnd(token)
	if !ok || !sendable(token) {
		return "", time.Time{}, errors.New("ask the metadata server for an ID token: the answer is none")
	}
	return token, until, nil
}

// MetadataError is a refusal of the metadata server.
type MetadataError struct{ Status int }

func (e *MetadataError) Error() string {
	text := fmt.Sprintf("answered %d %s", e.Status, http.StatusText(e.Status))
	if !e.Heals() {
		text += " (hint: does the service run as a service account?)"
	}
	return text
}

// Heals says whether the same request may succeed later without anybody changing anything.
func (e *MetadataError) Heals() bool { return renew.Heals(e.Status) }

// explainGoogle leaves out the server's own words and the URL.
func explainGoogle(err error) error {
	var refused *metadata.Error
	var wrapped *url.Error
	switch {
	case errors.As(err, new(metadata.NotDefinedError)):
		return &MetadataError{http.StatusNotFound}
	case errors.As(err, &refused):
		return &MetadataError{refused.Code}
	case errors.As(err, &wrapped):
		return fmt.Errorf("%w (hint: google-id-token works where Google runs the service)", wrapped.Err)
	}
	return err
}

func (g *google) Owns(header string) bool { return header == authorization }

func (g *google) Sign(ctx context.Context, r *http.Request, _ []byte, _ string) error {
	token, err := g.value.Get(ctx)
	if err != nil {
		return err
	}
	r.Header[authorization] = []string{bearerPrefix + token}
	return nil
}

func (g *google) Refused(r *http.Request) {
	sent := map[string][]string(r.Header)[authorization] // not in its canonical form, as all headers of ours
	g.value.Refused(func(now string) bool { return len(sent) == 1 && sent[0] == bearerPrefix+now })
}

func (g *google) Check(ctx context.Context) error {
	_, err := g.value.Get(ctx)
	return err
}

func (g *google) Close() {
	g.value.Close()
	g.idle.CloseIdleConnections()
}
