package security

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// audience is what the broker wants a token to be made for.
const audience = "kafka"

// client is who may ask the identity provider for tokens, and what it gets.
type client struct {
	secret   string
	audience string
	life     time.Duration
	outage   int // so many answers are 503 first
}

// idp is an identity provider: it gives tokens for client credentials and publishes the key that they are signed with.
type idp struct {
	plain, tls *httptest.Server
	key        *rsa.PrivateKey

	mu      sync.Mutex
	clients map[string]*client
	issued  map[string][]string // tokens by client
	scopes  map[string]string   // asked for last
}

func startIDP(authority *identity) *idp {
	p := &idp{key: must(rsa.GenerateKey(rand.Reader, 2048)), clients: map[string]*client{}, issued: map[string][]string{}, scopes: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /jwks", p.jwks)
	p.plain = httptest.NewServer(mux)
	p.tls = httptest.NewUnstartedServer(mux)
	p.tls.TLS = &tls.Config{Certificates: []tls.Certificate{issue(authority).tls()}}
	p.tls.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it are part of the tests
	p.tls.StartTLS()
	return p
}

func (p *idp) close() {
	p.plain.Close()
	p.tls.Close()
}

// register adds a client.
func (p *idp) register(id string, c client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients[id] = &c
}

// tokens are those that a client has got.
func (p *idp) tokens(id string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.issued[id]
}

// scope is what a client asked for last.
func (p *idp) scope(id string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.scopes[id]
}

func (p *idp) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	c := p.clients[id]
	switch {
	case c == nil || c.secret != secret:
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":"wrong secret %s"}`, secret)
		return
	case c.outage > 0:
		c.outage--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case r.PostFormValue("grant_type") != "client_credentials":
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"unsupported_grant_type"}`)
		return
	}
	now := time.Now()
	token := p.sign(map[string]any{
		"iss": p.plain.URL, "aud": c.audience, "sub": id, "scope": "read", "iat": now.Add(-time.Second).Unix(), "exp": now.Add(c.life).Unix(),
		"jti": fmt.Sprint(len(p.issued[id])),
	})
	p.issued[id] = append(p.issued[id], token)
	p.scopes[id] = r.PostFormValue("scope")
	fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, token, max(1, int(c.life.Seconds())))
}

// sign makes a JWT (RS256).
func (p *idp) sign(claims map[string]any) string {
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(`{"alg":"RS256","kid":"test","typ":"JWT"}`)) + "." + b64(must(json.Marshal(claims)))
	sum := sha256.Sum256([]byte(text))
	return text + "." + b64(must(rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])))
}

func (p *idp) jwks(w http.ResponseWriter, _ *http.Request) {
	b64 := base64.RawURLEncoding.EncodeToString
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":"test","n":%q,"e":%q}]}`,
		b64(p.key.N.Bytes()), b64(big.NewInt(int64(p.key.E)).Bytes()))
}
