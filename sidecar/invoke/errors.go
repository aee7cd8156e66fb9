package invoke

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
)

// The values of Result.Code beside statuses.
const (
	codeTimeout   = "timeout"
	codeConnect   = "connect"
	codeReset     = "reset"
	codeTLS       = "tls"
	codeDNS       = "dns"
	codeBody      = "body"
	codeAuth      = "auth"
	codeCancelled = "cancelled"
	codeError     = "error"
)

var (
	errTimeout    = errors.New("handler did not answer in time")
	errBody       = errors.New("handler broke off its answer")
	errReset      = errors.New("handler closed the connection without an answer")
	errMalformed  = errors.New("handler's answer is not HTTP/1.1")
	errExchange   = errors.New("exchange with the handler failed")
	errHeldBack   = errors.New("make attempt: it may not be sent any more")
	errTombstone  = errors.New("record is a tombstone")
	errNullKey    = errors.New("record has no key, which the sink needs")
	errInvalidKey = errors.New("record's key is not valid UTF-8, which the sink needs")
)

// answerError says what the handler answered, for logs.
type answerError struct {
	status  int
	outcome bool // said by kafka-sidecar-outcome
	class   Class
	source  source
	lambda  *lambdaSays // of the Invoke API; else nil
}

func (e answerError) Error() string {
	if e.lambda != nil {
		return e.lambda.error(e.status)
	}
	if e.outcome {
		return fmt.Sprintf("handler answered %d with outcome %s", e.status, e.class)
	}
	if e.source == fromIngress {
		return "Restate's ingress answered " + strconv.Itoa(e.status) + refusal(e.status)
	}
	return fmt.Sprintf("handler answered %d", e.status)
}

// proxyError is the status with which a proxy refused a tunnel.
type proxyError int

func (e proxyError) Error() string { return fmt.Sprintf("proxy answered %d", int(e)) }

// explain gives an error of the transport its metric label and a text that is fit for logs. The text is made of what is known to be harmless:
// addresses, names in certificates, causes named by the operating system. Everything else of net/http's may quote the URL, a
// proxy's password or bytes of the answer, which may be an echo of the payload, and is replaced.
func explain(err error) (code string, safe error) {
	var (
		dns    *net.DNSError
		op     *net.OpError
		proxy  proxyError
		verify *tls.CertificateVerificationError
		alert  tls.AlertError
		header tls.RecordHeaderError
	)
	text := rootText(err)
	switch {
	case errors.As(err, &dns):
		return codeDNS, fmt.Errorf("look up handler: %w", dns)
	case errors.As(err, &proxy):
		return codeConnect, fmt.Errorf("connect to handler: %w", proxy)
	case errors.As(err, &verify):
		return codeTLS, fmt.Errorf("verify handler's certificate: %w", verify.Err)
	case errors.As(err, &alert):
		return codeTLS, fmt.Errorf("agree on TLS with handler: %w", alert)
	case errors.As(err, &op) && op.Op == "remote error":
		return codeTLS, fmt.Errorf("agree on TLS with handler: %w", op) // wraps an alert that crypto/tls keeps to itself
	case errors.As(err, &header), errors.Is(err, http.ErrSchemeMismatch):
		return codeTLS, errors.New("agree on TLS with handler: it does not speak TLS")
	case text == "net/http: TLS handshake timeout":
		return codeTLS, errors.New("agree on TLS with handler: it did not answer in time")
	case strings.HasPrefix(text, "tls: "):
		return codeTLS, errors.New("agree on TLS with handler: handshake failed")
	case errors.As(err, &op) && op.Op == "dial":
		return codeConnect, fmt.Errorf("connect to handler: %w", op)
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return codeConnect, errors.New("connect to handler: proxy failed")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED),
		text == "http: server closed idle connection":
		return codeReset, errReset
	case errors.Is(err, context.Canceled):
		// Another attempt's cancellation ended the dial that this one waited for.
		return codeConnect, errors.New("connect to handler: dial was cancelled")
	case strings.HasPrefix(text, "malformed "):
		return codeError, errMalformed
	}
	return codeError, errExchange
}

// rootText is the text of the innermost error, to know those errors of net/http that have no type. It is compared, never shown.
func rootText(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
