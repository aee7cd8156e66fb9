package awsauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/renew"
)

// Config says where to look. The zero value is the usual search.
type Config struct {
	Region  string // of the security token service, unless AWS_REGION or the profile names one
	Profile string // of the shared files; comes before every other place
	Role    Role   // assumed with whatever was found; the zero value means none
	Getenv  func(string) string
	Logger  *slog.Logger // may be nil
}

// Role is a role to assume.
type Role struct{ ARN, SessionName, ExternalID string }

// Chain finds credentials and keeps them fresh. It is safe for concurrent use.
type Chain struct {
	cfg   Config
	local *http.Client // for what is on this machine: never over a proxy
	sts   *http.Client
	value *renew.Value[aws.Credentials]
}

// NewChain makes a chain. It looks nowhere yet.
func NewChain(cfg Config) *Chain {
	if cfg.Getenv == nil {
		cfg.Getenv = os.Getenv
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Chain{
		cfg:   cfg,
		local: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: noRedirect},
		sts:   &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}, CheckRedirect: noRedirect},
	}
	c.value = renew.New(c.find, func(err error, left time.Duration) {
		cfg.Logger.Warn("AWS credentials could not be renewed, trying again", slog.Duration("still_valid", left.Round(time.Second)), slog.Any("err", err))
	})
	return c
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Retrieve gives credentials that hold. It is aws.CredentialsProvider.
func (c *Chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := c.value.Get(ctx)
	if err != nil {
		return creds, fmt.Errorf("find AWS credentials: %w", err)
	}
	return creds, nil
}

// Close ends the renewal.
func (c *Chain) Close() { c.value.Close() }

// findTimeout bounds one search: two roles one after the other on a slow network.
const findTimeout = 20 * time.Second

// errNone ends a search that found nothing set up anywhere.
var errNone = errors.New("none are set up: give the task, pod or instance a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")

func (c *Chain) find(ctx context.Context) (aws.Credentials, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	creds, err := c.base(ctx)
	if err == nil && c.cfg.Role.ARN != "" {
		creds, err = c.assume(ctx, creds, c.cfg.Role, c.region(""))
	}
	return creds, creds.Expires, err
}

// base is the search without the role of the configuration.
func (c *Chain) base(ctx context.Context) (aws.Credentials, error) {
	if c.cfg.Profile != "" {
		return c.profile(ctx, c.cfg.Profile)
	}
	env := c.cfg.Getenv
	if creds, ok := c.environment(); ok {
		return creds, nil
	}
	if file, arn := env("AWS_WEB_IDENTITY_TOKEN_FILE"), env("AWS_ROLE_ARN"); file != "" {
		if arn == "" {
			return aws.Credentials{}, errors.New("AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not")
		}
		return c.webIdentity(ctx, file, Role{ARN: arn, SessionName: env("AWS_ROLE_SESSION_NAME")}, c.region(""))
	}
	creds, err := c.profile(ctx, env("AWS_PROFILE"))
	if !errors.Is(err, errNoProfile) || env("AWS_PROFILE") != "" {
		return creds, err
	}
	if env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" || env("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "" {
		return c.container(ctx)
	}
	if strings.EqualFold(env("AWS_EC2_METADATA_DISABLED"), "true") {
		return creds, errNone
	}
	return c.instance(ctx)
}

// environment gives the keys that stand in the environment.
func (c *Chain) environment() (aws.Credentials, bool) {
	env := c.cfg.Getenv
	creds := aws.Credentials{AccessKeyID: env("AWS_ACCESS_KEY_ID"), SecretAccessKey: env("AWS_SECRET_ACCESS_KEY"), SessionToken: env("AWS_SESSION_TOKEN")}
	return creds, creds.HasKeys()
}

// region is where the security token service is asked: near to us, which need not be where the Kafka cluster is.
func (c *Chain) region(ofProfile string) string {
	return cmp.Or(c.cfg.Getenv("AWS_REGION"), c.cfg.Getenv("AWS_DEFAULT_REGION"), ofProfile, c.cfg.Region, "us-east-1")
}
