package awsauth

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cloud plays the security token service, the metadata service and the containers' agents, and keeps what it was asked.
type cloud struct {
	*httptest.Server
	mu   sync.Mutex
	asks []*http.Request
	fail map[string]int // status by path or action
	gone time.Duration  // life of what is handed out
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{fail: map[string]int{}, gone: time.Hour}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		w.WriteHeader(400)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asks = append(c.asks, r)
	action := r.PostForm.Get("Action")
	if status := c.fail[r.URL.Path+action]; status != 0 {
		w.WriteHeader(status)
		fmt.Fprint(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>token hidden-token</Message></Error></ErrorResponse>`)
		return
	}
	end := time.Now().Add(c.gone).UTC().Format(time.RFC3339)
	asJSON := func(key string) {
		fmt.Fprintf(w, `{"Code":"Success","AccessKeyId":%q,"SecretAccessKey":"hidden-secret","Token":"hidden-token","Expiration":%q}`, key, end)
	}
	const roles = "/latest/meta-data/iam/security-credentials/"
	session := r.Header.Get("X-aws-ec2-metadata-token") == "session"
	switch {
	case action != "":
		fmt.Fprintf(w, `<%sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials><AccessKeyId>role:%s</AccessKeyId>`+
			`<SecretAccessKey>hidden-secret</SecretAccessKey><SessionToken>hidden-token</SessionToken><Expiration>%s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
			action, r.PostForm.Get("RoleArn"), end)
	case r.URL.Path == "/latest/api/token" && r.Method == http.MethodPut && r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") != "":
		w.Header().Set("X-aws-ec2-metadata-token-ttl-seconds", "21600")
		fmt.Fprint(w, "session")
	case r.URL.Path == roles && session:
		fmt.Fprint(w, "node role\n")
	case r.URL.Path == roles+"node role" && session:
		asJSON("instance")
	case r.URL.Path == "/ecs" || r.URL.Path == "/eks" && r.Header.Get("Authorization") == "pod-token":
		asJSON("container" + r.URL.Path)
	default:
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func (c *cloud) asked() []*http.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asks
}

// chain makes a chain with an environment of its own, whose files lie in a folder of the test.
func (c *cloud) chain(t *testing.T, cfg Config, env ...string) *Chain {
	t.Helper()
	for _, line := range os.Environ() {
		if name, _, _ := strings.Cut(line, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HOME", t.TempDir())
	for _, one := range append([]string{"AWS_ENDPOINT_URL_STS=" + c.URL, "AWS_EC2_METADATA_SERVICE_ENDPOINT=" + c.URL}, env...) {
		name, value, _ := strings.Cut(one, "=")
		t.Setenv(name, value)
	}
	chain := NewChain(cfg)
	// The agents of containers have fixed addresses.
	chain.client = chain.client.WithTransportOptions(func(tr *http.Transport) {
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "169.254.170.") {
				addr = strings.TrimPrefix(c.URL, "http://")
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
	})
	t.Cleanup(chain.Close)
	return chain
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const profiles = `
# comment
[default]
region = eu-west-1
[profile keys]
aws_access_key_id = file-key # a comment
aws_secret_access_key=file-secret
s3 =
  max_concurrent_requests = 20
[sso-session keys]
aws_access_key_id = not-a-profile
[profile role]
role_arn = arn:aws:iam::1:role/r
source_profile = keys
external_id = ext
[profile two]
role_arn = arn:aws:iam::1:role/two
source_profile = role
[profile self]
role_arn = arn:aws:iam::1:role/self
source_profile = self
aws_access_key_id = self-key
aws_secret_access_key = self-secret
[profile pod]
role_arn = arn:aws:iam::1:role/pod
credential_source = EcsContainer
[profile node]
role_arn = arn:aws:iam::1:role/node
credential_source = Ec2InstanceMetadata
[profile env]
role_arn = arn:aws:iam::1:role/env
credential_source = Environment
[profile sso]
sso_session = keys
[profile loop]
role_arn = arn:aws:iam::1:role/a
source_profile = pool
[profile pool]
role_arn = arn:aws:iam::1:role/b
source_profile = loop
[profile mfa]
role_arn = arn:aws:iam::1:role/c
source_profile = keys
mfa_serial = arn:aws:iam::1:mfa/me
`

func TestCredentialsAreFoundWhereAWSLooks(t *testing.T) {
	keys := []string{"AWS_ACCESS_KEY_ID=env-key", "AWS_SECRET_ACCESS_KEY=env-secret"}
	web := []string{"AWS_WEB_IDENTITY_TOKEN_FILE=" + file(t, "web-token"), "AWS_ROLE_ARN=arn:web"}
	shared := "AWS_CONFIG_FILE=" + file(t, profiles)
	pod := "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/eks"
	podToken := "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=" + file(t, "pod-token")
	for name, c := range map[string]struct {
		cfg  Config
		env  []string
		want string
	}{
		"environment":                        {Config{}, append(append(keys, web...), shared, "AWS_PROFILE=keys"), "env-key"},
		"web identity":                       {Config{}, append(web, shared, "AWS_PROFILE=keys", pod), "role:arn:web"},
		"profile":                            {Config{}, []string{shared, "AWS_PROFILE=keys", pod}, "file-key"},
		"a named profile before all":         {Config{Profile: "keys"}, append(append(keys, web...), shared), "file-key"},
		"role of a profile":                  {Config{Profile: "role"}, []string{shared}, "role:arn:aws:iam::1:role/r"},
		"role over a role":                   {Config{Profile: "two"}, []string{shared}, "role:arn:aws:iam::1:role/two"},
		"role with its own keys":             {Config{Profile: "self"}, []string{shared}, "role:arn:aws:iam::1:role/self"},
		"role of a profile, from container":  {Config{Profile: "pod"}, []string{shared, pod, podToken}, "role:arn:aws:iam::1:role/pod"},
		"role of a profile, from instance":   {Config{Profile: "node"}, []string{shared}, "role:arn:aws:iam::1:role/node"},
		"role of a profile, from env":        {Config{Profile: "env"}, append(keys, shared), "role:arn:aws:iam::1:role/env"},
		"ECS, beside a default without keys": {Config{}, []string{shared, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/ecs"}, "container/ecs"},
		"EKS Pod Identity":                   {Config{}, []string{pod, podToken}, "container/eks"},
		"instance":                           {Config{}, nil, "instance"},
		"role over the instance":             {Config{Role: Role{ARN: "arn:mine"}}, nil, "role:arn:mine"},
	} {
		t.Run(name, func(t *testing.T) {
			creds, err := newCloud(t).chain(t, c.cfg, c.env...).Retrieve(t.Context())
			if err != nil || creds.AccessKeyID != c.want || creds.SecretAccessKey == "" {
				t.Errorf("got %s, %v, want %s", creds.AccessKeyID, err, c.want)
			}
		})
	}
}

func TestRoleIsAssumedByASignedRequest(t *testing.T) {
	c := newCloud(t)
	chain := c.chain(t, Config{Profile: "two", Region: "eu-central-1"}, "AWS_CONFIG_FILE="+file(t, profiles))
	if _, err := chain.Retrieve(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked := c.asked()
	if len(asked) != 2 {
		t.Fatalf("%d requests, want one for each role", len(asked))
	}
	for i, want := range []string{"AWS4-HMAC-SHA256 Credential=file-key/", "AWS4-HMAC-SHA256 Credential=role:arn:aws:iam::1:role/r/"} {
		auth := asked[i].Header.Get("Authorization")
		if !strings.HasPrefix(auth, want) || !strings.Contains(auth, "/eu-central-1/sts/aws4_request, SignedHeaders=") {
			t.Errorf("request %d is signed %q, want %q for sts in eu-central-1", i, auth, want)
		}
	}
	if f := asked[0].PostForm; f.Get("ExternalId") != "ext" || f.Get("RoleSessionName") != "kafka-sidecar" || f.Get("Version") != "2011-06-15" {
		t.Errorf("asked with %v", f)
	}
}

func TestWebIdentityTokenIsReadAnewAndNotSigned(t *testing.T) {
	c := newCloud(t)
	c.gone = 2 * time.Second
	token := file(t, "first")
	chain := c.chain(t, Config{}, "AWS_WEB_IDENTITY_TOKEN_FILE="+token, "AWS_ROLE_ARN=arn:web", "AWS_ROLE_SESSION_NAME=s")
	if _, err := chain.Retrieve(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(token, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(30 * time.Second)
	for len(c.asked()) < 2 { // renewed without anybody asking, before two seconds are over
		select {
		case <-deadline:
			t.Fatal("the credentials were not renewed")
		case <-time.After(10 * time.Millisecond):
		}
	}
	for i, want := range []string{"first", "second"} {
		r := c.asked()[i]
		if r.PostForm.Get("WebIdentityToken") != want || r.PostForm.Get("RoleSessionName") != "s" || r.Header.Get("Authorization") != "" {
			t.Errorf("request %d: %v", i, r.PostForm)
		}
	}
}

func TestWhatIsSetUpWrongIsSaidAndNothingElseIsTried(t *testing.T) {
	shared := "AWS_CONFIG_FILE=" + file(t, profiles)
	for name, c := range map[string]struct {
		profile string
		env     []string
		fail    string
		want    string
	}{
		"nothing":             {"", []string{"AWS_EC2_METADATA_DISABLED=true"}, "", "none are set up: give the task, pod or instance a role, or set AWS_ACCESS_KEY_ID"},
		"no instance":         {"", []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1"}, "", "none are set up"},
		"instance, no role":   {"", nil, "/latest/meta-data/iam/security-credentials/", "has it an instance profile?): answered 403 Forbidden"},
		"a refused role":      {"role", []string{shared}, "/AssumeRole", "assume the role arn:aws:iam::1:role/r: answered 403 Forbidden (AccessDenied)"},
		"a refused identity":  {"", []string{"AWS_WEB_IDENTITY_TOKEN_FILE=" + file(t, "hidden"), "AWS_ROLE_ARN=arn:w"}, "/AssumeRoleWithWebIdentity", "assume the role arn:w: answered 403 Forbidden (AccessDenied)"},
		"no role":             {"", []string{"AWS_WEB_IDENTITY_TOKEN_FILE=/x"}, "", "role ARN is not set (hint: check the AWS_* variables and the profile"},
		"no token":            {"", []string{"AWS_WEB_IDENTITY_TOKEN_FILE=/nowhere/x", "AWS_ROLE_ARN=arn:w"}, "", "unable to read file at /nowhere/x: open /nowhere/x: no such file"},
		"a profile not there": {"other", []string{shared}, "", `AWS profile "other": not found in the shared`},
		"AWS_PROFILE":         {"", []string{shared, "AWS_PROFILE=other"}, "", `AWS profile "other": not found in the shared`},
		"SSO":                 {"sso", []string{shared}, "", `profile "sso" is configured to use SSO but is missing`},
		"a loop":              {"loop", []string{shared}, "", "failed to load assume role arn:aws:iam::1:role/b, of profile loop"},
		"MFA":                 {"mfa", []string{shared}, "", "asks for MFA, which needs a person"},
		"no keys to start":    {"env", []string{shared}, "", "credential_source is Environment, but AWS_ACCESS_KEY_ID"},
		"no agent":            {"pod", []string{shared}, "", "EcsContainer was specified as the credential_source"},
		"a stranger as agent": {"", []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://192.0.2.1/x"}, "", `invalid endpoint host, "192.0.2.1"`},
		"a refusing agent":    {"", []string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/other"}, "", "ask for credentials: answered 401 Unauthorized"},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := newCloud(t)
			if c.fail != "" {
				cloud.fail[c.fail] = http.StatusForbidden
			}
			_, err := cloud.chain(t, Config{Profile: c.profile}, c.env...).Retrieve(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), "find AWS credentials: ") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// recorded are tokens that AWS's own signer for Python made (aws-msk-iam-sasl-signer-python 1.0.2) at the same time from the same keys.
var recorded = map[string]string{
	"sess/ion+token==": "https://kafka.eu-central-1.amazonaws.com/?Action=kafka-cluster%3AConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256" +
		"&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Feu-central-1%2Fkafka-cluster%2Faws4_request&X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host" +
		"&X-Amz-Security-Token=sess%2Fion%2Btoken%3D%3D&X-Amz-Signature=76e74aa197b0651d2d53c38ebcc917237bd4601e3aaeea85cd0e6f28fdad1073" +
		"&User-Agent=aws-msk-iam-sasl-signer-python%2F1.0.2",
	"": "https://kafka.eu-central-1.amazonaws.com/?Action=kafka-cluster%3AConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256" +
		"&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Feu-central-1%2Fkafka-cluster%2Faws4_request&X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host" +
		"&X-Amz-Signature=00629abe90095b91c1a9e460b67a01a8e4e7499b99f571276b99dd9258dd65e5&User-Agent=aws-msk-iam-sasl-signer-python%2F1.0.2",
}

func TestTokenForMSKIsThatOfAWSsOwnSigner(t *testing.T) {
	for session, want := range recorded {
		chain := newCloud(t).chain(t, Config{}, "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "AWS_SESSION_TOKEN="+session)
		m := NewMSK(chain, "eu-central-1", "aws-msk-iam-sasl-signer-python/1.0.2")
		m.now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
		token, err := m.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			t.Fatal(err)
		}
		got, theirs := mustURL(t, string(text)), mustURL(t, want)
		if got.Query().Encode() != theirs.Query().Encode() || got.Host != theirs.Host || got.Path != theirs.Path || got.Scheme != theirs.Scheme {
			t.Errorf("got  %s\nwant %s", text, want)
		}
	}
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestAgentsOnThisMachineAreNotAskedOverAProxy(t *testing.T) {
	if os.Getenv("AWS_TEST_PROXIED") == "" { // package http reads the proxy variables once in a process
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "AWS_TEST_PROXIED=1", "HTTP_PROXY=http://proxy.test:3128", "NO_PROXY=", "no_proxy=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if u, err := proxy(&http.Request{URL: mustURL(t, "http://sts.test/")}); u == nil || err != nil {
		t.Fatalf("the rest goes over %v, %v, want the proxy", u, err)
	}
	for _, local := range []string{"http://169.254.170.2/x", "http://169.254.169.254/x", "http://[fd00:ec2::23]/x"} {
		if u, err := proxy(&http.Request{URL: mustURL(t, local)}); u != nil || err != nil {
			t.Errorf("%s: over %v, %v", local, u, err)
		}
	}
}
