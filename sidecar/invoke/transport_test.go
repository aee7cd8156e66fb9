package invoke

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func caOf(s *httptest.Server) PEM {
	return PEM{Value: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))}
}

// clientPair makes a self-signed certificate and its key, both as PEM.
func clientPair(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func TestHandlersCertificateIsVerified(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("spoke %s", r.Proto)
		}
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = discardLog()
	s.StartTLS()
	defer s.Close()
	if r := newInvoker(t, Config{URLTemplate: s.URL}).Attempt(t.Context(), rec(), 1); r.Class != Retry || r.Code != codeTLS || !r.Gateway {
		t.Errorf("unknown authority: %+v", r)
	}
	if r := newInvoker(t, Config{URLTemplate: s.URL, TLSCA: caOf(s), TLSServerName: "other.test"}).Attempt(t.Context(), rec(), 1); r.Code != codeTLS {
		t.Errorf("other name: %+v", r)
	}
	for _, name := range []string{"", "example.com"} {
		if r := newInvoker(t, Config{URLTemplate: s.URL, TLSCA: caOf(s), TLSServerName: name}).Attempt(t.Context(), rec(), 1); r.Class != Done {
			t.Errorf("known authority: %+v", r)
		}
	}
}

func TestPlainHandlerBehindHTTPSIsATLSError(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	r := newInvoker(t, Config{URLTemplate: strings.Replace(s.URL, "http:", "https:", 1)}).Attempt(t.Context(), rec(), 1)
	if r.Class != Retry || r.Code != codeTLS {
		t.Errorf("got %+v", r)
	}
}

func TestRotatedClientCertificateIsUsed(t *testing.T) {
	names := make(chan string, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		names <- r.TLS.PeerCertificates[0].Subject.CommonName
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.Config.ErrorLog = discardLog()
	s.StartTLS()
	defer s.Close()

	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	age := time.Now().Add(-time.Hour)
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		age = age.Add(time.Second) // stands for the time that passes between two rotations
		if err := os.Chtimes(file, age, age); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := clientPair(t, "first")
	write(certFile, cert)
	write(keyFile, key)
	i := newInvoker(t, Config{URLTemplate: s.URL, TLSCA: caOf(s), TLSCert: PEM{File: certFile}, TLSKey: PEM{File: keyFile}})
	attempt := func(want string) {
		t.Helper()
		i.Close() // so that the next attempt makes a connection
		if r := i.Attempt(t.Context(), rec(), 1); r.Class != Done {
			t.Fatalf("got %+v", r)
		}
		if got := <-names; got != want {
			t.Errorf("showed %q, want %q", got, want)
		}
	}
	attempt("first")
	cert, key = clientPair(t, "second")
	write(certFile, cert)
	attempt("first") // half of the rotation
	write(keyFile, key)
	attempt("second")
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	attempt("second")

	cert, key = clientPair(t, "by value")
	i = newInvoker(t, Config{URLTemplate: s.URL, TLSCA: caOf(s), TLSCert: PEM{Value: cert}, TLSKey: PEM{Value: key}})
	attempt("by value")

	r := newInvoker(t, Config{URLTemplate: s.URL, TLSCA: caOf(s)}).Attempt(t.Context(), rec(), 1)
	if r.Class != Retry || r.Code != codeTLS {
		t.Errorf("without a certificate: %+v", r)
	}
}
