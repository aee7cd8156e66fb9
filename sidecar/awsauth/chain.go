package awsauth

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/renew"
)

// Config says where to look. The zero value is the usual search.
type Config struct {
	Region  string // of the security token service, unless AWS_REGION or the profile names one
	Profile string // of the shared files; comes before every other place
	Role    Role   // assumed with whatever was found; the zero value means none
	Logger  *slog.Logger
}

// Role is a role to assume.
type Role struct{ ARN, SessionName, ExternalID string }

// Chain finds credentials and keeps them fresh. It is safe for concurrent use.
type Chain struct {
	cfg    Config
	client *awshttp.BuildableClient
	value  *renew.Value[aws.Credentials]
}

// NewChain makes a chain. It looks nowhere yet.
func NewChain(cfg Config) *Chain {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Chain{cfg: cfg, client: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DisableKeepAlives = true // there are few requests, hours apart
		t.Proxy = proxy
	})}
	c.value = renew.New(c.find, func(err error, left time.Duration) {
		cfg.Logger.Warn("AWS credentials could not be renewed, trying again", slog.Duration("still_valid", left.Round(time.Second)), slog.Any("err", err))
	})
	return c
}

// proxy leaves alone what is on this machine: the agents of containers and the instance's metadata service, whose addresses are link-local.
func proxy(r *http.Request) (*url.URL, error) {
	if addr, err := netip.ParseAddr(r.URL.Hostname()); err == nil && (addr.IsLinkLocalUnicast() || addr.IsPrivate() && addr.Is6()) {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}

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

const (
	// findTimeout bounds one search: two roles one after the other on a slow network.
	findTimeout = 20 * time.Second

	// staticLife is how long keys that do not end are used before the search is made anew, so that a key that was rotated in a shared file
	// needs no restart.
	staticLife = 5 * time.Minute

	// sessionName tells in AWS's logs whose session it is.
	sessionName = "kafka-sidecar"
)

// find makes the whole search, every time: files and roles may have changed.
func (c *Chain) find(ctx context.Context) (aws.Credentials, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	creds, err := c.search(ctx)
	if err != nil {
		return creds, time.Time{}, explain(err)
	}
	if !creds.CanExpire {
		return creds, time.Now().Add(staticLife), nil
	}
	return creds, creds.Expires, nil
}

func (c *Chain) search(ctx context.Context) (aws.Credentials, error) {
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(c.client),
		config.WithLogger(logging.Nop{}), // what matters is in the errors
		config.WithDefaultRegion(cmp.Or(c.cfg.Region, "us-east-1")),
		config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = c.client }),
		// The renewal keeps its own distance from the end.
		config.WithCredentialsCacheOptions(func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = 0 }),
		config.WithAssumeRoleCredentialOptions(nameRole),
		config.WithWebIdentityRoleCredentialOptions(func(o *stscreds.WebIdentityRoleOptions) {
			o.RoleSessionName = cmp.Or(o.RoleSessionName, sessionName)
			if o.Client != nil {
				o.Client = namedWebRole{o.Client}
			}
		}),
	}
	if c.cfg.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(c.cfg.Profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Credentials{}, err
	}
	if role := c.cfg.Role; role.ARN != "" {
		return stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), role.ARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = role.SessionName
			if role.ExternalID != "" {
				o.ExternalID = &role.ExternalID
			}
		}, nameRole).Retrieve(ctx)
	}
	return cfg.Credentials.Retrieve(ctx)
}

// nameRole gives a role's session our name, and its errors the role's.
func nameRole(o *stscreds.AssumeRoleOptions) {
	o.RoleSessionName = cmp.Or(o.RoleSessionName, sessionName)
	if o.Client != nil {
		o.Client = namedRole{o.Client}
	}
}

type namedRole struct {
	stscreds.AssumeRoleAPIClient
}

func (n namedRole) AssumeRole(ctx context.Context, in *sts.AssumeRoleInput, options ...func(*sts.Options)) (*sts.AssumeRoleOutput, error) {
	out, err := n.AssumeRoleAPIClient.AssumeRole(ctx, in, options...)
	return out, ofRole(err, in.RoleArn)
}

type namedWebRole struct {
	stscreds.AssumeRoleWithWebIdentityAPIClient
}

func (n namedWebRole) AssumeRoleWithWebIdentity(ctx context.Context, in *sts.AssumeRoleWithWebIdentityInput, options ...func(*sts.Options)) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	out, err := n.AssumeRoleWithWebIdentityAPIClient.AssumeRoleWithWebIdentity(ctx, in, options...)
	return out, ofRole(err, in.RoleArn)
}
