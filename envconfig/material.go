package envconfig

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"
)

// complain reports what is wrong with one piece of material.
type complain func(format string, args ...any)

// checkAuthorities wants at least one certificate, in PEM text, a file of it, or a folder of such files.
func checkAuthorities(p PEM, complain complain) {
	if p.IsZero() {
		return
	}
	texts, err := authorities(p)
	if err != nil {
		complain("cannot be read (%v); want PEM of at least one certificate", err)
		return
	}
	for _, text := range texts {
		if x509.NewCertPool().AppendCertsFromPEM([]byte(text)) {
			return
		}
	}
	complain("holds no certificate; want PEM of at least one")
}

func authorities(p PEM) ([]string, error) {
	info, err := os.Stat(p.File)
	if p.File == "" || err != nil || !info.IsDir() {
		text, err := p.Load()
		return []string{text.Reveal()}, errors.Unwrap(err)
	}
	var texts []string
	for _, pattern := range []string{"*.pem", "*.crt"} {
		files, _ := filepath.Glob(filepath.Join(p.File, pattern))
		for _, file := range files {
			text, err := readFile(file)
			if err != nil {
				return nil, err
			}
			texts = append(texts, text)
		}
	}
	return texts, nil
}

// checkKeyPair wants a certificate and its key.
func checkKeyPair(certificate, key PEM, password SecretRef, onCertificate, onKey complain) {
	chain, err := certificate.Load()
	if err != nil {
		onCertificate("cannot be read (%v); want PEM of a certificate", errors.Unwrap(err))
		return
	}
	leaf := firstCertificate([]byte(chain.Reveal()))
	if leaf == nil {
		onCertificate("holds no certificate; want PEM of one")
	}
	text, err := key.Load()
	if err != nil {
		onKey("cannot be read (%v); want PEM of a key", errors.Unwrap(err))
		return
	}
	secret, err := password.Load()
	if err != nil {
		onKey("has a password that cannot be read (%v); want it readable", errors.Unwrap(err))
		return
	}
	public, err := publicKey([]byte(text.Reveal()), []byte(secret.Reveal()))
	if err != nil {
		onKey("%v; want PEM of a key, if encrypted then as PKCS#8", err)
		return
	}
	if leaf != nil && !public(leaf) {
		onKey("does not belong to the certificate; want the key that the certificate was made for")
	}
}

func firstCertificate(data []byte) *x509.Certificate {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err == nil {
				return certificate
			}
		}
	}
	return nil
}

// keyTypes are the blocks that hold a private key.
var keyTypes = []string{"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"}

// publicKey reads a private key and gives the test whether a certificate is its own. Errors of the parsers are left out: no word of a key
// shall be in a message.
func publicKey(data, password []byte) (func(*x509.Certificate) bool, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if !slices.Contains(keyTypes, block.Type) {
			continue
		}
		if block.Headers["DEK-Info"] != "" {
			return nil, errors.New("is encrypted in a form that is not supported")
		}
		var key any
		var err error
		switch block.Type {
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		default:
			if len(password) == 0 {
				return nil, errors.New("is encrypted, but no password is set")
			}
			if key, err = pkcs8.ParsePKCS8PrivateKey(block.Bytes, password); err != nil {
				return nil, errors.New("cannot be decrypted with the password")
			}
		}
		if err != nil {
			return nil, errors.New("holds a key that cannot be read")
		}
		return func(c *x509.Certificate) bool {
			switch key := key.(type) {
			case *rsa.PrivateKey:
				return key.PublicKey.Equal(c.PublicKey)
			case *ecdsa.PrivateKey:
				return key.PublicKey.Equal(c.PublicKey)
			case ed25519.PrivateKey:
				return key.Public().(ed25519.PublicKey).Equal(c.PublicKey)
			}
			return false
		}, nil
	}
	return nil, errors.New("holds no key")
}

// checkKeystore wants a PKCS#12 file that the password opens.
func checkKeystore(file string, password SecretRef, complain complain) {
	data, err := readBytes(file)
	if err != nil {
		complain("cannot be read (%v); want a PKCS#12 file", err)
		return
	}
	secret, err := password.Load()
	if err != nil {
		complain("has a password that cannot be read (%v); want it readable", errors.Unwrap(err))
		return
	}
	_, _, _, err = pkcs12.DecodeChain(data, secret.Reveal())
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		complain("is not opened by ssl.keystore.password; want the right password")
	case err != nil:
		complain("is no PKCS#12 file with one key and its certificate; want one (not JKS)")
	}
}
