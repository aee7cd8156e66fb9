package awsauth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Services on this machine answer at once or are not there.
const localTimeout = 2 * time.Second

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// agentHost is where the agent of ECS answers AWS_CONTAINER_CREDENTIALS_RELATIVE_URI.
const agentHost = "http://169.254.170.2"

// container asks the agent of ECS, or of EKS Pod Identity.
func (c *Chain) container(ctx context.Context) (aws.Credentials, error) {
	env := c.cfg.Getenv
	const variable = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	address := env(variable)
	if relative := env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); relative != "" {
		address = agentHost + relative
	}
	if address == "" {
		return aws.Credentials{}, errors.New("neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor " + variable + " is set")
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && !trusted(u.Hostname()) {
		return aws.Credentials{}, errors.New(variable + " is neither https nor the address of a container's agent")
	}
	header := http.Header{}
	token := env("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if file := env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return aws.Credentials{}, fmt.Errorf("read AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	if token != "" {
		header.Set("Authorization", token)
	}
	body, err := c.ask(ctx, http.MethodGet, u.String(), header)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("ask the container's agent for credentials: %w", err)
	}
	return readCredentials(body, "the container's agent")
}

// trusted says whether a plain connection may carry credentials: to this machine, or to the agents of ECS and EKS.
func trusted(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && (addr.IsLoopback() || host == "169.254.170.2" || host == "169.254.170.23" || host == "fd00:ec2::23")
}

// instance asks the metadata service of EC2, by sessions only (IMDSv2).
func (c *Chain) instance(ctx context.Context) (aws.Credentials, error) {
	base := "http://169.254.169.254"
	if strings.EqualFold(c.cfg.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"), "ipv6") {
		base = "http://[fd00:ec2::254]"
	}
	base = strings.TrimSuffix(cmp.Or(c.cfg.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"), base), "/")
	session, err := c.ask(ctx, http.MethodPut, base+"/latest/api/token", http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {"300"}})
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("%w (no instance metadata either: %w)", errNone, err)
	}
	header := http.Header{"X-Aws-Ec2-Metadata-Token": {string(session)}}
	const roles = "/latest/meta-data/iam/security-credentials/"
	role, err := c.ask(ctx, http.MethodGet, base+roles, header)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("ask the instance for its role (has it an instance profile?): %w", err)
	}
	name, _, _ := strings.Cut(strings.TrimSpace(string(role)), "\n")
	body, err := c.ask(ctx, http.MethodGet, base+roles+url.PathEscape(name), header)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("ask the instance for the credentials of its role: %w", err)
	}
	return readCredentials(body, "the instance's metadata service")
}

// ask makes one request to a service on this machine.
func (c *Chain) ask(ctx context.Context, method, address string, header http.Header) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, http.NoBody)
	if err != nil {
		return nil, errors.New("the address is no URL")
	}
	req.Header = header
	return answer(c.local, req)
}

// answer gives the body of a 200; anything else is an error without it.
func answer(client *http.Client, req *http.Request) ([]byte, error) {
	resp, err := client.Do(req)
	if err != nil {
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err // its text would hold the URL
		}
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return body, &statusError{resp.StatusCode}
	}
	return body, nil
}

// statusError is an answer other than 200.
type statusError struct{ status int }

func (e *statusError) Error() string {
	return fmt.Sprintf("answered %d %s", e.status, http.StatusText(e.status))
}

// Heals says whether the same request may succeed later without anybody changing anything.
func (e *statusError) Heals() bool {
	return e.status >= 500 || e.status == http.StatusRequestTimeout || e.status == http.StatusTooManyRequests
}

// readCredentials reads the form that the agents and the metadata service share.
func readCredentials(body []byte, from string) (aws.Credentials, error) {
	var said struct {
		Code, AccessKeyID, SecretAccessKey, Token string
		Expiration                                time.Time
	}
	err := json.Unmarshal(body, &said) // names are compared without case: AccessKeyId
	creds := aws.Credentials{
		AccessKeyID: said.AccessKeyID, SecretAccessKey: said.SecretAccessKey, SessionToken: said.Token,
		CanExpire: !said.Expiration.IsZero(), Expires: said.Expiration, Source: from,
	}
	if err != nil || !creds.HasKeys() || said.Code != "" && said.Code != "Success" {
		return aws.Credentials{}, fmt.Errorf("read the answer of %s: it holds no credentials", from)
	}
	return creds, nil
}
