// Package restateimport turns Kafka subscriptions of a Restate server into environments of sidecars that go on where Restate stops.
package restateimport

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/restate"
)

// timeout bounds one question to the Admin API.
const timeout = 10 * time.Second

// Read asks an Admin API for the subscriptions with the given ids, or for all of them, and for what they need. The token goes with
// every request unless it is empty.
func Read(ctx context.Context, adminURL, token string, ids []string) ([]Subscription, error) {
	headers := func() (http.Header, error) {
		h := http.Header{}
		if token != "" {
			h.Set("Authorization", "Bearer "+token)
		}
		return h, nil
	}
	client := restate.New(restate.Config{AdminURL: adminURL, Headers: headers})
	listed, err := ask(ctx, "its subscriptions", client.Subscriptions)
	if err != nil {
		return nil, err
	}
	clusters, err := ask(ctx, "its Kafka clusters", client.Clusters)
	if err != nil {
		return nil, err
	}
	ingress, err := ask(ctx, "its version", client.Ingress)
	if err != nil {
		return nil, err
	}
	wanted, err := choose(listed, ids)
	if err != nil {
		return nil, err
	}
	var out []Subscription
	for _, one := range wanted {
		s := Subscription{ID: one.ID, Source: one.Source, Sink: one.Sink, Ingress: ingress, Token: token != ""}
		name, _, _ := strings.Cut(strings.TrimPrefix(one.Source, "kafka://"), "/")
		s.Options = map[string]string{}
		maps.Copy(s.Options, clusters[name])
		maps.Copy(s.Options, one.Options)
		service, handler, _ := strings.Cut(strings.TrimPrefix(one.Sink, "service://"), "/")
		handlers := restate.New(restate.Config{AdminURL: adminURL, Headers: headers, Service: service, Handler: handler})
		if s.HandlerType, err = ask(ctx, "the handler's type", handlers.Type); err != nil {
			s.TypeUnknown = err.Error()
		}
		out = append(out, s)
	}
	return out, nil
}

// ask asks one question within its time.
func ask[T any](ctx context.Context, what string, question func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := question(ctx)
	if err != nil {
		return answer, fmt.Errorf("ask Restate for %s: %w", what, err)
	}
	return answer, nil
}

// choose picks the subscriptions with the given ids; none given are all.
func choose(listed []restate.Subscription, ids []string) ([]restate.Subscription, error) {
	if len(ids) == 0 {
		return listed, nil
	}
	var chosen []restate.Subscription
	for _, id := range ids {
		i := slices.IndexFunc(listed, func(s restate.Subscription) bool { return s.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("find subscription %q: Restate has none of that id", id)
		}
		chosen = append(chosen, listed[i])
	}
	return chosen, nil
}
