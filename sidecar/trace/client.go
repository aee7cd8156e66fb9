package trace

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	connectTimeout = 10 * time.Second
	retries        = 4 // of one batch, within ExportTimeout
	retryFrom      = time.Second
	retryTo        = 5 * time.Second
	maxAnswer      = 64 << 10
)

// client is OTLP over HTTP with protobuf bodies (https://opentelemetry.io/docs/specs/otlp/#otlphttp). It is the otlptrace.Client of the SDK's exporter.
type client struct {
	endpoint string
	headers  func() ([]Header, error)
	gzip     bool
	http     *retryablehttp.Client
	alive    context.Context // ends every export
	cut      context.CancelFunc
	last     atomic.Bool // nothing is tried again any more
}

func newClient(cfg Config) *client {
	c := &client{endpoint: cfg.Endpoint, headers: cfg.Headers, gzip: cfg.Gzip}
	c.alive, c.cut = context.WithCancel(context.Background())
	c.http = &retryablehttp.Client{
		HTTPClient: &http.Client{
			Timeout: cfg.Timeout,
			Transport: &http.Transport{
				Proxy:                 http.ProxyFromEnvironment,
				DialContext:           (&net.Dialer{Timeout: min(connectTimeout, cfg.Timeout)}).DialContext,
				TLSClientConfig:       cfg.TLS,
				TLSHandshakeTimeout:   min(connectTimeout, cfg.Timeout),
				MaxIdleConns:          1,
				IdleConnTimeout:       90 * time.Second,
				ExpectContinueTimeout: time.Second,
				ForceAttemptHTTP2:     true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // our headers are not for others
		},
		RetryMax: retries, RetryWaitMin: retryFrom, RetryWaitMax: retryTo,
		Backoff:      retryablehttp.DefaultBackoff, // a Retry-After ends with the batch's own timeout
		CheckRetry:   c.again,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	return c
}

// again is which answers the protocol has the exporter try once more.
func (c *client) again(ctx context.Context, resp *http.Response, err error) (bool, error) {
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case c.last.Load():
		return false, err
	}
	if err != nil {
		return true, nil //nolint:nilerr // it is what is tried again
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, nil
	}
	return false, nil
}

// Start implements otlptrace.Client: there is nothing to begin.
func (*client) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client; see close.
func (*client) Stop(context.Context) error { return nil }

// close ends the connections. No export runs any more.
func (c *client) close() {
	c.cut()
	c.http.HTTPClient.CloseIdleConnections()
}

// UploadTraces sends one batch. Its errors hold no URL, no header and no word of an answer.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.alive, cancel)()
	req, err := c.request(ctx, spans)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if resp != nil {
			_ = resp.Body.Close()
		}
		return explain(ctx, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case resp.StatusCode/100 != 2:
		return exportError{"the collector answered " + strconv.Itoa(resp.StatusCode)}
	case err != nil:
		return explain(ctx, err)
	}
	return rejected(answer)
}

func (c *client) request(ctx context.Context, spans []*tracepb.ResourceSpans) (*retryablehttp.Request, error) {
	// TracesData is the same on the wire as ExportTraceServiceRequest, whose package comes with gRPC.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return nil, exportError{"the spans cannot be encoded"}
	}
	headers, err := c.headers()
	if err != nil {
		return nil, exportError{"OTEL_EXPORTER_OTLP_HEADERS cannot be read: " + err.Error()}
	}
	if c.gzip {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, _ = w.Write(body) // a buffer takes everything
		_ = w.Close()
		body = packed.Bytes()
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, body)
	if err != nil {
		return nil, exportError{"the endpoint is no valid URL"}
	}
	req.Header.Set("User-Agent", "kafka-sidecar")
	for _, h := range headers {
		req.Header.Set(h.Name, h.Value)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	if c.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	return req, nil
}

// rejectedError is a success of which the collector took only a part.
type rejectedError struct{ spans int }

func (e rejectedError) Error() string {
	return "the collector rejected " + strconv.Itoa(e.spans) + " spans of a batch"
}

// rejected reads ExportTraceServiceResponse: field 1 is the partial success, whose field 1 is the number of spans that were not taken.
func rejected(answer []byte) error {
	partial, _ := field(answer, 1)
	if _, n := field(partial, 1); n > 0 {
		return rejectedError{int(min(n, 1<<31-1))}
	}
	return nil
}

// field is the last value of a field, as bytes or as a number. What cannot be read is not there.
func field(message []byte, number protowire.Number) (text []byte, value uint64) {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return nil, 0
		}
		message = message[size:]
		if size = protowire.ConsumeFieldValue(n, kind, message); size < 0 {
			return nil, 0
		}
		if n == number {
			switch kind {
			case protowire.BytesType:
				text, _ = protowire.ConsumeBytes(message)
			case protowire.VarintType:
				value, _ = protowire.ConsumeVarint(message)
			}
		}
		message = message[size:]
	}
	return text, value
}

// exportError is told in the log.
type exportError struct{ text string }

func (e exportError) Error() string { return e.text }

// explain says what went wrong in words that are known to be harmless: those of net/http hold the URL, or bytes of the answer.
func explain(ctx context.Context, err error) error {
	var (
		dns     *net.DNSError
		verify  *tls.CertificateVerificationError
		op      *net.OpError
		timeout net.Error
	)
	switch {
	case errors.As(err, &dns):
		return exportError{"look up the collector: " + dns.Error()}
	case errors.As(err, &verify):
		return exportError{"verify the collector's certificate: " + verify.Err.Error()}
	case errors.As(err, &op) && op.Op == "dial" && !op.Timeout():
		return exportError{"connect to the collector: " + op.Error()}
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exportError{"the time to export the last spans is over"}
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return exportError{"the collector did not answer in time"}
	}
	return exportError{"exchange with the collector failed"}
}
