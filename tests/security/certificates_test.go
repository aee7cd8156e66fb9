package security

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/youmark/pkcs8"
)

// identity is a certificate for localhost (and no address) with its key, as PEM.
type identity struct {
	leaf      *x509.Certificate
	private   *ecdsa.PrivateKey
	cert, key string
}

// issue makes an identity signed by an authority; without one it makes an authority.
func issue(by *identity) *identity {
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := template, private
	if by == nil {
		template.IsCA = true
	} else {
		template.DNSNames = []string{"localhost"}
		parent, signer = by.leaf, by.private
	}
	der := must(x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer))
	return &identity{
		leaf: must(x509.ParseCertificate(der)), private: private,
		cert: block("CERTIFICATE", der), key: block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(private))),
	}
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// must is for what only fails where the machine has no entropy.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// encrypted gives the key under a password.
func (i *identity) encrypted(t *testing.T, password string) string {
	t.Helper()
	der, err := pkcs8.ConvertPrivateKeyToPKCS8(i.private, []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	return block("ENCRYPTED PRIVATE KEY", der)
}

// pool trusts the identity.
func (i *identity) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.leaf)
	return pool
}

func (i *identity) tls() tls.Certificate {
	return must(tls.X509KeyPair([]byte(i.cert), []byte(i.key)))
}
