package invoke

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/reload"
)

// Kind tells the forms of a sink apart.
type Kind int

// The kinds of a sink.
const (
	HTTP    Kind = iota // Config.URLTemplate
	Service             // Config.BaseURL, Service, Handler and Type
	Lambda              // Config.BaseURL, Function and Qualifier, see lambda.go
)

// The values of Config.Format.
const (
	FormatValue                 = "value"
	FormatEnvelope              = "envelope"
	FormatCloudEvents           = "cloudevents"
	FormatCloudEventsStructured = "cloudevents-structured"
	FormatLambda                = "lambda"
)

// Header is one request header. Values may be secrets.
type Header struct{ Name, Value string }

// StatusRange holds statuses from Low to High, both included: 409 is {409,409}, 5xx is {500,599}.
type StatusRange struct{ Low, High int }

// PEM is PEM text by value or in a file; the zero value means none.
type PEM struct{ Value, File string }

// Config is one sink. Only Timeout and the URL parts of the Kind are required; the zero value of everything else is its default.
type Config struct {
	Kind        Kind
	URLTemplate string                 // HTTP: may hold {key}, {topic}, {partition}, {offset} in path and query; the query may hold a secret
	LoadURL     func() (string, error) // URLTemplate as it is now, where it comes from a file; nil: it does not change

	BaseURL  string // Service: POST {BaseURL}/{Service}/{Handler}, with the key in between for every Type but service
	Service  string
	Handler  string
	Type     string // service (default), object, object-shared, workflow, workflow-shared
	Protocol string // http (default); restate: the paths and answers of Restate's ingress, see restate.go

	Function, Qualifier string // Lambda: name or ARN, and version or alias; BaseURL is the endpoint of the Invoke API

	Cluster, Topic, Group, SubscriptionID string
	Brokers                               []string // as the format lambda tells them

	Timeout        time.Duration            // one attempt: connecting, sending, waiting and reading the answer
	ContentType    string                   // of the record's value; default application/json
	Format         string                   // default value
	Headers        []Header                 // sent with every attempt
	LoadHeaders    func() ([]Header, error) // Headers as they are now, where they come from a file; nil: they do not change
	ForwardHeaders []string                 // patterns with *, not case-sensitive, for names of record headers
	HeaderStyle    string                   // restate (default): kafka.topic; dashes: kafka-topic

	Auth Auth // proves to the handler who we are; nil: nothing does

	TLSCA         PEM // authorities; none: those of the system. Files are read again when they change, as those of the next two
	TLSCert       PEM // client certificate and key
	TLSKey        PEM
	TLSServerName string

	Keyed      bool   // the path holds the key; implied by {key} and by every Type but service
	NullKey    string // keyed sinks: fail (default), empty
	InvalidKey string // Service: fail (default), base64url
	Tombstones string // deliver (default), skip, fail

	DoneStatuses, RetryStatuses, FailStatuses []StatusRange

	Concurrency int // most attempts at once: the size of the connection pool; default 64

	// MaySend is asked before anything is written to a connection; after a no the attempt is Cancelled. nil: always.
	MaySend func(now time.Time) bool

	Tracer Tracer // nil: no spans; the record's trace is continued all the same

	Now              func() time.Time // default time.Now
	OnSkippedHeader  func()           // a record header was not forwarded: its name is no HTTP token
	OnUnknownOutcome func()           // kafka-sidecar-outcome held none of its four values and was ignored
}

// Auth proves who sent a request; see package auth for what each method promises.
type Auth interface {
	Owns(header string) bool
	Sign(ctx context.Context, r *http.Request, body []byte, id string) error
	Refused(r *http.Request)
}

// Class is what an attempt means for its record.
type Class int

// The classes of a Result.
const (
	Done      Class = iota + 1 // the handler has it; not the zero value, so that nothing is done by oversight
	Retry                      // to be tried again
	Failed                     // trying again would not help
	Drop                       // settled by a rule: the handler asked for it, or TOMBSTONES=skip
	Cancelled                  // the context ended first, or MaySend said no; says nothing of the record
)

// String gives the class in lower case, as in logs.
func (c Class) String() string {
	switch c {
	case Done:
		return "done"
	case Retry:
		return "retry"
	case Failed:
		return "failed"
	case Drop:
		return "drop"
	case Cancelled:
		return "cancelled"
	}
	return fmt.Sprintf("class(%d)", int(c))
}

// The values of Result.Reason.
const (
	ReasonStatus     = "status"
	ReasonOutcome    = "outcome" // kafka-sidecar-outcome
	ReasonNullKey    = "null-key"
	ReasonInvalidKey = "invalid-key"
	ReasonTombstone  = "tombstone"
)

// Result is what came of one attempt.
type Result struct {
	Class  Class
	Status int // of the answer, 0 without one
	// Code is a metric label of few values: the status, or timeout, connect, reset, tls, dns, auth, body, function-error, cancelled, error. Empty when no request was made.
	Code   string
	Reason string // why it is Failed or Drop

	// RetryAfter is what the handler asked for, never negative and not capped (but for values that would overflow, see maxRetryAfter).
	RetryAfter    time.Duration
	HasRetryAfter bool // RetryAfter may be 0 when the handler asked for that, or named a date in the past

	TimedOut bool // the attempt's own timeout ended it, the handler may still be at work
	// Gateway: the answer is 502, 503 or 504 without an outcome in words, or the connection failed. It tells of the handler, not of the record, and does not count as an attempt.
	Gateway bool
	Ingress bool // Restate's ingress refused the request itself: what it says is about path, headers or registration, and no handler has seen it
	// Invocation is Restate's id of what the request led to. It is read where there is a Tracer, and may be missing.
	Invocation string
	Err        error // nil when Done; free of URLs, payloads, keys and header values
	Duration   time.Duration
}

// Invoker makes attempts for one sink. It is safe for concurrent use.
type Invoker struct {
	cfg       Config
	keyed     bool
	utf8Key   bool // the path's key must be valid UTF-8
	target    *reload.Value[*target]
	noKey     bool // the handler's identity of a record is the key in the path: no idempotency-key
	verdicts  verdicts
	names     names
	toHandler []constantHeader // of every attempt, with Config.Headers, which may hold the handler's credentials
	toOthers  []constantHeader // of every Post
	forward   forwarder
	encode    func(*record.Record) []byte
	binaryCE  bool
	idPrefix  string   // <cluster>/<group>/<topic>/
	timeoutMS []string // Timeout in milliseconds as a header value
	user      *reload.Value[*userHeaders]
	transport *http.Transport // as it was made at first
	pool      *pool
	client    *retryablehttp.Client
	blank     *http.Request // what every request is a copy of
}

// New checks the configuration and prepares all that is the same for every record. It opens no connection; it reads the TLS files.
// Its errors hold no URL and no header value.
func New(cfg Config) (*Invoker, error) {
	cfg.setDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	target, err := cfg.targets()
	if err != nil {
		return nil, err
	}
	i := &Invoker{
		cfg:       cfg,
		target:    target,
		keyed:     cfg.Keyed || target.Get(cfg.Now()).keyed(),
		utf8Key:   cfg.Kind == Service,
		noKey:     cfg.ingress() && cfg.Type == "workflow",
		verdicts:  newVerdicts(cfg),
		idPrefix:  idempotencyPrefix(cfg.Cluster, cfg.Group, cfg.Topic),
		timeoutMS: []string{milliseconds(cfg.Timeout)},
		blank:     &http.Request{Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1},
	}
	if err := i.setFormat(); err != nil {
		return nil, err
	}
	if err := i.setHeaders(); err != nil {
		return nil, err
	}
	if i.transport, err = newTransport(cfg); err != nil {
		return nil, err
	}
	i.pool = newPool(cfg, i.transport)
	i.client = newClient(i.pool, i.judge)
	return i, nil
}

func (c *Config) setDefaults() {
	def := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	def(&c.Type, "service")
	def(&c.Protocol, "http")
	def(&c.ContentType, "application/json")
	def(&c.Format, FormatValue)
	def(&c.HeaderStyle, "restate")
	def(&c.NullKey, "fail")
	def(&c.InvalidKey, "fail")
	def(&c.Tombstones, "deliver")
	if c.Concurrency <= 0 {
		c.Concurrency = 64
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.OnSkippedHeader == nil {
		c.OnSkippedHeader = func() {}
	}
	if c.OnUnknownOutcome == nil {
		c.OnUnknownOutcome = func() {}
	}
}

func (c *Config) check() error {
	var errs []error
	one := func(what, value string, known ...string) {
		for _, k := range known {
			if value == k {
				return
			}
		}
		errs = append(errs, fmt.Errorf("check handler: %s %q is none of %v", what, value, known))
	}
	one("type", c.Type, "service", "object", "object-shared", "workflow", "workflow-shared")
	one("protocol", c.Protocol, "http", "restate")
	one("format", c.Format, FormatValue, FormatEnvelope, FormatCloudEvents, FormatCloudEventsStructured, FormatLambda)
	one("header style", c.HeaderStyle, "restate", "dashes")
	one("null key rule", c.NullKey, "fail", "empty")
	one("invalid key rule", c.InvalidKey, "fail", "base64url")
	one("tombstone rule", c.Tombstones, "deliver", "skip", "fail")
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("check handler: timeout %v is not positive", c.Timeout))
	}
	return errors.Join(errs...)
}

// Attempt makes exactly one request for the record, or none where Precheck decides. attempt counts from 1.
// It returns when the answer has been judged, after Config.Timeout, or when ctx ends.
func (i *Invoker) Attempt(ctx context.Context, rec *record.Record, attempt int) Result {
	if r, decided := i.Precheck(rec); decided {
		return r
	}
	now := i.cfg.Now()
	u := i.target.Get(now).fill(rec, i.cfg.Topic, i.utf8Key)
	q := request{rec: rec, attempt: attempt, body: i.encode(rec), handler: true, user: i.user.Get(now), auth: i.cfg.Auth}
	if i.cfg.Tracer != nil {
		return i.traced(ctx, u, q)
	}
	return i.do(ctx, u, q)
}

// Post sends the record's raw value with the headers of an attempt and the extra ones to another URL, which makes it the way to a
// dead-letter URL. Config.Headers are not sent, nor is Config.Auth used: credentials of the handler are not for
// others. kafka-sidecar-attempt is the caller's to send. auth, which may be nil, proves to this URL who we are. Precheck's rules do not apply. The Result reads as that of an attempt, with Done for a 2xx.
func (i *Invoker) Post(ctx context.Context, address string, auth Auth, rec *record.Record, extra []Header) Result {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return Result{Class: Failed, Code: codeError, Err: errors.New("parse target: not a valid URL")}
	}
	return i.do(ctx, u, request{rec: rec, body: rec.Value, extra: extra, auth: auth})
}

// Precheck decides what needs no request; decided is false when a request is to be made. The rule for tombstones goes first:
// a tombstone that is skipped needs no key.
func (i *Invoker) Precheck(rec *record.Record) (r Result, decided bool) {
	if rec.Value == nil {
		switch i.cfg.Tombstones {
		case "skip":
			return Result{Class: Drop, Reason: ReasonTombstone, Err: errTombstone}, true
		case "fail":
			return Result{Class: Failed, Reason: ReasonTombstone, Err: errTombstone}, true
		}
	}
	if !i.keyed {
		return Result{}, false
	}
	if rec.Key == nil && i.cfg.NullKey == "fail" {
		return Result{Class: Failed, Reason: ReasonNullKey, Err: errNullKey}, true
	}
	if i.utf8Key && i.cfg.InvalidKey == "fail" && !utf8.Valid(rec.Key) {
		return Result{Class: Failed, Reason: ReasonInvalidKey, Err: errInvalidKey}, true
	}
	return Result{}, false
}

// Close closes the idle connections. It is called when no attempt runs any more.
func (i *Invoker) Close() { i.pool.current.Load().CloseIdleConnections() }
