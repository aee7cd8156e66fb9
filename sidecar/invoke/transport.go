package invoke

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

const (
	idleTimeout      = 90 * time.Second
	connectTimeout   = 10 * time.Second
	maxAnswerHeaders = 256 << 10
)

// sender passes requests to the transport and nothing else.
//
// It hides the transport's CloseIdleConnections: go-retryablehttp calls that after every failed request, and with the pool shared by all
// keys, one failing key would cost all others their warm connections.
//
// It takes Location off a redirect, so that http.Client has nowhere to go. CheckRedirect alone is too late: a Location that does not parse is an
// error before it is asked, and a 3xx would be told as a connection error.
type sender struct{ next http.RoundTripper }

func (s sender) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(req)
	if err == nil && resp.StatusCode >= 300 && resp.StatusCode < 400 {
		resp.Header.Del("Location")
	}
	return resp, err
}

// newTransport makes the connection pool. At most Concurrency connections are open and all of them may stay idle: a connection goes back to the pool
// shortly after its answer has been read, so that without MaxConnsPerHost the next attempt would often dial in between.
func newTransport(cfg Config) (*http.Transport, error) {
	tlsConfig, err := NewTLS(cfg)
	if err != nil {
		return nil, err
	}
	// A connection that does not come up ends before the attempt does, so that it can be told from a slow handler.
	connect := min(connectTimeout, cfg.Timeout/2)
	dial := (&net.Dialer{Timeout: connect, KeepAlive: 30 * time.Second}).DialContext
	if cfg.MaySend != nil {
		dial = guard(dial, cfg.MaySend)
	}
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment, // leaves the loopback alone
		DialContext:            dial,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    connect,
		MaxIdleConnsPerHost:    cfg.Concurrency,
		MaxConnsPerHost:        cfg.Concurrency,
		IdleConnTimeout:        idleTimeout,
		DisableCompression:     true, // bodies of answers are not looked at
		MaxResponseHeaderBytes: maxAnswerHeaders,
		Protocols:              new(http.Protocols),
		// The text of a proxy's refusal may be anything; keep its status only.
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
			if res.StatusCode != http.StatusOK {
				return proxyError(res.StatusCode)
			}
			return nil
		},
	}
	t.Protocols.SetHTTP1(true)
	return t, nil
}

// NewTLS is the TLS configuration of connections to the handler, for those who only shake hands.
func NewTLS(cfg Config) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.TLSServerName}
	if cfg.TLSCA != (PEM{}) {
		text, err := cfg.TLSCA.read()
		if err != nil {
			return nil, fmt.Errorf("read handler CA: %w", err)
		}
		if c.RootCAs, err = certificates(text); err != nil {
			return nil, err
		}
	}
	switch hasCert, hasKey := cfg.TLSCert != (PEM{}), cfg.TLSKey != (PEM{}); {
	case hasCert != hasKey:
		return nil, errors.New("read handler client certificate: certificate and key go together")
	case hasCert:
		pair := &keyPair{cert: cfg.TLSCert, key: cfg.TLSKey}
		if _, err := pair.get(); err != nil {
			return nil, fmt.Errorf("read handler client certificate: %w", err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair.get() }
	}
	return c, nil
}

func (p PEM) read() ([]byte, error) {
	if p.File == "" {
		return []byte(p.Value), nil
	}
	return os.ReadFile(p.File)
}

// keyPair is a client certificate that follows its files. While a rotation is half done, and certificate and key do not fit, the last pair that did is used.
type keyPair struct {
	cert, key PEM

	mu     sync.Mutex
	loaded *tls.Certificate
	stamps [2]stamp
}

// stamp changes when a file does.
type stamp struct {
	modified time.Time
	size     int64
}

func (k *keyPair) get() (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	// Stamped before reading: a change in between is seen next time.
	now := [2]stamp{k.cert.stamp(), k.key.stamp()}
	if k.loaded != nil && now == k.stamps {
		return k.loaded, nil
	}
	pair, err := k.load()
	if err != nil {
		if k.loaded != nil {
			return k.loaded, nil
		}
		return nil, err
	}
	k.loaded, k.stamps = pair, now
	return pair, nil
}

func (k *keyPair) load() (*tls.Certificate, error) {
	cert, err := k.cert.read()
	if err != nil {
		return nil, err
	}
	key, err := k.key.read()
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	return &pair, err
}

func (p PEM) stamp() stamp {
	if p.File == "" {
		return stamp{}
	}
	info, err := os.Stat(p.File)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}
