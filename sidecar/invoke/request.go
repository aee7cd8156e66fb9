package invoke

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// request is what differs between an attempt and a Post.
type request struct {
	rec     *record.Record
	attempt int // 0: not said
	body    []byte
	handler bool         // it goes to the handler
	user    *userHeaders // nil: none
	extra   []Header
	span    Span // nil: none
	auth    Auth // nil: none
}

// call is one request under way. It is the request's context too, so that the judge, which gets nothing else of ours from
// go-retryablehttp, finds where to put its verdict. The embedded context has the attempt's timeout, parent has not.
type call struct {
	context.Context
	parent  context.Context
	auth    Auth
	handler bool // whom it asks: only the handler may say an outcome in words
	request *http.Request
	result  Result
}

// do sends one request and returns the judge's verdict.
func (i *Invoker) do(ctx context.Context, u *url.URL, q request) Result {
	start := i.cfg.Now()
	if ctx.Err() != nil {
		return cancelled(ctx)
	}
	// A deadline of the caller may be nearer than our timeout; the handler is told the nearer one.
	left := i.timeoutMS
	if deadline, ok := ctx.Deadline(); ok {
		if d := time.Until(deadline); d < i.cfg.Timeout {
			left = []string{milliseconds(max(d, 0))}
		}
	}
	timed, cancel := context.WithTimeoutCause(ctx, i.cfg.Timeout, errTimeout)
	defer cancel()
	c := &call{Context: timed, parent: ctx, auth: q.auth, handler: q.handler, result: Result{Class: Retry, Code: codeError, Err: errExchange}}

	hr := i.blank.WithContext(c) // the one way to a request with a context that neither parses a URL nor copies twice
	hr.URL, hr.Host = u, u.Host
	c.request = hr
	if q.handler && i.cfg.Kind == Lambda {
		hr.Header = i.lambdaHeaders(q, left)
	} else {
		if q.user != nil && q.user.host != "" {
			hr.Host = q.user.host
		}
		hr.Header = i.headers(q, left)
	}
	if len(q.body) > 0 {
		// A nil Body is sent as Content-Length: 0, an empty one would be chunked. The plain NopCloser over a bytes.Reader is
		// a type that net/http knows to be in memory, and so writes headers and body in one go.
		hr.Body = io.NopCloser(bytes.NewReader(q.body))
		hr.ContentLength = int64(len(q.body))
	}
	if q.auth != nil {
		if err := q.auth.Sign(timed, hr, q.body, i.idPrefix+string(appendIdempotencyKey(nil, q.rec))); err != nil {
			if ctx.Err() != nil {
				return cancelled(ctx)
			}
			// The handler was not asked, so that it counts as no attempt.
			return Result{Class: Retry, Code: codeAuth, Gateway: true, Err: fmt.Errorf("authenticate: %w", err), Duration: i.cfg.Now().Sub(start)}
		}
	}
	// Wrapped by hand and not by FromRequest, which would copy the body, or NewRequest, which would set GetBody.
	// The verdict is in c; the body has been read and closed there.
	_, _ = i.client.Do(&retryablehttp.Request{Request: hr}) //nolint:bodyclose // the judge has closed it
	c.result.Duration = i.cfg.Now().Sub(start)
	return c.result
}

// newClient is go-retryablehttp reduced to one request per Do.
func newClient(t http.RoundTripper, judge retryablehttp.CheckRetry) *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport: sender{t},
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		},
		RetryMax:     0,
		CheckRetry:   judge,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
