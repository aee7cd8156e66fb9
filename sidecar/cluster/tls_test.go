package cluster

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/youmark/pkcs8"
	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// listen runs serve for every connection until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// serveTLS is a port that speaks TLS and then nothing.
func serveTLS(t *testing.T, cfg *tls.Config) string {
	return listen(t, func(conn net.Conn) {
		server := tls.Server(conn, cfg)
		if server.Handshake() == nil {
			io.Copy(io.Discard, server)
		}
	})
}

func TestEachTLSMistakeHasOneClearMessage(t *testing.T) {
	authority, other := issue(t, nil, nil), issue(t, nil, nil)
	good := issue(t, authority, nil)
	expired := issue(t, authority, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	elsewhere := issue(t, authority, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"kafka.example"}, nil })
	mutual := good.serverTLS()
	requireClient(mutual, authority)
	old := good.serverTLS()
	old.MaxVersion = tls.VersionTLS11
	old.MinVersion = tls.VersionTLS10
	ours := Security{TLS: true, CA: Material{Value: authority.certPEM}}
	with := func(s Security, change func(*Security)) Security { change(&s); return s }

	alert := listen(t, func(conn net.Conn) { // what a Java broker answers to bytes that are no TLS
		io.ReadFull(conn, make([]byte, 8))
		conn.Write([]byte{0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x46})
		io.Copy(io.Discard, conn)
	})
	hangUp := listen(t, func(conn net.Conn) { io.ReadFull(conn, make([]byte, 8)) })
	http := listen(t, func(conn net.Conn) {
		io.ReadFull(conn, make([]byte, 8))
		io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		io.Copy(io.Discard, conn)
	})

	for _, c := range []struct {
		name, addr string
		security   Security
		want       string // ADDR is the address
		retriable  bool
	}{
		{"plaintext client on a TLS port, answered with an alert", alert, Security{},
			"exchange ApiVersions with ADDR: answer too large: 352518912 bytes are over the bound of 100000000 (receive.message.max.bytes) (hint: the broker answers in TLS; set security.protocol to ssl or sasl_ssl)", false},
		{"plaintext client on a TLS port, hung up on", serveTLS(t, good.serverTLS()), Security{},
			"(hint: the broker hung up on the first request; if this port expects TLS, set security.protocol to ssl or sasl_ssl)", true},
		{"client on an HTTP port", http, Security{},
			"exchange ApiVersions with ADDR: answer too large: 1213486160 bytes are over the bound of 100000000 (receive.message.max.bytes) (hint: is this the port of a Kafka broker?)", false},
		{"TLS client on a plaintext port, hung up on", hangUp, ours,
			"(hint: the port does not seem to speak TLS; set security.protocol to plaintext or sasl_plaintext)", true},
		{"TLS client on a plaintext port, answered", http, ours,
			"TLS handshake with ADDR: tls: first record does not look like a TLS handshake (hint: the port does not seem to speak TLS; set security.protocol to plaintext or sasl_plaintext)", false},
		{"authority of the system", serveTLS(t, good.serverTLS()), Security{TLS: true},
			"(hint: give the authority that signed the broker's certificate in ssl.ca.location or ssl.ca.pem)", false},
		{"other authority", serveTLS(t, good.serverTLS()), Security{TLS: true, CA: Material{Value: other.certPEM}},
			"TLS handshake with ADDR: tls: failed to verify certificate: x509: certificate signed by unknown authority (hint: give the authority that signed the broker's certificate in ssl.ca.location or ssl.ca.pem)", false},
		{"other host", serveTLS(t, elsewhere.serverTLS()), ours,
			"TLS handshake with ADDR: tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs (hint: connect by a name that the broker's certificate holds (also its advertised.listeners), or set ssl.endpoint.identification.algorithm to none)", false},
		{"expired", serveTLS(t, expired.serverTLS()), ours,
			"(hint: renew the broker's certificate, or set this machine's clock; enable.ssl.certificate.verification=false would accept it)", false},
		{"expired, without host name", serveTLS(t, expired.serverTLS()), with(ours, func(s *Security) { s.SkipHostname = true }),
			"(hint: renew the broker's certificate, or set this machine's clock; enable.ssl.certificate.verification=false would accept it)", false},
		{"other authority, without host name", serveTLS(t, elsewhere.serverTLS()), Security{TLS: true, SkipHostname: true, CA: Material{Value: other.certPEM}},
			"x509: certificate signed by unknown authority (hint: give the authority that signed the broker's certificate in ssl.ca.location or ssl.ca.pem)", false},
		{"client certificate missing", serveTLS(t, mutual), ours,
			"exchange ApiVersions with ADDR: remote error: tls: certificate required (hint: the broker refuses our certificate, or wants one: see ssl.certificate.location and ssl.key.location, or ssl.keystore.location)", false},
		{"client certificate of another authority", serveTLS(t, mutual), with(ours, func(s *Security) {
			i := issue(t, other, nil)
			s.Certificate, s.Key = Material{Value: i.certPEM}, Material{Value: i.keyPEM}
		}), "remote error: tls: unknown certificate authority (hint: the broker refuses our certificate, or wants one: see ssl.certificate.location and ssl.key.location, or ssl.keystore.location)", false},
		{"old TLS", serveTLS(t, old), ours,
			"(hint: the two sides have no TLS version, cipher suite or curve in common: see ssl.cipher.suites and ssl.curves.list)", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := newCluster(t, Config{Brokers: []string{c.addr}, Security: c.security}).Dial(t.Context(), c.addr)
			if err == nil || !strings.HasSuffix(err.Error(), strings.ReplaceAll(c.want, "ADDR", c.addr)) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			eq(t, Retriable(err), c.retriable)
		})
	}
}

func TestSkippingTheHostNameStillVerifiesTheChain(t *testing.T) {
	authority := issue(t, nil, nil)
	middle := issue(t, authority, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	leaf := issue(t, middle, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"kafka.example"}, nil })
	cfg := leaf.serverTLS()
	cfg.Certificates[0].Certificate = append(cfg.Certificates[0].Certificate, middle.cert.Raw)
	k := startKafka(t, kfake.TLS(cfg))
	works(t, newCluster(t, Config{Brokers: k.ListenAddrs(), Security: Security{TLS: true, SkipHostname: true, CA: Material{Value: authority.certPEM}}}), k.ListenAddrs())
	works(t, newCluster(t, Config{Brokers: k.ListenAddrs(), Security: Security{TLS: true, SkipVerify: true}}), k.ListenAddrs())
}

func TestBrokerIsVerifiedByItsOwnName(t *testing.T) {
	for addr, want := range map[string]string{"kafka.example:9093": "kafka.example", "[::1]:9093": "::1", "10.0.0.1:1": "10.0.0.1"} {
		cfg, err := (&Security{}).tlsConfig(addr)
		if err != nil {
			t.Fatal(err)
		}
		eq(t, cfg.ServerName, want)
		eq(t, cfg.MinVersion, tls.VersionTLS12)
		eq(t, cfg.InsecureSkipVerify, false)
	}
	s := Security{CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}, Curves: []uint16{uint16(tls.CurveP384)}}
	cfg, err := s.tlsConfig("b:1")
	if err != nil {
		t.Fatal(err)
	}
	eq(t, cfg.CipherSuites[0], tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
	eq(t, cfg.CurvePreferences[0], tls.CurveP384)
}

func TestAuthoritiesComeFromAFolder(t *testing.T) {
	a, b := issue(t, nil, nil), issue(t, nil, nil)
	dir := t.TempDir()
	for name, text := range map[string]string{"a.pem": a.certPEM, "b.crt": b.certPEM, "notes.txt": "no certificate"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := Security{CA: Material{File: dir}}
	pool, err := s.roots()
	if err != nil {
		t.Fatal(err)
	}
	both := a.pool()
	both.AddCert(b.cert)
	eq(t, pool.Equal(both), true)
}

func TestClientCertificateIsReadInEveryForm(t *testing.T) {
	authority := issue(t, nil, nil)
	client := issue(t, authority, nil)
	der, err := pkcs8.MarshalPrivateKey(client.key, []byte("pw"), nil)
	if err != nil {
		t.Fatal(err)
	}
	encrypted := string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}))
	p12, err := pkcs12.Modern.Encode(client.key, client.cert, []*x509.Certificate{authority.cert}, "pw")
	if err != nil {
		t.Fatal(err)
	}
	legacy, err := pkcs12.LegacyRC2.WithRand(rand.Reader).Encode(client.key, client.cert, nil, "pw")
	if err != nil {
		t.Fatal(err)
	}
	pw := Material{File: file(t, "pw", "pw\n")}
	certificate := Material{Value: client.certPEM}
	for name, s := range map[string]Security{
		"PEM":             {Certificate: certificate, Key: Material{Value: client.keyPEM}},
		"PEM files":       {Certificate: Material{File: file(t, "c", client.certPEM)}, Key: Material{File: file(t, "k", client.keyPEM)}},
		"encrypted key":   {Certificate: certificate, Key: Material{Value: encrypted}, KeyPassword: pw},
		"keystore":        {Keystore: file(t, "p12", string(p12)), KeystorePassword: pw},
		"legacy keystore": {Keystore: file(t, "p12", string(legacy)), KeystorePassword: pw},
	} {
		got, err := s.certificate()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		eq(t, string(got.Certificate[0]), string(client.cert.Raw))
		eq(t, client.key.Equal(got.PrivateKey), true)
	}
}

func TestUnreadableKeyMaterialNamesTheOptionAndNoSecret(t *testing.T) {
	authority := issue(t, nil, nil)
	a, b := issue(t, authority, nil), issue(t, authority, nil)
	der, err := pkcs8.MarshalPrivateKey(a.key, []byte("pw"), nil)
	if err != nil {
		t.Fatal(err)
	}
	encrypted := Material{Value: string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}))}
	old := Material{Value: string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: der}))}
	certificate := Material{Value: a.certPEM}
	wrong := Material{Value: "sesame-open"}
	for want, s := range map[string]Security{
		"read ssl.ca.location: open ":                                                                  {CA: Material{File: "/does/not/exist"}},
		"read ssl.ca.location or ssl.ca.pem: it holds no PEM certificate":                              {CA: Material{Value: "sesame-open"}},
		"read ssl.certificate.location: open ":                                                         {Certificate: Material{File: "/does/not/exist"}},
		"read ssl.key.location: open ":                                                                 {Certificate: certificate, Key: Material{File: "/does/not/exist"}},
		"pair ssl.certificate.location with ssl.key.location: tls: private key":                        {Certificate: certificate, Key: Material{Value: b.keyPEM}},
		"pair ssl.certificate.location with ssl.key.location: tls: failed to find any PEM data in key": {Certificate: certificate, Key: wrong},
		"read ssl.key.location: the key is encrypted and ssl.key.password is empty":                    {Certificate: certificate, Key: encrypted},
		"decrypt ssl.key.location with ssl.key.password: ":                                             {Certificate: certificate, Key: encrypted, KeyPassword: wrong},
		"read ssl.key.location: the key has the old encryption":                                        {Certificate: certificate, Key: old},
		"read ssl.keystore.location: open ":                                                            {Keystore: "/does/not/exist"},
		"read ssl.keystore.location: it is a Java keystore (JKS); convert it with `keytool":            {Keystore: file(t, "jks", "\xfe\xed\xfe\xed\x00")},
		"open ssl.keystore.location with ssl.keystore.password: ":                                      {Keystore: file(t, "p12", "none"), KeystorePassword: wrong},
	} {
		s.TLS = true
		_, err := s.tlsConfig("b:1")
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("a secret is shown: %v", err)
		}
		if Retriable(err) {
			t.Errorf("retriable: %v", err)
		}
	}
}

func TestDialNeedsAHostAndAPort(t *testing.T) {
	c := newCluster(t, Config{Brokers: []string{"b:1"}, Security: Security{TLS: true}})
	_, err := c.Dial(t.Context(), "no-port")
	var addr *net.AddrError
	if !errors.As(err, &addr) {
		t.Errorf("got %v", err)
	}
}
