package envconfig

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"
)

// keystore writes a PKCS#12 file.
func keystore(t *testing.T, password string) string {
	t.Helper()
	_, _, leaf, key := identityPEM(t)
	data, err := pkcs12.Modern.WithRand(rand.Reader).Encode(key, leaf, nil, password)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "client.p12", string(data))
}

func TestCertificatesAndKeysAreCheckedAtStart(t *testing.T) {
	certificate, key, _, private := identityPEM(t)
	otherCertificate, _, _, _ := identityPEM(t)
	der, err := pkcs8.ConvertPrivateKeyToPKCS8(private, []byte("right"))
	if err != nil {
		t.Fatal(err)
	}
	encrypted := string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}))
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a.crt"), []byte(certificate), 0o600); err != nil {
		t.Fatal(err)
	}
	ec, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	store := keystore(t, "right")
	const of = "SUBSCRIPTION_OPTIONS: option "
	cases := []struct {
		name    string
		options []string
		want    string
	}{
		{"authorities in a folder", []string{"ssl.ca.location", folder}, ""},
		{"the system's authorities", []string{"ssl.ca.location", "probe"}, ""},
		{"an encrypted key", []string{"ssl.certificate.pem", certificate, "ssl.key.pem", encrypted, "ssl.key.password", "right"}, ""},
		{"a keystore", []string{"ssl.keystore.location", store, "ssl.keystore.password", "right"}, ""},
		{"a key in its old form", []string{"ssl.certificate.pem", certificate, "ssl.key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ec}))}, ""},
		{"a key that is broken", []string{"ssl.certificate.pem", certificate, "ssl.key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: ec}))}, of + "ssl.key.pem holds a key that cannot be read; want PEM of a key, if encrypted then as PKCS#8"},
		{"a key encrypted in an old form", []string{"ssl.certificate.pem", certificate, "ssl.key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"DEK-Info": "AES-128-CBC,00"}, Bytes: ec}))}, of + "ssl.key.pem is encrypted in a form that is not supported; want PEM of a key, if encrypted then as PKCS#8"},
		{"no certificate's file", []string{"ssl.certificate.location", "/nowhere/c", "ssl.key.pem", key}, of + "ssl.certificate.location cannot be read (no such file or directory); want PEM of a certificate"},
		{"no certificate in it", []string{"ssl.certificate.pem", key, "ssl.key.pem", key}, of + "ssl.certificate.pem holds no certificate; want PEM of one"},
		{"no key's file", []string{"ssl.certificate.pem", certificate, "ssl.key.location", "/nowhere/k"}, of + "ssl.key.location cannot be read (no such file or directory); want PEM of a key"},
		{"no keystore", []string{"ssl.keystore.location", "/nowhere/k"}, of + "ssl.keystore.location cannot be read (no such file or directory); want a PKCS#12 file"},
		{"an empty folder", []string{"ssl.ca.location", t.TempDir()}, of + "ssl.ca.location holds no certificate; want PEM of at least one"},
		{"no file", []string{"ssl.ca.location", "/nowhere/ca.pem"}, of + "ssl.ca.location cannot be read (no such file or directory); want PEM of at least one certificate"},
		{"text that is no PEM", []string{"ssl.ca.pem", "Zm9v"}, of + "ssl.ca.pem holds no certificate; want PEM of at least one"},
		{"both forms", []string{"ssl.ca.pem", certificate, "ssl.ca.location", folder}, of + "ssl.ca.pem is set beside its twin; want either the .location or the .pem option"},
		{"a certificate without key", []string{"ssl.certificate.pem", certificate}, of + "ssl.certificate.pem is set without a key; want ssl.key.location or ssl.key.pem too"},
		{"a key without certificate", []string{"ssl.key.pem", key}, of + "ssl.key.pem is set without a certificate; want ssl.certificate.location or ssl.certificate.pem too"},
		{"a key of another certificate", []string{"ssl.certificate.pem", otherCertificate, "ssl.key.pem", key}, of + "ssl.key.pem does not belong to the certificate; want the key that the certificate was made for"},
		{"the certificate as key", []string{"ssl.certificate.pem", certificate, "ssl.key.pem", certificate}, of + "ssl.key.pem holds no key; want PEM of a key, if encrypted then as PKCS#8"},
		{"an encrypted key without password", []string{"ssl.certificate.pem", certificate, "ssl.key.pem", encrypted}, of + "ssl.key.pem is encrypted, but no password is set; want PEM of a key, if encrypted then as PKCS#8"},
		{"a wrong password", []string{"ssl.certificate.pem", certificate, "ssl.key.pem", encrypted, "ssl.key.password", "wrong"}, of + "ssl.key.pem cannot be decrypted with the password; want PEM of a key, if encrypted then as PKCS#8"},
		{"a keystore's wrong password", []string{"ssl.keystore.location", store, "ssl.keystore.password", "wrong"}, of + "ssl.keystore.location is not opened by ssl.keystore.password; want the right password"},
		{"a keystore that is none", []string{"ssl.keystore.location", file(t, "a.jks", "x")}, of + "ssl.keystore.location is no PKCS#12 file with one key and its certificate; want one (not JKS)"},
		{"a keystore beside a key", []string{"ssl.keystore.location", store, "ssl.key.pem", key}, of + "ssl.keystore.location is set beside a certificate or key; want one of the two"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := message(optionEnv(t, append(c.options, "security.protocol", "ssl")...)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestHandlerCertificatesAreCheckedAtStart(t *testing.T) {
	certificate, key, _, _ := identityPEM(t)
	cases := []struct {
		name string
		env  []string
		want string
	}{
		{"a pair", []string{"HANDLER_TLS_CERT=" + certificate, "HANDLER_TLS_KEY_FILE=" + file(t, "k", key), "HANDLER_TLS_CA=" + certificate}, ""},
		{"a certificate alone", []string{"HANDLER_TLS_CERT=" + certificate}, "HANDLER_TLS_CERT: is set without HANDLER_TLS_KEY; want both or none"},
		{"a key alone", []string{"HANDLER_TLS_KEY=" + key}, "HANDLER_TLS_KEY: is set without HANDLER_TLS_CERT; want both or none"},
		{"no authority", []string{"HANDLER_TLS_CA_FILE=" + file(t, "ca", "nothing")}, "HANDLER_TLS_CA_FILE: holds no certificate; want PEM of at least one"},
		{"a strange name", []string{"HANDLER_TLS_SERVER_NAME=a b"}, `HANDLER_TLS_SERVER_NAME: "a b" is not valid; want a host name`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := message(with(append(c.env, "SUBSCRIPTION_SINK=https://handler.example/x")...)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
