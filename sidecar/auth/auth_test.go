package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/awsauth"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/reload"
	"github.com/kafka-sidecar/kafka-sidecar/tests/awsverify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func give(text string) func() (string, error) {
	return func() (string, error) { return text, nil }
}

func newAuth(t *testing.T, cfg Config) Auth {
	t.Helper()
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func request(t *testing.T, address, body string) *http.Request {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
		Header: http.Header{"content-type": {"application/json"}, "kafka.topic": {"orders"}, "idempotency-key": {"c/g/orders/0/1/2"}},
	}
}

func sign(t *testing.T, a Auth, body, id string) http.Header {
	t.Helper()
	r := request(t, "http://handler.test/x", body)
	if err := a.Sign(t.Context(), r, []byte(body), id); err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	for name, values := range r.Header {
		h[http.CanonicalHeaderKey(name)] = values
	}
	return h
}

func TestTokensAndPasswordsFollowTheirFiles(t *testing.T) {
	now := time.Now()
	token, password := "first", "pässword"
	clock := func() time.Time { return now }
	b := newAuth(t, Config{Kind: Bearer, Now: clock, Token: func() (string, error) { return token, nil }})
	p := newAuth(t, Config{Kind: Basic, Now: clock, Username: give("user"), Password: func() (string, error) { return password, nil }})
	check := func(wantToken, wantPassword string) {
		t.Helper()
		now = now.Add(reload.Interval)
		if got := sign(t, b, "", "").Get("Authorization"); got != "Bearer "+wantToken {
			t.Errorf("token sent: %q, want %q", got, wantToken)
		}
		if got, want := sign(t, p, "", "").Get("Authorization"), "Basic "+base64.StdEncoding.EncodeToString([]byte("user:"+wantPassword)); got != want {
			t.Errorf("password sent: %q, want %q", got, want)
		}
	}
	check("first", "pässword")
	token, password = "second", "other"
	check("second", "other")
	token = "half\nwritten"
	check("second", "other")
}

func TestSecretsThatCannotBeReadAreMistakesThatShowNothing(t *testing.T) {
	gone := func() (string, error) { return "", errors.New("no such file") }
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"no file":         {Config{Kind: Bearer, Token: gone}, "read the bearer token: no such file"},
		"a broken token":  {Config{Kind: Bearer, Token: give("hidden one")}, "read the bearer token: it is empty, or holds spaces"},
		"a colon":         {Config{Kind: Basic, Username: give("hidden:x"), Password: give("")}, "read the user name: it holds a colon"},
		"no password":     {Config{Kind: Basic, Username: give("u"), Password: gone}, "read the password: no such file"},
		"no base64":       {Config{Kind: Signature, Secrets: give("whsec_hidden!")}, "read the signature secrets: entry 1 is not base64"},
		"no secret":       {Config{Kind: Signature, Secrets: give(" ")}, "read the signature secrets: there is none"},
		"no kind of ours": {Config{Kind: "magic"}, `"magic" is no kind`},
	} {
		if _, err := New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

const (
	oldSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	newSecret = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD0VDfkmHkGUI="
)

func TestSignaturesAreTakenByTheStandardsOwnLibrary(t *testing.T) {
	a := newAuth(t, Config{Kind: Signature, Secrets: give(oldSecret + ",\n" + newSecret)})
	const body = `{"total":7}`
	for _, payload := range []string{body, "", "\x00\xff"} {
		h := sign(t, a, payload, "c/g/orders.v1/0/1/2")
		for _, secret := range []string{oldSecret, newSecret} {
			w, err := standardwebhooks.NewWebhook(secret)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Verify([]byte(payload), h); err != nil {
				t.Errorf("%q with %.8s: %v", payload, secret, err)
			}
			if w.Verify([]byte(payload+" "), h) == nil {
				t.Error("another body is taken too")
			}
			other := h.Clone()
			other.Set("Webhook-Id", "c/g/orders%2Ev1/0/2/2")
			if w.Verify([]byte(payload), other) == nil {
				t.Error("another id is taken too")
			}
		}
		if id := h.Get("Webhook-Id"); id != "c/g/orders%2Ev1/0/1/2" {
			t.Errorf("id %q: it must be the record's, and hold no dot", id)
		}
	}
	if !a.Owns("webhook-signature") || a.Owns("authorization") {
		t.Error("the headers of the signature are webhook-*")
	}
}

// metadataServer plays Google's.
type metadataServer struct {
	mu     sync.Mutex
	asked  []*http.Request
	status int
	life   time.Duration
	answer string
}

func (m *metadataServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, r)
	w.Header().Set("Metadata-Flavor", "Google")
	if m.status != 0 {
		w.WriteHeader(m.status)
		fmt.Fprint(w, "hidden words")
		return
	}
	if m.answer != "" {
		fmt.Fprint(w, m.answer)
		return
	}
	claims := fmt.Sprintf(`{"exp":%d,"n":%d}`, time.Now().Add(m.life).Unix(), len(m.asked))
	fmt.Fprintf(w, "h.%s.s", base64.RawURLEncoding.EncodeToString([]byte(claims)))
}

func (m *metadataServer) requests() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.asked)
}

func newMetadata(t *testing.T) *metadataServer {
	t.Helper()
	m := &metadataServer{life: time.Hour}
	s := httptest.NewServer(m)
	t.Cleanup(s.Close)
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(s.URL, "http://"))
	return m
}

func TestGoogleTokenIsAskedForOnceAndRenewedBeforeItsEnd(t *testing.T) {
	m := newMetadata(t)
	m.life = 4 * time.Second
	g := newAuth(t, Config{Kind: GoogleIDToken, Audience: "https://billing.example/a b"})
	first := sign(t, g, "", "").Get("Authorization")
	if second := sign(t, g, "", "").Get("Authorization"); second != first || !strings.HasPrefix(first, "Bearer h.") {
		t.Errorf("tokens %q and %q, want one", first, second)
	}
	deadline := time.After(30 * time.Second)
	for m.requests() < 2 { // before the end, without anybody asking
		select {
		case <-deadline:
			t.Fatal("the token was not renewed")
		case <-time.After(10 * time.Millisecond):
		}
	}
	q := m.asked[0]
	if q.Header.Get("Metadata-Flavor") != "Google" || q.URL.Path != "/computeMetadata/v1/instance/service-accounts/default/identity" ||
		q.URL.Query().Get("audience") != "https://billing.example/a b" || q.URL.Query().Get("format") != "full" {
		t.Errorf("asked %s with %v", q.URL, q.Header)
	}
}

func TestRefusalOfANewGoogleTokenAsksForNoOther(t *testing.T) {
	m := newMetadata(t)
	g := newAuth(t, Config{Kind: GoogleIDToken, Audience: "a"})
	r := request(t, "http://handler.test/x", "")
	if err := g.Sign(t.Context(), r, nil, ""); err != nil {
		t.Fatal(err)
	}
	g.Refused(r)
	if err := g.Check(t.Context()); err != nil || m.requests() != 1 {
		t.Errorf("%v after %d requests, want the same token from one", err, m.requests())
	}
}

func TestWhatTheMetadataServerRefusesIsSaidWithoutItsWords(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		answer string
		want   string
	}{
		"no account": {404, "", "ask the metadata server for an ID token: answered 404 Not Found (hint: does the service run as a service account?)"},
		"refused":    {403, "", "answered 403 Forbidden (hint"},
		"no token":   {0, "hidden", "the answer is none"},
		"ended":      {0, "h." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1}`)) + ".s", "had ended already"},
	} {
		m := newMetadata(t)
		m.status, m.answer = c.status, c.answer
		err := newAuth(t, Config{Kind: GoogleIDToken, Audience: "a"}).Check(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func TestSigV4IsTakenByAWSsVerifier(t *testing.T) {
	creds := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "hidden-key", SessionToken: "session/token=="}
	t.Setenv("AWS_ACCESS_KEY_ID", creds.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", creds.SecretAccessKey)
	t.Setenv("AWS_SESSION_TOKEN", creds.SessionToken)
	for _, service := range []string{"lambda", "execute-api", "vpc-lattice-svcs"} {
		t.Run(service, func(t *testing.T) {
			a := newAuth(t, Config{Kind: SigV4, Region: "eu-central-1", Service: service, Chain: awsauth.NewChain(awsauth.Config{})})
			verdict := make(chan error, 1)
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				err := awsverify.Request(r, body, creds, "eu-central-1", service)
				if hash := r.Header.Get("X-Amz-Content-Sha256"); err == nil && (hash == "UNSIGNED-PAYLOAD") != (service == "vpc-lattice-svcs") {
					err = fmt.Errorf("the body's hash is sent as %s", hash)
				}
				verdict <- err
			}))
			defer server.Close()
			for _, body := range []string{`{"a":1}`, ""} {
				r := request(t, server.URL+"/a%2Fb/%C3%A4+c:d?z=1&b=x%20y&a=%2F", body)
				shared := r.URL // by every request of the invoker
				if err := a.Sign(t.Context(), r, []byte(body), ""); err != nil {
					t.Fatal(err)
				}
				if shared.RawQuery != "z=1&b=x%20y&a=%2F" || r.URL.EscapedPath() != shared.EscapedPath() {
					t.Errorf("the URL was changed to %s", shared)
				}
				send(t, r)
				if err := <-verdict; err != nil {
					t.Errorf("body %q: %v", body, err)
				}
			}
		})
	}
}

func send(t *testing.T, r *http.Request) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	if r.ContentLength == 0 {
		r.Body = nil
	}
	resp, err := tr.RoundTrip(r.WithContext(context.WithoutCancel(t.Context())))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

func TestSigV4WithoutCredentialsIsAnErrorBeforeAnyRequest(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	a := newAuth(t, Config{Kind: SigV4, Region: "eu-central-1", Service: "lambda", Chain: awsauth.NewChain(awsauth.Config{})})
	r := request(t, "http://handler.test/x", "")
	err := a.Sign(t.Context(), r, nil, "")
	if err == nil || !strings.Contains(err.Error(), "none are set up") {
		t.Errorf("got %v", err)
	}
}
