package invoke

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

func TestErrorsAreTold(t *testing.T) {
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80}, Err: err}
	}
	for _, tt := range []struct {
		err        error
		code, text string
	}{
		{dial(&net.DNSError{Err: "no such host", Name: "handler.test", IsNotFound: true}), codeDNS, "look up handler: lookup handler.test: no such host"},
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), codeConnect, "connect to handler: dial tcp 10.0.0.1:80: connect: connection refused"},
		{dial(os.NewSyscallError("connect", syscall.ECONNRESET)), codeConnect, "connect to handler: dial tcp 10.0.0.1:80: connect: connection reset by peer"},
		{&net.OpError{Op: "proxyconnect", Net: "tcp", Err: dial(syscall.ECONNREFUSED)}, codeConnect, "connect to handler: proxy failed"},
		{&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, codeReset, errReset.Error()},
		{&net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.EPIPE)}, codeReset, errReset.Error()},
		{io.EOF, codeReset, errReset.Error()},
		{io.ErrUnexpectedEOF, codeReset, errReset.Error()},
		{errors.New("http: server closed idle connection"), codeReset, errReset.Error()},
		{fmt.Errorf("net/http: HTTP/1.x transport connection broken: %w", errors.New(`malformed HTTP response "s3cret"`)), codeError, errMalformed.Error()},
		{http.ErrSchemeMismatch, codeTLS, "agree on TLS with handler: it does not speak TLS"},
		{tls.RecordHeaderError{Msg: "s3cret"}, codeTLS, "agree on TLS with handler: it does not speak TLS"},
		{tls.AlertError(42), codeTLS, "agree on TLS with handler: tls: bad certificate"},
		{errors.New("net/http: TLS handshake timeout"), codeTLS, "agree on TLS with handler: it did not answer in time"},
		{errors.New("tls: s3cret"), codeTLS, "agree on TLS with handler: handshake failed"},
		{fmt.Errorf(`invalid proxy address "http://u:s3cret@p": %w`, errors.New("parse s3cret")), codeError, errExchange.Error()},
	} {
		for _, err := range []error{tt.err, &url.Error{Op: "Post", URL: "http://h/?q=s3cret", Err: tt.err}} {
			code, safe := explain(err)
			if code != tt.code || safe.Error() != tt.text {
				t.Errorf("%v:\ngot  %s %q\nwant %s %q", tt.err, code, safe, tt.code, tt.text)
			}
		}
	}
}

// FuzzNoSecretInError plants a secret in everything that is sent, lets the handler answer anything, its echo included, and looks for it in all that a log may show.
func FuzzNoSecretInError(f *testing.F) {
	const secret = "hunter2-hunter2"
	for _, answer := range []string{
		"", "%s\r\n\r\n", "HTTP/1.1 %s\r\n\r\n", "HTTP/1.1 200 %s\r\n\r\n", "HTTP/1.1 302 x\r\nLocation: http://%s:%s@[\r\n\r\n", "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
		"HTTP/1.1 500 x\r\nRetry-After: %s\r\nkafka-sidecar-outcome: %s\r\n\r\n%s", "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s", "HTTP/%s 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: %s\r\n\r\n",
	} {
		f.Add(answer)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		i := newInvoker(t, Config{
			URLTemplate: "http://handler.test/" + secret + "/{key}?token=" + secret, ForwardHeaders: []string{"*"},
			Headers: []Header{{"Authorization", "Bearer " + secret}},
		})
		wire(t, i, func(c net.Conn) {
			if _, _, err := readRequest(c); err != nil {
				return
			}
			_, _ = io.WriteString(c, strings.ReplaceAll(answer, "%s", secret))
		})
		r := rec()
		r.Key, r.Value = []byte(secret), []byte(secret)
		r.Headers = []record.Header{{Name: "x-" + secret, Value: []byte(secret)}}
		res := i.Attempt(t.Context(), r, 1)
		if res.Class < Done || res.Class > Drop {
			t.Fatalf("got %+v", res)
		}
		if shown := fmt.Sprintf("%+v %#v %v", res, res, res.Err); strings.Contains(shown, "hunter2") {
			t.Fatalf("secret is shown: %s", shown)
		}
		for err := res.Err; err != nil; err = errors.Unwrap(err) {
			if strings.Contains(fmt.Sprintf("%v %+v", err, err), "hunter2") {
				t.Fatalf("secret is in the chain: %v", err)
			}
		}
	})
}
