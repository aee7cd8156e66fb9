package invoke

import (
	"bytes"
	"crypto/x509"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/reload"
)

// pool is the connections to the handler. Where the authorities come from a file that changes, it begins anew: connections that were made under
// the old ones end after their request, and a client certificate that was rotated with them is shown at once.
type pool struct {
	current atomic.Pointer[http.Transport]
	roots   *reload.Value[[]byte] // nil: they do not change
	used    atomic.Pointer[[]byte]
	now     func() time.Time
}

// newPool begins with a transport whose authorities were read a moment ago. They are read once more at the first request, and then kept in mind.
func newPool(cfg Config, first *http.Transport) *pool {
	p := &pool{now: cfg.Now}
	p.current.Store(first)
	if cfg.TLSCA.File == "" {
		return p
	}
	// An error here is one of a file that was good a moment ago.
	if roots, err := reload.New(func() ([]byte, error) {
		text, err := cfg.TLSCA.read()
		if err == nil {
			_, err = certificates(text)
		}
		return text, err
	}); err == nil {
		p.roots = roots
		p.used.Store(new([]byte))
	}
	return p
}

// RoundTrip makes one request.
func (p *pool) RoundTrip(req *http.Request) (*http.Response, error) {
	if p.roots != nil {
		p.follow()
	}
	return p.current.Load().RoundTrip(req)
}

// follow begins anew when the authorities are others by now.
func (p *pool) follow() {
	text, used := p.roots.Get(p.now()), p.used.Load()
	if bytes.Equal(text, *used) || !p.used.CompareAndSwap(used, &text) {
		return
	}
	authorities, err := certificates(text)
	if err != nil {
		return // never: the same text has been read
	}
	old := p.current.Load()
	next := old.Clone()
	next.TLSClientConfig.RootCAs = authorities
	p.current.Store(next)
	old.CloseIdleConnections()
}

func certificates(text []byte) (*x509.CertPool, error) {
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(text) {
		return nil, errors.New("read handler CA: no certificate in PEM form found")
	}
	return p, nil
}
