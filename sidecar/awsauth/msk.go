package awsauth

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// tokenLife is how long a token is taken for, in seconds: the longest that MSK allows.
const tokenLife = "900"

// emptyHash is the SHA-256 of nothing, the payload of a GET.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// MSK gives tokens for the IAM authentication of Amazon MSK over SASL OAUTHBEARER: a presigned URL for the action kafka-cluster:Connect, in
// base64url, the form that AWS's own signers make (github.com/aws/aws-msk-iam-sasl-signer-go). Each is signed when it is asked for, which needs
// no network, so that every session gets its whole life.
type MSK struct {
	chain  *Chain
	region string
	agent  string
	now    func() time.Time
}

// NewMSK makes a source of tokens for clusters of a region. agent is how the program calls itself; it owns the chain from now on.
func NewMSK(chain *Chain, region, agent string) *MSK {
	return &MSK{chain: chain, region: region, agent: agent, now: time.Now}
}

// Token signs a token.
func (m *MSK) Token(ctx context.Context) (string, error) {
	creds, err := m.chain.Retrieve(ctx)
	if err != nil {
		return "", err
	}
	query := url.Values{"Action": {"kafka-cluster:Connect"}, "X-Amz-Expires": {tokenLife}}
	u := url.URL{Scheme: "https", Host: "kafka." + m.region + ".amazonaws.com", Path: "/", RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return "", fmt.Errorf("sign a token for MSK: %w", err)
	}
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, creds, req, emptyHash, "kafka-cluster", m.region, m.now().UTC())
	if err != nil {
		return "", fmt.Errorf("sign a token for MSK: %w", err)
	}
	// Beside the signature, not under it.
	signed += "&" + url.Values{"User-Agent": {m.agent}}.Encode()
	return base64.RawURLEncoding.EncodeToString([]byte(signed)), nil
}

// Refused says that a broker did not take a token. The next one is another anyhow; credentials that were taken away are not noticed here but
// when their life ends.
func (m *MSK) Refused(string) {}

// Close ends the renewal of the credentials.
func (m *MSK) Close() { m.chain.Close() }
