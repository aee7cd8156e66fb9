package cluster

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/youmark/pkcs8"
	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// tlsConfig reads every file anew, so that a rotated certificate is used from the next dial on. addr is the broker's own host:port: it is what
// its certificate must name, and not the address that it resolves to.
func (s *Security) tlsConfig(addr string) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("read the host name to verify: %w", err)
	}
	roots, err := s.roots()
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{
		ServerName:         host,
		RootCAs:            roots,
		MinVersion:         tls.VersionTLS12,
		CipherSuites:       s.CipherSuites,
		InsecureSkipVerify: s.SkipVerify || s.SkipHostname,
	}
	for _, id := range s.Curves {
		cfg.CurvePreferences = append(cfg.CurvePreferences, tls.CurveID(id))
	}
	if s.SkipHostname && !s.SkipVerify {
		cfg.VerifyConnection = func(state tls.ConnectionState) error { return verifyChain(roots, state) }
	}
	certificate, err := s.certificate()
	if err != nil {
		return nil, err
	}
	if certificate != nil {
		// Sent whatever authorities the broker names: its refusal says more than a certificate that was silently withheld.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return cfg, nil
}

// verifyChain is crypto/tls's own verification without the host name.
func verifyChain(roots *x509.CertPool, state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the broker sent no certificate")
	}
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	if _, err := state.PeerCertificates[0].Verify(options); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
	}
	return nil
}

// roots gives nil for the system's.
func (s *Security) roots() (*x509.CertPool, error) { return Roots(s.CA, "ssl.ca") }

// Roots reads authorities, from a value, a file, or a folder of *.pem and *.crt; nil, the system's, where there are none. option is what the
// names of the two options begin with.
func Roots(ca Material, option string) (*x509.CertPool, error) {
	if ca == (Material{}) {
		return nil, nil
	}
	files := []Material{ca}
	if info, err := os.Stat(ca.File); ca.File != "" && err == nil && info.IsDir() {
		files = nil
		for _, pattern := range []string{"*.pem", "*.crt"} {
			names, err := filepath.Glob(filepath.Join(ca.File, pattern))
			if err != nil {
				return nil, fmt.Errorf("list %s.location: %w", option, err)
			}
			for _, name := range names {
				files = append(files, Material{File: name})
			}
		}
	}
	pool, found := x509.NewCertPool(), false
	for _, f := range files {
		text, err := f.read()
		if err != nil {
			return nil, fmt.Errorf("read %s.location: %w", option, err)
		}
		found = pool.AppendCertsFromPEM([]byte(text)) || found
	}
	if !found {
		return nil, fmt.Errorf("read %[1]s.location or %[1]s.pem: it holds no PEM certificate", option)
	}
	return pool, nil
}

// certificate gives nil when there is no client certificate.
func (s *Security) certificate() (*tls.Certificate, error) {
	if s.Keystore != "" {
		return s.keystore()
	}
	if s.Certificate == (Material{}) {
		return nil, nil
	}
	chain, err := s.Certificate.read()
	if err != nil {
		return nil, fmt.Errorf("read ssl.certificate.location: %w", err)
	}
	key, err := s.Key.read()
	if err != nil {
		return nil, fmt.Errorf("read ssl.key.location: %w", err)
	}
	keyPEM, err := s.decrypted([]byte(key))
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(chain), keyPEM)
	if err != nil {
		return nil, fmt.Errorf("pair ssl.certificate.location with ssl.key.location: %w", err)
	}
	return &pair, nil
}

// decrypted gives the key's PEM in the clear. Encrypted PKCS#8 is the form that openssl writes; crypto/x509 does not read it.
func (s *Security) decrypted(text []byte) ([]byte, error) {
	for rest := text; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil:
			return text, nil // X509KeyPair says what is wrong with it
		case block.Headers["DEK-Info"] != "":
			return nil, errors.New("read ssl.key.location: the key has the old encryption of its PEM kind; convert it with `openssl pkcs8 -topk8`")
		case block.Type != "ENCRYPTED PRIVATE KEY":
			continue
		}
		password, err := s.KeyPassword.read()
		if err != nil {
			return nil, fmt.Errorf("read ssl.key.password: %w", err)
		}
		if password == "" {
			return nil, errors.New("read ssl.key.location: the key is encrypted and ssl.key.password is empty")
		}
		key, err := pkcs8.ParsePKCS8PrivateKey(block.Bytes, []byte(password))
		if err != nil {
			return nil, fmt.Errorf("decrypt ssl.key.location with ssl.key.password: %w", err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("read ssl.key.location: %w", err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
	}
}

func (s *Security) keystore() (*tls.Certificate, error) {
	data, err := os.ReadFile(s.Keystore)
	if err != nil {
		return nil, fmt.Errorf("read ssl.keystore.location: %w", err)
	}
	if bytes.HasPrefix(data, []byte{0xfe, 0xed, 0xfe, 0xed}) {
		return nil, errors.New("read ssl.keystore.location: it is a Java keystore (JKS); convert it with `keytool -importkeystore -deststoretype PKCS12`")
	}
	password, err := s.KeystorePassword.read()
	if err != nil {
		return nil, fmt.Errorf("read ssl.keystore.password: %w", err)
	}
	key, leaf, authorities, err := pkcs12.DecodeChain(data, password)
	if err != nil {
		return nil, fmt.Errorf("open ssl.keystore.location with ssl.keystore.password: %w", err)
	}
	certificate := &tls.Certificate{PrivateKey: key, Leaf: leaf, Certificate: [][]byte{leaf.Raw}}
	for _, c := range authorities {
		certificate.Certificate = append(certificate.Certificate, c.Raw)
	}
	return certificate, nil
}

// isAlert says whether the peer refused us inside TLS; crypto/tls keeps the alert's type to itself.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// tlsHint names the option that usually mends a failed handshake.
func tlsHint(err error) string {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	hint := ""
	switch {
	case errors.As(err, &authority):
		hint = "give the authority that signed the broker's certificate in ssl.ca.location or ssl.ca.pem"
	case errors.As(err, &hostname):
		hint = "connect by a name that the broker's certificate holds (also its advertised.listeners), or set ssl.endpoint.identification.algorithm to none"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		hint = "renew the broker's certificate, or set this machine's clock; enable.ssl.certificate.verification=false would accept it"
	case errors.As(err, &record), hungUp(err):
		hint = "the port does not seem to speak TLS; set security.protocol to plaintext or sasl_plaintext"
	case isAlert(err) && strings.Contains(err.Error(), "certificate"):
		hint = "the broker refuses our certificate, or wants one: see ssl.certificate.location and ssl.key.location, or ssl.keystore.location"
	case isAlert(err):
		hint = "the two sides have no TLS version, cipher suite or curve in common: see ssl.cipher.suites and ssl.curves.list"
	}
	if hint == "" {
		return ""
	}
	return " (hint: " + hint + ")"
}
