package oauth

import (
	"crypto/x509"
	"encoding/base64"
	encoding "encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "s3cret/with+signs"

func text(s string) func() (string, error) { return func() (string, error) { return s, nil } }

// source makes a source for an endpoint, closed with the test.
func source(t *testing.T, endpoint string, change func(*Config)) *Source {
	t.Helper()
	cfg := Config{TokenURL: text(endpoint), ClientID: text("me:you"), ClientSecret: text(secret), Scope: "kafka read"}
	if change != nil {
		change(&cfg)
	}
	s := New(cfg)
	t.Cleanup(s.Close)
	return s
}

// endpoint answers every request for a token in the same way.
func endpoint(t *testing.T, status int, body string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/elsewhere" {
			w.Header().Set("Location", "/elsewhere") // heeded, it would carry the secret to another place
			w.WriteHeader(status)
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return s
}

// jwt makes an unsigned token with claims.
func jwt(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestTokenIsAskedForAsKafkasClientsDo(t *testing.T) {
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		got = r
		fmt.Fprint(w, `{"access_token":"tok.en","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(server.Close)
	s := source(t, server.URL+"/token?tenant=a", nil)
	for range 3 {
		if token, err := s.Token(t.Context()); err != nil || token != "tok.en" {
			t.Fatalf("got %q, %v", token, err)
		}
	}
	id, password, _ := got.BasicAuth()
	if got.Method != http.MethodPost || got.URL.String() != "/token?tenant=a" || got.PostForm.Encode() != "grant_type=client_credentials&scope=kafka+read" {
		t.Errorf("got %s %s %v", got.Method, got.URL, got.PostForm)
	}
	// The id ends at the first colon, by the rules of basic authentication; what is sent is what was configured.
	if id+":"+password != "me:you:"+secret || got.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("got %q, %q, %v", id, password, got.Header)
	}
}

func TestLifeIsTheShorterOfWhatIsSaidAndClaimed(t *testing.T) {
	now := time.Now()
	in := func(d time.Duration) string { return jwt(fmt.Sprintf(`{"sub":"x","exp":%d}`, now.Add(d).Unix())) }
	for name, c := range map[string]struct {
		token, expires string
		want           time.Duration
	}{
		"said":            {"opaque", "100", 100 * time.Second},
		"claimed":         {in(200 * time.Second), "", 200 * time.Second},
		"claimed earlier": {in(50 * time.Second), "100", 50 * time.Second},
		"said earlier":    {in(200 * time.Second), "100", 100 * time.Second},
		"neither":         {"opaque", "", unknownLife},
		"no JWT":          {"a.b.c", "", unknownLife},
		"no number":       {jwt(`{"exp":"soon"}`), "", unknownLife},
		"for ever":        {"opaque", "1e300", 2147483647 * time.Second},
	} {
		if got := lifetime(c.token, encoding.Number(c.expires), now).Sub(now); got < c.want-1100*time.Millisecond || got > c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestRefusalNamesTheOptionAndNeverASecret(t *testing.T) {
	const body = `{"error":%q,"error_description":"client me:you with s3cret/with+signs"}`
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
		heals  bool
	}{
		"a wrong secret":    {401, fmt.Sprintf(body, "invalid_client"), "answered 401 Unauthorized (invalid_client) (hint: check sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret)", false},
		"a wrong scope":     {400, fmt.Sprintf(body, "invalid_scope"), "answered 400 Bad Request (invalid_scope) (hint: check sasl.oauthbearer.scope)", false},
		"a grant forbidden": {400, fmt.Sprintf(body, "unauthorized_client"), "answered 400 Bad Request (unauthorized_client) (hint: the client of sasl.oauthbearer.client.id may not use the client credentials grant: allow it at the identity provider)", false},
		"words of its own":  {400, fmt.Sprintf(body, secret), "answered 400 Bad Request (hint: check sasl.oauthbearer.client.id, sasl.oauthbearer.client.secret and sasl.oauthbearer.scope)", false},
		"another page":      {404, "<html>", "answered 404 Not Found (hint: check sasl.oauthbearer.token.endpoint.url; redirects are not followed)", false},
		"a redirect":        {302, `{"access_token":"t"}`, "answered 302 Found (hint: check sasl.oauthbearer.token.endpoint.url; redirects are not followed)", false},
		"an outage":         {503, "", "answered 503 Service Unavailable", true},
		"a limit":           {429, "", "answered 429 Too Many Requests", true},
	} {
		server := endpoint(t, c.status, c.body)
		_, err := source(t, server.URL+"/token?key=hidden", nil).Token(t.Context())
		host := strings.TrimPrefix(server.URL, "http://")
		if err == nil || err.Error() != "ask "+host+" for a token: "+c.want {
			t.Errorf("%s: %v", name, err)
		}
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Heals() != c.heals {
			t.Errorf("%s: %v heals, want %v", name, err, c.heals)
		}
	}
}

func TestAnswerWithoutATokenIsAnErrorThatShowsNothingOfIt(t *testing.T) {
	for _, body := range []string{"", "no JSON hidden", `{"access_token":""}`, `{"access_token":"hidden\u0001auth=x"}`} {
		_, err := source(t, endpoint(t, 200, body).URL, nil).Token(t.Context())
		if err == nil || !strings.Contains(err.Error(), "holds no access_token") || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestEndpointThatCannotBeReachedSaysWhyWithoutTheQuery(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	broken := errors.New("no such file")
	for name, c := range map[string]struct {
		url    string
		change func(*Config)
		want   string
	}{
		"gone":                 {gone.URL + "?hidden", nil, "connection refused"},
		"an unknown authority": {server.URL + "?hidden", nil, "https.ca.location or https.ca.pem"},
		"no URL":               {"http://h\x7f/hidden", nil, "read sasl.oauthbearer.token.endpoint.url: it is no URL"},
		"a secret's file":      {server.URL, func(c *Config) { c.ClientSecret = func() (string, error) { return "", broken } }, "read sasl.oauthbearer.client.secret: no such file"},
		"an id's file":         {server.URL, func(c *Config) { c.ClientID = func() (string, error) { return "", broken } }, "read sasl.oauthbearer.client.id: no such file"},
		"an authority's file":  {server.URL, func(c *Config) { c.CA = func() (*x509.CertPool, error) { return nil, broken } }, "no such file"},
	} {
		_, err := source(t, c.url, c.change).Token(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEndpointOfAPrivateAuthorityIsTrustedWhenGiven(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"access_token":"t"}`) }))
	t.Cleanup(server.Close)
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	s := source(t, server.URL, func(c *Config) { c.CA = func() (*x509.CertPool, error) { return pool, nil } })
	if token, err := s.Token(t.Context()); err != nil || token != "t" {
		t.Errorf("got %q, %v", token, err)
	}
}
