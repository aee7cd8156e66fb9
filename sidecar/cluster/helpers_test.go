package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startKafka runs a broker (or several) inside the test on the loopback.
func startKafka(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	k, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// newCluster builds a Cluster for the brokers and closes it after the test.
func newCluster(t *testing.T, cfg Config) *Cluster {
	t.Helper()
	if cfg.SetupTimeout == 0 {
		cfg.SetupTimeout = 10 * time.Second
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// dial is Dial that must succeed.
func dial(t *testing.T, c *Cluster, addr string) *Conn {
	t.Helper()
	conn, err := c.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// scripted is a Cluster whose every dial reaches a broker that plays the script; "broker:9092" is as good an address as any.
func scripted(t *testing.T, cfg Config, script func(*peer)) *Cluster {
	t.Helper()
	cfg.Brokers = []string{"broker:9092"}
	cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			script(&peer{conn: theirs})
		}()
		return ours, nil
	}
	return newCluster(t, cfg)
}

// peer is the broker's end of a scripted connection. Its methods give up silently when the client hangs up.
type peer struct{ conn net.Conn }

type request struct {
	api         protocol.ApiKey
	version     int16
	correlation int32
	rest        []byte // after the client id
}

func (p *peer) read() (q request, ok bool) {
	var size [4]byte
	if _, err := io.ReadFull(p.conn, size[:]); err != nil {
		return q, false
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(p.conn, b); err != nil {
		return q, false
	}
	r := NewReader(b)
	q = request{api: protocol.ApiKey(r.Int16()), version: r.Int16(), correlation: r.Int32()}
	r.NullableString()
	q.rest = b[r.Position():]
	return q, r.Err() == nil
}

func (p *peer) answer(correlation int32, body []byte) {
	w := Writer{}
	w.Int32(int32(len(body) + 4))
	w.Int32(correlation)
	p.write(append(w.B, body...))
}

func (p *peer) write(b []byte) { p.conn.Write(b) }

// hang reads until the client hangs up and answers nothing.
func (p *peer) hang() { io.Copy(io.Discard, p.conn) }

// greet answers ApiVersions: every API that kafka-go knows is accepted from v0 to v30.
func (p *peer) greet() bool {
	q, ok := p.read()
	if !ok {
		return false
	}
	var w Writer
	w.Int16(0)
	w.ArrayLen(52)
	for api := range int16(52) {
		w.Int16(api)
		w.Int16(0)
		w.Int16(30)
	}
	p.answer(q.correlation, w.B)
	return true
}

// identity is a certificate with its key, as PEM.
type identity struct {
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	certPEM string
	keyPEM  string
}

// issue makes a certificate signed by the authority; a nil authority makes one.
func issue(t *testing.T, authority *identity, change func(*x509.Certificate)) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "test"},
		NotBefore:    time.Now().Add(-48 * time.Hour),
		NotAfter:     time.Now().Add(48 * time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if authority == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		template.Subject.CommonName = "test authority " + template.SerialNumber.String()
	}
	if change != nil {
		change(template)
	}
	parent, signer := template, key
	if authority != nil {
		parent, signer = authority.cert, authority.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{
		cert: cert, key: key,
		certPEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		keyPEM:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})),
	}
}

// serverTLS is the broker's side.
func (i *identity) serverTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{i.cert.Raw}, PrivateKey: i.key}}}
}

func (i *identity) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.cert)
	return pool
}

// file writes text into a new file and gives its name.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// requireClient makes a broker ask for a certificate of the authority.
func requireClient(cfg *tls.Config, authority *identity) {
	cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, authority.pool()
}

// secure takes the broker's end into TLS.
func (p *peer) secure(cfg *tls.Config) {
	server := tls.Server(p.conn, cfg)
	server.Handshake()
	p.conn = server
}

// pass lets virtual time go by; its callers run in synctest bubbles.
func pass(d time.Duration) { <-time.After(d) }
