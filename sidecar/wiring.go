package sidecar

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/auth"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/deadletter"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/invoke"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/lanes"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/reload"
)

// This file turns the one configuration into what each room needs. Rooms do not know envconfig, and envconfig knows no room.

// NewCluster is the way to the configured cluster, for commands that only look.
func NewCluster(cfg *envconfig.Config, log *slog.Logger) (*cluster.Cluster, error) {
	return cluster.New(clusterConfig(cfg, log))
}

func clusterConfig(cfg *envconfig.Config, log *slog.Logger) cluster.Config {
	k, sec := &cfg.Kafka, &cfg.Kafka.Security
	secret := func(r envconfig.SecretRef) cluster.Material {
		if r.Reloads() {
			return cluster.Material{From: loader{r}}
		}
		return cluster.Material{Value: r.Value.Reveal()}
	}
	text := func(p envconfig.PEM) cluster.Material {
		if ref := envconfig.SecretRef(p); p.File == "" && ref.Reloads() {
			return cluster.Material{From: loader{ref}}
		}
		return cluster.Material{Value: p.Value.Reveal(), File: p.File}
	}
	c := cluster.Config{
		Brokers: k.Brokers, ClientID: k.ClientID,
		Security: cluster.Security{
			TLS: sec.TLS, CA: text(sec.CA), Certificate: text(sec.Certificate), Key: text(sec.Key), KeyPassword: secret(sec.KeyPassword),
			Keystore: sec.Keystore, KeystorePassword: secret(sec.KeystorePassword), SkipVerify: sec.SkipVerify, SkipHostname: sec.SkipHostname,
			CipherSuites: sec.CipherSuites, Curves: sec.Curves, Mechanism: sec.Mechanism, Username: secret(sec.Username), Password: secret(sec.Password),
		},
		SetupTimeout: k.SetupTimeout, RequestTimeout: k.SocketTimeout, Network: k.Network,
		KeepAlive: k.KeepAlive, NoDelay: k.NoDelay, SendBuffer: k.SendBuffer, ReceiveBuffer: k.ReceiveBuffer,
		MaxResponseBytes: k.MaxResponseBytes, RetryBackoff: k.RetryBackoff, RetryBackoffMax: k.RetryBackoffMax, Logger: log,
	}
	if sec.Mechanism == "OAUTHBEARER" {
		c.Security.Tokens = tokenSource(&sec.OAuth, text(sec.OAuth.CA), log)
		for _, e := range sec.OAuth.Extensions {
			c.Security.Extensions = append(c.Security.Extensions, cluster.Extension(e))
		}
	}
	return c
}

// loader reads a secret of the configuration again at each use.
type loader struct{ ref envconfig.SecretRef }

// Load implements cluster.Loader.
func (l loader) Load() (string, error) {
	s, err := l.ref.Load()
	return s.Reveal(), err
}

func invokeConfig(cfg *envconfig.Config, skippedHeader func()) invoke.Config {
	h, sink := &cfg.Handler, &cfg.Subscription.Sink
	text := func(p envconfig.PEM) invoke.PEM { return invoke.PEM{Value: p.Value.Reveal(), File: p.File} }
	ranges := func(in []envconfig.StatusRange) []invoke.StatusRange {
		out := make([]invoke.StatusRange, len(in))
		for i, r := range in {
			out[i] = invoke.StatusRange(r)
		}
		return out
	}
	c := invoke.Config{
		Kind: invoke.HTTP, URLTemplate: sink.URL.Reveal(),
		BaseURL: h.BaseURL, Service: sink.Service, Handler: sink.Handler, Type: h.Type, Protocol: h.Protocol,
		Cluster: cfg.Subscription.Cluster, Topic: cfg.Subscription.Topic, Group: cfg.Kafka.GroupID, SubscriptionID: cfg.Subscription.ID,
		Timeout: h.Timeout, ContentType: h.ContentType, Format: string(h.Format), ForwardHeaders: h.ForwardHeaders, HeaderStyle: h.HeaderStyle,
		TLSCA: text(h.TLSCA), TLSCert: text(h.TLSCert), TLSKey: text(h.TLSKey), TLSServerName: h.TLSServerName,
		Keyed: sink.Keyed, NullKey: h.NullKey, InvalidKey: h.InvalidKey, Tombstones: h.Tombstones,
		Brokers:      cfg.Kafka.Brokers,
		DoneStatuses: ranges(h.DoneStatuses), RetryStatuses: ranges(h.RetryStatuses), FailStatuses: ranges(h.FailStatuses),
		Concurrency: cfg.Delivery.Concurrency, OnSkippedHeader: skippedHeader,
	}
	if sink.Kind == envconfig.SinkService {
		c.Kind, c.URLTemplate = invoke.Service, ""
	}
	if sink.Kind == envconfig.SinkLambda {
		c.Kind, c.URLTemplate = invoke.Lambda, ""
		c.BaseURL, c.Function, c.Qualifier = sink.Lambda.Endpoint, sink.Lambda.Function, sink.Lambda.Qualifier
		return c
	}
	if sink.Reloads() {
		c.LoadURL = func() (string, error) {
			url, err := sink.LoadURL()
			return url.Reveal(), err
		}
	}
	c.Headers = handlerHeaders(h.Headers)
	if h.HeadersFile != "" {
		c.LoadHeaders = func() ([]invoke.Header, error) {
			headers, err := h.LoadHeaders()
			return handlerHeaders(headers), err
		}
	}
	return c
}

func handlerHeaders(in []envconfig.HeaderValue) []invoke.Header {
	out := make([]invoke.Header, len(in))
	for i, hv := range in {
		out[i] = invoke.Header{Name: hv.Name, Value: hv.Value.Reveal()}
	}
	return out
}

func flowSettings(cfg *envconfig.Config) flowConfig {
	d := &cfg.Delivery
	actions := map[string]action{"park": actPark, "dead-letter": actDeadLetter, "drop": actDrop, "stop": actStop}
	skip := make(map[int32]map[int64]struct{}, len(d.SkipRecords))
	for p, offsets := range d.SkipRecords {
		skip[p] = make(map[int64]struct{}, len(offsets))
		for _, o := range offsets {
			skip[p][o] = struct{}{}
		}
	}
	return flowConfig{
		ordering:      map[string]lanes.Ordering{"key": lanes.ByKey, "partition": lanes.ByPartition, "none": lanes.None}[d.Ordering],
		nullKeyIsLane: !cfg.Subscription.Sink.Keyed,
		limits: lanes.Limits{
			Concurrency: d.Concurrency, MaxInFlight: d.MaxInFlight, MaxInFlightBytes: d.MaxInFlightBytes,
			ParkedMax: d.ParkedMax, ParkedMaxBytes: d.ParkedMaxBytes,
		},
		policy: policy{
			initial: d.RetryInitialInterval, maxInterval: d.RetryMaxInterval, factor: d.RetryFactor,
			maxAttempts: d.RetryMaxAttempts, maxAge: d.RetryMaxAge, onFailure: actions[d.OnFailure], failureLimit: d.FailureLimit,
		},
		rate: d.RateLimit, skip: skip, readCommitted: cfg.Kafka.ReadCommitted, commitDue: 5000, maxUnacked: 10 * int64(d.MaxInFlight),
	}
}

// Answers and unpacked batches may take a part of MAX_IN_FLIGHT_BYTES beside the records, but no more than there is for them in what the
// sidecar takes beside the byte bounds.
const (
	batchShare = 4
	mostBatch  = 16 << 20
)

func intakeConfig(cfg *envconfig.Config, c *cluster.Cluster, log *slog.Logger) intake.Config {
	k, r := &cfg.Kafka, &cfg.Run
	return intake.Config{
		Cluster: c, Topic: cfg.Subscription.Topic, GroupID: k.GroupID, InstanceID: k.GroupInstanceID, ClientID: k.ClientID, Rack: k.Rack,
		SessionTimeout: k.SessionTimeout, HeartbeatInterval: k.HeartbeatInterval, RebalanceTimeout: k.RebalanceTimeout,
		DrainTimeout: r.ShutdownTimeout, StopTimeout: r.DrainBudget(), StopRest: r.ShutdownTimeout - r.DrainBudget(), ReadCommitted: k.ReadCommitted, CheckCRCs: k.CheckCRCs,
		FetchMinBytes: k.FetchMinBytes, FetchMaxBytes: k.FetchMaxBytes, PartitionMaxBytes: k.PartitionMaxBytes, FetchMaxWait: k.FetchMaxWait,
		SocketTimeout: k.SocketTimeout, FetchErrorBackoff: k.FetchErrorBackoff, ReconnectBackoff: k.ReconnectBackoff, ReconnectBackoffMax: k.ReconnectBackoffMax,
		RetryBackoff: k.RetryBackoff, RetryBackoffMax: k.RetryBackoffMax, MetadataMaxAge: k.MetadataMaxAge,
		BatchAllowance: min(cfg.Delivery.MaxInFlightBytes/batchShare, mostBatch),
		StartAt:        StartAt(r.StartAt, time.Now()), EndAt: EndAt(r.EndAt, time.Now()), CommitInterval: r.CommitInterval, StartupTimeout: r.StartupTimeout, Paused: r.Paused, Logger: log,
	}
}

// StartAt turns the configured start position into the intake's, an age counted back from now.
func StartAt(c envconfig.StartAt, now time.Time) intake.StartAt {
	switch c.Kind {
	case "latest":
		return intake.StartAt{Latest: true}
	case "time":
		return intake.StartAt{Time: c.Time}
	case "age":
		return intake.StartAt{Time: now.Add(-c.Age)}
	case "error":
		return intake.StartAt{Refuse: true}
	}
	return intake.StartAt{}
}

// EndAt turns the configured end into the intake's, an age counted back from now.
func EndAt(c envconfig.EndAt, now time.Time) intake.EndAt {
	switch c.Kind {
	case "latest":
		return intake.EndAt{Latest: true}
	case "time":
		return intake.EndAt{Time: c.Time}
	case "age":
		return intake.EndAt{Time: now.Add(-c.Age)}
	}
	return intake.EndAt{}
}

// deadLetterTarget is where failed records go, nil for nowhere. A URL gets a transport of its own: the handler's certificates and
// credentials are none of its business.
func deadLetterTarget(cfg *envconfig.Config, c *cluster.Cluster, log *slog.Logger) (deadletter.Target, error) {
	switch {
	case cfg.DeadLetter.Topic != "":
		return deadletter.NewTopic(deadletter.TopicConfig{
			Cluster: c, Topic: cfg.DeadLetter.Topic, SourceTopic: cfg.Subscription.Topic, RequestTimeout: cfg.Kafka.SocketTimeout, Logger: log,
		}), nil
	case cfg.DeadLetter.URL != "":
		i, err := invoke.New(invoke.Config{
			Kind: invoke.HTTP, URLTemplate: cfg.DeadLetter.URL.Reveal(),
			Cluster: cfg.Subscription.Cluster, Topic: cfg.Subscription.Topic, Group: cfg.Kafka.GroupID, SubscriptionID: cfg.Subscription.ID,
			Timeout: cfg.Handler.Timeout, ContentType: cfg.Handler.ContentType, HeaderStyle: cfg.Handler.HeaderStyle, Concurrency: cfg.Delivery.Concurrency,
			ForwardHeaders: cfg.Handler.ForwardHeaders,
		})
		if err != nil {
			return nil, fmt.Errorf("DEAD_LETTER_URL: %w", err)
		}
		url, err := reload.New(cfg.DeadLetter.LoadURL)
		if err != nil {
			return nil, fmt.Errorf("DEAD_LETTER_URL: %w", err)
		}
		proof, err := newAuth(&cfg.DeadLetter.Auth, log)
		if err != nil {
			return nil, fmt.Errorf("DEAD_LETTER_AUTH: %w", err)
		}
		return deadletter.NewURL(poster{i, proof, url}), nil
	}
	return nil, nil
}

// HandlerTLS is the TLS configuration towards the handler.
func HandlerTLS(cfg *envconfig.Config) (*tls.Config, error) {
	return invoke.NewTLS(invokeConfig(cfg, func() {}))
}

// poster sends dead letters to a URL over the invoker's transport.
type poster struct {
	invoker *invoke.Invoker
	auth    auth.Auth
	url     *reload.Value[envconfig.Secret]
}

// Close ends the idle connections, and what auth renews.
func (p poster) Close() {
	p.auth.Close()
	p.invoker.Close()
}

// Check says what keeps requests from being authenticated.
func (p poster) Check(ctx context.Context) error {
	if err := p.auth.Check(ctx); err != nil {
		return fmt.Errorf("authenticate to DEAD_LETTER_URL: %w", err)
	}
	return nil
}

// Post sends one record and returns nil on a 2xx.
func (p poster) Post(ctx context.Context, rec *record.Record, facts []deadletter.Fact) error {
	headers := make([]invoke.Header, len(facts))
	for i, f := range facts {
		headers[i] = invoke.Header{Name: f.Name, Value: f.Value}
	}
	res := p.invoker.Post(ctx, p.url.Get(time.Now()).Reveal(), signer(p.auth), rec, headers)
	switch {
	case res.Class == invoke.Done:
		return nil
	case res.Status != 0: // the invoker's error speaks of the handler
		return fmt.Errorf("post to DEAD_LETTER_URL: answered %d", res.Status)
	}
	return fmt.Errorf("post to DEAD_LETTER_URL: %w", res.Err)
}
