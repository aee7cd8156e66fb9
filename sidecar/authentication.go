package sidecar

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/auth"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/awsauth"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
)

// newAuth is what proves to a handler or a dead-letter URL who we are.
func newAuth(a *envconfig.Auth, log *slog.Logger) (auth.Auth, error) {
	load := func(ref envconfig.SecretRef) func() (string, error) { return loader{ref}.Load }
	c := auth.Config{
		Kind: a.Kind, Token: load(a.Token), Username: load(a.Username), Password: load(a.Password), Secrets: load(a.Secrets),
		Audience: a.Audience, Region: a.Region, Service: a.Service, Logger: log,
	}
	if a.Kind == envconfig.AuthSigV4 {
		c.Chain = awsauth.NewChain(awsauth.Config{Region: a.Region, Logger: log})
	}
	return auth.New(c)
}

// newHandlerAuth is that of the handler. Lambda's own API wants AWS's signature, whatever is configured.
func newHandlerAuth(cfg *envconfig.Config, log *slog.Logger) (auth.Auth, error) {
	if sink := &cfg.Subscription.Sink; sink.Kind == envconfig.SinkLambda {
		return newAuth(&envconfig.Auth{Kind: envconfig.AuthSigV4, Region: sink.Lambda.Region, Service: "lambda"}, log)
	}
	proof, err := newAuth(&cfg.Handler.Auth, log)
	if err != nil {
		return nil, fmt.Errorf("HANDLER_AUTH: %w", err)
	}
	return proof, nil
}

// AuthKinds names how requests are authenticated, to the handler and to DEAD_LETTER_URL; empty: not at all.
func AuthKinds(cfg *envconfig.Config) string {
	var kinds []string
	if cfg.Subscription.Sink.Kind == envconfig.SinkLambda {
		kinds = append(kinds, envconfig.AuthSigV4)
	}
	for _, a := range []envconfig.Auth{cfg.Handler.Auth, cfg.DeadLetter.Auth} {
		if a.Kind != envconfig.AuthNone && !slices.Contains(kinds, a.Kind) {
			kinds = append(kinds, a.Kind)
		}
	}
	return strings.Join(kinds, ", ")
}

// CheckAuth gets what requests are authenticated with (tokens, credentials), for commands that only look.
func CheckAuth(ctx context.Context, cfg *envconfig.Config) error {
	log := slog.New(slog.DiscardHandler)
	handler, err := newHandlerAuth(cfg, log)
	if err != nil {
		return err
	}
	defer handler.Close()
	letters, err := newAuth(&cfg.DeadLetter.Auth, log)
	if err != nil {
		return fmt.Errorf("DEAD_LETTER_AUTH: %w", err)
	}
	defer letters.Close()
	if err := handler.Check(ctx); err != nil {
		return err
	}
	return letters.Check(ctx)
}

// signer leaves out what adds nothing, so that no attempt pays for it.
func signer(a auth.Auth) invoke.Auth {
	if a == auth.Nobody {
		return nil
	}
	return a
}
