package envconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// smallest is the smallest configuration of the contract.
var smallest = []string{
	"KAFKA_BOOTSTRAP_SERVERS=localhost:9092",
	"SUBSCRIPTION_ID=orders-to-billing",
	"SUBSCRIPTION_SOURCE=kafka://my-cluster/orders",
	"SUBSCRIPTION_SINK=http://localhost:8080/orders",
}

// with gives the smallest configuration with variables set, replaced, or (as "NAME=") taken away.
func with(changes ...string) []string {
	return append(append([]string{}, changes...), smallest...) // the first of two equal names counts
}

func mustParse(tb testing.TB, environ ...string) *Config {
	tb.Helper()
	cfg, err := Parse(environ)
	if err != nil {
		tb.Fatalf("the environment should be good:\n%v", err)
	}
	return cfg
}

// message gives the whole error.
func message(environ []string) string {
	if _, err := Parse(environ); err != nil {
		return err.Error()
	}
	return ""
}

// noteTexts gives the notes as lines.
func noteTexts(cfg *Config) string {
	var lines []string
	for _, n := range cfg.Notes {
		lines = append(lines, n.Level.String()+" "+n.String())
	}
	return strings.Join(lines, "\n")
}

// file writes a file and gives its path.
func file(tb testing.TB, name, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// identityPEM makes a key and its self-signed certificate.
func identityPEM(tb testing.TB) (certificate, key string, leaf *x509.Certificate, private *ecdsa.PrivateKey) {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		tb.Fatal(err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})), leaf, private
}
